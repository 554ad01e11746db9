"""One path for all checkpoints of an architecture, so that vLLM compiles a sweep's model once.

The key of vLLM's compile cache has the checkpoint's path in it (vllm/config/model.py, compute_hash): each checkpoint of a
sweep would be compiled again, 25 to 35 s. So vLLM is given a link: `<cache>/slots/<host>/<config>/<number>/model`. Loads of
the same checkpoint share a slot; a slot whose checkpoint is being used by another process is left alone and the next one taken.
Each host has its own, because locks on network disks may hold on one host only; `Slot.check` is for where they don't hold at all.

Only for plain weights: of quantized ones, numbers out of the weights (scales) may become constants of what is compiled.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalharness.engines.base import Weights
from evalharness.errors import EngineError
from evalharness.paths import cache_folder

OWN_PATH = (
    "kv_cache_dtype",
    "quantization_config",
    "speculative_config",
    "distributed_executor_backend",
    "hf_config_path",
)
"""Arguments of vLLM with which the path stays the checkpoint's own: scales or drafts that may be compiled in, workers on other
machines, a config from elsewhere."""
MOST = 64
"""Slots of one architecture."""
_SAYS_NOTHING = ("_name_or_path", "transformers_version")


class Slot:
    """A link to a checkpoint that no other process turns to another, until it is closed."""

    def __init__(self, path: Path, target: Path, lock: int) -> None:
        """Use `take_slot`."""
        self.path = path
        self._target = target
        self._lock = lock

    def check(self) -> None:
        """Make sure that the checkpoint behind it is still ours, now that it is loaded.

        Raises:
            EngineError: it isn't: this disk has no locks.
        """
        if not _is_link_to(self.path, self._target):
            raise EngineError(
                f"another process turned {self.path} to its own checkpoint: the disk has no locks; set XDG_CACHE_HOME to a local one"
            )

    def close(self) -> None:
        """Let others have it; again does nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def take_slot(weights: Weights, folder: Path | None = None) -> Slot | None:
    """A path for the weights that stays the same for all checkpoints with this config.json.

    Args:
        weights: what is loaded.
        folder: of the slots; None: in the cache.

    Returns:
        None where the path must be the checkpoint's own: quantized weights, their own code, no place for locks.
    """
    name = _architecture(weights)
    if name is None:
        return None
    folder = (folder or cache_folder() / "slots" / socket.gethostname()) / name
    target = weights.path.resolve()
    with contextlib.suppress(OSError):  # some network disks have no locks
        for number in range(MOST):
            slot = _take(folder / str(number), target)
            if slot is not None:
                return slot
    return None


def shares_compilation(arguments: Mapping[str, Any]) -> bool:
    """Whether an engine with these arguments compiles something that other checkpoints could use."""
    plain = not arguments["enforce_eager"] and arguments["quantization"] is None
    return plain and not any(arguments.get(name) for name in OWN_PATH)


def _take(folder: Path, target: Path) -> Slot | None:
    """The slot in a folder; None if another checkpoint is in use there."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "model"
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _is_link_to(link, target):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new = folder / f"new-{os.getpid()}"
            new.unlink(missing_ok=True)
            new.symlink_to(target, target_is_directory=True)
            new.replace(link)
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # Between the two locks another process may have turned it.
        if _is_link_to(link, target):
            return Slot(link, target, lock)
    except BlockingIOError:
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _is_link_to(link: Path, target: Path) -> bool:
    try:
        return link.readlink() == target
    except OSError:
        return False


def _architecture(weights: Weights) -> str | None:
    """A name for all that has the same config.json; None if it mustn't share."""
    if weights.trust_remote_code or weights.adapter:
        return None
    try:
        config: Any = json.loads((weights.path / "config.json").read_text())
    except (OSError, ValueError):
        return None
    text = config.get("text_config") or {}
    if "quantization_config" in config or "quantization_config" in text:
        return None
    if any(weights.path.glob("*quant*.json")):
        return None
    kept = {k: v for k, v in config.items() if k not in _SAYS_NOTHING}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
