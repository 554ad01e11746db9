"""Datasets from a local mirror: Hub ids map to folders laid out as `<mirror>/<org>/<name>`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalharness.errors import ConfigError, TaskError

BUILDERS = {"json", "csv", "parquet", "text", "arrow", "generator", "pandas", "xml"}
"""Paths that are a file format for `datasets`, not a repository."""


def go_offline() -> None:
    """Allow no request to the Hub from here on. Call before `datasets` or `huggingface_hub` are imported."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ[name] = "1"


@contextlib.contextmanager
def mirrored(mirror: str | None) -> Iterator[None]:
    """While active, `datasets.load_dataset` reads Hub ids from the mirror.

    lm-eval names datasets by Hub id inside its tasks and passes them to `datasets.load_dataset`; mapping the id there
    works for tasks, groups and tags without changing them.

    Raises:
        ConfigError: the mirror isn't a folder.
        TaskError: from `load_dataset`, if a dataset isn't in the mirror; the network isn't tried.
    """
    if mirror is None:
        yield
        return
    root = Path(mirror).expanduser().resolve()
    if not root.is_dir():
        raise ConfigError(
            f"data.mirror: no folder at {root}; it should hold <org>/<name> folders with datasets"
        )
    import datasets

    original = datasets.load_dataset

    def load_dataset(path: str, *args: Any, **kwargs: Any) -> Any:
        if path in BUILDERS or Path(path).exists():
            return original(path, *args, **kwargs)
        local = root / path
        if not local.is_dir():
            raise TaskError(
                f"dataset {path!r} is not in the mirror {root} (looked for {local}); "
                "copy it there or run without data.mirror"
            )
        kwargs.pop("revision", None)
        return original(str(local), *args, **kwargs)

    datasets.load_dataset = load_dataset
    try:
        yield
    finally:
        datasets.load_dataset = original
