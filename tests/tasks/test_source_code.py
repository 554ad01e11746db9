"""Code of a task runs as it lies on disk, whatever bytecode lies beside it and whatever was imported before."""

import os
import py_compile
from pathlib import Path
from typing import Any

import pytest

import own_tasks as own

PYTHON = """\
from evalharness.tasks.python_task import PythonTask
from .helper import ANSWER

class Stated(PythonTask):
    def docs(self):
        return [{"id": "0"}]

    def prompt(self, doc):
        return "q"

    def target(self, doc):
        return ANSWER

    def score(self, doc, answer):
        return {"acc": 0.0}
"""
BESIDE = """\
import sys, pathlib
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from stated_helper import ANSWER

def target(doc):
    return ANSWER
"""
OLD, NEW = 'ANSWER = "old"\n', 'ANSWER = "new"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return tmp_path


def write_behind_stale_bytecode(path: Path, old: str, new: str) -> None:
    """`new` with the size and time of an `old` whose bytecode lies in the cache."""
    assert len(old) == len(new)
    path.write_text(old)
    py_compile.compile(str(path), doraise=True)
    before = path.stat()
    path.write_text(new)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rewrite_at_the_same_time(path: Path, new: str) -> None:
    before = path.stat()
    path.write_text(new)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def python_task(here: Path) -> Path:
    folder = here / "tasks" / "stated"
    folder.mkdir(parents=True)
    (folder / "task.py").write_text(PYTHON)
    return folder


def yaml_task(here: Path, code: str) -> Path:
    yaml = own.GENERATE.replace('"{{{{a}}}}"', "!function u.target")
    folder = own.write(here, "stated", yaml).parent
    (folder / "u.py").write_text(code)
    return folder


def target() -> Any:
    """What the task says is right of its first doc."""
    (loaded,) = own.load("stated").tasks
    return loaded.task.doc_to_target(loaded.task.eval_docs[0])


def test_a_helper_of_a_python_task_is_its_source(here: Path) -> None:
    write_behind_stale_bytecode(python_task(here) / "helper.py", OLD, NEW)
    assert target() == "new"


def test_a_python_task_is_its_source(here: Path) -> None:
    folder = python_task(here)
    (folder / "helper.py").write_text(NEW)
    old, new = (PYTHON.replace("return ANSWER", f'return "{word}"') for word in ("old", "new"))
    write_behind_stale_bytecode(folder / "task.py", old, new)
    assert target() == "new"


def test_a_function_of_a_yaml_is_its_source(here: Path) -> None:
    code = "def target(doc):\n    return '{}'\n"
    folder = yaml_task(here, "")
    write_behind_stale_bytecode(folder / "u.py", code.format("old"), code.format("new"))
    assert target() == "new"


def test_a_module_that_a_functions_module_imports_is_its_source(here: Path) -> None:
    folder = yaml_task(here, BESIDE)
    write_behind_stale_bytecode(folder / "stated_helper.py", OLD, NEW)
    assert target() == "new"


def test_a_second_load_in_the_same_process_sees_a_changed_helper(here: Path) -> None:
    helper = python_task(here) / "helper.py"
    helper.write_text(OLD)
    assert target() == "old"
    rewrite_at_the_same_time(helper, NEW)
    assert target() == "new"


def test_a_second_load_sees_a_changed_function(here: Path) -> None:
    code = "def target(doc):\n    return '{}'\n"
    folder = yaml_task(here, code.format("old"))
    assert target() == "old"
    rewrite_at_the_same_time(folder / "u.py", code.format("new"))
    assert target() == "new"


def test_a_second_load_sees_a_changed_module_behind_an_unchanged_function(here: Path) -> None:
    folder = yaml_task(here, BESIDE)
    (folder / "stated_helper.py").write_text(OLD)
    assert target() == "old"
    rewrite_at_the_same_time(folder / "stated_helper.py", NEW)
    assert target() == "new"


def test_a_changed_function_is_another_task(here: Path) -> None:
    code = "def target(doc):\n    return '{}'\n"
    folder = yaml_task(here, code.format("old"))
    before = own.load("stated").tasks[0].task_hash()
    rewrite_at_the_same_time(folder / "u.py", code.format("new"))
    assert own.load("stated").tasks[0].task_hash() != before


def test_no_bytecode_is_written_beside_a_task(here: Path) -> None:
    folder = python_task(here)
    (folder / "helper.py").write_text(NEW)
    target()
    assert not list(here.rglob("*.pyc"))


def test_a_link_to_a_folder_of_tasks_is_one(here: Path) -> None:
    helper = python_task(here) / "helper.py"
    (here / "tasks").rename(here / "elsewhere")
    (here / "tasks").symlink_to(here / "elsewhere")
    write_behind_stale_bytecode(here / "elsewhere" / "stated" / helper.name, OLD, NEW)
    assert target() == "new"
