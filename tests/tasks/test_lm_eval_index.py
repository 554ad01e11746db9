"""What is kept of lm-eval's tasks says what keeps a name from running, and which groups of old its tasks name."""

from pathlib import Path

import pytest

from evalharness.tasks import lm_eval_index
from evalharness.tasks.lm_eval_index import StockRow, stock_rows

FILES = {
    "picture": "doc_to_image: image\ntag: [seen, mixed]\n",
    "sound": "doc_to_audio: audio\ntag: seen\n",
    "code": "unsafe_code: true\ntag: mixed\n",
    "plain": "output_type: multiple_choice\n",
    "old_one": "class: x.Y\ngroup: old\n",
    "old_two": "class: x.Z\ngroup: [old, plain]\n",
}
GROUPS = {
    "all_seen": ["seen", "picture"],
    "some_seen": ["seen", "plain"],
    "self": ["self", "sound"],
}


@pytest.fixture
def rows(tmp_path: Path) -> dict[str, StockRow]:
    stock = tmp_path / "stock"
    stock.mkdir()
    for name, text in FILES.items():
        (stock / f"{name}.yaml").write_text(f"task: {name}\ndataset_path: a/{name}\n{text}")
    for name, members in GROUPS.items():
        (stock / f"{name}.yaml").write_text(f"group: {name}\ntask: {members}\n")
    first = stock_rows(tmp_path / "cache", stock)
    assert stock_rows(tmp_path / "cache", stock) == first  # from the cache
    return first


def test_a_task_says_what_it_needs_and_a_group_what_all_its_members_need(
    rows: dict[str, StockRow],
) -> None:
    needs = {name: row.needs for name, row in rows.items() if row.needs}
    assert needs == {
        "picture": "images or audio",
        "sound": "images or audio",
        "seen": "images or audio",
        "all_seen": "images or audio",
        "code": "run.allow_unsafe_code=true",
    }
    assert {"mixed", "some_seen", "self", "plain"} <= set(rows)


def test_groups_of_old_are_kept(rows: dict[str, StockRow]) -> None:
    old = {name: row.old_groups for name, row in rows.items() if row.old_groups}
    assert old == {"old_one": ("old",), "old_two": ("old", "plain")}


def test_a_cache_of_other_fields_is_read_again(
    tmp_path: Path, rows: dict[str, StockRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wider(StockRow):
        _fields = (*StockRow._fields, "more")

    before = {path.name for path in (tmp_path / "cache").iterdir()}
    monkeypatch.setattr(lm_eval_index, "StockRow", Wider)
    assert lm_eval_index._folder_state(tmp_path / "stock") not in "".join(before)
