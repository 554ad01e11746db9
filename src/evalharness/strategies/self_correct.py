"""Intrinsic self-correction with its controls: no oracle says whether an answer was right.

Arms: `correct` (critique, then a new answer, round by round), `reanswer` (asked again without a critique) and `vote`
(independent draws, as many as the tokens of `correct` allow). Round 0 is the same answer in the first two, and the first
of the votes.

Source: Huang et al. 2023, arXiv:2310.01798 (why controls of equal cost are needed); Kumar et al. 2024,
arXiv:2409.12917 (what is measured).
"""

import math

from evalharness.config.schema import StrategyConfig
from evalharness.tasks.conversation import (
    Dialogue,
    Turn,
    together,
)

_MOST_VOTES = 64
"""Most draws, so that very short answers don't draw forever."""


async def self_correct(config: StrategyConfig, dialogue: Dialogue) -> str:
    """The answer after the last round."""
    first = await dialogue.generate()
    dialogue.attempt("correct", 0, first, first.num_tokens)
    dialogue.attempt("reanswer", 0, first, first.num_tokens)
    last, _ = await together(_correct(config, dialogue, first), _reanswer(config, dialogue, first))
    most = max(tried.num_tokens for tried in dialogue.attempts if tried.arm == "correct")
    await _vote(dialogue, first, most)
    return last.text


async def _correct(config: StrategyConfig, dialogue: Dialogue, first: Turn) -> Turn:
    prompt, answer, num_tokens = dialogue.prompt, first, first.num_tokens
    for step in range(1, config.rounds + 1):
        prompt = dialogue.follow_up(prompt, answer.text, config.critique)
        critique = await dialogue.generate(
            prompt,
            arm="correct",
            step=step,
            purpose="critique",
            # A task's stop strings end an answer, not a critique.
            stop=() if dialogue.is_chat else None,
            # A thinking model needs room to think before the critique begins.
            max_gen_toks=None if dialogue.think_end else config.max_critique_toks,
        )
        prompt = dialogue.follow_up(prompt, critique.text, config.correct)
        answer = await dialogue.generate(prompt, arm="correct", step=step)
        num_tokens += critique.num_tokens + answer.num_tokens
        dialogue.attempt("correct", step, answer, num_tokens)
    return answer


async def _reanswer(config: StrategyConfig, dialogue: Dialogue, first: Turn) -> Turn:
    prompt, answer, num_tokens = dialogue.prompt, first, first.num_tokens
    for step in range(1, config.rounds + 1):
        prompt = dialogue.follow_up(prompt, answer.text, config.reanswer)
        answer = await dialogue.generate(prompt, arm="reanswer", step=step)
        num_tokens += answer.num_tokens
        dialogue.attempt("reanswer", step, answer, num_tokens)
    return answer


async def _vote(dialogue: Dialogue, first: Turn, num_tokens: int) -> None:
    """Draws until they and the first answer have used as many tokens."""
    spent, step = first.num_tokens, 1
    while spent < num_tokens and step <= _MOST_VOTES:
        # As many at once as answers of the usual length are needed.
        num_missing = math.ceil((num_tokens - spent) / max(spent / step, 1))
        steps = range(step, min(step + num_missing, _MOST_VOTES + 1))
        turns = await together(*(dialogue.generate(arm="vote", step=i, draw=i) for i in steps))
        for i, turn in zip(steps, turns, strict=True):
            dialogue.attempt("vote", i, turn, turn.num_tokens)
        spent += sum(turn.num_tokens for turn in turns)
        step = steps.stop
