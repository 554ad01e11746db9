"""Each defect is found in a task that has it, and not in a good one."""

from pathlib import Path
from typing import Any

import pytest

import own_tasks as own
from evalharness.tasks.authoring.check import examine
from evalharness.tasks.authoring.defects import Defect
from evalharness.tasks.authoring.prompt_lengths import (
    PromptSize,
    check_sizes,
    estimated_sizes,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def defects(here: Path, yaml: str, rows: Any, **splits: Any) -> list[Defect]:
    own.write(here, "one", yaml, rows, **splits)
    found, _ = examine(own.load("one").tasks[0])
    return found


def changed(rows: Any, place: int, **values: Any) -> list[dict[str, Any]]:
    return [row | values if i == place else row for i, row in enumerate(rows)]


@pytest.mark.parametrize(("yaml", "rows"), [(own.GENERATE, own.SUMS), (own.CHOICE, own.PICKS)])
def test_a_good_task_has_no_defect(here: Path, yaml: str, rows: Any) -> None:
    assert defects(here, yaml, rows) == []


def test_a_repeated_id_is_found(here: Path) -> None:
    found = defects(here, own.GENERATE, changed(own.SUMS, 3, id="1"))
    assert found == [Defect("error", "id '1' is that of docs 0 and 3", "docs")]


def test_a_repeated_doc_is_found(here: Path) -> None:
    rows = [*own.SUMS, own.SUMS[2] | {"id": "new"}]
    assert Defect("error", "docs 2 and 8 are the same", "docs") in defects(here, own.GENERATE, rows)


def test_a_repeated_question_is_a_warning(here: Path) -> None:
    rows = changed(own.SUMS, 5, q=own.SUMS[0]["q"])
    assert defects(here, own.GENERATE, rows) == [
        Defect("warning", "docs 0 and 5 ask the same", "docs")
    ]


def test_gold_that_the_filter_loses_is_found(here: Path) -> None:
    (found,) = defects(here, own.GENERATE, changed(own.SUMS, 1, a="four"))
    assert (found.level, found.where) == ("error", "filter_list")
    assert found.what == "gold scores 0 in exact_match (number) for doc 1"


def test_an_empty_answer_that_scores_is_found(here: Path) -> None:
    yaml = own.GENERATE.replace('"([0-9]+)"', '"([0-9]+)", fallback: "2"')
    assert [d.what for d in defects(here, yaml, own.SUMS)] == [
        "an empty answer scores 1 in exact_match (number) for doc 0"
    ]


def test_wrong_answers_that_score_are_found(here: Path) -> None:
    yaml = own.GENERATE.replace(
        "higher_is_better: true", 'higher_is_better: true, regexes_to_ignore: ["[0-9]"]'
    )
    found = defects(here, yaml, own.SUMS)
    assert any("other docs' answers score 1" in d.what and d.level == "error" for d in found)


def test_a_second_metric_that_takes_other_docs_answers_is_a_warning(here: Path) -> None:
    second = "  - {{metric: form, aggregation: mean, higher_is_better: true}}\nmetadata:"
    yaml = own.GENERATE.replace("metadata:", second) + "process_results: !function utils.score\n"
    path = own.write(here, "one", yaml)
    code = "def score(doc, results):\n    said = results[0]\n    "
    code += "return {'exact_match': float(said == doc['a']), 'form': float(said.isdecimal())}\n"
    (path.parent / "utils.py").write_text(code)
    found, _ = examine(own.load("one").tasks[0])
    assert [(d.level, d.what.split(" (")[0]) for d in found] == [
        ("warning", "other docs' answers score 1 in form")
    ]


def test_one_target_for_all_docs_is_a_warning(here: Path) -> None:
    rows = [row | {"a": "7"} for row in own.SUMS]
    assert [d.what.partition(":")[0] for d in defects(here, own.GENERATE, rows)] == [
        "every doc has the target '7'"
    ]


def test_a_scorer_that_raises_is_found(here: Path) -> None:
    path = own.write(here, "one", own.GENERATE + "process_results: !function utils.score\n")
    (path.parent / "utils.py").write_text("def score(doc, results):\n    return doc['nothing']\n")
    found, _ = examine(own.load("one").tasks[0])
    assert any("scoring gold raises KeyError" in d.what for d in found)


def test_duplicate_choices_are_found(here: Path) -> None:
    found = defects(here, own.CHOICE, changed(own.PICKS, 2, choices=["x", "x", "y", "z"]))
    assert Defect("error", "duplicate choices in doc 2", "doc_to_choice") in found


def test_an_empty_choice_is_found(here: Path) -> None:
    found = defects(here, own.CHOICE, changed(own.PICKS, 2, choices=["x", " ", "y", "z"]))
    assert Defect("error", "an empty choice in doc 2", "doc_to_choice") in found


def test_a_target_that_is_no_choice_is_found(here: Path) -> None:
    found = defects(here, own.CHOICE, changed(own.PICKS, 4, a=9))
    assert Defect("error", "the target is not a choice in doc 4", "doc_to_target") in found


def test_gold_always_at_one_place_is_found(here: Path) -> None:
    rows = [
        {"id": str(i), "q": f"Which {i}?", "choices": [f"{i}{c}" for c in "abcd"], "a": 1}
        for i in range(20)
    ]
    (found,) = defects(here, own.CHOICE, rows)
    assert found.what == "always choosing choice 2 of 4 scores 1.00, chance is 0.25"
    assert found.level == "error"


def test_fewshots_from_the_scored_docs_are_found(here: Path) -> None:
    yaml = own.GENERATE + "num_fewshot: 2\nfewshot_split: few\n"
    (found,) = defects(here, yaml, own.SUMS, few=[own.SUMS[0], {"id": "n", "q": "New?", "a": "5"}])
    assert (found.level, found.where) == ("error", "fewshot_split")
    assert found.what.startswith("1 of 2 few-shot docs are scored docs too (doc 0)")


def test_fewshots_of_their_own_are_none(here: Path) -> None:
    yaml = own.GENERATE + "num_fewshot: 1\nfewshot_split: few\n"
    assert defects(here, yaml, own.SUMS, few=[{"id": "n", "q": "New?", "a": "5"}]) == []


def test_a_stop_string_inside_gold_is_found(here: Path) -> None:
    rows = changed(own.SUMS, 6, a="So:\n14")
    found = defects(here, own.GENERATE, rows)
    what = "stop string '\\n' is inside the gold answer of doc 6"
    assert Defect("error", what, "generation_kwargs.until") in found


def test_a_stop_string_at_the_end_of_gold_is_none(here: Path) -> None:
    yaml = own.GENERATE + 'fewshot_config: {{doc_to_target: "{{{{a}}}}\\n"}}\n'
    assert defects(here, yaml, own.SUMS) == []


def test_a_prompt_longer_than_the_context_is_found(here: Path) -> None:
    own.write(here, "one", rows=changed(own.SUMS, 5, q="long " * 5000))
    (found,) = check_sizes(estimated_sizes(own.load("one").tasks[0]), 4096)
    assert found.level == "error"
    assert found.what.startswith("the prompt of doc 5 has ")


def test_an_answer_without_room_is_a_warning() -> None:
    (found,) = check_sizes([PromptSize(3, 4000, 200)], 4096)
    assert found.level == "warning"
    assert found.what == "prompt and answer of doc 3 may take 4200 tokens, the context is 4096"


def test_a_doubled_bos_is_found() -> None:
    (found,) = check_sizes([PromptSize(3, 40, 2, True), PromptSize(2, 40, 2, True)], 4096)
    what = "more than one BOS token in the prompt of doc 2 and 1 more"
    assert found == Defect("error", what, "doc_to_text")


def test_scoring_stops_when_time_is_over(here: Path) -> None:
    own.write(here, "one")
    _, num_scored = examine(own.load("one").tasks[0], seconds=1e-9)
    assert num_scored == 1


def test_a_prompt_that_cant_be_made_is_found(here: Path) -> None:
    rows = [{"id": "0", "q": "x", "a": "1"}, {"id": "1", "q": "x"}]
    own.write(here, "one", own.GENERATE, rows)
    (found,) = check_sizes(estimated_sizes(own.load("one").tasks[0]), 4096)
    assert found.what == "doc 1 can't be asked: UndefinedError: 'a' is undefined"
