"""Accuracy against thinking: the thinking is ended at each budget, and the answer forced from there.

One thinking as long as the largest budget serves all of them, cut where each of them ends; where the model ends it
sooner, larger budgets change nothing, and the same request answers them all. So they do where the context ends first.

Source: Muennighoff et al. 2025, arXiv:2501.19393 (budget forcing).
"""

from evalharness.config.schema import StrategyConfig
from evalharness.tasks.conversation import (
    Dialogue,
    Turn,
    together,
)


async def budget(config: StrategyConfig, dialogue: Dialogue) -> str:
    """The answer at the largest budget."""
    budgets = sorted(config.budgets)
    opened = dialogue.open_thinking()
    # The end tag and an answer must still fit the context behind the thinking.
    most = min(budgets[-1], dialogue.thinking_room(opened))
    thought = await dialogue.generate(
        opened,
        arm="budget",
        step=budgets[-1],
        purpose="think",
        stop=(dialogue.think_end,),
        max_gen_toks=max(most, 1),
        is_raw=True,
        cut_reason="budget",
    )
    answers = await together(*(_answer(dialogue, opened, thought, limit) for limit in budgets))
    return answers[-1].text


async def _answer(dialogue: Dialogue, opened: str, thought: Turn, limit: int) -> Turn:
    """The answer that follows so many tokens of thinking; one that its own limit cut is none."""
    prompt, num_tokens = dialogue.close_thinking(opened, thought, limit)
    turn = await dialogue.generate(
        prompt,
        arm="budget",
        step=limit,
        message=dialogue.think_end,
        is_raw=True,
        is_whole=True,
        # The same thinking has the same answer, whatever larger budget it stands for.
        seed_step=num_tokens,
    )
    dialogue.attempt("budget", limit, turn, num_tokens + turn.num_tokens)
    return turn
