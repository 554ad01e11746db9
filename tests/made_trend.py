"""A small trend to test with: reported scores of 40 made models, and the trend built from them."""

from dataclasses import replace
from datetime import date

import numpy as np
from scipy import special

from evalharness.trend.build import Trend, build_trend
from evalharness.trend.capability_index import Anchors
from evalharness.trend.scores.records import ReportedScore

BENCHMARKS = ("GSM8K", "HumanEval", "MATH", "IFEval", "MMLU-Pro", "DROP")
ANCHORS = Anchors("m05", "m35")


def reported(
    model: str, benchmark: str, share: float, day: date | None, **more: object
) -> ReportedScore:
    base = ReportedScore(
        origin="seed", collection="made.csv", model=model, benchmark=benchmark, score=100 * share,
        release_date=day, reported_by="simulation", open_weight=True, n=2000,
    )  # fmt: skip
    return replace(base, **more)


def simulated(seed: int = 0) -> list[ReportedScore]:
    """40 models over 3 years, 20 index points a year; every second one is open."""
    rng = np.random.default_rng(seed)
    scores = []
    for place in range(40):
        days = 27 * place
        # The two that set the scale are on the line: the truth is then known.
        scatter = 0.0 if place in (5, 35) else rng.normal(0, 0.1)
        ability = 0.5 * days / 365.25 + scatter
        for k, benchmark in enumerate(BENCHMARKS):
            share = special.expit(2 * (ability - 0.25 * k))
            scores.append(
                reported(
                    f"m{place:02d}", benchmark, rng.binomial(2000, share) / 2000,
                    date.fromordinal(date(2023, 1, 1).toordinal() + days), open_weight=place % 2 == 0,
                    family="Llama 9" if place % 4 == 0 else "Other", total_params_b=8.0,
                )
            )  # fmt: skip
    return scores


def build(scores: list[ReportedScore], **more: object) -> Trend:
    options = {"reference": "made.csv", "anchors": ANCHORS, "num_draws": 20, **more}
    return build_trend(scores, np.random.default_rng(0), **options)
