"""How old the newest score is, and when that makes a trend stale."""

from __future__ import annotations

from datetime import date

STALE_DAYS = 120
"""Age of the newest score from which the frontier and the lag describe the past."""
_WAY_OUT = "evalharness scores import eci_benchmarks.csv --format epoch"


def stale_words(newest: date, today: date) -> str:
    """A sentence if the newest score is older than `STALE_DAYS`, else nothing."""
    if not is_stale(newest, today):
        return ""
    age = (today - newest).days
    return (
        f"stale: the newest score is of {newest}, {age} days ago; what has come out since is missing here. "
        f"`{_WAY_OUT}` takes the file of https://epoch.ai/data"
    )


def is_stale(newest: date, today: date) -> bool:
    """Whether the newest score is older than `STALE_DAYS`."""
    return (today - newest).days > STALE_DAYS
