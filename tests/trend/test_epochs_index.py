"""Epoch's published procedure on scores as Epoch publishes them, against a second calculation written from its description.

Twelve models on ten benchmarks, raw scores made with chance floors: they are corrected by hand here, stored as Epoch's
file has them, imported, and fitted by `--fit epoch`; the second calculation is dense, with a numerical Jacobian, and knows
nothing of ours but the corrected table.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, special

from evalharness.trend.build import ANCHORS, build_trend
from evalharness.trend.scores.read_epoch import read_epoch
from evalharness.trend.scores.records import ReportedScore

MODELS = (
    "LLaMA-7B", "Llama 2-70B", "GPT-4 (Mar 2023)", "Claude 3.5 Sonnet", "DeepSeek-V3", "DeepSeek-R1", "o1", "o3",
    "Qwen3-235B-A22B", "GPT-5", "Claude Opus 4.5", "Kimi K3",
)  # fmt: skip
CHANCE = {
    "Winogrande": 0.5, "MMLU": 0.25, "GPQA diamond": 0.25, "HLE": 0.0, "GSM8K": 0.0, "MATH level 5": 0.0, "BBH": 0.25,
    "WeirdML": 0.0, "SimpleBench": 1 / 6, "VPCT": 1 / 3,
}  # fmt: skip
LAMBDA, CLIP, SEED = 0.1, 1e-3, 42


def made() -> np.ndarray:
    """(models, benchmarks) corrected scores; NaN where there is none. Raw scores are rounded as cards round them."""
    rng = np.random.default_rng(5)
    ability = np.linspace(-1.0, 2.5, len(MODELS)) + rng.normal(0, 0.15, len(MODELS))
    difficulty = rng.uniform(-1.5, 2.5, len(CHANCE))
    chance = np.array(list(CHANCE.values()))
    share = special.expit(1.5 * (ability[:, None] - difficulty))
    raw = np.round(chance + (1 - chance) * share + rng.normal(0, 0.02, share.shape), 3)
    corrected = np.clip((raw - chance) / (1 - chance), 0, 1)
    corrected[rng.uniform(size=share.shape) < 0.25] = np.nan
    return corrected


def imported(tmp_path: Path, scores: np.ndarray) -> list[ReportedScore]:
    rows = [
        f"{scores[m, b]:.6f},{benchmark},{model},{model},2025-0{1 + m % 9}-01,P"
        for m, model in enumerate(MODELS)
        for b, benchmark in enumerate(CHANCE)
        if np.isfinite(scores[m, b])
    ]
    path = tmp_path / "eci_benchmarks.csv"
    path.write_text("\n".join(["performance,benchmark,model,model_version,date,source", *rows]))
    reading = read_epoch(path, date(2026, 9, 1))
    assert reading.skipped == ()
    return list(reading.scores)


def second_calculation(scores: np.ndarray) -> dict[str, float]:
    """Index of the models, 130 and 150 at the two that set the scale.

    Source: epoch-research/eci-public, README and src/eci/fitting.py (objective, bounds, anchor, scale).
    """
    model, benchmark = np.nonzero(np.isfinite(scores))
    target = np.clip(scores[model, benchmark], CLIP, 1 - CLIP)
    num_m, num_b = scores.shape

    def residuals(vector: np.ndarray) -> np.ndarray:
        capability, difficulty = vector[:num_m], vector[num_m : num_m + num_b]
        slope = np.concatenate([[1.0], vector[num_m + num_b :]])
        predicted = special.expit(slope[benchmark] * (capability[model] - difficulty[benchmark]))
        penalty = LAMBDA * np.sum(vector**2) / vector.size
        return np.append(predicted - target, np.sqrt(penalty))

    rng = np.random.RandomState(SEED)
    start = np.concatenate([0.1 * rng.randn(num_m + num_b), np.ones(num_b - 1)])
    low = np.concatenate([np.full(num_m + num_b, -10.0), np.full(num_b - 1, 0.1)])
    found = optimize.least_squares(residuals, start, bounds=(low, 10.0), xtol=1e-12, ftol=1e-12)
    capability = dict(zip(MODELS, found.x, strict=False))
    first, last = capability["Claude 3.5 Sonnet"], capability["GPT-5"]
    return {name: 130 + 20 * (value - first) / (last - first) for name, value in capability.items()}


def test_the_index_is_that_of_a_second_calculation(tmp_path: Path) -> None:
    scores = made()
    trend = build_trend(
        imported(tmp_path, scores), np.random.default_rng(0), reference="none", method="epoch",
        num_draws=2, anchors=ANCHORS,
    )  # fmt: skip
    ours = {m.model: m.capability for m in trend.models}
    renamed = {"LLaMA-7B": "LLaMA 7B", "Llama 2-70B": "Llama 2 70B"}
    expected = {renamed.get(name, name): v for name, v in second_calculation(scores).items()}
    assert ours == {name: pytest.approx(value, abs=0.2) for name, value in expected.items()}


def test_correcting_twice_would_be_seen(tmp_path: Path) -> None:
    """The same numbers taken as raw give another index."""
    from dataclasses import replace

    scores = imported(tmp_path, made())
    raw = [replace(s, chance_corrected=False) for s in scores if s.benchmark not in ("HLE", "WeirdML")]  # fmt: skip
    right = [s for s in scores if s.benchmark not in ("HLE", "WeirdML")]
    one, two = (
        build_trend(rows, np.random.default_rng(0), reference="none", method="epoch", num_draws=2)
        for rows in (right, raw)
    )
    capability = {m.model: m.capability for m in one.models}
    assert max(abs(m.capability - capability[m.model]) for m in two.models) > 1
