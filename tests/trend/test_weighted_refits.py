"""Refits side by side are the fits one by one; their weights make up for what a fit takes off its residuals."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import special

from evalharness.trend.capability_index import Anchors, CapabilityFit, Score, fit_capability
from evalharness.trend.fit_epoch import as_squares
from evalharness.trend.fit_likelihood import (
    Dispersion,
    Parameters,
    Rows,
    centred,
    fit_likelihood,
    refit,
)
from evalharness.trend.intervals import fit_draws
from evalharness.trend.weighted_refits import Refits, Ridge

BENCHMARKS = ("Winogrande", "A", "B", "C", "D", "E")


@cache
def fitted(method: str, seed: int = 0) -> CapabilityFit:
    rng = np.random.default_rng(seed)
    capability = np.sort(rng.normal(0, 1, 14))
    scores = [
        Score(f"m{m:02}", name, float(rng.binomial(400, share) / 400), 0.0, 400)
        for m, at in enumerate(capability)
        for b, name in enumerate(BENCHMARKS)
        if (share := special.expit(1.5 * (at - 0.5 * b + 1))) and rng.uniform() < 0.9
    ]
    return fit_capability(scores, Anchors("m03", "m11"), method)  # type: ignore[arg-type]


def likelihood() -> tuple[Refits, Parameters, CapabilityFit]:
    fit = fitted("likelihood")
    return Refits(fit.rows, fit.dispersion, Ridge(fit.lam)), centred(fit.parameters), fit


def test_equal_weights_give_the_fit() -> None:
    refits, start, fit = likelihood()
    found = refits.refit(np.ones((2, len(fit.rows.score))), start, 1e-9)
    for values, expected in zip(found, start, strict=True):
        assert values == pytest.approx(np.stack([expected, expected]), abs=1e-4)


def test_a_weight_of_two_is_the_row_twice() -> None:
    """Against the fit one by one, to rows of which some stand there twice."""
    refits, start, fit = likelihood()
    twice = np.random.default_rng(1).integers(1, 3, len(fit.rows.score))
    rows = fit.rows.take(np.repeat(np.arange(len(twice)), twice))
    expected = refit(rows, fit.lam, start, fit.dispersion, tolerance=1e-10)
    found = refits.refit(twice[None].astype(float), start, 1e-10)
    assert centred(Parameters(*(v[0] for v in found))).capability == pytest.approx(
        expected.capability, abs=1e-4
    )


def test_epochs_problem_is_solved_where_its_own_solver_stops_near() -> None:
    fit = fitted("epoch")
    rows, start, pull, anchor = as_squares(fit.rows, fit.benchmarks, fit.lam, fit.parameters)
    refits = Refits(rows, fit.dispersion, Ridge(0.0, pull / fit.dispersion.sd**2, anchor))
    found = refits.refit(np.ones((1, len(rows.score))), start, 1e-10)
    assert np.exp(found.log_slope[0, anchor]) == 1
    low, high = (found.capability[0, fit.models.index(name)] for name in ("m03", "m11"))
    scaled = 130 + 20 * (found.capability[0] - low) / (high - low)
    assert scaled == pytest.approx(fit.capability, abs=0.3)


def test_scores_that_decide_their_own_fit_have_a_leverage_near_one() -> None:
    """One model alone on a benchmark of known curve would be 1 / number of its benchmarks; all sum to the free parameters."""
    refits, start, _ = likelihood()
    leverage = refits.leverage(start)
    assert leverage.sum() == pytest.approx(14 + 2 * 6 - 2, abs=0.5)
    assert leverage.max() < 1


def test_weights_have_mean_one_and_more_variance_where_the_leverage_is_high() -> None:
    refits, start, _ = likelihood()
    weights = refits.weights(start, np.random.default_rng(0), 20_000)
    assert weights.min() > 0
    assert weights.mean(axis=0) == pytest.approx(np.ones(weights.shape[1]), abs=0.05)
    expected = 1 / (1 - refits.leverage(start))
    assert weights.var(axis=0) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("method", ["likelihood", "epoch"])
def test_draws_are_the_same_for_any_number_of_threads(method: str) -> None:
    fit = fitted(method)
    one, four = (fit_draws(fit, np.random.default_rng(3), 50, workers) for workers in (1, 4))
    for a, b in zip(one, four, strict=True):
        assert a.tolist() == b.tolist()


def test_draws_scatter_as_the_fit_does_over_new_scores() -> None:
    """The spread of the weighted refits, against that of fits to scores that are drawn again."""
    rng = np.random.default_rng(5)
    num_m, num_b = 20, 8
    capability, difficulty = np.sort(rng.normal(0, 1, num_m)), np.linspace(-1.5, 1.5, num_b)
    model, benchmark = (v.ravel() for v in np.indices((num_m, num_b)))
    share = special.expit(1.5 * (capability[model] - difficulty[benchmark]))
    blank = np.zeros(len(model))
    spreads, made = [], []
    for _ in range(40):
        rows = Rows(model, benchmark, rng.binomial(200, share) / 200, blank, np.full(len(model), 200.0))  # fmt: skip
        found, dispersion = fit_likelihood(rows, 0.1)
        made.append(found.capability)
        refits = Refits(rows, Dispersion(dispersion.phi, np.nan), Ridge(0.1))
        drawn = refits.refit(refits.weights(found, rng, 20), found)
        spreads.append(np.var([centred(Parameters(*p)).capability for p in zip(*drawn, strict=True)], axis=0))  # fmt: skip
    ratio = np.mean(spreads) / np.mean(np.var(made, axis=0))
    assert ratio == pytest.approx(1.0, abs=0.25)
