"""A run as lm-eval writes it, and back."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.interchange.lm_eval_export import results_json, write_lm_eval
from evalharness.interchange.lm_eval_import import import_path
from evalharness.interchange.run_data import Stored
from evalharness.stats.estimates import wilson
from evalharness.store.read import iter_samples, load_manifest
from evalharness.store.records import (
    MetricRecord,
    SampleRecord,
    TaskSummary,
)


def _back(run: Stored, folder: Path) -> Stored:
    write_lm_eval(run, folder / "out", with_samples=True)
    (imported,) = import_path(folder / "out", folder / "again").runs
    run_dir = folder / "again" / imported.manifest.run_id
    return Stored.load(run_dir, load_manifest(run_dir))


def _scores(content: dict[str, Any]) -> dict[str, Any]:
    """Without a group's own bookkeeping."""
    return {
        task: {key: value for key, value in found.items() if not key.startswith("sample_")}
        for task, found in content["results"].items()
    }


def _lines(path: Path) -> list[dict[str, Any]]:
    """What the store keeps of each, ordered: ours go by doc, lm-eval's by filter."""
    kept = ("filter", "doc_id", "target", "resps", "filtered_resps", "metrics", "doc_hash", "prompt_hash", "target_hash")  # fmt: skip
    lines = [json.loads(line) for line in path.read_text().split("\n") if line]
    found = [{name: line[name] for name in kept} for line in lines]
    return sorted(found, key=lambda line: (line["filter"], line["doc_id"]))


def _samples(run: Stored, task: str) -> list[SampleRecord]:
    return [replace(s, latency_s=0.0) for s in iter_samples(run.run_dir, task)]


def test_what_lm_eval_wrote_comes_back_equal(
    lm_eval_output: Path, results_file: Path, tmp_path: Path
) -> None:
    (imported,) = import_path(lm_eval_output, tmp_path / "store").runs
    run = Stored.load(tmp_path / "store" / imported.manifest.run_id, imported.manifest)
    write_lm_eval(run, tmp_path / "out", with_samples=True)
    (path,) = (tmp_path / "out").rglob("results_*.json")
    ours, theirs = json.loads(path.read_text()), json.loads(results_file.read_text())
    for name in ("configs", "n-samples", "group_subtasks", "config"):
        assert ours[name] == theirs[name], name
    for name in ("versions", "n-shot", "higher_is_better"):
        of_tasks = {task: theirs[name][task] for task in ours["configs"]}
        assert {task: ours[name][task] for task in of_tasks} == of_tasks, name
    assert _scores(ours) == _scores(theirs)
    for task in ("arc_easy_sample", "gsm8k_sample"):
        (logged,) = results_file.parent.glob(f"samples_{task}_*")
        (written,) = path.parent.glob(f"samples_{task}_*")
        assert _lines(written) == _lines(logged)


def test_import_of_an_export_keeps_metrics_and_samples(
    lm_eval_output: Path, tmp_path: Path
) -> None:
    (imported,) = import_path(lm_eval_output, tmp_path / "store").runs
    run = Stored.load(tmp_path / "store" / imported.manifest.run_id, imported.manifest)
    again = _back(run, tmp_path)
    assert sorted(map(str, again.metrics)) == sorted(map(str, run.metrics))
    for task in run.manifest.tasks:
        assert _samples(again, task.task) == _samples(run, task.task)
    assert [replace(t, wall_s=0.0) for t in again.manifest.tasks] == [
        replace(t, wall_s=0.0) for t in run.manifest.tasks
    ]


def test_our_own_run_keeps_its_scores(store_run: Any, tmp_path: Path) -> None:
    run = store_run()
    again = _back(run, tmp_path)
    (before,), (after,) = run.metrics, again.metrics
    kept = ("task", "metric", "filter", "value", "stderr", "n", "higher_is_better")
    assert {k: asdict(after)[k] for k in kept} == {k: asdict(before)[k] for k in kept}
    assert again.manifest.started_at == run.manifest.started_at
    (task,) = again.manifest.tasks
    assert (task.num_fewshot, task.version, task.num_docs_available) == (5, "3.0", 4)
    lost = {"num_prompt_tokens": 0, "num_generated_tokens": 0, "finish_reason": "unknown"}
    assert _samples(again, "gsm8k") == [replace(s, **lost) for s in _samples(run, "gsm8k")]


def test_repeats_and_failures_come_back(
    store_run: Any, tmp_path: Path, task: TaskSummary, sample: SampleRecord
) -> None:
    samples = (
        sample,
        replace(sample, repeat=1, scores={"exact_match": 0.0}),
        replace(sample, doc_id=1, response="", answer="", scores={}, error="request: refused"),
        replace(sample, doc_id=1, repeat=1, response='[["two", "draws"]]'),
    )
    run = store_run(tasks=(replace(task, num_docs=2, repeats=2),), samples=samples)
    found = _samples(_back(run, tmp_path), "gsm8k")
    kept = ("doc_id", "repeat", "response", "answer", "scores", "error")
    assert [{k: asdict(s)[k] for k in kept} for s in found] == [
        {k: asdict(s)[k] for k in kept} for s in samples
    ]


def test_a_score_that_there_is_not_stays_nan(
    store_run: Any, tmp_path: Path, metric: MetricRecord
) -> None:
    nothing = replace(metric, metric="f1", value=math.nan, n=0, is_main=False)
    again = _back(store_run(metrics=(metric, nothing)), tmp_path)
    found = next(m for m in again.metrics if m.metric == "f1")
    assert (math.isnan(found.value), found.n) == (True, 0)


def test_lm_eval_itself_reads_it(store_run: Any) -> None:
    from lm_eval.utils import make_table

    table = make_table(json.loads(results_json(store_run())))
    assert "|gsm8k|      3|strict-match|     5|exact_match|↑  | 0.75|±  |  0.25|" in table


def test_where_it_came_from_is_said(store_run: Any) -> None:
    said = json.loads(results_json(store_run()))["evalharness"]
    assert said["fingerprint"] == "ab" * 32
    assert said["intervals"] == {"gsm8k": {"exact_match,strict-match": [0.301, 0.954]}}


def test_made_up_answers_stay_so_on_the_way_out_and_back(store_run: Any, tmp_path: Path) -> None:
    once = _back(store_run(engine={"kind": "fake"}), tmp_path)
    assert once.manifest.is_fake
    assert _back(once, tmp_path / "twice").manifest.is_fake
    assert not _back(store_run(run_id="real"), tmp_path / "real").manifest.is_fake


@pytest.mark.parametrize("text", ["[[", "[1, 2]", '[["one"]]', "", "[[[[", '{"a": 1}'])
def test_a_generation_that_looks_like_json_is_text(
    store_run: Any, tmp_path: Path, sample: SampleRecord, text: str
) -> None:
    run = store_run(samples=(replace(sample, response=text),))
    assert [s.response for s in _samples(_back(run, tmp_path), "gsm8k")] == [text]


def test_how_random_docs_were_drawn_comes_back(
    store_run: Any, task: TaskSummary, tmp_path: Path
) -> None:
    drawn = {"limit_from": "random", "limit_seed": 3, "stratified_by": "category"}
    some = replace(task, num_docs_available=99, **drawn)
    (back,) = _back(store_run(tasks=(some,)), tmp_path).manifest.tasks
    assert back.subset == some.subset == "random 4, seed 3"
    assert back.stratified_by == "category"
    (metric,) = (
        m
        for m in _back(store_run(tasks=(some,), run_id="again"), tmp_path / "b").metrics
        if m.is_main
    )
    assert metric.ci_low == pytest.approx(0.75 - math.sqrt(1 - 4 / 99) * (0.75 - wilson(3, 4).low))
    first = replace(some, limit_from="first", limit_seed=None)
    assert "limit_from" not in results_json(store_run(tasks=(first,), run_id="first"))


RESPONSES = {
    "multiple_choice": ["[[-1.5, false], [-0.25, true]]", "[[-Infinity, false], [-2.0, false]]"],
    "loglikelihood": ["[[-1.5, true]]", "[[-Infinity, false]]"],
    "loglikelihood_rolling": ["[-120.5]", "[-Infinity]"],
    "generate_until": ["So 72 é.", '[["two", "draws"]]'],
    "": ["of a kind that was not reported", "[[1]]"],
}
ANSWERS = {
    "multiple_choice": ["[[-1.5, false], [-0.25, true]]", "[[-Infinity, false], [-2.0, false]]"],
    "loglikelihood": ["(-1.5, True)", "(-inf, False)"],
    "loglikelihood_rolling": ["-120.5", "-inf"],
    "generate_until": ["72", ""],
    "": ["[invalid]", "(1, True)"],
}


@pytest.mark.parametrize("kind", RESPONSES)
def test_every_kind_of_sample_survives_the_way_out_and_back_twice(
    store_run: Any, tmp_path: Path, task: TaskSummary, sample: SampleRecord, kind: str
) -> None:
    answered = zip(RESPONSES[kind], ANSWERS[kind], strict=True)
    samples = tuple(
        replace(sample, doc_id=i, doc_hash=f"{i}" * 64, response=response, answer=answer,
                scores={"exact_match": [1.0, math.inf][i]})
        for i, (response, answer) in enumerate(answered)
    )  # fmt: skip
    run = store_run(tasks=(replace(task, kind=kind, num_docs=2),), samples=samples)
    once = _back(run, tmp_path)
    kept = ("doc_id", "response", "answer", "scores", "target", "prompt", "filter")
    assert [{k: asdict(s)[k] for k in kept} for s in _samples(once, "gsm8k")] == [
        {k: asdict(s)[k] for k in kept} for s in samples
    ]
    twice = _back(once, tmp_path / "twice")
    assert _samples(twice, "gsm8k") == _samples(once, "gsm8k")
    assert list(map(str, twice.metrics)) == list(map(str, once.metrics))


def test_what_was_derived_is_derived_again(tmp_path: Path) -> None:
    stderr = (0.25 * 0.75 / 39) ** 0.5
    content = {"results": {"a": {"acc": 0.25, "acc_stderr": stderr, "mae": math.inf}}, "versions": {"a": 0}, "config": {}}  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(content))
    (imported,) = import_path(tmp_path / "results.json", tmp_path / "store").runs
    run = Stored.load(tmp_path / "store" / imported.manifest.run_id, imported.manifest)
    again = _back(run, tmp_path)
    assert again.manifest.config["import"]["n_derived"] == ["a"]
    assert again.manifest.remarks == run.manifest.remarks
    assert sorted(map(str, again.metrics)) == sorted(map(str, run.metrics))
    assert {m.metric: m.value for m in again.metrics}["mae"] == math.inf


def test_a_metric_that_would_become_anothers_standard_error_is_left_out(
    store_run: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    run = store_run()
    (own,) = run.metrics
    other = replace(own, metric=f"{own.metric}_stderr", value=0.75, is_main=False)
    again = _back(replace(run, metrics=[own, other]), tmp_path)
    assert [(m.metric, m.stderr) for m in again.metrics] == [(own.metric, own.stderr)]
    assert f"metric {own.metric}_stderr is left out" in caplog.text
