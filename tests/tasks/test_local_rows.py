"""Rows beside a task are what the file says, and what can be read in two ways is refused with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

import own_tasks as own
from evalharness.errors import TaskError
from evalharness.tasks.local_rows import load, num_rows


def rows(folder: Path, content: str | bytes, name: str = "test.jsonl") -> list[Any]:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    (data / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(load(str(folder / "task.yaml"))[Path(name).stem])


def same(a: Any, b: Any) -> bool:
    """Equal in values and types, and in the order of fields."""
    return repr(a) == repr(b)


GIVEN = [
    {"q": "first"},
    {"q": "later", "passage": "a field that the first row lacks"},
    {"n": 5},
    {"n": 5.0},
    {"n": 0.5},
    {"n": True},
    {"n": None},
    {"n": "5"},
    {"choices": {"A": "a", "B": "b"}},
    {"choices": {"A": "a", "B": "b", "C": "c"}},
    {"choices": {}},
    {"list": [1, "one", None, [2.0, {"x": 1}], {"y": []}]},
    {"big": 2**70, "small": -(2**70)},
    {"date": "2024-01-01", "time": "2024-01-01T00:00:00Z", "zip": "007", "none": "NA"},
    {"b": 1, "a": 2},
    {"": "no name", "a b": 1, "ü": "é"},
    {"text": "line\u2028para\u2029next\u0085file\x1c group\x1d\x1e unit\x1f\x0b\x0c end"},
    {"text": "\r\n\t \u00a0"},
    {"text": "a smile \U0001f600, a zero \x00, a byte order mark \ufeff"},
]


@pytest.mark.parametrize("ascii_", [True, False])
def test_every_row_is_what_the_file_says(tmp_path: Path, ascii_: bool) -> None:
    lines = [json.dumps(row, ensure_ascii=ascii_) + "\n" for row in GIVEN]
    assert same(rows(tmp_path, "".join(lines)), GIVEN)


def test_windows_line_ends_blank_lines_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}'
    assert rows(tmp_path, content) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"a": 1, "a": 2}', "the field 'a' is given twice"),
        ('{"x": {"a": 1, "a": 1}}', "the field 'a' is given twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ('{"a": 1e999}', "1e999 is larger than a number can be"),
        ('{"a": ' + "9" * 5000 + "}", "a number with too many digits"),
        ('{"a": "\\ud83d"}', "half a character"),
        ('{"\\uDE00": 1}', "half a character"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested deeper than 100 levels"),
        ('{"a": ' + "[" * 150 + "]" * 150 + "}", "nested deeper than 100 levels"),
        ("[1]", "a field: value mapping"),
        ("3", "a field: value mapping"),
        ("{'a': 1}", "not JSON"),
        ('{"a": 1} {"a": 2}', "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
    ],
    ids=range(15),
)
def test_a_row_that_can_be_read_in_two_ways_is_refused_with_its_line(
    tmp_path: Path, line: str | bytes, said: str
) -> None:
    content = b'{"a": 0}\n\n' + (line if isinstance(line, bytes) else line.encode()) + b"\n"
    with pytest.raises(TaskError) as raised:
        rows(tmp_path, content)
    assert str(raised.value).startswith("data/test.jsonl, line 3: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_value_of_csv_is_text(tmp_path: Path) -> None:
    content = '\ufeffq,zip,n,e\r\n"a, ""b""\nc",007,1.50,\r\nNA,null,NaN,2024-01-01\n\nx\u2028y,True,1e5, \n'
    assert rows(tmp_path, content, "test.csv") == [
        {"q": 'a, "b"\nc', "zip": "007", "n": "1.50", "e": ""},
        {"q": "NA", "zip": "null", "n": "NaN", "e": "2024-01-01"},
        {"q": "x\u2028y", "zip": "True", "n": "1e5", "e": " "},
    ]


def test_a_long_csv_field_is_read(tmp_path: Path) -> None:
    assert len(rows(tmp_path, "q\n" + "x" * 300_000, "test.csv")[0]["q"]) == 300_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n1\n", "line 3: 1 fields, and 2 in the first line"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: 3 fields"),
        (b"a,a\n1,2\n", "line 1: the field 'a' is given twice"),
        (b"a,\n1,2\n", "line 1: a field without a name"),
        (b'a,b\n1,"2\n', "not CSV"),
        (b"a,b\n1,2\n\xff,3\n", "line 3: not UTF-8"),
        (b"a,b\n", "no docs in it"),
        (b"", "no docs in it"),
    ],
)
def test_what_is_no_csv_is_refused_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(TaskError, match=r"data/test\.csv") as raised:
        rows(tmp_path, content, "test.csv")
    assert said in str(raised.value)


def test_two_files_of_one_split_are_refused(tmp_path: Path) -> None:
    rows(tmp_path, '{"a": 1}')
    with pytest.raises(TaskError, match=r"'test' is in test\.csv and in test\.jsonl; keep one"):
        rows(tmp_path, "a\n1\n", "test.csv")


def test_splits_may_have_different_formats(tmp_path: Path) -> None:
    rows(tmp_path, '{"a": 1}')
    assert rows(tmp_path, "a\n1\n", "dev.csv") == [{"a": "1"}]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("test.jsonl", b'{"a": 1}\n\n{"a": 2}', 2),
        ("test.jsonl", b"\xff\n", 1),
        ("test.csv", b'a\n"1\n2"\n3\n', 2),
        ("test.csv", b"a\n\xff\n", None),
        ("dev.csv", b"a\n1\n", None),
    ],
)
def test_rows_are_counted_for_a_listing(
    tmp_path: Path, name: str, content: bytes, expected: int | None
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content)
    assert num_rows(tmp_path, "test") == expected


def test_a_folder_in_the_place_of_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "data" / "test.jsonl").mkdir(parents=True)
    with pytest.raises(TaskError, match=r"data/test\.jsonl: not a file"):
        load(str(tmp_path / "task.yaml"))


def test_a_field_that_the_first_row_lacks_reaches_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    yaml = own.GENERATE.replace("{{{{q}}}}", "{{{{passage | default('-')}}}} {{{{q}}}}")
    own.write(tmp_path, "late", yaml, [{"q": "a", "a": "1"}, {"q": "b", "a": "1", "passage": "P"}])
    (task,) = own.load("late").tasks
    texts = [task.task.doc_to_text(doc) for doc in task.docs]
    assert texts == ["- a\nAnswer:", "P b\nAnswer:"]


def test_a_target_beside_a_fraction_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own.write(tmp_path, "whole", own.GENERATE, [{"q": "a", "a": 5}, {"q": "b", "a": 0.5}])
    (task,) = own.load("whole").tasks
    assert [task.target(i, doc) for i, doc in enumerate(task.docs)] == ["5", "0.5"]


def test_a_choice_that_another_row_has_isnt_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loop = "{{% for k, v in c.items() %}}{{{{k}}}}. {{{{v}}}} {{% endfor %}}"
    yaml = own.GENERATE.replace("{{{{q}}}}", loop)
    docs = [{"c": {"A": "x"}, "a": "1"}, {"c": {"A": "x", "C": "z"}, "a": "1"}]
    own.write(tmp_path, "offered", yaml, docs)
    (task,) = own.load("offered").tasks
    assert task.task.doc_to_text(task.docs[0]) == "A. x \nAnswer:"
