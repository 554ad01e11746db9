"""Rows that contradict each other about what a number is are skipped by line and column; the rest is read."""

from dataclasses import replace
from datetime import date

from evalharness.trend.scores.read_csv import read_text
from evalharness.trend.scores.reading import Reading, assemble
from evalharness.trend.scores.records import ReportedScore

SCORE = ReportedScore(origin="imported", collection="x.csv", line=2, model="m", benchmark="MMLU", score=50.0)  # fmt: skip
HEADER = "model,benchmark,score,reported_by,family,release_date,score_date,chance_corrected"


def read(*lines: str) -> Reading:
    return read_text("\n".join([HEADER, *lines]), "x.csv", "imported", date(2026, 6, 1))


def left(reading: Reading) -> tuple[list[str], list[str]]:
    return [s.model for s in reading.scores], [str(problem) for problem in reading.skipped]


def test_a_release_after_its_score_was_published_is_skipped() -> None:
    reading = read("a,MMLU,50,A,,2026-03-02,2026-03-01,", "b,MMLU,50,A,,2026-03-01,2026-03-01,")
    assert left(reading) == (
        ["b"],
        ["line 2, column release_date: 2026-03-02 is after its score was published (2026-03-01)"],
    )


def test_a_model_in_two_families_is_skipped_where_the_second_is_said() -> None:
    reading = read("a,MMLU,50,A,Llama,,,", "a,GSM8K,50,A,Qwen,,,", "a,MATH,50,A,,,,", "b,MATH,50,A,Qwen,,,")  # fmt: skip
    assert left(reading) == (
        ["a", "a", "b"],
        ["line 3, column family: 'Qwen', but 'a' is of 'Llama' in line 2"],
    )


def test_a_corrected_and_a_raw_score_of_one_cell_are_both_skipped() -> None:
    reading = read("a,MMLU,50,A,,,,yes", "a,MMLU,60,B,,,,no", "a,GSM8K,60,B,,,,yes")
    models, problems = left(reading)
    assert models == ["a"]
    assert problems == [
        "line 2, column chance_corrected: corrected here and raw in line 3, of one model and benchmark; give one of them",
        "line 3, column chance_corrected: raw here and corrected in line 2, of one model and benchmark; give one of them",
    ]


def test_shares_in_a_file_of_percentages_are_skipped_where_they_are_the_most() -> None:
    reading = read("a,MMLU,0.71,A,,,,", "b,MMLU,68.4,A,,,,", "c,MMLU,0.65,A,,,,", "d,MMLU,0,A,,,,")
    models, problems = left(reading)
    assert models == ["b", "d"]
    assert problems[0] == (
        "line 2, column score: 0.71 is at most 1 in a file with 68.4 (line 3): a share among percentages?"
    )


def test_a_low_score_among_percentages_is_one() -> None:
    reading = read("a,MATH,0.71,A,,,,", "b,MMLU,68.4,A,,,,", "c,MMLU,65,A,,,,")
    assert left(reading) == (["a", "b", "c"], [])


def test_a_correction_that_isnt_said_with_yes_or_no_is_a_bad_cell() -> None:
    reading = read("a,MMLU,50,A,,,,unknown")
    assert left(reading) == (
        [],
        ["line 2, column chance_corrected: 'unknown': yes or no is needed"],
    )


def test_the_option_holds_where_the_column_is_empty() -> None:
    text = f"{HEADER}\na,MMLU,50,A,,,,\nb,MMLU,50,A,,,,no"
    reading = read_text(text, "x.csv", "imported", date(2026, 6, 1), chance_corrected=True)
    assert [score.chance_corrected for score in reading.scores] == [True, False]


def test_a_row_of_each_kind_of_contradiction_is_skipped_once() -> None:
    late = replace(SCORE, release_date=date(2026, 2, 1), score_date=date(2026, 1, 1), chance_corrected=True)  # fmt: skip
    reading = assemble("x.csv", [replace(SCORE, line=1), late], [])
    assert [problem.line for problem in reading.skipped] == [1, 2]
    assert reading.scores == ()


def test_a_few_shares_far_below_chance_are_refused_among_percentages() -> None:
    lines = [f"m{k},MMLU,{60 + k},me" for k in range(5)]
    text = "\n".join(
        ["model,benchmark,score,reported_by", *lines, "q,MMLU,0.61,me", "q,HLE,0.8,me"]
    )
    reading = read_text(text, "mine.csv", "imported", date(2026, 11, 1))
    assert [problem.line for problem in reading.skipped] == [7]
    assert "a share among percentages" in reading.skipped[0].message
    assert len(reading.scores) == 6
