"""Take a snapshot: get each model's counts from the Hub, and count the repositories that declare to be made from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evalharness.errors import one_line
from evalharness.trend.hub.client import (
    TIMEOUT_S,
    HubError,
    as_hub_error,
    patiently,
    reach,
)
from evalharness.trend.hub.records import (
    Entry,
    Sighting,
    Snapshot,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_EXPAND = [
    "downloads",
    "downloadsAllTime",
    "likes",
    "trendingScore",
    "createdAt",
    "baseModels",
    "childrenModelCount",
    "safetensors",
    "spaces",
    "gated",
]
_COUNTED = {
    "num_adapters": "adapter:",
    "num_finetunes": "finetune:",
    "num_merges": "merge:",
    "num_quantized": "quantized:",
    "num_derivatives": "",
}
"""Field -> the part between `base_model:` and the id in the tags that it counts."""


def take(api: HfApi, entries: Iterable[Entry]) -> Snapshot:
    """One sighting of each; a model that can't be read is recorded with the reason.

    Raises:
        HubError: the network failed before anything was read.
    """
    taken_at = now()
    models = tuple(see(api, entry) for entry in entries)
    if all(model.error for model in models):
        reach(api, "adoption snapshot")
    return Snapshot(taken_at=taken_at, endpoint=api.endpoint, models=models)


def see(api: HfApi, entry: Entry) -> Sighting:
    """The Hub's current data on one model; missing values are None, with the reason in `error`."""
    found = Sighting(model=entry.name, hub_id=entry.hub_id)
    try:
        found = _with_counts(api, found)
        for name, relation in _COUNTED.items():
            counted: Any = {name: _num_declaring(api, found, relation)}
            found = replace(found, **counted)
    except HubError as e:
        return replace(found, error=one_line(e))
    return found


def now() -> str:
    """UTC, ISO, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _with_counts(api: HfApi, found: Sighting) -> Sighting:
    with as_hub_error(found.hub_id):
        info = patiently(lambda: api.model_info(found.hub_id, expand=_EXPAND, timeout=TIMEOUT_S))
        return replace(
            found,
            renamed_to=info.id if info.id.lower() != found.hub_id.lower() else None,
            downloads=_count(info.downloads),
            downloads_all_time=_count(info.downloads_all_time),
            likes=_count(info.likes),
            trending_score=_number(info.trending_score),
            created_at=info.created_at.isoformat() if info.created_at else None,
            base_models=_base_models(info.base_models),
            gated=None if info.gated is None else str(info.gated or "no"),
            params_total=_count(info.safetensors.total) if info.safetensors else None,
            num_spaces=None if info.spaces is None else len(info.spaces),
            children_model_count=_children(info.children_model_count),
        )


def _num_declaring(api: HfApi, found: Sighting, relation: str) -> int:
    hub_id = found.renamed_to or found.hub_id
    with as_hub_error(hub_id):
        tag = f"base_model:{relation}{hub_id}"
        return sum(1 for _ in api.list_models(filter=tag, expand=["createdAt"]))


def _base_models(value: Any) -> tuple[str, ...]:
    """The ids in `{relation, models: [{id}]}`, as in the Hub's answers, or in a list, as in its client's documentation."""
    models = value.get("models") or [] if isinstance(value, dict) else value or []
    return tuple(str(item["id"] if isinstance(item, dict) else item) for item in models)


def _children(value: Any) -> int | None:
    """One count, or one per relation."""
    if isinstance(value, dict):
        return sum(_count(item) or 0 for item in value.values())
    return _count(value)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
