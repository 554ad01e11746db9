"""The rooms of the package as their imports make them: figures, and the picture in docs/architecture.md.

    python scripts/house.py                 the table of figures
    python scripts/house.py --json          the same as one line of JSON
    python scripts/house.py --picture       the picture; `--write` puts it into docs/architecture.md
    python scripts/house.py --root DIR      of another checkout

A *room* is a top-level folder or file of the package. An *arrow* is a pair of rooms of which the first imports from the
second, anywhere in any module. It is *upward* if the second is higher in `ROOMS` of
tests/test_layering.py; a *circle* is a set of rooms that reach each other.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path("docs/architecture.md")
BEGIN, END = "<!-- picture: python scripts/house.py --write -->", "<!-- /picture -->"
ASIDE = {"__init__", "__main__", "py.typed"}
"""Of the package itself, no rooms."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is measured of a checkout."""

    entries_at_the_top: int
    """Folders and files directly in the package."""
    arrows_between_rooms: int
    upward_arrows: int
    circles: int
    lines_of_src: int
    """Of all *.py."""
    num_modules: int
    num_functions: int
    median_function_lines: float
    """From `def` to the last line, without the docstring."""
    longest_function_lines: int
    longest_function: str
    longest_module_lines: int
    longest_module: str
    rooms_outside_engines_that_name_engine_kind: tuple[str, ...]
    """`config`, which defines it, left out."""


def package(root: Path) -> Path:
    """The package's folder in a checkout."""
    return root / "src" / "evalharness"


def floors(root: Path) -> list[set[str]]:
    """`ROOMS` of tests/test_layering.py: from the ground up, what may import from what lies before it."""
    tree = ast.parse((root / "tests" / "test_layering.py").read_text(encoding="utf-8"))
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ROOMS"
    ]
    return [set(rooms) for rooms in ast.literal_eval(values[0])]


@cache
def modules(root: Path) -> list[tuple[str, Path, ast.Module]]:
    """(room, file, its syntax tree) of every module."""
    return [
        (
            path.relative_to(package(root)).parts[0].removesuffix(".py"),
            path,
            ast.parse(path.read_text(encoding="utf-8")),
        )
        for path in sorted(package(root).rglob("*.py"))
    ]


def imports(root: Path) -> dict[str, set[str]]:
    """Room -> the other rooms it imports from."""
    found: dict[str, set[str]] = {}
    for room, _, tree in modules(root):
        found.setdefault(room, set()).update(_imported_rooms(tree))
    return {
        room: {other for other in others if other in found and other not in ASIDE | {room}}
        for room, others in found.items()
        if room not in ASIDE
    }


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Sets of two or more rooms each of which reaches all others of its set."""
    reached = {room: _reached(room, arrows) for room in arrows}
    sets = {
        frozenset(other for other in reached[room] if room in reached[other]) for room in arrows
    }
    return [set(rooms) for rooms in sets if len(rooms) > 1]


def measure(root: Path) -> Figures:
    """All figures of a checkout."""
    arrows = imports(root)
    order = {room: number for number, rooms in enumerate(floors(root)) for room in rooms}
    functions = sorted(_functions(root), key=lambda named: named[0])
    lengths = {path: len(path.read_text("utf-8").splitlines()) for _, path, _ in modules(root)}
    longest = max(lengths, key=lengths.__getitem__)
    return Figures(
        entries_at_the_top=sum(
            not entry.name.startswith("__pycache__") for entry in package(root).iterdir()
        ),
        arrows_between_rooms=sum(map(len, arrows.values())),
        upward_arrows=sum(order[to] > order[room] for room in arrows for to in arrows[room]),
        circles=len(circles(arrows)),
        lines_of_src=sum(lengths.values()),
        num_modules=len(lengths),
        num_functions=len(functions),
        median_function_lines=statistics.median(length for length, _ in functions),
        longest_function_lines=functions[-1][0],
        longest_function=functions[-1][1],
        longest_module_lines=lengths[longest],
        longest_module=longest.relative_to(package(root)).as_posix(),
        rooms_outside_engines_that_name_engine_kind=tuple(
            sorted(
                {room for room, _, tree in modules(root) if _names(tree, "EngineKind")}
                - {"config", "engines"}
            )
        ),
    )


def picture(root: Path) -> str:
    """The rooms from the top floor down, and a mark where the room of a line imports from that of a column.

    As no room imports from above, every mark lies right of the diagonal.
    """
    arrows = imports(root)
    stacked = [sorted(rooms & set(arrows)) for rooms in reversed(floors(root))]
    rooms = [room for floor in stacked for room in floor]
    width = max(map(len, rooms))
    lines = [
        f"{'':{width + 5}}{' '.join(f'{number:2}' for number in range(1, len(rooms) + 1))}",
        f"{'':{width + 4}}┌{'─' * (3 * len(rooms) + 1)}┐",
    ]
    for floor in filter(None, stacked):
        lines += [_line(room, rooms, arrows[room], width) for room in floor]
        if floor[-1] != rooms[-1]:
            lines.append(f"{'':{width + 4}}│{' ' * (3 * len(rooms) + 1)}│")
    lines.append(f"{'':{width + 4}}└{'─' * (3 * len(rooms) + 1)}┘")
    return "\n".join(line.rstrip() for line in lines)


def with_picture(page: str, drawn: str) -> str:
    """A page with the picture between its two markers."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n```text\n{drawn}\n```\n{END}{after}"


def _line(room: str, rooms: list[str], imported: set[str], width: int) -> str:
    number = rooms.index(room) + 1
    cells = ["■" if other == room else "●" if other in imported else "·" for other in rooms]
    return f"{number:2}  {room:{width}}│  {'  '.join(cells)} │"


def _imported_rooms(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("evalharness."))


def _reached(room: str, arrows: dict[str, set[str]]) -> set[str]:
    seen, waiting = {room}, [room]
    while waiting:
        new = arrows[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def _functions(root: Path) -> Iterator[tuple[int, str]]:
    """(lines without the docstring, where it is) of every function and method."""
    for _, path, tree in modules(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(package(root)).as_posix()}:{node.name}"
                yield (node.end_lineno or 0) - node.lineno + 1 - _docstring_lines(node), name


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    said = node.body[0]
    return (said.end_lineno or 0) - said.lineno + 1


def _names(tree: ast.Module, name: str) -> bool:
    return any(
        name in (getattr(node, attribute, None) for attribute in ("id", "name", "attr"))
        for node in ast.walk(tree)
    )


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="Checkout that is measured.")
    parser.add_argument("--json", action="store_true", help="Print one line of JSON.")
    parser.add_argument("--picture", action="store_true", help="Print the picture.")
    parser.add_argument("--write", action="store_true", help=f"Put the picture into {PAGE}.")
    asked = parser.parse_args()
    if asked.write:
        page = asked.root / PAGE
        drawn = with_picture(page.read_text(encoding="utf-8"), picture(asked.root))
        page.write_text(drawn, encoding="utf-8")
    elif asked.picture:
        print(picture(asked.root))
    elif asked.json:
        print(json.dumps(asdict(measure(asked.root))))
    else:
        for name, value in asdict(measure(asked.root)).items():
            shown = ", ".join(value) or "none" if isinstance(value, tuple) else value
            print(f"{name.replace('_', ' '):48} {shown}")


if __name__ == "__main__":
    main()
