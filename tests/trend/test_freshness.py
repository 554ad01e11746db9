from datetime import date, timedelta

from evalharness.trend.freshness import STALE_DAYS, is_stale, stale_words

NEWEST = date(2026, 3, 1)


def test_a_trend_is_stale_the_day_after_its_120th() -> None:
    last = NEWEST + timedelta(days=STALE_DAYS)
    assert STALE_DAYS == 120
    assert (is_stale(NEWEST, last), stale_words(NEWEST, last)) == (False, "")
    assert is_stale(NEWEST, last + timedelta(days=1))


def test_the_banner_says_the_day_the_age_and_the_way_out() -> None:
    words = stale_words(NEWEST, date(2026, 9, 1))
    assert "2026-03-01, 184 days ago" in words
    assert "evalharness scores import eci_benchmarks.csv --format epoch" in words


def test_a_score_from_a_clock_ahead_is_not_stale() -> None:
    assert stale_words(NEWEST, date(2020, 1, 1)) == ""
