"""The collections that ship with the package load clean, and what isn't read of them is known."""

import csv
from collections import Counter

import pytest

from evalharness.trend.scores.benchmarks import known_benchmarks
from evalharness.trend.scores.records import (
    ReportedScore,
    distinct,
    find_conflicts,
)
from evalharness.trend.scores.seed_scores import (
    FOLDER,
    SEEDS,
    licence_of,
    seed_readings,
)

SCORES = [score for reading in seed_readings() for score in reading.scores]


def in_file(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of(model: str, benchmark: str) -> list[ReportedScore]:
    return [score for score in SCORES if (score.model, score.benchmark) == (model, benchmark)]


def test_all_rows_are_read_but_exact_repetitions() -> None:
    rows = {seed.file: len(in_file(seed.file)) for seed in SEEDS}
    assert list(rows.values()) == [2249, 1657, 2631, 1576]
    read = {r.collection: (len(r.scores), len(r.duplicates)) for r in seed_readings()}
    assert read == {
        "epoch_index.csv": (2249, 0),
        "published_scores.csv": (1657, 0),
        "epoch_scores.csv": (2583, 48),
        "uniform_harness_scores.csv": (1576, 0),
    }
    assert [problem for reading in seed_readings() for problem in reading.skipped] == []


def test_what_is_dropped_repeats_another_row_in_every_column() -> None:
    repeated = Counter(tuple(row.values()) for row in in_file("epoch_scores.csv"))
    assert sum(count - 1 for count in repeated.values()) == 48


def test_every_benchmark_is_known() -> None:
    assert {score.benchmark for score in SCORES} - set(known_benchmarks()) == set()


def test_every_score_has_a_source_at_a_commit() -> None:
    assert all(s.source_repo and s.source_path and s.source_commit for s in SCORES)
    assert all(s.reported_by for s in SCORES)


def test_scores_and_models_are_those_of_the_files() -> None:
    for seed, reading in zip(SEEDS, seed_readings(), strict=True):
        rows = in_file(seed.file)
        assert {s.model for s in reading.scores} == {row["model"].strip() for row in rows}
        sampled = reading.scores[100]
        assert sampled.line is not None
        with (FOLDER / seed.file).open(encoding="utf-8", newline="") as file:
            line = list(file)[sampled.line - 1]
        assert sampled.model in line
        assert f"{sampled.score}" in line


def test_no_source_wins_over_another() -> None:
    """All of Llama 2 70B's scores on ARC-Challenge are there, from 56.5 to 85.3."""
    wanted = ("Llama 2 70B", "ARC-Challenge")
    rows = in_file("published_scores.csv")
    there = [float(row["score"]) for row in rows if (row["model"], row["benchmark"]) == wanted]
    assert [s.score for s in of(*wanted) if s.collection == "published_scores.csv"] == there
    assert (min(there), max(there), len(there)) == (56.5, 85.3, 5)


def test_known_conflicts_are_flagged() -> None:
    """Llama 3 8B Instruct on HumanEval: 62.2 in its own card, 60.4 in that of Llama 3.1."""
    groups = find_conflicts(SCORES)
    assert (len(groups), sum(map(len, groups))) == (257, 646)
    (group,) = [
        g for g in groups if (g[0].model, g[0].benchmark) == ("Llama 3 8B Instruct", "HumanEval")
    ]
    assert sorted(score.score for score in group) == [60.4, 62.2]
    assert {score.source_repo for score in group} == {
        "meta-llama/llama3",
        "meta-llama/llama-models",
    }


def test_the_uniform_collection_says_what_its_documentation_says() -> None:
    (winogrande,) = of("meta-llama/Llama-2-7b-hf", "WinoGrande")
    assert (winogrande.benchmark_raw, winogrande.n_shot, winogrande.score) == (
        "Winograd",
        "5",
        74.033,
    )
    (truthful,) = of("meta-llama/Llama-2-7b-hf", "TruthfulQA-MC2")
    assert (truthful.n_shot, truthful.harness[:20]) == ("0", "Open LLM Leaderboard")


def test_a_label_that_names_a_subset_is_no_conflict() -> None:
    found = of("Llama 3.2 11B Vision Instruct", "MMMU-Pro")
    assert {score.subset for score in found} == {"standard, 10 options", "vision"}
    assert find_conflicts(found) == []


def test_collections_dont_share_a_score() -> None:
    assert len(distinct(SCORES)) == len(SCORES)


@pytest.mark.parametrize("repo", sorted({score.source_repo for score in SCORES}))
def test_the_readme_names_every_source_and_its_licence(repo: str) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    organisation, name = repo.split("/")
    assert organisation in text
    assert name.removeprefix("DeepSeek") in text
    assert licence_of(repo).split(",")[0].rstrip("s") in text


def test_the_folder_stays_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000
