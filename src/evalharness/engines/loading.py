"""How far an engine's loading is, out of what its libraries write meanwhile: vLLM 0.32's log, transformers' bars."""

from __future__ import annotations

import re

from evalharness.engines.own_log import OwnLog

_TAIL = 20_000
_PHASES = (
    (r"Initializing a V1 LLM engine", "starting its processes"),
    (r"Starting to load model", "building the model"),
    (
        r"Loading \w+(?: \w+)* shards: +(\d+)% Completed \| (\d+/\d+)",
        "reading weights, {0} % ({1} files)",
    ),
    (r"Loading weights: +(\d+)%", "reading weights, {0} %"),
    (r"Model loading took|Loading weights took", "measuring memory"),
    (r"Starting torch\.compile", "compiling"),
    (r"KV cache size: ", "warming up"),
    (r"Warming up model for the compilation", "compiling"),
    (r"Capturing CUDA graphs[^:]*: +(\d+)%", "recording CUDA graphs, {0} %"),
    (r"Capturing CUDA graphs|Graph capturing finished", "recording CUDA graphs"),
    (r"init engine \(profile", "ready in a moment"),
)
"""What is written when a phase begins, and the phase in our words; sources: vllm/v1/engine/core.py, v1/worker/, compilation/,
model_executor/model_loader/weight_utils.py; transformers/core_model_loading.py."""


def loading_phase(log: str) -> str | None:
    """The phase that was begun last; None before the first.

    Args:
        log: written since loading began; a bar that is drawn over has all its states in it.
    """
    recent = log[-_TAIL:]
    newest, phase = -1, None
    for pattern, words in _PHASES:
        for match in re.finditer(pattern, recent):
            if match.start() > newest:
                newest, phase = match.start(), words.format(*match.groups())
    return phase


class LoadingPhase:
    """The phase of a load that begins with the creation of this object."""

    def __init__(self) -> None:
        """Remember where the log ends now."""
        self._log = OwnLog()

    def __call__(self) -> str | None:
        """See `loading_phase`."""
        return loading_phase(self._log.text(_TAIL))
