"""Many refits of one fit at once, each with other weights of its scores: arrays in, arrays out, without names.

Both methods minimise a sum over rows plus a ridge, so that one damped Fisher-scoring solver does for both. Draws are worked
on side by side: every array has them as its first axis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from evalharness.trend.fit_likelihood import Dispersion, Floats, Parameters, Rows, binomial_weight
from evalharness.trend.frontier import Bools

_EDGE = 1e-9
_MAX_STEPS = 60
_MAX_DAMPING = 1e8
_LEAST_SHARE = 0.1
"""Least share of a residual that a row is taken to keep, as a row that fits itself shows nothing of its scatter."""
_LOG_SLOPE_BOUND = np.log(10.0)
_BOUND = 10.0
_FIXED = 1e12


class Ridge(NamedTuple):
    """What pulls on the parameters, in units of log-likelihood."""

    of_log_slope: float
    """On log slope squared: of the likelihood method."""
    of_all: float = 0.0
    """On the squares of capability, difficulty and slope: of Epoch's."""
    anchor: int | None = None
    """Benchmark whose slope stays 1: of Epoch's."""


class _Curve(NamedTuple):
    """(draws, rows) each."""

    argument: Floats
    share: Floats
    expected: Floats


class Refits:
    """Refits of rows that are sorted by model and then benchmark."""

    def __init__(self, rows: Rows, dispersion: Dispersion, ridge: Ridge) -> None:
        self.rows, self.ridge = rows, ridge
        self.num_models, self.num_benchmarks = (
            int(rows.model.max()) + 1,
            int(rows.benchmark.max()) + 1,
        )
        self._is_counted = ~np.isnan(rows.num_items)
        items = np.where(self._is_counted, rows.num_items, 1.0)
        phi, sd = (0.0 if np.isnan(value) else value for value in dispersion)
        self._unit = np.where(self._is_counted, binomial_weight(items, phi), (sd or 1.0) ** -2)
        self._of_model = np.flatnonzero(np.diff(rows.model, prepend=-1))
        self._by_benchmark = np.argsort(rows.benchmark, kind="stable")
        self._of_benchmark = np.flatnonzero(np.diff(rows.benchmark[self._by_benchmark], prepend=-1))
        cell = rows.model * self.num_benchmarks + rows.benchmark
        self._of_cell = np.flatnonzero(np.diff(cell, prepend=-1))
        self._cell = (rows.model[self._of_cell], rows.benchmark[self._of_cell])

    def leverage(self, at: Parameters) -> Floats:
        """(rows,) by how much each fitted score follows its own score, 0 to 1."""
        curve = self._curve(_stacked(at))
        information = (self._information(curve)[0]) ** 0.5
        slope = np.exp(at.log_slope)[self.rows.benchmark]
        place, row = self.num_models + self.rows.benchmark, np.arange(len(slope))
        jacobian = np.zeros((len(slope), self.num_models + 2 * self.num_benchmarks))
        jacobian[row, self.rows.model] = information * slope
        jacobian[row, place] = -information * slope
        jacobian[row, place + self.num_benchmarks] = information * curve.argument[0]
        inner = jacobian.T @ jacobian
        inner[np.diag_indices_from(inner)] += self._ridge_information(_stacked(at))[0] + _EDGE
        if self.ridge.anchor is not None:
            last = self.num_models + self.num_benchmarks + self.ridge.anchor
            inner[last, last] = _FIXED
        reach: Floats = (np.linalg.solve(inner, jacobian.T).T * jacobian).sum(axis=1)
        return np.clip(reach, 0.0, 1.0)

    def weights(self, at: Parameters, rng: np.random.Generator, num_draws: int) -> Floats:
        """(draws, rows) of mean 1 whose refits scatter as the fit does: gamma, of variance 1 / (1 - leverage).

        No row is ever left out, so that no draw loses a model or benchmark; the variance makes up for what a fit takes off
        its own residuals.

        Source: Newton & Raftery 1994, JRSS B 56:3 (weights instead of resampling); MacKinnon & White 1985, Journal of
        Econometrics 29:305 (HC2).
        """
        shape = np.clip(1 - self.leverage(at), _LEAST_SHARE, 1.0)
        drawn: Floats = rng.standard_gamma(shape, size=(num_draws, len(shape))) / shape
        return drawn

    def refit(self, weights: Floats, start: Parameters, tolerance: float = 3e-2) -> Parameters:
        """The parameters of each draw, (draws, models) or (draws, benchmarks).

        Args:
            weights: (draws, rows) above 0.
            start: near the fit, on the method's own scale.
            tolerance: log-likelihood that the last step may gain at most.
        """
        num = len(weights)
        found = Parameters(*(np.repeat(values[None], num, axis=0) for values in start))
        damping, patience = np.full(num, 1e-3), np.full(num, 2.0)
        losses = self._loss(found, self._curve(found), weights)
        active = np.arange(num)
        for _ in range(_MAX_STEPS):
            here = Parameters(*(values[active] for values in found))
            step, gain = self._step(here, weights[active], damping[active])
            held = damping[active]
            goes_on = ~(((gain < tolerance) & (held <= 1)) | (held > _MAX_DAMPING))
            # The last step is taken as well: it is worked out already, and what it may gain is small.
            ended = active[~goes_on]
            last = self._bounded(
                Parameters(*(a[~goes_on] + b[~goes_on] for a, b in zip(here, step, strict=True)))
            )
            for values, changed in zip(found, last, strict=True):
                values[ended] = changed
            if not goes_on.any():
                break
            active, gain = active[goes_on], gain[goes_on]
            moved = self._bounded(
                Parameters(*(a[goes_on] + b[goes_on] for a, b in zip(here, step, strict=True)))
            )
            new = self._loss(moved, self._curve(moved), weights[active])
            is_better = new <= losses[active]
            ratio = np.clip((losses[active] - new) / np.maximum(gain, _EDGE), None, 1.0)
            relief = np.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3)
            kept, back = active[is_better], active[~is_better]
            damping[kept] = np.maximum(damping[kept] * relief[is_better], _EDGE)
            losses[kept], patience[kept] = new[is_better], 2.0
            for values, changed in zip(found, moved, strict=True):
                values[kept] = changed[is_better]
            damping[back] *= patience[back]
            patience[back] *= 2
        return found

    def _curve(self, at: Parameters) -> _Curve:
        rows = self.rows
        distance = at.capability[:, rows.model] - at.difficulty[:, rows.benchmark]
        argument = np.exp(at.log_slope)[:, rows.benchmark] * distance
        share = special.expit(argument)
        expected = np.clip(rows.chance + (1 - rows.chance) * share, _EDGE, 1 - _EDGE)
        return _Curve(argument, share, expected)

    def _information(self, curve: _Curve) -> Floats:
        steepness = (1 - self.rows.chance) * curve.share * (1 - curve.share)
        spread = np.where(self._is_counted, curve.expected * (1 - curve.expected), 1.0)
        information: Floats = self._unit * steepness**2 / spread
        return information

    def _loss(self, at: Parameters, curve: _Curve, weights: Floats) -> Floats:
        y, p = self.rows.score, curve.expected
        squares = 0.5 * (y - p) ** 2
        if self._is_counted.any():
            entropy = -special.xlogy(y, p) - special.xlog1py(1 - y, -p)
            squares = np.where(self._is_counted, entropy, squares)
        of_rows = (weights * self._unit * squares).sum(axis=1)
        ridge, total = self.ridge, 0.5 * self.ridge.of_log_slope * (at.log_slope**2).sum(axis=1)
        if ridge.of_all:
            squared = (at.capability**2).sum(axis=1) + (at.difficulty**2).sum(axis=1)
            slopes = np.exp(2 * at.log_slope)
            total = total + 0.5 * ridge.of_all * (squared + slopes.sum(axis=1))
        losses: Floats = of_rows + total
        return losses

    def _ridge_information(self, at: Parameters) -> Floats:
        """(draws, parameters) the ridge's second derivatives."""
        num, ridge = len(at.capability), self.ridge
        free = np.full((num, self.num_models + self.num_benchmarks), ridge.of_all)
        slopes = ridge.of_log_slope + 2 * ridge.of_all * np.exp(2 * at.log_slope)
        return np.concatenate([free, slopes], axis=1)

    def _step(self, at: Parameters, weights: Floats, damping: Floats) -> tuple[Parameters, Floats]:
        """Steps and their expected gains; the models' block is diagonal and is eliminated first."""
        rows, ridge, num = self.rows, self.ridge, len(weights)
        m, b = self.num_models, self.num_benchmarks
        curve = self._curve(at)
        slope = np.exp(at.log_slope)[:, rows.benchmark]
        steepness = (1 - rows.chance) * curve.share * (1 - curve.share)
        spread = np.where(self._is_counted, curve.expected * (1 - curve.expected), 1.0)
        weight = weights * self._unit * steepness / spread
        pull, information = weight * (rows.score - curve.expected), weight * steepness
        along, square = pull * slope, information * slope**2
        mixed = information * slope * curve.argument
        of_all = ridge.of_all
        steeper = self._by_b(pull * curve.argument) - ridge.of_log_slope * at.log_slope
        if of_all:
            steeper -= of_all * np.exp(2 * at.log_slope)
        is_held = self._held(at, steeper)
        steeper = np.where(is_held, 0.0, steeper)
        right_m = self._by_m(along) - of_all * at.capability
        right_b = np.concatenate([-self._by_b(along) - of_all * at.difficulty, steeper], axis=1)
        extra = self._ridge_information(at)
        own = (self._by_m(square) + extra[:, :m]) * (1 + damping[:, None]) + _EDGE
        shared = np.zeros((num, 2 * b, 2 * b))
        diagonal = np.concatenate(
            [self._by_b(square), self._by_b(information * curve.argument**2)], axis=1
        )
        places = np.arange(2 * b)
        shared[:, places, places] = (diagonal + extra[:, m:]) * (1 + damping[:, None]) + _EDGE
        shared[:, places[b:], places[b:]] += _FIXED * is_held
        between = np.where(is_held, 0.0, -self._by_b(mixed))
        shared[:, places[:b], places[b:]] = shared[:, places[b:], places[:b]] = between
        cross = np.zeros((num, m, 2 * b))
        cross[:, self._cell[0], self._cell[1]] = -np.add.reduceat(square, self._of_cell, axis=1)
        cross[:, self._cell[0], self._cell[1] + b] = np.add.reduceat(mixed, self._of_cell, axis=1)
        cross[:, :, b:] *= ~is_held[:, None]
        turned = cross.transpose(0, 2, 1)
        reduced = shared - turned @ (cross / own[:, :, None])
        right = right_b - (turned @ (right_m / own)[:, :, None])[:, :, 0]
        change = np.linalg.solve(reduced, right[:, :, None])[:, :, 0]
        capability = (right_m - (cross @ change[:, :, None])[:, :, 0]) / own
        gain = 0.5 * ((right_m * capability).sum(axis=1) + (right_b * change).sum(axis=1))
        return Parameters(capability, change[:, :b], change[:, b:]), gain

    def _held(self, at: Parameters, pull: Floats) -> Bools:
        """(draws, benchmarks) slopes that stay: the anchor's, and those that are pulled out of their bounds."""
        held = np.zeros(pull.shape, dtype=bool)
        if self.ridge.anchor is not None:
            held[:, self.ridge.anchor] = True
            held |= (at.log_slope >= _LOG_SLOPE_BOUND) & (pull > 0)
            held |= (at.log_slope <= -_LOG_SLOPE_BOUND) & (pull < 0)
        return held

    def _by_m(self, values: Floats) -> Floats:
        sums: Floats = np.add.reduceat(values, self._of_model, axis=1)
        return sums

    def _by_b(self, values: Floats) -> Floats:
        sums: Floats = np.add.reduceat(values[:, self._by_benchmark], self._of_benchmark, axis=1)
        return sums

    def _bounded(self, at: Parameters) -> Parameters:
        """Within Epoch's bounds."""
        if not self.ridge.of_all:
            return at
        return Parameters(
            np.clip(at.capability, -_BOUND, _BOUND),
            np.clip(at.difficulty, -_BOUND, _BOUND),
            np.clip(at.log_slope, -_LOG_SLOPE_BOUND, _LOG_SLOPE_BOUND),
        )


def _stacked(at: Parameters) -> Parameters:
    return Parameters(*(values[None] for values in at))
