"""What a task's own data files say about an error while it is loaded: the line that can't be read, the fields there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalharness.config.yaml_files import shown
from evalharness.errors import TaskError
from evalharness.tasks.local_rows import FORMATS, read_rows
from evalharness.tasks.yaml.files import TaskFile

_UNDEFINED = re.compile(r"'\w+' is undefined|has no attribute '\w+'")


def data_hint(error: BaseException, file: TaskFile) -> str:
    """The first line of its data that can't be read, or for an undefined field those of its first doc; '' for neither."""
    if isinstance(error, TaskError):
        return ""
    is_undefined = bool(_UNDEFINED.search(str(error)))
    for path in filter(Path.is_file, _data_files(file)):
        try:
            row: dict[str, Any] | None = None
            for row in read_rows(path.resolve()):
                if is_undefined:
                    return f"; {shown(path)} has {', '.join(map(repr, row))}"
        except TaskError as e:
            return f"; {e}"
    return ""


def _data_files(file: TaskFile) -> Iterator[Path]:
    """Those that it names, and those beside it, of the scored split first."""
    kwargs = file.values.get("dataset_kwargs")
    named = kwargs.get("data_files") if isinstance(kwargs, dict) else None
    splits = named if isinstance(named, dict) else {"train": named}
    split = str(file.values.get("test_split") or file.values.get("validation_split"))
    for files in [splits.get(split), *splits.values()]:
        for name in files if isinstance(files, list) else [files]:
            if isinstance(name, str) and Path(name).suffix in FORMATS:
                yield Path(name)
    for suffix in FORMATS:
        yield file.path.parent / "data" / f"{split}{suffix}"
