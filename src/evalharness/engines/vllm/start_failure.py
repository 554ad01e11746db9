"""Why vLLM didn't start, and what to do: its own exception only says that one of its processes failed.

The cause is in the log of this start. A failing worker logs its traceback, and then the processes that waited for it log
theirs ("WorkerProc initialization failed", "Engine core initialization failed"), which say nothing of their own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from evalharness.engines.vllm.crash import signal_name
from evalharness.errors import shortened

_LOGGED = re.compile(
    r"^\((?:EngineCore|VllmWorker|Worker)[^)]*\) ERROR .*?\] ((?:\w+\.)*\w*(?:Error|Exception)\b.*)$"
)
"""The last line of a logged traceback, of vLLM's engine process or one of its workers."""
_UNLOGGED = re.compile(r"^((?:\w+\.)*\w+(?:Error|Exception)\b.*)$")
"""The same of a process that failed before it could log."""
_ECHO = re.compile(
    r"WorkerProc initialization failed|Engine core initialization failed|EngineDeadError"
)
_ADVICE = re.compile(
    r"[.;,]? (?:Try|See|Decrease|Increase|Please|Based on|Including non-PyTorch|On the CPU backend|To resolve|If reserved)\b.*"
)
"""vLLM's and torch's own advice, which names their flags, not ours."""
_BLOCKS = "num_gpu_blocks_override"
_FITS = re.compile(r"estimated maximum model length is (\d+)")


@dataclass(frozen=True, slots=True)
class _Known:
    """A cause that is recognized by what its error says."""

    says: re.Pattern[str]
    gpu: str
    """The way out on a GPU."""
    cpu: str = ""
    """The same on a CPU, if it is another."""


NO_ROOM = _Known(
    re.compile(
        r"No available memory for the cache blocks|larger than the available KV cache memory"
    ),
    "set a smaller engine.max_model_len, a larger engine.gpu_memory_utilization, or more GPUs "
    "(engine.tensor_parallel_size)",
    "set a smaller engine.max_model_len or a larger engine.cpu_kv_cache_gib",
)
KNOWN = (
    _Known(
        re.compile(
            r"NVIDIA driver on your system is too old|CUDA driver version is insufficient|unsupported display driver"
            r"|provided PTX was compiled with an unsupported toolchain"
        ),
        "vLLM's build needs the NVIDIA driver 580 or newer (CUDA 13): `nvidia-smi` shows this machine's, its administrator "
        "updates it; a vLLM build for an older CUDA is at https://docs.vllm.ai/en/latest/getting_started/installation/gpu/",
    ),
    _Known(
        re.compile(
            r"no kernel image is available|not compatible with the current PyTorch installation"
        ),
        "this GPU is too old for vLLM's build; use another, or engine=hf",
    ),
    _Known(
        re.compile(r"Free memory on device|Available memory on node"),
        "something else holds memory of this GPU (`nvidia-smi` shows what): end it, or set a smaller "
        "engine.gpu_memory_utilization",
        "set a smaller engine.cpu_kv_cache_gib, or end what else holds memory",
    ),
    NO_ROOM,
    _Known(
        re.compile(
            r"CUDA out of memory|HIP out of memory|OutOfMemoryError|CUDA error: out of memory|not enough GPU memory"
        ),
        "set more GPUs (engine.tensor_parallel_size), quantized weights (engine.quantization=fp8), or a smaller "
        "engine.max_num_seqs, engine.gpu_memory_utilization or engine.max_model_len",
    ),
    _Known(
        re.compile(
            r"DefaultCPUAllocator: (?:can't|not enough)|Cannot allocate memory|^MemoryError"
        ),
        "the machine's main memory is full: end what else holds some, or use a smaller model",
    ),
    _Known(
        re.compile(r"GatedRepoError|gated repo"),
        "accept the terms on the model's page of the Hub, then `hf auth login` (or set HF_TOKEN)",
    ),
    _Known(
        re.compile(r"No module named 'torchvision'|torchvision::nms"),
        "vLLM imports a multimodal model's image processor also for text: install the torchvision that goes with your torch",
        "vLLM imports a multimodal model's image processor also for text, which needs a torchvision beside torch's CPU build: "
        "evalharness/engines/vllm/text_only.py says how (`scripts/install` does it)",
    ),
    _Known(
        re.compile(r"NCCL error|DistBackendError|ncclSystemError|ncclUnhandledCudaError"),
        "the GPUs don't reach each other: NCCL_DEBUG=INFO writes why to the log; in a container give it more shared memory "
        "(--ipc=host); NCCL_P2P_DISABLE=1 helps where GPUs can't read each other's memory",
    ),
)  # in this order: with one worker out of memory, the others report that NCCL lost it


def why_not_started(
    error: BaseException,
    log: str,
    path: Path | None,
    *,
    is_cpu: bool,
    extra: Collection[str] = (),
) -> str:
    """One line: the cause, the way out where there is a known one, and where all of it can be read.

    Args:
        error: what vLLM raised in this process.
        log: what was logged since this start began.
        path: of the log, for the user.
        is_cpu: whether the engine computes on the CPU.
        extra: names in `engine.extra`.
    """
    cause = _own_message(error)
    known = _recognize([cause])
    if known is None:
        errors = logged_errors(log)
        known = _recognize(errors)
        cause = (known[0] if known else "") or (errors[-1] if errors else "") or _killed(cause)
    # Of other errors, the advice may be all there is: "Please pass the argument `trust_remote_code=True`".
    parts = [shortened((_ADVICE.sub("", cause) if known else cause).rstrip("."))]
    if known:
        parts.append(_way_out(known[1], "\n".join([cause, log]), is_cpu=is_cpu))
        if _BLOCKS in extra and known[1] is NO_ROOM:
            parts[-1] = f"engine.extra.{_BLOCKS} leaves no more: leave it out, or {parts[-1]}"
    if path:
        parts.append(f"all of it is in {path}")
    return "; ".join(parts)


def logged_errors(log: str) -> list[str]:
    """Errors of vLLM's engine process and its workers, the oldest first, without those that only repeat another's.

    Args:
        log: vLLM's messages, one a line: `(EngineCore pid=7) ERROR 11-22 21:38:19 [core.py:1] <message>`.
    """
    lines = log.splitlines()
    found = [match[1] for line in lines if (match := _LOGGED.match(line))]
    found = [line for line in found if not _ECHO.search(line)]
    if found:
        return found
    traces = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call")]
    if not traces:
        return []
    rest = [match[1] for line in lines[traces[0] :] if (match := _UNLOGGED.match(line))]
    return [line for line in rest if not _ECHO.search(line)]


def _recognize(errors: list[str]) -> tuple[str, _Known] | None:
    for known in KNOWN:
        for line in errors:
            if known.says.search(line):
                return line, known
    return None


def _way_out(known: _Known, text: str, *, is_cpu: bool) -> str:
    fits = _FITS.search(text)
    way = known.cpu or known.gpu if is_cpu else known.gpu
    if fits and "engine.max_model_len" in way:
        return way.replace(
            "a smaller engine.max_model_len", f"engine.max_model_len={fits[1]} (which fits)"
        )
    return way


def _own_message(error: BaseException) -> str:
    """Its first line that says something: pydantic's first line only counts the errors."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and re.match(r"\d+ validation errors? for", lines[0]):
        lines = [line for line in lines[1:] if " " in line] or lines
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _killed(message: str) -> str:
    """The message of vLLM, with the names of the signals that ended its processes."""
    found = re.search(r"Failed core proc\(s\): (\{[^}]*\})", message)
    codes = ast.literal_eval(found[1]) if found else {}
    killed = [
        f"its process {name} was killed by {signal_name(-code)}"
        for name, code in codes.items()
        if isinstance(code, int) and code < 0
    ]
    return ", ".join(killed) or message
