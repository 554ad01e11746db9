"""lm-eval's results as a run in the store, with manifest, metrics and samples like our own runs.

A results file is imported once: its sha256 is the run's identity.
"""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from evalharness.errors import StoreError, UserError, did_you_mean, one_line, shortened, some
from evalharness.interchange import model_names
from evalharness.interchange.lm_eval_files import (
    Key,
    Results,
    TaskResult,
    find_results,
    part,
    read_results,
    samples_file,
)
from evalharness.interchange.lm_eval_manifest import (
    SUITE,
    begin_manifest,
    in_full,
    started_at,
    task_summary,
)
from evalharness.interchange.lm_eval_metrics import disagreement, metric_record
from evalharness.interchange.lm_eval_samples import SamplesRead, read_samples
from evalharness.store.read import list_runs
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    TaskSummary,
)
from evalharness.store.write import RunWriter

_NO_N = (
    "the file doesn't give the number of docs, it can't be derived from a share with a standard error, and there are no samples; "
    "give it with --num-docs TASK=N"
)
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A run made of a results file."""

    manifest: Manifest
    metrics: list[MetricRecord]
    notes: tuple[str, ...]
    """Remarks: damaged lines, values that don't match their samples."""


class _TaskRead(NamedTuple):
    summary: TaskSummary
    metrics: list[MetricRecord]
    scores: dict[Key, list[float]]
    """One per doc with samples."""
    notes: list[str]
    is_derived: bool
    """Whether its n is in neither results nor samples."""
    is_given: bool
    """Whether only the user gave it."""


@dataclass(slots=True)
class Outcome:
    """The outcome of an import."""

    runs: list[Imported] = field(default_factory=list)
    already: dict[str, str] = field(default_factory=dict)
    """Results file -> the run that has it already."""
    unreadable: list[str] = field(default_factory=list)
    """Reasons why files of a folder aren't imported."""


def import_path(
    path: Path,
    results_dir: Path,
    *,
    model: str | None = None,
    suite: str = SUITE,
    num_docs: Mapping[str, int] | None = None,
) -> Outcome:
    """Import a results file, or all below a folder; as a run each, oldest first. A bad file doesn't stop the others.

    Args:
        path: file or folder.
        results_dir: where the runs go.
        model: name to give the model; None for the file's, or the model entry's with that Hub id.
        suite: name to give the suite.
        num_docs: task -> number of docs of its scores, for files that don't give it.

    Raises:
        UserError: nothing could be imported, everything was imported before, or `num_docs` names a task that no file has.
    """
    files = find_results(path)
    outcome = Outcome()
    read = sorted(_read_all(files, outcome), key=started_at)
    _check_names(num_docs or {}, read)
    there = {run.identity: run.run_id for run in list_runs(results_dir) if run.status != "running"}
    for results in read:
        run_id = there.get(results.sha256)
        if run_id is not None:
            outcome.already[str(results.path)] = run_id
            continue
        try:
            imported = import_results(
                results, results_dir, model=model, suite=suite, num_docs=num_docs
            )
        except StoreError as e:
            outcome.unreadable.append(shortened(one_line(e)))
            continue
        there[results.sha256] = imported.manifest.run_id
        outcome.runs.append(imported)
    if not outcome.runs:
        error = UserError if outcome.already else StoreError
        raise error(shortened(_nothing_new(path, outcome, bool(num_docs))))
    return outcome


def import_results(
    results: Results,
    results_dir: Path,
    *,
    model: str | None = None,
    suite: str = SUITE,
    num_docs: Mapping[str, int] | None = None,
) -> Imported:
    """Make one run; it is removed if it can't be finished.

    Raises:
        StoreError: no task has a score, or results_dir can't be written.
    """
    begun = begin_manifest(results, results_dir, model, suite)
    config = begun.config | {"import": begun.config["import"] | in_full(results)}
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    writer = RunWriter.create(results_dir, begun, text)
    try:
        return _write(results, writer, begun, num_docs or {})
    except BaseException:
        shutil.rmtree(writer.run_dir, ignore_errors=True)
        raise
    finally:
        writer.release()


def _read_all(files: Sequence[Path], outcome: Outcome) -> Iterator[Results]:
    for path in files:
        try:
            yield read_results(path)
        except StoreError as e:
            outcome.unreadable.append(shortened(one_line(e)))


def _check_names(num_docs: Mapping[str, int], read: Sequence[Results]) -> None:
    known = {task.name for results in read for task in results.tasks}
    for name in num_docs:
        if read and name not in known:
            raise UserError(
                f"--num-docs: no task {name!r} in what is imported{did_you_mean(name, known)}"
            )


def _nothing_new(path: Path, outcome: Outcome, has_num_docs: bool) -> str:
    if not outcome.already:
        num = len(outcome.unreadable)
        several = f"import: none of {num} files can be imported: " if num > 1 else ""
        return shortened(several + outcome.unreadable[0])
    first, run_id = next(iter(outcome.already.items()))
    num = len(outcome.already)
    more = f" (and {num - 1} more in {str(path)!r}, all there)" if num > 1 else ""
    return (
        f"import: {first!r} is in the store already, as run {run_id!r}{more}; "
        f"`evalharness results {run_id}` shows it"
        + ("; remove that folder to import it with --num-docs" if has_num_docs else "")
    )


def _write(
    results: Results, writer: RunWriter, begun: Manifest, num_docs: Mapping[str, int]
) -> Imported:
    declared = model_names.declared_metrics(begun.suite)
    read: dict[str, _TaskRead] = {}
    left_out: dict[str, str] = {}
    for task in results.tasks:
        wanted = declared.get(task.name) or declared.get(task.group) or model_names.Declared()
        found = _read_task(results, task, wanted, writer, num_docs.get(task.name))
        if isinstance(found, str):
            left_out[task.name] = found
        else:
            read[task.name] = found
    if not read:
        raise StoreError(_no_score(results, left_out))
    metrics = [metric for task_read in read.values() for metric in task_read.metrics]
    metrics += _group_metrics(results, declared, read)
    notes = [note for task_read in read.values() for note in task_read.notes]
    derived = [name for name, task_read in read.items() if task_read.is_derived]
    given = [name for name, task_read in read.items() if task_read.is_given]
    writer.write_metrics(metrics)
    ended = replace(
        begun,
        status="partial" if left_out else "complete",
        reason=f"without a score: {', '.join(left_out)}" if left_out else None,
        left_out=left_out,
        tasks=tuple(task_read.summary for task_read in read.values()),
        groups=_inner_groups(results, read),
        config=begun.config
        | {
            "import": begun.config["import"]
            | {"notes": notes, "n_derived": derived, "n_given": given}
        },
        remarks=tuple(_remarks(results, derived, given)),
    )
    writer.update(ended)
    return Imported(manifest=ended, metrics=metrics, notes=tuple(notes))


def _read_task(
    results: Results,
    task: TaskResult,
    wanted: model_names.Declared,
    writer: RunWriter,
    given: int | None,
) -> _TaskRead | str:
    """Write a task's samples and make its metrics, or give the reason why it has no score."""
    if not task.metrics:
        return "no metric in the file"
    main = model_names.choose_main(list(task.metrics), wanted)
    path, read = samples_file(results, task.name), SamplesRead()
    if path is not None:
        try:
            writer.write_samples(task.name, read_samples(path, task, main[1], read))
        except OSError as e:
            raise StoreError(f"{str(path)!r}: can't read: {e.strerror}") from e
    who = "value and standard error give"
    if task.num_docs is None and (why := _beyond_limit(results, task.num_docs_derived, who)):
        return why
    n = next((n for n in (task.num_docs, task.num_docs_derived) if n is not None), len(read.hashes))
    if n and given not in (None, n):
        return f"--num-docs says {given} docs, the file (or its samples) {n}"
    if not n and (why := _beyond_limit(results, given, "--num-docs says")):
        return why
    is_given = not n and given is not None
    n = n or given or 0
    if not n:
        return _NO_N
    scores = {key: found.per_doc() for key, found in read.scores.items()}
    notes = [disagreement(task, key, scores.get(key, []), n) for key in task.metrics]
    return _TaskRead(
        summary=task_summary(task, read, n),
        metrics=[
            metric_record(task, key, scores.get(key, []), n, is_main=key == main)
            for key in task.metrics
        ],
        scores=scores,
        notes=[*filter(None, notes), *_about_samples(task, path, read, n)],
        is_derived=not is_given and task.num_docs is None and n != len(read.hashes),
        is_given=is_given,
    )


def _beyond_limit(results: Results, n: int | None, who: str) -> str:
    """Why a number of docs that isn't in the file is impossible: the run was limited to fewer."""
    limit = _limit(results)
    if n is None or not 1 <= limit < n:
        return ""
    return f"{who} {n} docs, but the run was limited to {limit:g} of each task"


def _limit(results: Results) -> float:
    """The limit: from 1 on docs of each task, below 1 a share of them; NaN without one, in any notation."""
    given: Any = part(results.content, "config").get("limit")
    try:
        return math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _about_samples(task: TaskResult, path: Path | None, read: SamplesRead, n: int) -> list[str]:
    if path is None:
        return [f"{task.name}: no samples beside the results; only the score is imported"]
    notes = []
    if read.num_unread:
        notes.append(
            f"{task.name}: {read.num_unread} lines of {path.name} left out ({read.first_problem})"
        )
    if len(read.hashes) != n:
        notes.append(f"{task.name}: samples of {len(read.hashes)} docs, the score is over {n}")
    return notes


def _no_score(results: Results, left_out: Mapping[str, str]) -> str:
    """One line for any number of tasks."""
    name, why = next(iter(left_out.items()))
    more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return f"{str(results.path)!r}: no task with a score: {name!r}{more}: {why}"


def _remarks(results: Results, derived: Sequence[str], given: Sequence[str]) -> Iterator[str]:
    """Remarks on missing data that a reader would expect."""
    for names, how in (
        (derived, "is derived from value and standard error"),
        (given, "was given with --num-docs"),
    ):
        if names:
            yield f"n {how}, the file doesn't give it: {some(names, _MOST_NAMED)}"
    limit = _limit(results)
    if 0 < limit < math.inf and any(task.num_docs_available is None for task in results.tasks):
        yield f"first docs only (limit {limit:g}), out of an unknown number: not comparable with published scores"


def _inner_groups(results: Results, read: Mapping[str, _TaskRead]) -> dict[str, list[str]]:
    """Groups within others that have their own score -> their tasks."""
    return {
        group.name: list(group.members)
        for group in results.groups
        if group.group != group.name
        and group.metrics
        and all(member in read for member in group.members)
    }


def _group_metrics(
    results: Results, declared: Mapping[str, model_names.Declared], read: Mapping[str, _TaskRead]
) -> list[MetricRecord]:
    """The groups' own scores, also of groups within others."""
    records = []
    for group in results.groups:
        if not group.metrics or any(member not in read for member in group.members):
            continue
        members = [read[member] for member in group.members]
        wanted = declared.get(group.name) or model_names.Declared()
        main = model_names.choose_main(list(group.metrics), wanted)
        n = sum(member.summary.num_docs for member in members)
        for key in group.metrics:
            pooled = [score for member in members for score in member.scores.get(key, [])]
            records.append(metric_record(group, key, pooled, n, is_main=key == main))
    return records
