"""The errors that the README lists are what the program says, word for word but for `...` and the tail."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks_of_docs import ROOT
from evalharness.checkpoint.locate import hub_problem
from evalharness.config.schema import Device, EngineConfig, EngineKind
from evalharness.engines.replicas.placement import Node, plan
from evalharness.errors import ConfigError
from own_tasks import write

COMMANDS = {
    2: ["model=llama-3.1-8b-instruct", "suite=quick", "data.offline=true"],
    3: ["model=llama-3.1-8b-instuct", "suite=quick"],
    4: ["model=mine", "suite=quick", "run.limt=5"],
    5: ["model=mine", "+suite.tasks.gsm8kk.limit=5", "engine=fake"],
    6: ["model=mine", "suite=stock", "engine=fake", "data.offline=true"],
    7: ["model=notemplate", "suite=quick", "engine=fake"],
    9: ["model=mine", "suite=own", "engine=fake", "tasks.trust=false"],
}
"""Number in the README -> what is run for it."""


def listed() -> dict[int, str]:
    """Number -> the message, quotes around code left out."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## The ten commonest errors")[1]
    found = re.findall(r"^(\d+)\. `([^`]+)`", section, re.M)
    return {int(number): " ".join(message.split()) for number, message in found}


def matches(message: str, printed: str) -> bool:
    parts = [re.escape(part.strip().rstrip(".")) for part in message.split("...")]
    return re.search(r".*?".join(parts), " ".join(printed.replace("`", "").split())) is not None


@pytest.fixture
def run(
    tmp_path: Path,
    tiny_llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """`run` with some overrides, where the README's own names exist -> what it writes to stderr."""
    import shutil
    import sys

    from evalharness.cli import app

    bare = tmp_path / "bare"
    shutil.copytree(tiny_llama, bare, ignore=shutil.ignore_patterns("chat_template.jinja"))
    write(tmp_path, "sums")
    files = {
        "model/mine": f"name: mine\npath: {tiny_llama}\nvariant: instruct\n",
        "model/notemplate": f"name: notemplate\npath: {bare}\nvariant: instruct\n",
        "suite/own": "name: own\ntasks: {sums: {}}\n",
        "suite/stock": "name: stock\ntasks: {gsm8k: {limit: 4}}\n",
    }
    for name, text in files.items():
        (tmp_path / "configs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "configs" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALHARNESS_TASKS_TRUST", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def call(*overrides: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evalharness", "run", *overrides])
        with pytest.raises(SystemExit) as ended:
            app.main()
        assert ended.value.code == 2
        return capfd.readouterr().err

    return call


@pytest.mark.parametrize("number", COMMANDS)
def test_the_program_says_what_the_readme_lists(run: Callable[..., str], number: int) -> None:
    printed = run(*COMMANDS[number])
    assert matches(listed()[number], printed), printed


def test_a_gated_checkpoints_line_is_the_readmes() -> None:
    from huggingface_hub import errors

    gated = errors.GatedRepoError.__new__(errors.GatedRepoError)
    printed = hub_problem(gated, "meta-llama/Llama-3.1-8B-Instruct", None, False)
    assert matches(listed()[1], printed), printed


def test_the_line_of_replicas_on_a_cpu_is_the_readmes() -> None:
    config = EngineConfig(kind=EngineKind.replicas, device=Device.cpu)
    with pytest.raises(ConfigError) as refused:
        plan(config, [Node(num_cpus=2, num_gpus=0)])
    assert matches(listed()[10], str(refused.value))


def test_the_list_has_ten_and_a_changed_word_is_noticed() -> None:
    assert sorted(listed()) == list(range(1, 11))
    assert matches("a model ... is gone.", "error: a model 'x' is gone; look")
    assert not matches("a model ... is gone.", "error: a model 'x' was gone")
