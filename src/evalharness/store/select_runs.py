"""Which of several runs represents a model: the latest complete one with the most docs."""

from collections.abc import Iterable, Sequence

from evalharness.errors import StoreError
from evalharness.store.records import Manifest


def best_run(runs: Iterable[Manifest]) -> Manifest | None:
    """Rank of a run: complete before partial, single before a strategy, all docs before some, then the latest."""
    return max(runs, key=_rank, default=None)


def runs_of(runs: Sequence[Manifest], model: str, suite: str | None = None) -> list[Manifest]:
    """A model's runs that have ended, of one suite if given; runs of the fake engine don't count."""
    return [
        run
        for run in runs
        if run.model == model
        and suite in (None, run.suite)
        and run.status != "running"
        and not run.is_fake
    ]


def real(run: Manifest, name: str) -> Manifest:
    """The run that a name was found to mean, if that is allowed.

    Raises:
        StoreError: the name is a model's, and the run is of the fake engine.
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
