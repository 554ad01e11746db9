"""How often the 95 % intervals of scores contain the truth: exactly for independent docs, simulated for clustered ones.

Measured (`pytest -s -m "slow or not slow" tests/analysis/test_coverage.py`): independent docs 0.940 to 0.969 over all cells,
0.950 on average: a share of n docs has n + 1 values, so no interval hits 0.95 at every p. Clustered (5 docs a source): 0.93 to
0.97 from 100 docs on and p in 0.2 to 0.8; 0.96 to 1.00 with 6 sources (t with 5 degrees of freedom); as low as 0.90 where
hardly any source has a success (p 0.03 or 0.97, 300 docs, intraclass correlation 0.5).
"""

import numpy as np
import pytest
from scipy import stats

from evalharness.analysis.estimates import estimate, wilson

SHARES = (0.03, 0.2, 0.5, 0.8, 0.97)
DOCS = (30, 100, 300, 1000)
PER_SOURCE = 5


def exact_coverage(p: float, n: int) -> float:
    weights = stats.binom.pmf(np.arange(n + 1), n, p)
    found = (wilson(k, n) for k in range(n + 1))
    return float(sum(w for w, i in zip(weights, found, strict=True) if i.low <= p <= i.high))


def test_independent_docs() -> None:
    coverage = {(p, n): exact_coverage(p, n) for p in SHARES for n in DOCS}
    print(*(f"{key}: {value:.3f}" for key, value in coverage.items()))
    assert all(0.94 <= round(value, 3) <= 0.97 for value in coverage.values())
    assert np.mean(list(coverage.values())) == pytest.approx(0.95, abs=0.005)


def simulated_coverage(p: float, n: int, correlation: float, draws: int) -> float:
    rng = np.random.default_rng([n, round(100 * p)])
    sources = list(np.repeat(np.arange(n // PER_SOURCE), PER_SOURCE))
    spread = (1 - correlation) / correlation
    hits = 0
    for _ in range(draws):
        ability = rng.beta(p * spread, (1 - p) * spread, size=n // PER_SOURCE)
        scores = (rng.random(n) < np.repeat(ability, PER_SOURCE)).astype(float)
        found = estimate(list(scores), sources)
        hits += found.ci_low <= p <= found.ci_high
    return hits / draws


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.1, 0.5])
def test_clustered_docs(correlation: float) -> None:
    coverage = {(p, n): simulated_coverage(p, n, correlation, 1000) for p in SHARES for n in DOCS}
    print(*(f"{key}: {value:.3f}" for key, value in coverage.items()))
    assert all(value >= 0.88 for value in coverage.values())
    usual = [v for (p, n), v in coverage.items() if n >= 100 and 0.2 <= p <= 0.8]
    assert all(0.93 <= value <= 0.975 for value in usual)


def test_ignoring_clusters_would_cover_far_less() -> None:
    rng = np.random.default_rng(0)
    sources = list(np.repeat(np.arange(40), PER_SOURCE))
    hits = {"clustered": 0, "independent": 0}
    for _ in range(300):
        scores = list(np.repeat((rng.random(40) < 0.5).astype(float), PER_SOURCE))
        for name, clusters in (("clustered", sources), ("independent", None)):
            found = estimate(scores, clusters)
            hits[name] += found.ci_low <= 0.5 <= found.ci_high
    assert hits["clustered"] / 300 > 0.92
    assert hits["independent"] / 300 < 0.75
