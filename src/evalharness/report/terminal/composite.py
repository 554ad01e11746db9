"""The view of a suite's composite: its parts, its value beside the target, and its definition.

The composite's definition is in the run's manifest, its value in the metrics; only the hash of the definition is computed here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from evalharness.report.terminal.format import (
    number,
    plain,
)
from evalharness.report.terminal.table_layout import (
    Col,
    fitted_table,
)
from evalharness.stats.composite import (
    Part,
    definition_hash,
    find_parts,
)
from evalharness.stats.metrics import COMPOSITE
from evalharness.store.records import (
    Manifest,
    MetricRecord,
)

_MOST_BAR = 72
_SHORT_HASH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """The composite of one run."""

    name: str
    title: str
    statement: str
    """Which definition it is, with remarks; shown wherever the number is."""
    definition: str
    definition_hash: str
    """Hash of the version and of the parts' names, versions and metrics; another hash is another quantity."""
    target: float | None
    metric: MetricRecord | None
    """None if the run hasn't finished."""
    parts: Sequence[Part]
    further: Mapping[str, Sequence[MetricRecord]]
    """Part -> its metrics besides the main one."""

    @property
    def without_score(self) -> list[str]:
        """Parts without a score, because of which the composite has no value."""
        return [part.task for part in self.parts if not part.is_scored]


def find_composite(manifest: Manifest, metrics: Sequence[MetricRecord]) -> Composite | None:
    """The composite of a run; None if its suite has none."""
    config = (manifest.config.get("suite") or {}).get("composite")
    if not config:
        return None
    name, version = str(config.get("name", "")), str(config.get("version", ""))
    parts = find_parts(list(config.get("parts") or ()), metrics)
    versions = {task.task: task.version for task in manifest.tasks}
    main = {part.task: part.metric.metric if part.metric else "" for part in parts}
    own = [m for m in metrics if m.task == name and m.metric == COMPOSITE]
    note = config.get("note") or ""
    return Composite(
        name=name,
        title=str(config.get("title") or name),
        statement=f"evalharness definition v{version}" + (f"; {note}" if note else ""),
        definition=str(config.get("definition") or ""),
        definition_hash=definition_hash(
            version, [(task, versions.get(task, ""), metric) for task, metric in main.items()]
        ),
        target=config.get("target"),
        metric=own[0] if own else None,
        parts=parts,
        further={
            part.task: [m for m in metrics if m.task == part.task and not m.is_main]
            for part in parts
        },
    )


def composite_view(composite: Composite | None, width: int) -> list[RenderableType]:
    """Heading, table of parts, bar and definition; nothing for a run without a composite."""
    if composite is None:
        return []
    heading = plain(f"{composite.title}: {composite.statement}")
    heading.stylize("bold", 0, len(composite.title))
    return [
        Text(),
        heading,
        _part_table(composite, width),
        *_result(composite, width),
        plain(f"{composite.definition} Definition {composite.definition_hash[:_SHORT_HASH]}.".strip()),
    ]  # fmt: skip


def composite_fields(composite: Composite) -> dict[str, Any]:
    """The composite for other programs: its value with its definition."""
    metric = composite.metric
    return {
        "name": composite.name,
        "title": composite.title,
        "statement": composite.statement,
        "definition": composite.definition,
        "definition_hash": composite.definition_hash,
        "target": composite.target,
        "value": metric.value if metric else None,
        "ci_low": metric.ci_low if metric else None,
        "ci_high": metric.ci_high if metric else None,
        "n": metric.n if metric else 0,
        "parts": {p.task: p.metric.value if p.metric else None for p in composite.parts},
        "parts_without_score": composite.without_score,
    }


def bar(value: float, low: float, high: float, target: float | None, width: int) -> str:
    """A scale from 0 to 1 in `width` characters: dot for the value, line for its interval, stroke for the target.

    Args:
        value: 0 to 1.
        low: lower end of the interval; NaN for none.
        high: upper end.
        target: drawn unless it is None.
        width: at least 2.
    """
    cells = ["·"] * width

    def place(x: float) -> int:
        return round(min(max(x, 0.0), 1.0) * (width - 1))

    if not (math.isnan(low) or math.isnan(high)):
        cells[place(low) : place(high) + 1] = "━" * (place(high) - place(low) + 1)
    if target is not None:
        cells[place(target)] = "┃"
    cells[place(value)] = "●"
    return "".join(cells)


def _part_table(composite: Composite, width: int) -> RenderableType:
    columns = (
        Col("part", least=10),
        Col("score [95 % CI]"),
        Col("metric", least=9),
        Col("n", justify="right"),
        Col("besides", least=16),
    )
    rows = [
        [plain(part.task), *_cells(part.metric), _besides(composite.further[part.task])]
        for part in composite.parts
    ]
    mean = [Text(f"mean of {len(rows)}", style="bold"), *_cells(composite.metric), Text()]
    return fitted_table(columns, [*rows, mean], width)


def _cells(metric: MetricRecord | None) -> list[Text]:
    if metric is None:
        return [Text("-", style="dim"), Text(), Text("-")]
    return [_score(metric), plain(metric.metric), Text(str(metric.n))]


def _score(metric: MetricRecord) -> Text:
    score = Text(number(metric.value))
    if not math.isnan(metric.value):
        score += Text(f" [{_interval(metric)}]", style="dim")
    return score


def _interval(metric: MetricRecord) -> str:
    if math.isnan(metric.ci_low) or math.isnan(metric.ci_high):
        return "no CI"
    return f"{number(metric.ci_low)}, {number(metric.ci_high)}"


def _besides(metrics: Sequence[MetricRecord]) -> Text:
    parts = [f"{m.metric}{'' if m.higher_is_better else ' ↓'} {number(m.value)}" for m in metrics]
    return Text(", ".join(plain(part).plain for part in parts), style="dim")


def _result(composite: Composite, width: int) -> list[Text]:
    """The bar, or the reason why there is none."""
    missing = composite.without_score
    if composite.metric is None or math.isnan(composite.metric.value):
        why = f"without a score: {', '.join(missing)}" if missing else "the run has no composite"
        return [Text("no value; ", style="yellow") + plain(why)]
    metric, target = composite.metric, composite.target
    length = min(width - len("0 %   100 %"), _MOST_BAR)
    drawn = bar(metric.value, metric.ci_low, metric.ci_high, target, max(length, 2))
    aim = f"  ┃ target {target:.0%}" if target is not None else ""
    return [
        Text("0 %  ", style="dim") + Text(drawn) + Text(" 100 %", style="dim"),
        Text(f"● {metric.value:.1%} ━ {_percents(metric)}{aim}"),
    ]


def _percents(metric: MetricRecord) -> str:
    if math.isnan(metric.ci_low) or math.isnan(metric.ci_high):
        return "no CI"
    return f"[{metric.ci_low:.1%}, {metric.ci_high:.1%}]"
