import math
from pathlib import Path
from typing import Any

import pytest

from evalharness.analysis.leaderboard import Board, build_boards
from evalharness.analysis.ranking import Ranks
from evalharness.records import Manifest
from evalharness.store.read import load_main_metrics
from stores import make_run

GOOD, FAIR, POOR = [1.0] * 90 + [0.0] * 10, [1.0, 0.0] * 50, [1.0] * 10 + [0.0] * 90
GROUPS = {"g": ["x", "y"]}


class Store:
    """Runs, and the boards over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[Manifest] = []

    def add(self, model: str, tasks: dict[str, Any], **changes: Any) -> Manifest:
        run_id, suite = f"run-{len(self.runs)}", changes.pop("suite", "s")
        self.runs.append(make_run(self.folder, run_id, model, suite, tasks, **changes))
        return self.runs[-1]

    def boards(self, sort: str | None = None) -> list[Board]:
        metrics = load_main_metrics(self.folder, [run.run_id for run in self.runs])
        return build_boards(self.runs, metrics.of_run, sort)

    def board(self, sort: str | None = None) -> Board:
        (board,) = self.boards(sort)
        return board


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_the_mean_is_over_tasks_and_a_group_is_one(store: Store) -> None:
    store.add("a", {"x": GOOD, "y": GOOD, "z": POOR}, groups=GROUPS)
    board = store.board()
    assert (board.tasks, board.averaged) == (("g", "z"), ("g", "z"))
    mean = board.rows[0].mean
    assert mean.value == pytest.approx((0.9 + 0.1) / 2)
    g, z = (board.rows[0].scores[task] for task in board.tasks)
    assert mean.ci_low == pytest.approx(
        0.5 - math.hypot(g.value - g.ci_low, z.value - z.ci_low) / 2
    )
    assert mean.n == 300


def test_rows_are_ranked_by_the_mean(store: Store) -> None:
    for model, scores in (("poor", POOR), ("good", GOOD), ("fair", FAIR)):
        store.add(model, {"t": scores})
    assert [(row.label, row.ranks) for row in store.board().rows] == [
        ("good", Ranks(1, 1)), ("fair", Ranks(2, 2)), ("poor", Ranks(3, 3)),
    ]  # fmt: skip


def test_a_row_that_lacks_a_task_has_no_mean_and_stands_last(store: Store) -> None:
    store.add("less", {"t": GOOD, "u": [None] * 5})
    store.add("all", {"t": POOR, "u": POOR})
    rows = store.board().rows
    assert [row.label for row in rows] == ["all", "less"]
    assert math.isnan(rows[1].mean.value)
    assert (rows[1].num_scored, rows[1].ranks, rows[1].failed) == (1, None, {"u"})


def test_a_nan_metric_never_counts_as_zero(store: Store) -> None:
    store.add("a", {"t": GOOD, "u": [None] * 5})
    store.add("b", {"t": GOOD, "u": GOOD})
    assert store.board().rows[0].mean.value == pytest.approx(0.9)


def test_a_task_that_one_run_added_makes_nobody_incomplete(store: Store) -> None:
    for model in ("a", "b", "c"):
        store.add(model, {"t": FAIR})
    store.add("d", {"t": FAIR, "extra": GOOD})
    board = store.board()
    assert board.tasks == ("t", "extra")
    assert board.averaged == ("t",)
    assert all(row.mean.value == 0.5 for row in board.rows)
    assert "not in the mean: extra (in 1 of 4 rows)" in board.notes


def test_a_group_stays_one_where_a_run_has_no_score_of_it(store: Store) -> None:
    store.add("whole", {"x": GOOD, "y": GOOD}, groups=GROUPS)
    part = store.add("part", {"x": GOOD, "y": GOOD}, groups=GROUPS)
    metrics = load_main_metrics(store.folder, [run.run_id for run in store.runs]).of_run
    metrics[part.run_id] = [m for m in metrics[part.run_id] if m.task != "g"]
    (board,) = build_boards(store.runs, metrics)
    assert board.tasks == ("g",)
    assert board.rows[1].failed == {"g"}


def test_what_was_asked_for_and_never_loaded_is_missing(store: Store) -> None:
    config = {"suite": {"tasks": {"t": {}, "lost": {}}}}
    store.add("a", {"t": FAIR, "lost": FAIR}, config=config)
    store.add("b", {"t": FAIR}, config=config)
    last = store.board().rows[1]
    assert (last.label, last.num_scored, last.failed) == ("b", 1, {"lost"})


def test_lower_is_better_is_not_in_the_mean_and_sorts_the_other_way(store: Store) -> None:
    store.add("high", {"t": FAIR, "loss": GOOD}, lower_is_better=["loss"])
    store.add("low", {"t": FAIR, "loss": POOR}, lower_is_better=["loss"])
    board = store.board("loss")
    assert board.averaged == ("t",)
    assert [(row.label, row.ranks) for row in board.rows] == [
        ("low", Ranks(1, 1)), ("high", Ranks(2, 2)),
    ]  # fmt: skip


def test_knowledge_of_hazards_is_better_when_lower(store: Store) -> None:
    store.add("knows", {"wmdp": GOOD})
    store.add("safe", {"wmdp": POOR})
    assert [row.label for row in store.board("wmdp").rows] == ["safe", "knows"]


def test_a_safety_suite_has_no_mean(store: Store) -> None:
    store.add("a", {"t": FAIR}, config={"suite": {"domain": "safety"}})
    board = store.board()
    assert board.averaged == ()
    assert board.rows[0].ranks is None
    assert any("--sort TASK" in note for note in board.notes)


def test_a_suites_composite_is_its_mean(store: Store) -> None:
    from dataclasses import replace

    config = {"suite": {"tasks": {"t": {}, "u": {}}, "composite": {"name": "c", "parts": ["t"]}}}
    run = store.add("a", {"t": FAIR, "u": GOOD}, config=config)
    metrics = load_main_metrics(store.folder, [run.run_id]).of_run[run.run_id]
    own = replace(metrics[0], task="c", group="c", metric="composite", value=0.42)
    (board,) = build_boards([run], {run.run_id: [*metrics, own]})
    assert (board.composite, board.tasks, board.averaged) == ("c", ("t", "u"), ("t",))
    assert board.rows[0].mean.value == 0.42


def test_suites_and_versions_are_boards_of_their_own(store: Store) -> None:
    store.add("a", {"t": FAIR}, suite="two")
    store.add("a", {"t": FAIR}, suite="one", suite_version="1")
    store.add("a", {"t": FAIR}, suite="one", suite_version="2", started_at="2026-02-01T00:00:00Z")
    assert [(b.suite, b.version) for b in store.boards()] == [
        ("one", "2"), ("one", "1"), ("two", "1"),
    ]  # fmt: skip


def test_a_strategy_is_part_of_the_label(store: Store) -> None:
    store.add("a", {"t": FAIR}, config={"strategy": {"kind": "repeats"}})
    assert store.board().rows[0].label == "a (repeats)"


@pytest.mark.parametrize(
    ("field", "values", "word"),
    [
        ("version", ("1.0", "2.0"), "task version"),
        ("num_fewshot", (0, 5), "shots"),
        ("request_hash", ("one", "other"), "prompt or generation settings"),
    ],
)
def test_columns_of_several_settings_are_told(
    store: Store, field: str, values: tuple[Any, Any], word: str
) -> None:
    for model, value in zip("ab", values, strict=True):
        store.add(model, {"t": FAIR}, on_task={"t": {field: value}})
    assert store.board().notes == (f"t: rows differ in {word}",)


def test_a_prompt_that_isnt_known_differs_from_nothing(store: Store) -> None:
    for model, value in zip("ab", ("", "other"), strict=True):
        store.add(model, {"t": FAIR}, on_task={"t": {"request_hash": value}})
    assert store.board().notes == ()
