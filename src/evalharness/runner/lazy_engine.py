"""An engine that is loaded when a request first needs it: a run whose answers are all on disk loads nothing.

The engine's description of itself is taken from an earlier run of the same weights on the same engine with the same
settings and packages; if there is none, the engine is loaded at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evalharness.engines import Engine, EngineInfo
from evalharness.engines.memory_fit import AS_FITS
from evalharness.engines.requests import (
    GenerateRequest,
    Generation,
    ScoreRequest,
    Scores,
)
from evalharness.errors import EngineError
from evalharness.store.read import list_runs
from evalharness.store.records import Manifest

Load = Callable[[], Awaitable[Engine]]

_CONFIGURED = 0
_INFO_DOESNT_DEPEND_ON = ("max_in_flight", "scoring", "seed")


class DeferredEngine:
    """Loads its engine with the first request."""

    def __init__(self, info: EngineInfo, load: Load) -> None:
        """Nothing is loaded yet.

        Args:
            info: the expected description of the engine.
            load: loads it.
        """
        self.info = info
        self._load = load
        self._lock = asyncio.Lock()
        self._engine: Engine | None = None

    async def generate(self, request: GenerateRequest) -> Generation:
        """See `Engine.generate`."""
        return await (self._engine or await self._loaded()).generate(request)

    async def score(self, request: ScoreRequest) -> Scores:
        """See `Engine.score`."""
        return await (self._engine or await self._loaded()).score(request)

    async def close(self) -> None:
        """Close the engine, if there is one."""
        if self._engine is not None:
            await self._engine.close()
            self.info = self._engine.info

    async def _loaded(self) -> Engine:
        async with self._lock:
            if self._engine is None:
                engine = await self._load()
                if not _is_expected(self.info, engine.info):
                    # Prompts were cut and keys made for the other engine; the next start knows this one.
                    await engine.close()
                    raise EngineError(
                        f"the engine differs from that of an earlier run ({_differences(self.info, engine.info)}); "
                        "give the same command again"
                    )
                self._engine, self.info = engine, engine.info
            return self._engine


def known_info(
    results_dir: Path, manifest: Manifest, max_model_len: int | None
) -> EngineInfo | None:
    """The engine's description in the newest run of the same weights, engine settings and packages.

    Args:
        results_dir: where the runs are.
        manifest: of the run that is about to load it; it is found itself if it was started before.
        max_model_len: as the engine will be asked for; follows from the run's tasks too.
    """
    wanted = _setting(manifest)
    weights = str(wanted["checkpoint"] or "")
    for run in [manifest, *list_runs(results_dir, weights)]:
        if run.engine and _setting(run) == wanted and _asked(run) in (max_model_len, _CONFIGURED):
            try:
                return EngineInfo(**run.engine | {"num_lost": 0})
            except TypeError:  # written by another version
                return None
    return None


def _asked(run: Manifest) -> int | None:
    """The context that its engine was asked for: configured, which `_setting` compares, or found by the run itself."""
    is_configured = (run.config.get("engine") or {}).get("max_model_len") is not None
    return _CONFIGURED if is_configured else run.engine.get("asked_len")


def _setting(run: Manifest) -> dict[str, Any]:
    engine = dict(run.config.get("engine") or {})
    for name in _INFO_DOESNT_DEPEND_ON:
        engine.pop(name, None)
    return {
        "checkpoint": run.checkpoint.get("fingerprint"),
        "engine": engine,
        "packages": run.packages,
        "gpus": run.hardware.get("gpus"),
        "host": run.hardware.get("host"),
    }


def _is_expected(expected: EngineInfo, found: EngineInfo) -> bool:
    """Whether it answers what the expected one would: a context that vLLM has fitted to its memory may be longer."""
    length = expected.max_model_len
    if found.asked_len == AS_FITS and found.max_model_len > length:
        found = replace(found, max_model_len=length)
    return _as_one(found) == _as_one(expected)


def _as_one(info: EngineInfo) -> EngineInfo:
    """Without settings that change no answer, such as how many engines share the work."""
    return replace(info, num_replicas=1, num_lost=0)


def _differences(expected: EngineInfo, found: EngineInfo) -> str:
    before, after = asdict(expected), asdict(found)
    return ", ".join(f"{k} {before[k]} -> {after[k]}" for k in before if before[k] != after[k])
