import math

import numpy as np
import pytest
from lm_eval.api.metrics import bits_per_byte, f1_score, perplexity, weighted_perplexity
from scipy import stats

from evalharness.runner.likelihoods import likelihood_estimate

RNG = np.random.default_rng(0)
LOGLIKELIHOODS = (-RNG.gamma(2, 1, size=50)).tolist()
WEIGHTED = [
    (-w * x, w) for w, x in zip(RNG.integers(5, 90, 50).tolist(), RNG.random(50), strict=True)
]


def test_the_interval_of_a_perplexity_is_that_of_its_logarithm() -> None:
    found = likelihood_estimate(perplexity, LOGLIKELIHOODS, None)
    assert found is not None
    t = stats.ttest_1samp(LOGLIKELIHOODS, 0).confidence_interval()
    assert found.value == pytest.approx(perplexity(LOGLIKELIHOODS))
    assert (found.ci_low, found.ci_high) == pytest.approx((math.exp(-t.high), math.exp(-t.low)))
    error = stats.sem(LOGLIKELIHOODS)
    assert (found.stderr, found.n) == (pytest.approx(found.value * error), 50)


@pytest.mark.parametrize("aggregation", [weighted_perplexity, bits_per_byte])
def test_weighted_ones_have_lm_evals_value(aggregation: object) -> None:
    found = likelihood_estimate(aggregation, WEIGHTED, None)
    assert found is not None
    assert found.value == pytest.approx(aggregation(WEIGHTED))
    assert found.ci_low < found.value < found.ci_high


def test_one_doc_has_a_value_and_no_interval() -> None:
    found = likelihood_estimate(perplexity, [-2.0], None)
    assert found is not None
    assert found.value == pytest.approx(math.exp(2))
    assert math.isnan(found.ci_low)


def test_other_aggregations_have_none() -> None:
    def perplexity(items: list[float]) -> float:
        return items[0]

    assert likelihood_estimate(f1_score, [(1, 1)], None) is None
    assert likelihood_estimate(perplexity, [-1.0, -2.0], None) is None  # a task's own
