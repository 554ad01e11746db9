"""Whatever lies in ./tasks: the odd one is a line, all others are listed, loaded and run."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import own_tasks as own
from evalharness.errors import TaskError
from evalharness.tasks.authoring.list_tasks import custom_rows
from evalharness.tasks.suite import LoadedSuite
from evalharness.tasks.yaml.files import scan


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _alias_bomb(path: Path) -> None:
    rows = ["task: odd", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    path.write_text("\n".join(rows))


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "deep lists": lambda p: p.write_text("task: odd\nx: " + "[" * 10_000 + "]" * 10_000),
    "deep mappings": lambda p: p.write_text("task: odd\nx: " + "{a: " * 10_000),
    "deep blocks": lambda p: p.write_text("\n".join(" " * i + "a:" for i in range(2000))),
    "aliases": _alias_bomb,
    "an alias of itself": lambda p: p.write_text("task: odd\nmetadata: &a {x: *a}\n"),
    "a list": lambda p: p.write_text("- task\n"),
    "nothing": lambda p: p.write_text(""),
    "tabs": lambda p: p.write_text("task:\todd\n\tx: y\n"),
    "an impossible date": lambda p: p.write_text("task: odd\nx: 2024-13-45\n"),
    "not UTF-8": lambda p: p.write_bytes(b"task: odd\nx: \xff\n"),
    "a zero byte": lambda p: p.write_bytes(b"task: odd\nx: \x00\n"),
    "an unknown tag": lambda p: p.write_text("task: odd\nx: !!python/object:os.system y\n"),
    "a long number": lambda p: p.write_text("task: odd\nx: " + "9" * 6000 + "\n"),
    "a list as key": lambda p: p.write_text("task: odd\n? [a, b]\n: y\n"),
    "a pipe": lambda p: os.mkfifo(p),
    "a pipe that is included": lambda p: (
        os.mkfifo(p.with_name("pipe")),
        p.write_text("task: odd\ninclude: pipe\n"),
    ),
    "a folder": lambda p: p.mkdir(),
    "a loop of links": lambda p: p.symlink_to(p),
    "a link to nothing": lambda p: p.symlink_to("nowhere"),
}
WRONG = {
    "a number as name": "task: 5\n",
    "a list as name": "task: [a]\n",
    "null as name": "task:\n",
    "a mapping as tag": "task: odd\ntag: {a: 1}\n",
    "numbers as tags": "task: odd\ntag: [1, 2]\n",
    "a group of nobody": "group: odd\ntask: [nobody]\n",
    "a group in itself": "group: odd\ntask: [odd]\n",
    "a number as group's tasks": "group: odd\ntask: 5\n",
    "generators of no kind": "task: odd\nprocedural: {generators: 5}\n",
    "odd fields": own.GENERATE.format(name="odd") + "num_fewshot: few\n",
    "odd metadata": own.GENERATE.format(name="odd").replace("{version: 1.0}", "[1]"),
    "an odd split": own.GENERATE.format(name="odd").replace("test_split: test", "test_split: [a]"),
    "odd filters": own.GENERATE.format(name="odd") + "repeats: many\n",
}


def odd_file(here: Path) -> Path:
    (here / "tasks" / "odd").mkdir(parents=True)
    return here / "tasks" / "odd" / "odd.yaml"


def check_others(here: Path) -> None:
    own.write(here, "good")
    assert [t.name for t in own.load("good").tasks] == ["good"]
    rows = {row.name: row for row in custom_rows()}
    assert (rows["good"].kind, rows["good"].num_docs) == ("generate_until", 8)


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_cant_be_read_is_named_and_the_others_are_right(here: Path, kind: str) -> None:
    UNREADABLE[kind](odd_file(here))
    check_others(here)
    ((name, error),) = scan(here / "tasks").unreadable.items()
    assert name == "odd"
    assert str(error).startswith("tasks/odd/odd.yaml")
    assert "\n" not in str(error)
    rows = {row.name: row for row in custom_rows()}
    assert (rows["odd"].kind, rows["odd"].source) == ("broken", str(error))
    suite = own.load("good", "odd")
    assert [broken.name for broken in suite.broken] == ["odd"]
    with pytest.raises(TaskError, match=r"tasks/odd/odd\.yaml"):
        own.load("odd")


@pytest.mark.parametrize("kind", WRONG)
def test_fields_of_odd_types_are_nobody_elses_trouble(here: Path, kind: str) -> None:
    odd_file(here).write_text(WRONG[kind])
    (here / "tasks" / "odd" / "data").mkdir()
    (here / "tasks" / "odd" / "data" / "test.jsonl").write_text('{"q": "x", "a": "1"}\n')
    check_others(here)
    suite = load_or_refuse("good", "odd")
    if isinstance(suite, TaskError):
        assert "odd" in str(suite)
        assert "\n" not in str(suite)
    else:
        names = {task.name for task in suite.tasks}
        assert "good" in names
        assert names | {broken.name for broken in suite.broken} == {"good", "odd"}


def load_or_refuse(*names: str) -> LoadedSuite | TaskError:
    try:
        return own.load(*names)
    except TaskError as e:
        return e


def test_a_bad_copy_of_a_good_task_doesnt_take_its_name(here: Path) -> None:
    own.write(here, "good")
    (here / "tasks" / "good" / "copy.yaml").write_text("task: good\nx: [\n")
    assert [t.name for t in own.load("good").tasks] == ["good"]
    assert list(scan(here / "tasks").unreadable) == ["copy"]


def test_each_of_two_bad_files_is_named(here: Path) -> None:
    for name in ("a", "b"):
        (here / "tasks" / name).mkdir(parents=True)
        (here / "tasks" / name / "x.yaml").write_text("task: same\nx: [\n")
    own.write(here, "good")
    assert sorted(scan(here / "tasks").unreadable) == ["same", "x"]


def test_groups_that_hold_each_other_are_reported(here: Path) -> None:
    own.write(here, "good")
    (here / "tasks" / "a.yaml").write_text("group: a\ntask: [b, good]\n")
    (here / "tasks" / "b.yaml").write_text("group: b\ntask: [a]\n")
    suite = own.load("good", "a")
    assert [broken.name for broken in suite.broken] == ["a"]
    assert "\n" not in suite.broken[0].message
