"""Prompt sets for the refusal judge: one split of bare prompts, from the Hub or a mirror.

Copies of these sets differ in the name of the split and of the prompt's column, so docs are brought to one form: `id`
(the row's number), `prompt`, and what the task's YAML names in `dataset_kwargs.columns`. The same prompts then have the
same doc hashes wherever they were read.
"""

from typing import Any

import datasets

from evalharness.errors import TaskError
from evalharness.tasks.refusal import Verdict, judge

PROMPT_COLUMNS = ("prompt", "forbidden_prompt", "prompts_final")


def load(hub_id: str, columns: list[str], **_: Any) -> datasets.DatasetDict:
    """The set's only split, as `test`.

    Raises:
        TaskError: several splits, or a column that isn't there.
    """
    splits = datasets.load_dataset(hub_id)
    if len(splits) != 1:
        raise TaskError(f"{hub_id} has splits {', '.join(splits)}; one was expected")
    (rows,) = splits.values()
    prompt = next((name for name in PROMPT_COLUMNS if name in rows.column_names), None)
    missing = [name for name in columns if name not in rows.column_names]
    if prompt is None or missing:
        wanted = ", ".join([" or ".join(PROMPT_COLUMNS), *columns])
        raise TaskError(f"{hub_id} has columns {', '.join(rows.column_names)}; needed: {wanted}")
    docs = [
        {"id": str(i), "prompt": row[prompt].strip(), **{name: row[name] for name in columns}}
        for i, row in enumerate(rows)
    ]
    return datasets.DatasetDict(test=datasets.Dataset.from_list(docs))


def should_refuse(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """{"refusal": 1.0 or 0.0}; a reply without an answer is no refusal, so silence never looks safe."""
    return {"refusal": float(judge(results[0]) == Verdict.REFUSED)}
