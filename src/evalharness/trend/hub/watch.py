"""New checkpoints of organisations and families: the Hub's current list compared with the previous one.

State, in `<results_dir>/.watch.json`: `{"schema_version": 1, "sources": {"org:meta-llama": {"looked_at": ..., "seen":
[Hub ids], "newest": [[Hub id, date], ...]}}}`. Ids are compared, not dates: a repository is often made long before it becomes public.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalharness.errors import StoreError, UserError, one_line
from evalharness.store.atomic import write_whole
from evalharness.trend.hub.client import as_hub_error
from evalharness.trend.hub.entries import is_hub_id
from evalharness.trend.hub.records import (
    RELATIONS,
    Checkpoint,
    Look,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

STATE = ".watch.json"
SCHEMA_VERSION = 1
NEWEST = 500
"""Most repositories of a family, over the whole Hub, that a look checks."""

_REMEMBERED = 10
"""Most releases of each source that are kept in the state."""
_SHORTEST_FAMILY = 3
_PIPELINES = ("text-generation", "image-text-to-text", "any-to-any")
"""Llama 4 has the second one."""
_FORMATS = ("safetensors", "pytorch")
_COPIES = ("gguf", "mlx", "base_model:quantized:")
"""Tags of the same weights in other precision or another format."""
_EXPAND = ["createdAt", "tags", "pipeline_tag", "library_name", "gated"]


class Release(NamedTuple):
    """A checkpoint that a look found."""

    hub_id: str
    created_at: str
    """ISO; empty if the Hub doesn't have it."""


class Seen(NamedTuple):
    """The checkpoints of a source at its last look."""

    looked_at: str
    hub_ids: frozenset[str]
    newest: tuple[Release, ...] = ()
    """Releases among them, newest first."""


def sources(orgs: Sequence[str], families: Sequence[str]) -> list[str]:
    """`org:<name>` and `family:<text>` of each, once.

    Raises:
        UserError: it isn't an organisation's name, or a part of a name.
    """
    for org in orgs:
        if not is_hub_id(f"{org}/x"):
            raise UserError(f"--org {org!r}: expected an organisation's name, e.g. meta-llama")
    texts = ["-".join(family.split()) for family in families]
    for text, family in zip(texts, families, strict=True):
        if not is_hub_id(f"x/{text}") or len(text) < _SHORTEST_FAMILY:
            raise UserError(
                f"--family {family!r}: expected a part of repositories' names, e.g. llama-5"
            )
    found = [f"org:{org}" for org in orgs] + [f"family:{text}" for text in texts]
    return list({source.lower(): source for source in found}.values())


def look(api: HfApi, source: str, before: Seen | None, orgs: Iterable[str]) -> Look:
    """The current checkpoints of a source, and which are new.

    Args:
        api: the Hub.
        source: one of `sources`.
        before: its last look; None when this is the first.
        orgs: whose own quantised copies count; those of others don't.

    Raises:
        HubError: the Hub doesn't answer.
    """
    kind, _, text = source.partition(":")
    own = {org.lower() for org in orgs}
    is_org = kind == "org"
    asked: dict[str, Any] = {"author": text} if is_org else {"search": text, "limit": NEWEST}
    with as_hub_error(source):
        repos = list(api.list_models(**asked, sort="created_at", expand=_EXPAND))
        found = [_checkpoint(repo) for repo in repos if counts(repo, own)]
    found.sort(key=lambda item: item.created_at or "", reverse=True)
    return Look(
        source=source,
        since=before.looked_at if before else None,
        found=tuple(found),
        new=tuple(item for item in found if before and item.hub_id not in before.hub_ids),
        is_cut=not is_org and len(repos) == NEWEST,
    )


def counts(repo: Any, own: set[str]) -> bool:
    """Whether a repository (ModelInfo) is a checkpoint: full weights of a language model, not a copy of another's."""
    tags = repo.tags or []
    is_copy = any(tag.startswith(_COPIES) for tag in tags) or repo.library_name == "mlx"
    return (
        is_hub_id(repo.id)
        and repo.pipeline_tag in _PIPELINES
        and any(name in tags for name in _FORMATS)
        and repo.library_name != "peft"
        and "peft" not in tags
        and (not is_copy or repo.id.split("/")[0].lower() in own)
    )


def read_state(results_dir: Path) -> dict[str, Seen]:
    """Source, in lower case -> its last look; empty before the first.

    Raises:
        StoreError: the file is damaged.
    """
    path = results_dir / STATE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version {content['schema_version']!r}")
        return {
            source: Seen(
                str(item["looked_at"]),
                frozenset(map(str, item["seen"])),
                tuple(Release(str(hub_id), str(day)) for hub_id, day in item.get("newest", [])),
            )
            for source, item in content["sources"].items()
        }
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise StoreError(f"{str(path)!r}: can't read: {e.strerror}") from e
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise StoreError(
            f"{str(path)!r} is damaged ({one_line(e)}); remove it to make the next look a first one"
        ) from e


def releases(state: dict[str, Seen]) -> list[Release]:
    """The results of the last looks, over all sources, newest first and each once."""
    found = {release.hub_id: release for seen in state.values() for release in seen.newest}
    return sorted(found.values(), key=lambda r: (r.created_at, r.hub_id), reverse=True)


def write_state(
    results_dir: Path, before: dict[str, Seen], looks: Iterable[Look], looked_at: str
) -> None:
    """Store these looks, beside those of other sources. A checkpoint seen once is never new again.

    Raises:
        WriteError: it can't be written.
    """
    after = dict(before)
    for item in looks:
        key = item.source.lower()
        known = before[key].hub_ids if key in before else frozenset()
        newest = tuple(Release(c.hub_id, c.created_at or "") for c in item.found[:_REMEMBERED])
        after[key] = Seen(looked_at, known | {found.hub_id for found in item.found}, newest)
    content = {
        "schema_version": SCHEMA_VERSION,
        "sources": {
            source: {
                "looked_at": seen.looked_at,
                "seen": sorted(seen.hub_ids),
                "newest": [list(release) for release in seen.newest],
            }
            for source, seen in sorted(after.items())
        },
    }
    write_whole(results_dir / STATE, json.dumps(content, indent=1) + "\n")


def _checkpoint(repo: Any) -> Checkpoint:
    tags = repo.tags or []
    return Checkpoint(
        hub_id=repo.id,
        created_at=repo.created_at.isoformat() if repo.created_at else None,
        base_models=_bases(tags),
        license=next((tag[8:] for tag in tags if tag.startswith("license:")), None),
        pipeline=repo.pipeline_tag,
        is_gated=bool(repo.gated),
        has_chat_template="conversational" in tags,
        has_safetensors="safetensors" in tags,
        is_transformers="transformers" in tags or repo.library_name == "transformers",
    )


def _bases(tags: Iterable[str]) -> tuple[str, ...]:
    """Hub ids in `base_model:<id>` and `base_model:<relation>:<id>`, each once."""
    rests = [tag.removeprefix("base_model:") for tag in tags if tag.startswith("base_model:")]
    ids = [rest.split(":", 1)[1] if rest.split(":")[0] in RELATIONS else rest for rest in rests]
    return tuple(dict.fromkeys(ids))
