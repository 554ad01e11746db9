"""Checks a custom task's folder: README.md, SOURCE.json, and the pinned revision of its data.

README.md    a table `| Source | ... |` with the labels below, `## Prompt`, `## Metric...`, `## Known limits`,
`## Changelog` with a line `- <version>: ...`
SOURCE.json  name, licence, and one of hub_id, url, generated_by
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from evalharness.tasks.authoring.check import Defect
from evalharness.tasks.authoring.probe_answers import chance_score
from evalharness.tasks.dataset_mirror import BUILDERS
from evalharness.tasks.loaded_task import LoadedTask

LABELS = ("Source", "Licence", "Docs (n)", "Chance score", "Few-shots", "Output", "Version")
"""Rows of the README's table."""
SECTIONS = ("Prompt", "Metric", "Known limits", "Changelog")
"""Prefixes of its sections."""
UNFILLED = "FILL IN"
"""Marker of a scaffold where the author must write."""

_README, _SOURCE = "README.md", "SOURCE.json"
_CHANCE_TOLERANCE = 0.011


def check_folder(loaded: LoadedTask, folder: Path) -> list[Defect]:
    """What is missing or wrong in a task's README.md and SOURCE.json, and data that isn't pinned."""
    return [*_readme(loaded, folder), *_source(folder), *_revision(loaded)]


def _readme(loaded: LoadedTask, folder: Path) -> Iterator[Defect]:
    try:
        text = (folder / _README).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        yield Defect("error", "there is none", _README)
        return
    rows = dict(re.findall(r"^\| *([^|]+?) *\| *(.*?) *\|$", text, re.MULTILINE))
    for label in LABELS:
        if not rows.get(label):
            yield Defect("error", f"no row {label!r} in its table", _README)
        elif UNFILLED in rows[label]:
            yield Defect("error", f"{label!r} isn't filled in", _README)
    for section in SECTIONS:
        if not re.search(rf"^## {section}", text, re.MULTILINE):
            yield Defect("error", f"no section '## {section}'", _README)
    unfilled = re.sub(r"^\|.*\|$", "", text, flags=re.MULTILINE).count(UNFILLED)
    if unfilled:
        yield Defect("error", f"{UNFILLED!r} occurs {unfilled} times in its text", _README)
    yield from _facts(loaded, text, rows)


def _facts(loaded: LoadedTask, text: str, rows: dict[str, str]) -> Iterator[Defect]:
    num = loaded.num_docs_available
    if (said := _number(rows.get("Docs (n)"))) is not None and said != num:
        yield Defect("error", f"says {said:g} docs, there are {num}", _README)
    chance, stated = chance_score(loaded.task), _number(rows.get("Chance score"))
    if chance is not None and stated is not None and abs(chance - stated) > _CHANCE_TOLERANCE:
        yield Defect("error", f"says chance {stated:g}, the choices give {chance:.2f}", _README)
    version = loaded.version
    if rows.get("Version") and rows["Version"] != version:
        yield Defect("error", f"says version {rows['Version']}, the task is {version}", _README)
    if f"\n- {version}:" not in text.partition("## Changelog")[2]:
        yield Defect("error", f"the changelog has no line '- {version}:'", _README)
    names = [*loaded.task.aggregation(), *(f for f in loaded.filters() if f != "none")]
    for name in names:
        if f"`{name}`" not in text:
            yield Defect("error", f"`{name}` isn't explained", _README)


def _number(text: str | None) -> float | None:
    found = re.match(r"[\d.,]*\d", text or "")
    return float(found[0].replace(",", "")) if found else None


def _source(folder: Path) -> Iterator[Defect]:
    try:
        source = json.loads((folder / _SOURCE).read_text(encoding="utf-8"))
    except OSError:
        yield Defect("error", "there is none", _SOURCE)
        return
    except ValueError as e:
        yield Defect("error", f"not JSON: {e}", _SOURCE)
        return
    if not isinstance(source, dict):
        yield Defect("error", "not a mapping", _SOURCE)
        return
    for key in ("name", "licence"):
        if not source.get(key) or UNFILLED in str(source[key]):
            yield Defect("error", f"{key!r} isn't filled in", _SOURCE)
    if not any(source.get(key) for key in ("hub_id", "url", "generated_by", "upstream")):
        yield Defect("error", "none of hub_id, url, generated_by", _SOURCE)


def _revision(loaded: LoadedTask) -> Iterator[Defect]:
    config = loaded.task.config
    path = config.dataset_path
    if not path or config.custom_dataset or path in BUILDERS or Path(path).exists():
        return
    revision = str((config.dataset_kwargs or {}).get("revision") or "")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        what = f"{path} isn't pinned; pin a commit: dataset_kwargs: {{revision: <40 digits>}}"
        yield Defect("warning", what, "dataset_kwargs")
