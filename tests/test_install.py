"""Which engine scripts/install takes, without installing anything: a folder with a stamp of what was installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def install(
    here: Path, stamp: str, *, sees_gpu: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The script in a folder where these extras are installed."""
    shutil.copytree(ROOT / "scripts", here / "scripts", ignore=shutil.ignore_patterns("bench"))
    (here / "pyproject.toml").touch()
    (here / ".venv").mkdir()
    (here / ".venv" / "installed").write_text(f"{stamp}\n")
    path = os.environ["PATH"]
    if sees_gpu:
        tool = here / "bin" / "nvidia-smi"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\nexit 0\n")
        tool.chmod(0o755)
        path = f"{tool.parent}:{path}"
    clean = {k: v for k, v in os.environ.items() if k not in ("ENGINE", "CUDA_VISIBLE_DEVICES")}
    return subprocess.run(
        [here / "scripts" / "install", "dev"],
        capture_output=True,
        text=True,
        env=clean | {"PATH": path} | environment,
        check=False,
    )


@pytest.mark.parametrize(
    ("stamp", "sees_gpu", "environment"),
    [
        ("cpu,dev", False, {}),
        ("dev,gpu", True, {}),
        ("dev,gpu", False, {}),  # a login node of the machines that it was installed for
        ("dev,gpu", True, {"CUDA_VISIBLE_DEVICES": ""}),
        ("dev,gpu", False, {"ENGINE": "gpu"}),
        ("cpu,dev", True, {"ENGINE": "cpu"}),
        ("cpu,dev", True, {"CUDA_VISIBLE_DEVICES": ""}),
        ("cpu,dev", True, {"CUDA_VISIBLE_DEVICES": "-1"}),
    ],
)
def test_what_is_installed_already_is_kept(
    tmp_path: Path, stamp: str, sees_gpu: bool, environment: dict[str, str]
) -> None:
    done = install(tmp_path, stamp, sees_gpu=sees_gpu, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("stamp", "sees_gpu", "environment", "said"),
    [
        ("cpu,dev", True, {}, "holds vLLM for the cpu, and here it is wanted for the gpu"),
        ("cpu,dev", False, {"ENGINE": "gpu"}, "holds vLLM for the cpu"),
        ("dev,gpu", True, {"ENGINE": "cpu"}, "holds vLLM for the gpu"),
        ("cpu,dev", False, {"ENGINE": "tpu"}, "ENGINE=tpu: expected gpu or cpu"),
    ],
)
def test_two_builds_of_vllm_are_never_mixed(
    tmp_path: Path, stamp: str, sees_gpu: bool, environment: dict[str, str], said: str
) -> None:
    done = install(tmp_path, stamp, sees_gpu=sees_gpu, **environment)
    assert done.returncode == 2
    assert said in done.stderr
