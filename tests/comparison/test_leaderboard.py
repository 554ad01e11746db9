import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.comparison.board_scores import range_of
from evalharness.comparison.leaderboard import (
    Board,
    build_boards,
)
from evalharness.stats.ranking import Ranks
from evalharness.store.read import load_main_metrics
from evalharness.store.records import Manifest
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
    config = {"suite": {"tasks": {"t": {}, "u": {}}, "composite": {"name": "c", "parts": ["t"]}}}
    run = store.add("a", {"t": FAIR, "u": GOOD}, config=config)
    metrics = load_main_metrics(store.folder, [run.run_id]).of_run[run.run_id]
    own = replace(metrics[0], task="c", group="c", metric="composite", value=0.42)
    (board,) = build_boards([run], {run.run_id: [*metrics, own]})
    assert (board.composite, board.tasks, board.averaged) == ("c", ("t", "u"), ("t",))
    assert board.rows[0].mean.value == 0.42


def test_a_composite_over_random_docs_is_ranked_by_its_interval_of_more_docs(store: Store) -> None:
    config = {"suite": {"tasks": {"t": {}}, "composite": {"name": "c", "parts": ["t"]}}}
    drawn = {"limit_from": "random", "limit_seed": 0, "num_docs_available": 400}
    run = store.add("a", {"t": FAIR}, config=config, on_task={"t": drawn})
    metrics = load_main_metrics(store.folder, [run.run_id]).of_run[run.run_id]
    own = replace(
        metrics[0], task="c", group="c", metric="composite", value=0.5, ci_low=0.4, ci_high=0.6
    )
    (board,) = build_boards([run], {run.run_id: [*metrics, own]})
    wide = 0.1 / math.sqrt(1 - 100 / 400)
    assert board.rows[0].mean[:3] == (0.5, 0.4, 0.6)
    assert board.rows[0].mean_range == pytest.approx((0.5, 0.5 - wide, 0.5, 0.5 + wide))


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


DIFFERING: list[tuple[dict[str, Any], str]] = [
    ({"on_task": {"t": {"version": "2.0"}}}, "t: task version 1.0 against 2.0: odd"),
    ({"on_task": {"t": {"num_fewshot": 5}}}, "t: 0 shots against 5: odd"),
    ({"on_task": {"t": {"request_hash": "x"}}}, "t: another prompt or other generation settings: odd"),
    ({"on_task": {"t": {"sampling": "temperature 0.6, max_gen_toks 256"}}}, "t: sampling greedy against temperature 0.6: odd"),
    ({"on_task": {"t": {"task_hash": "x"}}}, "t: scored differently (filter or metric changed: task h against x): odd"),
    ({"on_task": {"t": {"num_docs": 50, "num_samples": 50, "dataset_fingerprint": "x"}}}, "t: all 100 docs against 50 of 100: odd"),
    ({"on_task": {"t": {"dataset_fingerprint": "x"}}}, "t: other docs (all 100 each): odd"),
    ({"checkpoint": {"is_chat": False}}, "prompted with a chat template against as plain text: odd"),
    ({"packages": {"lm-eval": "0.4.1"}}, "lm-eval version 0.4.13 against 0.4.1: odd"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "note"), DIFFERING)
def test_what_isnt_asked_or_scored_as_most_rows_is_shown_and_not_ranked(
    store: Store, change: dict[str, Any], note: str
) -> None:
    store.add("a", {"t": FAIR})
    store.add("odd", {"t": GOOD}, **change)
    store.add("b", {"t": POOR})
    board = store.board()
    assert [(row.label, row.ranks) for row in board.rows] == [
        ("a", Ranks(1, 1)), ("b", Ranks(2, 2)), ("odd", None),
    ]  # fmt: skip
    assert board.rows[-1].scores["t"].value == 0.9
    assert math.isnan(board.rows[-1].mean.value)
    assert note in board.notes


def test_other_numbers_of_repeats_are_ranked_and_reported(store: Store) -> None:
    store.add("a", {"t": FAIR, "u": FAIR, "v": FAIR})
    more = {task: {"repeats": 3, "num_samples": 300} for task in "tu"}
    store.add("b", {"t": GOOD, "u": GOOD, "v": GOOD}, on_task=more)
    board = store.board()
    assert all(row.ranks for row in board.rows)
    note = "t, u: numbers of repeats differ, which all estimate the same mean: 1: a; 3: b"
    assert board.notes == (note,)


def test_a_column_of_two_metrics_ranks_one(store: Store) -> None:
    runs = [
        store.add(model, {"t": scores})
        for model, scores in (("a", FAIR), ("b", POOR), ("odd", GOOD))
    ]
    metrics = load_main_metrics(store.folder, [run.run_id for run in runs]).of_run
    metrics[runs[2].run_id] = [replace(m, metric="acc_norm") for m in metrics[runs[2].run_id]]
    (board,) = build_boards(runs, metrics)
    assert [(row.label, row.ranks is None) for row in board.rows] == [("a", False), ("b", False), ("odd", True)]  # fmt: skip
    assert "t: metric acc against acc_norm: odd" in board.notes


def test_what_differs_is_ranked_when_asked_for_but_never_another_version(store: Store) -> None:
    store.add("a", {"t": FAIR})
    store.add("shots", {"t": GOOD}, on_task={"t": {"num_fewshot": 5}})
    store.add("version", {"t": GOOD}, on_task={"t": {"version": "2.0"}})
    metrics = load_main_metrics(store.folder, [run.run_id for run in store.runs]).of_run
    (board,) = build_boards(store.runs, metrics, any_prompt=True)
    ranks = {row.label: row.ranks for row in board.rows}
    assert sum(found is not None for found in ranks.values()) == 2
    assert any("never ranked together" in note for note in board.notes)


def test_made_up_answers_stand_on_no_board(store: Store) -> None:
    store.add("a", {"t": FAIR})
    store.add("fake", {"t": GOOD}, engine={"kind": "fake"})
    assert [row.label for row in store.board().rows] == ["a"]


def test_a_prompt_that_isnt_known_is_ranked_and_said_to_be_unverified(store: Store) -> None:
    for model, value in zip("ab", ("", "other"), strict=True):
        store.add(model, {"t": FAIR}, on_task={"t": {"request_hash": value}})
    assert store.board().notes == ("unverified: prompt or generation settings: a",)
    assert all(row.ranks for row in store.board().rows)


def test_a_task_added_on_the_command_line_is_no_part_of_the_mean(store: Store) -> None:
    config = {"suite": {"tasks": {"t": {}, "extra": {}}, "modified": ["+extra"]}}
    store.add("a", {"t": FAIR, "extra": GOOD}, config=config)
    board = store.board()
    assert (board.tasks, board.averaged) == (("t", "extra"), ("t",))
    assert board.rows[0].mean.value == 0.5
    assert "not in the mean: extra (not the suite's own, added to a run)" in board.notes
    assert "a: modified suite (+extra)" in board.notes


HARD: list[float | None] = [1.0] * 60 + [None] * 40


def test_a_worse_model_without_scores_on_the_hardest_docs_isnt_first(store: Store) -> None:
    store.add("whole", {"t": [1.0] * 70 + [0.0] * 30})
    store.add("part", {"t": HARD})
    rows = store.board().rows
    assert [(row.label, row.ranks) for row in rows] == [("whole", Ranks(1, 2)), ("part", Ranks(1, 2))]  # fmt: skip
    assert rows[1].missing == {"t": pytest.approx(0.4)}
    low, ci_low, high, ci_high = rows[1].ranges["t"]
    assert (low, high) == pytest.approx((0.6, 1.0))
    # The interval of 60 of 100: no narrower than the normal one with the number of missing docs drawn.
    assert ci_low <= 0.6 - 1.9 * math.sqrt(0.6 * 0.4 / 100)
    assert ci_high >= 1


def test_a_better_model_isnt_first_while_the_others_missing_docs_may_be_right(store: Store) -> None:
    store.add("whole", {"t": [1.0] * 75 + [0.0] * 25})
    store.add("part", {"t": [1.0] * 40 + [0.0] * 20 + [None] * 40})
    assert {row.label: row.ranks for row in store.board().rows} == {
        "whole": Ranks(1, 2), "part": Ranks(1, 2),
    }  # fmt: skip


def test_missing_docs_where_lower_is_better_may_be_the_highest(store: Store) -> None:
    store.add("whole", {"t": [1.0] * 30 + [0.0] * 70}, lower_is_better=["t"])
    store.add("part", {"t": [0.0] * 60 + [None] * 40}, lower_is_better=["t"])
    rows = store.board("t").rows
    assert [(row.label, row.ranks) for row in rows] == [("whole", Ranks(1, 2)), ("part", Ranks(1, 2))]  # fmt: skip


def test_missing_docs_of_a_group_widen_it_as_pooled_or_as_equal_tasks(store: Store) -> None:
    store.add("a", {"x": [1.0] * 90 + [0.0] * 10, "y": [1.0] * 5 + [None] * 5}, groups=GROUPS)
    (row,) = store.board().rows
    found = row.ranges["g"]
    value = 95 / 105
    # y's 5 missing docs: 5 of 110, or half of one of two tasks.
    assert found.low == pytest.approx(value - 0.5 * 1.0 / 2)
    assert found.high == pytest.approx(min(1.0, value * 105 / 110 + 5 / 110))


def test_missing_docs_on_an_open_scale_leave_no_rank(store: Store) -> None:
    store.add("a", {"t": [3.0, 4.0, 5.0] * 10})
    store.add("b", {"t": [5.0, 4.0, 5.0] * 9 + [None] * 3})
    ranks = {row.label: row.ranks for row in store.board("t").rows}
    assert ranks["a"] is not None
    assert ranks["b"] is None


def test_ranks_are_of_models_and_not_of_the_docs_that_a_random_subset_left_out(
    store: Store,
) -> None:
    """The interval of 100 of 150 random docs is narrowed for the 150; whether a model is better is as open as before."""
    run = store.add("a", {"t": FAIR})
    (metric,) = load_main_metrics(store.folder, [run.run_id]).of_run[run.run_id]
    (whole,) = run.tasks
    drawn = replace(whole, limit_from="random", limit_seed=0, num_docs_available=150)
    factor = math.sqrt(1 - 100 / 150)
    low, high = (0.5 + factor * (end - 0.5) for end in (metric.ci_low, metric.ci_high))
    narrow = replace(metric, ci_low=low, ci_high=high)
    assert range_of(narrow, [drawn], [0.5]) == pytest.approx(range_of(metric, [whole], [0.5]))
    first = replace(drawn, limit_from="first", limit_seed=None)
    assert range_of(narrow, [first], [0.5])[1::2] == pytest.approx((low, high))
    failed = replace(drawn, num_samples=99)  # never narrowed
    assert range_of(narrow, [failed], [0.5]).ci_low < low
