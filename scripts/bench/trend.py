"""The capability index: seconds of one fit and of its draws on simulated scores, and of the whole trend on the shipped ones.

    OPENBLAS_NUM_THREADS=1 python scripts/bench/trend.py

300 models on 40 benchmarks, every pair scored: more than any published table has. Medians of several fits; draws and trend
are timed once, wall and processor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
from scipy import special

from evalharness.trend.build import build_trend
from evalharness.trend.capability_index import (
    CapabilityFit,
    Score,
    fit_capability,
)
from evalharness.trend.intervals import (
    capability_draws,
    capability_intervals,
)
from evalharness.trend.scores.seed_scores import seed_readings


def simulate(num_models: int, num_benchmarks: int) -> list[Score]:
    rng = np.random.default_rng(0)
    capability = rng.normal(1, 0.6, num_models)
    difficulty = rng.uniform(-0.5, 2.5, num_benchmarks)
    slope = 2 * np.exp(rng.normal(0, 0.5, num_benchmarks))
    items = np.exp(rng.uniform(np.log(100), np.log(10000), num_benchmarks)).astype(int)
    expected = special.expit(slope * (capability[:, None] - difficulty))
    right = rng.binomial(items, rng.beta(300 * expected, 300 * (1 - expected))) / items
    return [
        Score(f"m{m}", f"b{b}", float(right[m, b]), 0.0, int(items[b]))
        for m in range(num_models)
        for b in range(num_benchmarks)
    ]


def timed_fit(scores: list[Score]) -> tuple[float, CapabilityFit]:
    started = time.perf_counter()
    fit = fit_capability(scores)
    return time.perf_counter() - started, fit


def timed_trend(num_draws: int) -> dict[str, float]:
    """Seconds of the trend of the shipped scores, by any number of threads, without the program's start."""
    scores = seed_readings()[0].scores
    wall, processor = time.perf_counter(), time.process_time()
    build_trend(scores, np.random.default_rng(0), num_draws=num_draws)
    return {
        "trend_s": round(time.perf_counter() - wall, 3),
        "trend_processor_s": round(time.process_time() - processor, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--benchmarks", type=int, default=40)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    scores = simulate(options.models, options.benchmarks)
    fits = [timed_fit(scores) for _ in range(options.repeats)]
    fit = fits[0][1]
    started = time.perf_counter()
    draws = capability_draws(fit, np.random.default_rng(0), options.draws)
    capability_intervals(fit, draws)
    figures = {
        "models": len(fit.models),
        "benchmarks": len(fit.benchmarks),
        "fit_s": round(statistics.median(seconds for seconds, _ in fits), 3),
        "draws": options.draws,
        "draws_s": round(time.perf_counter() - started, 3),
        **timed_trend(options.draws),
    }
    print(json.dumps({"bench": "trend", **figures}))


if __name__ == "__main__":
    main()
