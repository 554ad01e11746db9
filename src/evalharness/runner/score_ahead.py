"""Slow scoring, done in a thread beforehand, so that the event loop doesn't wait for it.

For tasks that say `metadata: {scores_in_thread: true}`: their scoring may run in any thread (no signals, no state) and
remembers what it did, as `tasks.sandbox.programs` does, so that the real scoring finds it done.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from evalharness.runner.samples import Sample
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.user_code import UserCodeError


def score_ahead(loaded: LoadedTask, sample: Sample) -> None:
    """Score all answers of a finished sample and keep nothing; errors will be raised again by the real scoring.

    Args:
        loaded: a task with one instance per sample.
        sample: answered.
    """
    task, (instance, *_) = loaded.task, sample.instances
    answers = {str(answer) for answer in instance.resps}
    for answer in answers | {tried.turn.text for tried in sample.attempts}:
        copy = replace(instance, resps=[answer], filtered_resps={})
        with contextlib.suppress(UserCodeError), loaded.bounds.contain("scoring"):
            for filter_ in task._filters:
                filter_.apply([copy])
                task.process_results(copy.doc, [copy.filtered_resps[filter_.name]])
