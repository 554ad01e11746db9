"""A dialogue: the model guesses a hidden number and hears "higher" or "lower" after each guess."""

import re
from typing import Any

from evalharness.tasks.conversation import Dialogue
from evalharness.tasks.python_task import Doc, PythonTask

NUM_GUESSES = 6
"""Enough for every number of 63, if each guess halves what is left."""


class NumberGuessing(PythonTask):
    """Found within six guesses, or not."""

    max_gen_toks = 16
    metrics = ("found",)

    def docs(self) -> list[dict[str, Any]]:
        """Each of 63 places once, each in another range."""
        lows = [17 * i + 1 for i in range(63)]
        return [
            {"id": f"{i:02d}", "low": low, "high": low + 62, "number": low + i * 29 % 63}
            for i, low in enumerate(lows)
        ]

    def prompt(self, doc: Doc) -> str:
        """The rules."""
        return (
            f"I think of a whole number from {doc['low']} to {doc['high']}. You have {NUM_GUESSES} guesses, and after "
            "each I say whether my number is higher or lower. Answer with your guess only, one number.\nGuess:"
        )

    def target(self, doc: Doc) -> str:
        """The hidden number."""
        return str(doc["number"])

    async def solve(self, doc: Doc, dialogue: Dialogue) -> str:
        """All guesses, in order: what `score` judges."""
        prompt, said, guesses = dialogue.prompt, "", []
        for step in range(NUM_GUESSES):
            turn = await dialogue.generate(prompt, step=step, purpose="guess", message=said)
            guess = re.search(r"-?\d+", turn.text)
            if guess is None:
                break
            guesses.append(guess[0])
            if int(guess[0]) == doc["number"]:
                break
            hint = "higher" if doc["number"] > int(guess[0]) else "lower"
            said = f"My number is {hint}. Guess:"
            prompt = dialogue.follow_up(prompt, turn.text, said)
        return " ".join(guesses)

    def score(self, doc: Doc, answer: str) -> dict[str, float]:
        """1 when one of the first six guesses is the number."""
        return {"found": float(self.target(doc) in answer.split()[:NUM_GUESSES])}
