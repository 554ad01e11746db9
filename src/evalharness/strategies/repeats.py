"""Draws of every doc, each a sample of its own: what is repeated is the task, so each counts by itself."""

from evalharness.config.schema import StrategyConfig
from evalharness.tasks.conversation import Dialogue


async def repeats(config: StrategyConfig, dialogue: Dialogue) -> str:
    """One draw."""
    turn = await dialogue.generate(arm="sample", step=dialogue.where.repeat, draw=0)
    dialogue.attempt("sample", dialogue.where.repeat, turn, turn.num_tokens)
    return turn.text
