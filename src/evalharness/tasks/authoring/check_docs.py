"""Checks a custom task's folder: README.md (see `readme`), SOURCE.json, and the pinned revision of its data.

SOURCE.json  name, licence, and one of hub_id, url, generated_by

They are rules of this house: a task that ships with it must keep them. In a task from elsewhere what is missing is a note,
and what is there and untrue a warning. Blanks that `task new` left are one warning, wherever they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalharness import paths
from evalharness.tasks.authoring.defects import Defect, Level
from evalharness.tasks.authoring.probe_answers import chance_score
from evalharness.tasks.authoring.readme import LABELS, SECTIONS, UNFILLED, blanks, table_rows
from evalharness.tasks.dataset_mirror import BUILDERS
from evalharness.tasks.loaded_task import LoadedTask

README, SOURCE = "README.md", "SOURCE.json"
CHANCE_TOLERANCE = 0.011


def check_folder(loaded: LoadedTask, folder: Path) -> list[Defect]:
    """What is missing or wrong in a task's README.md and SOURCE.json, and data that isn't pinned."""
    is_ours = folder.resolve().is_relative_to(paths.shipped("tasks").resolve())
    lacks: Level = "error" if is_ours else "note"
    untrue: Level = "error" if is_ours else "warning"
    text, source = _text(folder / README), _source(folder / SOURCE)
    found = [*_blanks(text or "", source)]
    if text is None:
        found.append(Defect(lacks, "there is none", README))
    else:
        found += [Defect(lacks, what, README) for what in _missing(loaded, text)]
        found += [Defect(untrue, what, README) for what in _untrue(loaded, text)]
    if source is None:
        found.append(Defect(lacks, "there is none", SOURCE))
    elif isinstance(source, str):
        found.append(Defect(untrue, source, SOURCE))
    else:
        found += [Defect(lacks, what, SOURCE) for what in _missing_source(source)]
    return [*found, *_revision(loaded)]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _blanks(text: str, source: dict[str, Any] | str | None) -> Iterator[Defect]:
    """One line for all of them."""
    values = source if isinstance(source, dict) else {}
    left = {
        README: blanks(text),
        SOURCE: [key for key, value in values.items() if UNFILLED in str(value)],
    }
    named = [f"{', '.join(places)} of {file}" for file, places in left.items() if places]
    if named:
        where = ", ".join(file for file, places in left.items() if places)
        yield Defect("warning", f"still to fill in: {'; '.join(named)}", where)


def _missing(loaded: LoadedTask, text: str) -> Iterator[str]:
    rows = table_rows(text)
    if lost := [label for label in LABELS if not rows.get(label)]:
        yield f"no row{'s' * (len(lost) > 1)} {', '.join(map(repr, lost))} in its table"
    for section in SECTIONS:
        if not re.search(rf"^## {section}", text, re.MULTILINE):
            yield f"no section '## {section}'"
    if f"\n- {loaded.version}:" not in text.partition("## Changelog")[2]:
        yield f"the changelog has no line '- {loaded.version}:'"
    for name in (*loaded.task.aggregation(), *(f for f in loaded.filters() if f != "none")):
        if f"`{name}`" not in text:
            yield f"`{name}` isn't explained"


def _untrue(loaded: LoadedTask, text: str) -> Iterator[str]:
    rows = table_rows(text)
    num = loaded.num_docs_available
    if (said := number(rows.get("Docs (n)"))) is not None and said != num:
        yield f"says {said:g} docs, there are {num}"
    chance, stated = chance_score(loaded.task), number(rows.get("Chance score"))
    if chance is not None and stated is not None and abs(chance - stated) > CHANCE_TOLERANCE:
        yield f"says chance {stated:g}, the choices give {chance:.2f}"
    said_version = rows.get("Version")
    if said_version and UNFILLED not in said_version and said_version != loaded.version:
        yield f"says version {said_version}, the task is {loaded.version}"


def number(text: str | None) -> float | None:
    """The number that a row's value begins with."""
    found = re.match(r"[\d.,]*\d", text or "")
    return float(found[0].replace(",", "")) if found else None


def _source(path: Path) -> dict[str, Any] | str | None:
    """Its content, what is wrong with it, or None if there is none."""
    try:
        source = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError as e:
        return f"not JSON: {e}"
    return source if isinstance(source, dict) else "not a mapping"


def _missing_source(source: dict[str, Any]) -> Iterator[str]:
    for key in ("name", "licence"):
        if not source.get(key):
            yield f"{key!r} isn't filled in"
    if not any(source.get(key) for key in ("hub_id", "url", "generated_by", "upstream")):
        yield "none of hub_id, url, generated_by"


def _revision(loaded: LoadedTask) -> Iterator[Defect]:
    config = loaded.task.config
    path = config.dataset_path
    if not path or config.custom_dataset or path in BUILDERS or Path(path).exists():
        return
    revision = str((config.dataset_kwargs or {}).get("revision") or "")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        what = f"{path} isn't pinned; pin a commit: dataset_kwargs: {{revision: <40 digits>}}"
        yield Defect("warning", what, "dataset_kwargs")
