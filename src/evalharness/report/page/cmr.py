"""Cross-Meta Reasoning over time: one line per model, broken where the definition changes, with the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from itertools import groupby, pairwise

from evalharness.report.page import texts
from evalharness.report.page.blocks import Block, Chart, Section, table, words
from evalharness.report.page.charts import Point, Rule, date_range, figure, gapped, look
from evalharness.report.page.collect import (
    CompositeRun,
    Findings,
)
from evalharness.store.subset_words import subset_words

_HASH_SHOWN = 8
FILL = "`evalharness run model=... suite=cmr`; no public benchmark has this name, the definition is evalharness's own"


def cmr_section(found: Findings) -> Section:
    """The plot with its definition."""
    if not found.composites:
        return Section(key="cmr", title="Cross-Meta Reasoning", missing=(FILL,))
    newest = found.composites[-1].composite
    blocks: tuple[Block, ...] = (
        words(f"{newest.title}: {newest.statement}.", newest.definition),
        _chart(found.composites),
        words(*_break_words(found.composites)),
    )
    return Section(key="cmr", title="Cross-Meta Reasoning", blocks=blocks)


def best(found: Findings) -> CompositeRun | None:
    """The highest value by the newest definition, complete suites before partial ones."""
    if not found.composites:
        return None
    newest = found.composites[-1].composite.definition_hash
    of_it = [c for c in found.composites if c.composite.definition_hash == newest]
    return max(of_it, key=lambda c: (not limited_words(c), c.metric.value))


def limited_words(item: CompositeRun) -> str:
    """Which docs the run took, if not all."""
    return subset_words(item.run.tasks)


def _chart(composites: Sequence[CompositeRun]) -> Chart:
    target = next((c.composite.target for c in reversed(composites) if c.composite.target), None)
    by_model: dict[str, list[CompositeRun]] = {}
    for item in composites:
        by_model.setdefault(item.run.model, []).append(item)
    traces = [
        gapped(model, [[_point(c) for c in part] for part in _parts(items)], look(place))
        for place, (model, items) in enumerate(by_model.items())
    ]
    levels = (Rule(100 * target, f"target {100 * target:.0f} %"),) if target else ()
    return Chart(
        key="chart-cmr",
        caption="Cross-Meta Reasoning by day of the run (95 % intervals)",
        summary=_summary(by_model, target),
        figure=figure(
            traces, "day of the run", "score, %", x_type="date", y_range=(-4, 104), levels=levels,
            uprights=[Rule(later.run.started_at[:19], _version(later), "dot") for _, later in _breaks(composites)],
            range=date_range([date.fromisoformat(c.run.started_at[:10]) for c in composites]),
        ),
        data=table(
            "Runs with a value",
            ("model", "run", "started (UTC)", "#score", "definition", "#n", "remark"),
            [
                (
                    c.run.model, c.run.run_id, c.run.started_at[:16].replace("T", " "),
                    texts.share(c.metric.value, c.metric.ci_low, c.metric.ci_high), _version(c), str(c.metric.n),
                    limited_words(c),
                )
                for c in composites
            ],
        ),
        height=360,
    )  # fmt: skip


def _summary(by_model: dict[str, list[CompositeRun]], target: float | None) -> str:
    parts = [
        f"{model}: {100 * items[-1].metric.value:.1f} % in its newest run."
        for model, items in by_model.items()
    ]
    return " ".join([f"Target {100 * target:.0f} %." if target else "No target.", *parts])


def _parts(items: Sequence[CompositeRun]) -> list[list[CompositeRun]]:
    """Periods with one definition."""
    return [list(part) for _, part in groupby(items, key=lambda c: c.composite.definition_hash)]


def _breaks(items: Sequence[CompositeRun]) -> list[tuple[CompositeRun, CompositeRun]]:
    return [
        (a, b)
        for a, b in pairwise(items)
        if a.composite.definition_hash != b.composite.definition_hash
    ]


def _break_words(items: Sequence[CompositeRun]) -> list[str]:
    return [
        f"The definition changed with run {b.run.run_id} ({_version(a)} to {_version(b)}): numbers before and after "
        "it are different quantities, so the lines are broken there."
        for a, b in _breaks(items)
    ]


def _version(item: CompositeRun) -> str:
    """Version and hash, as parts can change without the version."""
    suite = item.run.config.get("suite") or {}
    version = (suite.get("composite") or {}).get("version", "")
    return f"v{version} {item.composite.definition_hash[:_HASH_SHOWN]}"


def _point(item: CompositeRun) -> Point:
    m = item.metric
    lines = [
        item.run.model, texts.share(m.value, m.ci_low, m.ci_high), f"{_version(item)}, n {m.n}", item.run.run_id,
        limited_words(item),
    ]  # fmt: skip
    low, high = (end if math.isnan(end) else 100 * end for end in (m.ci_low, m.ci_high))
    return Point(item.run.started_at[:19], 100 * m.value, "\n".join(filter(None, lines)), low, high)
