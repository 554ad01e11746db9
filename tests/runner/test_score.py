"""Samples' scores become a task's metrics: over docs, with clusters, bounds and seeds."""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lm_eval.api.instance import Instance

import own_tasks
from evalharness.engines.requests import Failure
from evalharness.runner import score
from evalharness.runner.metric_values import checked_scores
from evalharness.runner.score import (
    Answer,
    Scored,
    TaskScorer,
    TaskScores,
    no_metric,
)
from evalharness.stats.estimates import estimate
from evalharness.store.records import MetricRecord
from evalharness.tasks.loaded_task import LoadedTask

DOCS = [{"id": str(i), "q": f"Say {i}", "a": "1", "source": f"s{i % 3}"} for i in range(12)]
YAML = own_tasks.GENERATE.replace(
    "generation_kwargs", "process_results: !function code.score\ngeneration_kwargs"
)
CODE = """
import random

def score(doc, results): return {"exact_match": float(results[0])}
def draw(doc, results): return {"exact_match": random.random()}
def two(doc, results): return {"exact_match": float(results[0]), "f1": 1.0}
def only_other(doc, results): return {"f1": float(results[0])}
def drawn(values): return random.random()
def broken(values): raise KeyError("no such thing")
def rms(values): return (sum(v * v for v in values) / len(values)) ** 0.5
def where_none(values): return len(values) / sum(v == 1 for v in values)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(
    here: Path,
    *,
    scorer: str = "score",
    aggregation: str = "mean",
    better: str = "true",
    docs: own_tasks.Rows = DOCS,
    **overrides: object,
) -> LoadedTask:
    yaml = YAML.replace("aggregation: mean", f"aggregation: {aggregation}")
    yaml = yaml.replace("higher_is_better: true", f"higher_is_better: {better}")
    yaml = yaml.replace("code.score", f"code.{scorer}").replace("([0-9]+)", "(-?[0-9.]+)")
    folder = own_tasks.write(here, "sums", yaml, docs).parent
    (folder / "code.py").write_text(CODE)
    (loaded,) = own_tasks.load("sums", **overrides).tasks
    return loaded


def answered(doc_id: int, answer: object) -> Instance:
    instance = Instance("generate_until", DOCS[doc_id], ("", {}), 0, ("sums", doc_id, 1))
    instance.resps = [str(answer)]
    return instance


def add(
    scorer: TaskScorer, doc_id: int, answer: float, repeat: int = 0, *, is_cut: bool = False
) -> None:
    scored = scorer.score(doc_id, repeat, [answered(doc_id, answer)], is_cut=is_cut)
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


def test_few_sources_are_reported(here: Path) -> None:
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
    assert "of 1000 resamples have no value; its interval is that of the others" in why
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


@pytest.mark.parametrize(
    ("scores", "has_bounds"),
    [((7.0, 0.0), False), ((1.5, 0.0), False), ((-0.5, 1.0), False), ((0.5, 0.5), True)],
)
def test_a_metric_beyond_0_to_1_has_no_bounds(
    here: Path, scores: Sequence[float], has_bounds: bool
) -> None:
    doubt = finish(load(here), scores, cut=(1,)).doubt
    assert doubt == ((1, 2, 0.25, 0.75) if has_bounds else (1, 2, None, None))


def test_neither_has_one_that_is_no_mean(here: Path) -> None:
    loaded = load(here, aggregation="!function code.rms")
    assert finish(loaded, [1.0, 0.0], cut=(1,)).doubt == (1, 2, None, None)


def test_nan_of_nanmean_leaves_the_sample_out() -> None:
    def nanmean(values: list[float]) -> float:
        return math.nan

    assert checked_scores({"acc": math.nan, "f1": 1}, {"acc": nanmean}) == {"f1": 1.0}


def test_a_metrics_record_says_all_that_its_estimate_does(here: Path) -> None:
    """Scores 1, 0, 0.5: mean 1/2, standard error sqrt(1/4 / 3); Student's t with 2 degrees, 4.302653, cut at 0 and 1."""
    loaded = load(here)
    found = metric(finish(loaded, [1.0, 0.0, 0.5]))
    assert (found.task, found.group, found.metric, found.filter) == (
        *("sums", "sums"),
        *("exact_match", "number"),
    )
    assert (found.value, found.n, found.is_main) == (0.5, 3, True)
    assert found.stderr == pytest.approx(math.sqrt(1 / 12))
    assert (found.ci_low, found.ci_high) == (0.0, 1.0)
    assert found.higher_is_better


def test_a_second_metric_is_not_the_main_one(here: Path) -> None:
    found = finish(load(here, scorer="two"), []).metrics
    assert [(m.metric, m.is_main) for m in found] == [("exact_match", True)]
    scorer = TaskScorer(load(here, scorer="two"))
    scorer.score(0, 0, [answered(0, 0.5)])
    assert [(m.metric, m.value, m.is_main) for m in scorer.finish().metrics] == [
        ("exact_match", 0.5, True),
        ("f1", 1.0, False),
    ]


@pytest.mark.parametrize("better", ["true", "false"])
def test_a_task_without_a_score_is_nan_over_none(here: Path, better: str) -> None:
    loaded = load(here, better=better)
    found = no_metric(loaded)
    assert (found.task, found.group, found.metric, found.filter) == (
        *("sums", "sums"),
        *("exact_match", "number"),
    )
    assert (found.n, found.is_main, found.higher_is_better) == (0, True, better == "true")
    assert all(map(math.isnan, (found.value, found.ci_low, found.ci_high, found.stderr)))
    scores = finish(loaded, [])
    assert repr(scores) == repr(TaskScores([found], {}))
    assert (scores.clusters, scores.problems, scores.has_no_score(loaded)) == ({}, {}, False)


def test_a_main_metric_that_no_sample_has_is_a_problem(here: Path) -> None:
    loaded = load(here, scorer="only_other")
    scorer = TaskScorer(loaded)
    scorer.score(0, 0, [answered(0, 1.0)], is_cut=True)
    scores = scorer.finish()
    assert scores.problems == {("exact_match", "number"): "no sample has a value"}
    assert [(m.metric, m.n, m.is_main) for m in scores.metrics] == [
        ("f1", 1, False),
        ("exact_match", 0, True),
    ]
    assert scores.has_no_score(loaded)
    assert scores.doubt is None


def test_a_failed_aggregation_is_a_problem_and_no_score(here: Path) -> None:
    loaded = load(here, aggregation="!function code.broken")
    scores = finish(loaded, [1.0])
    (problem,) = scores.problems.values()
    assert problem.startswith("its aggregation failed: KeyError")
    assert (metric(scores).n, math.isnan(metric(scores).value)) == (0, True)
    assert scores.has_no_score(loaded)


@pytest.mark.parametrize(("ended_at", "is_slow"), [(103.5, False), (3.6, False), (3.7, True)])
def test_a_slow_aggregation_has_a_value_without_an_interval(
    here: Path, monkeypatch: pytest.MonkeyPatch, ended_at: float, is_slow: bool
) -> None:
    class Clock:
        times = iter([100.0 if ended_at > 100 else 0.0, ended_at])

        def monotonic(self) -> float:
            return next(self.times)

    loaded = load(here, aggregation="!function code.rms")
    monkeypatch.setattr(score, "time", Clock())
    scores = finish(loaded, [1.0, 0.0, 0.0, 1.0])
    found = metric(scores)
    assert (found.value, found.n) == (math.sqrt(0.5), 4)
    assert (len(scores.problems) == 1) == is_slow
    assert all(map(math.isnan, (found.ci_low, found.ci_high, found.stderr))) == is_slow
    assert not scores.has_no_score(loaded)


def test_a_scorer_that_fails_is_the_samples_failure(here: Path) -> None:
    scorer = TaskScorer(load(here))
    found = scorer.score(0, 0, [answered(0, "no number")])
    assert isinstance(found, Failure)
    assert found.kind == "scoring"
    assert found.message.startswith("ValueError: could not convert string to float")
    assert scorer.score_answer([answered(0, 1.0)], "none") == found
    assert scorer.finish().values == {}


def test_an_answer_of_a_conversation_leaves_the_samples_own_alone(here: Path) -> None:
    scorer = TaskScorer(load(here))
    sample = answered(0, 0.25)
    scorer.score(0, 0, [sample])
    assert scorer.score_answer([sample], "it is 0.75") == Answer("0.75", 0.75)
    assert (sample.resps, sample.filtered_resps) == (["0.25"], {"number": "0.25"})
    assert list(scorer.finish().values["exact_match", "number"]) == [0.25]


def test_an_answer_without_anything_extracted_is_none(here: Path) -> None:
    found = TaskScorer(load(here, scorer="draw")).score_answer([answered(3, "")], "none")
    assert isinstance(found, Answer)
    assert found.text is None


def test_what_a_scorer_draws_follows_from_task_doc_and_repeat(here: Path) -> None:
    """Golden values: another seed would give another score to everything that was scored before."""
    scorer = TaskScorer(load(here, scorer="draw", repeats=2))
    for doc_id, repeat in ((3, 0), (3, 1), (4, 0)):
        random.seed(doc_id)
        scorer.score(doc_id, repeat, [answered(doc_id, 1.0)])
    (values,) = scorer._values.values()
    assert list(values.values) == pytest.approx(
        [0.5240260815265922, 0.9336321058783742, 0.4545790207912631]
    )
    assert scorer.score_answer([answered(3, "")], "2") == Answer(
        "2", pytest.approx(0.33300363922026843)
    )


def test_what_an_aggregation_draws_follows_from_task_metric_and_filter(here: Path) -> None:
    found = metric(finish(load(here, aggregation="!function code.drawn"), [1.0, 0.0]))
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx(
        (0.04880033595250699, 0.02743869178919007, 0.9701543516688154)
    )


def test_a_doc_without_a_source_is_its_own(here: Path) -> None:
    docs = [DOCS[0], {**DOCS[1], "source": ""}, DOCS[3]]
    loaded = load(here, docs=docs, cluster="{{source}}")
    clusters = finish(loaded, [1.0, 0.0, 0.0]).clusters["exact_match", "number"]
    assert clusters[1] == "doc 1"
    assert clusters[0] == clusters[2] != "doc 0"
    assert finish(load(here), [1.0, 0.0]).clusters == {}


def test_choices_are_scored_in_their_order_whatever_the_order_of_requests(here: Path) -> None:
    own_tasks.write(here, "picks", own_tasks.CHOICE, own_tasks.PICKS)
    (loaded,) = own_tasks.load("picks").tasks
    doc = own_tasks.PICKS[2]  # its third choice is right
    instances = [
        Instance("loglikelihood", doc, ("", ""), idx, ("picks", 2, 1)) for idx in (3, 0, 2, 1)
    ]
    for i in instances:
        i.resps = [(np.float32(-1 if i.idx == 2 else -2 - i.idx), False)]
    found = TaskScorer(loaded).score(2, 0, instances)
    assert isinstance(found, dict)
    assert found["none"].scores["acc"] == 1.0
    assert json.loads(found["none"].answer) == [
        [text, False] for text in ("-2.0", "-3.0", "-1.0", "-5.0")
    ]


def test_a_score_among_several_metrics_is_one_whatever_its_interval_lacks(here: Path) -> None:
    loaded = load(here)
    main, other = no_metric(loaded), replace(no_metric(loaded), metric="f1", is_main=False)
    problems = {loaded.main_metric(): "no interval"}
    found = TaskScores([replace(main, n=4), other], {}, problems=problems)
    assert not found.has_no_score(loaded)
    assert replace(found, metrics=[main, replace(other, n=4)]).has_no_score(loaded)
