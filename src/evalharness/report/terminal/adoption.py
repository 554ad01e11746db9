"""Tables of the Hub's counts: a snapshot as taken, and how the counts change between snapshots."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from evalharness.report.terminal.format import (
    amount,
    params,
    plain,
)
from evalharness.report.terminal.table_layout import (
    Col,
    fits,
    fitted_table,
)
from evalharness.store.json_codec import as_json
from evalharness.trend.adoption import (
    Adoption,
    Flow,
    Flows,
)
from evalharness.trend.hub.records import (
    Sighting,
    Snapshot,
)

NOTES = (
    "30 days: a rolling window, so its change is not a rate; rates are differences of the all-time count.",
    "Downloads are requests to the Hub for a model's main file, including HEAD requests of cached loads and of CI; "
    "mirrors and copies elsewhere are invisible.",
    "Derivatives are self-declared repositories, including re-quantised copies, direct children only: a lower bound.",
)
RECOUNT = "* recount: the count fell between two snapshots, because of a recount by the Hub or withdrawals."

_MODEL = Col("model", least=14)
_FLOWS = (
    _MODEL,
    Col("30 days", justify="right"),
    Col("all time", justify="right"),
    Col("per day", justify="right"),
    Col("likes", justify="right"),
    Col("per day", justify="right"),
    Col("deriv.", justify="right"),
    Col("per week", justify="right"),
    Col("since"),
)
_COUNTS = (
    _MODEL,
    Col("30 days", justify="right"),
    Col("all time", justify="right"),
    Col("likes", justify="right"),
    Col("deriv.", justify="right"),
    Col("adapter", justify="right"),
    Col("finetune", justify="right"),
    Col("merge", justify="right"),
    Col("quantized", justify="right"),
    Col("spaces", justify="right"),
    Col("trending", justify="right"),
    Col("params", justify="right"),
    Col("gated"),
    Col("created"),
)
_NUM_ALWAYS = 9
"""The first of them, which snapshots are taken for."""
_FLOW_FIELDS = ("downloads_per_day", "likes_per_day", "derivatives_per_week")


def adoption_view(
    adoptions: Sequence[Adoption], *, num_snapshots: int, is_offline: bool, width: int = 80
) -> Group:
    """A row per model with its changes, models that couldn't be read, and the limits of the numbers.

    Args:
        adoptions: the models to show.
        num_snapshots: in the folder.
        is_offline: whether the user forbade the network.
        width: of the terminal.
    """
    parts: list[RenderableType] = [
        fitted_table(_FLOWS, [_flow_cells(item) for item in adoptions], width),
        Text(),
    ]
    if any(_recounts(item.flows) for item in adoptions):
        parts.append(Text(RECOUNT))
    parts += [_remark(item.model, item.last, item.error, item.error_at) for item in adoptions]
    last_at = max(item.error_at or item.last_at for item in adoptions)
    source = (
        "Offline (HF_HUB_OFFLINE): the last stored counts"
        if is_offline
        else "Read from disk, nothing was fetched"
    )
    said = f"{source}, as of {_minute(last_at)} UTC; {num_snapshots} snapshot(s) in all."
    return _group([*parts, Text(said), *_notes()])


def snapshot_view(snapshot: Snapshot, *, path: str, width: int = 80) -> Group:
    """A row per model with the Hub's current counts, and where they were written."""
    rows = [_count_cells(item) for item in snapshot.models]
    num = len(_COUNTS)
    while num > _NUM_ALWAYS and not fits(_COUNTS[:num], [row[:num] for row in rows], width):
        num -= 1
    return _group(
        [
            fitted_table(_COUNTS[:num], [row[:num] for row in rows], width),
            Text(),
            *(_remark(item.model, item, item.error, None) for item in snapshot.models),
            plain(f"{_minute(snapshot.taken_at)} UTC, {snapshot.endpoint}, written to"),
            plain(path),
            *_notes(),
        ]
    )


def adoption_as_json(adoptions: Sequence[Adoption], num_snapshots: int) -> dict[str, Any]:
    """The same for programs, with every step between snapshots; an unknown rate is null."""
    models = [
        {
            **asdict(item),
            "flows": _as_fields(item.flows) if item.flows else None,
            "steps": [_as_fields(step) for step in item.steps],
        }
        for item in adoptions
    ]
    result: dict[str, Any] = as_json(
        {"num_snapshots": num_snapshots, "models": models, "notes": NOTES}
    )
    return result


def adoption_rows(adoptions: Sequence[Adoption]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows, one per model."""
    names = [name for name in asdict(_NOBODY) if name not in ("model", "hub_id", "error")]
    columns = ["model", "hub_id", "last_at", *names, "num_sightings", "since", "days"]
    flow_columns = [
        f"{name}{ending}" for name in _FLOW_FIELDS for ending in ("", "_change", "_is_recount")
    ]
    rows = []
    for item in adoptions:
        counts = asdict(item.last) | {"base_models": " ".join(item.last.base_models)}
        row = [item.model, item.hub_id, item.last_at, *(counts[name] for name in names)]
        row += [item.num_sightings, *_flow_row(item.flows), item.error]
        rows.append(row)
    return [*columns, *flow_columns, "error"], rows


_NOBODY = Sighting(model="", hub_id="")


def _flow_row(flows: Flows | None) -> list[Any]:
    if flows is None:
        return [None] * (2 + 3 * len(_FLOW_FIELDS))
    found = [getattr(flows, name) for name in _FLOW_FIELDS]
    return [
        flows.since,
        flows.days,
        *(x for flow in found for x in (flow.rate, flow.change, flow.is_recount)),
    ]


def _as_fields(flows: Flows) -> dict[str, Any]:
    named = {name: getattr(flows, name)._asdict() for name in _FLOW_FIELDS}
    return {"since": flows.since, "until": flows.until, "days": flows.days, **named}


def _flow_cells(item: Adoption) -> list[Text]:
    last, flows = item.last, item.flows
    return [
        plain(item.model),
        _count(last.downloads),
        _count(last.downloads_all_time),
        _rate(flows.downloads_per_day if flows else None),
        _count(last.likes),
        _rate(flows.likes_per_day if flows else None),
        _count(last.num_derivatives),
        _rate(flows.derivatives_per_week if flows else None),
        plain(flows.since[:10] if flows else "-"),
    ]


def _count_cells(item: Sighting) -> list[Text]:
    return [
        plain(item.model),
        *(_count(count) for count in (item.downloads, item.downloads_all_time, item.likes)),
        _count(item.num_derivatives),
        _count(item.num_adapters),
        _count(item.num_finetunes),
        _count(item.num_merges),
        _count(item.num_quantized),
        Text("100+") if item.num_spaces == 100 else _count(item.num_spaces),
        Text("-" if item.trending_score is None else f"{item.trending_score:g}"),
        Text(params(item.params_total) or "-"),
        plain(item.gated or "-"),
        plain((item.created_at or "-")[:10]),
    ]


def _count(value: int | None) -> Text:
    return Text("-" if value is None else amount(value))


def _rate(flow: Flow | None) -> Text:
    """The change with its sign, and a star if it includes a recount."""
    if flow is None or math.isnan(flow.rate):
        return Text("n/a")
    size = abs(flow.rate)
    digits = f"{size:.2g}" if size < 10 else amount(round(size))
    sign = "-" if flow.rate < 0 else "+" if size else ""
    return Text(f"{sign}{digits}{'*' * flow.is_recount}", style="yellow" if flow.is_recount else "")


def _recounts(flows: Flows | None) -> bool:
    return flows is not None and any(getattr(flows, name).is_recount for name in _FLOW_FIELDS)


def _remark(model: str, sighting: Sighting, error: str | None, at: str | None) -> Text:
    """Why a row is incomplete, or that the model has a new name; empty for others."""
    when = f" ({at[:10]})" if at else ""
    if error:
        text = f"{model}{when}: {error.removeprefix(f'{model}: ')}"
    elif sighting.renamed_to:
        text = f"{model}: {sighting.hub_id} is called {sighting.renamed_to} now"
    else:
        return Text()
    line = plain(text)
    line.stylize("yellow")
    return line


def _notes() -> list[Text]:
    return [Text(note, style="dim") for note in NOTES]


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _group(parts: Sequence[RenderableType]) -> Group:
    """The remarks without empty ones; the blank line under the table is kept."""
    kept = [
        part for place, part in enumerate(parts) if place < 2 or not isinstance(part, Text) or part
    ]
    return Group(*kept)
