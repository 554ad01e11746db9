from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from evalharness.errors import UserError
from evalharness.report.terminal.trend import trend_as_json
from evalharness.trend.build import build_trend
from evalharness.trend.capability_index import Anchors
from evalharness.trend.frontier import frontier_slope
from evalharness.trend.scores.records import ReportedScore
from made_trend import BENCHMARKS, build, reported, simulated


def local(benchmarks: tuple[str, ...] = BENCHMARKS[:3], **more: object) -> list[ReportedScore]:
    return [
        reported("mine", b, 0.5, date(2026, 1, 1), origin="measured", n=500, run_id="r", **more)
        for b in benchmarks
    ]


def test_the_true_velocity_is_found() -> None:
    trend = build(simulated())
    years = 27 * 30 / 365.25
    per_year = 20 / years
    found = {v.name: v for v in trend.velocities}
    assert {"all models", "open weights", "Llama family", "open, 6-9 B"} <= set(found)
    slope = found["all models"].slope
    assert slope.ci_low < per_year < slope.ci_high
    assert found["open weights"].slope.num_models == 20
    assert found["Llama family"].slope.num_models == 10
    assert found["all models"].other.per_year == pytest.approx(slope.per_year, rel=0.1)


def test_the_scale_is_that_of_the_anchors() -> None:
    trend = build(simulated())
    by_name = {m.model: m for m in trend.models}
    assert by_name["m05"].capability == pytest.approx(130)
    assert by_name["m35"].capability == pytest.approx(150)
    assert np.isnan(by_name["m05"].ci_low)


def test_a_checkpoint_of_ones_own_is_placed_and_moves_nothing() -> None:
    without, trend = build(simulated()), build([*simulated(), *local()])
    (mine,) = trend.placed
    assert mine.placement.num_benchmarks == 3
    assert 120 < mine.placement.ci_low < mine.placement.value < mine.placement.ci_high < 150
    assert [m.capability for m in trend.models] == [m.capability for m in without.models]


def test_too_few_benchmarks_in_common_refuse_a_checkpoint_with_the_reason() -> None:
    trend = build([*simulated(), *local(BENCHMARKS[:2])])
    assert trend.placed == ()
    assert trend.refused["mine"].startswith("measured here on 2 of the index's benchmarks (GSM8K")


def test_of_two_measurements_the_one_over_more_items_counts() -> None:
    small = [replace(s, n=10, score=90.0) for s in local()]
    (mine,) = build([*simulated(), *local(), *small]).placed
    assert {s.n for s in mine.scores} == {500}


def test_scores_at_chance_and_first_docs_are_noted() -> None:
    at_chance = [
        replace(s, benchmark="MMLU-Pro", score=11.0, ci_low=9.0, subset="first 500 docs")
        for s in local(("MMLU-Pro",))
    ]
    (mine,) = build([*simulated(), *local(), *at_chance]).placed
    assert mine.notes == ("some docs only: MMLU-Pro", "not above chance: MMLU-Pro")


def test_other_collections_and_older_models_are_left_out() -> None:
    other = [replace(s, collection="other.csv", model=f"x{s.model}") for s in simulated()]
    assert {m.model for m in build([*simulated(), *other]).models} == {
        m.model for m in build(simulated()).models
    }
    late = build(simulated(), since=date(2023, 3, 1))
    assert "m00" not in {m.model for m in late.models}


def test_imported_scores_join_the_reference() -> None:
    mine = [
        replace(s, origin="imported", collection="mine.csv", model="new")
        for s in simulated()
        if s.model == "m20"
    ]
    assert "new" in {m.model for m in build([*simulated(), *mine]).models}


def test_a_model_without_a_date_is_on_the_index_and_off_the_frontier() -> None:
    scores = [replace(s, release_date=None) if s.model == "m39" else s for s in simulated()]
    undated = next(m for m in build(scores).models if m.model == "m39")
    assert (undated.release_date, undated.is_frontier) == (None, False)


def test_sizes_come_from_whichever_collection_states_them() -> None:
    bare = [replace(s, total_params_b=None) for s in simulated()]
    stated = reported("Org/M07", "GSM8K", 0.1, None, collection="other.csv", total_params_b=7.0,
                      active_params_b=7.0, n_experts=1)  # fmt: skip
    by_name = {m.model: m for m in build([*bare, stated]).models}
    assert (by_name["m07"].total_params_b, by_name["m07"].num_experts) == (7.0, 1)
    assert by_name["m08"].total_params_b is None


def test_a_checkpoint_here_joins_the_same_model_among_the_reported() -> None:
    by_entry = build([*simulated(), *local(reported_as="m20")])
    assert by_entry.placed[0].reported == "m20"
    assert build([*simulated(), *local()]).placed[0].reported == ""
    known = [replace(s, model="Llama 3.1 8B") if s.model == "m20" else s for s in simulated()]
    by_hub = build([*known, *local(source_repo="meta-llama/Llama-3.1-8B-Instruct")])
    assert by_hub.placed[0].reported == "Llama 3.1 8B"


def test_anchors_can_be_spelt_in_any_way() -> None:
    known = [
        replace(s, model={"m05": "Llama 2 7B", "m35": "GPT-5"}.get(s.model, s.model))
        for s in simulated()
    ]
    trend = build(known, anchors=Anchors("meta-llama/Llama-2-7b-hf", "gpt-5-2025-08-07_medium"))
    assert trend.anchors[:2] == ("Llama 2 7B", "GPT-5")


def test_the_newest_score_is_of_its_publication_or_its_models_release() -> None:
    assert build(simulated()).newest_score == date(2025, 11, 19)
    late = [replace(s, score_date=date(2026, 1, 2)) if s.model == "m00" else s for s in simulated()]
    assert build(late).newest_score == date(2026, 1, 2)


def test_a_raw_score_of_unknown_chance_is_refused_by_name_and_not_fitted() -> None:
    more = [replace(s, benchmark="HLE") for s in simulated() if s.benchmark == "MATH"]
    trend = build([*simulated(), *more])
    assert "isn't known" in trend.refused["HLE"]
    assert trend.num_scores == len(simulated())
    corrected = [replace(s, chance_corrected=True) for s in more]
    assert build([*simulated(), *corrected]).num_benchmarks == len(BENCHMARKS) + 1


def test_a_measured_score_of_unknown_chance_places_nothing() -> None:
    more = [replace(s, benchmark="HLE", chance_corrected=True) for s in simulated() if s.benchmark == "MATH"]  # fmt: skip
    trend = build([*simulated(), *more, *local((*BENCHMARKS[:2], "HLE"))])
    assert "2 of the index's benchmarks" in trend.refused["mine"]


def test_a_credit_is_given_where_a_licence_asks_for_it() -> None:
    assert build(simulated()).credits == ()
    credited = build([replace(s, source_repo="epoch.ai/data") for s in simulated()])
    assert "CC BY 4.0" in credited.credits[0]


def test_the_numbers_are_the_same_for_any_number_of_threads() -> None:
    scores = [*simulated(), *local()]
    one, three = (trend_as_json(build(scores, workers=workers)) for workers in (1, 3))
    assert one == three


def test_every_column_of_a_velocity_draws_scores_too() -> None:
    """With the models alone drawn again, an interval is narrower."""
    found = {v.name: v for v in build(simulated()).velocities}["all models"]
    alone = frontier_slope(
        [date(2023, 1, 1).toordinal() + 27 * k for k in range(40)],
        [m.capability for m in build(simulated()).models],
        np.random.default_rng(0),
    )
    assert found.rival is None  # no Winogrande, no fit by Epoch's procedure
    for slope in (found.slope, found.other):
        assert slope.corrected_high - slope.corrected_low > alone.corrected_high - alone.corrected_low  # fmt: skip


def test_nothing_to_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"no reported scores of 'none.csv'"):
        build(simulated(), reference="none.csv")


def test_the_shipped_scores_give_the_published_frontier() -> None:
    from evalharness.trend.scores.seed_scores import seed_readings

    scores = [score for reading in seed_readings() for score in reading.scores]
    trend = build_trend(scores, np.random.default_rng(0), num_draws=20)
    open_frontier = [m.model for m in trend.models if m.is_open_frontier]
    assert {"LLaMA 65B", "Llama 3.1 405B", "DeepSeek-R1", "Kimi K3"} <= set(open_frontier)
    velocity = {v.name: v.slope.per_year for v in trend.velocities}
    assert velocity["all models"] == pytest.approx(14.6, abs=0.5)
    assert trend.skill.num_after > 0
