"""`task new`: a folder that runs as it is, in which FILL IN marks what the author has to write.

<dir>/<name>/  <name>.yaml or <name>.py, README.md, SOURCE.json, test_<name>.py, data/*.jsonl
<dir>/../configs/suite/<name>.yaml   a suite of only this task
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.config.keys import options
from evalharness.errors import TaskError
from evalharness.tasks.authoring import templates as texts
from evalharness.tasks.authoring.list_tasks import custom_rows
from evalharness.tasks.authoring.own_answers import Answers
from evalharness.tasks.authoring.own_data import OwnDocs, Row, answer_docs, choice_docs
from evalharness.tasks.authoring.readme import UNFILLED, fenced
from evalharness.tasks.lm_eval_index import stock_rows
from evalharness.tasks.procedural.generators import check_installed

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Kind(StrEnum):
    """Kinds of tasks that can be made."""

    multiple_choice = "multiple_choice"
    generate = "generate"
    procedural = "procedural"
    python = "python"


class Scaffold(NamedTuple):
    """What was written."""

    paths: list[Path]
    source: str = ""
    """What was read of a table of questions; "" without one."""


def scaffold(
    name: str,
    kind: Kind,
    parent: Path,
    data: Path | None = None,
    answers: Answers | None = None,
) -> Scaffold:
    """Write the files of a new task.

    Args:
        name: name of the task and its folder.
        kind: kind of the task.
        parent: the folder of tasks.
        data: table of questions (see `own_data`), for multiple_choice and generate; None for a few examples.
        answers: what the answers of the table are, where it doesn't show.

    Raises:
        TaskError: the name is invalid or taken, the folder exists, or the data can't be used.
    """
    folder = parent / name
    _check_kind(kind, data, answers)
    _check_name(name, folder)
    read = _read(kind, data, answers) if data else None
    facts = texts.FACTS[kind.value]
    if kind is Kind.procedural:
        facts = replace(facts, prompt=_procedural_prompt())
    files = _files(name, _with_data(facts, data, read.rows) if data and read else facts)
    written = [folder / path for path in files]
    suite = parent.parent / "configs" / "suite" / f"{name}.yaml"
    try:
        for path, text in zip(written, files.values(), strict=True):
            _write(path, text)
        if not suite.exists():
            _write(suite, texts.SUITE.format(name=name))
            written.append(suite)
    except OSError as e:
        raise TaskError(f"task new {name}: can't write {e.filename}: {e.strerror}") from e
    return Scaffold(written, read.source if read else "")


def _check_name(name: str, folder: Path) -> None:
    if not _NAME.fullmatch(name):
        raise TaskError(f"task new {name!r}: letters, digits and _ make a name, a letter first")
    if folder.exists():
        raise TaskError(f"task new {name}: {folder} exists already; choose another name")
    for row in custom_rows():
        if row.name == name:
            raise TaskError(f"task new {name}: {row.place} has this name; choose another")
    if name in options("suite"):
        raise TaskError(f"task new {name}: a suite has this name; choose another")
    if name in stock_rows():
        raise TaskError(f"task new {name}: lm-eval has a task of this name; choose another")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _check_kind(kind: Kind, data: Path | None, answers: Answers | None) -> None:
    if data and kind not in (Kind.multiple_choice, Kind.generate):
        raise TaskError(f"--data {data}: for --kind multiple_choice and generate, not {kind.value}")
    if answers and not (data and kind is Kind.multiple_choice):
        raise TaskError(f"--answers {answers}: for --data with --kind multiple_choice")
    if kind is Kind.procedural:
        try:
            check_installed()
        except TaskError as e:
            raise TaskError(f"task new --kind procedural: {e}") from e


def _procedural_prompt() -> str:
    from evalharness.tasks.procedural.task import Procedural, read_spec

    spec = read_spec(texts.PROCEDURAL)
    source = Procedural(spec, int(spec.seed))
    return source.prompt(next(source.docs()))


def _read(kind: Kind, data: Path, answers: Answers | None) -> OwnDocs:
    return choice_docs(data, answers) if kind is Kind.multiple_choice else answer_docs(data)


def _with_data(facts: texts.Facts, data: Path, rows: Sequence[Row]) -> texts.Facts:
    """The kind's facts with questions of one's own, and without few-shots."""
    shots = re.compile(r"^fewshot_split:.*?^num_fewshot: 2$", re.MULTILINE | re.DOTALL)
    chance = facts.chance
    if facts.output == "multiple_choice":
        share = sum(1 / len(row["choices"]) for row in rows) / len(rows)
        chance = f"{share:.2f} (guessing among the choices)"
    elif not all(re.fullmatch(r"-?[0-9]+", row["answer"]) for row in rows):
        own, metric = texts.text_answers(are_lines=all("\n" not in row["answer"] for row in rows))
        facts = replace(
            facts, definition=facts.definition.replace(texts.NUMBERS, own), metric=metric
        )
    return replace(
        facts,
        definition=shots.sub("num_fewshot: 0", facts.definition),
        data={"test": list(rows)},
        source={"hub_id": None, "generated_by": f"{UNFILLED}: where {data.name} comes from"},
        num_docs=len(rows),
        chance=chance,
        fewshots="0",
        prompt=f"Question: {rows[0]['question']}\nAnswer:",
    )


def _files(name: str, facts: texts.Facts) -> dict[str, str]:
    """Path in the folder -> content."""
    source: dict[str, Any] = {"name": name, "licence": f"{UNFILLED}: SPDX name", **facts.source}
    files = {facts.file.format(name=name): facts.definition.format(name=name, title=_title(name))}
    for split, rows in facts.data.items():
        files[f"data/{split}.jsonl"] = "".join(
            f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows
        )
    values = {key: getattr(facts, key) for key in texts.README_FACTS}
    values["prompt"] = fenced(facts.prompt)
    files["README.md"] = texts.README.format(name=name, unfilled=UNFILLED, **values)
    files["SOURCE.json"] = json.dumps(source, indent=1) + "\n"
    files[f"test_{name}.py"] = texts.TEST.format(name=name)
    return files


def _title(name: str) -> str:
    """A class name."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
