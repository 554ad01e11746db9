import io
import math
from dataclasses import replace

from rich.console import Console

from evalharness.report.terminal.ascii_curves import curves_view
from evalharness.report.terminal.run_footer import footer
from evalharness.store.records import (
    CurvePoint,
    Manifest,
    TaskSummary,
)


def point(arm: str, x: float, value: float, **more: float) -> CurvePoint:
    fields = {"ci_low": value - 0.1, "ci_high": value + 0.1, "num_tokens": 100 * (x + 1), **more}
    return CurvePoint(
        task="gsm8k",
        strategy="self_correct",
        arm=arm,
        x=x,
        x_name="round",
        value=value,
        n=40,
        **fields,  # type: ignore[arg-type]
    )


POINTS = [
    point("self-correct", 0, 0.5),
    point("self-correct", 1, 0.4, gained=1, lost=5, p_value=0.21875),
    point("re-answer", 0, 0.5),
    point("re-answer", 1, 0.5, gained=0, lost=0, p_value=1.0),
]


def shown(points: list[CurvePoint], width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(curves_view(points, width=width))
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    return text


def test_a_curve_says_what_it_is_of_over_how_many_docs() -> None:
    assert "gsm8k: score against round, self_correct, 40 docs" in shown(POINTS)


def test_every_point_stands_with_its_interval_and_tokens() -> None:
    assert "0.400 [0.300, 0.500]" in shown(POINTS)
    assert " 200 " in shown(POINTS)


def test_changes_since_the_first_round_are_counted() -> None:
    row = next(line for line in shown(POINTS).splitlines() if "0.400 [" in line)
    assert row.split()[-3:] == ["1", "5", "0.219"]


def test_higher_values_stand_higher() -> None:
    lines = shown([point("a", 0, 0.9), point("a", 1, 0.1)]).splitlines()
    rows = [n for n, line in enumerate(lines) if "●" in line and "a" not in line.split()]
    assert lines[rows[0]].index("●") < lines[rows[-1]].index("●")


def test_each_arm_has_its_own_mark() -> None:
    legend = next(line for line in shown(POINTS).splitlines() if "self-correct" in line)
    assert "● self-correct" in legend
    assert "▲ re-answer" in legend


def test_a_curve_of_equal_values_and_one_without_any_are_drawn() -> None:
    nan = math.nan
    for points in (
        [point("a", 0, 0.5, ci_low=0.5, ci_high=0.5)],
        [point("a", 0, nan, ci_low=nan, ci_high=nan)],
    ):
        assert "●" in shown(points)


def test_a_phone_shows_it_too() -> None:
    assert "0.400 [0.300, 0.500]" in shown(POINTS, width=50)


def test_a_runs_table_says_which_strategy_it_had_and_where_its_curve_is() -> None:
    task = TaskSummary(
        task="gsm8k", group="gsm8k", version="1", num_fewshot=0, repeats=1, kind="generate_until", num_docs=1,
        num_docs_available=1, num_samples=1, num_errors=0, num_truncated=0, num_empty=0, num_context_overflow=0,
        num_prompt_tokens=1, num_cached_tokens=0, num_generated_tokens=1, wall_s=1.0, dataset="d",
        dataset_fingerprint="f", task_hash="h", status="complete", strategy="verify",
    )  # fmt: skip
    run = Manifest(
        run_id="r1",
        status="complete",
        model="m",
        suite="s",
        suite_version="1",
        started_at="2026-11-22T17:30:00Z",
        config={"strategy": {"kind": "verify"}},
        tasks=(task, replace(task, task="other", strategy="single")),
    )
    (line,) = [line.plain for line in footer(run, "results/x") if line.plain.startswith("strategy")]
    assert line.split(maxsplit=1)[1] == (
        "verify, not applied to other, curve: evalharness results r1 --curve"
    )


def test_a_curve_that_is_all_right_can_be_drawn() -> None:
    flat = {"ci_low": math.nan, "ci_high": math.nan}
    assert "1.000 [no CI]" in shown([point("pass", 1, 1.0, **flat), point("pass", 2, 1.0, **flat)])
