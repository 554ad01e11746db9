import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evalharness.comparison.compare import (
    Comparison,
    compare_runs,
)
from evalharness.report.terminal.compare import (
    comparison_as_json,
    comparison_rows,
    comparison_view,
    flips_view,
    markdown,
)
from evalharness.report.terminal.format import signed
from evalharness.store.pairs import DocChange, Scored, load_changes
from evalharness.store.records import ScoredChoice
from stores import make_run

GROUPS = {"g": ["x", "y"]}
TASKS = {"x": [1.0, 0.0] * 40, "y": [0.0] * 40, "z": [1.0, 0.0, 0.0] * 10}


@pytest.fixture
def found(tmp_path: Path) -> Comparison:
    b = {**TASKS, "x": [1.0, 1.0] * 40}
    runs = [
        make_run(tmp_path, name, f"model-{name}", "s", tasks, groups=GROUPS)
        for name, tasks in (("a", TASKS), ("b", b))
    ]
    return compare_runs(tmp_path, *runs)


def shown(renderable: Any, width: int = 160) -> str:
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_every_row_says_scores_difference_power_and_verdict(found: Comparison) -> None:
    text = shown(comparison_view(found, width=160))
    row = next(line for line in text.splitlines() if line.startswith("g (2 tasks)"))
    for part in ("120", "0.333", "0.667", "+0.333 [+0.2", "<0.001", "40/0/80", "1.000", "better"):
        assert part in row
    assert "model-a" in text
    assert "y\n" not in text


def test_all_shows_the_tasks_of_groups(found: Comparison) -> None:
    text = shown(comparison_view(found, show_all=True, width=160))
    assert "\n  x " in text
    assert "\n  y " in text


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_number_is_cut_on_any_width(found: Comparison, width: int) -> None:
    text = shown(comparison_view(found, width=width), width)
    assert "+0.333" in text
    assert "[+0.2" in text
    assert "0.667" in text
    assert max(map(len, text.splitlines())) <= width


def test_a_heading_gives_an_id_once_and_breaks_it_where_its_words_end(tmp_path: Path) -> None:
    ids = [f"2026010{n}-120000-some_model-a_long_task+another_long_task" for n in (1, 2)]
    runs = [make_run(tmp_path, run_id, "m", "s", TASKS) for run_id in ids]
    same = compare_runs(tmp_path, *runs)
    assert [shown(comparison_view(same, width=160)).count(run_id) for run_id in ids] == [1, 1]
    narrow = shown(comparison_view(same, width=60), 60).splitlines()
    pieces = [line[8:].split("  ")[0].rstrip() for line in narrow[: narrow.index("")]]
    assert "".join(pieces) == "".join(ids)
    assert all(piece[-1] in "-_+" or piece.endswith("task") for piece in pieces)


@pytest.fixture
def lacking(tmp_path: Path) -> Comparison:
    tasks = {"x": [1.0] * 60 + [0.0] * 40, "y": [1.0, 0.0] * 50}
    b = {**tasks, "x": [1.0] * 60 + [None] * 40}
    runs = [make_run(tmp_path, n, n, "s", t) for n, t in (("a", tasks), ("b", b))]
    return compare_runs(tmp_path, *runs)


@pytest.mark.parametrize("width", [60, 100, 160])
def test_missing_scores_are_shown_with_their_share_and_what_they_leave_open(
    lacking: Comparison, width: int
) -> None:
    text = " ".join(shown(comparison_view(lacking, width=width), width).split())
    assert "x: scores are missing: 40 % of the second's (40 of 100 docs); whatever they are, the difference over all docs lies between 0.000 and +0.400" in text  # fmt: skip
    assert "mean: scores are missing: 20 % of the second's" in text
    assert "y: scores" not in text
    assert "all docs: 0.000 to +0.400" in text
    assert "40 % of the second's (40 of 100 docs)" in markdown([lacking], show_all=False)


def test_json_has_the_bounds(lacking: Comparison) -> None:
    x, y = comparison_as_json(lacking)["tasks"]
    assert (x["missing_a"], x["missing_b"], x["num_only_a"]) == (0.0, pytest.approx(0.4), 40)
    assert (x["difference_low"], x["difference_high"]) == pytest.approx((0.0, 0.4))
    assert x["bound_ci_low"] < 0.0
    assert x["bound_ci_high"] > 0.4
    assert x["bound_p_value"] == 1.0
    assert "bounds" not in x
    assert (y["difference_low"], y["bound_ci_low"]) == (y["difference"], y["ci_low"])


def test_tasks_that_are_left_out_alike_share_a_line(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, n, n, "s", TASKS, groups=GROUPS, checkpoint={"is_chat": is_chat})
        for n, is_chat in (("a", True), ("b", False))
    ]
    text = " ".join(shown(comparison_view(compare_runs(tmp_path, *runs), width=160)).split())
    assert (
        "left out: x, y, z: prompted with a chat template against as plain text; --any-prompt"
        in text
    )


def change(**texts: Any) -> DocChange:
    base = {"task": "x", "doc_id": 1, "repeat": 0, "target": "t", "prompt": "p", "answer_a": "1",
            "answer_b": "2", "response_a": "one", "response_b": "two", "score_a": 1.0, "score_b": 0.0,
            "error_a": None, "error_b": None}  # fmt: skip
    return DocChange(**{**base, **texts})


def test_changed_docs_show_both_answers(found: Comparison, tmp_path: Path) -> None:
    changes = load_changes(tmp_path / "a", tmp_path / "b", "x", Scored("acc", "none"), 2)
    text = shown(flips_view(changes, ("one", "other"), width=100), 100)
    assert "x  doc 1  0.000 -> 1.000" in text
    assert "answer no " in text
    assert "answer yes" in text
    assert text.count("doc ") == 2


def test_what_models_wrote_cannot_reach_the_terminal() -> None:
    evil = "\x1b[31mred\x1b]0;title\x07 [bold]markup[/bold] \u202eright-to-left\x00"
    text = shown(flips_view([change(answer_b=evil, response_a=evil)], ("a", "b"), width=120), 120)
    assert not {"\x1b", "\x07", "\u202e", "\x00"} & set(text)
    assert "[bold]markup[/bold]" in text


def test_a_megabyte_is_cut_and_said_to_be() -> None:
    text = shown(flips_view([change(response_b="x" * 1_000_000)], ("a", "b"), width=120), 120)
    assert len(text) < 5000
    assert "(1,000,000 characters)" in " ".join(text.split())


def test_choices_by_log_likelihood_are_shown_as_choices() -> None:
    scores = "[[-3.5, false], [-1.25, true]]"
    text = shown(
        flips_view([change(answer_a=scores, response_a=scores)], ("a", "b"), width=160), 160
    )
    assert "choice 1 (of 2, -1.25)" in text
    stored = (ScoredChoice("no", -3.5, 1), ScoredChoice("yes", -1.25, 2))
    changed = change(response_a=scores)._replace(
        choices_a=stored, chosen_a={"acc": 1}, gold=(0,), metric="acc"
    )
    text = shown(flips_view([changed], ("a", "b"), width=160), 160)
    assert "answer 1: yes (of 2, -1.25)" in text
    assert re.search(r"0 +-3.50 +no +right", text)
    assert re.search(r"1 +-1.25 +yes +acc", text)


def test_json_and_csv_have_every_number(found: Comparison) -> None:
    content = comparison_as_json(found)
    (row, *_) = content["tasks"]
    assert (row["task"], row["wins"], row["test"], row["verdict"]) == ("g", 40, "mcnemar", "better")
    assert content["overall"]["difference"] == pytest.approx(1 / 6)
    names, rows = comparison_rows([found], show_all=True)
    assert [dict(zip(names, row, strict=True))["task"] for row in rows] == [
        "g",
        "z",
        "x",
        "y",
        "mean",
    ]


def test_markdown_escapes_names(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, n, f"m|<b>{n}", "s", {"x": [1.0, 0.0]}) for n in "ab"]
    text = markdown([compare_runs(tmp_path, *runs)], show_all=False)
    assert "| x | 2 | 0.500 | 0.500 | 0.000 [" in text
    assert "m\\|\\<b\\>b" in text


def test_markdown_says_below_the_table_what_the_heading_and_the_rows_say(tmp_path: Path) -> None:
    x = {"num_docs_available": 60, "limit_from": "random", "limit_seed": 0, "repeats": 3}
    on_b = {"x": {**x, "repeats": 1, "status": "partial"}}
    runs = [
        make_run(tmp_path, name, name, "s", {"x": [1.0, 0.0] * 20}, on_task=on_task)
        for name, on_task in (("a", {"x": x}), ("b", on_b))
    ]
    table, notes = markdown([compare_runs(tmp_path, *runs)], show_all=False).split("|\n\n")
    assert "| x | 40 |" in table
    assert notes.splitlines()[:3] == [
        "- a: random 40 of 60 docs (seed 0)",
        "- b: random 40 of 60 docs (seed 0)",
        "- x: partial in the second run, 3 repeats against 1",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "+0.250"),
        (-0.25, "-0.250"),
        (0.0, "0.000"),
        (-0.0001, "0.000"),
        (float("nan"), "n/a"),
    ],
)
def test_differences_have_a_sign(value: float, text: str) -> None:
    assert signed(value) == text
