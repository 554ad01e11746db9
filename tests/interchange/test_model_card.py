"""The table for a model card."""

import csv
import io
import math
from dataclasses import replace
from typing import Any

from evalharness.interchange.model_card import card_csv, card_markdown
from evalharness.store.records import (
    MetricRecord,
    TaskSummary,
)


def test_markdown_has_score_interval_n_shots_and_versions(store_run: Any) -> None:
    text = card_markdown(store_run())
    assert "| gsm8k | exact_match (strict-match) | 0.750 [0.301, 0.954] | 4 | 5 | 3.0 |" in text
    assert (
        "mine; evalharness 0.1.0, lm-eval 0.4.13; engine vllm 0.32.0 bfloat16; weights abababababab; "
        "run 20260102-030405-mine-leaderboard."
    ) in text
    assert "first docs only" not in text


def test_csv_is_unrounded(store_run: Any, metric: MetricRecord) -> None:
    (row,) = csv.DictReader(
        io.StringIO(card_csv(store_run(metrics=(replace(metric, value=1 / 3),))))
    )
    assert float(row["value"]) == 1 / 3
    assert (row["n"], row["num_fewshot"], row["subset"]) == ("4", "5", "")
    assert row["harness"] == "evalharness 0.1.0, lm-eval 0.4.13"


def test_first_docs_only_and_partial_are_marked(store_run: Any, task: TaskSummary) -> None:
    run = store_run(tasks=(replace(task, num_docs_available=1319, status="partial"),))
    text = card_markdown(run)
    assert "| gsm8k\\*† | exact_match (strict-match) | 0.750 [0.301, 0.954] | 4/1319 | 5 |" in text
    assert "\\* first docs only: not comparable with published scores." in text
    assert "† partial: samples are missing." in text
    (row,) = csv.DictReader(io.StringIO(card_csv(run)))
    assert (row["subset"], row["is_partial"]) == ("first 4 of 1319 docs", "True")


def test_what_has_no_score_is_named(
    store_run: Any, task: TaskSummary, metric: MetricRecord
) -> None:
    other = {"task": "arc", "group": "arc"}
    run = store_run(
        tasks=(task, replace(task, status="failed", **other)),
        metrics=(metric, replace(metric, **other)),
        left_out={"gpqa": "gated"},
    )
    text = card_markdown(run)
    assert "Without a score: gpqa, arc." in text
    assert "| arc" not in text


def test_no_interval_is_said(store_run: Any, metric: MetricRecord) -> None:
    text = card_markdown(store_run(metrics=(replace(metric, ci_low=math.nan, ci_high=math.nan),)))
    assert "| 0.750 [n/a, n/a] |" in text


def test_a_name_is_text_and_never_markup(
    store_run: Any, task: TaskSummary, metric: MetricRecord
) -> None:
    name = "a|b<img src=x>[x](http://y)\x1b[31m`\n| c |"
    run = store_run(tasks=(replace(task, task=name, group=name),), metrics=(replace(metric, task=name, group=name),), samples=(), model="<b>m</b>")  # fmt: skip
    text = card_markdown(run)
    assert "a\\|b&lt;img src=x&gt;\\[x\\](http://y)\\[31m\\` \\| c \\|" in text
    assert "\x1b" not in text
    assert "<b>" not in text


def test_a_composite_stands_last_with_its_note(
    store_run: Any, task: TaskSummary, metric: MetricRecord
) -> None:
    composite = {"name": "cmr", "definition": "A mean.", "note": "ours", "parts": ["gsm8k"]}
    whole = replace(metric, task="cmr", group="cmr", metric="composite", filter="none")
    text = card_markdown(
        store_run(metrics=(metric, whole), config={"suite": {"composite": composite}})
    )
    assert "| cmr (1 tasks) | composite | 0.750 [0.301, 0.954] | 4 |" in text
    assert "cmr. A mean. ours." in text
