"""Several tests at once: each one's p, and what the correction leaves of alpha for it. A p that is NaN is of no test."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg's p of each test; NaN where there is none."""
    found = iter(stats.false_discovery_control(known) if (known := _known(p_values)) else ())
    return [p if math.isnan(p) else float(next(found)) for p in p_values]


def alphas(p_values: Sequence[float], alpha: float) -> list[float]:
    """The p that each test may have for Benjamini-Hochberg to reject it, the others as they are.

    alpha * k / m, where k tests are rejected when this one's p is 0: alpha / m where no other would be, alpha where all
    are. A power that is computed at it is that of the verdict. Where there is no test, it is alpha.

    Args:
        p_values: of all tests.
        alpha: false discovery rate of all.

    Source: Benjamini & Hochberg 1995, JRSS B 57:289 (step-up); Benjamini & Yekutieli 2001, Annals of Statistics 29:1165
        (the number rejected when one p is 0, in the proof of theorem 1.2).
    """
    found = np.asarray(_known(p_values), dtype=float)
    m = len(found)
    ranks = np.arange(1, m + 1)
    left = []
    for place in range(m):
        others = np.sort(np.delete(found, place))
        smallest = np.concatenate([[0.0], others])
        left.append(alpha * float(ranks[smallest <= alpha * ranks / m].max()) / m)
    of_test = iter(left)
    return [alpha if math.isnan(p) else next(of_test) for p in p_values]


def _known(p_values: Sequence[float]) -> list[float]:
    return [p for p in p_values if not math.isnan(p)]
