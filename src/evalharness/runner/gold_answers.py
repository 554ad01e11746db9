"""What a task's filters extract from the target: the right answer in the form in which the model's is compared.

Only for tasks whose sole metric is lm-eval's `exact_match` with the task's own code nowhere in between, and only where
what was extracted alone scores 1: otherwise it is not known what an answer is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.random_state import seeded
from evalharness.tasks.user_code import UserCodeError

if TYPE_CHECKING:
    from evalharness.runner.score import Scored

NO_ANSWER = ("", "[invalid]")
"""What lm-eval's filters return if they find nothing."""
_METRIC = "exact_match"


class GoldAnswers:
    """The targets of a task's docs as its filters extract them."""

    def __init__(
        self, loaded: LoadedTask, score: Callable[[Sequence[Instance]], Mapping[str, Scored]]
    ) -> None:
        """Start with none.

        Args:
            loaded: a task that `can_extract` allows.
            score: filters and scores the responses of a doc's instances.
        """
        self._loaded, self._score = loaded, score
        self._last: tuple[int, dict[str, str]] = -1, {}

    def of(self, doc_id: int, instances: Sequence[Instance]) -> dict[str, str]:
        """Filter -> what it extracts from the doc's target, for the filters that find a part of it that scores 1."""
        if self._last[0] != doc_id:  # repeats of a doc have the same target
            self._last = doc_id, self._extracted(doc_id, instances)
        return self._last[1]

    def _extracted(self, doc_id: int, instances: Sequence[Instance]) -> dict[str, str]:
        try:
            with (
                self._loaded.bounds.contain("the target"),
                seeded(self._loaded.name, doc_id, "gold answer"),
            ):
                target = self._loaded.target(doc_id, instances[0].doc)
                if len(target.split()) < 2:
                    return {}
                said = [replace(i, resps=[target], filtered_resps={}) for i in instances]
                found = self._score(said)
        except UserCodeError:
            return {}
        whole = (target.strip(), *NO_ANSWER)
        return {
            name: answer
            for name, scored in found.items()
            if scored.scores.get(_METRIC) == 1 and (answer := scored.answer.strip()) not in whole
        }


def can_extract(loaded: LoadedTask) -> bool:
    """Whether a task's answers are compared with the target by lm-eval's own `exact_match`, and by nothing else."""
    task = loaded.task
    return (
        type(task) is ConfigurableTask
        and loaded.kind == "generate_until"
        and loaded.num_draws == 1
        and task.config.process_results is None
        and not task.multiple_target
        and set(task.aggregation()) == {_METRIC}
    )
