"""One model once, one effort a cell, each fact once, and nothing without a known chance."""

from dataclasses import replace
from datetime import date

import pytest

from evalharness.trend.capability_index import Score
from evalharness.trend.observe import (
    EFFORT_POLICIES,
    EffortPolicy,
    Observations,
    as_row,
    observe,
)
from evalharness.trend.scores.records import ReportedScore

SCORE = ReportedScore(
    origin="imported", collection="x.csv", model="GPT-5", benchmark="GSM8K", score=50.0, reported_by="A"
)  # fmt: skip
SINCE = date(2022, 11, 1)


def observed(*scores: ReportedScore) -> Observations:
    return observe(scores, SINCE)


def cells(*scores: ReportedScore) -> list[tuple[str, float, str]]:
    return [(s.model, s.score, s.setting) for s in observed(*scores).scores]


def test_spellings_are_one_model() -> None:
    names = ("gpt-oss-120b", "chutes/gpt-oss-120b", "openai/GPT-OSS-120B")
    scores = [replace(SCORE, model=name, score=50.0 + n) for n, name in enumerate(names)]
    assert {model for model, *_ in cells(*scores)} == {"gpt-oss-120b"}


def test_unknown_models_are_one_where_only_case_and_separators_differ() -> None:
    found = cells(replace(SCORE, model="Foo-7B"), replace(SCORE, model="foo 7b", score=51.0))
    assert {model for model, *_ in found} == {"Foo-7B"}


def test_the_highest_reported_effort_counts_and_the_others_are_counted() -> None:
    scores = [
        replace(SCORE, model=f"gpt-5-2025-08-07_{effort}", score=score)
        for effort, score in (("low", 40.0), ("high", 60.0), ("medium", 70.0))
    ]
    found = observed(*scores, replace(SCORE, score=80.0))
    assert [(s.score, s.setting) for s in found.scores] == [(60.0, "high")]
    assert found.left_out.effort_policy == EFFORT_POLICIES["highest"]
    assert found.left_out.num_lower_efforts == 3


@pytest.mark.parametrize(
    ("policy", "score"), [("highest", 60.0), ("lowest", 40.0), ("median", 70.0), ("default", 80.0)]
)
def test_another_policy_takes_another_effort(policy: EffortPolicy, score: float) -> None:
    named = [
        replace(SCORE, setting=effort, score=value)
        for effort, value in (("low", 40.0), ("high", 60.0), ("medium", 70.0), ("", 80.0))
    ]
    found = observe(named, SINCE, policy)
    assert [s.score for s in found.scores] == [score]
    assert found.left_out == (EFFORT_POLICIES[policy], 3, 0, 0)


@pytest.mark.parametrize(("policy", "setting"), [("median", "low"), ("default", "low")])
def test_of_two_efforts_the_lower_is_in_the_middle_and_the_default(
    policy: EffortPolicy, setting: str
) -> None:
    named = [replace(SCORE, setting=s, score=v) for s, v in (("high", 60.0), ("low", 40.0))]
    assert [s.setting for s in observe(named, SINCE, policy).scores] == [setting]


def test_a_cell_without_any_effort_is_kept() -> None:
    assert cells(SCORE) == [("GPT-5", 50.0, "")]


def test_a_value_that_another_source_cites_counts_once() -> None:
    cited = replace(SCORE, reported_by="B")
    found = observed(SCORE, cited, replace(cited, score=50.02), replace(cited, benchmark="MMLU"))
    assert [s.score for s in found.scores] == [50.0, 50.02, 50.0]
    assert found.left_out.num_cited_again == 1


def test_a_corrected_copy_of_a_raw_value_is_the_same_fact() -> None:
    raw = replace(SCORE, benchmark="MMLU", score=76.0)
    found = observed(raw, replace(raw, score=68.0, chance_corrected=True, reported_by="Epoch"))
    assert len(found.scores) == 1


def test_a_source_that_publishes_anew_replaces_its_own_value() -> None:
    old = replace(SCORE, score_date=date(2026, 1, 1))
    found = observed(old, replace(old, score=55.0, score_date=date(2026, 5, 1)), replace(SCORE, score=70.0, reported_by="B"))  # fmt: skip
    assert [s.score for s in found.scores] == [55.0, 70.0]
    assert found.left_out.num_superseded == 1


def test_an_import_replaces_what_ships_from_the_same_repository() -> None:
    seed = replace(SCORE, origin="seed", source_repo="epoch.ai/data", setting="high")
    found = observed(seed, replace(seed, origin="imported", score=57.0, setting="medium"))
    assert [s.score for s in found.scores] == [57.0]
    assert (found.left_out.num_superseded, found.left_out.num_lower_efforts) == (1, 0)
    assert len(observed(seed, replace(SCORE, score=57.0, setting="high")).scores) == 2


def test_a_corrected_score_is_not_corrected_again() -> None:
    """0.6 above chance 0.25 is 0.7 of all, with the floor at 0.25: the same point of the curve."""
    corrected = replace(SCORE, benchmark="MMLU", score=60.0, chance_corrected=True)
    row, raw = as_row(corrected), as_row(replace(SCORE, benchmark="MMLU", score=70.0))
    assert row is not None
    assert raw is not None
    assert row[:2] == raw[:2]
    assert row[2:] == pytest.approx(raw[2:])
    assert row.score == pytest.approx(0.7)


def test_a_ceiling_below_one_scales_score_and_chance() -> None:
    row = as_row(replace(SCORE, benchmark="FrontierMath-2025-02-28-Private", score=28.5))
    assert row == Score("GPT-5", "FrontierMath-2025-02-28-Private", pytest.approx(0.5), 0.0, 290)


def test_an_unknown_chance_is_not_zero() -> None:
    raw = replace(SCORE, benchmark="HLE", score=20.0)
    found = observed(raw, replace(raw, benchmark="nobody's"), SCORE)
    assert [s.benchmark for s in found.scores] == ["GSM8K"]
    assert set(found.refused) == {"HLE", "nobody's"}
    assert "isn't known" in found.refused["HLE"]
    assert "1 score left out" in found.refused["HLE"]


def test_a_corrected_score_needs_no_known_chance() -> None:
    row = as_row(replace(SCORE, benchmark="HLE", score=20.0, chance_corrected=True))
    assert row == Score("GPT-5", "HLE", 0.2, 0.0, 2500)


def test_lower_is_better_is_no_observation() -> None:
    assert observed(replace(SCORE, benchmark="ToxiGen")).scores == ()


def test_the_table_of_models_knows_date_openness_and_size() -> None:
    (found,) = observed(replace(SCORE, model="deepseek-ai/DeepSeek-R1")).scores
    assert (found.release_date, found.open_weight) == (date(2025, 1, 20), True)
    assert (found.total_params_b, found.active_params_b, found.family) == (671, 37, "DeepSeek")


def test_models_before_the_first_day_are_out() -> None:
    early = replace(SCORE, model="old", release_date=date(2020, 1, 1))
    assert cells(early, replace(SCORE, model="new", release_date=None)) == [("new", 50.0, "")]
