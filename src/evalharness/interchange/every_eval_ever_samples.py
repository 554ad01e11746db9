"""The samples of a run in the format of Every Eval Ever: a line for each sample and result that it counts for."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.errors import WriteError
from evalharness.interchange.every_eval_ever import (
    SCHEMA_VERSION,
    aggregate,
    as_text,
    file_path,
    samples_path,
)
from evalharness.interchange.metric_scales import is_share
from evalharness.interchange.run_data import (
    Stored,
    write_text,
)
from evalharness.store import checksums
from evalharness.store.records import SampleRecord


class Written(NamedTuple):
    """The outcome of an export."""

    paths: list[Path]
    num_unscored: int
    """Samples without a score, which the format can't hold."""


def write_every_eval_ever(
    run: Stored,
    folder: Path,
    *,
    with_samples: bool,
    model_id: str | None = None,
    organization: str | None = None,
) -> Written:
    """Write the run below `<folder>/data`, as the datastore has it.

    Args:
        run: the run.
        folder: root of the datastore.
        with_samples: write the samples too.
        model_id: see `aggregate`.
        organization: see `aggregate`.

    Raises:
        WriteError: it can't be written.
    """
    content = aggregate(run, model_id=model_id, organization=organization)
    path = file_path(run, content["model_info"]["id"])
    paths, num_unscored = [folder / path], 0
    if with_samples:
        beside = samples_path(path)
        num_rows, num_unscored = _write_lines(run, content, folder / beside)
        if num_rows:
            paths.append(folder / beside)
            content["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": str(beside),
                "hash_algorithm": "sha256",
                "checksum": checksums.sha256(folder / beside),
                "total_rows": num_rows,
                "additional_details": {"num_samples_without_score": str(num_unscored)},
            }
        else:
            (folder / beside).unlink()
    write_text(paths[0], as_text(content))
    return Written(paths, num_unscored)


def sample_lines(content: dict[str, Any], sample: SampleRecord) -> Iterator[dict[str, Any]]:
    """A sample's lines, one per result of the aggregate that it counts for; none without a score."""
    results = {result["evaluation_result_id"] for result in content["evaluation_results"]}
    for metric, score in sample.scores.items():
        result_id = f"{sample.task}:{metric}:{sample.filter}"
        if result_id in results and math.isfinite(score):
            yield {
                "schema_version": SCHEMA_VERSION,
                "evaluation_id": content["evaluation_id"],
                "model_id": content["model_info"]["id"],
                "evaluation_name": sample.task,
                "evaluation_result_id": result_id,
                **_shared(sample),
                "evaluation": {"score": score, "is_correct": is_share(metric) and score == 1},
            }


def _shared(sample: SampleRecord) -> dict[str, Any]:
    hashed = (sample.prompt + sample.target).encode("utf-8", "surrogatepass")
    repeat = f"#{sample.repeat}" if sample.repeat else ""
    return {
        "sample_id": f"{sample.doc_id}{repeat}",
        "sample_hash": hashlib.sha256(hashed).hexdigest(),
        "interaction_type": "single_turn",
        "input": {
            "raw": sample.prompt,
            "formatted": sample.prompt,
            "reference": [sample.target],
            "choices": None,
        },
        "output": {
            "raw": [sample.response],
            "reasoning_trace": None if sample.thinking is None else [sample.thinking],
        },
        "messages": None,
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": sample.answer,
                "extraction_method": sample.filter,
                "is_terminal": True,
            }
        ],
        "token_usage": _token_usage(sample),
        "performance": None
        if math.isnan(sample.latency_s)
        else {"latency_ms": 1000 * sample.latency_s},
        "error": sample.error,
        "metadata": {"doc_hash": sample.doc_hash, "finish_reason": sample.finish_reason},
    }


def _token_usage(sample: SampleRecord) -> dict[str, int] | None:
    """None if not measured."""
    asked, said = sample.num_prompt_tokens, sample.num_generated_tokens
    if not asked + said:
        return None
    return {"input_tokens": asked, "output_tokens": said, "total_tokens": asked + said}


def _write_lines(run: Stored, content: dict[str, Any], path: Path) -> tuple[int, int]:
    """Number of lines, and of samples that have none."""
    num_rows = num_unscored = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            for task in run.manifest.tasks:
                for sample in run.samples(task.task):
                    lines = list(sample_lines(content, sample))
                    num_rows += len(lines)
                    num_unscored += not lines
                    file.writelines(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    except OSError as e:
        raise WriteError.of(e, path) from e
    return num_rows, num_unscored
