"""Plain rows do what `datasets.Dataset` does with the same calls, but keep values as they are."""

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pytest

from evalharness.tasks.rows import Rows

GIVEN = [{"n": i, "text": f"row {i}", "tags": ["x"] * (i % 3)} for i in range(10)]


def _upper(batch: Any) -> Any:
    return {"text": [text.upper() for text in batch["text"]]}


ALIKE: list[Callable[[Any], Any]] = [
    lambda d: d.map(lambda row: {"m": row["n"] + 1}),
    lambda d: d.map(lambda row: {"n": row["n"] + 1}),
    lambda d: d.map(lambda row: {"m": 1, "text": "t"}, remove_columns=["text", "n"]),
    lambda d: d.map(lambda row, i: {"m": i}, with_indices=True),
    lambda d: d.map(lambda n: {"m": n}, input_columns="n"),
    lambda d: d.map(lambda row, by: {"m": row["n"] * by}, fn_kwargs={"by": 3}),
    lambda d: d.map(_upper, batched=True, batch_size=4),
    lambda d: d.map(_upper, batched=True, remove_columns=["n", "text"]),
    lambda d: d.map(
        lambda b: {"a": [0, 1]}, batched=True, batch_size=5, remove_columns=["n", "text", "tags"]
    ),
    lambda d: d.filter(lambda row: row["n"] % 2),
    lambda d: d.filter(lambda row, i: i > 7, with_indices=True),
    lambda d: d.filter(lambda b: [n > 4 for n in b["n"]], batched=True, batch_size=3),
    lambda d: d.filter(lambda n: n == 3, input_columns=["n"]),
    lambda d: d.select([3, 1, 1]),
    lambda d: d.select(range(2, 5)),
    lambda d: d.shuffle(seed=42),
    lambda d: d.shuffle(generator=np.random.default_rng(3)),
    lambda d: d.shuffle(seed=1).select(range(4)).map(lambda row: {"z": 0}),
    lambda d: d.sort("text", reverse=True),
    lambda d: d.rename_column("n", "number"),
    lambda d: d.remove_columns(["text"]),
    lambda d: d.remove_columns("text"),
    lambda d: d.select_columns(["tags", "n"]),
    lambda d: d.add_column("extra", list(range(10))),
    lambda d: d.take(3),
    lambda d: d.skip(8),
]


@pytest.mark.parametrize("number", range(len(ALIKE)))
def test_a_call_gives_what_datasets_gives(number: int) -> None:
    ours, theirs = (
        ALIKE[number](made) for made in (Rows(GIVEN), datasets.Dataset.from_list(GIVEN))
    )
    assert [list(row.items()) for row in ours] == [list(row.items()) for row in theirs]
    assert ours.column_names == theirs.column_names
    assert list(ours.features) == list(theirs.features)
    assert (len(ours), ours.num_rows) == (len(theirs), theirs.num_rows)


def test_reading_is_as_with_datasets() -> None:
    ours, theirs = Rows(GIVEN), datasets.Dataset.from_list(GIVEN)
    assert ours[3] == theirs[3]
    assert ours[-1] == theirs[-1]
    assert ours[2:5] == theirs[2:5]
    assert ours[[1, 4]] == theirs[[1, 4]]
    assert ours["text"] == list(theirs["text"])
    assert ours.to_list() == theirs.to_list()
    assert ours.to_dict() == theirs.to_dict()
    assert ours.unique("n") == theirs.unique("n")
    for place in (10, -11):
        with pytest.raises(IndexError):
            ours[place]


def test_shuffling_without_a_seed_follows_numpys_as_with_datasets() -> None:
    orders = []
    for made in (Rows(GIVEN), datasets.Dataset.from_list(GIVEN)):
        np.random.seed(9)
        orders.append([row["n"] for row in made.shuffle()] + [float(np.random.rand())])
    assert orders[0] == orders[1]


def test_what_a_function_gives_keeps_its_type() -> None:
    values = [5, 0.5, "5", None, {"A": 1}, {"B": 2}, [1, "x"], 2**80]
    made = Rows([{"i": i} for i in range(len(values))]).map(lambda row: {"v": values[row["i"]]})
    assert [repr(row["v"]) for row in made] == [repr(value) for value in values]


def test_a_field_that_a_function_gives_some_rows_is_absent_from_the_others() -> None:
    made = Rows(GIVEN).map(lambda row: {"late": 1} if row["n"] == 9 else {})
    assert ["late" in row for row in made] == [False] * 9 + [True]
    assert made.column_names[-1] == "late"


def test_no_row_changes_by_what_is_done_to_one_that_was_given_out() -> None:
    made = Rows([{"a": [1]}])
    made[0]["a"].append(2)
    made[0]["b"] = 3
    assert made[0] == {"a": [1]}


def test_a_function_that_changes_its_row_and_gives_nothing_changes_nothing() -> None:
    made = Rows([{"a": 1}]).map(lambda row: row.update(a=2))
    assert list(made) == [{"a": 1}]


def test_what_pickle_cant_hold_is_kept() -> None:
    (row,) = Rows([{"a": 1}]).map(lambda row: {"f": lambda: row["a"]})
    assert row["f"]() == 1


def test_what_plain_rows_dont_have_is_reported_with_the_way_out() -> None:
    with pytest.raises(AttributeError, match=r"without 'cast'; `datasets\.Dataset\.from_list"):
        Rows(GIVEN).cast({})


def test_an_argument_that_would_be_passed_over_is_refused() -> None:
    with pytest.raises(TypeError, match="map takes no 'with_rank'"):
        Rows(GIVEN).map(lambda row: row, with_rank=True)
    assert len(Rows(GIVEN).map(lambda row: row, num_proc=2, desc="x")) == 10


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        Rows(GIVEN).map(lambda b: {"a": [1]}, batched=True)


def test_a_column_that_isnt_there_is_refused() -> None:
    with pytest.raises(KeyError):
        Rows(GIVEN)["no"]
    with pytest.raises(ValueError, match="no no in the docs"):
        Rows(GIVEN).remove_columns("no")
