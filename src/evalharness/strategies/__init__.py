"""How a generative task's requests become an answer, whatever the task: one conversation per sample.

A strategy is a function over a `Dialogue`: it asks, marks the answers to be scored for its curve, and returns the
sample's answer. `single` has no conversation: the runner sends its requests as they are.
"""

import logging
from collections.abc import Sequence
from functools import partial

from evalharness.config.schema import (
    StrategyConfig,
    StrategyKind,
)
from evalharness.errors import TaskError
from evalharness.strategies.budget import budget
from evalharness.strategies.repeats import repeats
from evalharness.strategies.self_correct import self_correct
from evalharness.strategies.verify import verify
from evalharness.tasks.conversation import Solve
from evalharness.tasks.loaded_task import LoadedTask

logger = logging.getLogger(__name__)

__all__ = ["apply", "first_draw", "is_conversation", "solver"]

_CONVERSATIONS = {
    StrategyKind.repeats: repeats,
    StrategyKind.self_correct: self_correct,
    StrategyKind.verify: verify,
    StrategyKind.budget: budget,
}
_MOST_DRAWS = 1 << 16
"""Most draws of one sample; the draws of its doc's next sample begin there."""


def apply(config: StrategyConfig, tasks: Sequence[LoadedTask]) -> list[str]:
    """Apply the strategy to the tasks that it can be applied to.

    These are generative tasks that draw one answer and have no conversation of their own.

    Returns:
        Names of the tasks that run as they are.

    Raises:
        TaskError: it can't be applied to any.
    """
    if config.kind is StrategyKind.single:
        return []
    able = [task for task in tasks if _is_able(task)]
    if not able:
        raise TaskError(
            f"strategy={config.kind.value} is for generative tasks, and the suite has none; "
            "strategy=single runs it"
        )
    for task in able:
        task.strategy = config
        if config.kind is StrategyKind.repeats:
            if task.repeats not in (1, config.k):
                logger.warning(
                    "%s: strategy.k=%d, not repeats=%d", task.name, config.k, task.repeats
                )
            task.repeats = config.k
    return [task.name for task in tasks if task not in able]


def solver(config: StrategyConfig) -> Solve | None:
    """The conversation of a strategy; None for `single`."""
    conversation = _CONVERSATIONS.get(config.kind)
    return partial(conversation, config) if conversation else None


def first_draw(config: StrategyConfig, repeat: int) -> int:
    """The index of a sample's first draw among those of its doc."""
    return repeat if config.kind is StrategyKind.repeats else repeat * _MOST_DRAWS


def is_conversation(task: LoadedTask) -> bool:
    """Whether a task's samples are conversations, through its strategy or its own."""
    return task.strategy.kind is not StrategyKind.single or task.solve is not None


def _is_able(task: LoadedTask) -> bool:
    return task.kind == "generate_until" and task.num_draws == 1 and task.solve is None
