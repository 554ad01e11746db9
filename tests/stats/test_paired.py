import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalharness.stats import sign_flips
from evalharness.stats.paired import (
    binary_posterior,
    detectable,
    docs_needed,
    from_normal,
    mde_at,
    paired_binary_interval,
    paired_test,
    unpaired_test,
)
from evalharness.stats.sign_flips import sign_flip_p


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def binary(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([1.0, 1.0, 0.0, 0.0], [both, only_a, only_b, neither])
    b = np.repeat([1.0, 0.0, 1.0, 0.0], [both, only_a, only_b, neither])
    return a, b


def test_mcnemar_is_the_exact_binomial() -> None:
    found = paired_test(*binary(60, 14, 5, 21), rng())
    assert found.test == "mcnemar"
    assert found.p_value == pytest.approx(0.063568, abs=1e-6)
    assert found.p_value == pytest.approx(stats.binomtest(14, 19, 0.5).pvalue)
    assert (found.wins, found.losses, found.ties) == (5, 14, 81)


def test_paired_error_of_binary_scores_is_the_closed_form() -> None:
    n10, n01, n = 14, 5, 100
    found = paired_test(*binary(60, n10, n01, 21), rng())
    assert found.difference == pytest.approx((n01 - n10) / n)
    expected = math.sqrt(n10 + n01 - (n10 - n01) ** 2 / n) / n
    assert found.stderr == pytest.approx(expected * math.sqrt(n / (n - 1)))


def test_paired_variance_is_the_sum_less_twice_the_covariance() -> None:
    a, b = rng(1).random((2, 50))
    found = paired_test(a, b, rng())
    covariance = np.cov(a, b)
    expected = math.sqrt((covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / 50)
    assert found.stderr == pytest.approx(expected)


@pytest.mark.parametrize(("wins", "losses", "p"), [(14, 5, 0.981), (60, 40, 0.976)])
def test_posterior_of_the_dirichlet_table(wins: int, losses: int, p: float) -> None:
    assert binary_posterior(wins, losses) == pytest.approx(p, abs=2e-3)
    table = rng(2).dirichlet([wins + 0.5, losses + 0.5, 81.0], size=200_000)
    assert binary_posterior(wins, losses) == pytest.approx(
        (table[:, 0] > table[:, 1]).mean(), abs=5e-3
    )


def test_docs_needed_is_millers_example() -> None:
    assert docs_needed(0.03, 1 / 9) == 969


@pytest.mark.parametrize(
    ("n", "discordance", "points"),
    [(30, 0.30, 28), (164, 0.20, 9.8), (198, 0.25, 10.0), (541, 0.20, 5.4), (1319, 0.10, 2.4),
     (5000, 0.20, 1.8), (12032, 0.25, 1.3), (14042, 0.15, 0.9)],
)  # fmt: skip
def test_detectable_differences_of_known_benchmarks(
    n: int, discordance: float, points: float
) -> None:
    assert 100 * detectable(math.sqrt(discordance / n)) == pytest.approx(points, abs=0.06)


def test_a_run_with_itself_differs_by_nothing() -> None:
    a = (rng().random(200) < 0.3).astype(float)
    found = paired_test(a, a, rng())
    assert (found.difference, found.p_value, found.p_b_above_a) == (0.0, 1.0, 0.5)
    assert found.ci_low < 0 < found.ci_high


@pytest.mark.parametrize("scores", [[0.5], [1.0], [1.0] * 7, [0.5] * 7])
def test_no_interval_has_zero_width(scores: list[float]) -> None:
    found = paired_test(scores, scores, rng())
    assert found.ci_low < found.ci_high or math.isnan(found.ci_low)
    assert found.p_value == 1.0


def test_nothing_is_nan_and_not_zero() -> None:
    found = paired_test([], [], rng())
    assert found.n == 0
    assert all(math.isnan(x) for x in (found.difference, found.ci_low, found.p_value, found.mde))


def test_exact_permutation_counts_all_sign_changes() -> None:
    d = np.array([0.5, 0.2, 0.1])
    sums = [abs(x * 0.5 + y * 0.2 + z * 0.1) for x in (1, -1) for y in (1, -1) for z in (1, -1)]
    expected = np.mean([s >= 0.8 - 1e-9 for s in sums])
    assert sign_flip_p(d, rng(), None, 100) == pytest.approx(expected)


def test_drawn_permutations_agree_with_scipy() -> None:
    a, b = rng(3).random(60), rng(4).random(60) + 0.08
    ours = paired_test(a, b, rng(5)).p_value
    theirs = stats.permutation_test(
        (b, a), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples",
        n_resamples=10_000, vectorized=True, rng=rng(6),
    ).pvalue  # fmt: skip
    assert ours == pytest.approx(theirs, abs=0.015)


def test_equal_differences_are_as_extreme_as_themselves() -> None:
    a, b = np.full(40, 0.25), np.full(40, 0.5)
    assert paired_test(a, b, rng()).p_value == pytest.approx(1 / 10_001)


def test_the_source_is_the_unit_where_docs_share_one() -> None:
    clusters = np.repeat(np.arange(20), 10)
    a = np.repeat((rng(7).random(20) < 0.5).astype(float), 10)
    b = np.repeat((rng(8).random(20) < 0.5).astype(float), 10)
    alone, together = paired_test(a, b, rng()), paired_test(a, b, rng(), clusters)
    assert (together.num_clusters, together.test) == (20, "permutation")
    assert together.stderr > 3 * alone.stderr
    by_source = paired_test(a[::10], b[::10], rng())
    assert together.stderr == pytest.approx(by_source.stderr, rel=0.03)


def test_ends_of_the_90_and_95_percent_intervals_are_nested() -> None:
    for a, b in (binary(20, 9, 3, 8), (rng(9).random(30), rng(10).random(30))):
        found = paired_test(a, b, rng())
        assert found.ci_low < found.ci90_low < found.difference < found.ci90_high < found.ci_high


def test_unpaired_is_wider_than_paired() -> None:
    a = rng(11).random(100)
    b = np.clip(a + 0.02 * rng(12).standard_normal(100), 0, 1)
    by_doc = paired_test(a, b, rng())
    error = a.std(ddof=1) / 10
    unpaired = unpaired_test(float(a.mean()), error, float(b.mean()), error, 100)
    assert unpaired.stderr > 3 * by_doc.stderr
    assert unpaired.difference == pytest.approx(by_doc.difference)


def test_a_difference_without_a_known_error_has_no_interval() -> None:
    found = from_normal(0.5, 0.6, math.nan, 10)
    assert found.difference == pytest.approx(0.1)
    assert all(math.isnan(x) for x in (found.ci_low, found.p_value, found.mde, found.p_b_above_a))


@pytest.mark.parametrize("bad", [([1.0], [1.0, 0.0]), ([math.nan], [1.0])])
def test_scores_that_cannot_be_paired_are_refused(bad: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="score"):
        paired_test(*bad, rng())


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40),
    st.integers(0, 3),
)
def test_exchanging_the_two_mirrors_the_result(
    pairs: list[tuple[float, float]], num_clusters: int
) -> None:
    a, b = np.array(pairs).T
    clusters = np.arange(len(a)) % num_clusters if num_clusters else None
    one = paired_test(a, b, rng(), clusters, 200)
    other = paired_test(b, a, rng(), clusters, 200)
    assert one.difference == pytest.approx(-other.difference, abs=1e-12)
    assert (one.wins, one.losses) == (other.losses, other.wins)
    assert np.allclose(
        [one.ci_low, one.ci_high], [-other.ci_high, -other.ci_low], atol=1e-9, equal_nan=True
    )
    assert 0 <= one.p_value <= 1


def test_one_in_twenty_pairs_of_equals_is_significant() -> None:
    """1,000 A/A pairs at nominal 5 %: binary (exact, so a little under it), fractional, and clustered."""
    draw = rng(13)
    p_values: dict[str, list[float]] = {"binary": [], "fractional": [], "clustered": []}
    for _ in range(1000):
        ability = draw.beta(2, 2, size=1000)
        a, b = (draw.random((2, 1000)) < ability).astype(float)
        p_values["binary"].append(paired_test(a, b, draw).p_value)
        c, d = draw.random((2, 100))
        p_values["fractional"].append(paired_test(c, d, draw, permutations=400).p_value)
        source = np.repeat(np.arange(30), 4)
        e, f = (draw.random((2, 120)) < np.repeat(draw.beta(1, 1, (2, 30)), 4, axis=1)).astype(
            float
        )
        p_values["clustered"].append(paired_test(e, f, draw, source, 400).p_value)
    rates = {name: float(np.mean(np.array(p) < 0.05)) for name, p in p_values.items()}
    assert all(0.035 <= rate <= 0.065 for rate in rates.values()), rates


@pytest.mark.parametrize(("up", "down"), [(0.1, 0.1), (0.02, 0.01), (0.15, 0.05)])
@pytest.mark.parametrize("n", [30, 100, 1000])
def test_intervals_of_paired_shares_cover(up: float, down: float, n: int) -> None:
    """Exact coverage, summed over all tables; wider than asked where hardly any doc differs, never narrower than 94 %."""
    wins = np.arange(n + 1)
    weights = stats.binom.pmf(wins, n, up)
    coverage = 0.0
    for w in wins[weights > 1e-9]:
        losses = np.arange(n - w + 1)
        p = weights[w] * stats.binom.pmf(losses, n - w, down / (1 - up))
        for loss in losses[p > 1e-9]:
            interval = paired_binary_interval(int(w), int(loss), n, 0.95)
            coverage += p[loss] * (interval.low <= up - down <= interval.high)
    assert 0.94 <= coverage <= 1


def test_scores_above_1_are_on_an_open_scale() -> None:
    a = np.array([10.0, 40.0, 70.0, 55.0, 20.0, 90.0, 31.0, 64.0, 75.0, 12.0, 48.0])
    b = a + np.array([9.0, -3.0, 12.0, 20.0, 4.0, 7.0, -1.0, 15.0, 8.0, 2.0, 11.0])
    found = paired_test(a, b, rng())
    expected = stats.ttest_1samp(b - a, 0).confidence_interval()
    assert (found.ci_low, found.ci_high) == pytest.approx((expected.low, expected.high))
    assert found.ci_high > 1
    assert found.difference == pytest.approx(84 / 11)
    assert (found.value_a, found.value_b) == pytest.approx((a.mean(), b.mean()))


def test_equal_differences_on_an_open_scale_have_no_interval() -> None:
    found = paired_test([10.0, 40.0, 70.0], [12.0, 42.0, 72.0], rng())
    assert math.isnan(found.ci_low)
    assert math.isnan(found.ci_high)
    assert math.isnan(found.p_b_above_a)


def test_rounding_noise_is_a_tie() -> None:
    a = np.array([0.1 + 0.2, 0.5, 0.25])
    found = paired_test(a, [0.3, 0.5, 0.75], rng())
    assert (found.wins, found.losses, found.ties) == (1, 0, 2)
    assert found.p_value == 1.0


def test_rounding_noise_of_sources_is_no_difference() -> None:
    # The differences of each source cancel but for rounding.
    a = np.array([0.1, 0.2, 0.3, 0.3, 0.1, 0.2])
    b = np.array([0.2, 0.3, 0.1, 0.1, 0.2, 0.3])
    assert paired_test(a, b, rng(), [0, 0, 0, 1, 1, 1]).p_value == 1.0


def test_the_posterior_of_fractions_is_students() -> None:
    a, b = rng(20).random((2, 12))
    found = paired_test(a, b, rng())
    t = stats.t.cdf(found.difference / found.stderr, 11)
    assert found.p_b_above_a == pytest.approx(t)
    clustered = paired_test(a, b, rng(), np.repeat(np.arange(4), 3))
    assert clustered.p_b_above_a == pytest.approx(
        stats.t.cdf(clustered.difference / clustered.stderr, 3)
    )


def test_differences_that_agree_say_what_their_number_alone_can() -> None:
    found = paired_test([0.25] * 20, [0.5] * 20, rng())
    for low, high, level in (
        (found.ci_low, found.ci_high, 0.95),
        (found.ci90_low, found.ci90_high, 0.90),
    ):
        unseen = 1 - ((1 - level) / 2) ** (1 / 20)
        assert (low, high) == pytest.approx((0.25 - unseen * 1.25, 0.25 + unseen * 0.75))


@pytest.mark.parametrize("n", [2, 5, 9])
def test_a_few_differences_that_nearly_agree_are_not_equivalent(n: int) -> None:
    a = np.full(n, 0.5)
    b = a + 0.001 + 1e-6 * np.arange(n)
    near, equal = paired_test(a, b, rng()), paired_test(a, a + 0.001, rng())
    assert (near.ci90_low, near.ci90_high) == pytest.approx(
        (equal.ci90_low, equal.ci90_high), abs=1e-4
    )
    assert near.ci90_high - near.ci90_low > 0.25


def test_intervals_of_students_t_and_of_the_normal_are_closed_forms() -> None:
    a, b = rng(21).random((2, 25))
    found = paired_test(a, b, rng())
    d = b - a
    for low, high, level in (
        (found.ci_low, found.ci_high, 0.95),
        (found.ci90_low, found.ci90_high, 0.90),
    ):
        expected = stats.ttest_1samp(d, 0).confidence_interval(level)
        assert (low, high) == pytest.approx((expected.low, expected.high))
    quantiles = stats.t.ppf(0.975, 24) + stats.t.ppf(0.8, 24)
    assert found.mde == pytest.approx(quantiles * found.stderr)
    normal = from_normal(0.5, 0.6, 0.04, 10)
    assert (normal.ci_low, normal.ci_high) == pytest.approx(
        (0.1 - 1.959964 * 0.04, 0.1 + 1.959964 * 0.04), abs=1e-6
    )
    assert (normal.ci90_low, normal.ci90_high) == pytest.approx(
        (0.1 - 1.644854 * 0.04, 0.1 + 1.644854 * 0.04), abs=1e-6
    )
    assert normal.p_value == pytest.approx(2 * stats.norm.sf(2.5))
    assert normal.p_b_above_a == pytest.approx(stats.norm.cdf(2.5))


def test_binary_pairs_have_the_published_adjusted_wald_interval() -> None:
    # Bonett & Price 2012: one doc added to either discordant cell.
    wins, losses, n = 5, 14, 100
    up, down = 6 / 102, 15 / 102
    reach = 1.959964 * math.sqrt((up + down - (up - down) ** 2) / 102)
    found = paired_binary_interval(wins, losses, n, 0.95)
    assert found == pytest.approx((up - down - reach, up - down + reach), abs=1e-6)
    assert paired_test(*binary(60, 14, 5, 21), rng()).mde == pytest.approx(
        (1.959964 + 0.841621) * math.sqrt(21 / 102 / 100), rel=1e-5
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_one_score_that_isnt_finite_is_refused_on_either_side(bad: float) -> None:
    for pair in ([bad, 1.0], [1.0, 0.5]), ([1.0, 0.5], [bad, 1.0]):
        with pytest.raises(ValueError, match="isn't finite"):
            paired_test(*pair, rng())


@pytest.mark.parametrize(
    ("scores", "is_share"),
    [([0.0, 0.5], True), ([0.5, 1.0], True), ([-0.1, 0.5], False), ([0.5, 1.1], False)],
)
def test_scores_from_0_to_1_are_shares_and_no_others(scores: list[float], is_share: bool) -> None:
    a, b = np.array([0.4, 0.6, 0.5, 0.45, scores[0]]), np.array([0.5, 0.55, 0.6, 0.5, scores[1]])
    found = paired_test(a, b, rng())
    expected = stats.ttest_1samp(b - a, 0).confidence_interval()
    mean, unseen = float((b - a).mean()), 1 - 0.025 ** (1 / 5)
    low = min(expected.low, mean - unseen * (1 + mean)) if is_share else expected.low
    high = max(expected.high, mean + unseen * (1 - mean)) if is_share else expected.high
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high))


def test_from_ten_units_on_the_spread_is_believed() -> None:
    a = np.full(10, 0.5)
    b = a + 0.001 + 1e-6 * np.arange(10)
    found = paired_test(a, b, rng())
    expected = stats.ttest_1samp(b - a, 0).confidence_interval()
    assert (found.ci_low, found.ci_high) == pytest.approx((expected.low, expected.high), rel=1e-6)


def test_intervals_of_shares_end_at_1() -> None:
    found = paired_test([0.95, 0.25], [0.05, 0.75], rng())
    assert (found.ci_low, found.ci_high) == (-1.0, 1.0)
    assert paired_binary_interval(0, 1, 1, 0.95).low == -1.0
    assert paired_binary_interval(1, 0, 1, 0.95).high == 1.0
    # 2/3 against 1/3 of 3 docs
    reach = 1.959964 * math.sqrt((1 - 1 / 9) / 3)
    assert paired_binary_interval(1, 0, 1, 0.95).low == pytest.approx(1 / 3 - reach, abs=1e-6)


def test_one_doc_of_fractions_has_no_interval() -> None:
    found = paired_test([0.25], [0.5], rng())
    assert all(math.isnan(x) for x in (found.ci_low, found.ci_high, found.p_b_above_a, found.mde))


def test_fractions_that_never_differ_decide_nothing() -> None:
    found = paired_test([0.25, 0.5] * 10, [0.25, 0.5] * 10, rng())
    assert (found.p_value, found.p_b_above_a) == (1.0, 0.5)
    assert math.isnan(found.mde)


def test_differences_that_agree_have_no_least_one() -> None:
    found = paired_test([0.25] * 20, [0.5] * 20, rng())
    assert math.isnan(found.mde)
    assert math.isnan(found.p_b_above_a)


def test_an_error_of_0_is_no_certainty() -> None:
    found = from_normal(0.5, 0.6, 0.0, 10)
    unknown = (found.ci_low, found.ci_high, found.ci90_low, found.ci90_high)
    assert all(math.isnan(x) for x in (*unknown, found.p_value, found.p_b_above_a, found.mde))
    assert (found.wins, found.losses, found.ties, found.n) == (0, 0, 0, 10)


def test_thirteen_units_are_looked_at_in_full_and_fourteen_drawn() -> None:
    assert sign_flip_p(np.ones(13), rng(), None, 10) == 2 / 2**13
    assert sign_flip_p(np.ones(14), rng(), None, 10) == 1 / 11
    assert sign_flip_p(np.ones(1), rng(), None, 10) == 1.0


@pytest.mark.parametrize("num_units", [2, 20, 3000])
def test_each_permutation_is_drawn_once_in_chunks_or_not(num_units: int) -> None:
    # The sum is 0: all draws are as extreme, so p is (1 + draws) / (1 + permutations).
    assert sign_flip_p(np.array([1.0, -1.0] * (num_units // 2)), rng(), None, 10_000) == 1.0


class CountingBytes:
    def __init__(self) -> None:
        self.rng = rng()
        self.sizes: list[int] = []

    def bytes(self, size: int) -> bytes:
        self.sizes.append(size)
        return self.rng.bytes(size)


@pytest.mark.parametrize(
    ("cells", "sizes"), [(1000, [150] * 4), (30, [3] * 200), (10, [3] * 200), (10_000, [600])]
)
def test_a_chunk_holds_no_more_than_its_cells_and_at_least_a_row(
    monkeypatch: pytest.MonkeyPatch, cells: int, sizes: list[int]
) -> None:
    # 20 units: 3 bytes of signs a row
    monkeypatch.setattr(sign_flips, "_CHUNK_CELLS", cells)
    draws = CountingBytes()
    assert sign_flip_p(np.array([1.0, -1.0] * 10), draws, None, 200) == 1.0  # type: ignore[arg-type]
    assert draws.sizes == sizes


@pytest.mark.parametrize(("num_units", "extreme"), [(16, 1736), (17, 1865), (100, 534)])
def test_a_seed_gives_the_same_draws_in_every_version(num_units: int, extreme: int) -> None:
    d = 0.3 * np.sin(np.arange(num_units)) + 0.04
    assert sign_flip_p(d, rng(4), None, 10_000) == extreme / 10_001


def test_docs_needed_count_the_spread_within_docs_by_their_repeats() -> None:
    # (z_.975 + z_.80)^2 (1/9 + 1/6/2 + 1/6/3) / 0.03^2
    assert docs_needed(0.03, 1 / 9, [(1 / 6, 2), (1 / 6, 3)]) == math.ceil(7.848880 * 0.25 / 0.0009)


def test_docs_needed_arent_one_more_by_rounding() -> None:
    assert docs_needed(detectable(1.0) / 2, 1.0) == 4
    assert docs_needed(detectable(0.1), 0.07) == 7


def test_the_least_difference_grows_with_the_number_of_tests() -> None:
    found = paired_test(*binary(60, 14, 5, 21), rng())
    quantile = stats.norm.isf(0.05 / 57 / 2) + stats.norm.ppf(0.8)
    assert mde_at(found, 0.05 / 57) == pytest.approx(quantile * math.sqrt(21 / 102 / 100))
    assert mde_at(found, 0.05) == found.mde < mde_at(found, 0.05 / 57)


def test_a_difference_needs_docs_that_differ() -> None:
    """Of 100 docs 1 differs; a difference that shows is of more docs than that, and all of them one way."""
    found = paired_test(*binary(60, 1, 0, 39), rng())
    quantile = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert found.mde == pytest.approx(quantile**2 / 100)
    assert math.isnan(paired_test(*binary(3, 1, 1, 1), rng()).mde)  # 6 docs


def test_no_difference_shows_where_no_p_is_small_enough() -> None:
    """5 sources have 32 sign changes: p is 2/32 at least."""
    values = rng(3).random((2, 50))
    found = paired_test(*values, rng(), np.repeat(np.arange(5), 10))
    assert found.least_p == 2 / 32
    assert math.isnan(found.mde)
    assert (found.ci_low, found.ci_high) == (-1.0, 1.0)
    more = paired_test(*values, rng(), np.repeat(np.arange(10), 5))
    assert more.mde > 0
    assert math.isnan(mde_at(more, 2 / 1024))
    assert math.isnan(paired_test(*(10 * values), rng(), np.repeat(np.arange(5), 10)).ci_low)


def test_a_source_of_most_docs_decides_neither_test_nor_interval() -> None:
    """9 sources of 10 docs without a difference, one of 500 docs that all differ: it may be chance, p is 1/2 at least."""
    sources = np.r_[np.repeat(np.arange(9), 10), np.full(500, 9)]
    a = np.full(590, 0.5)
    b = np.where(sources == 9, 0.9, 0.5 + np.tile([0.1, -0.1], 295))
    found = paired_test(a, b, rng(), sources)
    assert found.p_value > 0.05
    assert found.ci_low <= 0 <= found.ci_high
    assert found.mde > found.difference
