"""Scores for the tests of the trend: the published ones that ship with the package, and simulated ones."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import special

import evalharness
from evalharness.trend.capability_index import Score
from evalharness.trend.fit_epoch import ANCHOR_BENCHMARK

EPOCH_SCORES = Path(evalharness.__file__).parent / "trend" / "scores" / "seed" / "epoch_scores.csv"
REFERENCE = Path(__file__).parent / "trend" / "data" / "eci_fit_reference.csv"
_NO_SOURCE = "via Epoch: nan"
_FIRST_DATE = date(2022, 11, 1)
_DROPPED_BENCHMARKS = {
    "BoolQ",
    "FrontierMath-2025-02-28-Public",
    "FrontierMath-Tier-4-2025-07-01-Public",
}


class Simulated(NamedTuple):
    scores: list[Score]
    years: np.ndarray
    """(models,) since the first release."""
    capability: np.ndarray
    """(models,); the least-squares slope on years is exactly 0.5."""


def read_epoch_rows() -> list[dict[str, str]]:
    """Rows of the epoch_scores.csv that the package ships."""
    with EPOCH_SCORES.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def epoch_scores(rows: list[dict[str, str]]) -> list[Score]:
    """The scores that Epoch fits: with a source, of a model released since November 2022, on a kept benchmark.

    The minimum of four benchmarks a model and the best score of a pair are the fit's own.

    Source: epoch-research/benchmark-stitching.
    """
    return [
        Score(row["model"], row["benchmark"], float(row["score"]) / 100)
        for row in rows
        if row["reported_by"] != _NO_SOURCE
        and row["benchmark"] not in _DROPPED_BENCHMARKS
        and row["release_date"]
        and date.fromisoformat(row["release_date"]) >= _FIRST_DATE
    ]


def read_reference() -> list[dict[str, str]]:
    with REFERENCE.open(newline="") as lines:
        return list(csv.DictReader(lines))


def simulate(
    rng: np.random.Generator,
    num_models: int = 80,
    num_benchmarks: int = 20,
    phi: float = 0.003,
    missing: float = 0.0,
    chance: float = 0.0,
    spread: float = 0.4,
) -> Simulated:
    """Three years of models that gain 0.5 a year; benchmarks of 100 to 5000 items, one of them Epoch's anchor."""
    years = np.sort(rng.uniform(0, 3, num_models))
    scatter = rng.normal(0, spread, num_models)
    capability = 0.5 * years + scatter - np.polyval(np.polyfit(years, scatter, 1), years)
    difficulty = rng.uniform(-0.5, 2, num_benchmarks)
    slope = 2 * np.exp(rng.normal(0, 0.5, num_benchmarks))
    difficulty[0], slope[0] = 0, 1
    items = np.exp(rng.uniform(np.log(100), np.log(5000), num_benchmarks)).astype(int)
    names = [ANCHOR_BENCHMARK, *(f"b{place:02}" for place in range(1, num_benchmarks))]
    scores = []
    for model in range(num_models):
        expected = chance + (1 - chance) * special.expit(slope * (capability[model] - difficulty))
        size = 1 / phi - 1
        shares = rng.beta(expected * size, (1 - expected) * size)
        right = rng.binomial(items, shares) / items
        kept = np.flatnonzero(rng.uniform(size=num_benchmarks) >= missing)
        scores += [
            Score(f"m{model:03}", names[b], float(right[b]), chance, int(items[b])) for b in kept
        ]
    return Simulated(scores, years, capability)
