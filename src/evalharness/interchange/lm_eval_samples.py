"""lm-eval's `samples_<task>_<date>.jsonl`: a JSON object per doc and filter, one per line, as sample records.

Up to 0.4.2 the file is one JSON list of them.

lm-eval writes responses as text: `[["-1.5", "True"]]` is a log-likelihood and whether it was greedy. They are converted
to our `response` column: the text if there is one, else JSON, an entry per instance.
"""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from evalharness.errors import one_line
from evalharness.interchange.lm_eval_files import Key, TaskResult, as_number
from evalharness.store.records import SampleRecord

_ODD = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)
"""Exceptions of reading a line with arbitrary content."""
UNKNOWN = "unknown"
"""The finish reason of a generation: lm-eval doesn't record it."""


@dataclass(slots=True)
class Scores:
    """One metric's scores: 16 bytes a sample."""

    doc_ids: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def per_doc(self) -> list[float]:
        """The mean over each doc's samples, in the order of docs."""
        if not self.values:
            return []
        _, place = np.unique(self.doc_ids, return_inverse=True)
        sums = np.bincount(place, weights=np.asarray(self.values))
        return list(sums / np.bincount(place))


@dataclass(slots=True)
class SamplesRead:
    """Counts over a task's samples, filled while they are read."""

    scores: dict[Key, Scores] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)
    """doc_id -> doc_hash."""
    repeats: int = 1
    num_samples: int = 0
    """Docs x repeats."""
    num_empty: int = 0
    """Generations among them without text."""
    num_errors: int = 0
    num_unread: int = 0
    """Lines that are damaged, invalid or duplicates."""
    first_problem: str = ""
    _seen: set[tuple[int, int, str]] = field(default_factory=set)
    _counted: set[tuple[int, int]] = field(default_factory=set)

    def add(self, sample: SampleRecord, kind: str) -> None:
        """Count a record.

        Raises:
            ValueError: it is a duplicate.
        """
        key = (sample.doc_id, sample.repeat, sample.filter)
        if key in self._seen:
            raise ValueError(f"doc {sample.doc_id} with filter {sample.filter!r} is there twice")
        self._seen.add(key)
        for metric, score in sample.scores.items():
            scores = self.scores.setdefault((metric, sample.filter), Scores())
            scores.doc_ids.append(sample.doc_id)
            scores.values.append(score)
        if key[:2] not in self._counted:
            self._counted.add(key[:2])
            self.num_samples += 1
            self.num_errors += sample.error is not None
            self.num_empty += kind == "generate_until" and not sample.response.strip()
        self.hashes[sample.doc_id] = sample.doc_hash
        self.repeats = max(self.repeats, sample.repeat + 1)

    def docs_fingerprint(self) -> str:
        """sha256 over the docs' hashes, in order, as in our own runs; empty without docs."""
        hashes = "".join(self.hashes[doc_id] for doc_id in sorted(self.hashes))
        return hashlib.sha256(hashes.encode()).hexdigest() if hashes else ""


def read_samples(
    path: Path, task: TaskResult, main_filter: str, read: SamplesRead
) -> Iterator[SampleRecord]:
    """The file's samples, one by one; lines that can't be read are counted in `read` and left out.

    Raises:
        OSError: the file can't be read at all.
    """
    with path.open("rb") as file:
        entries = _as_list(file)
        for number, line in enumerate(file if entries is None else entries, start=1):
            if isinstance(line, bytes) and not line.strip():
                continue
            try:
                parsed = json.loads(line) if isinstance(line, bytes) else line
                sample = sample_record(parsed, task, main_filter)
                read.add(sample, task.kind)
            except _ODD as e:
                read.num_unread += 1
                read.first_problem = read.first_problem or f"line {number}: {_why(e)}"
                continue
            yield sample


def _as_list(file: BinaryIO) -> list[Any] | None:
    """The content of a file that is one JSON list (lm-eval 0.4.0 to 0.4.2); None for a file of lines."""
    if file.read(1) == b"[":
        file.seek(0)
        try:
            content = json.loads(file.read())
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, list):
            return content
    file.seek(0)
    return None


def sample_record(line: Any, task: TaskResult, main_filter: str) -> SampleRecord:
    """One line as a record.

    Raises:
        One of `_ODD`: it isn't in lm-eval's format.
    """
    if not isinstance(line, dict):
        raise ValueError("not an object")
    filter_ = str(line.get("filter") or "none")
    entries = [_responses(item, task.kind) for item in line["resps"]]
    error = line.get("error")
    return SampleRecord(
        task=task.name,
        doc_id=_whole(line["doc_id"], "doc_id"),
        doc_hash=_doc_hash(line),
        repeat=_whole(line.get("repeat", 0), "repeat"),
        filter=filter_,
        prompt=_prompt(line["arguments"]),
        target=str(line.get("target", "")),
        response=_response_text(entries),
        thinking=None,
        answer=_answer(line.get("filtered_resps", []), task.kind),
        scores=_scores(line, task),
        finish_reason=UNKNOWN if task.kind == "generate_until" else "score",
        num_prompt_tokens=0,
        num_generated_tokens=0,
        latency_s=math.nan,
        error=str(error) if error is not None else None,
        is_main=filter_ == main_filter,
    )


def _whole(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{name} is {value!r}")
    return value


def _doc_hash(line: Mapping[str, Any]) -> str:
    """lm-eval's own hash; older versions wrote only what it is computed from."""
    found = line.get("doc_hash")
    if isinstance(found, str) and found:
        return found
    dumped = json.dumps(line["doc"], indent=2, ensure_ascii=False)
    return hashlib.sha256(dumped.encode("utf-8", "surrogatepass")).hexdigest()


def _prompt(arguments: Any) -> str:
    """The first instance's context: `{"gen_args_0": {"arg_0": ...}}`, in older versions `[[..., ...]]`."""
    first = arguments["gen_args_0"] if isinstance(arguments, dict) else arguments[0]
    return str(first["arg_0"] if isinstance(first, dict) else first[0])


def _scores(line: Mapping[str, Any], task: TaskResult) -> dict[str, float]:
    """The metrics that are numbers; items of other aggregations aren't stored."""
    names = line.get("metrics")
    if not isinstance(names, list):  # older versions don't list them
        names = {metric for metric, _ in task.metrics}
    values = {str(name): line.get(str(name)) for name in names}
    return {n: as_number(v) for n, v in values.items() if isinstance(v, int | float)}


def _responses(instance: Any, kind: str) -> list[Any]:
    """One instance's responses, with their own types back."""
    if not isinstance(instance, list):
        raise ValueError("resps doesn't hold a list for each request")
    return [_response(item, kind) for item in instance]


def _response(item: Any, kind: str) -> Any:
    match kind:
        case "multiple_choice" | "loglikelihood":
            return [float(item[0]), str(item[1]) == "True"]
        case "loglikelihood_rolling":
            return float(item[0] if isinstance(item, list) else item)
    return str(item)


def _response_text(entries: Sequence[list[Any]]) -> str:
    """The `response` column, as `runner.record.response_text` writes it."""
    if not entries or not all(entries):
        return ""
    single = [entry[0] if len(entry) == 1 else entry for entry in entries]
    if len(single) == 1 and isinstance(single[0], str):
        return single[0]
    return json.dumps(single)


def _answer(filtered: Any, kind: str) -> str:
    """What the filter returned, an answer per instance, as in our own runs."""
    is_choice = kind in ("multiple_choice", "loglikelihood")
    answers = [_response(item, kind) if is_choice else item for item in filtered]
    if len(answers) != 1:
        return json.dumps(answers)
    return str(tuple(answers[0]) if is_choice else answers[0])


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "not JSON"
    return f"no {error}" if isinstance(error, KeyError) else one_line(error)
