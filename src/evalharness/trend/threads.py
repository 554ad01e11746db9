"""Work shared among threads: numpy lets them run side by side, and there is nothing to fork or to copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def in_threads(
    work: Callable[[_In], _Out], parts: Sequence[_In], workers: int | None = None
) -> list[_Out]:
    """The results in the order of the parts, whichever thread made them.

    Args:
        work: needs no more than its part, and changes nothing that another one reads.
        parts: shared out one at a time.
        workers: threads; None: one for each core that the process may use.
    """
    num = min(len(parts), workers or len(os.sched_getaffinity(0)))
    if num <= 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(num) as pool:
        return list(pool.map(work, parts))
