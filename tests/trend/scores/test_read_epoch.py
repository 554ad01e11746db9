"""Epoch's published files: the table of its index, and the zip of benchmark data with its own chance and ceilings."""

import io
import zipfile
from datetime import date
from pathlib import Path

import pytest

from evalharness.errors import UserError
from evalharness.trend.scores.read_epoch import as_table, read_epoch
from evalharness.trend.scores.reading import Reading

TODAY = date(2026, 9, 1)
HEADER = "model_id,benchmark_id,performance,benchmark,model,model_version,date,source\n"
ROWS = (
    "m1,b1,0.6,MMLU,GPT-5,gpt-5-2025-08-07_high,2025-08-07,A paper\n"
    "m1,b2,0.25,HLE,GPT-5,gpt-5-2025-08-07_unknown,2025-08-07,\n"
)


def read(tmp_path: Path, rows: str = ROWS, header: str = HEADER) -> Reading:
    path = tmp_path / "eci_benchmarks.csv"
    path.write_text(header + rows, encoding="utf-8")
    return read_epoch(path, TODAY)


def test_a_row_becomes_a_score_that_is_corrected_for_chance(tmp_path: Path) -> None:
    first, second = read(tmp_path).scores
    assert (first.model, first.benchmark, first.score) == ("GPT-5", "MMLU", 60.0)
    assert (first.chance_corrected, first.setting, first.release_date) == (True, "high", date(2025, 8, 7))  # fmt: skip
    assert (first.reported_by, first.source_repo) == ("via Epoch: A paper", "epoch.ai/data")
    assert (second.setting, second.reported_by) == ("", "Epoch AI; first source not given")


def test_the_file_as_epoch_names_its_benchmarks_is_read_under_ours(tmp_path: Path) -> None:
    rows = ROWS.replace("MMLU", "GPQA diamond").replace("HLE", "New Bench")
    reading = read(tmp_path, rows)
    assert [s.benchmark for s in reading.scores] == ["GPQA-Diamond", "New Bench"]
    assert [problem.line for problem in reading.unknown] == [3]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",0.6,", ",68.4,", "column performance: '68.4' is above 1: a percentage among shares?"),
        (",0.6,", ",-0.1,", "column performance: '-0.1' is outside 0 to 1"),
        (",0.6,", ",,", "column performance: empty"),
        (",0.6,", ",high,", "column performance: 'high' is not a number"),
        ("2025-08-07,A", "2027-08-07,A", "column date: '2027-08-07' is in the future"),
        ("MMLU", "", "column benchmark: empty"),
        (",A paper", "", "7 cells under 8 columns"),
    ],
)
def test_a_bad_cell_names_line_and_column_and_the_rest_is_read(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    reading = read(tmp_path, ROWS.replace(old, new, 1))
    assert [str(problem).removeprefix("line 2, ").removeprefix("line 2: ") for problem in reading.skipped] == [says]  # fmt: skip
    assert [score.benchmark for score in reading.scores] == ["HLE"]


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"columns missing: model; did you mean .*, performance"):
        read(tmp_path, header="model_id,models,score,benchmark,date\n")


METADATA = (
    "benchmark,source_file,score_column,scale,random_baseline,score_ceiling,superseded_by,in_eci\n"
    "MMLU,mmlu.csv,EM,1,0.25,1,,True\n"
    "Aider polyglot,aider.csv,Percent correct,0.01,0,1,,True\n"
    "Old,old.csv,Score,1,0,0.5,MMLU,True\n"
    "Hidden,mmlu.csv,EM,1,0,1,,False\n"
    "Absent,absent.csv,Score,1,0,1,,True\n"
)
VERSIONS = (
    "model_version,model_group,date\n"
    "gpt-5-2025-08-07_high,GPT-5,2025-08-07\n"
    "gpt-5-2025-08-07_low,GPT-5,2025-08-07\n"
    "other-1,Other 1,2026-01-01\n"
)
TABLES = {
    "benchmark_metadata.csv": METADATA,
    "eci_model_versions.csv": VERSIONS,
    "data/mmlu.csv": "Model version,EM,Source\ngpt-5-2025-08-07_high,0.7,P\ngpt-5-2025-08-07_low,0.1,P\nnobody,0.5,P\n",
    "data/aider.csv": "Model version,Percent correct\ngpt-5-2025-08-07_high,88.0\nother-1,8x\n",
    "data/old.csv": "Model version,Score\ngpt-5-2025-08-07_high,0.4\nother-1,0.4\n",
}


def zipped(tmp_path: Path, tables: dict[str, str]) -> Path:
    path = tmp_path / "benchmark_data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in tables.items():
            archive.writestr(name, text)
    return path


def test_the_zip_is_corrected_by_its_own_chance_and_ceiling(tmp_path: Path) -> None:
    reading = read_epoch(zipped(tmp_path, TABLES), TODAY)
    found = {(s.model, s.benchmark, s.setting): s.score for s in reading.scores}
    assert found == {
        ("GPT-5", "MMLU", "high"): pytest.approx(60.0),
        ("GPT-5", "MMLU", "low"): 0.0,
        ("GPT-5", "Aider-Polyglot", "high"): pytest.approx(88.0),
        ("Other 1", "Old", ""): pytest.approx(80.0),
    }
    assert all(score.chance_corrected for score in reading.scores)


def test_what_the_zip_lacks_is_counted_and_named(tmp_path: Path) -> None:
    reading = read_epoch(zipped(tmp_path, TABLES), TODAY)
    assert reading.notices == (
        "benchmarks without a file in the zip: Absent",
        "1 scores of versions that eci_model_versions.csv doesn't have were left out",
        "1 scores on benchmarks that a newer one replaces were left out",
    )
    assert [str(problem) for problem in reading.skipped] == [
        "line 3, column aider.csv: Percent correct: '8x' is not a number"
    ]


def test_a_percentage_among_the_zips_shares_is_skipped(tmp_path: Path) -> None:
    tables = {**TABLES, "data/old.csv": "Model version,Score\nother-1,40\n"}
    reading = read_epoch(zipped(tmp_path, tables), TODAY)
    assert "line 2, column old.csv: Score: '40' is outside 0 to 1" in map(str, reading.skipped)


def test_a_zip_with_the_table_in_it_is_the_table(tmp_path: Path) -> None:
    assert len(read_epoch(zipped(tmp_path, {"eci_benchmarks.csv": HEADER + ROWS}), TODAY).scores) == 2  # fmt: skip


def test_a_zip_that_isnt_one_or_is_damaged_is_refused_in_a_line(tmp_path: Path) -> None:
    fake = tmp_path / "fake.zip"
    fake.write_text("<html>not found</html>")
    with pytest.raises(UserError, match="not a zip file"):
        read_epoch(fake, TODAY)
    whole = zipped(tmp_path, TABLES).read_bytes()
    middle = whole.index(b"Percent correct")
    fake.write_bytes(whole[:middle] + b"\0\0\0\0" + whole[middle + 4 :])
    with pytest.raises(UserError, match="damaged zip"):
        read_epoch(fake, TODAY)


def test_a_zip_of_something_else_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no benchmark_metadata.csv in it; it has a.csv"):
        read_epoch(zipped(tmp_path, {"a.csv": "x\n"}), TODAY)


def test_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_epoch(tmp_path / "none.zip", TODAY)


def test_the_seeds_table_has_our_names_and_rounding(tmp_path: Path) -> None:
    rows = "m1,b1,0.123456,GPQA diamond,Llama 2-70B,Llama-2-70b-hf,2023-07-18,P\n"
    table = as_table(read(tmp_path, rows).scores)
    assert list(io.StringIO(table))[1:] == [
        "Llama 2 70B,GPQA-Diamond,12.35,,2023-07-18,via Epoch: P,Llama-2-70b-hf\n"
    ]


def test_the_seeds_table_is_not_made_with_names_that_nobody_has_declared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not known yet: model Brand New; add them to models.csv"):
        as_table(read(tmp_path, ROWS.replace("GPT-5,", "Brand New,")).scores)
