"""The result of `rescore`: each metric before and after, and the samples that changed."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from evalharness.report.terminal.format import (
    number,
    plain,
)
from evalharness.report.terminal.table_layout import (
    Col,
    fitted_table,
)
from evalharness.stats.rescore_changes import (
    Change,
    num_scored_otherwise,
)
from evalharness.store.json_codec import as_json
from evalharness.store.records import MetricRecord

_COLUMNS = (
    Col("task", least=10),
    Col("metric", least=8),
    Col("filter", least=6),
    Col("before", justify="right"),
    Col("after", justify="right"),
    Col("n", justify="right"),
    Col("changed", justify="right"),
)
_LONGEST_ANSWER = 60

Key = tuple[str, str, str]


def rescored_view(
    before: Sequence[MetricRecord],
    after: Sequence[MetricRecord],
    changes: Sequence[Change],
    *,
    num_samples: int,
    ending: str,
    most: int,
    width: int = 80,
) -> Group:
    """A row per metric that changed or has changed samples, the samples, and what was written.

    Args:
        before: the run's metrics.
        after: the same, scored again.
        changes: samples whose answer or scores changed.
        num_samples: number of samples scored again.
        ending: the last line, with the place of the new scores.
        most: changed samples shown of each task.
        width: of the terminal.
    """
    parts: list[RenderableType] = []
    rows = [row for row in _rows(before, after, changes) if row]
    if rows:
        parts += [fitted_table(_COLUMNS, rows, width), Text()]
    parts += _samples(changes, most)
    num_changed = len({(change.task, change.doc_id, change.repeat) for change in changes})
    said = f"{num_changed} of {num_samples} scored samples changed"
    return Group(
        *parts,
        Text(said if changes else f"nothing changed in {num_samples} scored samples"),
        plain(ending),
    )


def rescored_as_json(
    before: Sequence[MetricRecord],
    after: Sequence[MetricRecord],
    changes: Sequence[Change],
    *,
    num_samples: int,
    run: str,
    new_run: str | None,
) -> dict[str, Any]:
    """The same for programs, every changed sample in it."""
    result: dict[str, Any] = as_json(
        {
            "run": run,
            "new_run": new_run,
            "num_samples": num_samples,
            "before": [asdict(metric) for metric in before],
            "after": [asdict(metric) for metric in after],
            "changes": [asdict(change) for change in changes],
        }
    )
    return result


def _rows(
    before: Sequence[MetricRecord], after: Sequence[MetricRecord], changes: Sequence[Change]
) -> Iterator[list[Text]]:
    old, new = {_key(m): m for m in before}, {_key(m): m for m in after}
    for key in {**old, **new}:
        first, then = old.get(key), new.get(key)
        num_changed = num_scored_otherwise(changes, key[0], key[2], key[1])
        if num_changed == 0 and _value(first) == _value(then):
            continue
        yield [
            *(plain(name) for name in (key[0], key[1], key[2])),
            Text(_value(first)),
            Text(_value(then), style="bold"),
            Text(str(then.n if then else "-")),
            Text(str(num_changed)),
        ]


def _key(metric: MetricRecord) -> Key:
    return metric.task, metric.metric, metric.filter


def _value(metric: MetricRecord | None) -> str:
    return "-" if metric is None or math.isnan(metric.value) else number(metric.value)


def _samples(changes: Sequence[Change], most: int) -> Iterator[RenderableType]:
    for task, group in groupby(changes, lambda change: change.task):
        shown = sorted(group, key=lambda change: not change.is_scored_otherwise)
        for change in shown[:most]:
            yield _sample(change)
        if most and len(shown) > most:
            yield Text(
                f"... and {len(shown) - most} more of {task}; --samples N or --json shows them",
                style="dim",
            )
        if most:
            yield Text()


def _sample(change: Change) -> Text:
    where = f"{change.task} doc {change.doc_id}"
    where += f" repeat {change.repeat}" if change.repeat else ""
    where += f" ({change.filter})" if change.filter != "none" else ""
    return (
        plain(where)
        + Text(": ")
        + _side(change.answer_before, change.scores_before)
        + Text(" -> ", style="bold")
        + _side(change.answer_after, change.scores_after)
    )


def _side(answer: str | None, scores: dict[str, float]) -> Text:
    cut = "-" if answer is None else repr(answer)
    cut = cut if len(cut) <= _LONGEST_ANSWER else cut[:_LONGEST_ANSWER] + "..."
    values = ", ".join(f"{name} {number(score)}" for name, score in scores.items())
    return plain(f"{cut} [{values or 'not scored'}]")
