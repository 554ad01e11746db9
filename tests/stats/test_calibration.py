import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalharness.stats.calibration import (
    auroc,
    brier,
    ece,
    mcc,
)

ANSWERS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 1), st.booleans()),
    min_size=1,
)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1)


@pytest.mark.parametrize("measure", [auroc, brier, ece, mcc])
def test_nothing_is_nan(measure: Callable[[list[float], list[bool]], float]) -> None:
    assert math.isnan(measure([], []))


@given(ANSWERS)
def test_auroc_is_mann_whitney_over_its_maximum(answers: list[tuple[float, bool]]) -> None:
    right = [confidence for confidence, is_right in answers if is_right]
    wrong = [confidence for confidence, is_right in answers if not is_right]
    found = auroc([confidence for confidence, _ in answers], [is_right for _, is_right in answers])
    if not right or not wrong:
        assert math.isnan(found)
    else:
        statistic = stats.mannwhitneyu(right, wrong, method="asymptotic").statistic
        assert found == pytest.approx(statistic / (len(right) * len(wrong)))


def test_auroc_of_equal_confidences_is_a_half() -> None:
    assert auroc([0.7] * 4, [1, 0, 0, 1]) == 0.5


def test_auroc_of_a_perfect_order_is_1_and_of_its_reverse_0() -> None:
    assert auroc([-math.inf, 0.2, 3.0], [0, 0, 1]) == 1
    assert auroc([-math.inf, 0.2, 3.0], [1, 1, 0]) == 0


@pytest.mark.parametrize("is_right", [0, 1])
def test_auroc_of_one_class_is_nan(is_right: int) -> None:
    assert math.isnan(auroc([0.1, 0.9], [is_right, is_right]))


def test_brier_is_the_mean_squared_distance() -> None:
    assert brier([0.8, 0.4, 1.0], [1, 0, 0]) == pytest.approx((0.04 + 0.16 + 1) / 3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_brier_of_the_base_rate_is_its_variance(share: float) -> None:
    right = [i < share * 10 for i in range(10)]
    assert brier([share] * 10, right) == pytest.approx(share * (1 - share))


def test_ece_weighs_bins_by_their_answers() -> None:
    # (0, 0.5]: 0.4 sure, none of 3 right; (0.5, 1]: 0.9 sure, 1 of 1 right.
    assert ece([0.4, 0.4, 0.4, 0.9], [0, 0, 0, 1], bins=2) == pytest.approx(0.75 * 0.4 + 0.25 * 0.1)


def test_ece_of_a_calibrated_confidence_is_0() -> None:
    assert ece([0.25] * 4 + [0.5] * 2, [1, 0, 0, 0, 1, 0]) == pytest.approx(0)


def test_ece_is_over_ten_bins_where_none_are_asked_for() -> None:
    # 0.11 and 0.19 share the second tenth; with 9 or 11 bins an edge lies between them.
    assert ece([0.11, 0.19], [1, 0]) == pytest.approx((0.89 - 0.19) / 2)


@pytest.mark.parametrize("bins", [0, -1])
def test_ece_over_no_bins_is_refused(bins: int) -> None:
    with pytest.raises(ValueError, match=f"{bins} bins"):
        ece([0.5], [1], bins=bins)


def test_a_confidence_may_be_yes_or_no() -> None:
    assert brier([True, False, True], [1, 0, 0]) == pytest.approx(1 / 3)


def test_a_bin_holds_its_upper_edge() -> None:
    # 0.5 and 0.3 share the first of two bins: 0.8 promised, 1 held; apart they would err by 0.5 and 0.3.
    assert ece([0.5, 0.3], [1, 0], bins=2) == pytest.approx(0.1)


def test_a_confidence_of_0_is_in_the_first_bin() -> None:
    assert ece([0.0, 0.1], [0, 1], bins=10) == pytest.approx(0.45)


@given(ANSWERS)
def test_ece_of_one_bin_is_how_far_the_mean_is_off(answers: list[tuple[float, bool]]) -> None:
    confidence, right = np.array(answers, dtype=float).T
    assert ece(confidence, right, bins=1) == pytest.approx(abs(confidence.mean() - right.mean()))


@given(ANSWERS, st.integers(1, 20))
def test_more_bins_never_hide_the_mean_error(answers: list[tuple[float, bool]], bins: int) -> None:
    confidence, right = np.array(answers, dtype=float).T
    assert ece(confidence, right, bins=1) - 1e-12 <= ece(confidence, right, bins=bins) <= 1


@pytest.mark.parametrize("bad", [1.001, -0.001, math.inf])
@pytest.mark.parametrize("measure", [brier, ece])
def test_what_is_no_probability_is_refused(
    measure: Callable[[list[float], list[bool]], float], bad: float
) -> None:
    with pytest.raises(ValueError, match="outside"):
        measure([0.5, bad], [True, False])


@given(PAIRS)
def test_mcc_is_the_correlation_of_the_columns(pairs: list[tuple[bool, bool]]) -> None:
    predicted, actual = np.array(pairs, dtype=float).T
    found = mcc(predicted, actual)
    if np.ptp(predicted) == 0 or np.ptp(actual) == 0:
        assert found == 0
    else:
        assert found == pytest.approx(float(np.corrcoef(predicted, actual)[0, 1]), abs=1e-12)


def test_mcc_sees_through_an_accuracy_of_91_percent() -> None:
    # 90 true and 5 false positives, 1 true and 4 false negatives.
    predicted = [1] * 90 + [0] * 4 + [0] * 1 + [1] * 5
    actual = [1] * 90 + [1] * 4 + [0] * 1 + [0] * 5
    expected = (90 * 1 - 5 * 4) / math.sqrt((90 + 5) * (90 + 4) * (1 + 5) * (1 + 4))
    assert mcc(predicted, actual) == pytest.approx(expected)


def test_mcc_of_many_items_does_not_overflow() -> None:
    flags = np.arange(400_000) % 2
    assert mcc(flags, flags) == pytest.approx(1)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="2 confidences but 1 answers"):
        auroc([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="2 predicted but 1 actual"):
        mcc([1, 0], [1])


def test_a_fractional_score_is_refused() -> None:
    with pytest.raises(ValueError, match="other than 0 and 1"):
        auroc([0.1, 0.2], [0.5, 1])


def test_a_confidence_that_is_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        brier([0.5, math.nan], [1, 0])
