"""What a task's folder must say, and whether it is true."""

import json
from pathlib import Path

import pytest

import own_tasks as own
from evalharness import paths
from evalharness.tasks.authoring.check_docs import check_folder
from evalharness.tasks.authoring.defects import Defect, Level

README = """\
| | |
|---|---|
| Source | here |
| Licence | MIT |
| Docs (n) | 8 |
| Chance score | 0.25 |
| Few-shots | 0 |
| Output | `multiple_choice` |
| Version | 1.0 |

## Prompt

## Metric

`acc`

## Known limits

## Changelog

- 1.0: first.
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = own.write(tmp_path, "one", own.CHOICE, own.PICKS).parent
    (folder / "README.md").write_text(README)
    (folder / "SOURCE.json").write_text(
        json.dumps({"name": "x", "licence": "MIT", "hub_id": "a/b"})
    )
    return folder


def check(folder: Path) -> list[Defect]:
    return check_folder(own.load("one").tasks[0], folder)


def test_a_complete_folder_has_no_defect(folder: Path) -> None:
    assert check(folder) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("| Source | here |\n", "", "no row 'Source' in its table"),
        ("| Source | here |\n| Licence | MIT |\n", "", "no rows 'Source', 'Licence' in its table"),
        ("| 8 |", "| 9 |", "says 9 docs, there are 8"),
        ("| 0.25 |", "| 0.5 |", "says chance 0.5, the choices give 0.25"),
        ("| 1.0 |", "| 2.0 |", "says version 2.0, the task is 1.0"),
        ("- 1.0:", "- 0.9:", "the changelog has no line '- 1.0:'"),
        ("`acc`", "it", "`acc` isn't explained"),
        ("## Known limits", "", "no section '## Known limits'"),
    ],
)
def test_what_the_readme_lacks_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    (folder / "README.md").write_text(README.replace(old, new))
    level: Level = "warning" if said.startswith("says") else "note"
    assert Defect(level, said, "README.md") in check(folder)
    monkeypatch.setattr(paths, "shipped", lambda name: folder.parent)
    assert Defect("error", said, "README.md") in check(folder)


def test_blanks_are_one_warning(folder: Path) -> None:
    text = README.replace("| MIT |", "| FILL IN: SPDX |").replace("`acc`", "`acc` FILL IN")
    text = text.replace("| Version | 1.0 |", "| Version | FILL IN |")
    (folder / "README.md").write_text(text)
    source = {"name": "x", "licence": "FILL IN", "hub_id": "a/b"}
    (folder / "SOURCE.json").write_text(json.dumps(source))
    what = "still to fill in: Licence, Version, line 15 of README.md; licence of SOURCE.json"
    assert check(folder) == [Defect("warning", what, "README.md, SOURCE.json")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a mapping"),
        ('{"name": "x", "url": "y"}', "'licence' isn't filled in"),
        ('{"name": "x", "licence": "MIT"}', "none of hub_id, url, generated_by"),
    ],
)
def test_what_the_source_lacks_is_named(folder: Path, content: str, said: str) -> None:
    (folder / "SOURCE.json").write_text(content)
    (found,) = check(folder)
    level = "warning" if said.startswith("not") else "note"
    assert (found.level, found.where) == (level, "SOURCE.json")
    assert found.what.startswith(said)


@pytest.mark.parametrize(("revision", "num"), [(None, 1), ("main", 1), ("a" * 40, 0)])
def test_hub_data_must_name_a_commit(folder: Path, revision: str | None, num: int) -> None:
    loaded = own.load("one").tasks[0]
    loaded.task.config.custom_dataset = None
    loaded.task.config.dataset_path = "org/name"
    loaded.task.config.dataset_kwargs = {"revision": revision} if revision else None
    found = check_folder(loaded, folder)
    assert [d.level for d in found] == ["warning"] * num
