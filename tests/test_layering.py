"""A module imports from its own room and from rooms before it; reading results needs nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stores import make_run

PACKAGE = Path(__file__).parents[1] / "src" / "evalharness"

ROOMS = [
    {"__init__"},
    {"errors", "paths"},
    {"config"},
    {"checkpoint", "store"},
    {"engines"},
    {"stats"},
    {"trend", "comparison"},
    {"tasks"},
    {"strategies"},
    {"runner"},
    {"report"},
    {"interchange", "viewer"},
    {"cli"},
    {"__main__"},
]
ORDER = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
FORBIDDEN = {("report", "runner"), ("interchange", "runner"), ("viewer", "runner")}
"""These read the store: they must work where nothing can run."""

HEAVY = {"torch", "vllm", "transformers", "lm_eval", "datasets", "hydra"}


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(source: str) -> Iterator[str]:
    """Full names of all modules of ours that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _rooms(source: str) -> set[str]:
    parts = [name.split(".") for name in _imported(source) if name.startswith("evalharness.")]
    return {name[1] if name[1] in ORDER else "__init__" for name in parts}


def _violations(room: str, source: str) -> list[str]:
    bad = [
        other
        for other in _rooms(source)
        if other != room and (ORDER[other] > ORDER[room] or (room, other) in FORBIDDEN)
    ]
    return sorted(bad)


def test_every_module_has_a_room() -> None:
    found = {_room(path) for path in PACKAGE.rglob("*.py")}
    assert found - set(ORDER) == set()


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_module_imports_only_from_its_own_room_and_those_before(path: Path) -> None:
    assert _violations(_room(path), path.read_text(encoding="utf-8")) == []


def test_an_import_inside_a_function_or_for_types_counts() -> None:
    assert _violations("store", "def f():\n    from evalharness.runner.run import run\n") == [
        "runner"
    ]
    assert _violations(
        "store", "if TYPE_CHECKING:\n    import evalharness.report.terminal.format\n"
    ) == ["report"]
    assert _violations("report", "from evalharness.runner import run\n") == ["runner"]
    assert _violations("store", "from evalharness import __version__, errors\n") == []


def _modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('\\n', *sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.split(".")[0] for name in done.stdout.splitlines()}


def test_the_command_line_imports_nothing_heavy() -> None:
    loaded = _modules_after("import evalharness.cli.app")
    assert loaded & (HEAVY | {"pyarrow", "duckdb", "numpy", "omegaconf", "rich"}) == set()


def test_listing_results_imports_nothing_heavy(tmp_path: Path) -> None:
    make_run(tmp_path, "a-run", "m", "s", {"t": [1.0, 0.0]})  # its score is read with DuckDB
    code = (
        "import sys\nfrom evalharness.cli.app import main\n"
        f"sys.argv = ['evalharness', 'results', '--results-dir', {str(tmp_path)!r}, '--json']\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code\n"
    )
    assert _modules_after(code) & (HEAVY | {"pyarrow", "omegaconf", "scipy"}) == set()


@pytest.mark.parametrize(
    "room", ["store", "stats", "comparison", "trend", "report", "interchange", "viewer"]
)
def test_reading_and_reporting_need_no_engine_and_no_lm_eval(room: str) -> None:
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if path.stem != "__init__"
    ]
    assert _modules_after(f"import {', '.join(names)}") & HEAVY == set()
