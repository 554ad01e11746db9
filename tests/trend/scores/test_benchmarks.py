"""The table of benchmarks: unambiguous, within its ranges, and true to what runs here."""

from collections import Counter
from datetime import date

import pytest

from evalharness import paths
from evalharness.trend.scores.benchmarks import (
    benchmark_of_task,
    find_benchmark,
    known_benchmarks,
    squeezed,
)

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
