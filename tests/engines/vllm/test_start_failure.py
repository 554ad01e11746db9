"""Why vLLM didn't start, out of its log: recorded text of vLLM 0.32, torch and the Hub client, each with its source."""

import asyncio
import os
import re
from pathlib import Path

import pytest

from evalharness.config.schema import Device, EngineConfig
from evalharness.engines import Weights, open_engine
from evalharness.engines.own_log import OwnLog
from evalharness.engines.vllm.start_failure import why_not_started
from evalharness.errors import EngineError

NOT_STARTED = RuntimeError(
    "Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
)
"""vllm/v1/engine/utils.py, wait_for_engine_startup."""
AFTER = """\
(EngineCore pid=7) ERROR 11-22 21:38:20 [core.py:1507] EngineCore failed to start.
(EngineCore pid=7) ERROR 11-22 21:38:20 [core.py:1507] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-22 21:38:20 [core.py:1507]     raise e from None
(EngineCore pid=7) ERROR 11-22 21:38:20 [core.py:1507] Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.
Traceback (most recent call last):
  File "core.py", line 1391, in run_engine_core
Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.
"""
"""What the engine process adds to a worker's error: vllm/v1/executor/multiproc_executor.py, WorkerProc.wait_for_ready."""


def logged(error: str, process: str = "Worker_TP0 pid=9") -> str:
    """A traceback as vLLM's loggers write it: its prefix before every line (vllm/logging_utils/formatter.py)."""
    lines = [
        "WorkerProc failed to start.",
        "Traceback (most recent call last):",
        *error.split("\n"),
    ]
    return "\r\n".join(f"({process}) ERROR 11-22 21:38:19 [core.py:1] {line}" for line in lines)


def why(log: str, error: BaseException = NOT_STARTED, *, is_cpu: bool = False) -> str:
    return why_not_started(error, log, Path("results/a/log.txt"), is_cpu=is_cpu)


CAUSES = {
    # c10/cuda/CUDAFunctions.cpp (torch), from torch.cuda.set_device in vllm/v1/worker/gpu_worker.py.
    "an old driver": (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver by "
        "downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx",
        "too old (found version 12040); vLLM's build needs the NVIDIA driver 580 or newer",
    ),
    # CUDA's own text of cudaErrorInsufficientDriver.
    "an old driver, seen by the runtime": (
        "torch.AcceleratorError: CUDA error: CUDA driver version is insufficient for CUDA runtime version",
        "driver 580 or newer",
    ),
    # vllm/v1/worker/gpu_model_runner.py, load_model, raises torch's error again.
    "no memory for the weights": (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB. GPU 0 has a total capacity of 79.10 GiB of "
        "which 310.00 MiB is free. Including non-PyTorch memory, this process has 78.79 GiB memory in use.",
        "310.00 MiB is free; set more GPUs (engine.tensor_parallel_size)",
    ),
    # vllm/v1/worker/utils.py, request_memory.
    "a GPU that is taken": (
        "ValueError: Free memory on device cuda:0 (12.3/79.1 GiB) on startup is less than desired GPU memory utilization (0.9, "
        "71.19 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        "(0.9, 71.19 GiB); something else holds memory of this GPU",
    ),
    # vllm/v1/core/kv_cache_utils.py, _check_enough_kv_cache_memory.
    "no memory for the KV cache": (
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine",
        "cache blocks; set a smaller engine.max_model_len",
    ),
    # The same, of a context that is too long.
    "no room for one request": (
        "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is needed, which "
        "is larger than the available KV cache memory (8.0 GiB). Based on the available memory, the estimated maximum model "
        "length is 65520. Try increasing `gpu_memory_utilization`",
        "(8.0 GiB); set engine.max_model_len=65520 (which fits), a larger",
    ),
    # vllm/distributed/device_communicators/pynccl_wrapper.py, NCCL_CHECK.
    "NCCL": (
        "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
        "the GPUs don't reach each other: NCCL_DEBUG=INFO",
    ),
    # torch/csrc/distributed/c10d/NCCLUtils.hpp.
    "NCCL, from torch": (
        "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3690, unhandled cuda error, NCCL version 2.28.9\n"
        "ncclUnhandledCudaError: Call to CUDA function failed.",
        "the GPUs don't reach each other",
    ),
    # huggingface_hub/errors.py, GatedRepoError, and utils/_http.py.
    "a gated repository": (
        "huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1)\n\n"
        "Cannot access gated repo for url https://huggingface.co/api/models/a/b.",
        "accept the terms on the model's page of the Hub, then `hf auth login`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUSES)
@pytest.mark.parametrize("after", ["", AFTER])
def test_a_failed_start_names_its_cause_and_the_way_out(name: str, after: str) -> None:
    error, expected = CAUSES[name]
    line = why(logged(error) + "\n" + after)
    assert line.startswith(error.partition(" ")[0])
    assert expected in line
    assert line.endswith("; all of it is in results/a/log.txt")
    assert not re.search(r"Try |Please|initialization failed", line)


@pytest.mark.parametrize("name", CAUSES)
def test_an_error_of_this_process_is_named_as_well(name: str) -> None:
    kind, _, message = CAUSES[name][0].partition(": ")
    error = type(kind.rpartition(".")[2], (Exception,), {})(message)
    assert CAUSES[name][1] in why("", error) or "GatedRepoError" in kind


def test_workers_that_lost_the_one_without_memory_are_not_the_cause() -> None:
    first = logged("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "Worker_TP1 pid=9")  # fmt: skip
    other = logged("torch.distributed.DistBackendError: NCCL error: remote process exited", "Worker_TP0 pid=8")  # fmt: skip
    assert why(f"{first}\n{other}\n{AFTER}").startswith("torch.OutOfMemoryError")


def test_an_unknown_error_is_shown_as_it_is() -> None:
    line = why(logged("AssertionError: heads must divide", "EngineCore pid=7") + "\n" + AFTER)
    assert line == "AssertionError: heads must divide; all of it is in results/a/log.txt"


def test_advice_that_is_all_there_is_is_kept() -> None:
    error = ValueError("Please pass the argument `trust_remote_code=True` to allow custom code.")
    assert why("", error).startswith("ValueError: Please pass the argument `trust_remote_code")


def test_a_process_that_fails_before_it_can_log_is_heard() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "a.py", line 1\nImportError: libcudart.so.13\n'
    )
    assert why(trace).startswith("ImportError: libcudart.so.13;")


def test_a_process_that_was_killed_is_named_with_its_signal() -> None:
    error = RuntimeError(str(NOT_STARTED).replace("1}", "-9}"))
    assert why("", error).startswith("its process EngineCore was killed by SIGKILL (the system")


def test_validation_says_what_is_wrong_not_how_many() -> None:
    error = ValueError(
        "1 validation error for ModelConfig\n  Value error, User-specified max_model_len (9) is greater than 8"
    )
    assert (
        why("", error).partition(";")[0]
        == "ValueError: Value error, User-specified max_model_len (9) is greater than 8"
    )


def test_on_a_cpu_the_way_out_is_the_cpus() -> None:
    line = why(logged(CAUSES["no room for one request"][0]), is_cpu=True)
    assert "set engine.max_model_len=65520 (which fits) or a larger engine.cpu_kv_cache_gib" in line


def test_a_limit_of_blocks_that_the_user_set_is_the_first_way_out() -> None:
    log = logged(CAUSES["no room for one request"][0])
    line = why_not_started(NOT_STARTED, log, None, is_cpu=True, extra=["num_gpu_blocks_override"])
    assert "; engine.extra.num_gpu_blocks_override leaves no more: leave it out, or set " in line
    assert "num_gpu_blocks" not in why_not_started(NOT_STARTED, log, None, is_cpu=True)


def test_only_what_this_start_wrote_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"of an earlier start\n")
    log = OwnLog()
    os.write(2, b"of this one\n")
    assert log.text() == "of this one\n"


@pytest.mark.vllm
@pytest.mark.slow
def test_the_real_engine_says_why_it_has_no_room(demo: Path) -> None:
    config = EngineConfig(
        device=Device.cpu,
        max_model_len=2048,
        cpu_kv_cache_gib=1,
        extra={"num_gpu_blocks_override": 4},
    )
    with pytest.raises(EngineError) as raised:
        asyncio.run(open_engine(config, Weights(path=demo)))
    message = str(raised.value)
    assert message.startswith("vLLM did not start: ValueError: To serve at least one request")
    assert re.search(r"set engine.max_model_len=\d+ \(which fits\)", message)
