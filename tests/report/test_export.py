"""A CSV is data, whatever a model or a file wrote into it."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from evalharness.cli.app import app as cli
from evalharness.errors import one_line
from evalharness.report.export import as_csv
from evalharness.report.terminal.format import styled
from evalharness.store.csv_cells import (
    guarded,
    unguarded,
)
from stores import make_run

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1+1", "-", "=", "- item", "+1 234"]  # fmt: skip


def cells(*values: Any) -> list[str]:
    text = as_csv([f"c{i}" for i in range(len(values))], [values])
    return list(csv.reader(io.StringIO(text, newline="")))[1]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_begins_like_a_formula_is_marked_as_text(text: str) -> None:
    (cell,) = cells(text)
    assert cell[0] == "'"
    assert unguarded(cell) == text.replace("\r", "\n")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (-1.5, "-1.5"), (-3, "-3"), (True, "True"), (None, ""), (math.nan, ""), (math.inf, ""),
        ("-5", "-5"), ("+5.25e-3", "+5.25e-3"), ("plain", "plain"), ("a=b", "a=b"), ("'quoted'", "'quoted'"),
        ({"a": -1}, "{'a': -1}"), ([-1.0], "[-1.0]"), ("é\nü\tx", "é\nü\tx"),
    ],
)  # fmt: skip
def test_numbers_and_plain_text_stay(value: Any, cell: str) -> None:
    assert cells(value) == [cell]


def test_a_name_of_a_column_is_guarded_too() -> None:
    assert as_csv(["=1+1"], []) == "'=1+1\n"


@given(st.text())
def test_no_cell_is_a_formula_or_moves_a_cursor(text: str) -> None:
    cell = guarded(text)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in cell)
    if cell[:1] in {*"=@\t\n"} or (cell[:1] in {*"+-"} and cell):
        float(cell)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_was_guarded_comes_back(text: str) -> None:
    if text[:1] != "'":
        assert unguarded(guarded(text)) == text


def test_terminal_escapes_do_not_leave_in_csv_or_errors() -> None:
    assert cells("\x1b[31mred\x1b]0;title\x07 \x9b2J") == ["�[31mred�]0;title� �2J"]
    assert one_line("a \x1b[2Jb\x9bc\u202e\nd") == "a [2Jbc d"
    assert styled("n\x1b[2Jote", "dim").plain == "n[2Jote"


def test_every_csv_on_stdout_is_guarded(tmp_path: Path) -> None:
    evil = "=HYPERLINK(\x1b[8m)"
    made = {"response": evil, "answer": "-7", "target": "@x"}
    make_run(tmp_path, "r", "+model", "s", {"t": [1.0]}, on_sample=made)

    def stdout(*arguments: str) -> str:
        options = [*arguments, "--csv", "--results-dir", str(tmp_path)]
        return CliRunner().invoke(cli, options, catch_exceptions=False).stdout

    for text in (
        stdout("sql", "SELECT response, answer, target, model, -1.5 AS minus FROM samples"),
        stdout("results", "r", "--task", "t"),
        stdout("results"),
    ):
        assert "\x1b" not in text
        (row,) = csv.DictReader(io.StringIO(text))
        assert row.get("response", "'=HYPERLINK(�[8m)") == "'=HYPERLINK(�[8m)"
        assert row.get("answer", "-7") == "-7"
        assert row.get("target", "'@x") == "'@x"
        assert row.get("model", "'+model") == "'+model"
        assert row.get("minus", "-1.5") == "-1.5"
