import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats import proportion

from evalharness.stats.estimates import (
    Interval,
    bootstrap_estimate,
    estimate,
    mean_interval,
    share_interval,
    standard_error,
    unseen_interval,
    wilson,
)


def is_nan(values: tuple[float, ...]) -> bool:
    return all(math.isnan(value) for value in values)


def mean(items: list[float]) -> float:
    return sum(items) / len(items)


def test_wilson_of_a_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3: 81 of 263 and 15 of 148.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@pytest.mark.parametrize(
    ("num_correct", "n"), [(0, 1), (1, 1), (0, 20), (3, 30), (97, 100), (8, 8)]
)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_equals_statsmodels(num_correct: int, n: int, level: float) -> None:
    expected = proportion.proportion_confint(num_correct, n, alpha=1 - level, method="wilson")
    assert wilson(num_correct, n, level) == pytest.approx(expected, abs=1e-12)


def test_wilson_of_nothing_is_nan() -> None:
    assert is_nan(wilson(0, 0))


def test_wilson_refuses_more_correct_than_trials() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


@given(st.integers(1, 10_000), st.data())
def test_wilson_holds_the_share_and_has_width(n: int, data: st.DataObject) -> None:
    num_correct = data.draw(st.integers(0, n))
    low, high = wilson(num_correct, n)
    assert 0 <= low <= num_correct / n <= high <= 1
    assert low < high


@pytest.mark.parametrize(
    ("n", "p", "coverage"), [(30, 0.97, 0.940), (100, 0.97, 0.969), (300, 0.97, 0.941)]
)
def test_wilson_has_the_published_exact_coverage(n: int, p: float, coverage: float) -> None:
    # Oracles: exact coverage near 1, where the normal interval has 0.597, 0.802 and 0.938.
    inside = sum(
        math.comb(n, k) * p**k * (1 - p) ** (n - k)
        for k in range(n + 1)
        if wilson(k, n)[0] <= p <= wilson(k, n)[1]
    )
    assert inside == pytest.approx(coverage, abs=5e-4)


def test_t_interval_of_a_closed_form() -> None:
    # mean 3, sd sqrt(2.5), n 5, t(0.975, 4) = 2.776445
    reach = 2.7764451 * math.sqrt(2.5 / 5)
    assert mean_interval([1, 2, 3, 4, 5]) == pytest.approx((3 - reach, 3 + reach), abs=1e-6)


def test_clustered_error_equals_statsmodels() -> None:
    rng = np.random.default_rng(0)
    clusters = rng.integers(12, size=100)
    values = rng.random(100) + clusters / 10
    fit = OLS(values, np.ones(100)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
    )
    assert standard_error(values, clusters.tolist()) == pytest.approx(fit.bse[0], rel=1e-10)


def test_equal_sources_have_statsmodels_clustered_interval() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(12), 8)
    values = rng.random(96) + clusters / 10
    fit = OLS(values, np.ones(96)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
    )
    assert mean_interval(values, clusters.tolist()) == pytest.approx(fit.conf_int()[0], rel=1e-10)


def test_every_doc_its_own_cluster_is_no_clustering() -> None:
    values = [0.1, 0.5, 0.7, 0.9]
    assert standard_error(values, "abcd") == pytest.approx(standard_error(values))


def test_copies_of_a_doc_add_no_certainty() -> None:
    values = [0.1, 0.5, 0.7, 0.9]
    clusters = ["a", "b", "c", "d"]
    assert standard_error(values * 5, clusters * 5) == pytest.approx(standard_error(values))


def test_binary_standard_error_is_lm_evals() -> None:
    # lm-eval's mean_stderr: sample_stddev (n - 1) / sqrt(n)
    assert standard_error([1, 0, 1, 1]) == pytest.approx(math.sqrt(0.75 * 0.25 / 3))


def test_nothing_is_nan_with_n_zero() -> None:
    found = estimate([])
    assert is_nan(found[:4])
    assert found.n == 0


def test_one_score_has_no_interval_and_no_error() -> None:
    assert is_nan(mean_interval([0.4]))
    assert is_nan(estimate([0.4])[1:4])


def test_one_right_answer_is_wide() -> None:
    found = estimate([1.0])
    assert (found.value, found.n) == (1.0, 1)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.2065, 1.0), abs=1e-4)
    assert math.isnan(found.stderr)


def test_all_right_is_not_certain() -> None:
    found = estimate([1.0] * 50)
    assert found.ci_low == pytest.approx(wilson(50, 50)[0])
    assert found.ci_low < 0.95


def test_equal_fractions_leave_room_for_docs_not_seen() -> None:
    # 1 - 0.025^(1/100) = 3.62 % of docs may score anything in [0, 1]
    unseen = 1 - 0.025 ** (1 / 100)
    assert mean_interval([0.5] * 100) == pytest.approx((0.5 * (1 - unseen), 0.5 * (1 + unseen)))


def test_equal_sums_with_rounding_are_equal() -> None:
    low, high = mean_interval([0.1 + 0.2, 0.3] * 10)
    assert high - low > 0.1


def test_equal_values_on_an_open_scale_have_no_interval() -> None:
    assert is_nan(mean_interval([12.5] * 100))


def test_one_cluster_has_no_interval() -> None:
    assert is_nan(estimate([1, 0, 1], ["a", "a", "a"])[1:4])
    assert is_nan(estimate([1.0, 1.0], ["a", "a"])[1:4])


def test_clustered_binary_stays_in_range_and_is_wider() -> None:
    values = [1.0] * 95 + [0.0] * 5
    clusters = [i // 10 for i in range(100)]
    found, alone = estimate(values, clusters), estimate(values)
    assert 0 <= found.ci_low < found.value < found.ci_high <= 1
    assert found.ci_high - found.ci_low > alone.ci_high - alone.ci_low
    assert found.stderr > alone.stderr


def test_clustered_all_right_counts_clusters_not_docs() -> None:
    found = estimate([1.0] * 100, [i // 10 for i in range(100)])
    assert (found.ci_low, found.ci_high) == pytest.approx(wilson(10, 10))


def test_scores_between_use_t_and_equal_scipy() -> None:
    for values in ([0.1, 0.95, 0.6, 0.5, 0.2] * 4, [40.0, 45.0, 60.0, 50.0], [1.5, 1.0]):
        found = estimate(values)
        result = stats.ttest_1samp(values, 0).confidence_interval()
        assert (found.ci_low, found.ci_high) == pytest.approx((result.low, result.high))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_shows(bad: float) -> None:
    found = estimate([0.5, bad, 0.25])
    assert is_nan(found[1:4])
    assert found.value == bad or (math.isnan(found.value) and math.isnan(bad))
    assert found.n == 3


def test_values_and_clusters_of_other_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values but 1 clusters"):
        estimate([1, 0], ["a"])


@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), max_size=20),
    st.booleans(),
)
def test_an_interval_has_width_or_is_nan(values: list[float], is_clustered: bool) -> None:
    clusters = [i // 2 for i in range(len(values))] if is_clustered else None
    found = estimate(values, clusters)
    assert found.ci_low < found.ci_high or is_nan(found[1:3])


@pytest.mark.parametrize(("size", "spread"), [(1, 0.0), (8, 0.25)])
def test_coverage_of_a_simulation(size: int, spread: float) -> None:
    """40 sources of `size` docs that share a difficulty: 95 % intervals hold the truth in about 95 % of runs."""
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(400):
        shares = np.repeat(0.8 + spread * rng.choice([-0.75, 0.75], size=40), size).clip(0, 1)
        values = (rng.random(len(shares)) < shares).astype(float)
        found = estimate(values, np.repeat(np.arange(40), size).tolist())
        truth = np.mean(np.clip(0.8 + spread * np.array([-0.75, 0.75]), 0, 1))
        inside += found.ci_low <= truth <= found.ci_high
    assert 0.92 <= inside / 400 <= 0.98


def bootstrap_interval(*args: Any) -> Interval:
    found = bootstrap_estimate(*args)
    return Interval(found.ci_low, found.ci_high)


def test_bootstrap_of_a_mean_is_near_t() -> None:
    values = np.random.default_rng(1).normal(size=200).tolist()
    found = bootstrap_interval(values, mean, np.random.default_rng(2), 2000)
    assert found == pytest.approx(mean_interval(values), abs=0.02)


def test_bootstrap_is_repeatable() -> None:
    values = list(range(20))
    first, second = (
        bootstrap_estimate(values, mean, np.random.default_rng(3), 100) for _ in range(2)
    )
    assert first == second


def test_bootstrap_takes_any_objects() -> None:
    pairs = [("a", "a"), ("b", "a"), ("b", "b")] * 10
    found = bootstrap_estimate(
        pairs, lambda items: mean([x == y for x, y in items]), np.random.default_rng(0), 200
    )
    assert found.value == pytest.approx(2 / 3)
    assert found.ci_low < 2 / 3 < found.ci_high
    assert found.stderr == pytest.approx(math.sqrt(2 / 9 / 30), rel=0.2)
    assert found.n == 30


@pytest.mark.parametrize("items", [[1.0], [2.0] * 30])
def test_bootstrap_without_spread_has_no_interval(items: list[float]) -> None:
    found = bootstrap_estimate(items, mean, np.random.default_rng(0), 50)
    assert found.value == items[0]
    assert is_nan(found[1:4])


def test_bootstrap_of_nothing_is_nan() -> None:
    found = bootstrap_estimate([], mean, np.random.default_rng(0), 50)
    assert is_nan(found[:4])
    assert found.n == 0


def inverse_share_of_ones(items: list[int]) -> float:
    return len(items) / items.count(1)


def test_resamples_without_a_value_are_left_out() -> None:
    """A third of them, (3/4)^4, have none."""
    items = [1, 0, 0, 0]
    found = bootstrap_interval(items, inverse_share_of_ones, np.random.default_rng(0), 200)
    assert found.low < 4 == found.high


def test_more_than_half_of_them_end_the_interval() -> None:
    def only_with_all(items: list[int]) -> float:
        if len(set(items)) < 4:
            raise ValueError("one is missing")
        return float(items[0])

    assert is_nan(bootstrap_interval([1, 2, 3, 4], only_with_all, np.random.default_rng(0), 200))


def test_an_interval_of_shares_stays_on_their_scale() -> None:
    values = [0.9, 1.0, 0.9, 1.0, 0.1, 1.0] * 2
    found = estimate(values)
    assert found.ci_high == 1.0 < mean_interval(values).high
    assert found.ci_low == unseen_interval(found.value, 12, 0.95).low < mean_interval(values).low
    assert estimate([1 - v for v in values]).ci_low == 0.0
    assert estimate([9.0, 10.0, 4.0, 10.0]).ci_high > 10


@pytest.mark.parametrize("n", [2, 3, 10, 30])
def test_near_equal_shares_are_as_uncertain_as_equal_ones(n: int) -> None:
    equal, near = estimate([0.9] * n), estimate([0.9] * (n - 1) + [0.9001])
    assert (near.ci_low, near.ci_high) == pytest.approx((equal.ci_low, equal.ci_high), abs=2e-3)
    unseen = 1 - 0.025 ** (1 / n)
    assert equal.ci_low == pytest.approx(0.9 * (1 - unseen))
    assert equal.ci_high == pytest.approx(0.9 * (1 - unseen) + unseen)


def test_two_scores_near_1_leave_most_of_the_scale_open() -> None:
    found = estimate([1.0, 0.9999])
    assert found.ci_low == pytest.approx(0.99995 * 0.025**0.5)
    assert found.ci_high == 1.0


def test_sources_whose_sums_agree_have_an_interval() -> None:
    """The spread of docs says how far sources may lie apart that happen to agree."""
    found = mean_interval([2.0, 8.0, 8.0, 2.0], ["a", "a", "b", "b"])
    assert found == pytest.approx(
        (5 - 12.7062 * math.sqrt(18 / 4), 5 + 12.7062 * math.sqrt(18 / 4))
    )
    shares = estimate([0.2, 0.8, 0.8, 0.2], ["a", "a", "b", "b"])
    assert (shares.ci_low, shares.ci_high) == (0.0, 1.0)


def test_equal_scores_on_an_open_scale_have_no_interval_and_no_error() -> None:
    found = estimate([12.5] * 3)
    assert is_nan(found[1:3])
    assert found.stderr == 0


@pytest.mark.parametrize("clusters", [None, list(range(263))])
def test_right_and_wrong_answers_have_the_published_wilson_interval(
    clusters: list[int] | None,
) -> None:
    # Newcombe 1998: 81 of 263.
    found = estimate([1] * 81 + [0] * 182, clusters)
    assert (found.ci_low, found.ci_high) == wilson(81, 263)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert found.value == pytest.approx(81 / 263)


def test_shared_sources_give_wilsons_interval_at_their_effective_size() -> None:
    # 10 sources of 3 docs: 4 all right, 4 all wrong, 2 with one of three. p = 14/30; the sums of residuals are known.
    values = [1.0] * 12 + [0.0] * 12 + [1.0, 0.0, 0.0] * 2
    found = estimate(values, [i // 3 for i in range(30)])
    p = 14 / 30
    sums = 4 * (3 * (1 - p)) ** 2 + 4 * (3 * p) ** 2 + 2 * (1 - 3 * p) ** 2
    error = math.sqrt(sums * 10 / 9) / 30
    assert found.stderr == pytest.approx(error)
    informed = (4 + 2 / 3) ** 2 / (4 + 2 / 9)
    drawn = (informed * error**2 + 0.25 * p * (1 - p) / 10) / (informed + 0.25)
    z, t = stats.norm.ppf(0.975), stats.t.ppf(0.975, 9)
    size = max(10.0, p * (1 - p) / drawn * (z / t) ** 2)
    expected = proportion.proportion_confint(p * size, size, method="wilson")
    assert (found.ci_low, found.ci_high) == pytest.approx(expected)


def test_one_source_with_most_docs_counts_as_little_as_its_share_says() -> None:
    """9 sources of one doc, one of 91, each all right or all wrong: 1 / (0.91^2 + 9 * 0.01^2) = 1.2 docs at least."""
    values = [1.0] * 91 + [0.0] * 4 + [1.0] * 5
    sources = [0] * 91 + list(range(1, 10))
    found = estimate(values, sources)
    least = 100**2 / (91**2 + 9)
    expected = proportion.proportion_confint(0.96 * least, least, method="wilson")
    assert (found.ci_low, found.ci_high) == pytest.approx(expected)


def test_answers_that_are_alike_for_all_docs_count_one_by_one() -> None:
    """Every doc gets 8 of 16: nothing but the answers' own chance is left, and half a doc that knows none of it."""
    found = estimate([0.5] * 50, draws=16)
    size = 50 * (50 + 0.5) / (50 * 0 + 0.5)  # informed = 50 docs; no variance seen
    size = min(size, 50 * 16)
    expected = proportion.proportion_confint(0.5 * size, size, method="wilson")
    assert (found.ci_low, found.ci_high) == pytest.approx(expected)


def test_answers_that_repeat_themselves_add_no_certainty() -> None:
    values = [1.0] * 30 + [0.0] * 70
    once, often = estimate(values), estimate(values, draws=32)
    assert (often.ci_low, often.ci_high) == pytest.approx((once.ci_low, once.ci_high), abs=2e-3)
    assert estimate([1.0] * 30, draws=8)[1:3] == pytest.approx(wilson(30, 30))


def test_few_docs_with_a_rare_answer_count_as_docs_not_as_answers() -> None:
    """One doc of 100 has one right answer of 32: the next may have all 32."""
    found = estimate([1 / 32] + [0.0] * 99, draws=32)
    assert found.ci_high > 10 * wilson(1, 3200).high / 2
    assert found.ci_low >= 0


def test_the_ends_of_wilsons_interval_are_0_and_1_to_the_last_bit() -> None:
    for n in range(1, 300):
        assert wilson(0, n).low == 0.0
        assert wilson(n, n).high == 1.0


def test_wilson_refuses_less_than_none() -> None:
    with pytest.raises(ValueError, match="-1 of 2"):
        wilson(-1, 2)


@pytest.mark.parametrize("measure", [mean_interval, share_interval, standard_error, estimate])
def test_a_missing_score_and_two_infinities_leave_nothing_known(
    measure: Callable[[list[float | None]], object],
) -> None:
    for scores in ([0.5, None, 0.25], [math.inf, -math.inf, 0.5]):
        found = measure(scores)  # type: ignore[arg-type]
        assert is_nan(found[:4] if isinstance(found, tuple) else (found,))  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "has_interval"), [(0.0, True), (1.0, True), (-0.5, False), (1.5, False)])  # fmt: skip
def test_equal_scores_have_an_interval_on_the_scale_of_shares_only(
    value: float, has_interval: bool
) -> None:
    found = mean_interval([value] * 5)
    unseen = 1 - 0.025 ** (1 / 5)
    expected = (value * (1 - unseen), value * (1 - unseen) + unseen)
    assert found == pytest.approx(expected) if has_interval else is_nan(found)


def test_rounding_is_no_spread_at_any_scale() -> None:
    values = [1e7 * (0.1 + 0.2), 1e7 * 0.3]
    assert values[0] != values[1]
    assert is_nan(mean_interval(values))
    reach = float(stats.t.ppf(0.975, 1)) * 0.5e-9
    assert mean_interval([1e-9, 2e-9]) == pytest.approx((1.5e-9 - reach, 1.5e-9 + reach))


def test_scores_below_0_are_on_an_open_scale() -> None:
    found = estimate([-0.5, 0.4, 0.2])
    result = stats.ttest_1samp([-0.5, 0.4, 0.2], 0).confidence_interval()
    assert (found.ci_low, found.ci_high) == pytest.approx((result.low, result.high))


def test_the_bootstraps_ends_and_error_are_its_resamples() -> None:
    seen: list[float] = []

    def noted(items: list[float]) -> float:
        seen.append(mean(items))
        return seen[-1]

    found = bootstrap_estimate([0.0, 0.5, 4.0, 1.0], noted, np.random.default_rng(1))
    resamples = seen[:-1]  # the last is of all items
    assert len(resamples) == 1000
    assert found.stderr == pytest.approx(statistics.stdev(resamples))
    assert (found.ci_low, found.ci_high) == pytest.approx(
        tuple(np.quantile(resamples, [0.025, 0.975]))
    )


@pytest.mark.parametrize(("num_failed", "has_interval"), [(500, True), (501, False)])
def test_half_of_the_resamples_may_have_no_value(num_failed: int, has_interval: bool) -> None:
    calls: list[None] = []

    def failing(items: list[float]) -> float:
        calls.append(None)
        return math.nan if len(calls) <= num_failed else mean(items)

    found = bootstrap_interval([0.0, 1.0, 2.0], failing, np.random.default_rng(0), 1000)
    assert is_nan(found) != has_interval


def test_two_items_can_be_drawn_again() -> None:
    found = bootstrap_interval([0.0, 1.0], mean, np.random.default_rng(0), 200)
    assert found == (0.0, 1.0)


def test_sources_are_drawn_with_all_their_items() -> None:
    sizes: set[int] = set()

    def noted(items: list[float]) -> float:
        sizes.add(len(items))
        return mean(items)

    bootstrap_interval([0.0, 1.0, 2.0], noted, np.random.default_rng(0), 100, ["a", "a", "b"])
    assert sizes == {2, 3, 4}
