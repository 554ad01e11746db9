import math

import numpy as np
import pytest
from scipy import optimize, special

from evalharness.errors import UserError
from evalharness.trend.capability_index import (
    Anchors,
    CapabilityFit,
    Score,
    fit_capability,
)
from evalharness.trend.fit_likelihood import (
    Dispersion,
    Parameters,
    Rows,
    fit_likelihood,
    predict,
    rank_deficiency,
    refit,
)
from evalharness.trend.intervals import (
    LAMBDAS,
    Draws,
    capability_draws,
    capability_intervals,
    fit_draws,
    moved_by_lambda,
)
from evalharness.trend.placement import place
from trend_data import Simulated, epoch_scores, read_epoch_rows, read_reference, simulate

ANCHORS = Anchors("claude-3-5-sonnet-20240620", "gpt-5-2025-08-07_medium")


def published() -> list[Score]:
    return epoch_scores(read_epoch_rows())


def true_anchors(simulated: Simulated) -> Anchors:
    """The weakest and the strongest model at their true capability."""
    low, high = int(simulated.capability.argmin()), int(simulated.capability.argmax())
    return Anchors(
        f"m{low:03}",
        f"m{high:03}",
        float(simulated.capability[low]),
        float(simulated.capability[high]),
    )


def recovered(method: str, lam: float, seeds: int = 5) -> tuple[float, float]:
    """Mean slope per year of all models, where 0.5 is true, and least correlation with the truth."""
    slopes, correlations = [], []
    for seed in range(seeds):
        simulated = simulate(np.random.default_rng(seed))
        anchors = None if method == "epoch" else true_anchors(simulated)
        fit = fit_capability(simulated.scores, anchors, method, lam)  # type: ignore[arg-type]
        slopes.append(np.polyfit(simulated.years, fit.capability, 1)[0])
        correlations.append(np.corrcoef(fit.capability, simulated.capability)[0, 1])
    return float(np.mean(slopes)), min(correlations)


def block(prefix: str, size: int = 5) -> list[Score]:
    """Models all scored on the same benchmarks; nothing is shared with a block of another prefix."""
    rng = np.random.default_rng(1)
    return [
        Score(f"{prefix}-m{m}", f"{prefix}-b{b}", float(rng.uniform(0.2, 0.8)), 0.0, 100)
        for m in range(size)
        for b in range(size)
    ]


def complete(num_models: int, num_benchmarks: int) -> Rows:
    model, benchmark = np.divmod(np.arange(num_models * num_benchmarks), num_benchmarks)
    half = np.full(len(model), 0.5)
    return Rows(model, benchmark, half, 0 * half, 200 * half)


@pytest.mark.parametrize("lam", [0.1, 0.01, 0.001])
def test_epoch_fit_gives_the_published_capabilities(lam: float) -> None:
    fit = fit_capability(published(), None, "epoch", lam)
    assert (len(fit.models), len(fit.benchmarks), len(fit.rows.score)) == (179, 38, 1324)
    expected = {
        row["model"].strip(): float(row[f"capability_lam{lam}"]) for row in read_reference()
    }
    found = dict(zip(fit.models, fit.capability, strict=True))
    assert found == {name: pytest.approx(value, rel=1e-3) for name, value in expected.items()}


def test_epoch_fit_takes_a_pairs_best_score() -> None:
    simulated = simulate(np.random.default_rng(0), 10, 5)
    worse = [score._replace(score=score.score / 2) for score in simulated.scores]
    plain = fit_capability(simulated.scores, None, "epoch")
    both = fit_capability(worse + simulated.scores, None, "epoch")
    assert both.capability.tolist() == plain.capability.tolist()


@pytest.mark.parametrize(
    ("method", "lam"), [("likelihood", 0.1), ("likelihood", 1e-3), ("epoch", 1e-3)]
)
def test_simulated_capability_and_its_slope_are_recovered(method: str, lam: float) -> None:
    slope, correlation = recovered(method, lam)
    assert correlation > 0.99
    assert slope == pytest.approx(0.5, abs=0.05)


def test_epochs_ridge_raises_the_slope_and_ours_does_not() -> None:
    stable, heavy = recovered("epoch", 1e-3)[0], recovered("epoch", 0.1)[0]
    assert heavy > stable + 0.02
    assert heavy > 0.5 + 0.03
    assert recovered("likelihood", 0.1)[0] == pytest.approx(
        recovered("likelihood", 1e-3)[0], abs=1e-3
    )


def test_chance_floor_is_part_of_the_curve() -> None:
    simulated = simulate(np.random.default_rng(3), chance=0.25)
    anchors = true_anchors(simulated)
    right = fit_capability(simulated.scores, anchors)
    blind = fit_capability([score._replace(chance=0.0) for score in simulated.scores], anchors)
    error = np.abs(right.capability - simulated.capability).mean()
    assert error < 0.06
    assert error < 0.7 * np.abs(blind.capability - simulated.capability).mean()


@pytest.mark.parametrize("phi", [0.003, 0.02])
def test_overdispersion_is_recovered(phi: float) -> None:
    found = fit_capability(simulate(np.random.default_rng(5), phi=phi).scores).dispersion
    assert found.phi == pytest.approx(phi, rel=0.15)
    assert math.isnan(found.sd)


def test_scores_without_items_are_fitted_by_least_squares() -> None:
    simulated = simulate(np.random.default_rng(6))
    fit = fit_capability([score._replace(num_items=None) for score in simulated.scores])
    assert math.isnan(fit.dispersion.phi)
    assert 0.01 < fit.dispersion.sd < 0.05
    assert np.corrcoef(fit.capability, simulated.capability)[0, 1] > 0.99


def test_a_score_of_few_items_weighs_little() -> None:
    simulated = simulate(np.random.default_rng(7), 20, 8)
    name = simulated.scores[0].model
    odd = [Score(name, "Winogrande", 0.99, 0.0, items) for items in (5, 5000)]
    plain, few, many = (
        fit_capability([*simulated.scores, *more]) for more in ([], odd[:1], odd[1:])
    )
    moved = [abs(fit.capability[0] - plain.capability[0]) for fit in (few, many)]
    assert moved[0] < 0.2 * moved[1]


def test_another_start_ends_at_the_same_fit() -> None:
    simulated = simulate(np.random.default_rng(8), missing=0.5)
    fit = fit_capability(simulated.scores)
    rng = np.random.default_rng(9)
    start = Parameters(
        rng.normal(size=len(fit.models)),
        rng.normal(size=len(fit.benchmarks)),
        rng.normal(scale=0.3, size=len(fit.benchmarks)),
    )
    again = refit(fit.rows, fit.lam, start, fit.dispersion, tolerance=1e-10)
    assert again.capability == pytest.approx(fit.capability, abs=1e-3)


def test_the_order_of_the_scores_changes_nothing() -> None:
    simulated = simulate(np.random.default_rng(10), 20, 6)
    first, second = fit_capability(simulated.scores), fit_capability(simulated.scores[::-1])
    assert first.capability.tolist() == second.capability.tolist()


@pytest.mark.parametrize("chance", [0.0, 0.25])
def test_the_fit_is_a_maximum_of_the_likelihood(chance: float) -> None:
    """Against scipy's general minimiser, on the same objective written out."""
    simulated = simulate(np.random.default_rng(11), 8, 5, chance=chance)
    fit = fit_capability(simulated.scores, lam=0.5)
    rows, phi = fit.rows, fit.dispersion.phi

    def loss(vector: np.ndarray) -> float:
        capability, difficulty, log_slope = np.split(vector, [8, 13])
        distance = capability[rows.model] - difficulty[rows.benchmark]
        share = special.expit(np.exp(log_slope)[rows.benchmark] * distance)
        expected = chance + (1 - chance) * share
        weight = rows.num_items / (1 + (rows.num_items - 1) * phi)
        gain = rows.score * np.log(expected) + (1 - rows.score) * np.log1p(-expected)
        return float(-(weight * gain).sum() + 0.25 * (log_slope**2).sum())

    ours = np.concatenate(fit.parameters)
    best = optimize.minimize(loss, ours, method="L-BFGS-B", options={"maxiter": 5000})
    assert loss(ours) == pytest.approx(best.fun, abs=1e-5)


def test_shift_and_scale_are_free_without_anchors() -> None:
    assert rank_deficiency(complete(6, 4), 6, 4) == 2


def test_two_separate_blocks_have_two_scales() -> None:
    one, two = complete(6, 4), complete(6, 4)
    rows = Rows(
        np.concatenate([one.model, two.model + 6]),
        np.concatenate([one.benchmark, two.benchmark + 4]),
        *(np.tile(column, 2) for column in one[2:]),
    )
    assert rank_deficiency(rows, 12, 8) == 4


def test_rank_deficiency_is_that_of_the_numerical_jacobian() -> None:
    rng = np.random.default_rng(12)
    rows = complete(7, 5).take(np.sort(rng.permutation(35)[:22]))
    start = [rng.normal(size=7), rng.normal(size=5), rng.normal(scale=0.4, size=5)]
    vector, step = np.concatenate(start), 1e-5
    columns = []
    for number in range(len(vector)):
        ends = []
        for sign in (1, -1):
            moved = vector.copy()
            moved[number] += sign * step
            ends.append(predict(rows, Parameters(*np.split(moved, [7, 12]))))
        columns.append((ends[0] - ends[1]) / (2 * step))
    rank = np.linalg.matrix_rank(np.stack(columns, axis=1), tol=1e-7)
    assert rank_deficiency(rows, 7, 5) == len(vector) - rank


def test_parts_that_share_nothing_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"2 parts .*'left-m0'.*'right-m0'"):
        fit_capability(block("left") + block("right"))


def test_parts_joined_by_one_model_leave_parameters_free() -> None:
    joined = [
        score._replace(model="both") if score.model.endswith("m0") else score
        for score in block("left") + block("right")
    ]
    with pytest.raises(UserError, match="leave 1 more"):
        fit_capability(joined)


def test_thin_models_and_benchmarks_are_refused_with_the_reason() -> None:
    scores = block("a")
    thin = [Score("thin", f"a-b{b}", 0.5, 0.0, 100) for b in range(3)]
    rare = [Score(f"a-m{m}", "rare", 0.5, 0.0, 100) for m in range(2)]
    fit = fit_capability(scores + thin + rare)
    assert fit.refused_models == {"thin": "3 benchmarks, at least 4 needed"}
    assert fit.refused_benchmarks == {"rare": "2 models, at least 3 needed"}
    assert "thin" not in fit.models


def test_a_refused_benchmark_can_make_a_model_thin() -> None:
    scores = [
        *block("a"),
        *(Score("few", f"a-b{b}", 0.5) for b in range(3)),
        Score("few", "own", 0.5),
    ]
    assert fit_capability(scores).refused_models == {"few": "3 benchmarks, at least 4 needed"}


def test_a_model_at_chance_everywhere_has_no_place() -> None:
    guesser = [Score("guesser", f"a-b{b}", 0.25, 0.25, 100) for b in range(5)]
    perfect = [Score("perfect", f"a-b{b}", 1.0, 0.25, 100) for b in range(5)]
    assert fit_capability(block("a") + guesser + perfect).refused_models == {
        "guesser": "no score above chance (5 benchmarks)",
        "perfect": "every score is 1 (5 benchmarks)",
    }


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (Score("m", "b", 1.2), r"'m' on 'b': score is 1\.2"),
        (Score("m", "b", math.nan), "score is nan"),
        (Score("m", "b", 0.5, 1.0), r"chance is 1\.0"),
        (Score("m", "b", 0.5, 0.0, 0), "0 items"),
    ],
)
def test_a_score_out_of_range_is_refused(score: Score, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit_capability([*block("a"), score])


def test_no_scores_are_refused() -> None:
    with pytest.raises(UserError, match="no model has scores"):
        fit_capability([])


def test_anchors_have_their_values_and_predictions_are_unmoved() -> None:
    simulated = simulate(np.random.default_rng(13), 12, 6)
    raw = fit_capability(simulated.scores)
    order = raw.capability.argsort()
    anchors = Anchors(raw.models[order[2]], raw.models[order[-2]])
    fit = fit_capability(simulated.scores, anchors)
    assert fit.capability[order[2]] == pytest.approx(130)
    assert fit.capability[order[-2]] == pytest.approx(150)
    assert predict(fit.rows, fit.parameters) == pytest.approx(predict(raw.rows, raw.parameters))


def test_an_anchor_that_was_refused_says_why() -> None:
    thin = [Score("thin", f"a-b{b}", 0.5, 0.0, 100) for b in range(3)]
    with pytest.raises(UserError, match="'thin' has no capability: 3 benchmarks"):
        fit_capability(block("a") + thin, Anchors("thin", "a-m0"))


def test_an_unknown_anchor_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'a-m0'"):
        fit_capability(block("a"), Anchors("a-m00", "a-m1"))


def test_anchors_the_wrong_way_round_are_refused() -> None:
    fit = fit_capability(block("a"))
    order = fit.capability.argsort()
    with pytest.raises(UserError, match="swap them"):
        fit_capability(block("a"), Anchors(fit.models[order[-1]], fit.models[order[0]]))


def test_lambda_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="lambda is 0"):
        fit_capability(block("a"), lam=0)


def coverage(seed: int, num_draws: int, missing: float = 0.0) -> float:
    """Share of the models whose nominal 90 % interval holds the true capability on the anchored scale."""
    simulated = simulate(np.random.default_rng(seed), missing=missing)
    order = simulated.capability.argsort()
    low, high = f"m{order[16]:03}", f"m{order[-16]:03}"
    fit = fit_capability(simulated.scores, Anchors(low, high, 0, 1))
    draws = capability_draws(fit, np.random.default_rng(seed), num_draws)
    truth = {f"m{number:03}": value for number, value in enumerate(simulated.capability)}
    intervals = dict(zip(fit.models, capability_intervals(fit, draws), strict=True))
    inside = [
        interval.low <= (truth[name] - truth[low]) / (truth[high] - truth[low]) <= interval.high
        for name, interval in intervals.items()
        if name not in (low, high)
    ]
    return float(np.mean(inside))


def test_intervals_cover_about_what_they_say() -> None:
    assert np.mean([coverage(seed, 80) for seed in range(8)]) == pytest.approx(0.9, abs=0.06)


@pytest.mark.slow
def test_intervals_cover_90_percent() -> None:
    """0.902 measured over 60 simulated sets of 78 models."""
    assert np.mean([coverage(seed, 300) for seed in range(60)]) == pytest.approx(0.9, abs=0.03)


def test_anchors_have_no_interval_and_the_others_do() -> None:
    simulated = simulate(np.random.default_rng(14), 12, 6)
    anchors = true_anchors(simulated)
    fit = fit_capability(simulated.scores, anchors)
    draws = capability_draws(fit, np.random.default_rng(0), 50)
    by_name = dict(zip(fit.models, capability_intervals(fit, draws), strict=True))
    for name, interval in by_name.items():
        place_of = fit.models.index(name)
        if name in anchors[:2]:
            assert math.isnan(interval.low)
            assert math.isnan(interval.high)
        else:
            assert interval.low < fit.capability[place_of] < interval.high


def test_draws_of_one_seed_are_the_same() -> None:
    fit = fit_capability(block("a"))
    one, two = (capability_draws(fit, np.random.default_rng(3), 3) for _ in range(2))
    assert one.tolist() == two.tolist()


def test_epoch_draws_start_from_the_anchored_fit() -> None:
    simulated = simulate(np.random.default_rng(15), 12, 6)
    fit = fit_capability(simulated.scores, true_anchors(simulated), "epoch")
    draws = capability_draws(fit, np.random.default_rng(0), 20)
    assert np.abs(np.median(draws, axis=0) - fit.capability).max() < 0.3


def test_an_estimate_beside_its_draws_has_no_interval() -> None:
    fit = fit_capability(block("a"))
    draws = fit.capability + np.random.default_rng(0).normal(0, 0.1, (50, len(fit.models)))
    draws[:, 0] = fit.capability[0] + 5 + np.arange(50)
    first, *others = capability_intervals(fit, draws)
    assert math.isnan(first.low)
    assert all(o.low < c < o.high for o, c in zip(others, fit.capability[1:], strict=True))


def test_an_interval_hangs_on_the_5th_percentile_and_not_on_the_least_draw() -> None:
    fit = fit_capability(block("a"))
    draws = fit.capability + np.random.default_rng(0).normal(0, 0.1, (200, len(fit.models)))
    with_outlier = draws.copy()
    with_outlier[0] -= 1000
    for plain, odd in zip(
        *(capability_intervals(fit, d) for d in (draws, with_outlier)), strict=True
    ):
        assert odd.low == pytest.approx(plain.low, abs=0.05)


def test_draws_wider_than_the_index_leave_no_interval() -> None:
    fit = fit_capability(block("a"))
    spread = np.random.default_rng(0).normal(0, 1, (200, 1)) * np.ptp(fit.capability)
    draws = np.tile(fit.capability, (200, 1)) + 0.1 * spread
    draws[:, [0]] += 9.9 * spread
    first, *others = capability_intervals(fit, draws)
    assert math.isnan(first.low)
    assert not any(math.isnan(o.low) for o in others)


def test_many_failed_draws_leave_no_interval() -> None:
    fit = fit_capability(block("a"))
    draws = np.tile(fit.capability, (20, 1))
    draws[:2] = math.nan
    assert all(math.isnan(interval.low) for interval in capability_intervals(fit, draws))


def test_table_of_what_lambda_moves_is_sorted_by_it() -> None:
    fits = [fit_capability(published(), ANCHORS, lam=lam) for lam in LAMBDAS]
    table = moved_by_lambda(fits)
    assert [fit.lam for fit in fits] == [0.1, 0.001]
    assert len(table) == 179
    assert table[0].moved == pytest.approx(abs(table[0].capability[0] - table[0].capability[1]))
    assert [row.moved for row in table] == sorted((row.moved for row in table), reverse=True)
    assert {row.model for row in table if row.moved < 1e-9} >= set(ANCHORS[:2])


def reference_fit() -> tuple[CapabilityFit, Simulated]:
    simulated = simulate(np.random.default_rng(16))
    return fit_capability(simulated.scores, true_anchors(simulated)), simulated


def test_a_model_of_the_reference_is_placed_where_it_was() -> None:
    fit, simulated = reference_fit()
    for name in ("m010", "m070"):
        found = place(fit, [score for score in simulated.scores if score.model == name])
        assert found.value == pytest.approx(fit.capability[fit.models.index(name)], abs=2e-3)
        assert found.ci_low < found.value < found.ci_high
        assert found.num_benchmarks == 20


def test_placement_interval_covers_about_90_percent() -> None:
    """Of where the truth lies on the reference's scale: the interval leaves out how sure the scale is."""
    fit, simulated = reference_fit()
    truth = np.polyval(np.polyfit(simulated.capability, fit.capability, 1), simulated.capability)
    inside = []
    for place_of, name in enumerate(fit.models):
        found = place(fit, [score for score in simulated.scores if score.model == name])
        inside.append(found.ci_low <= truth[place_of] <= found.ci_high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.08)


def test_epochs_fit_corrects_a_checkpoints_scores_as_it_corrects_the_references() -> None:
    simulated = simulate(np.random.default_rng(18), chance=0.25)
    fit = fit_capability(simulated.scores, true_anchors(simulated), "epoch")
    for name in ("m030", "m060"):
        found = place(fit, [score for score in simulated.scores if score.model == name])
        assert found.value == pytest.approx(fit.capability[fit.models.index(name)], abs=0.1)


def test_draws_of_the_reference_widen_a_placement_and_dont_move_it() -> None:
    simulated = simulate(np.random.default_rng(16), 12, 8)
    fit = fit_capability(simulated.scores, true_anchors(simulated))
    scores = [score for score in simulated.scores if score.model == "m006"]
    draws = fit_draws(fit, np.random.default_rng(0), 60)
    own, whole = place(fit, scores), place(fit, scores, draws=draws)
    assert whole.value == own.value
    assert whole.ci_low < own.ci_low < own.ci_high < whole.ci_high
    still = Draws(*(np.tile(d, (5, 1)) for d in (fit.capability, fit.difficulty, fit.slope)))
    assert place(fit, scores, draws=still)[:3] == pytest.approx(own[:3], abs=2e-4)


def test_draws_that_all_lie_to_one_side_move_no_interval() -> None:
    simulated = simulate(np.random.default_rng(16), 12, 8)
    fit = fit_capability(simulated.scores, true_anchors(simulated))
    scores = [score for score in simulated.scores if score.model == "m006"]
    aside = Draws(*(np.tile(d, (5, 1)) for d in (fit.capability, fit.difficulty + 0.3, fit.slope)))
    assert place(fit, scores, draws=aside)[:3] == pytest.approx(place(fit, scores)[:3], abs=2e-4)


def test_a_placement_wider_than_the_index_is_refused_with_the_reason() -> None:
    fit, _ = reference_fit()
    found = place(fit, [Score("x", "b03", 0.5, 0.0, 1)])
    assert math.isnan(found.ci_low)
    assert math.isnan(found.ci_high)
    assert "more than the index's range" in found.refusal


def placements_covered(seed: int, num_draws: int, num_models: int = 30) -> tuple[int, int]:
    """Of three checkpoints with 5 benchmarks each: within the interval with the reference's draws, and without."""
    rng = np.random.default_rng(seed)
    simulated = simulate(rng, num_models, 12)
    order = simulated.capability.argsort()
    low, high = f"m{order[6]:03}", f"m{order[-6]:03}"
    truth = dict(zip((f"m{n:03}" for n in range(num_models)), simulated.capability, strict=True))
    anchors = Anchors(low, high, truth[low], truth[high])
    local = [f"m{order[place_of]:03}" for place_of in (3, 15, 26)]
    kept = [s for s in simulated.scores if s.model in anchors[:2] or rng.uniform() < 0.5]
    fit = fit_capability([s for s in kept if s.model not in local], anchors)
    draws = fit_draws(fit, rng, num_draws)
    inside = [0, 0]
    for name in local:
        scores = [s for s in simulated.scores if s.model == name and s.benchmark in fit.benchmarks][
            :5
        ]
        for way, found in enumerate((place(fit, scores, draws=draws), place(fit, scores))):
            inside[way] += found.ci_low <= truth[name] <= found.ci_high
    return inside[0], inside[1]


@pytest.mark.slow
def test_placements_cover_90_percent_with_the_references_draws() -> None:
    inside = np.array([placements_covered(seed, 60) for seed in range(60)]).sum(axis=0) / 180
    assert inside[0] == pytest.approx(0.9, abs=0.06)
    assert inside[1] < inside[0] - 0.05


def test_fewer_items_make_a_wider_interval() -> None:
    fit, simulated = reference_fit()
    scores = [score for score in simulated.scores if score.model == "m040"]
    many, few = place(fit, scores), place(fit, [score._replace(num_items=30) for score in scores])
    assert few.ci_high - few.ci_low > 1.5 * (many.ci_high - many.ci_low)


def test_interval_ends_where_the_likelihood_has_dropped_by_half_of_chi_square() -> None:
    """One benchmark of 100 docs, no over-dispersion: the binomial's own likelihood interval."""
    fit, _ = reference_fit()
    place_of = fit.benchmarks.index("b03")
    object.__setattr__(fit, "dispersion", Dispersion(0.0, math.nan))
    found = place(fit, [Score("x", "b03", 0.6, 0.0, 100)], level=0.95)
    for end in (found.ci_low, found.ci_high):
        p = 1 / (1 + math.exp(-fit.slope[place_of] * (end - fit.difficulty[place_of])))
        drop = 60 * math.log(0.6 / p) + 40 * math.log(0.4 / (1 - p))
        assert 2 * drop == pytest.approx(3.841, abs=0.01)


def test_all_right_has_no_upper_end_and_none_right_no_lower() -> None:
    fit, _ = reference_fit()
    top = place(fit, [Score("x", name, 1.0, 0.0, 100) for name in fit.benchmarks])
    bottom = place(fit, [Score("x", name, 0.0, 0.0, 100) for name in fit.benchmarks])
    assert (top.value, top.ci_high) == (math.inf, math.inf)
    assert (bottom.value, bottom.ci_low) == (-math.inf, -math.inf)
    assert bottom.ci_high < fit.difficulty.min() < fit.difficulty.max() < top.ci_low + 3


def test_benchmarks_that_the_reference_lacks_are_named_and_ignored() -> None:
    fit, simulated = reference_fit()
    scores = [score for score in simulated.scores if score.model == "m040"]
    other = Score("m040", "new", 0.1, 0.0, 100)
    assert place(fit, [*scores, other]) == place(fit, scores)._replace(ignored=("new",))


def test_nothing_shared_is_nan_over_no_benchmarks() -> None:
    found = place(reference_fit()[0], [Score("x", "new", 0.5, 0.0, 100)])
    assert math.isnan(found.value)
    assert (found.num_benchmarks, found.ignored) == (0, ("new",))


def test_two_models_are_not_placed_as_one() -> None:
    with pytest.raises(UserError, match="2 models"):
        place(reference_fit()[0], [Score("x", "b01", 0.5), Score("y", "b01", 0.5)])


def test_a_score_without_items_needs_a_reference_that_has_such() -> None:
    with pytest.raises(UserError, match="no number of items"):
        place(reference_fit()[0], [Score("x", "b01", 0.5)])


def test_fit_of_known_and_unknown_items_together() -> None:
    simulated = simulate(np.random.default_rng(17))
    mixed = [
        score._replace(num_items=None) if place_of % 2 else score
        for place_of, score in enumerate(simulated.scores)
    ]
    fit = fit_capability(mixed, true_anchors(simulated))
    assert fit.dispersion.phi == pytest.approx(0.003, rel=0.25)
    assert 0.01 < fit.dispersion.sd < 0.05
    assert np.corrcoef(fit.capability, simulated.capability)[0, 1] > 0.99


def test_likelihood_fit_of_arrays_is_centred() -> None:
    rows = fit_capability(block("a")).rows
    parameters, _ = fit_likelihood(rows, 0.1)
    assert parameters.capability.mean() == pytest.approx(0, abs=1e-9)
    assert parameters.log_slope.mean() == pytest.approx(0, abs=1e-9)


def test_scores_all_at_a_limit_are_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match="no score above chance"):
        fit_capability([score._replace(score=0.0) for score in block("a")])
    with pytest.raises(UserError, match="every score is 1"):
        fit_capability([score._replace(score=1.0) for score in block("a")])


def test_anchors_that_are_equal_are_not_to_be_swapped() -> None:
    with pytest.raises(UserError, match="name two models that differ"):
        fit_capability([s._replace(score=0.5) for s in block("a")], Anchors("a-m0", "a-m1"))
