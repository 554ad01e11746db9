"""Samples' scores become a task's metrics: over docs, with clusters, bounds and seeds."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from lm_eval.api.instance import Instance

import own_tasks
from evalharness.analysis.estimates import estimate
from evalharness.records import MetricRecord
from evalharness.running.metric_values import checked_scores
from evalharness.running.scoring import Scored, TaskScorer, TaskScores
from evalharness.tasks.loading import LoadedTask

DOCS = [{"id": str(i), "q": f"Say {i}", "a": "1", "source": f"s{i % 3}"} for i in range(12)]
YAML = own_tasks.GENERATE.replace(
    "generation_kwargs", "process_results: !function code.score\ngeneration_kwargs"
)
CODE = """
def score(doc, results): return {"exact_match": float(results[0])}
def rms(values): return (sum(v * v for v in values) / len(values)) ** 0.5
def where_none(values): return len(values) / sum(v == 1 for v in values)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(
    here: Path, *, aggregation: str = "mean", better: str = "true", **overrides: object
) -> LoadedTask:
    yaml = YAML.replace("aggregation: mean", f"aggregation: {aggregation}")
    yaml = yaml.replace("higher_is_better: true", f"higher_is_better: {better}")
    folder = own_tasks.write(here, "sums", yaml.replace("([0-9]+)", "([0-9.]+)"), DOCS).parent
    (folder / "code.py").write_text(CODE)
    (loaded,) = own_tasks.load("sums", **overrides).tasks
    return loaded


def add(
    scorer: TaskScorer, doc_id: int, answer: float, repeat: int = 0, *, is_cut: bool = False
) -> None:
    instance = Instance("generate_until", DOCS[doc_id], ("", {}), 0, ("sums", doc_id, 1))
    instance.resps = [str(answer)]
    scored = scorer.score(doc_id, repeat, [instance], is_cut=is_cut)
    assert isinstance(scored, dict)
    assert scored["number"] == Scored(str(answer), {"exact_match": answer})


def finish(loaded: LoadedTask, answers: Sequence[float], cut: Sequence[int] = ()) -> TaskScores:
    scorer = TaskScorer(loaded)
    for doc_id, answer in enumerate(answers):
        add(scorer, doc_id, answer, is_cut=doc_id in cut)
    return scorer.finish()


def metric(scores: TaskScores) -> MetricRecord:
    (found,) = scores.metrics
    return found


def test_two_repeats_of_a_doc_are_one_unit(here: Path) -> None:
    scorer = TaskScorer(load(here, repeats=2))
    for doc_id in (2, 0, 1):
        for repeat in (1, 0):
            add(scorer, doc_id, float(repeat == 0 or doc_id == 2), repeat)
    found = metric(scorer.finish())
    assert (found.n, found.value) == (3, pytest.approx((0.5 + 0.5 + 1) / 3))
    assert found.ci_high == estimate([0.5, 0.5, 1.0], draws=2).ci_high < 1


def test_clusters_of_repeats_are_those_of_their_docs(here: Path) -> None:
    scorer = TaskScorer(load(here, repeats=2, cluster="{{source}}"))
    for doc_id in range(12):
        for repeat in (0, 1):
            add(scorer, doc_id, float(doc_id % 3 == 0), repeat)
    scores = scorer.finish()
    (clusters,) = scores.clusters.values()
    assert list(clusters[:3]) == list(clusters[3:6])
    assert len(set(clusters)) == 3
    ones = [float(i % 3 == 0) for i in range(12)]
    assert metric(scores).ci_low == estimate(ones, [i % 3 for i in range(12)]).ci_low


def test_few_sources_are_told(here: Path) -> None:
    loaded = load(here, cluster="{{source}}")
    assert list(finish(loaded, [1.0, 0.0] * 6).problems.values()) == [
        "3 sources: too few to know how far others would differ"
    ]
    assert not finish(load(here), [1.0, 0.0] * 6).problems


def test_the_order_of_finishing_changes_nothing(here: Path) -> None:
    loaded, scorers = load(here, aggregation="!function code.rms"), []
    for order in (range(12), reversed(range(12))):
        scorers.append(TaskScorer(loaded))
        for doc_id in order:
            add(scorers[-1], doc_id, doc_id / 12)
    first, second = (metric(scorer.finish()) for scorer in scorers)
    assert first == second


def test_the_interval_of_an_aggregation_is_seeded_by_task_and_metric(here: Path) -> None:
    values = np.arange(12) / 12
    found = metric(finish(load(here, aggregation="!function code.rms"), list(values)))
    rng = np.random.default_rng([12, *b"sums/exact_match"])
    draws = [values[rng.integers(12, size=12)] for _ in range(1000)]
    low, high = np.quantile([np.sqrt(np.mean(draw**2)) for draw in draws], [0.025, 0.975])
    assert found.value == pytest.approx(np.sqrt(np.mean(values**2)))
    assert (found.ci_low, found.ci_high) == (pytest.approx(low), pytest.approx(high))


def test_an_aggregation_over_repeats_resamples_docs(here: Path) -> None:
    """12 docs, 4 equal answers each: the interval is that of 12, and not half as wide."""
    values = np.arange(12) / 12
    scorer = TaskScorer(load(here, aggregation="!function code.rms", repeats=4))
    for doc_id, value in enumerate(values):
        for repeat in range(4):
            add(scorer, doc_id, value, repeat)
    found = metric(scorer.finish())
    once = metric(finish(load(here, aggregation="!function code.rms"), list(values)))
    assert (found.n, found.value) == (12, pytest.approx(once.value))
    assert found.stderr == pytest.approx(once.stderr, rel=0.1)
    assert found.ci_high - found.ci_low == pytest.approx(once.ci_high - once.ci_low, rel=0.15)


def test_resamples_without_a_value_are_counted(here: Path) -> None:
    scores = finish(load(here, aggregation="!function code.where_none"), [1.0] + [0.0] * 11)
    (why,) = scores.problems.values()
    assert "of 1000 resamples have no value; its interval is of the others" in why
    assert 300 < int(why.split()[0]) < 400  # (11/12)^12 = 0.352
    assert metric(scores).ci_low < metric(scores).value <= metric(scores).ci_high


@pytest.mark.parametrize(("said", "is_better"), [("true", True), ("false", False), ("null", True)])
def test_what_is_better_is_as_the_task_says_and_higher_where_it_doesnt(
    here: Path, said: str, is_better: bool
) -> None:
    assert metric(finish(load(here, better=said), [1.0])).higher_is_better is is_better


def test_no_answer_cut_leaves_no_doubt(here: Path) -> None:
    assert finish(load(here), [1.0, 0.0]).doubt is None


def test_bounds_are_the_score_with_all_cut_answers_wrong_and_right(here: Path) -> None:
    doubt = finish(load(here), [1.0, 0.0, 1.0, 0.0], cut=(1, 2)).doubt
    assert doubt == (2, 4, 0.25, 0.75)


def test_bounds_of_repeats_are_over_docs(here: Path) -> None:
    scorer = TaskScorer(load(here, repeats=2))
    add(scorer, 0, 1.0, 0, is_cut=True)
    add(scorer, 0, 1.0, 1)
    add(scorer, 1, 0.0, 0)  # its other repeat failed
    doubt = scorer.finish().doubt
    assert doubt == (1, 3, 0.25, 0.5)


def test_a_metric_beyond_0_to_1_has_no_bounds(here: Path) -> None:
    assert finish(load(here), [7.0, 0.0], cut=(1,)).doubt == (1, 2, None, None)


def test_neither_has_one_that_is_no_mean(here: Path) -> None:
    loaded = load(here, aggregation="!function code.rms")
    assert finish(loaded, [1.0, 0.0], cut=(1,)).doubt == (1, 2, None, None)


def test_nan_of_nanmean_leaves_the_sample_out() -> None:
    def nanmean(values: list[float]) -> float:
        return math.nan

    assert checked_scores({"acc": math.nan, "f1": 1}, {"acc": nanmean}) == {"f1": 1.0}
