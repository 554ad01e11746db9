"""The right answer as a filter extracts it from the target: only where it is what an answer is compared with."""

from pathlib import Path

import pytest
from lm_eval.api.instance import Instance

import own_tasks
from evalharness.runner.score import TaskScorer
from evalharness.tasks.loaded_task import LoadedTask

LONG = "He has 3 and gets 4.\nSo 3+4=<<3+4=7>>7 apples.\n#### 7"
STRICT = """\
  - name: strict
    filter:
      - {{function: regex, regex_pattern: "#### ([0-9]+)"}}
      - {{function: take_first}}
filter_list:
"""
LIKE_GSM8K = own_tasks.GENERATE.replace("filter_list:\n", "filter_list:\n" + STRICT, 1)
LIKE_GSM8K = LIKE_GSM8K.replace("filter_list:\n  - name: number", "  - name: number")
LIKE_GSM8K = LIKE_GSM8K.replace(
    "higher_is_better: true}}", 'higher_is_better: true, regexes_to_ignore: ["(?s).*#### "]}}'
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(here: Path, yaml: str, target: str) -> LoadedTask:
    docs = [{"id": str(i), "q": "How many?", "a": target} for i in range(2)]
    own_tasks.write(here, "sums", yaml, docs)
    (loaded,) = own_tasks.load("sums").tasks
    return loaded


def gold(loaded: LoadedTask, said: str = "#### 8") -> dict[str, str | None]:
    """Filter -> what it extracted from the target of doc 0."""
    instance = Instance("generate_until", loaded.docs[0], ("", {}), 0, ("sums", 0, 1))
    instance.resps = [said]
    found = TaskScorer(loaded).score(0, 0, [instance])
    assert isinstance(found, dict)
    assert instance.resps == [said]
    return {name: scored.gold_answer for name, scored in found.items()}


def test_each_filter_finds_the_answer_in_a_long_target_if_that_is_what_counts(here: Path) -> None:
    # The filter `number` finds the first number of the target, which as an answer would be wrong.
    assert gold(load(here, LIKE_GSM8K, LONG)) == {"strict": "7", "number": None}


def test_the_score_is_that_of_the_response(here: Path) -> None:
    loaded = load(here, LIKE_GSM8K, LONG)
    scorer = TaskScorer(loaded)
    instance = Instance("generate_until", loaded.docs[0], ("", {}), 0, ("sums", 0, 1))
    instance.resps = ["#### 8"]
    found = scorer.score(0, 0, [instance])
    assert isinstance(found, dict)
    assert (found["strict"].answer, found["strict"].scores) == ("8", {"exact_match": 0.0})
    values = {key: list(v) for key, v in scorer.finish().values.items()}
    assert values == {("exact_match", "strict"): [0.0], ("exact_match", "number"): [0.0]}


@pytest.mark.parametrize("target", ["7", "seven apples", "#### 7", "7 7", ""])
def test_a_target_that_says_nothing_more_is_left_as_it_is(here: Path, target: str) -> None:
    strict = "7" if target == "#### 7" else None
    assert gold(load(here, LIKE_GSM8K, target)) == {"strict": strict, "number": strict}


def test_where_the_tasks_own_code_scores_nothing_is_guessed(here: Path) -> None:
    own = LIKE_GSM8K.replace("generation_kwargs", "process_results: !function code.score\ngeneration_kwargs")  # fmt: skip
    (here / "tasks" / "sums").mkdir(parents=True)
    code = "def score(doc, results): return {'exact_match': 1.0}\n"
    (here / "tasks" / "sums" / "code.py").write_text(code)
    assert gold(load(here, own, LONG)) == {"strict": None, "number": None}
