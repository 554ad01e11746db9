"""Has a team's own pace changed? The means of its checkpoints in, the calibrated test of the frontier's pace out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

import numpy as np

from evalharness.trend.change_point import Pace, change_of_pace

MIN_DATES = 6
"""Least days with a checkpoint: three on either side of a break."""


def own_pace(dates: Sequence[date], means: Sequence[float], rng: np.random.Generator) -> Pace:
    """The test over the checkpoints that were the best so far, or why there is none.

    Args:
        dates: (checkpoints,).
        means: (checkpoints,) in any unit; those that are NaN are left out.
        rng: draws the histories.
    """
    known = [(day, mean) for day, mean in zip(dates, means, strict=True) if math.isfinite(mean)]
    days = {day for day, _ in known}
    if len(days) < MIN_DATES:
        reason = f"means of {len(days)} days, at least {MIN_DATES} needed"
        return Pace(math.nan, None, math.nan, math.nan, math.nan, 0, reason)
    return change_of_pace([day for day, _ in known], [mean for _, mean in known], rng)
