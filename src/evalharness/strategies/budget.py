"""Accuracy against thinking: the thinking is stopped at each budget, and the answer forced from there.

One thinking, as long as the largest budget, serves all budgets, cut at each of them. If the model or the context ends
it sooner, larger budgets change nothing, and one request answers them all.

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
    # The end tag and an answer must still fit the context after the thinking.
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
    """The answer after this many tokens of thinking; one cut by its own limit counts as none."""
    prompt, num_tokens = dialogue.close_thinking(opened, thought, limit)
    turn = await dialogue.generate(
        prompt,
        arm="budget",
        step=limit,
        message=dialogue.think_end,
        is_raw=True,
        is_whole=True,
        # The same thinking has the same answer, whichever larger budget it is for.
        seed_step=num_tokens,
    )
    dialogue.attempt("budget", limit, turn, num_tokens + turn.num_tokens)
    return turn
