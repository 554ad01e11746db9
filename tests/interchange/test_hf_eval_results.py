"""`.eval_results` YAML: what may stand on a model's page, and what may not."""

import math
from dataclasses import replace
from typing import Any

import pytest
import yaml

from evalharness.errors import UserError
from evalharness.interchange.hf_eval_results import Benchmark, eval_results, parse_benchmark
from evalharness.store.records import (
    MetricRecord,
    TaskSummary,
)


def test_an_entry_has_percent_date_and_how_it_was_made(store_run: Any) -> None:
    exported = eval_results(store_run(), {})
    assert yaml.safe_load(exported.text) == [
        {
            "dataset": {"id": "openai/gsm8k", "task_id": "gsm8k"},
            "value": 75.0,
            "date": "2026-01-02",
            "notes": "exact_match (strict-match), 5-shot, n=4, 95% CI [30.10, 95.40], lm-eval task gsm8k, "
            "evalharness 0.1.0, lm-eval 0.4.13",
        }
    ]
    assert exported.left_out == {}


def test_a_share_becomes_a_percentage_without_made_up_digits(
    store_run: Any, metric: MetricRecord
) -> None:
    assert 100 * 0.57 == 56.99999999999999
    exported = eval_results(store_run(metrics=(replace(metric, value=0.57),)), {})
    assert yaml.safe_load(exported.text)[0]["value"] == 57.0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"num_docs_available": 1319}, "over the first 4 of 1319 docs only"),
        ({"status": "partial"}, "samples are missing"),
        ({"status": "failed"}, "failed"),
        ({"dataset": "the task's own folder"}, "its benchmark is unknown"),
    ],
)
def test_what_would_mislead_is_not_written(
    store_run: Any, task: TaskSummary, changes: dict[str, Any], why: str
) -> None:
    run = store_run(tasks=(replace(task, **changes),))
    with pytest.raises(UserError, match=f"gsm8k: {why}"):
        eval_results(run, {})


def test_a_group_counts_as_one(store_run: Any, task: TaskSummary, metric: MetricRecord) -> None:
    names = ("mmlu_pro_law", "mmlu_pro_math")
    tasks = tuple(
        replace(task, task=name, group="mmlu_pro", dataset="TIGER-Lab/MMLU-Pro") for name in names
    )
    group = replace(metric, task="mmlu_pro", group="mmlu_pro", n=8)
    members = [replace(metric, task=name, group="mmlu_pro") for name in names]
    (entry,) = yaml.safe_load(
        eval_results(store_run(tasks=tasks, metrics=(*members, group)), {}).text
    )
    assert entry["dataset"] == {"id": "TIGER-Lab/MMLU-Pro", "task_id": "mmlu_pro"}
    assert "n=8" in entry["notes"]


def test_two_tasks_of_one_benchmark_have_to_be_distinguished(
    store_run: Any, task: TaskSummary, metric: MetricRecord
) -> None:
    other = {"task": "gsm8k_cot", "group": "gsm8k_cot"}
    run = store_run(
        tasks=(task, replace(task, **other)), metrics=(metric, replace(metric, value=0.5, **other))
    )
    with pytest.raises(UserError, match="--benchmark gsm8k_cot=openai/gsm8k:gsm8k"):
        eval_results(run, {})
    named = dict([parse_benchmark("gsm8k_cot=openai/gsm8k:gsm8k")])
    exported = eval_results(run, named)
    assert [entry["value"] for entry in yaml.safe_load(exported.text)] == [50.0]
    assert list(exported.left_out) == ["gsm8k"]


def test_a_metric_of_unknown_scale_is_left_out(store_run: Any, metric: MetricRecord) -> None:
    run = store_run(metrics=(replace(metric, metric="word_perplexity"),))
    with pytest.raises(UserError, match="word_perplexity has no known scale"):
        eval_results(run, {})


def test_a_score_that_there_is_not_is_left_out(store_run: Any, metric: MetricRecord) -> None:
    run = store_run(metrics=(replace(metric, value=math.nan, n=0),))
    with pytest.raises(UserError, match="gsm8k: no score"):
        eval_results(run, {})


def test_a_benchmark_is_written_with_task_dataset_and_id() -> None:
    assert parse_benchmark("a=o/d:t") == ("a", Benchmark("o/d", "t"))
    for wrong in ("a", "a=o/d", "a=d:t", "=o/d:t", "a=o/d/x:t"):
        with pytest.raises(UserError, match="TASK=DATASET:TASK_ID is needed"):
            parse_benchmark(wrong)


def test_a_named_task_has_to_be_in_the_run(store_run: Any) -> None:
    with pytest.raises(UserError, match="no score of 'gsm8'; did you mean 'gsm8k'"):
        eval_results(store_run(), {"gsm8": Benchmark("o/d", "t")})
