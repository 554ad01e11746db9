"""How fast samples are finished, and how long the rest will take: over the last minute, and only once there is ground for it.

An engine's first answers are slow (caches are empty, kernels are compiled, the first of a batch all come at once), and
answers that were on disk take no time: from the start of a run, its rate would be wrong for most of it.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW_S = 60.0
"""Seconds that the rate is taken over."""
MIN_SPAN_S = 10.0
"""Seconds after the first answer before there is a rate."""
MIN_COMPUTED = 5
"""Answers after the first before there is a rate."""
_STEP_S = 0.5


class _Point(NamedTuple):
    at: float
    num_computed: int


class Pace:
    """Of a run, or of one of its tasks."""

    def __init__(self, total: int) -> None:
        """Nothing is done.

        Args:
            total: samples.
        """
        self.total, self.num_done = total, 0
        self._num_computed = 0
        self._points: deque[_Point] = deque()

    def note(self, now: float, *, is_computed: bool = True) -> None:
        """Count a finished sample.

        Args:
            now: seconds, of any clock.
            is_computed: whether the engine computed it, not found on disk.
        """
        self.num_done += 1
        if is_computed:
            self._num_computed += 1
            if not self._points or now - self._points[-1].at >= _STEP_S:
                self._points.append(_Point(now, self._num_computed))
                self._forget(now)

    def rate(self, now: float) -> float | None:
        """Computed samples per second; None if too few were finished to say."""
        self._forget(now)
        if not self._points:
            return None
        first = self._points[0]
        num, span_s = self._num_computed - first.num_computed, now - first.at
        is_known = num >= MIN_COMPUTED and span_s >= MIN_SPAN_S
        return num / span_s if is_known else None

    def remaining_s(self, now: float) -> float | None:
        """Seconds to the end at this rate; None if there is no rate."""
        rate = self.rate(now)
        return (self.total - self.num_done) / rate if rate else None

    def _forget(self, now: float) -> None:
        """Keep one point that is as old as the window, at least."""
        while len(self._points) > 1 and now - self._points[1].at >= WINDOW_S:
            self._points.popleft()
