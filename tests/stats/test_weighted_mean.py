"""The mean of a group's tasks: closed forms, edges, and how often its interval holds the truth."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import proportion

from evalharness.stats.estimates import (
    Estimate,
    estimate,
    unseen_interval,
    wilson,
)
from evalharness.stats.weighted_mean import (
    Member,
    weighted_mean,
)


def member(
    values: Sequence[float], weight: float = 1.0, clusters: Sequence[Hashable] | None = None
) -> Member:
    return Member(estimate(values, clusters), weight, values, clusters)


def shares(right: int, n: int) -> list[float]:
    return [1.0] * right + [0.0] * (n - right)


def wilson_at(value: float, size: float) -> tuple[float, float]:
    z = 1.959963984540054
    centre = (value + z * z / (2 * size)) / (1 + z * z / size)
    reach = (
        z / (1 + z * z / size) * math.sqrt(value * (1 - value) / size + z * z / (4 * size * size))
    )
    return centre - reach, centre + reach


@pytest.mark.parametrize("weights", [(1, 1), (1, 3), (20, 50)])
def test_right_and_wrong_answers_by_the_delta_method(weights: tuple[float, float]) -> None:
    found = weighted_mean([member(shares(15, 20), weights[0]), member(shares(10, 50), weights[1])])
    u, v = (w / sum(weights) for w in weights)
    value = 0.75 * u + 0.2 * v
    assert found.value == pytest.approx(value)
    assert found.n == 70
    assert found.stderr == pytest.approx(
        math.sqrt(u * u * 0.75 * 0.25 / 19 + v * v * 0.2 * 0.8 / 49)
    )
    p, q = (15 + 2 * value) / 22, (10 + 2 * value) / 52  # two docs at the group's mean added
    size = value * (1 - value) / (u * u * p * (1 - p) / 20 + v * v * q * (1 - q) / 50)
    assert (found.ci_low, found.ci_high) == pytest.approx(wilson_at(value, size))


def test_weights_count_as_shares_of_their_sum() -> None:
    tasks = [(shares(15, 20), 1.0), (shares(10, 50), 3.0)]
    assert weighted_mean([member(v, w) for v, w in tasks]) == pytest.approx(
        weighted_mean([member(v, 7 * w) for v, w in tasks])
    )


@pytest.mark.parametrize("right", [0, 1])
def test_tasks_that_agree_on_all_docs_are_as_certain_as_their_docs_together(right: int) -> None:
    sizes = (3, 12)
    by_size = weighted_mean([member(shares(right * n, n), n) for n in sizes])
    assert (by_size.ci_low, by_size.ci_high) == pytest.approx(wilson(right * 15, 15))
    equal = weighted_mean([member(shares(right * n, n)) for n in sizes])
    # Kish: 1 / (1/4/3 + 1/4/12) = 9.6 docs
    assert (equal.ci_low, equal.ci_high) == pytest.approx(wilson(right * 9.6, 9.6))
    assert equal.stderr == 0


def test_one_task_alone_is_itself() -> None:
    alone = member([0.25, 1.0, 0.5], 4.0)
    assert weighted_mean([alone]) == alone.estimate


def test_fractions_by_students_t_with_satterthwaites_freedom() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(40).tolist(), (0.5 * rng.random(60)).tolist()
    found = weighted_mean([member(first, 1), member(second, 3)])
    a, b = 0.0625 * np.var(first, ddof=1) / 40, 0.5625 * np.var(second, ddof=1) / 60
    freedom = (a + b) ** 2 / (a**2 / 39 + b**2 / 59)
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(a + b)
    value = 0.25 * np.mean(first) + 0.75 * np.mean(second)
    assert found.stderr == pytest.approx(math.sqrt(a + b))
    assert (found.ci_low, found.ci_high) == pytest.approx((value - reach, value + reach))


def test_equal_fractions_say_what_their_number_alone_can() -> None:
    found = weighted_mean([member([0.5] * 3), member([0.5] * 12)])
    assert (found.ci_low, found.ci_high) == pytest.approx(unseen_interval(0.5, 9.6, 0.95))
    near = weighted_mean([member([0.5, 0.5, 0.5001]), member([0.5] * 12)])
    assert (near.ci_low, near.ci_high) == pytest.approx((found.ci_low, found.ci_high), abs=1e-3)


def test_an_open_scale_has_students_interval_or_none() -> None:
    found = weighted_mean([member([10.0, 14.0, 12.0]), member([20.0, 20.5, 21.0])])
    a, b = 0.25 * 4 / 3, 0.25 * 0.25 / 3
    reach = stats.t.ppf(0.975, (a + b) ** 2 / (a**2 / 2 + b**2 / 2)) * math.sqrt(a + b)
    assert (found.ci_low, found.ci_high) == pytest.approx((16.25 - reach, 16.25 + reach))
    constant = weighted_mean([member([10.0, 10.0]), member([20.0, 20.0])])
    assert (constant.value, constant.stderr) == (15.0, 0.0)
    assert math.isnan(constant.ci_low)
    assert math.isnan(constant.ci_high)


def test_tasks_of_one_doc_vary_by_their_distance_from_the_mean() -> None:
    found = weighted_mean([member([0.2]), member([0.6]), member([0.3])])
    expected = math.sqrt(sum(((x - 11 / 30) / 3) ** 2 for x in (0.2, 0.6, 0.3)))
    assert found.stderr == pytest.approx(expected)
    assert 0 <= found.ci_low < 0.25 < 0.5 < found.ci_high <= 1


def test_shared_sources_widen_the_interval() -> None:
    sources = [i // 10 for i in range(100)]
    values = [float(i // 10 % 2) for i in range(100)]
    alone = weighted_mean([member(values), member(shares(50, 100))])
    clustered = weighted_mean([member(values, 1, sources), member(shares(50, 100))])
    assert clustered.ci_high - clustered.ci_low > 2 * (alone.ci_high - alone.ci_low)
    # 10 sources, each all right or all wrong: 10 effective docs of the first task, t with 9 + 99 degrees of freedom.
    size = 0.25 / (0.25 * 0.25 / 10 + 0.25 * 0.25 / 100)
    t = stats.t.ppf(0.975, 108)
    centre = (0.5 + t * t / (2 * size)) / (1 + t * t / size)
    reach = t / (1 + t * t / size) * math.sqrt(0.25 / size + t * t / (4 * size * size))
    assert (clustered.ci_low, clustered.ci_high) == pytest.approx((centre - reach, centre + reach))


def test_one_source_counts_as_one_doc() -> None:
    found = weighted_mean([member([1.0] * 9, 1, ["a"] * 9), member([1.0] * 4)])
    size = 1 / (0.25 / 1 + 0.25 / 4)
    t = stats.t.ppf(0.975, 3)
    assert found.ci_low == pytest.approx(size / (size + t * t))
    assert found.ci_high == 1.0


def test_repeated_answers_count_as_far_as_they_differ() -> None:
    """Two tasks of 40 docs, 8 answers each, alike for all docs: the group knows more than 80 answers would tell."""
    values = [0.5] * 40
    group = weighted_mean([Member(estimate(values, draws=8), 1.0, values, None, 8)] * 2)
    least, most = (proportion.proportion_confint(n / 2, n, method="wilson") for n in (80, 640))
    assert least[0] < group.ci_low <= most[0] + 1e-9


def test_metrics_that_are_no_means_put_their_intervals_together() -> None:
    first = Member(Estimate(0.4, 0.3, 0.6, 0.1, 50), 1.0, None)
    second = Member(Estimate(0.8, 0.7, 0.9, 0.05, 10), 1.0, None)
    found = weighted_mean([first, second])
    assert found.value == pytest.approx(0.6)
    assert found.ci_low == pytest.approx(0.6 - math.hypot(0.05, 0.05))
    assert found.ci_high == pytest.approx(0.6 + math.hypot(0.1, 0.05))
    assert found.stderr == pytest.approx(math.hypot(0.05, 0.025))
    assert found.n == 60


def test_a_metric_without_an_interval_leaves_the_group_without_one() -> None:
    first = Member(Estimate(0.4, math.nan, math.nan, math.nan, 50), 1.0, None)
    found = weighted_mean([first, member(shares(5, 10))])
    assert found.value == pytest.approx(0.45)
    assert all(math.isnan(x) for x in found[1:4])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_task_without_a_value_leaves_the_group_without_one(bad: float) -> None:
    found = weighted_mean([member([bad, 1.0]), member(shares(5, 10))])
    assert not math.isfinite(found.value)
    assert all(math.isnan(x) for x in found[1:4])
    assert found.n == 12


def t_interval(value: float, error: float, freedom: float) -> tuple[float, float]:
    reach = float(stats.t.ppf(0.975, freedom)) * error
    return value - reach, value + reach


def t_wilson(value: float, size: float, freedom: float) -> tuple[float, float]:
    t = float(stats.t.ppf(0.975, freedom))
    centre = (value + t * t / (2 * size)) / (1 + t * t / size)
    reach = (
        t / (1 + t * t / size) * math.sqrt(value * (1 - value) / size + t * t / (4 * size * size))
    )
    return centre - reach, centre + reach


def test_single_docs_have_the_freedom_of_their_number_less_one() -> None:
    found = weighted_mean([member([2.0]), member([6.0]), member([3.0])])
    error = math.sqrt(sum(((x - 11 / 3) / 3) ** 2 for x in (2, 6, 3)))
    assert (found.ci_low, found.ci_high) == pytest.approx(t_interval(11 / 3, error, 2))
    two = weighted_mean([member([2.0]), member([6.0])])
    assert (two.ci_low, two.ci_high) == pytest.approx(t_interval(4, math.sqrt(2), 1))


def test_one_single_doc_among_others_has_one_degree_of_freedom() -> None:
    found = weighted_mean([member([2.0]), member([6.0, 9.0])])  # means 2 and 7.5
    lonely, other = (2.75 / 2) ** 2, 0.25 * 2.25
    freedom = (lonely + other) ** 2 / (lonely**2 + other**2)
    assert found.stderr == pytest.approx(math.sqrt(lonely + other))
    assert (found.ci_low, found.ci_high) == pytest.approx(t_interval(4.75, found.stderr, freedom))


@pytest.mark.parametrize("values", [[-0.5, 0.4, 0.2], [0.9, 1.5, 0.3]])
def test_scores_below_0_or_above_1_are_on_an_open_scale(values: list[float]) -> None:
    found = weighted_mean([member(values), member([0.5, 0.6, 0.1])])
    a, b = (np.var(v, ddof=1) / 12 for v in (values, [0.5, 0.6, 0.1]))
    expected = t_interval(found.value, math.sqrt(a + b), (a + b) ** 2 / (a**2 / 2 + b**2 / 2))
    assert (found.ci_low, found.ci_high) == pytest.approx(expected)
    assert found.ci_low < 0 or found.ci_high > 1


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_fractions_with_an_end_of_the_scale_among_them_stay_on_it(end: float) -> None:
    found = weighted_mean([member([end, 0.5]), member([end, end])])
    assert (found.ci_low, found.ci_high)[int(end)] == end


def test_rounding_on_an_open_scale_is_no_spread() -> None:
    values = [1e7 * (0.1 + 0.2), 1e7 * 0.3]
    assert values[0] != values[1]
    found = weighted_mean([member(values), member(values)])
    assert found.value == pytest.approx(3e6)
    assert math.isnan(found.ci_low)


def test_weights_that_sum_to_more_than_1_by_rounding_leave_all_right_at_1() -> None:
    weights = [0.13, 0.94]
    assert math.fsum(w / math.fsum(weights) for w in weights) > 1
    found = weighted_mean([member([1.0] * 4, w) for w in weights])
    assert found.ci_high == 1
    size = 4 * sum(weights) ** 2 / sum(w * w for w in weights)
    assert found.ci_low == pytest.approx(wilson(size, size)[0])


def test_values_that_cancel_to_no_number_leave_none() -> None:
    found = weighted_mean([member([v, 1.0]) for v in (math.inf, -math.inf, 0.5)])
    assert all(math.isnan(x) for x in found[:4])


def test_a_task_of_two_sources_has_the_size_that_its_error_says() -> None:
    values, sources = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0], ["a"] * 3 + ["b"] * 3
    found = weighted_mean([member(values, 1, sources), member(shares(6, 10))])
    # Sums of residuals 1 and -1: SE^2 = (1 + 1) (2 / 1) / 36, and 2/3 x 1/3 of it makes 2 docs.
    assert found.stderr == pytest.approx(math.sqrt(0.25 * 4 / 36 + 0.25 * 0.24 / 9))
    value = (2 / 3 + 0.6) / 2
    p, q = (4 + 2 * value) / 8, (6 + 2 * value) / 12
    size = value * (1 - value) / (0.25 * p * (1 - p) / 2 + 0.25 * q * (1 - q) / 10)
    assert (found.ci_low, found.ci_high) == pytest.approx(t_wilson(value, size, 1 + 9))


def test_sources_that_all_agree_count_one_by_one() -> None:
    found = weighted_mean([member([1.0] * 12, 1, [i // 4 for i in range(12)]), member([1.0] * 5)])
    size = 1 / (0.25 / 3 + 0.25 / 5)
    t = float(stats.t.ppf(0.975, 2 + 4))
    assert found.ci_low == pytest.approx(size / (size + t * t))


def test_one_source_each_leaves_one_degree_of_freedom() -> None:
    found = weighted_mean([member([1.0] * 9, 1, ["a"] * 9) for _ in range(2)])
    t = float(stats.t.ppf(0.975, 1))
    assert found.ci_low == pytest.approx(2 / (2 + t * t))


def test_intervals_that_are_put_together_may_be_even_but_have_a_width() -> None:
    even = Member(Estimate(0.5, 0.25, 0.75, 0.1, 50), 1.0, None)
    found = weighted_mean([even, even])
    assert (found.ci_low, found.ci_high) == pytest.approx(
        (0.5 - math.sqrt(0.03125), 0.5 + math.sqrt(0.03125))
    )
    sure = Member(Estimate(0.4, 0.4, 0.4, 0.0, 50), 1.0, None)
    assert all(math.isnan(x) for x in weighted_mean([sure, sure])[1:3])


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from((0.0, 0.25, 1.0)), min_size=1, max_size=6), st.integers(1, 9)),
        min_size=2,
        max_size=6,
    )
)  # fmt: skip
def test_an_interval_of_shares_has_width_and_stays_on_the_scale(
    tasks: list[tuple[list[float], int]],
) -> None:
    found = weighted_mean([member(values, weight) for values, weight in tasks])
    assert 0 <= found.ci_low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.ci_high <= 1
    assert found.ci_high - found.ci_low > 0.05


CASES = [
    ((2, 5, 50), (0.9, 0.6, 0.8)),
    ((100, 100, 100), (0.2, 0.5, 0.9)),
    ((30, 30, 30, 30), (0.99, 0.9, 0.5, 0.1)),
    ((300, 30, 3), (0.97, 0.9, 0.95)),
    ((10,) * 57, (0.97,) * 57),
]


@pytest.mark.slow
@pytest.mark.parametrize("is_by_size", [True, False])
@pytest.mark.parametrize(("sizes", "truth"), CASES)
def test_coverage_of_right_and_wrong_answers(
    sizes: tuple[int, ...], truth: tuple[float, ...], is_by_size: bool
) -> None:
    rng = np.random.default_rng(0)
    weights = np.array(sizes if is_by_size else [1] * len(sizes)) / (
        sum(sizes) if is_by_size else len(sizes)
    )
    hits = 0
    for _ in range(300):
        drawn = [shares(int(rng.binomial(n, p)), n) for n, p in zip(sizes, truth, strict=True)]
        found = weighted_mean([member(v, w) for v, w in zip(drawn, weights, strict=True)])
        hits += found.ci_low <= weights @ np.array(truth) <= found.ci_high
    assert 0.91 <= hits / 300 <= 0.99
