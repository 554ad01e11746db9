"""`task check`: finds values that lm-eval's own `dataset_path: json` or `csv` changes from those in the file.

`datasets` guesses one type for all values of a field: 5 becomes 5.0 beside 0.5, "007" in CSV becomes 7, "NA" becomes
null, a field that a row lacks becomes null, and dicts get each other's keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from evalharness.errors import TaskError
from evalharness.tasks.authoring.defects import Defect
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.local_rows import read_rows

_REMEDY = "`custom_dataset: !function evalharness.tasks.local_rows.load` keeps values as they are"


def changed_values(loaded: LoadedTask, *, most_docs: int | None = 10_000) -> list[Defect]:
    """A warning for each field whose values `datasets` changed, with the first such value.

    Args:
        loaded: the task, with its data.
        most_docs: docs of each split that are compared; None for all.
    """
    config = loaded.task.config
    kind = config.dataset_path
    files = (config.dataset_kwargs or {}).get("data_files")
    if kind not in ("json", "csv") or config.custom_dataset is not None or not files:
        return []
    by_split = files if isinstance(files, Mapping) else {"train": files}
    found: list[Defect] = []
    for split, named in by_split.items():
        try:
            found += _compare(loaded.task.dataset[split], split, named, kind, most_docs)
        except TaskError as e:
            found.append(Defect("warning", f"{e}; lm-eval reads it anyway", "dataset_path"))
        except (OSError, KeyError, TypeError, ValueError):
            continue  # compressed, at a URL, or in a layout of its own
    return found


def _compare(
    docs: Any, split: str, named: Any, kind: str, most_docs: int | None
) -> Iterator[Defect]:
    names = [named] if isinstance(named, str) else list(named)
    paths = [Path(name) for name in names]
    wanted = ".csv" if kind == "csv" else ".jsonl"
    if not all(path.is_file() and path.suffix == wanted for path in paths):
        return
    rows = (row for path in paths for row in read_rows(path))
    changed: dict[str, list[tuple[int, Any, Any]]] = {}
    for number, (row, doc) in enumerate(islice(zip(rows, docs, strict=False), most_docs)):
        for field in {**doc, **row}:
            there, got = row.get(field, _ABSENT), doc.get(field, _ABSENT)
            if not (_same_text if kind == "csv" else _same)(there, got):
                changed.setdefault(field, []).append((number, there, got))
    for field, values in changed.items():
        number, there, got = values[0]
        more = f" (and in {len(values) - 1} more docs)" if len(values) > 1 else ""
        what = (
            f"{field!r} of doc {number} of {split!r} is {_shown(there)} in the file, and lm-eval "
            f"reads {_shown(got)}{more}; {_REMEDY}"
        )
        yield Defect("warning", what, "dataset_path")


_ABSENT = object()


def _same(there: Any, got: Any) -> bool:
    """Whether both are equal in values and types at every level."""
    if type(there) is not type(got):
        return False
    if isinstance(there, dict):
        return there.keys() == got.keys() and all(_same(v, got[k]) for k, v in there.items())
    if isinstance(there, list):
        return len(there) == len(got) and all(map(_same, there, got))
    return bool(there == got)


def _same_text(there: Any, got: Any) -> bool:
    """Whether a prompt with the value reads the same."""
    return str(there) == str(got)


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else repr(value)[:60]
