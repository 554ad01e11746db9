import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("reasoning_gym")

from lm_eval.tasks import TaskManager

from evalharness.config.schema import TaskConfig
from evalharness.errors import TaskError
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.procedural import generators
from evalharness.tasks.procedural.task import (
    FRESH_SEED,
    ProceduralTask,
    extract_answer,
)

GCD = {"generator": "gcd", "size": 4, "seed": 1}


def task(block: Mapping[str, Any], **fields: Any) -> ProceduralTask:
    return ProceduralTask({"task": "t", "class": ProceduralTask, "procedural": block, **fields})


def score(this: ProceduralTask, doc_id: int, response: str) -> dict[str, float]:
    doc = this.eval_docs[doc_id]
    made = this.construct_requests(doc, "", metadata=("t", doc_id, 1))
    made.resps = [response]
    this._filters[0].apply([made])
    return dict(this.process_results(doc, [made.filtered_resps["extract"]]))


def docs_hashes(names: list[str], hash_seed: int) -> str:
    script = (
        "import sys, random, numpy\n"
        "from evalharness.tasks.procedural.task import ProceduralTask\n"
        "random.seed(int(sys.argv[1])); numpy.random.seed(int(sys.argv[1]))\n"
        "for name in sys.argv[2:]:\n"
        "    block = {'generator': name, 'size': 6, 'seed': 42}\n"
        "    print(name, ProceduralTask({'task': 't', 'procedural': block}).docs_sha256())\n"
    )
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(hash_seed), *names],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.slow
def test_docs_are_the_same_in_every_process() -> None:
    names = generators.generator_names()
    first = docs_hashes(names, 1)
    assert len(first.splitlines()) == len(names)
    assert docs_hashes(names, 2) == first


KNOWN_DOCS = {
    "isomorphic_strings": "34a18e48844989941561216e83900e1d2db0c3450cc9ede37cd3445425679c68",
    "knight_swap": "ef9a4d6cd2698a251b58e90dea360b10812fead4c849c9b970f071af97ef74e1",
    "polynomial_multiplication": "d61894d08e599a4dbef827645737968977066ad2f692817ee7aa12e7ce73ac3b",
    "ransom_note": "32e8be1f62a9a0c393a9c46c06814b7257404bd6e49d45bd283a05f03fc9968e",
    "shortest_path": "0f8745548d57ce5a5d1aa6d4e3285e59142042db4b5c75fd7a4f76f573979cd8",
    "word_ladder": "2dd4d4d70be2b4263c7dbe4f958611b124d4c0c3c317323c8d2022386308ddf2",
}
"""sha256 of six docs of seed 42: five sets that would follow Python's hash seed, were they not mended, and another."""


@pytest.mark.parametrize("name", sorted(KNOWN_DOCS))
def test_docs_are_those_that_are_known(name: str) -> None:
    assert task({"generator": name, "size": 6, "seed": 42}).docs_sha256() == KNOWN_DOCS[name]


def test_the_example_is_an_lm_eval_task() -> None:
    folder = Path(__file__).parents[3] / "tasks"
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    assert isinstance(manager.load(["graph_paths"])["tasks"]["graph_paths"], ProceduralTask)


def test_partial_credit_is_kept_beside_acc() -> None:
    this = task({"generator": "n_queens", "size": 1, "seed": 1})
    gold = this.source.target(this.eval_docs[0])
    rows = str([row.split() for row in gold.splitlines()])
    assert score(this, 0, f"<answer>{rows}</answer>") == {"acc": 0.0, "score": 0.5}
    assert score(this, 0, f"<answer>{gold}</answer>") == {"acc": 1.0, "score": 1.0}


def test_generators_take_turns() -> None:
    this = task({"generators": {"gcd": {"level": 1}, "lcm": None}, "size": 5, "seed": 1})
    assert [doc["id"] for doc in this.eval_docs] == [
        "gcd-1-0",
        "lcm-1-0",
        "gcd-1-1",
        "lcm-1-1",
        "gcd-1-2",
    ]
    for i, doc in enumerate(this.eval_docs):
        assert score(this, i, doc["answer"]) == {"acc": 1.0, "score": 1.0}


def test_a_limit_takes_the_first_docs_of_the_set() -> None:
    more = task({**GCD, "size": 8}).eval_docs
    assert task(GCD).eval_docs == more[:4]


def test_another_seed_is_another_set_and_another_task_hash() -> None:
    one, other = (task({**GCD, "seed": seed}) for seed in (1, 1000))
    assert one.docs_sha256() != other.docs_sha256()
    assert hashes(one) != hashes(other)


def hashes(this: ProceduralTask) -> tuple[str, str]:
    loaded = LoadedTask(name="t", task=this, group="t", config=TaskConfig(), limit=None, repeats=1)
    return loaded.task_hash(), loaded.request_hash()


def test_the_pinned_hash_is_the_manifests_fingerprint() -> None:
    this = task(GCD)
    loaded = LoadedTask(name="t", task=this, group="t", config=TaskConfig(), limit=None, repeats=1)
    assert this.docs_sha256() == loaded.docs_fingerprint()
    task({**GCD, "docs_sha256": this.docs_sha256()})


def test_other_docs_than_those_pinned_are_refused() -> None:
    with pytest.raises(
        TaskError, match=r"^procedural\.docs_sha256: the docs made here have \w+, not"
    ):
        task({**GCD, "docs_sha256": "0" * 64})


def test_a_fresh_set_is_the_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FRESH_SEED, raising=False)
    fresh = {**GCD, "seed": "fresh"}
    first = task(fresh)
    assert first.dump_config()["metadata"]["seed"] != 1
    assert str(first.dump_config()["metadata"]["seed"]) in first.DATASET_NAME
    assert first.docs_sha256() != task(GCD).docs_sha256()


def test_the_environment_can_say_which_fresh_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FRESH_SEED, "1")
    assert task({**GCD, "seed": "fresh"}).docs_sha256() == task(GCD).docs_sha256()
    monkeypatch.setenv(FRESH_SEED, "today")
    with pytest.raises(TaskError, match=f"^{FRESH_SEED}: got 'today'; give a number"):
        task({**GCD, "seed": "fresh"})


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({**GCD, "generator": "gdc"}, r"unknown generator 'gdc'; did you mean 'gcd'\?"),
        ({**GCD, "sise": 1}, r"procedural: unknown field 'sise'; did you mean 'size'\?"),
        ({"generator": "gcd", "seed": 1}, r"procedural\.size is missing"),
        ({"generator": "gcd", "size": 1}, r"procedural\.seed is missing"),
        ({"size": 1, "seed": 1}, r"procedural: give either `generator`"),
        ({**GCD, "generators": {"lcm": {}}}, r"procedural: give either `generator`"),
        ({**GCD, "size": 0}, r"procedural\.size: got 0; give a number from 1"),
        ({**GCD, "seed": "new"}, r"procedural\.seed: got 'new'; give a number"),
        ({**GCD, "seed": True}, r"procedural\.seed: got True; give a number"),
        ({**GCD, "seed": 2**31}, r"procedural\.seed: got 2147483648; give a number"),
        ({**GCD, "difficulty": 3}, r"procedural\.difficulty: got 3"),
        ({**GCD, "difficulty": {"min": 1}}, r"generator 'gcd' has no difficulty 'min'"),
        ({**GCD, "difficulty": {"min_value": -5}}, r"generator 'gcd' refuses size 4, difficulty"),
        ("gcd", r"procedural: got 'gcd'; give a block with size, seed"),
    ],
)
def test_a_wrong_block_is_one_line(block: Any, message: str) -> None:
    with pytest.raises(TaskError, match=f"^{message}") as caught:
        task(block)
    assert "\n" not in str(caught.value)


def test_a_field_of_other_tasks_is_refused() -> None:
    with pytest.raises(TaskError, match=r"^field 'num_fewshot' doesn't apply to a procedural task"):
        task(GCD, num_fewshot=5)


def test_settings_of_the_yaml_reach_the_task() -> None:
    this = task(
        {**GCD, "instruction": "Number only."},
        description="Be exact.",
        generation_kwargs={"max_gen_toks": 7, "until": ["\n"]},
        metadata={"version": 2.5},
    )
    assert this.config.generation_kwargs["max_gen_toks"] == 7
    assert this.config.generation_kwargs["until"] == ["\n"]
    assert (this.config.description, this.VERSION) == ("Be exact.", "2.5")
    assert this.doc_to_text(this.eval_docs[0]).endswith("\n\nNumber only.")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("so <answer>4</answer>.", "4"),
        ("<answer>1</answer> no, <answer> 4 </answer>", "4"),
        ("<answer>4", "4"),
        ("<answer>4</answer>\nI could also say <answer> more", "4"),
        ("<answer>1 2\n3 4</answer>", "1 2\n3 4"),
        ("<answer></answer>", ""),
        ("2 + 2 is\n4\n\n", "4"),
        ("The final answer is: 4", "4"),
        ("**Answer:** 4", "4"),
        ("Answers differ", "Answers differ"),
        ("", ""),
        (" \n", ""),
    ],
)
def test_answers_are_found(response: str, answer: str) -> None:
    assert extract_answer(response) == answer


@given(st.text())
def test_a_tagged_answer_is_found_in_any_text(text: str) -> None:
    if "answer>" not in text:
        assert extract_answer(f"{text}<answer>4</answer>{text}") == "4"


def test_without_reasoning_gym_the_way_out_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(TaskError, match=r"^needs reasoning-gym; pip install -e '.*\[procedural\]'"):
        task(GCD)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "VERSION", "9.9")
    with pytest.raises(TaskError, match=r"^needs reasoning-gym 9\.9, found \d"):
        task(GCD)
