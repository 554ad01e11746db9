"""The phase of a load, out of what vLLM 0.32 and transformers write: excerpts of real logs."""

import pytest

from evalharness.engines.loading import loading_phase

BEGIN = "(EngineCore pid=1) INFO 11-30 18:03:16 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: x\n"
READ = (
    "(Worker pid=2) INFO 11-30 18:04:41 [cpu_model_runner.py:68] Starting to load model m...\n"
    "\rLoading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]\n"
    "\rLoading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:00,  1.52s/it]\n"
)
GRAPHS = "(Worker pid=2) INFO 11-30 18:04:43 [x.py:1] Starting torch.compile\n" + (
    "\rCapturing CUDA graphs (decode, FULL):  25%|##5  | 17/67 [00:01<00:02, 20.25it/s]"
)


@pytest.mark.parametrize(
    ("log", "phase"),
    [
        ("nothing of it yet", None),
        (BEGIN, "starting its processes"),
        (BEGIN + READ, "reading weights, 50 % (2/4 files)"),
        (BEGIN + READ + "\n[gpu_worker.py:9] Model loading took 1.3 GiB memory", "measuring memory"),
        (BEGIN + READ + GRAPHS, "recording CUDA graphs, 25 %"),
        ("Loading weights:  10%|#  | 3/29\rLoading weights:  41%|####  | 12/29", "reading weights, 41 %"),
    ],
)  # fmt: skip
def test_the_phase_begun_last_is_named(log: str, phase: str | None) -> None:
    assert loading_phase(log) == phase
