"""What was known on a day, and a forecast made with that alone."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from evalharness.trend.capability_index import fit_capability
from evalharness.trend.forecast import forecast_skill
from evalharness.trend.observe import observe
from evalharness.trend.scores.records import ReportedScore
from evalharness.trend.vintage import fit_vintage, known_from
from made_trend import ANCHORS, build, simulated

SINCE = date(2022, 11, 1)
CUT = date(2025, 1, 1)


@pytest.mark.parametrize(
    ("released", "published", "expected"),
    [
        (date(2024, 3, 1), None, date(2024, 6, 3)),
        (date(2025, 3, 1), None, date(2025, 3, 1)),
        (date(2025, 3, 1), date(2025, 9, 1), date(2025, 9, 1)),
        (None, None, None),
        (None, date(2025, 9, 1), date(2025, 9, 1)),
    ],
)
def test_a_score_is_known_from_its_day_or_when_model_and_benchmark_were_out(
    released: date | None, published: date | None, expected: date | None
) -> None:
    score = ReportedScore(
        origin="seed", collection="c", model="m", benchmark="MMLU-Pro", score=1.0,
        release_date=released, score_date=published,
    )  # fmt: skip
    assert known_from(score) == expected


def test_scores_after_the_day_change_nothing() -> None:
    scores = simulated()
    today = fit_capability(observe(scores, SINCE).rows, ANCHORS)
    late = [replace(s, score=min(99.0, s.score + 20)) if (s.release_date or CUT) > CUT else s for s in scores]  # fmt: skip
    one, other = (fit_vintage(given, today, CUT, SINCE) for given in (scores, late))
    assert one.capability == other.capability
    assert one.num_scores == sum(s.release_date <= CUT for s in scores if s.release_date)


def test_it_is_on_todays_scale_though_an_anchor_is_newer() -> None:
    scores = simulated()
    today = fit_capability(observe(scores, SINCE).rows, ANCHORS)
    found = fit_vintage(scores, today, CUT, SINCE)
    assert "m35" not in found.capability
    differences = [found.capability[m] - today.capability[today.models.index(m)] for m in found.capability]  # fmt: skip
    assert np.median(np.abs(differences)) < 1
    assert found.scale_sd < 1


def test_too_little_known_is_refused_with_the_reason() -> None:
    scores = simulated()
    today = fit_capability(observe(scores, SINCE).rows, ANCHORS)
    assert fit_vintage(scores, today, date(2023, 1, 15), SINCE).refusal
    assert "models are in both" in fit_vintage(scores, today, date(2023, 6, 15), SINCE).refusal


def test_the_trends_skill_is_of_what_was_known() -> None:
    trend = build(simulated())
    assert not trend.vintage.refusal
    assert trend.vintage.num_scores < trend.num_scores
    assert trend.skill.num_after == trend.hindsight.num_after > 0
    assert trend.skill.mae != trend.hindsight.mae
    assert math.isfinite(trend.open_skill.over_persistence)


def test_a_model_that_was_not_known_is_neither_in_the_line_nor_the_standard() -> None:
    """By hand: 1 and 3 were known at 0 and 100 days, so that the line is at 9 on day 400; the model there has 10."""
    days = np.array([0, 100, 200, 300, 400.0]) + 738_000
    known = [1, 3, math.nan, math.nan, math.nan]
    found = forecast_skill(days, [1, 2, 9, 4, 10], days[2], known)
    assert (found.num_before, found.num_after) == (2, 1)
    assert found.mae == pytest.approx(10 - 9)
    assert found.over_persistence == pytest.approx(1 - 1**2 / (10 - 3) ** 2)
