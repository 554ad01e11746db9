"""Generation and verification: draws, each judged by the model's own probability that it is right.

Source: Song et al. 2024, arXiv:2412.02674 (the generation-verification gap).
"""

from evalharness.config.schema import StrategyConfig
from evalharness.tasks.conversation import (
    Dialogue,
    Tried,
    together,
)

_CHOICES = {True: ("Yes", "No"), False: (" Yes", " No")}
"""Spellings after a chat's opening of an answer, and after plain text."""


async def verify(config: StrategyConfig, dialogue: Dialogue) -> str:
    """The draw that the model itself gives the highest probability of being right; the first of equals."""
    await together(*(_draw(config, dialogue, step) for step in range(config.k)))
    dialogue.attempts.sort(key=lambda tried: tried.step)
    return max(dialogue.attempts, key=_p_yes).turn.text


async def _draw(config: StrategyConfig, dialogue: Dialogue, step: int) -> None:
    turn = await dialogue.generate(arm="sample", step=step, draw=step)
    prompt = dialogue.follow_up(dialogue.prompt, turn.text, config.verify)
    choices = _CHOICES[dialogue.is_chat]
    judged = await dialogue.choose(prompt, choices, arm="sample", step=step)
    dialogue.attempt("sample", step, turn, turn.num_tokens, judged.p_yes)


def _p_yes(tried: Tried) -> float:
    assert tried.p_yes is not None
    return tried.p_yes
