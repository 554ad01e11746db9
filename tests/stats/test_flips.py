import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalharness.stats.flips import (
    Flips,
    flips,
    mcnemar_exact,
)

COUNTS = st.integers(0, 400)


def test_mcnemar_of_a_published_table() -> None:
    # 14 against 5: statsmodels' mcnemar([[60, 14], [5, 21]], exact=True).
    assert mcnemar_exact(14, 5) == pytest.approx(0.063568, abs=5e-7)


@given(COUNTS, COUNTS)
def test_mcnemar_equals_the_binomial_test(gained: int, lost: int) -> None:
    if gained + lost:
        expected = stats.binomtest(gained, gained + lost, 0.5).pvalue
        assert mcnemar_exact(gained, lost) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_no_change_is_no_evidence() -> None:
    assert mcnemar_exact(0, 0) == 1


def test_as_many_gained_as_lost_is_no_evidence() -> None:
    assert mcnemar_exact(7, 7) == 1


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        mcnemar_exact(3, -1)


def test_flips_count_each_way() -> None:
    assert flips([0, 0, 0, 1, 1, 0], [1, 1, 1, 0, 1, 0]) == Flips(3, 1, mcnemar_exact(3, 1))


def test_fractional_scores_count_by_the_sign_of_their_change() -> None:
    assert flips([0.2, 0.5, 0.5, 0.5], [0.3, 0.4, 0.1, 0.5])[:2] == (1, 2)


def test_flips_of_no_docs_are_none() -> None:
    assert flips([], []) == (0, 0, 1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_going_back_swaps_gained_and_lost(pairs: list[tuple[bool, bool]]) -> None:
    before, after = np.array(pairs, dtype=float).reshape(-1, 2).T
    forth, back = flips(before, after), flips(after, before)
    assert (forth.gained, forth.lost, forth.p_value) == (back.lost, back.gained, back.p_value)


def test_other_docs_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scores before but 1 after"):
        flips([0, 1], [1])


@pytest.mark.parametrize("missing", [float("nan"), None])
def test_a_missing_score_is_refused(missing: float) -> None:
    for scores in ([0, missing], [1, 1]), ([1, 1], [0, missing]):
        with pytest.raises(ValueError, match="NaN"):
            flips(*scores)


def test_docs_of_a_source_change_as_one() -> None:
    """30 docs lost and none gained are 3 sources: p is 2/8, not 2^-29."""
    before, after = [1.0] * 30, [0.0] * 30
    assert flips(before, after).p_value < 1e-8
    found = flips(before, after, [i // 10 for i in range(30)])
    assert (found.gained, found.lost, found.p_value) == (0, 30, 2 / 8)
