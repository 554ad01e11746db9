"""The composite as it is shown: never without its definition, and never as a number where a part has none."""

import io
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from evalharness.report.export import run_as_json
from evalharness.report.terminal.composite import (
    bar,
    find_composite,
)
from evalharness.report.terminal.run import run_table
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    TaskSummary,
)

CONFIG = {
    "name": "mix", "title": "Mixed Matters", "version": "3", "note": "no public benchmark of this name",
    "definition": "Mean of two.", "target": 0.95, "parts": ["a", "b"],
}  # fmt: skip
STATEMENT = "evalharness definition v3; no public benchmark of this name"
TASK = TaskSummary(
    task="a", group="a", version="1.0", num_fewshot=0, repeats=1, kind="generate_until", num_docs=100,
    num_docs_available=100, num_samples=100, num_errors=0, num_truncated=0, num_empty=0, num_context_overflow=0,
    num_prompt_tokens=10, num_cached_tokens=0, num_generated_tokens=10, wall_s=1.0, dataset="", dataset_fingerprint="",
    task_hash="", status="complete",
)  # fmt: skip
RUN = Manifest(
    run_id="r", status="complete", model="m", suite="s", suite_version="1", started_at="2026-11-22T17:30:00Z",
    config={"suite": {"composite": CONFIG}}, tasks=(TASK, replace(TASK, task="b", group="b")),
)  # fmt: skip
PART = MetricRecord(
    task="a", group="a", metric="score", filter="none", value=0.4, ci_low=0.3, ci_high=0.5, stderr=0.05, n=100,
    higher_is_better=True, is_main=True,
)  # fmt: skip
METRICS = [
    PART,
    replace(PART, metric="detail", value=0.123, is_main=False),
    replace(PART, task="b", group="b", value=0.8),
    replace(PART, task="mix", group="mix", metric="composite", value=0.6, ci_low=0.53, ci_high=0.67, n=200),
]  # fmt: skip
FAILED = [
    *METRICS[:2],
    replace(METRICS[2], value=math.nan, n=0),
    replace(METRICS[3], value=math.nan, n=0),
]


def shown(run: Manifest, metrics: list[MetricRecord], width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(run_table(run, metrics, run_dir="x", width=width))
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    return text


@pytest.mark.parametrize("width", [80, 120])
def test_the_run_table_shows_parts_value_interval_target_and_definition(width: int) -> None:
    text = shown(RUN, METRICS, width)
    flat = " ".join(text.split())
    for fact in (
        f"Mixed Matters: {STATEMENT}", "0.600 [0.530, 0.670]", "mean of 2", "detail 0.123", "Mean of two.",
        "60.0% ━ [53.0%, 67.0%]", "target 95%",
    ):  # fmt: skip
        assert fact in flat
    assert "┃" in text


def test_a_run_without_a_composite_shows_none() -> None:
    plain = replace(RUN, config={"suite": {}})
    assert "definition" not in shown(plain, METRICS[:3])
    assert "composite" not in run_as_json(plain, METRICS[:3])


def test_a_part_without_a_score_is_named_and_no_bar_drawn() -> None:
    text = shown(RUN, FAILED)
    assert "no value; without a score: b" in text
    assert "●" not in text
    assert STATEMENT in " ".join(text.split())


def test_an_unfinished_run_has_no_composite_yet() -> None:
    assert "no value; the run has no composite" in shown(RUN, METRICS[:3])


def test_names_are_text_and_never_markup() -> None:
    config = {"suite": {"composite": {**CONFIG, "title": "[red]x\x1b[0m"}}}
    text = shown(replace(RUN, config=config), METRICS)
    assert "[red]x[0m:" in text
    assert "\x1b" not in text


def test_json_carries_value_and_definition() -> None:
    found = json.loads(json.dumps(run_as_json(RUN, METRICS)))["composite"]
    assert found["statement"] == STATEMENT
    assert (found["value"], found["ci_low"], found["n"]) == (0.6, 0.53, 200)
    assert found["parts"] == {"a": 0.4, "b": 0.8}
    assert len(found["definition_hash"]) == 64


def test_json_of_a_composite_without_value_names_the_part() -> None:
    found = run_as_json(RUN, FAILED)["composite"]
    assert found["value"] is None
    assert found["parts_without_score"] == ["b"]


def test_a_new_task_version_is_another_definition() -> None:
    newer = replace(RUN, tasks=(replace(TASK, version="1.1"), RUN.tasks[1]))
    ours, theirs = find_composite(RUN, METRICS), find_composite(newer, METRICS)
    assert ours is not None
    assert theirs is not None
    assert ours.definition_hash != theirs.definition_hash


def test_bar_marks_value_interval_and_target() -> None:
    assert bar(0.5, 0.3, 0.7, 0.9, 11) == "···━━●━━·┃·"


def test_bar_without_interval_and_target_is_a_dot() -> None:
    assert bar(0.0, math.nan, math.nan, None, 5) == "●····"


@given(*[st.floats(0, 1)] * 4, st.integers(2, 100))
def test_bar_is_as_wide_as_asked(value: float, low: float, high: float, target: float, width: int) -> None:  # fmt: skip
    drawn = bar(value, min(low, high), max(low, high), target, width)
    assert len(drawn) == width
    assert drawn.count("●") == 1
