"""Aggregate files of Every Eval Ever: scores by their own scales, and what isn't known of one is said."""

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from evalharness.errors import UserError
from evalharness.trend.scores.read_eee import read_eee
from evalharness.trend.scores.reading import Reading

TODAY = date(2026, 9, 1)


def result(name: str, score: Any, dataset: str = "", **config: Any) -> dict[str, Any]:
    return {
        "evaluation_name": name,
        "source_data": {"dataset_name": dataset or name, "source_type": "other"},
        "metric_config": {"lower_is_better": False, "score_type": "continuous", "min_score": 0, "max_score": 1, **config},
        "score_details": {"score": score, "uncertainty": {"num_samples": 500}},
    }  # fmt: skip


FILE = {
    "schema_version": "0.2.0",
    "evaluation_id": "x/y/1",
    "evaluation_timestamp": "1770344141.0",
    "retrieved_timestamp": "1790344141.0",
    "source_metadata": {"source_name": "A leaderboard", "source_organization_name": "An org"},
    "eval_library": {"name": "inspect_ai"},
    "model_info": {"id": "meta-llama/Llama-3.1-8B-Instruct", "name": "llama"},
    "evaluation_results": [result("MMLU", 0.68), result("SimpleQA Verified", 35.0, max_score=100)],
}


def read(tmp_path: Path, content: Any) -> Reading:
    path = tmp_path / "run.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return read_eee(path, TODAY)


def changed(**more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(FILE), **more}


def test_scores_are_put_on_0_to_100_by_their_own_scale(tmp_path: Path) -> None:
    first, second = read(tmp_path, FILE).scores
    assert (first.model, first.benchmark, first.score) == ("meta-llama/Llama-3.1-8B-Instruct", "MMLU", pytest.approx(68))  # fmt: skip
    assert (second.benchmark, second.score) == ("SimpleQA Verified", pytest.approx(35))
    assert (first.n, first.harness, first.reported_by) == (500, "inspect_ai", "A leaderboard")
    assert (first.score_date, first.chance_corrected) == (date(2026, 2, 6), False)


def test_a_scale_that_doesnt_start_at_zero_is_moved_to_it(tmp_path: Path) -> None:
    content = changed(evaluation_results=[result("MMLU", 4, min_score=1, max_score=5)])
    assert [score.score for score in read(tmp_path, content).scores] == [75.0]


def test_a_list_of_files_in_one_is_read(tmp_path: Path) -> None:
    other = changed(model_info={"id": "b/B"})
    assert len(read(tmp_path, [FILE, other]).scores) == 4


def test_a_part_of_a_data_set_is_not_the_data_set(tmp_path: Path) -> None:
    content = changed(evaluation_results=[result("Law", 0.5, "MMLU"), result("Physics", 0.6, "MMLU")])  # fmt: skip
    assert [s.benchmark for s in read(tmp_path, content).scores] == ["MMLU: Law", "MMLU: Physics"]


def test_a_scorers_name_gives_way_to_the_only_data_set(tmp_path: Path) -> None:
    content = changed(evaluation_results=[result("simpleqa_scorer", 0.5, "SimpleQA-Verified")])
    assert [s.benchmark for s in read(tmp_path, content).scores] == ["SimpleQA Verified"]


def test_a_task_of_ours_is_its_benchmark(tmp_path: Path) -> None:
    content = changed(evaluation_results=[result("leaderboard_bbh", 0.5, "SaylorTwift/bbh")])
    assert [s.benchmark for s in read(tmp_path, content).scores] == ["BBH-MC"]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (result("MMLU", 68.4), "column score_details.score: 68.4 is outside 0 to 1"),
        (result("MMLU", None), "column score_details.score: missing: the scale isn't known"),
        (result("MMLU", "high"), "column score_details.score: 'high' is not a number"),
        (result("MMLU", 0.5, max_score=None), "column metric_config.max_score: missing: the scale isn't known"),
        (result("MMLU", 0.5, max_score="Infinity"), "column metric_config.max_score: 'Infinity' is not a number"),
        ({**result("MMLU", 0.5), "evaluation_timestamp": "soon"}, "column evaluation_timestamp: 'soon' is not a time in seconds"),
        ({**result("MMLU", 0.5), "evaluation_timestamp": "4000000000"}, "column evaluation_timestamp: 2096-10-02 is in the future"),
    ],
)  # fmt: skip
def test_a_bad_result_names_line_and_field_and_the_rest_is_read(
    tmp_path: Path, bad: dict[str, Any], says: str
) -> None:
    content = changed(evaluation_results=[result("GSM8K", 0.5), bad])
    reading = read(tmp_path, content)
    assert [score.benchmark for score in reading.scores] == ["GSM8K"]
    (problem,) = reading.skipped
    text = json.dumps(content, indent=1).splitlines()
    assert '"evaluation_name": "MMLU"' in text[problem.line - 1]
    assert str(problem) == f"line {problem.line}, {says}"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON: line 1"),
        ({"evaluation_results": []}, "no model_info, source_metadata, evaluation_results"),
        ([1], "no model_info"),
    ],
)
def test_another_file_is_refused_in_a_line(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(tmp_path, content)


def test_what_we_export_can_be_read(tmp_path: Path) -> None:
    from evalharness.interchange.every_eval_ever import aggregate, as_text
    from evalharness.interchange.run_data import Stored
    from stores import make_run

    manifest = make_run(tmp_path, "r", "mine", "s", {"gsm8k": [1.0, 0.0, 1.0, 1.0]}, engine={"kind": "vllm", "version": "1"})  # fmt: skip
    path = tmp_path / "exported.json"
    path.write_text(as_text(aggregate(Stored.load(tmp_path / "r", manifest))))
    (score,) = read_eee(path, date.max).scores
    assert (score.benchmark, score.score, score.n) == ("GSM8K", 75.0, 4)
