"""HumanEval and MBPP in the sandbox: what is a pass, what is a 0 with a reason, and what is no score at all."""

import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets
import lm_eval.tasks
import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from custom_tasks.code_docs import DOCS
from evalharness.errors import TaskError
from evalharness.tasks.sandbox import programs
from evalharness.tasks.sandbox.programs import (
    code_of,
    program_scores,
)
from evalharness.tasks.sandbox.run import (
    Limits,
    require_sandbox,
)
from programs import run_many

pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="no bubblewrap: apt-get install bubblewrap"
)

TASKS = Path(__file__).parents[2] / "tasks"
STOCK = Path(lm_eval.tasks.__file__).parent
NAMES = {
    "humaneval_sandboxed": "openai/openai_humaneval",
    "humaneval_instruct_sandboxed": "openai/openai_humaneval",
    "mbpp_sandboxed": "google-research-datasets/mbpp",
    "mbpp_instruct_sandboxed": "google-research-datasets/mbpp",
}
PASS = {"pass@1": 1.0, "timeout": 0.0, "died": 0.0}
FAIL = {"pass@1": 0.0, "timeout": 0.0, "died": 0.0}
DATA = os.environ.get("EVALHARNESS_TEST_DATA", "")
needs_data = pytest.mark.skipif(
    not DATA, reason="EVALHARNESS_TEST_DATA names no folder with datasets as <org>/<name>"
)


@pytest.fixture(autouse=True, scope="module")
def own_docs() -> Iterator[None]:
    def stand_in(path: str, *args: Any, **kwargs: Any) -> datasets.DatasetDict:
        splits = {name: datasets.Dataset.from_list(docs) for name, docs in DOCS[path].items()}
        return datasets.DatasetDict(splits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_dataset", stand_in)
        yield


@cache
def task(name: str) -> ConfigurableTask:
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    return manager.load([name])["tasks"][name]


def doc(name: str, index: int = 0) -> dict[str, Any]:
    return DOCS[NAMES[name]]["test"][index]


def score(name: str, response: str, index: int = 0) -> dict[str, float]:
    return dict(task(name).process_results(doc(name, index), [response]))


def gold(name: str, index: int = 0) -> str:
    return str(task(name).doc_to_target(doc(name, index)))


def utils(name: str) -> ModuleType:
    """The task's Python, as lm-eval loads it: from its file."""
    spec = importlib.util.spec_from_file_location(f"{name}_utils", TASKS / name / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def broken_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Breaks after the tasks were loaded."""
    for name in NAMES:
        task(name)
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: no' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    programs._ending.cache_clear()


# --- scores


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("index", [0, 1])
def test_gold_passes(name: str, index: int) -> None:
    assert score(name, gold(name, index), index) == PASS


@pytest.mark.parametrize("name", NAMES)
def test_solution_of_another_problem_fails(name: str) -> None:
    assert score(name, gold(name, 1)) == FAIL


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("response", ["", "I don't know.", "```python\n```", "    return None"])
def test_no_solution_fails(name: str, response: str) -> None:
    assert score(name, response) == FAIL


@pytest.mark.parametrize("name", ["humaneval_sandboxed", "mbpp_sandboxed"])
def test_exit_before_the_tests_fails(name: str) -> None:
    assert score(name, f"{gold(name)}\nraise SystemExit(0)\n") == FAIL


def test_exit_inside_the_code_block_fails() -> None:
    response = "```python\ndef has_close_elements(*a): pass\nimport os; os._exit(0)\n```"
    assert score("humaneval_instruct_sandboxed", response) == FAIL


@pytest.mark.parametrize(
    ("program", "counted"),
    [
        ("while True: pass", "timeout"),
        ("bytearray(10**11)", "died"),
        ("import os; os.abort()", "died"),
    ],
)
def test_program_beyond_its_limits_is_a_0_that_is_counted(
    program: str, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = programs.run_python
    monkeypatch.setattr(programs, "run_python", lambda p: run(p, limits=Limits(cpu_s=1)))
    assert program_scores(program) == FAIL | {counted: 1.0}


@pytest.mark.usefixtures("broken_bubblewrap")
@pytest.mark.parametrize("name", NAMES)
def test_sandbox_that_fails_is_no_score(name: str) -> None:
    loaded, response = task(name), gold(name)
    with pytest.raises(TaskError, match="the sandbox for code can't start: bwrap: no"):
        loaded.process_results(doc(name), [response])


@pytest.mark.parametrize("name", NAMES)
def test_task_is_refused_without_a_sandbox(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    require_sandbox.cache_clear()
    with pytest.raises(TaskError, match="apt-get install bubblewrap"):
        utils(name)


def test_setup_of_a_doc_runs_before_its_tests() -> None:
    assert doc("mbpp_sandboxed", 1)["test_setup_code"]
    assert score("mbpp_sandboxed", "def last(text): return text[-1]", 1) == PASS


def test_prompt_brings_imports_and_helpers_that_a_response_leaves_out() -> None:
    code = "def has_close_elements(numbers: List[float], threshold):\n"
    response = f"```python\n{code}{doc('humaneval_sandboxed')['canonical_solution']}```"
    assert score("humaneval_instruct_sandboxed", response) == PASS


# --- the code in a response


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("Sure:\n```python\ndef f(): 1\n```\nDone.", "def f(): 1\n"),
        ("```\ndef f(): 1\n```", "def f(): 1\n"),
        ("```python\ndef f(): 1\n", "def f(): 1\n"),
        ("```bash\npip\n```\n```python\ndef f(): 1\n```", "def f(): 1\n"),
        ("```\ndef ff(): 0\n```\n```\ndef f(): 1\n```", "def f(): 1\n"),
        ("```\ndef f(): 1\n```\n```\nassert f()\n```", "def f(): 1\n"),
        ("1. So:\n   ```py\n    return 1\n   ```", "    return 1\n"),
        ("def f(): return '```'", "def f(): return '```'"),
        ("", ""),
    ],
)
def test_code_is_the_block_that_defines_the_function(response: str, code: str) -> None:
    assert code_of(response, "f") == code


# --- prompts


@pytest.mark.parametrize("stock", ["humaneval", "mbpp"])
@pytest.mark.parametrize(
    "field", ["doc_to_text", "dataset_path", "dataset_name", "test_split", "num_fewshot"]
)
def test_field_is_lm_evals(stock: str, field: str) -> None:
    theirs = load_yaml(STOCK / stock / f"{stock}.yaml", resolve_func=False)
    assert getattr(task(f"{stock}_sandboxed").config, field) == theirs.get(field)


@pytest.mark.parametrize("stock", ["humaneval", "mbpp"])
def test_stops_are_lm_evals(stock: str) -> None:
    theirs = load_yaml(STOCK / stock / f"{stock}.yaml", resolve_func=False)
    ours = task(f"{stock}_sandboxed").config.generation_kwargs
    assert ours["until"] == theirs["generation_kwargs"]["until"]


def test_few_shots_of_mbpp_are_tasks_2_3_and_4() -> None:
    assert [shot["task_id"] for shot in task("mbpp_sandboxed").fewshot_docs()] == [2, 3, 4]


def test_few_shots_of_mbpp_end_as_the_model_is_stopped() -> None:
    prompt = task("mbpp_sandboxed").fewshot_context(doc("mbpp_sandboxed"), 3)
    assert prompt.count("[BEGIN]\n") == 4
    assert prompt.count("\n[DONE]\n\n") == 3


# --- the whole sets


def rows(path: str, *names: str) -> list[dict[str, Any]]:
    found = datasets.load.load_dataset(str(Path(DATA) / path), *names, split="test")
    return list(found)


@pytest.mark.slow
@needs_data
def test_humaneval_gold_passes_and_broken_gold_fails_within_90_s(
    capsys: pytest.CaptureFixture[str],
) -> None:
    docs = rows("openai/openai_humaneval")
    program = utils("humaneval_sandboxed").program
    start = time.monotonic()
    right = run_many(program(d, d["canonical_solution"]) for d in docs)
    wrong = run_many(
        program(d, other["canonical_solution"])
        for d, other in zip(docs, docs[1:] + docs[:1], strict=True)
    )
    wall_s = time.monotonic() - start
    with capsys.disabled():
        print(f"\nhumaneval: {len(right)} right and {len(wrong)} wrong programs in {wall_s:.1f} s")
    assert len(docs) == 164
    assert all(outcome.is_ok for outcome in right)
    assert not any(outcome.is_ok for outcome in wrong)
    assert wall_s < 90


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("name", ["mbpp_sandboxed", "mbpp_instruct_sandboxed"])
def test_mbpp_gold_passes(name: str) -> None:
    docs = rows("google-research-datasets/mbpp", "full")
    module = utils(name)
    outcomes = run_many(
        module.program(d, f"```python\n{d['code']}\n```" if "instruct" in name else d["code"])
        for d in docs
    )
    assert [d["task_id"] for d, o in zip(docs, outcomes, strict=True) if not o.is_ok] == []
