import asyncio
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import TaskConfig
from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
)
from evalharness.errors import TaskError
from evalharness.runner.score import TaskScorer
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.python_task import PythonTask
from evalharness.tasks.task_manager import CachedTaskManager
from scripted_model import ScriptedModel, dialogue

TASKS = Path(__file__).parents[2] / "tasks"

HEAD = "from evalharness.tasks.python_task import PythonTask\n"
DOUBLING = """
class Doubling(PythonTask):
    def docs(self):
        return [{"id": str(n), "number": n, "extra": None if n else [1, {"a": 2}]} for n in range(3)]

    def prompt(self, doc):
        return f"Twice {doc['number']}?"

    def target(self, doc):
        return str(2 * doc["number"])

    def score(self, doc, answer):
        return {"acc": float(answer == self.target(doc))}
"""

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def without_stock_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalharness.tasks.task_manager.stock_index", dict)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a task's file."""

    def write(source: str, *, name: str = "doubling", file: str = "task.py") -> Path:
        path = tmp_path / "tasks" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + source)
        return path

    return write


def load(path: Path) -> Any:
    name = path.parent.name
    return CachedTaskManager([path.parents[1]]).load([name])["tasks"][name]


def loaded(task: Any, limit: int | None = None) -> LoadedTask:
    name = task.config.task
    return LoadedTask(name=name, task=task, group=name, config=TaskConfig(), limit=limit, repeats=1)


def instance(task: Any, response: str, doc_id: int = 1) -> Any:
    doc = task.eval_docs[doc_id]
    made = task.construct_requests(
        doc, task.fewshot_context(doc, 0), metadata=(task.config.task, doc_id, 1)
    )
    made.resps = [response]
    return made


def test_a_file_with_a_class_is_a_task_named_as_its_folder(make: Make) -> None:
    assert load(make(DOUBLING)).config.task == "doubling"


def test_the_file_may_be_named_as_its_folder(make: Make) -> None:
    assert load(make(DOUBLING, file="doubling.py")).config.task == "doubling"


def test_listing_names_imports_nothing(make: Make) -> None:
    path = make("raise SystemExit('imported')\n# PythonTask")
    assert "doubling" in CachedTaskManager([path.parents[1]]).all_subtasks


def test_the_index_knows_the_file(make: Make) -> None:
    path = make(DOUBLING)
    entry = CachedTaskManager([path.parents[1]]).task_index["doubling"]
    assert entry.cfg is not None
    assert entry.cfg["python_file"] == str(path)


def test_a_folder_with_a_yaml_is_the_yamls(make: Make) -> None:
    path = make(DOUBLING)
    (path.parent / "other.yaml").write_text("task: other\n")
    assert CachedTaskManager([path.parents[1]]).all_subtasks == ["other"]


def test_a_later_folders_yaml_keeps_its_name(make: Make, tmp_path: Path) -> None:
    path = make(DOUBLING)
    own = tmp_path / "own"
    own.mkdir()
    (own / "doubling.yaml").write_text("task: doubling\n")
    assert CachedTaskManager([path.parents[1], own]).task_index["doubling"].yaml_path
    assert not CachedTaskManager([own, path.parents[1]]).task_index["doubling"].yaml_path


def test_docs_are_kept_as_they_are(make: Make) -> None:
    assert load(make(DOUBLING)).eval_docs[:2] == [
        {"id": "0", "number": 0, "extra": [1, {"a": 2}]},
        {"id": "1", "number": 1, "extra": None},
    ]


def test_the_prompt_reaches_the_model_as_it_is_written(make: Make) -> None:
    task = load(make(DOUBLING.replace("Twice", "{{ Twice }}")))
    assert task.fewshot_context(task.eval_docs[1], 0) == "{ Twice } 1?"


def test_the_description_is_a_system_message(make: Make) -> None:
    task = load(make(DOUBLING + "    description = 'Be brief.'\n"))
    seen: list[Any] = []
    task.fewshot_context(
        task.eval_docs[1],
        0,
        apply_chat_template=True,
        chat_template=lambda messages, **_: seen.extend(messages) or "",
    )
    assert [(m["role"], m["content"]) for m in seen] == [
        ("system", "Be brief."),
        ("user", "Twice 1?"),
    ]


def test_generation_is_greedy_and_ends_as_the_class_says(make: Make) -> None:
    task = load(make(DOUBLING + "    stop = ('.',)\n    max_gen_toks = 5\n"))
    assert instance(task, "").args[1] == {
        "until": ["."],
        "do_sample": False,
        "temperature": 0.0,
        "max_gen_toks": 5,
    }


@pytest.mark.parametrize(("response", "score"), [("2", 1.0), ("3", 0.0), ("", 0.0)])
def test_score_judges_the_response(make: Make, response: str, score: float) -> None:
    task = load(make(DOUBLING))
    found = TaskScorer(loaded(task)).score(1, 0, [instance(task, response)])
    assert not isinstance(found, Failure)
    assert found["none"].scores == {"acc": score}


def test_extract_is_the_tasks_filter(make: Make) -> None:
    task = load(make(DOUBLING + "    def extract(self, response):\n        return response[-1]\n"))
    found = TaskScorer(loaded(task)).score(1, 0, [instance(task, "I say 2")])
    assert not isinstance(found, Failure)
    assert (found["extract"].answer, found["extract"].scores) == ("2", {"acc": 1.0})


def test_a_score_that_raises_is_an_error_of_that_sample(make: Make) -> None:
    task = load(make(DOUBLING.replace("float(answer ==", "1 / int(answer) + (answer ==")))
    scorer = TaskScorer(loaded(task))
    failed = scorer.score(1, 0, [instance(task, "0")])
    assert isinstance(failed, Failure)
    assert failed.message == "ZeroDivisionError: division by zero"
    assert not isinstance(scorer.score(2, 0, [instance(task, "4", 2)]), Failure)


@pytest.mark.parametrize("given", ['{"exact": 1}', "{}", '{"acc": 1, "exact": 1}'])
def test_a_metric_that_is_not_stated_is_an_error_of_the_sample(make: Make, given: str) -> None:
    task = load(make(DOUBLING + f"    def score(self, doc, answer):\n        return {given}\n"))
    failed = TaskScorer(loaded(task)).score(1, 0, [instance(task, "2")])
    assert isinstance(failed, Failure)
    assert "metrics are acc" in failed.message


def test_metrics_aggregate_and_point_as_stated(make: Make) -> None:
    extra = """
    metrics = ("worst", "acc")
    lower_is_better = ("worst",)
    aggregations = {"worst": max}
"""
    task = load(make(DOUBLING + extra))
    assert task.aggregation()["worst"]([1, 3, 2]) == 3
    assert task.aggregation()["acc"]([1.0, 0.0]) == 0.5
    assert task.higher_is_better() == {"worst": False, "acc": True}
    assert loaded(task).main_metric() == ("worst", "none")


def test_gold_is_what_a_perfect_model_writes(make: Make) -> None:
    task = load(make(DOUBLING + "    def gold(self, doc):\n        return 'It is 2'\n"))
    doc = task.eval_docs[1]
    assert task.doc_to_target(doc) == "2"
    assert task.doc_to_target(doc, task.fewshot_cfg.doc_to_target) == "It is 2"


def test_a_comment_in_the_code_changes_the_task_hash_only(make: Make) -> None:
    before = loaded(load(make(DOUBLING)))
    hashes = before.task_hash(), before.request_hash()
    after = loaded(load(make(DOUBLING + "    # strict\n")))
    assert after.task_hash() != hashes[0]
    assert after.request_hash() == hashes[1]


def test_code_beside_the_task_is_part_of_its_hash(make: Make) -> None:
    path = make(DOUBLING + "    from .helper import ONE\n")
    (path.parent / "helper.py").write_text("ONE = 1\n")
    before = loaded(load(path)).task_hash()
    (path.parent / "helper.py").write_text("ONE = 2\n")
    task = load(path)
    assert loaded(task).task_hash() != before
    assert task.source.ONE == 2


def test_another_prompt_is_another_request_hash(make: Make) -> None:
    before = loaded(load(make(DOUBLING))).request_hash()
    assert loaded(load(make(DOUBLING.replace("Twice", "2 x")))).request_hash() != before


def test_any_code_of_a_conversation_may_change_its_requests(make: Make) -> None:
    talk = DOUBLING + "    async def solve(self, doc, dialogue):\n        return '2'\n"
    before = loaded(load(make(talk))).request_hash()
    assert loaded(load(make(talk + "    # changed\n"))).request_hash() != before


def test_hashes_dont_depend_on_where_the_folder_is(make: Make, tmp_path: Path) -> None:
    path = make(DOUBLING)
    moved = tmp_path / "elsewhere" / "doubling" / "task.py"
    moved.parent.mkdir(parents=True)
    moved.write_bytes(path.read_bytes())
    assert loaded(load(moved)).task_hash() == loaded(load(path)).task_hash()


def test_a_task_of_one_turn_has_no_conversation(make: Make) -> None:
    assert loaded(load(make(DOUBLING))).solve is None


def test_few_shots_are_refused(make: Make) -> None:
    task = load(make(DOUBLING))
    task.set_config("num_fewshot", 0)
    with pytest.raises(TaskError, match="'doubling' writes its whole prompt itself"):
        task.set_config("num_fewshot", 5)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nothing_of_this_name  # PythonTask", r"task\.py, line 2: ModuleNotFoundError: No"),
        ("class A(PythonTask:\n    pass", r"task\.py, line 2: SyntaxError: "),
        ("", r"task\.py: no class here is a PythonTask$"),
        (DOUBLING + DOUBLING.replace("Doubling", "Other"), "2 tasks \\(Doubling, Other\\)"),
        (DOUBLING.replace("target", "goal"), r"Doubling lacks target$"),
        (DOUBLING.replace("range(3)", "range(0)"), r"task\.py: docs\(\): none$"),
        (
            DOUBLING.replace('"number": n', '"number": {n}'),
            r"task\.py: docs\(\): doc 0 is not JSON: ",
        ),
        (
            DOUBLING.replace("doc['number']", "doc['digit']"),
            r"task\.py, line 8: KeyError: 'digit'$",
        ),
        (DOUBLING + "    metrics = 'acc'\n", r"task\.py: metrics: got 'acc'; give a tuple"),
        (DOUBLING + "    stop = '.'\n", r"task\.py: stop: got '\.'; give a tuple"),
        (DOUBLING + "    lower_is_better = ('x',)\n", r"task\.py: lower_is_better: 'x' is none of"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(make: Make, source: str, message: str) -> None:
    with pytest.raises(TaskError, match=message) as caught:
        load(make(source))
    assert "\n" not in str(caught.value)


def test_a_file_that_failed_leaves_no_module_behind(make: Make) -> None:
    with pytest.raises(TaskError):
        load(make("1 / 0  # PythonTask"))
    assert "evalharness_task_doubling" not in sys.modules


def test_without_solve_a_conversation_is_one_turn(byte_tokenizer: Any) -> None:
    talk = dialogue(ScriptedModel(byte_tokenizer, lambda *_: " 4\n"), byte_tokenizer)
    assert asyncio.run(PythonTask.solve(object(), {}, talk)) == " 4"  # type: ignore[arg-type]


@cache
def guessing() -> Any:
    return load(TASKS / "number_guessing" / "number_guessing.py")


def play(
    byte_tokenizer: Any, reply: Callable[[str, GenerateRequest], str], doc: dict[str, Any]
) -> tuple[str, ScriptedModel]:
    task, model = guessing(), ScriptedModel(byte_tokenizer, reply)
    prompt = task.fewshot_context(doc, 0)
    talk = dialogue(model, byte_tokenizer, prompt, gen_kwargs={"until": [], "max_gen_toks": 16})
    return asyncio.run(task.solve(doc, talk)), model


def halving(prompt: str, request: GenerateRequest) -> str:
    low, high = (int(n) for n in re.findall(r"from (\d+) to (\d+)", prompt)[0])
    for guess, hint in re.findall(r"Guess:\s*(\d+)\s+My number is (\w+)", prompt):
        low, high = (int(guess) + 1, high) if hint == "higher" else (low, int(guess) - 1)
    return f" {(low + high) // 2}"


def test_halving_finds_every_number_of_the_guessing_game(byte_tokenizer: Any) -> None:
    task = guessing()
    for doc in task.eval_docs[::7]:
        response, model = play(byte_tokenizer, halving, doc)
        assert task.process_results(doc, [response]) == {"found": 1.0}
        assert len(model.requests) <= 6


def test_the_guessing_game_ends_after_six_wrong_guesses(byte_tokenizer: Any) -> None:
    task = guessing()
    response, model = play(byte_tokenizer, lambda *_: "0", task.eval_docs[1])
    assert response == "0 0 0 0 0 0"
    assert "My number is higher" in model.prompts[-1]
    assert task.process_results(task.eval_docs[1], [response]) == {"found": 0.0}


def test_the_guessing_game_ends_with_a_reply_without_a_number(byte_tokenizer: Any) -> None:
    response, model = play(byte_tokenizer, lambda *_: "No idea", guessing().eval_docs[1])
    assert (response, len(model.requests)) == ("", 1)
