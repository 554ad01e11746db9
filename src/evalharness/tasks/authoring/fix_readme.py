"""`task check --fix`: fills in what a task's README can know from the task: its count, its chance level, its prompt.

What a person wrote stays unless it is untrue; the rest of the file stays byte for byte.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from evalharness.errors import TaskError, one_line
from evalharness.store.atomic import write_whole
from evalharness.tasks.authoring.asking import prompt_of
from evalharness.tasks.authoring.check_docs import CHANCE_TOLERANCE, README, number
from evalharness.tasks.authoring.probe_answers import chance_score
from evalharness.tasks.authoring.readme import (
    LABELS,
    UNFILLED,
    prompt_shown,
    set_prompt,
    set_row,
    table_rows,
)
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.random_state import seeded

_MOST_PROMPTS = 200
"""Docs whose prompts a README may show."""
_ELLIPSES = ("...", "[...]", "…")
"""Lines that stand for lines left out."""


def fix_readme(loaded: LoadedTask, folder: Path, run_seed: int) -> list[str]:
    """Fill in and correct a README's count, chance level and prompt; each change as one line.

    Args:
        loaded: a task of which all docs can be asked.
        folder: of its README.
        run_seed: of a run, which its few-shots follow.

    Raises:
        TaskError: it isn't UTF-8.
        WriteError: it can't be written; what was there still is.
    """
    path = folder / README
    try:
        content = path.read_bytes().decode("utf-8")
    except OSError:
        return []
    except UnicodeDecodeError as e:
        raise TaskError(f"{path}: not UTF-8 at byte {e.start}") from e
    ends = "\r\n" if "\r\n" in content else "\n"
    text = content.replace("\r\n", "\n") if ends == "\r\n" else content
    changes = []
    for label, old, new in _rows(loaded, text):
        text = set_row(text, label, new)
        changes.append(f"{label}: {_short(old)} -> {_short(new)}")
    if (prompt := _prompt(loaded, text, run_seed)) is not None:
        changes.append(f"prompt: {_short(prompt_shown(text) or '')} -> {_short(prompt)}")
        text = set_prompt(text, prompt)
    if changes:
        write_whole(path.resolve(), text.replace("\n", ends))
    return changes


def _rows(loaded: LoadedTask, text: str) -> Iterator[tuple[str, str, str]]:
    """(label, old value, new value) of the rows that are missing, blank, or begin with another number."""
    rows = table_rows(text)
    if not set(LABELS) & set(rows):
        return
    num, chance = loaded.num_docs_available, chance_score(loaded.task)
    said = rows.get("Docs (n)", "")
    if _is_off(said, num, tolerance=0):
        yield "Docs (n)", said, f"{num}{'' if _is_blank(said) else said.lstrip('0123456789.,')}"
    said = rows.get("Chance score", "")
    if chance is not None and _is_off(said, chance, CHANCE_TOLERANCE):
        yield "Chance score", said, f"{chance:.2f} (guessing among the choices)"


def _is_off(said: str, value: float, tolerance: float) -> bool:
    stated = number(said)
    return _is_blank(said) or (stated is not None and abs(stated - value) > tolerance)


def _is_blank(said: str) -> bool:
    return not said or UNFILLED in said


def _prompt(loaded: LoadedTask, text: str, run_seed: int) -> str | None:
    """The first doc's prompt, if the README's is blank or that of no doc; None if it needs no other."""
    shown = prompt_shown(text)
    if shown is None:
        return None
    prompts = _prompts(loaded, run_seed)
    first = next(prompts, None)
    if first is None:
        return None
    if any(_shows(shown, prompt) for prompt in itertools.chain([first], prompts)):
        return None
    return first.strip("\n")


def _prompts(loaded: LoadedTask, run_seed: int) -> Iterator[str]:
    """Prompts of the first docs, as a run makes them; none of a task that has several for a doc."""
    loaded.task.set_fewshot_seed(run_seed)
    for doc_id, doc in enumerate(itertools.islice(loaded.docs, _MOST_PROMPTS)):
        with seeded(run_seed, loaded.name, doc_id, "prompt"):
            prompt = prompt_of(loaded, doc)
        if isinstance(prompt, str):
            yield prompt


def _shows(shown: str, prompt: str) -> bool:
    """Whether it is the prompt, lines left out where it says so; blanks at the ends of lines don't count."""
    parts: list[list[str]] = [[]]
    for line in shown.strip("\n").split("\n"):
        if line.strip() in _ELLIPSES:
            parts.append([])
        else:
            parts[-1].append(line.rstrip())
    whole = "\n".join(line.rstrip() for line in prompt.strip("\n").split("\n"))
    wanted = ["\n".join(part).strip("\n") for part in parts]
    if len(wanted) == 1:
        return wanted[0] == whole
    place = 0
    for part in wanted:
        found = whole.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return whole.startswith(wanted[0]) and whole.endswith(wanted[-1])


def _short(text: str, most: int = 60) -> str:
    line = one_line(text)
    return repr(line if len(line) <= most else f"{line[:most]}...")
