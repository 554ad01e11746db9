"""The checkpoints as the last report had them: `checkpoints` in the `report.json` that the next report replaces.

A list of `{"model", "index", "suites": [{"suite", "suite_version", "run_id", "num_docs", "mean"}]}`; mean in per cent, and
mean and index null where there is none.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.comparison.checkpoints import Checkpoint, SuiteMean
from evalharness.errors import one_line
from evalharness.report.page.changes import has_moved, shown
from evalharness.store.json_codec import as_json
from evalharness.trend.placed import PlacedModel

logger = logging.getLogger(__name__)


class HeldSuite(NamedTuple):
    """A run's mean in the last report."""

    run_id: str
    suite_version: str
    num_docs: int
    mean: float | None


class Held(NamedTuple):
    """A checkpoint in the last report."""

    capability: float | None
    """Its index."""
    suites: Mapping[str, HeldSuite]


class Before(NamedTuple):
    """The last report's checkpoints."""

    held: Mapping[str, Held] | None
    """Model -> what it had; None if nothing can be compared."""
    why: str
    """Why not."""


def read_before(path: Path) -> Before:
    """The checkpoints of the last report, of a folder's `report.json`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
        if "checkpoints" not in content:
            return Before(None, "the last one, of an older evalharness, held no checkpoints")
        return Before({str(item["model"]): _held(item) for item in content["checkpoints"]}, "")
    except FileNotFoundError:
        return Before(None, "this is the first one here")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        logger.warning("%s: checkpoints not compared with: %s", path, one_line(e))
        return Before(None, "the last one's numbers can't be read")


def checkpoint_fields(checkpoints: Sequence[Checkpoint], placed: Sequence[PlacedModel]) -> Any:
    """For `report.json`."""
    index = {p.model: p.placement.value for p in placed}
    return as_json(
        [
            {
                "model": c.model,
                "index": _finite(index.get(c.model, math.nan)),
                "suites": [{"suite": s.run.suite, **_suite(s)._asdict()} for s in c.suites],
            }
            for c in checkpoints
        ]
    )


def since_words(c: Checkpoint, placed: PlacedModel | None, before: Before) -> str:
    """What changed for a checkpoint since the last report."""
    if before.held is None:
        return before.why
    held = before.held.get(c.model)
    if held is None:
        return "new"
    index = _finite(placed.placement.value) if placed else None
    moved = [line for s in c.suites for line in _moved(s, held.suites.get(s.run.suite))]
    gone = [name for name in held.suites if name not in {s.run.suite for s in c.suites}]
    moved += [f"{name} is gone" for name in gone]
    if has_moved(held.capability, index):
        moved.append(f"index {shown(held.capability)} → {shown(index)}")
    return "; ".join(moved) or "nothing changed"


def _moved(now: SuiteMean, held: HeldSuite | None) -> Iterator[str]:
    mine, suite = _suite(now), now.run.suite
    if held is None:
        yield f"{suite} is new"
    elif (mine.suite_version, mine.num_docs) != (held.suite_version, held.num_docs):
        yield f"{suite}: a run over other docs, so not compared"
    elif has_moved(held.mean, mine.mean):
        yield f"{suite}: {shown(held.mean)} → {shown(mine.mean)} %"
    elif mine.run_id != held.run_id:
        yield f"{suite}: run again, same mean"


def _suite(s: SuiteMean) -> HeldSuite:
    return HeldSuite(
        run_id=s.run.run_id,
        suite_version=s.run.suite_version,
        num_docs=sum(task.num_docs for task in s.run.tasks),
        mean=_finite(100 * s.mean.score.value) if s.mean else None,
    )


def _held(item: Any) -> Held:
    suites = {
        str(s["suite"]): HeldSuite(
            str(s["run_id"]), str(s["suite_version"]), int(s["num_docs"]), _number(s["mean"])
        )
        for s in item["suites"]
    }
    return Held(_number(item["index"]), suites)


def _number(value: Any) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{value!r:.60} is not a number")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
