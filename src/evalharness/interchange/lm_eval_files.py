"""lm-eval's result files: finding them, and reading a `results_<date>.json` into records.

Layout: `<output_path>/<model>/results_<date>.json` with `samples_<task>_<date>.jsonl` beside it; with
`--output_path x.json` the file is `x_<date>.json`. The JSON of lm-eval 0.4 has `results` (task or group ->
`"<metric>,<filter>"` and `"<metric>_stderr,<filter>"`), `group_subtasks`, `configs`, `versions`, `n-shot`, `n-samples`,
`higher_is_better`, `config`, `date` (seconds since 1970), `lm_eval_version` and the model's name. Older files lack some of
these: 0.3 has no filters, shots only in `config` and any file name; up to 0.4.1 a task's place in its group is its alias's
indentation, and n follows from value and standard error of a share.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.errors import StoreError, UserError, one_line

Key = tuple[str, str]
"""(metric, filter)"""

_DATE = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)$")
_UNSAFE = re.compile(r'["<>:/|\\?*\[\]]+')
_NO_METRIC = {"alias", "name", "samples", "sample_len", "sample_count", " "}
_LOWER_IS_BETTER = {
    "perplexity", "ppl", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter", "wer", "cer", "mae", "mse",
    "likelihood_diff", "pct_stereotype",
}  # fmt: skip
"""Directions for files that don't give them; of lm-eval's metrics and those of its tasks."""
_WHOLE = 1e-3
_MOST_DERIVED = 1e8


class Reported(NamedTuple):
    """A score as in the file; NaN if it has none."""

    value: float
    stderr: float


DRAWN = ("limit_from", "limit_seed", "stratified_by")
"""Fields on a task's random docs in our exports, within `n-samples`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """A task, or a group with the tasks below it."""

    name: str
    metrics: dict[Key, Reported]
    members: tuple[str, ...] = ()
    """Tasks of a group, at any depth."""
    group: str = ""
    """The outermost group that it belongs to, or itself."""
    num_docs: int | None = None
    """None if the file doesn't say."""
    num_docs_derived: int | None = None
    """If it doesn't, the only number that value and standard error allow."""
    num_docs_available: int | None = None
    version: str = ""
    num_fewshot: int = 0
    higher_is_better: dict[str, bool] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    """The task's configuration, as written by lm-eval."""
    drawn: dict[str, Any] = field(default_factory=dict)
    """The fields in DRAWN for random docs, which only our own exports have."""

    @property
    def kind(self) -> str:
        """lm-eval's output type; empty if the file doesn't say."""
        return str(self.config.get("output_type") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One results file."""

    path: Path
    sha256: str
    tasks: tuple[TaskResult, ...]
    groups: tuple[TaskResult, ...]
    children: dict[str, list[str]]
    """Group -> its direct members."""
    content: dict[str, Any]
    """The whole file."""


def find_results(path: Path) -> list[Path]:
    """The results files at a path: itself, or in a folder all `results*.json` and other files with results.

    Raises:
        UserError: there is no such path, or no results in it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"import: {str(path)!r}: no such file or folder")
    found = sorted(p for p in path.rglob("*.json") if p.is_file() and _has_results(p))
    if not found:
        raise UserError(
            f"import: no results_*.json in {str(path)!r}, and no other .json with lm-eval's results; give the folder or "
            "file that lm-eval wrote (--output_path)"
        )
    return found


def _has_results(path: Path) -> bool:
    """Whether it is a results file, by its name, or by its content if the user named it."""
    if path.name.startswith("results"):
        return True
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    results = part(content, "results") if isinstance(content, dict) else {}
    is_lm_eval = bool(results) and "versions" in content and "config" in content
    return is_lm_eval and all(isinstance(scores, dict) for scores in results.values())


def read_results(path: Path) -> Results:
    """Read the file.

    Raises:
        StoreError: it can't be read, or isn't lm-eval's.
    """
    try:
        data = path.read_bytes()
        content = json.loads(data)
    except OSError as e:
        raise StoreError(f"{str(path)!r}: can't read: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        why = one_line(e)
        raise StoreError(f"{str(path)!r} is damaged: {why}; lm-eval has to write it again") from e
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        raise StoreError(
            f"{str(path)!r} is not a results file of lm-eval: it has no `results` by task"
        )
    children = _children(content)
    leaves = [name for name in results if not children.get(name)]
    groups = [name for name in {**results, **part(content, "groups")} if children.get(name)]
    return Results(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        tasks=tuple(_task(content, name, _top(name, children)) for name in leaves),
        groups=tuple(_group(content, name, children) for name in groups),
        children=children,
        content=content,
    )


def samples_file(results: Results, task: str) -> Path | None:
    """The task's samples: those of the same date, or the only ones; None if there are none.

    Up to 0.4.2 the results are in `results.json`, the samples in `<model_args>_<task>.jsonl` beside it.
    """
    if date := file_date(results.path):
        path = results.path.parent / samples_name(task, date)
        return path if path.is_file() else None
    stem = f"samples_{sanitized(task)}"
    found = [
        path
        for path in results.path.parent.glob("samples_*.jsonl")
        if path.stem == stem
        or (path.stem.startswith(stem) and _DATE.fullmatch(path.stem[len(stem) :]))
    ]
    if not found:
        arguments = str(part(results.content, "config").get("model_args"))
        old = results.path.parent / f"{re.sub('[/=]', '__', arguments)}_{sanitized(task)}.jsonl"
        found = [old] if old.is_file() else []
    return found[0] if len(found) == 1 else None


def samples_name(task: str, date: str) -> str:
    """Name of the file with a task's samples."""
    return f"samples_{sanitized(task)}_{date}.jsonl"


def sanitized(name: str) -> str:
    """The name of a model or task as part of a file name, as lm-eval writes it."""
    return _UNSAFE.sub("__", name)


def file_date(path: Path) -> str | None:
    """The date in a results file's name (local time, with dashes for colons); None if it has none."""
    found = _DATE.search(path.stem)
    return found[1] if found else None


def as_number(value: Any) -> float:
    """The value as a float; NaN if it isn't a number."""
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan


def part(content: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A part of the file; empty if it has another type."""
    found: Any = content
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _task(content: Mapping[str, Any], name: str, group: str) -> TaskResult:
    counts = part(content, "n-samples", name)
    effective = counts.get("effective", part(content, "results", name).get("sample_len"))
    return TaskResult(
        **_shared(content, name),
        group=group,
        num_docs=_count(effective),
        num_docs_derived=num_docs_behind(_metrics(part(content, "results", name)).values()),
        num_docs_available=_count(counts.get("original")),
        config=part(content, "configs", name),
        drawn=_drawn(counts),
    )


def _drawn(counts: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: counts.get(name) for name in DRAWN}
    is_known = found["limit_from"] == "random" and _count(found["limit_seed"]) is not None
    return found if is_known and isinstance(found["stratified_by"], str) else {}


def _group(content: Mapping[str, Any], name: str, children: Mapping[str, list[str]]) -> TaskResult:
    return TaskResult(
        **_shared(content, name),
        group=_top(name, children),
        members=tuple(dict.fromkeys(_leaves(name, children))),
    )


def _shared(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    reported = part(content, "groups", name) | part(content, "results", name)
    metrics = _metrics(reported)
    shots = (
        part(content, "n-shot").get(name),
        part(content, "configs", name).get("num_fewshot"),
        part(content, "config").get("num_fewshot"),
        content.get("num_fewshot"),
    )
    return {
        "name": name,
        "metrics": metrics,
        "version": str(part(content, "versions").get(name, "")),
        "num_fewshot": next((n for shot in shots if (n := _count(shot)) is not None), 0),
        "higher_is_better": _directions(content, name, {metric for metric, _ in metrics}),
    }


def _directions(content: Mapping[str, Any], name: str, metrics: Iterable[str]) -> dict[str, bool]:
    """Metric -> whether higher is better: as the file says, else as the task's configuration does."""
    declared = part(content, "configs", name).get("metric_list")
    entries = [e for e in declared if isinstance(e, dict)] if isinstance(declared, list) else []
    given = {str(e.get("metric")): e.get("higher_is_better") for e in entries}
    given |= part(content, "higher_is_better", name)
    known = {metric: value for metric, value in given.items() if isinstance(value, bool)}
    return {metric: metric not in _LOWER_IS_BETTER for metric in metrics} | known


def num_docs_behind(reported: Iterable[Reported]) -> int | None:
    """The only number of docs that fits values and standard errors of shares; None if there is none, or several.

    lm-eval's standard error of a mean of n scores of 0 or 1 is sqrt(p (1 - p) / (n - 1)): so n follows, and n and n p
    have to be integers. Another metric passes as a share with a probability of 1 in 100,000.
    """
    found = set()
    for value, stderr in reported:
        if 0 < value < 1 and 0 < stderr < 1:
            n = value * (1 - value) / stderr**2 + 1
            is_whole = all(math.isclose(x, round(x), abs_tol=_WHOLE) for x in (n, n * value))
            if is_whole and n < _MOST_DERIVED:
                found.add(round(n))
    return found.pop() if len(found) == 1 else None


def _metrics(reported: Mapping[str, Any]) -> dict[Key, Reported]:
    """Scores by (metric, filter); `null` is a missing score."""
    found = {}
    for key, value in reported.items():
        metric, _, filter_ = key.partition(",")
        is_score = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        if is_score and key not in _NO_METRIC and not metric.endswith("_stderr"):
            error = reported.get(f"{metric}_stderr{key[len(metric) :]}")
            found[metric, filter_ or "none"] = Reported(as_number(value), as_number(error))
    return found


def _children(content: Mapping[str, Any]) -> dict[str, list[str]]:
    if "group_subtasks" not in content:
        return _indented(part(content, "results"))
    return {
        group: [str(name) for name in names]
        for group, names in part(content, "group_subtasks").items()
        if isinstance(names, list) and names
    }


def _indented(results: Mapping[str, Any]) -> dict[str, list[str]]:
    """Group -> the rows below it in the table, by the indentation of aliases (` - x`), in the file's order."""
    children: dict[str, list[str]] = {}
    above: list[tuple[int, str]] = []
    for name, scores in results.items():
        alias = str(scores.get("alias") or "") if isinstance(scores, dict) else ""
        depth = len(alias) - len(alias.lstrip()) if alias.lstrip().startswith("- ") else 0
        above = [(deep, holder) for deep, holder in above if deep < depth]
        if above:
            children.setdefault(above[-1][1], []).append(name)
        above.append((depth, name))
    return children


def _leaves(
    name: str, children: Mapping[str, list[str]], above: frozenset[str] = frozenset()
) -> Iterator[str]:
    below = children.get(name)
    if not below:
        yield name
        return
    for child in below:
        if child not in above and child != name:  # a group may contain itself
            yield from _leaves(child, children, above | {name})


def _top(name: str, children: Mapping[str, list[str]]) -> str:
    """The outermost group above a name; the name itself if there is none."""
    seen = {name}
    while parent := next(
        (g for g, names in children.items() if name in names and g not in seen), ""
    ):
        name = parent
        seen.add(name)
    return name


def _count(value: Any) -> int | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return int(value) if is_whole and value < 2**63 else None
