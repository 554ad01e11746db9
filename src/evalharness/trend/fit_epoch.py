"""The Epoch Capabilities Index as published: the check of our own fit.

Least squares of score on `sigmoid(slope * (capability - difficulty))`, every score with equal weight, Winogrande's
slope fixed at 1 and its difficulty moved to 0 afterwards, plus one residual that is the root of
`lam * mean(parameter^2)`. That ridge pulls on capability itself. Epoch's own analysis finds lam = 0.1 outside the
stable range: it flattens new, hard benchmarks and so raises the slope over time by a fifth.

The solver is part of the procedure: with a sparse Jacobian and scipy's default tolerances it stops before the scale has
settled (0.1 % of it from the optimum at lam = 0.1, 2 % at 0.001), and the published values are where it stops. That
point depends on the order of the rows and on rounding: by 0.05 % of a capability at lam = 0.1, 0.15 % at 0.001.

Source: Ho et al. 2025, "A Rosetta Stone for AI Benchmarks", arXiv:2512.00193; epoch-research/eci-public (method),
epoch-research/benchmark-stitching.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, sparse

from evalharness.errors import UserError
from evalharness.trend.fit_likelihood import (
    Dispersion,
    Floats,
    Parameters,
    Rows,
)

ANCHOR_BENCHMARK = "Winogrande"
_CLIP = 1e-3
_LOW, _HIGH, _LOW_SLOPE = -10.0, 10.0, 0.1
_INSIDE = 1e-6
_SEED = 42


def fit_epoch(rows: Rows, benchmarks: Sequence[str], lam: float) -> tuple[Parameters, Dispersion]:
    """Epoch's fit, Winogrande at difficulty 0 and slope 1.

    Args:
        rows: sorted by model and benchmark: the solver stops elsewhere (by up to 0.2 %) in another order.
        benchmarks: names in the order of their numbers.
        lam: above 0.

    Raises:
        UserError: no score on Winogrande.
    """
    problem = _problem(rows, benchmarks, lam)
    solution = optimize.least_squares(
        problem.residuals,
        problem.start(),
        jac=problem.jacobian,
        bounds=problem.bounds(),
        method="trf",
    )
    capability, difficulty, slope = problem.unpack(solution.x)
    shift = difficulty[problem.anchor]
    parameters = Parameters(capability - shift, difficulty - shift, np.log(slope))
    num_left = max(len(rows.score) - len(solution.x) + 1, 1)
    sd = np.sqrt(float((solution.fun[:-1] ** 2).sum()) / num_left)
    return parameters, Dispersion(np.nan, float(sd))


class Squares(NamedTuple):
    """The same problem as least squares, for refits."""

    rows: Rows
    """With the scores that the procedure fits, and no number of items."""
    start: Parameters
    """The fit on the procedure's own scale."""
    pull: float
    """The ridge on half the sum of the parameters' squares."""
    anchor: int
    """The benchmark whose slope stays 1."""


def as_squares(rows: Rows, benchmarks: Sequence[str], lam: float, found: Parameters) -> Squares:
    """The rows and ridge that `fit_epoch` fits, and a fit of them.

    Args:
        rows: as there.
        benchmarks: as there.
        lam: as there.
        found: the fit, on any scale.
    """
    problem = _problem(rows, benchmarks, lam)
    capability, difficulty, slope = problem.unpack(problem.pack(found))
    unknown = np.full(len(rows.score), np.nan)
    return Squares(
        rows._replace(score=problem.score, num_items=unknown),
        Parameters(capability, difficulty, np.log(slope)),
        lam / problem.size,
        problem.anchor,
    )


def _problem(rows: Rows, benchmarks: Sequence[str], lam: float) -> _Problem:
    # Collections spell it differently.
    spelt = [benchmark.lower() for benchmark in benchmarks]
    if ANCHOR_BENCHMARK.lower() not in spelt:
        raise UserError(
            f"Epoch's fit is anchored on {ANCHOR_BENCHMARK!r}, which has no score here; use the likelihood fit"
        )
    return _Problem(rows, len(benchmarks), spelt.index(ANCHOR_BENCHMARK.lower()), lam)


def _sigmoid(argument: Floats) -> Floats:
    """As published; another rounding ends elsewhere (see the module's docstring)."""
    value: Floats = 1 / (1 + np.exp(-argument))
    return value


class _Problem:
    """Residuals and Jacobian over one flat vector: capabilities, difficulties, all slopes but the anchor's."""

    def __init__(self, rows: Rows, num_benchmarks: int, anchor: int, lam: float) -> None:
        self.rows, self.anchor, self.lam = rows, anchor, lam
        self.num_models, self.num_benchmarks = int(rows.model.max()) + 1, num_benchmarks
        self.size = self.num_models + 2 * num_benchmarks - 1
        self.score = np.clip(rows.score, _CLIP, 1 - _CLIP)

    def start(self) -> Floats:
        """Epoch's: capability and difficulty drawn near 0, slopes 1."""
        rng = np.random.RandomState(_SEED)
        near = 0.1 * rng.randn(self.num_models + self.num_benchmarks)
        return np.concatenate([near, np.ones(self.num_benchmarks - 1)])

    def bounds(self) -> tuple[Floats, Floats]:
        low = np.full(self.size, _LOW)
        low[self.num_models + self.num_benchmarks :] = _LOW_SLOPE
        return low, np.full(self.size, _HIGH)

    def pack(self, parameters: Parameters) -> Floats:
        """A start from parameters on any scale."""
        shift, factor = (
            parameters.difficulty[self.anchor],
            np.exp(parameters.log_slope[self.anchor]),
        )
        capability = (parameters.capability - shift) * factor
        difficulty = (parameters.difficulty - shift) * factor
        slopes = np.delete(np.exp(parameters.log_slope) / factor, self.anchor)
        low, high = self.bounds()
        inside: Floats = np.clip(
            np.concatenate([capability, difficulty, slopes]), low + _INSIDE, high - _INSIDE
        )
        return inside

    def unpack(self, vector: Floats) -> tuple[Floats, Floats, Floats]:
        first = self.num_models + self.num_benchmarks
        slope = np.insert(vector[first:], self.anchor, 1.0)
        return vector[: self.num_models], vector[self.num_models : first], slope

    def residuals(self, vector: Floats) -> Floats:
        capability, difficulty, slope = self.unpack(vector)
        distance = capability[self.rows.model] - difficulty[self.rows.benchmark]
        predicted = _sigmoid(slope[self.rows.benchmark] * distance)
        return np.append(predicted - self.score, np.sqrt(self._penalty(vector)))

    def jacobian(self, vector: Floats) -> sparse.csr_array:
        model, benchmark = self.rows.model, self.rows.benchmark
        capability, difficulty, slope = self.unpack(vector)
        distance = capability[model] - difficulty[benchmark]
        predicted = _sigmoid(slope[benchmark] * distance)
        steepness = predicted * (1 - predicted)
        along, row, is_free = (
            steepness * slope[benchmark],
            np.arange(len(model)),
            benchmark != self.anchor,
        )
        ridge = self.lam * vector / (self.size * np.sqrt(self._penalty(vector)))
        values = np.concatenate([along, -along, (steepness * distance)[is_free], ridge])
        places = np.concatenate([row, row, row[is_free], np.full(self.size, len(row))])
        free = self.num_models + self.num_benchmarks + benchmark - (benchmark > self.anchor)
        columns = np.concatenate(
            [model, self.num_models + benchmark, free[is_free], np.arange(self.size)]
        )
        shape = (len(row) + 1, self.size)
        return sparse.coo_array((values, (places, columns)), shape=shape).tocsr()

    def _penalty(self, vector: Floats) -> float:
        return self.lam * float(np.sum(vector**2)) / self.size
