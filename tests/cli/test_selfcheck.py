"""`evalharness selfcheck`: its table, its JSON and its exit code."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from evalharness.cli import app
from evalharness.engines import fake
from evalharness.engines.requests import (
    GenerateRequest,
    Generation,
)

FAKE = ("model=mine", "engine=fake", "suite=tiny")


class Printed(NamedTuple):
    code: int
    out: str
    err: str


Selfcheck = Callable[..., Printed]


@pytest.fixture
def selfcheck(
    tmp_path: Path,
    tiny_llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Selfcheck:
    """The verb, in a working directory with a model and a suite of the user's own."""
    for name, text in {
        "model/mine.yaml": f"name: mine\npath: {tiny_llama}\nvariant: instruct\n",
        "suite/tiny.yaml": "name: tiny\ntasks: {weekday_arithmetic: {}, arc_easy_sample: {}}\n",
    }.items():
        path = tmp_path / "configs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALHARNESS_RESULTS_DIR", raising=False)

    def call(*arguments: str) -> Printed:
        monkeypatch.setattr(sys, "argv", ["evalharness", "selfcheck", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            app.main()
        return Printed(int(exit_.value.code or 0), *capfd.readouterr())

    return call


class OtherEachTime(fake.FakeEngine):
    """Its texts are never the same."""

    count = 0

    async def generate(self, request: GenerateRequest) -> Generation:
        generation = await super().generate(request)
        OtherEachTime.count += 1
        return replace(generation, text=f"{generation.text} {OtherEachTime.count}")


def test_it_prints_a_row_per_task_and_a_verdict(selfcheck: Selfcheck, tmp_path: Path) -> None:
    printed = selfcheck(*FAKE, "run.limit=2")
    assert (printed.code, printed.err) == (0, "")
    assert "mine, suite tiny  in batches of up to 64, and of 1" in printed.out
    assert "arc_easy_sample" in printed.out
    assert "Equal to the last bit: 4 scores, 2 texts, 8 log-likelihoods." in printed.out
    assert {path.name for path in (tmp_path / "results").iterdir()} == {".selfcheck"}


def test_ten_docs_of_every_task_unless_configured_otherwise(selfcheck: Selfcheck) -> None:
    (checked,) = json.loads(selfcheck(*FAKE, "--json").out)
    assert [task["n"] for task in checked["tasks"]] == [10, 10]
    for folder in checked["runs"]:
        tasks = json.loads((Path(folder) / "manifest.json").read_text())["tasks"]
        assert {task["limit_from"] for task in tasks} == {"first"}


def test_json_has_the_floor_its_verdict_and_the_runs(selfcheck: Selfcheck) -> None:
    printed = selfcheck(*FAKE, "run.limit=2", "--small", "3", "--json")
    (checked,) = json.loads(printed.out)
    assert checked["batch_sizes"] == [64, 3]
    assert checked["total"]["is_exact"] is True
    assert checked["statuses"] == ["complete", "complete"]
    assert all((Path(folder) / "manifest.json").is_file() for folder in checked["runs"])


def test_a_broken_promise_of_determinism_is_exit_code_1(
    selfcheck: Selfcheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "FakeEngine", OtherEachTime)
    assert selfcheck(*FAKE, "run.limit=2").code == 0
    printed = selfcheck(*FAKE, "run.limit=2", "engine.deterministic=true")
    assert printed.code == 1
    assert "promises equal answers, and they are not" in printed.out


def test_wrong_input_is_one_line(selfcheck: Selfcheck) -> None:
    printed = selfcheck(*FAKE, "--small", "64")
    assert (printed.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert "the first must be larger" in printed.err


def test_determinism_that_cant_be_kept_is_refused_before_anything_runs(
    selfcheck: Selfcheck, tmp_path: Path
) -> None:
    printed = selfcheck("model=mine", "suite=tiny", "engine=vllm_cpu", "engine.deterministic=true")
    assert (printed.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert "no batch-invariant kernels for CPUs" in printed.err
    assert not (tmp_path / "results").exists()
