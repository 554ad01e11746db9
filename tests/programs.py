"""Programs in the sandbox, side by side."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from evalharness.tasks.sandbox.run import Limits, Outcome, run_python


def run_many(
    sources: Iterable[str], *, limits: Limits | None = None, num_workers: int | None = None
) -> list[Outcome]:
    """Outcomes in the order of the sources."""
    with ThreadPoolExecutor(num_workers or os.cpu_count()) as pool:
        return list(pool.map(lambda source: run_python(source, limits=limits), sources))
