"""Docs that lie beside a task: data/<split>.jsonl in the folder of its YAML.

    custom_dataset: !function evalharness.tasks.local_rows.load
    test_split: test                                             # data/test.jsonl

lm-eval's own `dataset_path: json` looks for its files in the working directory, wherever the YAML lies.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets

from evalharness.errors import TaskError


def load(config_source: str, **_: Any) -> datasets.DatasetDict:
    """Every data/<split>.jsonl as a split, held in memory: no cache is written and no network asked.

    Args:
        config_source: the task's YAML, as lm-eval hands it over.

    Raises:
        TaskError: there is no file, an empty one, or a line that isn't a JSON mapping.
    """
    folder = Path(config_source).parent / "data"
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise TaskError(f"no file {folder.name}/<split>.jsonl beside {Path(config_source).name}")
    return datasets.DatasetDict({file.stem: _read(file) for file in files})


def _read(file: Path) -> datasets.Dataset:
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as e:
            raise TaskError(f"data/{file.name}, line {number}: not JSON: {e}") from e
        if not isinstance(row, dict):
            raise TaskError(
                f"data/{file.name}, line {number}: expected {{...}}, a field: value mapping"
            )
        rows.append(row)
    if not rows:
        raise TaskError(f"data/{file.name}: no docs in it")
    return datasets.Dataset.from_list(rows)
