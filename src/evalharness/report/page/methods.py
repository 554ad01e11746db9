"""The end of the page: contamination, how every number was made, sources, runs and refusals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evalharness.report.page import texts
from evalharness.report.page.blocks import (
    Block,
    Fold,
    Link,
    Method,
    Methods,
    Section,
    Table,
    table,
    words,
)
from evalharness.report.page.collect import Findings
from evalharness.report.terminal.trend import left_out_words
from evalharness.store.records import Manifest
from evalharness.trend.build import Trend
from evalharness.trend.scores.records import ReportedScore

_HASH_SHOWN = 12
_ARXIV = "https://arxiv.org/abs/"


def contamination_section() -> Section:
    """The note, where scores are shown, that nothing is measured yet."""
    text = (
        "no score above has been checked for contamination or gaming, so none is cleared of it; those measured here are "
        "bound to the fingerprint of their weights, and no command measures more"
    )
    return Section(key="contamination", title="Contamination", missing=(text,))


def methods_section(found: Findings, changed: Sequence[str]) -> Section:
    """Methods with their papers, and their inputs."""
    folds = [
        Fold(title="Sources of scores", blocks=(_sources([*found.reported, *found.measured]),)),
        Fold(title=f"Runs used ({len(found.runs)})", blocks=(_runs(found.runs),)),
    ]
    if found.trend:
        refused = found.trend.refused
        folds.append(
            Fold(title=f"Not on the index ({len(refused)})", blocks=(_refused(found.trend),))
        )
    if changed:
        listed = words(*changed)
        folds.append(
            Fold(title=f"All changes since the last report ({len(changed)})", blocks=(listed,))
        )
    blocks: tuple[Block, ...] = (Methods(methods=tuple(_methods(found))), *folds)
    return Section(key="methods", title="How every number was made", blocks=blocks)


def _methods(found: Findings) -> Iterable[Method]:
    if found.trend:
        yield from _trend_methods(found.trend)
    yield Method(
        name="Measured scores",
        text="Each is given with its number of docs and a 95 % interval (Wilson for shares, t for means, over clusters where "
        "docs share a source) and bound to the weights' fingerprint; docs that failed, were cut or left empty are counted in "
        "the run, never silently scored as zero.",
    )
    yield Method(
        name="Cross-Meta Reasoning",
        text="No public benchmark of this name exists. evalharness's own definition, versioned and hashed: equal-weight mean "
        "of its parts; the interval adds the parts' own in squares. The nearest published level is far below 95 %.",
        links=(Link("MR-GSM8K", f"{_ARXIV}2312.17080"), Link("MR-Ben", f"{_ARXIV}2406.13975")),
    )
    yield Method(
        name="Within one checkpoint",
        text="pass@k is the unbiased estimator, majority the expectation over subsets with ties shared. Self-correction "
        "has no oracle and is shown beside three controls of equal effort; flips are tested by exact McNemar.",
        links=(
            Link("pass@k", f"{_ARXIV}2107.03374"),
            Link("self-correction", f"{_ARXIV}2409.12917"),
            Link("generation and verification", f"{_ARXIV}2412.02674"),
        ),
    )
    yield Method(
        name="Safety under modification",
        text="Paired differences on equal docs, equal weight per task, Benjamini-Hochberg over steps and domains; kept is an "
        "equivalence test at the margin, not the absence of a difference.",
    )
    yield Method(
        name="Adoption",
        text="The Hub's counts from stored snapshots; rates are differences of the all-time count. Derivatives are "
        "self-declared and a lower bound.",
    )


def _trend_methods(trend: Trend) -> Iterable[Method]:
    a = trend.anchors
    yield Method(
        name="Capability index",
        text=f"One capability per model and a difficulty and slope per benchmark (logistic), {trend.num_scores} reported scores "
        f"of {len(trend.models)} models on {trend.num_benchmarks} benchmarks. {a.low} is {a.low_value:g} and {a.high} "
        f"{a.high_value:g} by definition. Quasi-binomial likelihood with the benchmarks' chance floor, ridge λ "
        f"{trend.lam:g} on the slopes; 90 % intervals from drawing each model's scores again. Reported scores mix protocols; "
        f"two sources of one score count as two observations, and the larger is never taken. {_sentence(left_out_words(trend))} "
        f"The newest score is of {trend.newest_score}. {' '.join(f'Scores: {words}.' for words in trend.credits)}",
        links=(
            Link("Epoch Capabilities Index", f"{_ARXIV}2512.00193"),
            Link("over-dispersion", "https://doi.org/10.2307/2347977"),
        ),
    )
    yield Method(
        name="Placement",
        text="A checkpoint measured here doesn't change the fit: benchmarks stay as fitted, and its capability is the one that "
        "fits its scores best; the interval is its likelihood's, averaged over the index's own draws. Three shared benchmarks are "
        "needed. A protocol that differs from the published one shifts it.",
    )
    yield Method(
        name="Frontier and velocity",
        text="A model is at the frontier if no earlier model beats it; the slope is least squares through those points, "
        "less the order bias. Intervals draw models and scores again, in every fit, and find the frontier again in each draw. "
        "The skill of the line is that of the one fitted to the scores that were known a year before the newest model.",
    )
    yield Method(
        name="Change of pace",
        text="Reported only by a calibrated test: the best break's F is compared with those of histories simulated under one "
        "straight line, from 12 frontier models on.",
        links=(Link("sup-F test", "https://doi.org/10.2307/2951764"),),
    )
    yield Method(
        name="Lag of open weights",
        text="The closed frontier less the open one, averaged over the days, less what the dates and numbers of models alone would "
        "give, at the pace of the frontier of all models; the interval is from histories simulated with equal sides. The wait is "
        "another number: months from a closed model that led all to the first open one as good, by Kaplan-Meier, so that those "
        "still unmatched count as waiting.",
        links=(Link("Kaplan and Meier", "https://doi.org/10.2307/2281868"),),
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}.".replace("`", "")


def _sources(scores: Iterable[ReportedScore]) -> Table:
    from evalharness.trend.scores.records import by_source
    from evalharness.trend.scores.seed_scores import licence_of

    rows = [
        (
            f"{origin}: {collection}", source or texts.NOTHING, str(len(group)), str(len({s.model for s in group})),
            str(len({s.benchmark for s in group})), licence_of(source) if origin == "seed" else texts.NOTHING,
        )
        for (origin, collection, source), group in by_source(scores).items()
    ]  # fmt: skip
    return table(
        "Scores by collection and source",
        ("collection", "source", "#scores", "#models", "#benchmarks", "licence"),
        rows,
    )


def _runs(runs: Sequence[Manifest]) -> Table:
    rows = [
        (
            run.run_id, run.model, run.suite, run.status, run.strategy,
            str(sum(task.num_docs for task in run.tasks)),
            str(run.checkpoint.get("fingerprint") or texts.NOTHING)[:_HASH_SHOWN],
            " ".join(str(run.engine[key]) for key in ("kind", "version", "dtype") if run.engine.get(key)),
            run.started_at[:16].replace("T", " "),
        )
        for run in runs
    ]  # fmt: skip
    return table(
        "Runs in the store; fingerprint: the first 12 of the checkpoint's sha256",
        (
            "run",
            "model",
            "suite",
            "status",
            "strategy",
            "#docs",
            "fingerprint",
            "engine",
            "started (UTC)",
        ),
        rows,
    )


def _refused(trend: Trend) -> Table:
    return table(
        "Models and benchmarks that aren't on the index",
        ("name", "why"),
        list(trend.refused.items()),
    )
