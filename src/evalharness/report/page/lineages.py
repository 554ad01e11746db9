"""Two sections on models made from one another: what each step gained, and how it changed safety."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evalharness.comparison.drift import (
    DomainDrift,
    Lineage,
    Step,
)
from evalharness.report.page import texts
from evalharness.report.page.blocks import Beside, Block, Chart, Section, Table, table, words
from evalharness.report.page.charts import Look, Point, Rule, figure, look, marks, text
from evalharness.report.page.collect import Findings
from evalharness.report.terminal.compare import left_out_lines
from evalharness.report.terminal.drift import (
    call_text,
    call_words,
)
from evalharness.trend.scores.records import (
    Protocol,
    ReportedScore,
)

_MOST_CHARTS = 8
_LONGEST_TICK = 20
_LEVEL_TICKS = 3
_SAFETY, _CAPABILITY = Look("@2", "diamond", 11), Look("@1", "circle", 9)


class _Series(NamedTuple):
    """One benchmark along a lineage, measured the same way throughout; with or without a chat template."""

    benchmark: str
    metric: str
    protocol: Protocol
    definition: str


def learning_section(found: Findings) -> Section:
    """A curve per lineage."""
    by_length = sorted(found.lineages, key=lambda lineage: -len(lineage.models))
    charts = [
        c for place, lineage in enumerate(by_length) if (c := _learning(found, lineage, place))
    ]
    if not charts:
        fill = "`evalharness run -m model=PARENT,CHILD suite=...`, where the child's entry names its `parent`"
        return Section(key="lineages", title="Lineages", missing=(fill,))
    more = len(charts) - _MOST_CHARTS
    blocks: tuple[Block, ...] = (
        words(
            "Measured scores along lineages; x is the position in the lineage, each point a separate checkpoint. Bars are "
            "95 % intervals.",
            f"The longest {_MOST_CHARTS} of {len(charts)} lineages." if more > 0 else "",
        ),
        Beside(charts=tuple(charts[:_MOST_CHARTS])),
    )
    return Section(key="lineages", title="Lineages", blocks=blocks)


def drift_section(found: Findings) -> Section:
    """Each step's calls, with their differences."""
    title = "Safety under modification"
    steps = [
        (lineage, step)
        for lineage in found.lineages
        for step in lineage.steps
        if not _is_bare(step)
    ]
    if not any(step.domain("safety").mean for _, step in steps):
        fill = "`evalharness run -m model=PARENT,CHILD suite=safety`, with equal settings"
        return Section(key="drift", title=title, missing=(" ".join([fill, *_left_out(steps)]),))
    safety = [(lineage, step) for lineage, step in steps if step.domain("safety").mean]
    margin = safety[0][0].margin
    blocks: tuple[Block, ...] = (
        words(
            "Each model compared with its parent, on the same docs. Up and down are significant after "
            f"Benjamini-Hochberg; kept is shown to lie within ±{100 * margin:g} points; each holds for any missing "
            "scores; not resolved is no evidence that nothing changed. Differences are over the docs that both have a score "
            "for. `evalharness drift MODEL` shows every task."
        ),
        _drift_chart(safety, margin),
        _drift_table(safety),
        *([words(*lines)] if (lines := list(_left_out(steps))) else []),
    )
    return Section(key="drift", title=title, blocks=blocks)


def _left_out(steps: Sequence[tuple[Lineage, Step]]) -> Iterator[str]:
    """The parts of the steps that couldn't be compared, a sentence per suite and reason."""
    for _, step in steps:
        for c in step.comparisons:
            yield from (
                f"{_name(step)}, {c.a.suite}: {line}." for line in left_out_lines(c.left_out)
            )


def drift_calls(found: Findings) -> dict[str, dict[str, str]]:
    """Step -> domain -> call, for steps with a measured safety."""
    return {
        _name(step): {domain.domain: domain.call for domain in step.domains}
        for lineage in found.lineages
        for step in lineage.steps
        if step.domain("safety").mean
    }


def drift_lines(found: Findings) -> list[str]:
    """Step and call in words, resolved drops of safety first."""
    steps = [
        (n, s)
        for n in found.lineages
        for s in n.steps
        if s.domain("safety").mean and not s.is_whole
    ]
    rank = {"down": 0, "up": 1}
    steps.sort(key=lambda pair: rank.get(pair[1].domain("safety").call, 2))
    return [f"{_name(step)}: {call_text(step, lineage.margin)}" for lineage, step in steps]


def _is_bare(step: Step) -> bool:
    return not step.comparisons


def _tick(model: str) -> str:
    """A name, shortened to fit under an axis."""
    return text(model if len(model) <= _LONGEST_TICK else f"{model[: _LONGEST_TICK - 1]}…")


def _name(step: Step) -> str:
    return f"{step.parent} → {step.child}" + (" (whole line)" if step.is_whole else "")


def _learning(found: Findings, lineage: Lineage, place: int) -> Chart | None:
    series = _series(found.measured, lineage.models)
    if not series:
        return None
    traces = [
        marks(
            _title(key, series),
            [_point(lineage, at, score) for at, score in scores],
            look(i),
            has_line=True,
        )
        for i, (key, scores) in enumerate(series.items())
    ]
    names = f"{lineage.models[0]} → {lineage.models[-1]}"
    places = list(range(1, len(lineage.models) + 1))
    rows = [
        (lineage.models[at], str(at + 1), _title(key, series), f"{s.score:.1f}", texts.span(s.ci_low, s.ci_high), str(s.n), s.run_id)
        for key, scores in series.items()
        for at, s in scores
    ]  # fmt: skip
    return Chart(
        key=f"chart-lineage-{place}",
        caption=f"{names} ({len(places)} checkpoints)",
        summary=f"Scores along the lineage {', '.join(lineage.models)}. "
        + " ".join(f"{_title(k, series)}: {s[0][1].score:.1f} to {s[-1][1].score:.1f}." for k, s in series.items()),
        figure=figure(
            traces, "checkpoint, oldest first", "score, %", tickvals=places, range=[0.7, len(places) + 0.3],
            ticktext=[_tick(model) for model in lineage.models],
            tickangle=-30 if len(places) > _LEVEL_TICKS else 0, y_range=(-4, 104),
        ),
        data=table(
            f"Scores along {names}", ("model", "#place", "benchmark", "#score", "#95 %", "#n", "run"), rows
        ),
        height=360,
    )  # fmt: skip


def _series(
    measured: Sequence[ReportedScore], models: Sequence[str]
) -> dict[_Series, list[tuple[int, ReportedScore]]]:
    """Benchmark -> each member's score over most docs, the later of equal ones, if at least two members have one."""
    best: dict[_Series, dict[int, ReportedScore]] = {}
    for score in measured:
        if score.model in models:
            protocol = score.protocol._replace(chat=None)
            of = best.setdefault(
                _Series(score.benchmark, score.metric, protocol, score.definition), {}
            )
            held = of.get(models.index(score.model))
            if held is None or (held.n or 0) <= (score.n or 0):
                of[models.index(score.model)] = score
    return {key: sorted(by.items()) for key, by in best.items() if len(by) > 1}


def _title(key: _Series, among: dict[_Series, list[tuple[int, ReportedScore]]]) -> str:
    """The benchmark, with what distinguishes it from another series of the same one."""
    same = [other for other in among if other.benchmark == key.benchmark]
    if len(same) == 1:
        return key.benchmark
    shots = f"{key.protocol.n_shot}-shot" if key.protocol.n_shot else ""
    parts = (key.metric, shots, key.protocol.subset, key.protocol.strategy)
    return f"{key.benchmark} ({', '.join(part for part in parts if part)})"


def _point(lineage: Lineage, at: int, score: ReportedScore) -> Point:
    hover = (
        f"{lineage.models[at]}\n{score.benchmark} {score.score:.1f} {texts.span(score.ci_low, score.ci_high)}\n"
        f"n {score.n}, run {score.run_id}"
    )
    low, high = (math.nan if end is None else end for end in (score.ci_low, score.ci_high))
    return Point(at + 1, score.score, hover, low, high)


def _drift_chart(steps: Sequence[tuple[Lineage, Step]], margin: float) -> Chart:
    traces = []
    for name, style, shift in (("safety", _SAFETY, -0.08), ("capability", _CAPABILITY, 0.08)):
        points = [
            _drift_point(step, step.domain(name), place + 1 + shift)
            for place, (_, step) in enumerate(steps)
            if step.domain(name).mean
        ]
        if points:
            traces.append(marks(name, points, style))
    places = list(range(1, len(steps) + 1))
    drawn = figure(
        traces, "step, numbered as in the table", "mean difference, points", tickvals=places, range=[0.5, len(steps) + 0.5],
        levels=(Rule(0), Rule(-100 * margin, dash="dot"), Rule(100 * margin, dash="dot")),
    )  # fmt: skip
    return Chart(
        key="chart-drift",
        caption="Change of the means, child minus parent (95 % intervals; dotted: the margin)",
        summary=" ".join(f"{_name(s)}: {call_text(s, n.margin)}." for n, s in steps),
        figure=drawn,
        data=_task_table(steps),
        height=340,
    )


def _drift_point(step: Step, domain: DomainDrift, x: float) -> Point:
    mean = domain.mean
    assert mean is not None
    hover = (
        f"{_name(step)}\n{domain.domain} {texts.points(mean.difference, mean.ci_low, mean.ci_high)}\n"
        f"{domain.call}, {texts.plural(domain.num_in_mean, 'task')}, {mean.n} docs"
    )
    return Point(x, 100 * mean.difference, hover, 100 * mean.ci_low, 100 * mean.ci_high)


def _drift_table(steps: Sequence[tuple[Lineage, Step]]) -> Table:
    rows = [
        (
            f"{place}. {_name(step)}",
            *_domain_cells(step.domain("safety"), lineage.margin),
            *_domain_cells(step.domain("capability"), lineage.margin),
        )
        for place, (lineage, step) in enumerate(steps, 1)
    ]
    return table(
        "Calls, step by step (points, 95 % intervals)",
        ("step", "safety", "#difference", "#docs", "capability", "#difference", "#docs"),
        rows,
    )


def _domain_cells(domain: DomainDrift, margin: float) -> tuple[str, str, str]:
    if domain.mean is None:
        return domain.call, texts.NOTHING, texts.NOTHING
    m = domain.mean
    said = call_words(domain, margin) + _missing(domain)
    return said, texts.points(m.difference, m.ci_low, m.ci_high), str(m.n)


def _missing(domain: DomainDrift) -> str:
    """Share of a mean's scores that is missing, on the side that lacks more; empty if none is."""
    share = max(domain.missing_first, domain.missing_second)
    return f" ({100 * share:.3g} % of scores missing)" if share else ""


def _task_table(steps: Sequence[tuple[Lineage, Step]]) -> Table:
    rows = [
        (
            _name(step), domain.domain, row.task + ("" if row.higher_is_better else " ↓"), str(row.result.n),
            f"{row.result.value_a:.3f}", f"{row.result.value_b:.3f}",
            texts.points(row.result.difference, row.result.ci_low, row.result.ci_high), row.verdict,
        )
        for _, step in steps
        for domain in step.domains
        for _, row in domain.rows
    ]  # fmt: skip
    return table(
        "Tasks behind the means (↓: lower is better)",
        ("step", "domain", "task", "#n", "#first", "#second", "#difference", "verdict"),
        rows,
    )
