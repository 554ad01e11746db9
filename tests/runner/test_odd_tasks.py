"""Tasks whose own code gives anything but a score: that sample's error, or that metric's, and the others go on."""

from pathlib import Path
from typing import Any

import pytest

import own_tasks
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.runner.run import (
    Outcome,
    run,
)
from evalharness.store.read import iter_samples
from evalharness.store.records import (
    SampleRecord,
    TaskSummary,
)

YAML = """\
task: {name}
output_type: generate_until
custom_dataset: !function evalharness.tasks.local_rows.load
test_split: test
doc_to_text: !function code.text
doc_to_target: !function code.target
process_results: !function code.score
generation_kwargs: {{until: ["\\n"], max_gen_toks: 8}}
metric_list:
  - {{metric: acc, aggregation: !function code.aggregate, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
AS_IT_SHOULD_BE = """
import math, os, re, signal, time
import numpy as np

def text(doc): return doc["q"]
def target(doc): return doc["a"]
def score(doc, results): return {"acc": 1.0}
def mean(values): return sum(values) / len(values)
aggregate = mean
"""
SWALLOW = """
def swallow():
    while True:
        try:
            while True: pass
        except BaseException: pass
def forgiving():
    try:
        while True: pass
    except BaseException: return {"acc": 1.0}
"""
ODD_SCORES = {
    "None": "metric 'acc' is None (NoneType), not a number",
    "'1'": "metric 'acc' is '1' (str), not a number",
    "math.nan": "metric 'acc' is nan, which is not a score",
    "-math.inf": "metric 'acc' is -inf, which is not a score",
    "10**400": "metric 'acc' is too large for a number",
    "1j": "metric 'acc' is 1j (complex), not a number",
    "np.array([1.0, 0.0])": "(ndarray), not a number",
    "[1.0]": "metric 'acc' is [1.0] (list), not a number",
}
ODD_RESULTS = {
    "None": "process_results returned None, not a dict of metrics",
    "[('acc', 1.0)]": "not a dict of metrics",
    "{}": "process_results returned no metric",
    "{1: 1.0}": "process_results returned the metric 1, not a name",
    "{'acc': 1.0, 'why': 'so'}": "metric 'why' is 'so' (str), not a number",
    "exit(1)": "SystemExit: 1",
    "throw(KeyboardInterrupt)": "KeyboardInterrupt",
    "throw(Own)": "Own: (its message can't be shown)",
    "throw(GeneratorExit)": "GeneratorExit",
    "deep()": "RecursionError: maximum recursion depth exceeded",
}
RAISING = """
class Own(BaseException):
    def __str__(self): raise ValueError
def throw(kind): raise kind
def deep(): return deep() + 1
"""
LOOPS = {
    "loop": "while True: pass",
    "wait": "time.sleep(60)",
    "backtrack": "re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "grow": "9 ** 9 ** 9",
    "swallow": "swallow()",
    "forgive": "return forgiving()",
}
LEFT_BEHIND = {
    "folder": "os.chdir('/')",
    "alarm": "signal.setitimer(signal.ITIMER_REAL, 0.01)",
    "its_own_alarm": "signal.signal(signal.SIGALRM, late); signal.setitimer(signal.ITIMER_REAL, 0.01)",
    "answers": "results.clear()",
}
LATE = "def late(*_): raise TimeoutError\n"
BAD_AGGREGATIONS = {
    "raises": "raise ZeroDivisionError('none')",
    "nan": "return math.nan",
    "none": "return None",
    "text": "return 'much'",
    "loops": "while True: pass",
}


def one_of(values: dict[str, str], form: str) -> str:
    """A scorer that gives each doc another of the values."""
    cases = "".join(
        f"    if doc['id'] == '{i}':\n        {form % v}\n" for i, v in enumerate(values)
    )
    return f"def score(doc, results):\n{cases}"


def add(here: Path, name: str, code: str, num_docs: int = 4, aggregation: str = "mean") -> None:
    rows = [{"id": str(i), "q": f"Say {i}", "a": str(i)} for i in range(num_docs)]
    yaml = YAML.replace("!function code.aggregate", aggregation)
    folder = own_tasks.write(here, name, yaml, rows).parent
    (folder / "code.py").write_text(AS_IT_SHOULD_BE + code)


def run_all(here: Path, checkpoint: Path, **changes: Any) -> Outcome:
    names = sorted(path.name for path in (here / "tasks").iterdir())
    return run(
        Config(
            model=ModelConfig(name="tiny", path=str(checkpoint)),
            engine=EngineConfig(kind=EngineKind.fake),
            suite=SuiteConfig(name="odd", tasks={name: TaskConfig() for name in names}),
            run=RunConfig(**({"max_error_rate": 1.0, "scorer_timeout_s": 0.3} | changes)),
            results_dir=str(here / "results"),
        )
    )


@pytest.fixture(scope="module")
def outcome(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One run of all the odd tasks, and a good one behind them."""
    here = tmp_path_factory.mktemp("odd")
    add(here, "odd_scores", one_of(ODD_SCORES, "return {'acc': %s}"), len(ODD_SCORES))
    add(here, "odd_results", RAISING + one_of(ODD_RESULTS, "return %s"), len(ODD_RESULTS))
    looping = SWALLOW + one_of({code: name for name, code in LOOPS.items()}, "%s")
    add(here, "loops", looping, len(LOOPS) + 1)
    add(
        here,
        "prompt_loops",
        SWALLOW + "def text(doc): swallow() if doc['id'] == '1' else None; return 'x'",
    )
    add(here, "target_raises", "def target(doc): return {'0': 0, '1': 1}[doc['id']]")
    add(here, "odd_targets", "def target(doc): return [None, 7, [1, 2], {}][int(doc['id'])]")
    add(
        here,
        "undeclared",
        "def score(doc, results): return {'acc': np.float32(1), 'own': np.array(0.5)}",
    )
    rows = [{"q": "Which?", "choices": c, "a": 0} for c in (["x", "y"], [])]
    own_tasks.write(here, "no_choices", own_tasks.CHOICE, rows)
    golds: tuple[list[int], ...] = ([0], [1], [2], [-1], [0, 5])
    rows = [{"q": "Which?", "choices": ["x", "y"], "a": a} for a in golds]
    own_tasks.write(here, "no_gold", own_tasks.CHOICE, rows)
    yaml = own_tasks.CHOICE + "process_results: !function code.score\n"
    folder = own_tasks.write(here, "own_gold", yaml, rows[2:4]).parent
    (folder / "code.py").write_text("def score(doc, results): return {'acc': 1.0}")
    some = "def score(doc, results): return {'acc' if doc['id'] == '0' else 'own': 1.0}"
    add(here, "some_scored", some)
    add(here, "half_texts", "def text(doc): return doc['q'] + '\\ud83d' * (doc['id'] == '1')")
    for name, body in LEFT_BEHIND.items():
        code = f"{LATE}def score(doc, results):\n    {body}\n    return {{'acc': 1.0}}"
        add(here, f"leaves_{name}", code)
    add(here, "unscored", "def score(doc, results): return {'own': 1}")
    add(
        here,
        "sorts",
        "def aggregate(values): values.sort(); return values.pop()",
        4,
        "!function code.aggregate",
    )
    for name, body in BAD_AGGREGATIONS.items():
        code = f"def aggregate(values):\n    {body}"
        add(here, f"aggregate_{name}", code, 4, "!function code.aggregate")
    add(here, "zz_good", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        return run_all(here, tiny_llama)


def summary(outcome: Outcome, name: str) -> TaskSummary:
    return next(s for s in outcome.manifest.tasks if s.task == name)


def errors(outcome: Outcome, name: str) -> list[str | None]:
    rows: list[SampleRecord] = sorted(iter_samples(outcome.run_dir, name), key=lambda r: r.doc_id)
    assert all(not row.scores for row in rows if row.error)
    return [row.error for row in rows]


def value(outcome: Outcome, name: str, metric: str = "acc") -> float:
    return next(m.value for m in outcome.metrics if m.task == name and m.metric == metric)


@pytest.mark.parametrize("place", range(len(ODD_SCORES)), ids=list(ODD_SCORES))
def test_a_score_that_is_no_number_is_that_samples_error(outcome: Outcome, place: int) -> None:
    assert list(ODD_SCORES.values())[place] in str(errors(outcome, "odd_scores")[place])


@pytest.mark.parametrize("place", range(len(ODD_RESULTS)), ids=list(ODD_RESULTS))
def test_a_scorer_that_gives_no_scores_is_that_samples_error(outcome: Outcome, place: int) -> None:
    assert list(ODD_RESULTS.values())[place] in str(errors(outcome, "odd_results")[place])


@pytest.mark.parametrize("place", range(len(LOOPS)), ids=list(LOOPS))
def test_a_scorer_that_takes_too_long_is_that_samples_error(outcome: Outcome, place: int) -> None:
    assert errors(outcome, "loops")[place] == (
        "scoring: scoring took longer than 0.3 s (run.scorer_timeout_s)"
    )


def test_a_prompt_that_takes_too_long_is_that_samples_error(outcome: Outcome) -> None:
    first, slow, *others = errors(outcome, "prompt_loops")
    assert slow == "prompt: the prompt took longer than 0.3 s (run.scorer_timeout_s)"
    assert (first, others) == (None, [None, None])


def test_a_target_that_cant_be_made_is_that_samples_error(outcome: Outcome) -> None:
    assert errors(outcome, "target_raises") == [
        None, None, "prompt: KeyError: '2'", "prompt: KeyError: '3'"
    ]  # fmt: skip


def test_targets_of_other_types_are_shown_as_text(outcome: Outcome) -> None:
    rows = sorted(iter_samples(outcome.run_dir, "odd_targets"), key=lambda r: r.doc_id)
    assert [row.target for row in rows] == ["None", "7", "[1, 2]", "{}"]


def test_half_a_character_in_a_prompt_is_that_samples_error(outcome: Outcome) -> None:
    first, second, *_ = errors(outcome, "half_texts")
    assert first is None
    assert second is not None
    assert "'\\ud83d' in the prompt is half a character" in second


def test_a_doc_without_choices_is_an_error(outcome: Outcome) -> None:
    first, second = errors(outcome, "no_choices")
    assert first is None
    assert second == "prompt: ValueError: nothing is asked: the doc has no choices"


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_a_scorer_leaves_to_the_process_is_taken_back(outcome: Outcome, name: str) -> None:
    assert errors(outcome, f"leaves_{name}") == [None] * 4
    assert value(outcome, f"leaves_{name}") == 1.0


def test_the_answer_is_stored_as_it_was_before_the_scorer(outcome: Outcome) -> None:
    answers = {row.answer for row in iter_samples(outcome.run_dir, "leaves_answers")}
    assert answers
    assert all(answer.strip().startswith("The answer is") for answer in answers)


def test_a_number_of_an_undeclared_metric_is_a_mean(outcome: Outcome) -> None:
    assert (value(outcome, "undeclared"), value(outcome, "undeclared", "own")) == (1.0, 0.5)


def test_a_task_whose_main_metric_no_sample_has_is_failed(outcome: Outcome) -> None:
    found = summary(outcome, "unscored")
    assert (found.status, found.remarks) == ("failed", ("acc: no sample has a value",))


@pytest.mark.parametrize("name", BAD_AGGREGATIONS)
def test_an_aggregation_that_gives_no_number_fails_its_task(outcome: Outcome, name: str) -> None:
    found = summary(outcome, f"aggregate_{name}")
    assert found.status == "failed"
    assert found.remarks[0].startswith("acc: its aggregation failed: ")
    (metric,) = [m for m in outcome.metrics if m.task == found.task]
    assert (metric.n, metric.value == metric.value) == (0, False)


def test_an_aggregation_may_change_its_own_copy(outcome: Outcome) -> None:
    assert (summary(outcome, "sorts").status, value(outcome, "sorts")) == ("complete", 1.0)


def test_the_other_tasks_are_finished_and_stored(outcome: Outcome) -> None:
    assert outcome.manifest.status == "partial"
    assert len(outcome.manifest.tasks) == 24
    assert (summary(outcome, "zz_good").status, value(outcome, "zz_good")) == ("complete", 1.0)
    assert errors(outcome, "zz_good") == [None] * 4


def test_a_task_that_has_failed_by_its_overruns_is_tried_no_further(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    add(tmp_path, "slow", "def score(doc, results): time.sleep(60)", num_docs=10)
    found = run_all(tmp_path, tiny_llama, max_error_rate=0.1)
    (slow,) = found.manifest.tasks
    assert (slow.status, slow.num_errors) == ("failed", 10)
    assert sorted(slow.reasons.values()) == [2, 8]


def remarks(outcome: Outcome, name: str) -> tuple[str, ...]:
    return next(task.remarks for task in outcome.manifest.tasks if task.task == name)


def test_a_right_answer_that_is_none_of_the_choices_is_counted(outcome: Outcome) -> None:
    (said,) = [r for r in remarks(outcome, "no_gold") if "choices" in r]
    assert said.startswith(
        "the right answer is none of the choices in 2 of 5 samples, which count as wrong"
    )
    (task,) = [t for t in outcome.manifest.tasks if t.task == "no_gold"]
    assert task.num_without_gold == 2
    assert remarks(outcome, "own_gold") == ()


def test_samples_that_the_main_metric_leaves_out_are_counted(outcome: Outcome) -> None:
    (said,) = [r for r in remarks(outcome, "some_scored") if "no value" in r]
    assert said.endswith("3 of 4 scored samples have no value, and don't count")
