from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evalharness.comparison.compare import compare_runs
from evalharness.comparison.drift import (
    Lineage,
    Link,
    lineage,
)
from evalharness.report.terminal.drift import (
    drift_view,
    lineage_as_json,
    lineage_rows,
    markdown,
)
from stores import make_run

BASE = [1.0, 0.0] * 100
UP = [1.0] * 100 + [1.0, 0.0] * 50
DOWN = [0.0] * 100 + [1.0, 0.0] * 50


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    folder = tmp_path_factory.mktemp("results")
    comparisons = []
    for suite, domain, after in (("cap", "capability", UP), ("safe", "safety", DOWN)):
        config = {"suite": {"domain": domain}}
        runs = [
            make_run(folder, f"{suite}-{name}", name, suite, {f"{suite}_x": scores, f"{suite}_y": BASE},
                     config=config)
            for name, scores in (("parent", BASE), ("child", after))
        ]  # fmt: skip
        comparisons.append(compare_runs(folder, *runs))
    link = Link("parent", "child", comparisons, ["note of the step"])
    return lineage(["parent", "child"], [link], 0.01, ["note of the whole"])


def shown(found: Lineage, width: int) -> str:
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(drift_view(found, width=width))
    return capture.get()


def test_the_call_stands_in_the_first_line(found: Lineage) -> None:
    assert "parent → child   capability up, safety down" in shown(found, 160).splitlines()[0]


@pytest.mark.parametrize("width", [110, 160, 200])
def test_safety_stands_beside_capability_on_a_wide_terminal(found: Lineage, width: int) -> None:
    (line,) = [line for line in shown(found, width).splitlines() if "cap_x" in line]
    assert "safe_x" in line
    assert "+0.250 [" in line
    assert "-0.250 [" in line


@pytest.mark.parametrize("width", [60, 80, 109])
def test_safety_stands_below_capability_on_a_narrow_one(found: Lineage, width: int) -> None:
    lines = shown(found, width).splitlines()
    cap, safe = (
        next(i for i, line in enumerate(lines) if name in line) for name in ("cap_x", "safe_x")
    )
    assert safe > cap + 3


@pytest.mark.parametrize("width", [60, 80, 110, 160])
def test_no_number_is_cut_on_any_width(found: Lineage, width: int) -> None:
    text = shown(found, width)
    assert text.count("0.250 [") == 2
    assert text.count("0.125 [") == 2
    assert max(map(len, text.splitlines())) <= width


def test_notes_of_the_step_and_of_the_whole_are_reported(found: Lineage) -> None:
    text = shown(found, 160)
    assert "note of the step" in text
    assert "note of the whole" in text


def test_json_and_csv_have_every_number(found: Lineage) -> None:
    (step,) = lineage_as_json(found)["steps"]
    assert step["domains"]["safety"]["call"] == "down"
    assert step["domains"]["safety"]["tasks"][0]["losses"] == 50
    names, rows = lineage_rows(found)
    table = [dict(zip(names, row, strict=True)) for row in rows]
    assert [row["task"] for row in table] == ["cap_x", "cap_y", "mean", "safe_x", "safe_y", "mean"]
    assert table[2]["difference"] == 0.125


def test_markdown_marks_the_call_and_the_means(found: Lineage) -> None:
    text = markdown(found)
    assert "**capability up, safety down**" in text
    assert "| safety | **mean of 2** | 400 | 0.500 | 0.375 | -0.125 [" in text


def test_markdown_says_below_the_table_what_the_rows_say(tmp_path: Path) -> None:
    half: dict[str, Any] = {"x": {"status": "partial"}}
    runs = [
        make_run(tmp_path, name, name, "s", {"x": BASE}, on_task=on_task)
        for name, on_task in (("a", {}), ("b", half))
    ]
    whole = lineage(["a", "b"], [Link("a", "b", [compare_runs(tmp_path, *runs)], [])], 0.01, [])
    assert "\n- x: partial in the second run\n" in markdown(whole)


def test_names_of_others_cannot_reach_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b[31mx|<b>[bold]\u202e"
    runs: list[Any] = [make_run(tmp_path, n, evil + n, "s", {evil: BASE, "y": BASE}) for n in "ab"]
    link = Link(evil + "a", evil + "b", [compare_runs(tmp_path, *runs)], [evil])
    whole = lineage([evil + "a", evil + "b"], [link, link], 0.01, [evil])
    text = shown(whole, 160) + shown(whole, 80) + markdown(whole)
    assert not {"\x1b", "\u202e"} & set(text)


def test_what_missing_scores_leave_open_of_a_mean_is_reported(tmp_path: Path) -> None:
    tasks: dict[str, Any] = {"x": BASE, "y": BASE}
    lost: dict[str, Any] = {"x": [None, 0.0] * 100, "y": BASE}
    runs = [make_run(tmp_path, n, n, "s", t) for n, t in (("a", tasks), ("b", lost))]
    whole = lineage(["a", "b"], [Link("a", "b", [compare_runs(tmp_path, *runs)])], 0.01, [])
    text = " ".join(shown(whole, 160).split())
    assert "s: x: scores are missing: 50 % of the second's (100 of 200 docs)" in text
    assert "capability: scores are missing: 25 % of the second's; whatever they are, the mean difference lies between -0.250 and 0.000" in text  # fmt: skip
    domain = lineage_as_json(whole)["steps"][0]["domains"]["capability"]
    assert (domain["missing_second"], domain["mean"]["difference_low"]) == (0.25, -0.25)
    assert (domain["call"], domain["tasks"][0]["missing_b"]) == ("not resolved", 0.5)


def test_made_up_answers_measure_no_drift(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, n, n, "s", {"x": s}, engine={"kind": "fake"}) for n, s in (("a", BASE), ("b", UP))]  # fmt: skip
    whole = lineage(["a", "b"], [Link("a", "b", [compare_runs(tmp_path, *runs)])], 0.01, [])
    text = " ".join(shown(whole, 160).split())
    assert "capability not measured" in text
    assert "s: not measured: the fake engine's answers represent no model" in text
