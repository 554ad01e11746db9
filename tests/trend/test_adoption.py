"""Differences between snapshots."""

import math
from dataclasses import replace

import pytest

from evalharness.trend.adoption import (
    Adoption,
    adoptions,
    flows_between,
)
from evalharness.trend.hub.records import (
    Sighting,
    Snapshot,
)

FIRST = Sighting(
    model="a", hub_id="o/a", downloads=50, downloads_all_time=1000, likes=10, num_derivatives=7
)
DAYS = ["2026-08-01T00:00:00.000Z", "2026-08-03T00:00:00.000Z", "2026-08-11T00:00:00.000Z"]


def snapshots(*models: Sighting | None) -> list[Snapshot]:
    """One a day of `DAYS`, empty for None."""
    return [
        Snapshot(taken_at=at, endpoint="e", models=(model,) if model else ())
        for at, model in zip(DAYS, models, strict=False)
    ]


def only(*models: Sighting | None) -> Adoption:
    (found,) = adoptions(snapshots(*models))
    return found


def test_flows_are_differences_per_day_and_per_week() -> None:
    last = replace(FIRST, downloads_all_time=1400, likes=9, num_derivatives=9)
    flows = flows_between([FIRST, last], DAYS[:2])
    assert flows.days == 2
    assert flows.downloads_per_day == (400, 200, False)
    assert flows.likes_per_day == (-1, -0.5, True)
    assert flows.derivatives_per_week == (2, 7, False)


def test_the_30_day_window_makes_no_flow() -> None:
    flows = only(FIRST, replace(FIRST, downloads=9000)).flows
    assert flows is not None
    assert flows.downloads_per_day.change == 0


def test_a_fall_in_between_marks_the_whole_as_recount_and_changes_no_number() -> None:
    fell = replace(FIRST, downloads_all_time=600)
    found = only(FIRST, fell, replace(FIRST, downloads_all_time=2000))
    assert found.flows is not None
    assert found.flows.downloads_per_day == (1000, 100, True)
    assert [step.downloads_per_day for step in found.steps] == [
        (-400, -200, True),
        (1400, 175, False),
    ]


def test_snapshots_too_near_to_each_other_have_a_change_but_no_rate() -> None:
    last = replace(FIRST, likes=11)
    flow = flows_between([FIRST, last], [DAYS[0], "2026-08-01T05:59:00.000Z"]).likes_per_day
    assert flow.change == 1
    assert math.isnan(flow.rate)
    assert (
        flows_between([FIRST, last], [DAYS[0], "2026-08-01T06:00:00.000Z"]).likes_per_day.rate == 4
    )


def test_two_snapshots_of_one_time_have_no_rate() -> None:
    assert math.isnan(flows_between([FIRST, FIRST], [DAYS[0], DAYS[0]]).likes_per_day.rate)


def test_a_count_that_is_unknown_moves_by_nan() -> None:
    flows = flows_between([FIRST, replace(FIRST, likes=None)], DAYS[:2])
    assert math.isnan(flows.likes_per_day.change)
    assert math.isnan(flows.likes_per_day.rate)
    assert not flows.likes_per_day.is_recount


def test_one_snapshot_makes_no_flow() -> None:
    found = only(FIRST)
    assert (found.flows, found.steps, found.num_sightings) == (None, (), 1)


def test_a_model_that_is_gone_keeps_its_last_counts_and_says_why() -> None:
    gone = Sighting(model="a", hub_id="o/a", error="o/a: doesn't exist")
    found = only(FIRST, gone)
    assert (found.last, found.last_at) == (FIRST, DAYS[0])
    assert (found.error, found.error_at) == ("o/a: doesn't exist", DAYS[1])


def test_a_gap_is_bridged() -> None:
    found = only(FIRST, None, replace(FIRST, likes=20))
    assert found.flows is not None
    assert found.flows.likes_per_day.rate == 1
    assert len(found.steps) == 1


def test_a_model_is_one_whatever_its_entry_is_called() -> None:
    found = only(FIRST, replace(FIRST, model="b", hub_id="O/A"))
    assert (found.model, found.num_sightings) == ("b", 2)


def test_a_name_that_never_was_a_model_is_forgotten_with_the_next_snapshot() -> None:
    typo = Sighting(model="o/typo", hub_id="o/typo", error="o/typo: doesn't exist")
    assert [item.model for item in adoptions(snapshots(typo))] == ["o/typo"]
    assert [item.model for item in adoptions(snapshots(typo, FIRST))] == ["a"]


def test_models_stand_as_in_the_newest_snapshot() -> None:
    other = replace(FIRST, model="z", hub_id="o/z")
    taken = snapshots(FIRST)
    taken.append(Snapshot(taken_at=DAYS[1], endpoint="e", models=(other, FIRST)))
    assert [item.model for item in adoptions(taken)] == ["z", "a"]


@pytest.mark.parametrize("taken", [[], snapshots(None)])
def test_no_models_make_no_record(taken: list[Snapshot]) -> None:
    assert adoptions(taken) == []
