"""`evalharness task check`, as somebody calls it who writes tasks in a folder of their own."""

import json
import re
import textwrap
from pathlib import Path

import datasets
import pytest

import own_tasks as own
from command_line import Cli
from evalharness import paths
from evalharness.tasks import python_task

KINDS = ["multiple_choice", "generate", "python", "procedural", "table"]
BLANKS = re.compile(
    r"mine: warning: README\.md, SOURCE\.json: still to fill in: Source, Licence, lines 1 3 \d+ of README\.md; "
    r"licence(, generated_by)? of SOURCE\.json"
)


def lines(evalharness: Cli, *arguments: str, code: int = 0) -> list[str]:
    printed = evalharness("task", "check", *arguments)
    assert printed.code == code, printed
    return printed.out.splitlines()


def examples() -> tuple[str, str]:
    """The two in the docstring: a class, and what a task of several turns has instead."""
    assert python_task.__doc__
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", python_task.__doc__, re.MULTILINE)
    whole, several_turns = (textwrap.dedent(block).strip("\n") + "\n" for block in blocks)
    return whole, several_turns


@pytest.mark.parametrize("is_several_turns", [False, True])
def test_the_docstrings_example_passes(
    evalharness: Cli, home: Path, is_several_turns: bool
) -> None:
    source, several_turns = examples()
    if is_several_turns:
        head = re.sub(r"    metrics = .*\n", "", source.split("    def score")[0])
        source = f"import json\n{head}{textwrap.indent(several_turns, '    ')}"
    folder = home / "tasks" / "doubling"
    folder.mkdir(parents=True)
    (folder / "doubling.py").write_text(source)
    assert lines(evalharness, "doubling") == [
        "doubling: note: README.md: there is none",
        "doubling: note: SOURCE.json: there is none",
        "doubling: ok (100 docs, 100 scored with gold, empty and wrong answers)",
    ]


def test_house_rules_count_where_strict_and_faults_come_first(evalharness: Cli, home: Path) -> None:
    rows = [*own.SUMS, own.SUMS[0] | {"id": "9"}]
    path = own.write(home, "one", rows=rows)
    (path.parent / "README.md").write_text("# one\n\n| | |\n|---|---|\n| Docs (n) | 7 |\n")
    found = lines(evalharness, "one", code=1)
    levels = [line.split(": ")[1] for line in found]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)
    assert found[0] == "one: error: docs: docs 0 and 8 are the same"
    assert "one: warning: README.md: says 7 docs, there are 9" in found
    assert (
        "one: note: README.md: no rows 'Source', 'Licence', 'Chance score', 'Few-shots', 'Output', 'Version' in its table"
    ) in found
    own.write(home, "one")
    (path.parent / "README.md").unlink()
    notes = [f"one: note: {file}: there is none" for file in ("README.md", "SOURCE.json")]
    assert lines(evalharness, "one", "--strict", code=1) == notes
    assert lines(evalharness, "one")[:2] == notes


def test_a_task_that_ships_must_keep_them(
    evalharness: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write(home, "one")
    shipped = paths.shipped
    monkeypatch.setattr(paths, "shipped", lambda n: home / n if n == "tasks" else shipped(n))
    assert lines(evalharness, "one", code=1) == [
        f"one: error: {file}: there is none" for file in ("README.md", "SOURCE.json")
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_task_has_one_line_that_names_its_blanks(
    evalharness: Cli, home: Path, kind: str
) -> None:
    if kind == "procedural":
        pytest.importorskip("reasoning_gym")
    (home / "q.csv").write_text("question,A,B,answer\nq?,x,y,A\nr?,x,y,B\n")
    given = ["--data", "q.csv"] if kind == "table" else ["--kind", kind]
    evalharness("task", "new", "mine", *given)
    blanks, fine = lines(evalharness, "mine")
    assert BLANKS.fullmatch(blanks)
    assert fine.startswith("mine: ok (")
    text = (home / "tasks" / "mine" / "README.md").read_text().splitlines()
    numbers = re.findall(r"lines ([\d ]+) of", blanks)[0].split()
    assert all("FILL IN" in text[int(number) - 1] for number in numbers)
    assert lines(evalharness, "mine", "--strict", code=1) == [blanks]


@pytest.mark.parametrize(
    ("answers", "filter_name"),
    [
        (["Paris", "New York  City", "0,5", "U.S.A."], "first-line"),
        (["-7", "12", "0"], "last-number"),
        (["two\nlines", "one"], "whole-answer"),
    ],
)
def test_free_answers_of_a_table_are_read_as_they_are(
    evalharness: Cli, home: Path, answers: list[str], filter_name: str
) -> None:
    rows = [{"question": f"q {n}?", "answer": answer} for n, answer in enumerate(answers)]
    (home / "q.json").write_text(json.dumps(rows))
    evalharness("task", "new", "mine", "--data", "q.json", "--kind", "generate")
    blanks, fine = lines(evalharness, "mine")
    assert BLANKS.fullmatch(blanks)
    assert fine.startswith(f"mine: ok ({len(rows)} docs, {len(rows)} scored")
    assert f"- name: {filter_name}\n" in (home / "tasks" / "mine" / "mine.yaml").read_text()


def test_a_field_that_a_few_shot_lacks_is_named_with_file_field_and_doc(
    evalharness: Cli, home: Path
) -> None:
    evalharness("task", "new", "mine", "--kind", "generate")
    data = home / "tasks" / "mine" / "data" / "fewshot.jsonl"
    data.write_text(data.read_text().replace('"working"', '"work"', 1))
    line, *_ = lines(evalharness, "mine", code=1)
    assert line == (
        "mine: error: tasks/mine/mine.yaml, line 7: fewshot_config.doc_to_target: doc 0 can't be asked: "
        "'working' is undefined; doc 0 of data/fewshot.jsonl has id, question, work, answer"
    )


def test_a_field_that_some_docs_lack_is_one_line(evalharness: Cli, home: Path) -> None:
    rows = [{"id": "0", "q": "x", "a": "1"}, {"id": "1", "q": "y"}, {"id": "2", "q": "z"}]
    own.write(home, "one", own.GENERATE, rows)
    line, *notes = lines(evalharness, "one", code=1)
    assert line == (
        "one: error: tasks/one/one.yaml, line 6: doc_to_target: docs 1 and 2 can't be asked: 'a' is undefined; "
        "doc 1 of data/test.jsonl has id, q"
    )
    assert all(": note: " in note for note in notes)


def test_bad_bytes_are_named_with_their_file_and_line(evalharness: Cli, home: Path) -> None:
    path = own.write(home, "one")
    with (path.parent / "data" / "test.jsonl").open("ab") as file:
        file.write(b'{"q": "caf\xe9", "a": "1"}\n')
    assert lines(evalharness, "one", code=2) == [
        "one: error: tasks/one/one.yaml, line 3: custom_dataset: data/test.jsonl, line 9: not UTF-8: invalid "
        "continuation byte"
    ]


VIA_DATASETS = own.GENERATE.replace(
    "custom_dataset: !function evalharness.tasks.local_rows.load",
    "dataset_path: READER\ndataset_kwargs: {{data_files: {{test: far.KIND}}}}",
)


@pytest.mark.parametrize(
    ("kind", "content", "number"),
    [
        ("csv", b"q,a\nx,1\ncaf\xe9,2\n", 3),
        ("jsonl", b'{"q": "x", "a": "1"}\n{"q": "caf\xe9"}\n', 2),
    ],
)
def test_bad_bytes_that_datasets_reads_are_named_too(
    evalharness: Cli,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    content: bytes,
    number: int,
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "cache")
    reader = "csv" if kind == "csv" else "json"
    own.write(home, "one", VIA_DATASETS.replace("KIND", kind).replace("READER", reader))
    (home / f"far.{kind}").write_bytes(content)
    (line,) = lines(evalharness, "one", code=2)
    assert line.startswith("one: error: tasks/one/one.yaml")
    assert re.search(rf"; \S+/far\.{kind}, line {number}: not UTF-8: ", line)


def test_a_field_that_no_doc_has_is_shown_beside_those_there_are(
    evalharness: Cli, home: Path
) -> None:
    own.write(home, "one", rows=[{"id": "1", "question": "x", "a": "1"}])
    assert lines(evalharness, "one", code=2) == [
        "one: error: tasks/one/one.yaml, line 5: doc_to_text: UndefinedError: 'q' is undefined; "
        "tasks/one/data/test.jsonl has 'id', 'question', 'a'"
    ]


def test_own_code_is_named_with_its_file_and_line(evalharness: Cli, home: Path) -> None:
    evalharness("task", "new", "mine", "--kind", "python")
    file = home / "tasks" / "mine" / "mine.py"
    source = file.read_text()
    later = "doc['number'] if doc['number'] < 12 else doc['nmuber']"
    file.write_text(source.replace("doc['number']}? Answer", f"{later}}}? Answer"))
    number = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if "nmuber" in line)
    line, *_ = lines(evalharness, "mine", code=1)
    assert line == (
        f"mine: error: tasks/mine/mine.py, line {number}: docs 2, 3, 4 and 45 more can't be asked: KeyError: 'nmuber'"
    )
    file.write_text(source.replace('"acc": float(', '"acc": 1 / 0 + float('))
    number = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if "1 / 0" in line)
    line, *_ = lines(evalharness, "mine", code=1)
    assert line.startswith(f"mine: error: tasks/mine/mine.py, line {number}: scoring gold raises")


def test_an_unknown_name_has_no_suite_in_its_line(evalharness: Cli, home: Path) -> None:
    own.write(home, "good")
    assert lines(evalharness, "godo", code=2) == [
        "godo: error: unknown task 'godo'; did you mean 'good'?"
    ]


def test_a_result_is_there_before_the_next_task_is_loaded(evalharness: Cli, home: Path) -> None:
    own.write(home, "first")
    evalharness("task", "new", "second", "--kind", "python")
    file = home / "tasks" / "second" / "second.py"
    look = "import os, pathlib\npathlib.Path('seen').write_bytes(os.pread(1, 10_000, 0))\n"
    file.write_text(file.read_text().replace("import re\n", f"import re\n{look}"))
    printed = lines(evalharness, "first", "second")
    assert (home / "seen").read_text().splitlines() == printed[:3]
    assert {line.split(":")[0] for line in printed[:3]} == {"first"}


def test_fix_fills_in_and_shows_what_it_changed(evalharness: Cli, home: Path) -> None:
    evalharness("task", "new", "mine", "--kind", "multiple_choice")
    folder = home / "tasks" / "mine"
    data, readme = folder / "data" / "test.jsonl", folder / "README.md"
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    data.write_text("".join(json.dumps(row | {"choices": row["choices"][:2], "answer": i % 2}) + "\n"
                            for i, row in enumerate(rows[1:])))  # fmt: skip
    assert "mine: warning: README.md: says 4 docs, there are 3" in lines(evalharness, "mine")
    fixed = [line for line in lines(evalharness, "mine", "--fix") if ": fixed: " in line]
    assert fixed == [
        "mine: fixed: README.md: Docs (n): '4' -> '3'",
        "mine: fixed: README.md: Chance score: '0.25 (1 of 4 choices)' -> '0.50 (guessing among the choices)'",
        "mine: fixed: README.md: prompt: 'Question: Which of these is a bird? Answer: sparrow Question...' -> "
        "'Question: Which of these is a bird? Answer: sparrow Question...'",
    ]
    once = readme.read_bytes()
    blanks, fine = lines(evalharness, "mine", "--fix")
    assert BLANKS.fullmatch(blanks)
    assert fine.startswith("mine: ok (3 docs")
    assert readme.read_bytes() == once
    assert json.loads(evalharness("task", "check", "mine", "--fix", "--json").out)[0]["fixed"] == []
