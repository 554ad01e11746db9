"""The scores that ship with the package: four collections of published numbers (sources in `seed/README.md`).

Facts that a collection has only in its documentation are stated here, and nothing else is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path

from evalharness.trend.scores.identity import known_models
from evalharness.trend.scores.read_csv import read_text
from evalharness.trend.scores.reading import Reading
from evalharness.trend.scores.records import ReportedScore

FOLDER = Path(__file__).with_name("seed")

_LICENCES = {
    "epoch.ai/data": "CC BY 4.0",
    "epoch-research/benchmark-stitching": "MIT",
    "ryoungj/ObsScaling": "Apache-2.0",
}
_LEADERBOARD = "Open LLM Leaderboard (lm-eval b281b0921)"
_LEADERBOARD_2 = "Open LLM Leaderboard 2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Meaning of a label in one collection."""

    benchmark: str | None = None
    """The benchmark, if it isn't the label."""
    n_shot: str | None = None
    subset: str = ""
    harness: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """One collection."""

    file: str
    reported_by: str = ""
    """Values for rows that don't give them."""
    labels: Mapping[str, Named] = field(default_factory=dict)
    chance_corrected: bool = False
    source: tuple[str, str, str] = ("", "", "")
    """Repository, path and state of it, where all rows have the same."""
    is_known: bool = False
    """Whether its models stand in models.csv, which then has their family, size and openness."""


SEEDS = (
    Seed(
        # Made by scripts/epoch_seed.py.
        file="epoch_index.csv",
        chance_corrected=True,
        source=("epoch.ai/data", "eci_benchmarks.csv", "fetched 2026-08-11, sha256 946538f24b2d"),
        is_known=True,
    ),
    Seed(
        file="published_scores.csv",
        # Only these labels say which items they are.
        labels={
            "AGIEval English": Named(subset="English"),
            "CEval (val)": Named(subset="val"),
            "LiveCodeBench (0901-0401)": Named(subset="0901-0401"),
            "LiveCodeBench (10/01/2024-02/01/2025)": Named(subset="10/01/2024-02/01/2025"),
            "LiveCodeBench v6": Named(subset="v6"),
            "MMMU-Pro, Standard (10 opts, test)": Named(subset="standard, 10 options"),
            "MMMU-Pro, Vision (test)": Named(subset="vision"),
            "TriviaQA-Wiki": Named(subset="wiki"),
        },
    ),
    Seed(file="epoch_scores.csv"),
    Seed(
        file="uniform_harness_scores.csv",
        reported_by="ObsScaling (collected or own run)",
        # Its README: the first leaderboard's results, or that protocol; HumanEval through EvalPlus. Shots are the
        # leaderboards' own. "Winograd" is the leaderboard's WinoGrande, its TruthfulQA is mc2.
        labels={
            "MMLU": Named(n_shot="5", harness=_LEADERBOARD),
            "ARC-C": Named(n_shot="25", harness=_LEADERBOARD),
            "HellaSwag": Named(n_shot="10", harness=_LEADERBOARD),
            "Winograd": Named(benchmark="WinoGrande", n_shot="5", harness=_LEADERBOARD),
            "TruthfulQA": Named(benchmark="TruthfulQA-MC2", n_shot="0", harness=_LEADERBOARD),
            "GSM8K": Named(n_shot="5", harness=_LEADERBOARD),
            "XWinograd": Named(harness="lm-eval f78e2da45"),
            "HumanEval": Named(n_shot="0", harness="EvalPlus 477eab399"),
            "bbh": Named(benchmark="BBH-MC", n_shot="3", harness=_LEADERBOARD_2),
            "gpqa": Named(n_shot="0", harness=_LEADERBOARD_2),
            "ifeval": Named(n_shot="0", harness=_LEADERBOARD_2),
            "math_hard": Named(n_shot="4", harness=_LEADERBOARD_2),
            "mmlu_pro": Named(n_shot="5", harness=_LEADERBOARD_2),
            "musr": Named(n_shot="0", harness=_LEADERBOARD_2),
        },
    ),
)


def licence_of(source_repo: str) -> str:
    """Licences of the sources' numbers; those of model cards are quoted as facts."""
    return _LICENCES.get(source_repo, "facts, quoted")


CREDITS = {"epoch.ai/data": "Epoch AI, Epoch Capabilities Index, https://epoch.ai/data, CC BY 4.0"}
"""Words that a source's licence asks for wherever its numbers are shown."""


@cache
def seed_readings() -> tuple[Reading, ...]:
    """The scores of each collection, in the order of `SEEDS`."""
    return tuple(_read(seed) for seed in SEEDS)


def _read(seed: Seed) -> Reading:
    text = (FOLDER / seed.file).read_text(encoding="utf-8")
    # Accept any day, as a wrong clock must not drop published scores.
    reading = read_text(text, seed.file, "seed", date.max, chance_corrected=seed.chance_corrected)
    return replace(reading, scores=tuple(_completed(score, seed) for score in reading.scores))


def _completed(score: ReportedScore, seed: Seed) -> ReportedScore:
    if seed.is_known:
        return _from_table(score, seed)
    named = seed.labels.get(score.benchmark_raw)
    if named is None and (score.reported_by or not seed.reported_by):
        return score
    named = named or Named()
    return replace(
        score,
        benchmark=named.benchmark or score.benchmark,
        n_shot=score.n_shot or named.n_shot,
        subset=score.subset or named.subset,
        harness=score.harness or named.harness,
        reported_by=score.reported_by or seed.reported_by,
    )


def _from_table(score: ReportedScore, seed: Seed) -> ReportedScore:
    known = known_models()[score.model]
    repo, path, commit = seed.source
    return replace(
        score,
        family=known.family,
        open_weight=known.open_weight,
        total_params_b=known.total_params_b,
        active_params_b=known.active_params_b,
        metric="corrected for chance",
        source_repo=repo,
        source_path=path,
        source_commit=commit,
        date_source=known.date_source,
    )
