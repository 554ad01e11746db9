"""Draws of every doc, each a separate sample: the task is repeated, so each counts on its own."""

from evalharness.config.schema import StrategyConfig
from evalharness.tasks.conversation import Dialogue


async def repeats(config: StrategyConfig, dialogue: Dialogue) -> str:
    """One draw."""
    turn = await dialogue.generate(arm="sample", step=dialogue.where.repeat, draw=0)
    dialogue.attempt("sample", dialogue.where.repeat, turn, turn.num_tokens)
    return turn.text
