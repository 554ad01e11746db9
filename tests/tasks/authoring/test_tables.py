"""A table as spreadsheets and other programs write it is read to the same rows; what can't be meant is refused with its place."""

import codecs
import json
import zipfile
from pathlib import Path

import pytest

from evalharness.errors import TaskError
from evalharness.tasks.authoring.tables import read_table

ROWS = [
    {"question": "Wie groß, in m?", "A": "0,5", "B": "1,5", "answer": "A"},
    {"question": 'Two\nlines; "both" one cell', "A": "x", "B": "y", "answer": "B"},
]


def as_csv(delimiter: str = ",", end: str = "\n", *, more: str = "") -> str:
    """The rows, all cells in quotes."""
    lines = [ROWS[0].keys(), *(row.values() for row in ROWS)]
    cells = [[cell.replace('"', '""') for cell in line] for line in lines]
    return "".join(delimiter.join(f'"{cell}"' for cell in line) + more + end for line in cells)


def read(folder: Path, content: str | bytes, name: str = "q.csv") -> list[dict[str, str]]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [line.values for line in read_table(path)]


@pytest.mark.parametrize(
    "content",
    [
        as_csv(),
        as_csv(end="\r\n"),
        as_csv(end="\r"),
        as_csv(";"),
        as_csv("\t"),
        as_csv("|"),
        "sep=;\r\n" + as_csv(";", "\r\n"),
        '"sep=|"\n' + as_csv("|"),
        codecs.BOM_UTF8 + as_csv(";").encode(),
        codecs.BOM_UTF16_LE + as_csv("\t", "\r\n").encode("utf-16-le"),
        codecs.BOM_UTF16_BE + as_csv("\t", "\r\n").encode("utf-16-be"),
        codecs.BOM_UTF16_LE + ("sep=;\n" + as_csv(";")).encode("utf-16-le"),
        codecs.BOM_UTF32_LE + as_csv().encode("utf-32-le"),
        as_csv(more=",,") + ",,,,,\n\n,,,,,\n",
        "\n,,,\n" + as_csv(),
        as_csv().rstrip("\n"),
    ],
    ids=[
        *("plain", "crlf", "cr", "semicolons", "tabs", "bars", "sep", "quoted sep", "bom", "utf-16", "utf-16 be"),
        *("utf-16 sep", "utf-32", "empty columns and rows", "empty first", "no last line end"),
    ],
)  # fmt: skip
def test_every_way_to_write_a_table_gives_the_same_rows(
    tmp_path: Path, content: str | bytes
) -> None:
    assert read(tmp_path, content) == ROWS


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS, indent=1),
        json.dumps(ROWS),
        "\n".join(json.dumps(row) for row in ROWS),
        codecs.BOM_UTF16_LE + json.dumps(ROWS).encode("utf-16-le"),
    ],
    ids=["indented", "one line", "an object a line", "utf-16"],
)
def test_json_is_a_list_or_an_object_a_line(tmp_path: Path, content: str | bytes) -> None:
    assert read(tmp_path, content, "q.json") == ROWS
    assert read(tmp_path, "".join(json.dumps(row) + "\n" for row in ROWS), "q.JSONL") == ROWS


def test_quotes_in_the_first_line_hold_other_delimiters(tmp_path: Path) -> None:
    (row,) = read(tmp_path, '"question, as asked, in class";answer\nq?;x\n')
    assert row == {"question, as asked, in class": "q?", "answer": "x"}


def test_the_row_numbers_of_pandas_are_no_column(tmp_path: Path) -> None:
    assert read(tmp_path, ",question,answer\n0,q?,x\n1,r?,y\n")[1] == {
        "question": "r?",
        "answer": "y",
    }


def test_places_count_lines_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text("sep=,\n" + as_csv() + "last?,x,y,A\n")
    assert [line.place for line in read_table(path)] == [f"{path}, line {n}" for n in (3, 4, 6)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("question,A,B,answer\n", "no rows below the names of the columns"),
        ("", "no rows below the names of the columns"),
        ("q,A,B,A\nq?,x,y,x\n", "line 1: two columns are called 'A'; rename one"),
        ("Answer,answer\nx,y\n", "line 1: two columns are called 'Answer' and 'answer'"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells under 2 names"),
        ("a,b\n1\n", "line 2: 1 cells under 2 names"),
        ("a,,c\n1,2,3\n", "line 2: '2' is in a column without a name; name it in line 1"),
        ('a,b\n1,2\n"3,4\n5,6\n', "line 3: not CSV: a quote opens and never closes"),
        ("a,b\n1,caf\u00e9\n".encode("latin-1"), "line 2: not UTF-8 at byte 9; save it as CSV UTF-8"),
        (codecs.BOM_UTF16_LE + "a,b\n1,2\n".encode("utf-16-le")[:-1], "line 2: not UTF-16-LE at byte 16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16 without its byte order mark"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_one_line(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    with pytest.raises(TaskError) as caught:
        read(tmp_path, content)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "q.csv"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{\n"data": [{}]}', "one object (data); expected a list of objects"),
        ("[1]", "row 1: 1; expected an object"),
        ("5", "row 1: 5; expected an object"),
        ("[]", "no rows"),
        ("[{]", "not JSON"),
        ('{"a": 1}\n{"a": }\n', "line 2: not JSON"),
    ],
)
def test_what_is_no_json_table_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(TaskError) as caught:
        read(tmp_path, content, "q.json")
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["q.xlsx", "q.XLSX", "q.csv"])
def test_a_spreadsheet_is_to_be_saved_as_csv_whatever_its_name(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(TaskError, match=r"a spreadsheet; save it as CSV UTF-8 \(File > Save As"):
        read_table(tmp_path / name)


def test_a_file_that_isnt_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"none\.csv: can't be read: No such file"):
        read_table(tmp_path / "none.csv")
