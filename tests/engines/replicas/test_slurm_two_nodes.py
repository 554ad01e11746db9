"""The SLURM script, with programs in place of SLURM's and Ray's that write down what they are asked."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "slurm_two_nodes"
PROGRAMS = {
    "scontrol": "printf 'one\\ntwo\\n'",
    "srun": """echo "srun $* RAY_AUTH_MODE=$RAY_AUTH_MODE" >> "$ASKED"
case "$*" in *"hostname --ip-address") echo "10.0.0.1 10.1.0.1";; esac""",
    "python": 'echo "$ALIVE"',
    "sleep": "true",
    "evalharness": 'echo "evalharness $* VLLM_HOST_IP=$VLLM_HOST_IP RAY_ADDRESS=$RAY_ADDRESS" >> "$ASKED"',
}


@pytest.mark.parametrize(("num_alive", "code"), [(2, 0), (1, 1)])
def test_one_model_over_the_gpus_of_two_machines(tmp_path: Path, num_alive: int, code: int) -> None:
    for name, does in PROGRAMS.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/bash\n{does}\n")
        program.chmod(0o755)
    asked = tmp_path / "asked"
    own = {"ASKED": str(asked), "ALIVE": str(num_alive), "SLURM_JOB_NODELIST": "one,two"}
    done = subprocess.run(
        ["bash", str(SCRIPT), "model=mine", "suite=quick"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_GPUS_ON_NODE": "4", **own},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    lines = asked.read_text().splitlines()
    runs = [line for line in lines if line.startswith("evalharness")]
    if code:
        assert runs == []
        assert "Ray has 1 of 2 machines" in done.stderr
        return
    assert runs == [
        "evalharness run engine.device=gpu engine.tensor_parallel_size=4 engine.pipeline_parallel_size=2 "
        "engine.extra.distributed_executor_backend=ray model=mine suite=quick VLLM_HOST_IP=10.0.0.1 "
        "RAY_ADDRESS=10.0.0.1:6379"
    ]
    starts = [line for line in lines if "ray start" in line]
    assert all(line.endswith("RAY_AUTH_MODE=token") for line in starts)
    assert sum("-w one" in line and "--head --port=6379" in line for line in starts) == 1
    assert sum("-w two" in line and "--address=10.0.0.1:6379" in line for line in starts) == 1
