import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evalharness.comparison.leaderboard import (
    Board,
    build_boards,
)
from evalharness.report.page.blocks import Table, Words
from evalharness.report.page.leaderboard import _blocks
from evalharness.report.terminal.leaderboard import (
    leaderboard_as_json,
    leaderboard_rows,
    leaderboard_view,
    markdown,
    marks,
)
from evalharness.store.read import load_main_metrics
from stores import make_run

GOOD, FAIR = [1.0] * 90 + [0.0] * 10, [1.0, 0.0] * 50
EVIL = "\x1b[31mred\x07[bold]| \u202e"


def boards(results_dir: Path, *runs: tuple[str, dict[str, Any], dict[str, Any]]) -> list[Board]:
    made = [
        make_run(results_dir, f"run-{place}", model, "s", tasks, **changes)
        for place, (model, tasks, changes) in enumerate(runs)
    ]
    return build_boards(made, load_main_metrics(results_dir, [r.run_id for r in made]).of_run)


def shown(found: list[Board], width: int = 160, **options: Any) -> str:
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(leaderboard_view(found, width=width, **{"top": 50, **options}))
    return capture.get()


@pytest.fixture
def two(tmp_path: Path) -> list[Board]:
    size = {"checkpoint": {"params_total": 46_700_000_000, "params_active": 12_900_000_000}}
    return boards(
        tmp_path,
        ("fair-model", {"t": FAIR, "u": FAIR}, {}),
        ("good-model", {"t": GOOD, "u": GOOD}, {**size, "serve_s": 10.0}),
    )


def test_a_row_has_rank_mean_scores_size_and_speed(two: list[Board]) -> None:
    lines = shown(two).splitlines()
    row = next(line for line in lines if "good-model" in line)
    assert row.split()[0] == "1"
    for part in ("0.900 [0.8", "46.7 B, 12.9 B active", " 22 "):
        assert part in row
    assert lines.index(row) < next(i for i, line in enumerate(lines) if "fair-model" in line)


def test_it_says_how_many_docs_and_how_ranks_are_meant(two: list[Board]) -> None:
    text = " ".join(shown(two).split())
    assert "n: t 100, u 100" in text
    assert "family-wise 95 %" in text
    assert "conservative" in text


def test_narrow_terminals_lose_intervals_first_then_costs(two: list[Board]) -> None:
    assert "tok/s" in shown(two, 100)
    assert shown(two, 100).count("[0.8") == 1
    assert "tok/s" not in shown(two, 50)
    assert "0.900" in shown(two, 50)


def test_tasks_that_have_no_room_are_counted(tmp_path: Path) -> None:
    found = boards(tmp_path, ("m", {f"task_number_{i}": FAIR for i in range(30)}, {}))
    text = shown(found, 100)
    assert max(map(len, text.splitlines())) <= 100
    assert "more tasks: a wider terminal, --task" in text
    assert "task_number_29" in markdown(found)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_line_is_too_long_and_no_mean_is_cut(two: list[Board], width: int) -> None:
    text = shown(two, width)
    assert "0.900" in text
    assert max(map(len, text.splitlines())) <= max(width, 60)


def test_other_numbers_of_docs_are_said_in_the_cell(tmp_path: Path) -> None:
    found = boards(tmp_path, ("a", {"t": FAIR}, {}), ("b", {"t": GOOD[:40]}, {}))
    assert " n=40" in shown(found)
    assert "n: t" not in shown(found)


def test_a_limited_task_of_other_numbers_says_from_what_to_what(tmp_path: Path) -> None:
    of_100 = {"on_task": {"t": {"num_docs_available": 100}}}
    found = boards(tmp_path, ("a", {"t": FAIR}, of_100), ("b", {"t": GOOD[:40]}, of_100))
    assert "n: t 40 to 100 of 100" in shown(found)


def test_what_is_missing_is_said_and_never_zero(tmp_path: Path) -> None:
    found = boards(
        tmp_path, ("a", {"t": FAIR, "u": FAIR}, {}), ("b", {"t": FAIR, "u": [None] * 3}, {})
    )
    row = next(line for line in shown(found).splitlines() if " b " in line)
    assert "n/a 1 of 2" in row
    assert "failed" in row
    assert "0.000" not in row


def test_a_score_of_other_settings_is_shown_marked_and_explained(tmp_path: Path) -> None:
    shots = {"on_task": {"t": {"num_fewshot": 5}}}
    found = boards(tmp_path, ("a", {"t": FAIR}, {}), ("b", {"t": FAIR}, {}), ("c", {"t": GOOD}, shots))  # fmt: skip
    text = shown(found)
    row = next(line for line in text.splitlines() if " c " in line)
    assert row.split()[0] == "-"
    assert "0.900 [0.826, 0.945] ≠" in row
    assert "t: 0 shots against 5: c" in text
    assert "≠" in markdown(found)
    (content,) = leaderboard_as_json(found)
    assert content["rows"][-1]["scores"]["t"]["differs"] == ["0 shots against 5"]
    names, rows = leaderboard_rows(found)
    reported = [dict(zip(names, row, strict=True)).get("differs") for row in rows]
    assert [text for text in reported if text] == ["0 shots against 5"]


def test_missing_scores_are_reported_with_their_share_and_range(tmp_path: Path) -> None:
    found = boards(tmp_path, ("a", {"t": FAIR}, {}), ("b", {"t": [1.0] * 60 + [None] * 40}, {}))
    text = shown(found)
    assert "40 % missing" in next(line for line in text.splitlines() if " b " in line)
    assert "b: scores are missing (t 40 %)" in text
    score = leaderboard_as_json(found)[0]["rows"][0]["scores"]["t"]
    assert (score["missing"], score["low"], score["high"]) == pytest.approx((0.4, 0.6, 1.0))


def test_long_boards_are_cut_and_say_so(two: list[Board]) -> None:
    text = shown(two, top=1)
    assert "1 more rows" in text
    assert "fair-model" not in text


def test_marks_are_what_to_know_before_quoting(tmp_path: Path) -> None:
    first = {"on_task": {"t": {"num_docs_available": 500, "num_reused": 40}}}
    imported = {"engine": {"kind": "lm-eval import"}, "checkpoint": {"weights_fingerprint": "unverified"}}  # fmt: skip
    half = {"status": "partial", "engine": {"kind": "vllm"}}
    found = boards(
        tmp_path, ("a", {"t": FAIR}, first), ("b", {"t": FAIR}, imported), ("c", {"t": FAIR}, half)
    )
    of_row = {row.label: marks(row.run) for row in found[0].rows}
    assert of_row["a"] == ["first docs", "40% reused"]
    assert of_row["b"] == ["imported", "weights unverified"]
    assert of_row["c"] == ["partial"]
    assert "not comparable with published scores" in shown(found)


def test_names_cant_reach_the_terminal_or_the_table(tmp_path: Path) -> None:
    found = boards(tmp_path, (EVIL, {"t": FAIR}, {}))
    for text in (shown(found), markdown(found)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "[bold]\\|" in markdown(found)


def test_markdown_has_every_interval(two: list[Board]) -> None:
    lines = markdown(two).splitlines()
    rows = [line for line in lines if line.startswith("| 1 |") or line.startswith("| 2 |")]
    assert len(rows) == 2
    assert rows[0].count("[") == 3
    assert {line.count("|") for line in lines if line.startswith("|")} == {rows[0].count("|")}


def test_json_and_csv_hold_the_same_numbers(two: list[Board]) -> None:
    (content,) = leaderboard_as_json(two)
    names, rows = leaderboard_rows(two)
    table = [dict(zip(names, row, strict=True)) for row in rows]
    first = content["rows"][0]
    assert (first["model"], first["rank_first"], first["rank_last"]) == ("good-model", 1, 1)
    assert first["scores"]["t"]["value"] == table[1]["value"] == 0.9
    assert [row["task"] for row in table] == ["mean", "t", "u"] * 2
    assert first["mean"]["value"] == pytest.approx(table[0]["value"])


def test_a_row_without_a_mean_is_null_in_json(tmp_path: Path) -> None:
    found = boards(
        tmp_path, ("a", {"t": FAIR, "u": FAIR}, {}), ("b", {"t": FAIR, "u": [None] * 3}, {})
    )
    (content,) = leaderboard_as_json(found)
    assert content["rows"][1]["mean"]["value"] is None
    assert content["rows"][1]["failed"] == ["u"]
    assert math.isnan(found[0].rows[1].mean.value)


def test_the_page_marks_and_explains_what_isnt_ranked(tmp_path: Path) -> None:
    shots = {"on_task": {"t": {"num_fewshot": 5}}}
    part = [1.0] * 60 + [None] * 40
    (board,) = boards(tmp_path, ("a", {"t": FAIR}, {}), ("b", {"t": part}, {}), ("c", {"t": GOOD}, shots))  # fmt: skip
    table, notes = _blocks(board)
    assert isinstance(table, Table)
    assert isinstance(notes, Words)
    cells = {row[0]: row for row in table.rows}
    assert cells["c"][1] == "–"
    assert cells["c"][3].endswith("≠")
    assert "b, 40 % missing" in cells
    assert any(line.startswith("t: 0 shots against 5: c") for line in notes.lines)
    assert any(line.startswith("b: scores are missing (t 40 %)") for line in notes.lines)
