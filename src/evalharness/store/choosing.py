"""Which run speaks for a model: the latest complete one with the most docs, where there are several."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from evalharness.errors import StoreError, did_you_mean, then
from evalharness.records import Manifest
from evalharness.store import layout
from evalharness.store.read import find_run, list_runs


def best_run(runs: Iterable[Manifest]) -> Manifest | None:
    """Complete before partial, asked once before a strategy, all docs before the first ones, then the latest."""
    return max(runs, key=_rank, default=None)


def runs_of(runs: Sequence[Manifest], model: str, suite: str | None = None) -> list[Manifest]:
    """A model's runs that have ended, of one suite if it is named; made-up answers (engine fake) stand for no model."""
    return [
        run
        for run in runs
        if run.model == model
        and suite in (None, run.suite)
        and run.status != "running"
        and not run.is_fake
    ]


def choose_run(
    results_dir: Path, name: str, suite: str | None = None, *, is_asked: bool = True
) -> Manifest:
    """The run that a user means: a run id (or how it begins, or `latest`), or a model's best run.

    Args:
        results_dir: folder that holds the runs.
        name: run id or model.
        suite: for a model, the suite whose run is meant; None for its latest.
        is_asked: the user named the suite, so that a run of another one is wrong.

    Raises:
        StoreError: none.
    """
    is_id = layout.is_run_id(name) and (results_dir / name / layout.MANIFEST).is_file()
    runs = [] if is_id else list_runs(results_dir)
    found = runs_of(runs, name)
    if not found:
        run = real(find_run(results_dir, name), name)
        if is_asked and suite not in (None, run.suite):
            raise StoreError(f"run {run.run_id!r} is of suite {run.suite!r}, not {suite!r}")
        return run
    suite = suite or found[0].suite
    best = best_run(run for run in found if run.suite == suite)
    if best is None:
        suites = dict.fromkeys(run.suite for run in found)
        raise StoreError(
            f"model {name!r} has no run of suite {suite!r}"
            + then(did_you_mean(suite, suites), f"it has: {', '.join(suites)}")
        )
    return best


def real(run: Manifest, name: str) -> Manifest:
    """The run that a name was found to mean, if it may.

    Raises:
        StoreError: the name is a model's, and the run only has made-up answers.
    """
    if run.is_fake and name == run.model:
        raise StoreError(
            f"model {name!r} has only runs of the fake engine, whose answers stand for no model; "
            f"a run is named by its id, such as {run.run_id!r}"
        )
    return run


def runs_by_suite(runs: Sequence[Manifest], model: str) -> dict[str, Manifest]:
    """Suite -> the model's best run of it."""
    suites = dict.fromkeys(run.suite for run in runs if run.model == model)
    found = {suite: best_run(runs_of(runs, model, suite)) for suite in suites}
    return {suite: run for suite, run in found.items() if run is not None}


def _rank(run: Manifest) -> tuple[bool, bool, int, str, str]:
    num_docs = sum(task.num_docs for task in run.tasks)
    is_complete = run.status == "complete"
    return is_complete, run.strategy == "single", num_docs, run.started_at, run.run_id
