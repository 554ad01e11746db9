from pathlib import Path

import pytest

from evalharness.comparison.family import Family, find_family
from evalharness.errors import StoreError
from stores import make_run

RIGHT = {"first": 20, "second": 80, "third": 82}


def run(folder: Path, day: int, model: str, suite: str = "sums", **about: str) -> None:
    right = RIGHT.get(model, 50)
    make_run(
        folder, f"202601{day:02}-080000-{model}-{suite}", model, suite,
        {"sums": [1.0] * right + [0.0] * (100 - right)}, started_at=f"2026-01-{day:02}T08:00:00+00:00",
        config={"model": {"name": model, "family": "mine", **about}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first was run last, and says when it was released; a run of the fake engine and a lone suite beside them."""
    folder = tmp_path_factory.mktemp("family")
    run(folder, 9, "first", release_date="2025-12-01")
    run(folder, 3, "second", parent="first")
    run(folder, 5, "third", parent="second")
    run(folder, 6, "alone", "other")
    make_run(folder, "20260107-080000-faked-sums", "faked", "sums", {"sums": [1.0] * 100},
             config={"model": {"name": "faked", "family": "mine"}}, engine={"kind": "fake"})  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def found(store: Path) -> Family:
    return find_family(store, "mine")


def test_checkpoints_stand_by_release_or_else_by_the_day_of_their_run(found: Family) -> None:
    assert [(m.run.model, str(m.day), m.is_released) for m in found.members] == [
        ("first", "2025-12-01", True),
        ("second", "2026-01-03", False),
        ("third", "2026-01-05", False),
    ]
    assert found.suite == "sums"
    assert found.notes == ("not on sums: alone",)


def test_each_is_compared_with_the_one_before_it_and_the_last_with_the_first(found: Family) -> None:
    steps = [
        (round(100 * d.mean.difference), d.call, step.is_whole)
        for step in found.lineage.steps
        if (d := step.domain("capability")).mean
    ]
    assert steps == [(60, "up", False), (2, "not resolved", False), (62, "up", True)]


def test_a_model_stands_for_itself_and_its_ancestors(store: Path) -> None:
    assert [m.run.model for m in find_family(store, "second").members] == ["first", "second"]


def test_an_unknown_family_and_a_suite_of_one_model_are_refused(store: Path) -> None:
    with pytest.raises(
        StoreError, match=r"no run of a family or model 'mien'; did you mean 'mine'"
    ):
        find_family(store, "mien")
    with pytest.raises(StoreError, match=r"1 of its models on suite 'other', at least two"):
        find_family(store, "mine", "other")
