"""The reference pages, made from the code: `python scripts/reference.py` writes docs/reference/config.md and columns.md.

Keys, types, defaults and explanations are those of `config/schema.py` (with the values of configs/config.yaml's groups
left to their files), columns those of `store/columns.py`, fields of the manifest those of `store/records.py`.
`--check` writes nothing and exits with 1 when a page isn't current.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from omegaconf import MISSING

from evalharness.config import schema
from evalharness.store import columns, records

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
MADE = "<!-- Made by scripts/reference.py; change the code, then run it. -->"

CONFIG_HEAD = f"""{MADE}
# Configuration

Every key that `evalharness run` takes, as it is in `src/evalharness/config/schema.py`. A key that isn't here is refused.
Values come from `configs/config.yaml` and the files of its groups, then from the command line: `model=NAME` takes
`configs/model/NAME.yaml`, and `model.path=...` changes one key of it. The defaults here hold where no file says otherwise;
`--cfg job` shows what a command comes to.
"""

COLUMNS_HEAD = f"""{MADE}
# Columns

What is stored of a run, and what `evalharness sql` and `evalharness.store.load_*` show of it. The tables `metrics`, `samples`,
`turns` and `curves` are the files `metrics.parquet`, `samples/<task>.parquet`, `turns/<task>.parquet` and `curves.parquet` of
all runs, with the same columns: each row names its run, so that files of many runs can be read as one table. `runs` is a
row a manifest, `responses` are the samples once per doc and repeat.
"""


def config_page() -> str:
    """docs/reference/config.md."""
    parts = [CONFIG_HEAD]
    for name, class_ in get_type_hints(schema.Config).items():
        if is_dataclass(class_):
            parts += _section(f"{name}.", class_)
        if name == "suite":
            parts += _section("suite.tasks.NAME.", schema.TaskConfig)
            parts += _section("suite.composite.", schema.CompositeConfig)
    parts.append("\n## Top level\n\n" + _keys("", schema.Config, only_plain=True))
    parts.append("\n## Words that a key takes\n")
    for enum in _enums():
        parts.append(f"\n### {enum.__name__}\n\n{_flat(enum.__doc__ or '')}\n\n{_members(enum)}")
    return "".join(parts)


def columns_page() -> str:
    """docs/reference/columns.md."""
    parts = [COLUMNS_HEAD]
    for table, shown in columns.TABLES.items():
        rows = [(f"`{column.name}`", f"`{column.type}`", column.doc) for column in shown]
        parts.append(f"\n## {table}\n\n{_table(('column', 'type', 'what it holds'), rows)}")
    parts.append(
        "\n## docs\n\n`docs/<task>.parquet`, only of tasks whose own code makes or changes docs; no SQL view.\n\n"
        + _fields(records.DocRecord)
    )
    parts.append(
        f"\n## manifest.json\n\n`SCHEMA_VERSION` is {records.SCHEMA_VERSION}. {_flat(_comment('SCHEMA_VERSION'))}\n\n"
        + _fields(records.Manifest)
    )
    parts.append(
        "\n## manifest.json: tasks\n\nOne object a task.\n\n" + _fields(records.TaskSummary)
    )
    return "".join(parts)


PAGES = {"config.md": config_page, "columns.md": columns_page}


def main() -> None:
    """Write the pages, or check them."""
    stale = []
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if "--check" not in sys.argv:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        sys.exit(f"docs/reference: not current: {', '.join(stale)}; run scripts/reference.py")


def _section(prefix: str, class_: type) -> Iterator[str]:
    yield f"\n## {prefix.removesuffix('.')}\n\n{_cell(_flat(class_.__doc__ or ''))}\n\n"
    yield _keys(prefix, class_, only_plain=False)


def _keys(prefix: str, class_: type, *, only_plain: bool) -> str:
    hints, said = get_type_hints(class_), _field_docs(class_)
    rows = [
        (f"`{prefix}{field.name}`", _type(hints[field.name]), _default(field), said[field.name])
        for field in fields(class_)
        if not (only_plain and is_dataclass(hints[field.name]))
    ]
    return _table(("key", "type", "default", "meaning"), rows)


def _fields(class_: type) -> str:
    said = _field_docs(class_)
    rows = [(f"`{name}`", _type(hint), said[name]) for name, hint in _annotations(class_)]
    return _table(("field", "type", "what it holds"), rows)


def _annotations(class_: type) -> Iterable[tuple[str, Any]]:
    return get_type_hints(class_, vars(records)).items()


def _field_docs(class_: type) -> dict[str, str]:
    """Field -> the docstring under it, in one line; empty where there is none."""
    tree = ast.parse(inspect.getsource(class_)).body[0]
    assert isinstance(tree, ast.ClassDef)
    return _docs_below(tree.body)


def _comment(name: str) -> str:
    return _docs_below(ast.parse(inspect.getsource(records)).body)[name]


def _docs_below(body: list[ast.stmt]) -> dict[str, str]:
    """Name that is assigned -> the string that follows the assignment."""
    found = {}
    for statement, following in zip(body, [*body[1:], None], strict=True):
        target = getattr(statement, "target", None) or next(
            iter(getattr(statement, "targets", ())), None
        )
        if isinstance(target, ast.Name):
            value = following.value if isinstance(following, ast.Expr) else None
            found[target.id] = _flat(value.value) if isinstance(value, ast.Constant) else ""
    return found


def _enums() -> list[type[Enum]]:
    return [
        value
        for value in vars(schema).values()
        if isinstance(value, type) and issubclass(value, Enum) and value is not Enum
    ]


def _members(enum: type[Enum]) -> str:
    said = _field_docs(enum)
    return "".join(
        f"- `{member.value}`{': ' if said[member.name] else ''}{said[member.name]}\n"
        for member in enum
    )


def _type(hint: Any) -> str:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    if arguments := get_args(hint):
        if type(None) in arguments:
            return " or ".join([_type(a) for a in arguments if a is not type(None)] + ["null"])
        origin = {"dict": "mapping", "list": "list", "tuple": "list"}[hint.__origin__.__name__]
        return f"{origin} of {_type(arguments[-1] if origin == 'mapping' else arguments[0])}"
    if is_dataclass(hint):
        return f"`{hint.__name__}`"
    return {"str": "text", "int": "integer", "float": "number", "bool": "bool"}.get(
        getattr(hint, "__name__", ""), "anything"
    )


def _default(field: Field[Any]) -> str:
    value = field.default
    if value == MISSING:
        return "must be given"
    if value is NO_DEFAULT:
        assert field.default_factory is not NO_DEFAULT
        value = field.default_factory()
        return f"`{value}`" if isinstance(value, dict | list) else ""
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if value is None or isinstance(value, bool):
        return f"`{ {None: 'null', True: 'true', False: 'false'}[value] }`".replace(" ", "")
    return f"`{value}`" if value != "" else "empty"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _flat(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
