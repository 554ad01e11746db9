"""The table of benchmarks: unambiguous, within its ranges, and true to what runs here."""

from collections import Counter
from datetime import date

import pytest
import yaml

from evalharness import paths
from evalharness.trend.scores.benchmarks import (
    FILE,
    benchmark_of_task,
    find_benchmark,
    known_benchmarks,
    squeezed,
)
from evalharness.trend.scores.seed_scores import seed_readings

ALL = list(known_benchmarks().values())


def test_no_label_is_two_benchmarks() -> None:
    labels = Counter(squeezed(label) for b in ALL for label in (b.name, *b.aliases))
    assert [label for label, count in labels.items() if count > 1] == []


def test_no_task_measures_two_benchmarks() -> None:
    tasks = Counter(task for b in ALL for task in b.tasks)
    assert [task for task, count in tasks.items() if count > 1] == []


@pytest.mark.parametrize("benchmark", ALL, ids=lambda b: b.name)
def test_values_are_within_their_ranges(benchmark) -> None:  # type: ignore[no-untyped-def]
    assert benchmark.chance is None or 0 <= benchmark.chance < 1
    assert benchmark.num_items is None or benchmark.num_items > 0
    assert benchmark.released is None or date(2015, 1, 1) < benchmark.released < date.today()


@pytest.mark.parametrize(
    ("name", "chance", "num_items"),
    [
        ("MMLU", 0.25, 14042), ("MMLU-Pro", 0.1, 12032), ("GPQA-Diamond", 0.25, 198), ("GSM8K", 0, 1319),
        ("HumanEval", 0, 164), ("MATH", 0, 5000), ("IFEval", 0, 541), ("AIME 2024", 0, 30),
        ("HellaSwag", 0.25, 10042), ("ARC-Challenge", 0.25, 1172), ("WinoGrande", 0.5, 1267),
        ("BBH", 0.257, 6511), ("BoolQ", 0.5, 3270), ("PIQA", 0.5, 1838), ("TruthfulQA-MC1", None, 817),
    ],
)  # fmt: skip
def test_well_known_figures(name: str, chance: float | None, num_items: int) -> None:
    benchmark = known_benchmarks()[name]
    assert (benchmark.chance, benchmark.num_items) == (chance, num_items)


FACTS = {"chance", "ceiling", "num_items", "released", "access", "source"}


def facts_missing(names: set[str]) -> dict[str, set[str]]:
    entries = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {name: FACTS - set(entries[name]) for name in names if FACTS - set(entries[name])}


def test_every_fact_of_the_index_is_known_or_said_to_be_unknown() -> None:
    names = {score.benchmark for score in seed_readings()[0].scores}
    assert len(names) == 57
    assert facts_missing(names) == {}


def test_every_fact_of_our_suites_is_known_or_said_to_be_unknown() -> None:
    suites = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in paths.shipped("configs").glob("suite/*.yaml")
    ]
    tasks = {task for suite in suites for task in suite.get("tasks") or ()}
    names = {b.name for task in tasks if (b := benchmark_of_task(task))}
    assert len(names) > 10
    assert facts_missing(names) == {}


def test_unknown_is_no_value() -> None:
    hle = known_benchmarks()["HLE"]
    assert (hle.chance, hle.ceiling, hle.num_items, hle.access) == (None, None, 2500, "public")
    cursor = known_benchmarks()["CursorBench"]
    assert (cursor.released, cursor.access, cursor.source) == (None, "", "")


@pytest.mark.parametrize("benchmark", ALL, ids=lambda b: b.name)
def test_access_is_one_of_three_words_and_a_ceiling_is_above_chance(benchmark) -> None:  # type: ignore[no-untyped-def]
    assert benchmark.access in ("", "public", "private", "procedural")
    assert benchmark.ceiling is None or (benchmark.chance or 0) < benchmark.ceiling <= 1


def test_spelling_doesnt_matter_but_a_plus_does() -> None:
    assert find_benchmark(" gpqa_DIAMOND ") is known_benchmarks()["GPQA-Diamond"]
    assert find_benchmark("MMLU-Pro+") is None


def test_a_sample_of_a_benchmark_is_not_the_benchmark() -> None:
    assert benchmark_of_task("arc_easy_sample") is None


def test_telling_hate_from_other_text_is_not_toxigen() -> None:
    assert benchmark_of_task("toxigen") is None
    assert known_benchmarks()["ToxiGen"].lower_is_better


@pytest.mark.slow
def test_every_task_exists() -> None:
    manager = pytest.importorskip("lm_eval.tasks").TaskManager()
    ours = {path.parent.name for path in paths.shipped("tasks").glob("*/*.yaml")}
    named = {task for b in ALL for task in b.tasks}
    assert named - set(manager.all_tasks) - ours == set()
