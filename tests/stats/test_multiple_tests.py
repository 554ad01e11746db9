import numpy as np
import pytest
from scipy import stats

from evalharness.stats.multiple_tests import alphas


def test_one_test_has_all_of_alpha() -> None:
    assert alphas([0.3], 0.05) == [0.05]


def test_where_nothing_else_shows_each_has_its_share() -> None:
    assert alphas([0.5] * 57, 0.05) == pytest.approx([0.05 / 57] * 57)


def test_where_all_show_each_has_all() -> None:
    assert alphas([1e-9] * 20, 0.05) == pytest.approx([0.05] * 20)


@pytest.mark.parametrize("seed", range(20))
def test_a_p_below_it_is_rejected_and_one_above_is_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p_values = rng.random(12) ** 3
    for place, left in enumerate(alphas(list(p_values), 0.05)):
        for p, is_rejected in ((left * (1 - 1e-9), True), (left * (1 + 1e-9), False)):
            tried = p_values.copy()
            tried[place] = p
            assert (stats.false_discovery_control(tried)[place] <= 0.05) == is_rejected
