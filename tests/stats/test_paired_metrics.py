"""Metrics that are no means, compared on the same docs: closed forms, a paired bootstrap, and runs on disk."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lm_eval.api import metrics as lm_eval

from evalharness.comparison.compare import compare_runs
from evalharness.stats.estimates import estimate
from evalharness.stats.paired import (
    paired_test,
    unpaired_test,
)
from evalharness.stats.paired_metrics import (
    metric_of,
    paired_metric_test,
)
from evalharness.store.items import Items, PairedItems
from evalharness.store.records import (
    Manifest,
    MetricRecord,
)
from evalharness.store.write import RunWriter
from stores import _sample, make_run

RNG = np.random.default_rng(0)
N = 200
GOLD = (RNG.random(N) < 0.3).astype(float)
A = np.where(RNG.random(N) < 0.75, GOLD, 1 - GOLD)
B = np.where(
    (RNG.random(N) < 0.8) & (GOLD == 1), 1.0, A
)  # some misses of a are found, nothing is lost


def pairs(first: np.ndarray, second: np.ndarray) -> Items:
    is_binary = bool(np.isin([first, second], (0, 1)).all())
    return Items(np.full(len(first), np.nan), first, second, first * second, is_binary)


def numbers(one: np.ndarray) -> Items:
    nan = np.full(len(one), np.nan)
    return Items(one, nan, nan, nan, False)


def both(a: Items, b: Items, clusters: np.ndarray | None = None) -> PairedItems:
    return PairedItems(a, b, a, b, clusters)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


WORDS = RNG.integers(5, 90, size=N).astype(float)
LIKELIHOODS = -WORDS * RNG.gamma(4, 0.5, size=N)


@pytest.mark.parametrize(
    ("name", "aggregation"),
    [
        ("f1", lm_eval.f1_score),
        ("matthews_corrcoef", lm_eval.matthews_corrcoef),
        ("weighted_perplexity", lm_eval.weighted_perplexity),
        ("bits_per_byte", lm_eval.bits_per_byte),
        ("perplexity", lm_eval.perplexity),
    ],
)
def test_a_metric_is_known_by_its_value_and_is_lm_evals(name: str, aggregation: object) -> None:
    if name == "perplexity":
        found, values = numbers(LIKELIHOODS / WORDS), aggregation(list(LIKELIHOODS / WORDS))
    elif name in ("f1", "matthews_corrcoef"):
        found, values = pairs(GOLD, A), aggregation(list(zip(GOLD, A, strict=True)))
    else:
        found = pairs(LIKELIHOODS, WORDS)
        values = aggregation(list(zip(LIKELIHOODS, WORDS, strict=True)))
    metric = metric_of(both(found, found), values, values)
    assert metric is not None
    assert metric.name == name
    assert metric_of(both(found, found), values, 1.001 * values) is None


def test_the_error_is_that_of_a_paired_bootstrap() -> None:
    items = both(pairs(GOLD, A), pairs(GOLD, B))
    scores = [lm_eval.f1_score(list(zip(GOLD, x, strict=True))) for x in (A, B)]
    metric = metric_of(items, *scores)
    assert metric is not None
    found = paired_metric_test(items, metric, rng())
    drawn = rng().integers(N, size=(3000, N))

    def f1(predicted: np.ndarray) -> np.ndarray:
        gold, said = GOLD[drawn], predicted[drawn]
        return 2 * (gold * said).sum(axis=1) / (gold + said).sum(axis=1)

    differences = f1(B) - f1(A)
    assert found.difference == pytest.approx(scores[1] - scores[0])
    assert found.stderr == pytest.approx(differences.std(), rel=0.05)
    assert found.ci_low == pytest.approx(np.quantile(differences, 0.025), abs=0.01)
    assert found.p_value < 0.001


def test_docs_that_move_both_cancel() -> None:
    """Perplexities of docs as different as texts are, each a little lower for b."""
    hard = RNG.gamma(2, 1, size=100)
    a, b = (-(hard + shift + 0.1 * RNG.normal(size=100)) for shift in (0.0, -0.1))
    items = both(numbers(a), numbers(b))
    values = [float(np.exp(-x.mean())) for x in (a, b)]
    metric = metric_of(items, *values)
    assert metric is not None
    found = paired_metric_test(items, metric, rng())
    errors = [value * estimate(list(x)).stderr for value, x in zip(values, (a, b), strict=True)]
    alone = unpaired_test(values[0], errors[0], values[1], errors[1], 100)
    assert found.p_value < 0.001 < 0.2 < alone.p_value
    assert found.ci_high < 0 < alone.ci_high
    assert found.mde < abs(found.difference) < alone.mde


def test_of_a_mean_it_is_the_paired_test() -> None:
    """Bits per byte of docs of one byte: the mean of -x / ln 2."""
    x, y = RNG.normal(-2, 1, size=(2, 40))
    ones = np.ones(40)
    items = both(pairs(x, ones), pairs(y, ones))
    metric = metric_of(items, *(-v.mean() / math.log(2) for v in (x, y)))
    assert metric is not None
    assert metric.name == "bits_per_byte"
    found, expected = (
        paired_metric_test(items, metric, rng()),
        paired_test(-x / math.log(2), -y / math.log(2), rng()),
    )
    for field in ("difference", "stderr", "p_value", "ci_low", "ci_high", "ci90_low", "mde"):
        assert getattr(found, field) == pytest.approx(getattr(expected, field)), field


def test_exchanging_the_models_mirrors_it() -> None:
    one, other = pairs(GOLD, A), pairs(GOLD, B)
    clusters = np.arange(N) // 4
    metric = metric_of(both(one, one), *[lm_eval.f1_score(list(zip(GOLD, A, strict=True)))] * 2)
    assert metric is not None
    found = paired_metric_test(both(one, other, clusters), metric, rng())
    mirrored = paired_metric_test(both(other, one, clusters), metric, rng())
    assert (found.difference, found.ci_low, found.p_value, found.mde) == (
        -mirrored.difference,
        -mirrored.ci_high,
        mirrored.p_value,
        mirrored.mde,
    )


def test_no_doc_wins_or_loses_a_metric_that_is_none_of_its_own() -> None:
    items = both(pairs(GOLD, A), pairs(GOLD, B))
    metric = metric_of(both(items.a, items.a), *[lm_eval.f1_score(list(zip(GOLD, A, strict=True)))] * 2)  # fmt: skip
    assert metric is not None
    for two in (items, both(items.a, items.a)):
        found = paired_metric_test(two, metric, rng())
        assert (found.wins, found.losses, found.ties, found.test) == (0, 0, 0, "jackknife")
    for a, b in ((pairs(GOLD, A), pairs(GOLD, A / 2)), (pairs(GOLD, A / 2), pairs(GOLD, A))):
        with pytest.raises(ValueError, match="200 docs with items of f1 in both"):
            paired_metric_test(both(a, b), metric, rng())


def written(
    folder: Path, run_id: str, items: Sequence[Mapping[str, float]], value: float
) -> Manifest:
    run = make_run(folder, run_id, "m", "s", {"x": [1.0] * len(items)})
    writer = RunWriter(folder / run_id, run)
    samples = [_sample("x", doc, 1.0, None) for doc in range(len(items))]
    writer.write_samples(
        "x", [replace(s, scores=dict(i)) for s, i in zip(samples, items, strict=True)]
    )
    metric = MetricRecord(
        task="x", group="x", metric="f1", filter="none", value=value, ci_low=0.0, ci_high=1.0,
        stderr=0.05, n=len(items), higher_is_better=True, is_main=True,
    )  # fmt: skip
    writer.write_metrics([metric])
    return run


def test_runs_whose_items_are_stored_are_paired(tmp_path: Path) -> None:
    runs = [
        written(
            tmp_path,
            name,
            [{"f1[0]": g, "f1[1]": p} for g, p in zip(GOLD, predicted, strict=True)],
            lm_eval.f1_score(list(zip(GOLD, predicted, strict=True))),
        )
        for name, predicted in (("a", A), ("b", B))
    ]
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert (row.result.test, row.result.n, row.notes) == ("jackknife", N, ())
    assert row.verdict == "better"


def test_runs_without_items_are_not_and_say_so(tmp_path: Path) -> None:
    runs = [written(tmp_path, name, [{}] * 20, value) for name, value in (("a", 0.4), ("b", 0.5))]
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert row.result.test == "z"
    assert row.notes == (
        "unpaired: the metric is not a mean of samples, and can't be computed from what is stored",
    )


def test_one_doc_in_both_is_no_pair_of_runs(tmp_path: Path) -> None:
    score = lm_eval.f1_score([(1, 1)])
    runs = [written(tmp_path, name, [{"f1[0]": 1.0, "f1[1]": 1.0}], score) for name in "ab"]
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert (row.result.test, row.result.n, len(row.notes)) == ("z", 1, 1)
