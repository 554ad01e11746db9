"""Resamples of pairs of labels, and the jackknife of a ratio: closed forms and oracles."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, matthews_corrcoef

from evalharness.stats.estimates import (
    bootstrap_estimate,
    mean_interval,
)
from evalharness.stats.resampling import (
    ratio,
    resamples,
)

Pairs = list[tuple[int, int]]


def f1(pairs: Pairs) -> float:
    gold, predicted = zip(*pairs, strict=True)
    return float(f1_score(gold, predicted, zero_division=0))


def mcc(pairs: Pairs) -> float:
    gold, predicted = zip(*pairs, strict=True)
    if len(set(gold)) < 2 or len(set(predicted)) < 2:
        return 0.0
    return float(matthews_corrcoef(gold, predicted))


def of_counts(right: int, alarms: int, misses: int, rest: int) -> Pairs:
    kinds = [(1, 1), (0, 1), (1, 0), (0, 0)]
    return [
        pair
        for pair, num in zip(kinds, (right, alarms, misses, rest), strict=True)
        for _ in range(num)
    ]


def test_a_ratio_of_equal_weights_is_the_mean() -> None:
    values = [0.1, 0.5, 0.7, 0.9, 1.4]
    found = ratio(values, [2.0] * 5)
    assert 2 * found.value == pytest.approx(np.mean(values))
    assert (2 * found.low, 2 * found.high) == pytest.approx(mean_interval(values))


def test_a_ratio_is_near_its_linear_form() -> None:
    """Cochran: the residuals y - R x, over the sum of x."""
    rng = np.random.default_rng(0)
    weights = rng.integers(50, 150, size=400)
    amounts = weights * rng.normal(2, 0.5, size=400)
    found = ratio(list(amounts), list(weights))
    residuals = amounts - found.value * weights
    error = math.sqrt(400 * residuals.var(ddof=1)) / weights.sum()
    assert found.stderr == pytest.approx(error, rel=0.02)
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, 399) * found.stderr)


def test_docs_of_one_source_are_one_unit_of_a_ratio() -> None:
    amounts, weights = [1.0, 2.0, 4.0, 3.0], [1.0, 1.0, 2.0, 1.0]
    thrice = ratio(amounts * 3, weights * 3, [0, 1, 2, 3] * 3)
    assert thrice == pytest.approx(ratio(amounts, weights))


@pytest.mark.parametrize("amounts", [[1.0], [2.0, 4.0]])
def test_a_ratio_without_spread_has_no_interval(amounts: list[float]) -> None:
    found = ratio(amounts, [a / 2 for a in amounts])
    assert found.value == 2
    assert math.isnan(found.low)


@pytest.mark.parametrize("metric", [f1, mcc])
def test_one_doc_of_a_class_that_is_right_leaves_most_open(metric: object) -> None:
    """All resamples of 30 docs that have it agree on 1: the next doc of its class may well be wrong."""
    found = bootstrap_estimate(of_counts(1, 0, 0, 29), metric, np.random.default_rng(0), 300)
    assert found.value == found.ci_high == 1
    assert found.ci_low < 0.4


def test_pairs_of_labels_are_drawn_from_two_docs_more() -> None:
    pairs = of_counts(40, 0, 0, 60)
    drawn = resamples(
        pairs, lambda items: sum(g != p for g, p in items), np.random.default_rng(1), 2000, None
    )
    assert drawn.mean() == pytest.approx(100 * 2 / 102 / 2, rel=0.06)


@pytest.mark.parametrize(("num", "share"), [(4, 2 / 6), (3, 0.0)])
def test_two_labels_need_four_docs_to_be_distinguished(num: int, share: float) -> None:
    """Of fewer, nothing is drawn that wasn't seen."""
    pairs = of_counts(2, 0, 0, num - 2)
    wrong = resamples(
        pairs, lambda items: sum(g != p for g, p in items), np.random.default_rng(1), 4000, None
    )
    assert wrong.mean() == pytest.approx(num * share / 2, rel=0.06)


def test_docs_of_one_source_are_drawn_together() -> None:
    items = [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
    drawn: list[list[tuple[str, int]]] = []
    resamples(items, lambda one: drawn.append(one) or 0.0, np.random.default_rng(0), 20, "xyxz")
    blocks = ([("a", 1), ("c", 3)], [("b", 2)], [("d", 4)])
    for one in drawn:
        names = "".join(name for name, _ in one)
        assert sorted(one) == sorted(i for b in blocks for i in b * names.count(b[0][0]))
        assert "a" not in names.replace("ac", "")
        assert len(names.replace("ac", "x")) == 3


@pytest.mark.parametrize(("num", "found"), [(0, 0), (1, 0), (2, 7), (3, 7)])
def test_resamples_need_two_docs(num: int, found: int) -> None:
    values = resamples([1.0] * num, sum, np.random.default_rng(0), 7, None)
    assert len(values) == found
    assert (values == num).all()


@pytest.mark.parametrize(
    "items",
    [
        [("a b", "a c"), ("d", "d"), ("e", "f"), ("g", "g")] * 4,  # texts: more than 4 labels
        [(0, [0.1, 0.9])] * 40,  # probabilities
        [0.1, 0.2, 0.3, 0.4] * 10,
        [(1, 1)] * 40,
    ],
)
def test_other_items_are_drawn_as_they_are(items: list[object]) -> None:
    known = [str(item) for item in items]
    found = resamples(
        items,
        lambda drawn: float(all(str(item) in known for item in drawn)),
        np.random.default_rng(0),
        50,
        None,
    )
    assert (found == 1).all()
