"""The capability model fitted by likelihood: arrays in, arrays out, without names.

A score of model m on benchmark b is `c + (1 - c) * sigmoid(slope_b * (capability_m - difficulty_b))` plus noise, c the
benchmark's chance floor. The scale of capability is free: the fit returns one where the mean capability is 0 and the
mean log slope is near 0, and the caller moves it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_EDGE = 1e-9
"""Least distance of probabilities from 0 and 1."""
_MAX_STEPS = 200
_MAX_ROUNDS = 30
_MAX_DAMPING = 1e8
_START_PHI, _START_SD = 0.02, 0.05


class Rows(NamedTuple):
    """One score a row; all arrays are (rows,)."""

    model: Ints
    benchmark: Ints
    score: Floats
    """In [0, 1], not corrected for chance."""
    chance: Floats
    """What guessing scores, in [0, 1)."""
    num_items: Floats
    """NaN where unknown."""

    def take(self, places: Ints) -> Rows:
        """The rows at these positions."""
        return Rows(
            self.model[places],
            self.benchmark[places],
            self.score[places],
            self.chance[places],
            self.num_items[places],
        )


class Parameters(NamedTuple):
    """The fitted parameters."""

    capability: Floats
    """(models,)."""
    difficulty: Floats
    """(benchmarks,) on the scale of capability."""
    log_slope: Floats
    """(benchmarks,)."""


class Dispersion(NamedTuple):
    """How far scores scatter about the model; NaN if no row gives it."""

    phi: float
    """Over-dispersion, 0 to 1, of scores with a known n: their variance is p(1-p) (1/n + phi (n-1)/n)."""
    sd: float
    """Standard deviation of scores without a known n."""


class _Curve(NamedTuple):
    """The rows' gradient and information in the argument of their sigmoid."""

    slope: Floats
    argument: Floats
    pull: Floats
    information: Floats


def fit_likelihood(rows: Rows, lam: float) -> tuple[Parameters, Dispersion]:
    """Quasi-binomial fit where n is known, least squares where it isn't, both weighted by the estimated scatter.

    The ridge `lam / 2 * sum(log slope^2)` is a normal prior of variance 1 / lam on how much slopes differ. It doesn't
    affect the scale, which is free: unlike a ridge on capability, it doesn't shrink one end of it.

    Args:
        rows: models and benchmarks numbered from 0, none without a row.
        lam: above 0.

    Source: Williams 1982, Applied Statistics 31:144, model II (variance, moment estimate of phi).
    """
    dispersion = Dispersion(_START_PHI, _START_SD)
    parameters = _start(rows)
    for _ in range(_MAX_ROUNDS):
        parameters = refit(rows, lam, parameters, dispersion, tolerance=1e-8)
        before, dispersion = dispersion, _scatter(rows, parameters)
        if np.allclose(before, dispersion, rtol=1e-4, atol=1e-7, equal_nan=True):
            break
    return parameters, dispersion


def refit(
    rows: Rows,
    lam: float,
    start: Parameters,
    dispersion: Dispersion,
    tolerance: float = 1e-4,
) -> Parameters:
    """The fit at a known dispersion, from a start near it.

    Args:
        rows: as `fit_likelihood`; a model or benchmark without a row keeps its start.
        lam: above 0.
        start: on any scale.
        dispersion: of a fit to the rows these were drawn from.
        tolerance: log-likelihood that a further step may still gain; 1e-4 moves no parameter by 2 % of its error.
    """
    parameters, damping, patience = centred(start), 1e-3, 2.0
    loss = _loss(rows, lam, parameters, dispersion)
    for _ in range(_MAX_STEPS):
        step, gain = _step(rows, lam, parameters, dispersion, damping)
        if (gain < tolerance and damping <= 1) or damping > _MAX_DAMPING:
            break
        moved = Parameters(*(old + new for old, new in zip(parameters, step, strict=True)))
        moved_loss = _loss(rows, lam, moved, dispersion)
        if moved_loss <= loss:
            damping = max(damping * _relief((loss - moved_loss) / gain), _EDGE)
            parameters, loss, patience = moved, moved_loss, 2.0
        else:
            damping, patience = damping * patience, 2 * patience
    return centred(parameters)


def predict(rows: Rows, parameters: Parameters) -> Floats:
    """(rows,) expected score."""
    return _expected(rows.chance, _argument(rows, parameters))


def num_free(parameters: Parameters) -> int:
    """Parameters that the scores determine: all but shift and scale."""
    return sum(len(values) for values in parameters) - 2


def rank_deficiency(rows: Rows, num_models: int, num_benchmarks: int) -> int:
    """Directions in which the parameters can move without moving any expected score.

    2 (shift and scale) for a connected set; 2 more for every further block that shares no model and no benchmark.

    Taken where slopes and arguments are in general position, so it depends only on which models were scored on which
    benchmarks.
    """
    rng = np.random.default_rng(0)
    general = Parameters(
        rng.normal(size=num_models),
        rng.normal(size=num_benchmarks),
        rng.normal(scale=0.5, size=num_benchmarks),
    )
    slope, argument = np.exp(general.log_slope)[rows.benchmark], _argument(rows, general)
    curve = _Curve(slope, argument, np.zeros(len(slope)), np.ones(len(slope)))
    own, cross, shared = _information(rows, 0.0, num_models, num_benchmarks, curve)
    reduced = shared - cross.T @ (cross / own[:, None])
    rank = np.linalg.matrix_rank(reduced, tol=1e-9 * float(np.abs(shared).max()), hermitian=True)
    return 2 * num_benchmarks - int(rank)


def centred(parameters: Parameters) -> Parameters:
    """The same expected scores with mean capability 0 and mean log slope 0."""
    middle, log_scale = float(parameters.capability.mean()), float(parameters.log_slope.mean())
    factor = math.exp(log_scale)
    return Parameters(
        (parameters.capability - middle) * factor,
        (parameters.difficulty - middle) * factor,
        parameters.log_slope - log_scale,
    )


def binomial_weight(num_items: Floats, phi: float) -> Floats:
    """Items that a score counts for once they are known to scatter together: n / (1 + (n - 1) phi)."""
    return num_items / (1 + (num_items - 1) * phi)


def loss_per_row(rows: Rows, expected: Floats, dispersion: Dispersion) -> Floats:
    """Minus the log (quasi-)likelihood, up to a constant that depends on the scores alone.

    Args:
        rows: scored.
        expected: (..., rows).
        dispersion: known.

    Returns:
        (..., rows).
    """
    p = np.clip(expected, _EDGE, 1 - _EDGE)
    entropy = -special.xlogy(rows.score, p) - special.xlog1py(1 - rows.score, -p)
    squares = 0.5 * ((rows.score - p) / dispersion.sd) ** 2
    weight = binomial_weight(rows.num_items, dispersion.phi)
    return np.where(np.isnan(rows.num_items), squares, weight * entropy)


def _start(rows: Rows) -> Parameters:
    """Slopes of 1; capability and difficulty from an additive fit to the logits (two sweeps)."""
    above = np.clip((rows.score - rows.chance) / (1 - rows.chance), 0.01, 0.99)
    logit = special.logit(above)
    capability = np.zeros(int(rows.model.max()) + 1)
    difficulty = np.zeros(int(rows.benchmark.max()) + 1)
    for _ in range(5):
        difficulty = _means(rows.benchmark, capability[rows.model] - logit, len(difficulty))
        capability = _means(rows.model, difficulty[rows.benchmark] + logit, len(capability))
    return Parameters(capability, difficulty, np.zeros(len(difficulty)))


def _sums(group: Ints, values: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(group, values, size), dtype=float)


def _means(group: Ints, values: Floats, size: int) -> Floats:
    counts = _sums(group, np.ones(len(group)), size)
    means: Floats = _sums(group, values, size) / np.maximum(counts, 1)
    return means


def _relief(ratio: float) -> float:
    """Factor on the damping after a step with `ratio` of its expected gain (Nielsen 1999): 1/3 to 2."""
    return max(1 / 3, 1 - (2 * min(ratio, 1.0) - 1) ** 3)


def _argument(rows: Rows, parameters: Parameters) -> Floats:
    distance = parameters.capability[rows.model] - parameters.difficulty[rows.benchmark]
    argument: Floats = np.exp(parameters.log_slope)[rows.benchmark] * distance
    return argument


def _expected(chance: Floats, argument: Floats) -> Floats:
    expected: Floats = chance + (1 - chance) * special.expit(argument)
    return expected


def _loss(rows: Rows, lam: float, parameters: Parameters, dispersion: Dispersion) -> float:
    ridge = 0.5 * lam * float(parameters.log_slope @ parameters.log_slope)
    return float(loss_per_row(rows, predict(rows, parameters), dispersion).sum()) + ridge


def _curve(rows: Rows, parameters: Parameters, dispersion: Dispersion) -> _Curve:
    argument = _argument(rows, parameters)
    share = special.expit(argument)
    p = np.clip(rows.chance + (1 - rows.chance) * share, _EDGE, 1 - _EDGE)
    steepness = (1 - rows.chance) * share * (1 - share)
    weight = binomial_weight(rows.num_items, dispersion.phi) / (p * (1 - p))
    weight = np.where(np.isnan(rows.num_items), dispersion.sd**-2, weight)
    slope = np.exp(parameters.log_slope)[rows.benchmark]
    pull = weight * (rows.score - p) * steepness
    return _Curve(slope, argument, pull, weight * steepness**2)


def _step(
    rows: Rows, lam: float, parameters: Parameters, dispersion: Dispersion, damping: float
) -> tuple[Parameters, float]:
    """A damped Fisher-scoring step and its expected gain.

    Rows of different models meet only in the benchmarks, so the models' block is diagonal and is eliminated first:
    the system to solve has the size of the benchmarks' parameters, for any number of models.
    """
    num_models, num_benchmarks = len(parameters.capability), len(parameters.difficulty)
    curve = _curve(rows, parameters, dispersion)
    of_model, of_benchmark = _gradient(rows, lam, parameters, curve)
    own, cross, shared = _information(rows, lam, num_models, num_benchmarks, curve)
    own = own * (1 + damping) + _EDGE
    shared[np.diag_indices_from(shared)] *= 1 + damping
    shared[np.diag_indices_from(shared)] += _EDGE
    reduced = shared - cross.T @ (cross / own[:, None])
    right = of_benchmark - cross.T @ (of_model / own)
    change = np.asarray(np.linalg.solve(reduced, right), dtype=float)
    capability = (of_model - cross @ change) / own
    gain = 0.5 * float(of_model @ capability + of_benchmark @ change)
    return Parameters(capability, change[:num_benchmarks], change[num_benchmarks:]), gain


def _gradient(
    rows: Rows, lam: float, parameters: Parameters, curve: _Curve
) -> tuple[Floats, Floats]:
    num_models, num_benchmarks = len(parameters.capability), len(parameters.difficulty)
    along = curve.pull * curve.slope
    steeper = _sums(rows.benchmark, curve.pull * curve.argument, num_benchmarks)
    harder = -_sums(rows.benchmark, along, num_benchmarks)
    of_benchmark = np.concatenate([harder, steeper - lam * parameters.log_slope])
    return _sums(rows.model, along, num_models), of_benchmark


def _information(
    rows: Rows, lam: float, num_models: int, num_benchmarks: int, curve: _Curve
) -> tuple[Floats, Floats, Floats]:
    """Expected information: of capability (diagonal), capability x (difficulty, log slope), and of those two."""
    square = curve.information * curve.slope**2
    mixed = curve.information * curve.slope * curve.argument
    cell, num_cells = rows.model * num_benchmarks + rows.benchmark, num_models * num_benchmarks
    cross = np.hstack(
        [
            _sums(cell, values, num_cells).reshape(num_models, num_benchmarks)
            for values in (-square, mixed)
        ]
    )
    of_slope = _sums(rows.benchmark, curve.information * curve.argument**2, num_benchmarks) + lam
    of_difficulty = _sums(rows.benchmark, square, num_benchmarks)
    between = np.diag(-_sums(rows.benchmark, mixed, num_benchmarks))
    shared = np.zeros((2 * num_benchmarks, 2 * num_benchmarks))
    shared[:num_benchmarks, :num_benchmarks] = np.diag(of_difficulty)
    shared[num_benchmarks:, num_benchmarks:] = np.diag(of_slope)
    shared[:num_benchmarks, num_benchmarks:] = shared[num_benchmarks:, :num_benchmarks] = between
    return _sums(rows.model, square, num_models), cross, shared


def _scatter(rows: Rows, parameters: Parameters) -> Dispersion:
    """Dispersion at which each kind of row has the mean square that its degrees of freedom imply."""
    expected = np.clip(predict(rows, parameters), _EDGE, 1 - _EDGE)
    left = max(len(rows.score) - num_free(parameters), 1) / len(rows.score)
    squares, unknown = (rows.score - expected) ** 2, np.isnan(rows.num_items)
    sd = np.sqrt(squares[unknown].mean() / left) if unknown.any() else np.nan
    known = ~unknown
    if not known.any():
        return Dispersion(np.nan, float(sd))
    ratios, items = (squares / (expected * (1 - expected)))[known], rows.num_items[known]

    def excess(phi: float) -> float:
        return float((binomial_weight(items, phi) * ratios).mean()) - left

    phi = 0.0 if excess(0) <= 0 else 1.0 if excess(1) >= 0 else optimize.brentq(excess, 0, 1)
    return Dispersion(float(phi), float(sd))
