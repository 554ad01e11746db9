"""Docs that ship beside a task: data/<split>.jsonl in the folder of the task's YAML.

lm-eval's own `dataset_path: json` resolves `data_files` against the working directory, so it can't name a file next
to the YAML. It does hand `custom_dataset` the YAML's path (`config_source`), wherever the package is installed.
"""

import json
from pathlib import Path
from typing import Any

import datasets


def load(config_source: str, **_: Any) -> datasets.DatasetDict:
    """Every data/<split>.jsonl as a split, held in memory: no cache is written and no network asked."""
    files = sorted((Path(config_source).parent / "data").glob("*.jsonl"))
    return datasets.DatasetDict({file.stem: _read(file) for file in files})


def _read(file: Path) -> datasets.Dataset:
    with file.open(encoding="utf-8") as lines:
        return datasets.Dataset.from_list([json.loads(line) for line in lines])
