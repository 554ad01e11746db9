"""Pages and pictures that scripts make out of the code are current, and the scripts say what is there."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from blocks_of_docs import ROOT


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def house() -> ModuleType:
    return script("house")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return script("reference")


@pytest.mark.parametrize("name", ["config.md", "columns.md"])
def test_a_reference_page_is_current(reference: ModuleType, name: str) -> None:
    stored = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert stored == reference.PAGES[name](), "run scripts/reference.py"


def test_the_reference_has_type_default_and_docstring(reference: ModuleType) -> None:
    lines = reference.config_page().splitlines()
    for line in (
        "| `run.limit_from` | [LimitFrom](#limitfrom) | `random` |  |",
        "| `engine.cpu_kv_cache_gib` | number | `2.0` | KV cache on a CPU. |",
    ):
        assert line in lines


def test_the_reference_has_every_stored_column(reference: ModuleType) -> None:
    from evalharness.store.columns import TABLES

    page = reference.columns_page()
    for table, columns in TABLES.items():
        section = page.split(f"\n## {table}\n")[1].split("\n## ")[0]
        assert all(f"| `{column.name}` |" in section for column in columns), table


def test_the_picture_of_the_rooms_is_current(house: ModuleType) -> None:
    page = (ROOT / house.PAGE).read_text(encoding="utf-8")
    assert page == house.with_picture(page, house.picture(ROOT)), "run scripts/house.py --write"


def made(folder: Path, **modules: str) -> Path:
    """A small checkout: `room__module="source"`."""
    package = folder / "src" / "evalharness"
    for name, source in {"__init__": "", **modules}.items():
        file = package / f"{name.replace('__', '/') if name != '__init__' else name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_layering.py").write_text("ROOMS = [{'low'}, {'high'}]\n")
    return folder


def test_arrows_upward_arrows_and_circles_are_counted(house: ModuleType, tmp_path: Path) -> None:
    root = made(
        tmp_path,
        low__a="def f():\n    from evalharness.high.b import g\n    return g\n",
        high__b='def g():\n    """Said\n    twice."""\n    import evalharness.low.a\n',
    )
    found = house.measure(root)
    assert (found.arrows_between_rooms, found.upward_arrows, found.circles) == (2, 1, 1)
    assert (found.entries_at_the_top, found.lines_of_src) == (3, 7)
    assert (found.median_function_lines, found.longest_function) == (2.5, "low/a.py:f")


def test_rooms_that_name_an_engines_kind_are_named(house: ModuleType, tmp_path: Path) -> None:
    root = made(
        tmp_path,
        low__a="from evalharness.config import schema\ndef f(): return schema.EngineKind.vllm\n",
        high__b="x = 'EngineKind'\n",
    )
    assert house.measure(root).rooms_outside_engines_that_name_engine_kind == ("low",)


def test_the_house_has_no_circle_and_nothing_points_upward(house: ModuleType) -> None:
    arrows = house.imports(ROOT)
    order = {room: number for number, rooms in enumerate(house.floors(ROOT)) for room in rooms}
    assert house.circles(arrows) == []
    assert [room for room in arrows for to in arrows[room] if order[to] > order[room]] == []
