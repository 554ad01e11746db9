"""What is wrong with a file of scores is reported with line and column; the rest is read, and nothing is guessed."""

from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.errors import UserError
from evalharness.trend.scores.read_csv import (
    COLUMNS,
    Reading,
    read_scores,
    read_text,
)
from evalharness.trend.scores.records import (
    ReportedScore,
    find_conflicts,
)

TODAY = date(2026, 6, 1)
HEADER = "model,release_date,benchmark,metric,n_shot,score,n,reported_by"
GOOD = "Llama X,2025-04-05,MMLU,acc,5,68.4,14042,Meta"


def read(*lines: str, header: str = HEADER) -> Reading:
    return read_text("\n".join([header, *lines]), "mine.csv", "imported", TODAY)


def skipped(*lines: str, header: str = HEADER) -> list[str]:
    """What is reported; the good line around the bad ones is kept in any case."""
    reading = read(GOOD, *lines, header=header)
    assert [score.model for score in reading.scores] == ["Llama X"]
    return [str(problem) for problem in reading.skipped]


def test_a_row_becomes_a_score_with_its_place() -> None:
    (score,) = read(GOOD).scores
    assert score == ReportedScore(
        origin="imported", collection="mine.csv", line=2, model="Llama X", release_date=date(2025, 4, 5),
        benchmark="MMLU", benchmark_raw="MMLU", metric="acc", n_shot="5", score=68.4, n=14042,
        reported_by="Meta",
    )  # fmt: skip


def test_empty_cells_are_unknown_and_never_zero() -> None:
    (score,) = read("m,,MMLU,,,50,,Meta").scores
    assert (score.release_date, score.n_shot, score.n, score.num_fewshot) == (None,) * 4


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("100.1", "'100.1' is outside 0 to 100"),
        ("-1", "'-1' is outside 0 to 100"),
        ("1e999", "'1e999' is outside 0 to 100"),
        ("68.4%", "'68.4%' is not a number: without the percent sign"),
        ('"68,4"', "'68,4' is not a number: with a decimal point"),
        ("nan", "'nan' is not a number"),
        ("inf", "'inf' is not a number"),
        ("6_8", "'6_8' is not a number"),
        ("٦٨", "'٦٨' is not a number"),
        ("good", "'good' is not a number"),
        ("", "empty"),
    ],
)
def test_a_bad_score_names_line_and_column(cell: str, says: str) -> None:
    assert skipped(f"m,,MMLU,acc,5,{cell},,Meta") == [f"line 3, column score: {says}"]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("2026-06-02", "'2026-06-02' is in the future"),
        ("2018-12-31", "'2018-12-31' is before 2019"),
        ("2025-02-30", "'2025-02-30' is not a date (year-month-day)"),
        ("20250405", "'20250405' is not a date (year-month-day)"),
        ("05/04/2025", "'05/04/2025' is not a date (year-month-day)"),
        ("April", "'April' is not a date (year-month-day)"),
    ],
)
def test_a_bad_date_names_line_and_column(cell: str, says: str) -> None:
    assert skipped(f"m,{cell},MMLU,acc,5,50,,Meta") == [f"line 3, column release_date: {says}"]


def test_the_first_and_the_last_day_are_good() -> None:
    assert len(read("m,2019-01-01,MMLU,,,50,,A", "m,2026-06-01,MMLU,,,50,,A").scores) == 2


@pytest.mark.parametrize("cell", ["0", "-3", "1.5", "many"])
def test_a_bad_number_of_items_names_line_and_column(cell: str) -> None:
    assert skipped(f"m,,MMLU,acc,5,50,{cell},Meta") == [
        f"line 3, column n: '{cell}' is not a whole number above 0"
    ]


@pytest.mark.parametrize(
    ("cell", "shots"),
    [("5", "5"), ("5.0", "5"), ("0-shot", "0"), ("25 shots", "25"), ("3-5", "3-5"), ("Few", "few")],
)
def test_shots_have_one_spelling(cell: str, shots: str) -> None:
    assert read(f"m,,MMLU,acc,{cell},50,,Meta").scores[0].n_shot == shots


def test_shots_that_are_no_number_are_reported() -> None:
    (reported,) = skipped("m,,MMLU,acc,some,50,,Meta")
    assert reported.startswith("line 3, column n_shot: 'some' is not a number of shots")


@pytest.mark.parametrize(
    ("column", "cell"), [("total_params_b", "7B"), ("active_params_b", "0"), ("cot", "maybe")]
)
def test_a_bad_cell_of_any_other_column_is_reported(column: str, cell: str) -> None:
    reading = read(f"m,MMLU,50,A,{cell}", header=f"model,benchmark,score,reported_by,{column}")
    assert reading.scores == ()
    assert [(problem.line, problem.column) for problem in reading.skipped] == [(2, column)]


def test_every_bad_cell_of_a_row_is_reported() -> None:
    reported = skipped("m,2031-01-01,MMLU,acc,5,101,x,Meta")
    assert [line.split(":")[0] for line in reported] == [
        "line 3, column n",
        "line 3, column release_date",
        "line 3, column score",
    ]


def test_who_says_so_has_to_be_said() -> None:
    assert skipped("m,,MMLU,acc,5,50,,") == [
        "line 3, column reported_by and source_repo: empty; the source is required"
    ]


def test_a_row_with_a_cell_too_many_is_reported() -> None:
    assert skipped("m,,MMLU,acc,5,68,4,,Meta") == ["line 3: 9 cells under 8 columns"]


def test_a_quote_that_never_closes_costs_only_what_is_in_it() -> None:
    (reported,) = skipped('"m,,MMLU,acc,5,50,,Meta')
    assert reported.startswith("line 3: not CSV: ")


def test_lines_are_counted_through_line_breaks_in_cells() -> None:
    reported = skipped('"two\nlines",,MMLU,acc,5,bad,,Meta', "m,,MMLU,acc,5,worse,,Meta")
    assert [line.split(",")[0] for line in reported] == ["line 3", "line 5"]


def test_blank_lines_and_empty_rows_are_nothing() -> None:
    assert skipped("", ",,,,,,,") == []


def test_an_exact_repetition_is_dropped_and_reported() -> None:
    reading = read(GOOD, GOOD.replace("Llama X", "Other"), GOOD)
    assert [score.line for score in reading.scores] == [2, 3]
    assert [str(problem) for problem in reading.duplicates] == [
        "line 4: the same as line 2; dropped"
    ]


def test_the_same_number_from_another_source_is_another_score() -> None:
    assert len(read(GOOD, GOOD.replace("Meta", "Epoch")).scores) == 2


def test_two_values_of_one_quantity_are_both_kept_and_flagged() -> None:
    scores = read(GOOD, GOOD.replace("68.4", "68.5").replace("Meta", "Epoch")).scores
    assert [[score.score for score in group] for group in find_conflicts(scores)] == [[68.4, 68.5]]


@pytest.mark.parametrize(
    ("old", "new"), [(",5,", ",0,"), (",acc,", ",em,"), ("MMLU", "GSM8K"), ("Llama X", "Llama Y")]
)
def test_another_protocol_metric_benchmark_or_model_is_no_conflict(old: str, new: str) -> None:
    assert find_conflicts(read(GOOD, GOOD.replace(old, new).replace("68.4", "70")).scores) == []


def test_two_sources_that_agree_are_no_conflict() -> None:
    assert find_conflicts(read(GOOD, GOOD.replace("Meta", "Epoch")).scores) == []


def test_an_alias_is_read_as_the_name_and_the_label_kept() -> None:
    (score,) = read(GOOD.replace("MMLU", "gpqa diamond")).scores
    assert (score.benchmark, score.benchmark_raw) == ("GPQA-Diamond", "gpqa diamond")


def test_an_unknown_benchmark_is_kept_and_reported_once_with_the_nearest_name() -> None:
    bad = GOOD.replace("MMLU", "HelaSwag")
    reading = read(GOOD, bad, bad.replace("Llama X", "Y"))
    assert [score.benchmark for score in reading.scores] == ["MMLU", "HelaSwag", "HelaSwag"]
    assert [str(problem) for problem in reading.unknown] == [
        "line 3, column benchmark: unknown benchmark 'HelaSwag'; did you mean 'HellaSwag'?; kept under this name"
    ]


def test_a_lower_is_better_benchmark_says_so() -> None:
    mmlu, toxigen = read(GOOD, GOOD.replace("MMLU", "ToxiGen")).scores
    assert (mmlu.higher_is_better, toxigen.higher_is_better) == (True, False)


def refused(text: str) -> str:
    with pytest.raises(UserError) as e:
        read_text(text, "mine.csv", "imported", TODAY)
    return str(e.value)


def test_missing_columns_are_named_with_the_nearest_there_is() -> None:
    assert refused("Model,benchmark,metric\nm,MMLU,acc") == (
        "'mine.csv': columns missing: model; did you mean 'Model'?, score, one of reported_by and source_repo; "
        "its first line has 3 columns"
    )


def test_another_separator_is_guessed_at_in_the_message_only() -> None:
    assert "one column (no commas?)" in refused("model;benchmark;score;reported_by\nm;MMLU;50;A")


def test_a_column_twice_is_refused() -> None:
    assert "a column twice: score" in refused("model,benchmark,score,score,reported_by\n")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    assert "is empty" in refused(text)


def test_a_column_that_isnt_read_is_reported_with_the_nearest_that_would_be() -> None:
    reading = read("m,MMLU,50,A,5", header="model,benchmark,score,reported_by,nshot")
    assert reading.notices == ("column 'nshot' isn't read; did you mean 'n_shot'?",)


def test_shares_are_kept_as_they_are_and_reported() -> None:
    reading = read(GOOD.replace("68.4", "0.684"))
    assert [score.score for score in reading.scores] == [0.684]
    assert "are these shares?" in reading.notices[0]


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(f"{HEADER}\r\n{GOOD}\r\n".encode("utf-8-sig"))
    assert [score.model for score in read_scores(path, today=TODAY).scores] == ["Llama X"]


def test_no_file_a_folder_and_another_encoding_are_one_line(tmp_path: Path) -> None:
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEADER}\n{GOOD.replace('Meta', 'Bücher')}\n".encode("latin-1"))
    for path, says in [
        (tmp_path / "none.csv", "No such file"),
        (tmp_path, "Is a directory"),
        (latin, "not UTF-8 at byte"),
    ]:
        with pytest.raises(UserError, match=says):
            read_scores(path)


def test_every_field_but_the_place_is_a_column() -> None:
    names = {field.name for field in fields(ReportedScore)}
    assert names - set(COLUMNS) == {"origin", "collection", "line"}


_cells = st.text(alphabet=st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["", "MMLU", "50", "0", "2024-01-01", "5-shot", '"', '","', "\n", "\r", "1e400", "yes", "-0"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(COLUMNS) | _cells, max_size=9), st.lists(st.lists(_cells, max_size=9))
)
def test_any_text_is_read_or_refused_in_one_line(header: list[str], rows: list[list[str]]) -> None:
    text = "\n".join(",".join(row) for row in [header, *rows])
    try:
        reading = read_text(text, "x.csv", "imported", TODAY)
    except UserError:
        return
    assert all(0 <= score.score <= 100 and score.model for score in reading.scores)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(_cells, min_size=8, max_size=8), max_size=6))
def test_every_line_of_random_cells_is_read_or_reported(rows: list[list[str]]) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    reading = read(*quoted)
    reported = {problem.line for problem in (*reading.skipped, *reading.duplicates)}
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    assert len(reported) + len(reading.scores) == len(filled)
