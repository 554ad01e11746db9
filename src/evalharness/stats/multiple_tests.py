"""Several tests at once: the alpha of each after the correction."""

from collections.abc import Sequence

import numpy as np


def alphas(p_values: Sequence[float], alpha: float) -> list[float]:
    """The p that each test may have for Benjamini-Hochberg to reject it, the others as they are.

    alpha * k / m, where k tests are rejected when this one's p is 0: alpha / m where no other would be, alpha where all
    are. A power that is computed at it is that of the verdict.

    Args:
        p_values: of all tests, none NaN.
        alpha: false discovery rate of all.

    Source: Benjamini & Hochberg 1995, JRSS B 57:289 (step-up); Benjamini & Yekutieli 2001, Annals of Statistics 29:1165
        (the number rejected when one p is 0, in the proof of theorem 1.2).
    """
    found = np.asarray(p_values, dtype=float)
    m = len(found)
    ranks = np.arange(1, m + 1)
    left = []
    for place in range(m):
        others = np.sort(np.delete(found, place))
        smallest = np.concatenate([[0.0], others])
        left.append(alpha * float(ranks[smallest <= alpha * ranks / m].max()) / m)
    return left
