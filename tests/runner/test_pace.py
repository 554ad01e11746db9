"""How fast samples are finished: over the last minute, and only once there is ground for it."""

import pytest

from evalharness.runner.pace import MIN_COMPUTED, MIN_SPAN_S, Pace


def finish(pace: Pace, num: int, begin: float, every: float, *, is_computed: bool = True) -> float:
    """When the last of them was finished."""
    for i in range(num):
        pace.note(begin + i * every, is_computed=is_computed)
    return begin + (num - 1) * every


def test_there_is_no_rate_before_there_is_ground_for_one() -> None:
    pace = Pace(1000)
    assert pace.rate(100.0) is None
    now = finish(pace, MIN_COMPUTED, 100.0, 1.0)
    assert pace.rate(now + MIN_SPAN_S) is None
    now = finish(pace, 1, now + 1.0, 1.0)
    assert pace.rate(now) is None
    assert pace.rate(100.0 + MIN_SPAN_S) == pytest.approx(MIN_COMPUTED / MIN_SPAN_S)


def test_the_wait_for_the_first_answer_is_in_no_rate() -> None:
    pace = Pace(100)  # begun at 0, the first answer after 300 s of compiling
    now = finish(pace, 21, 300.0, 1.0)
    assert pace.rate(now) == pytest.approx(1.0)
    assert pace.remaining_s(now) == pytest.approx(79.0)


def test_a_cold_start_is_forgotten_after_a_minute() -> None:
    pace = Pace(10_000)
    warm = finish(pace, 30, 0.0, 4.0)
    now = finish(pace, 700, warm, 0.1)
    assert pace.rate(now) == pytest.approx(10.0, rel=0.02)
    assert pace.remaining_s(now) == pytest.approx((10_000 - 730) / 10.0, rel=0.02)


def test_an_engine_that_stalls_slows_down() -> None:
    pace = Pace(1000)
    now = finish(pace, 100, 0.0, 0.5)
    first, later = pace.rate(now), pace.rate(now + 50.0)
    assert first is not None
    assert later is not None
    assert later < first / 1.5


def test_answers_from_disk_are_done_but_say_nothing_of_the_rate() -> None:
    pace = Pace(1100)
    finish(pace, 1000, 0.0, 0.001, is_computed=False)
    now = finish(pace, 21, 5.0, 1.0)
    assert pace.rate(now) == pytest.approx(1.0)
    assert pace.remaining_s(now) == pytest.approx(79.0)


def test_thousands_a_second_keep_few_points() -> None:
    pace = Pace(10**6)
    now = finish(pace, 100_000, 0.0, 0.001)
    assert pace.rate(now) == pytest.approx(1000.0, rel=0.01)
    assert len(pace._points) < 200
