"""Score of cmr_self_correct: does the model mend a wrong solution, and leave a right one alone?

    score = max(0, fix_rate + keep_rate - 1)

`fix_rate` is the share of wrong solutions after which the right answer is given, `keep_rate` that of right solutions
whose answer is given again. The sum less 1 is Youden's J (Cancer 1950, 3:32): a model that always repeats the given
answer has 0 + 1 - 1 = 0, one that always gives another 0 at most, one that answers by lot below 0.

A reply without a number is neither fixed nor kept, and counts in `unparsed`.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple


class Checked(NamedTuple):
    """One doc and what became of it."""

    is_wrong: bool
    """The solution that was given."""
    is_right_now: bool


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """A doc's part in every metric: in `fix_rate` or in `keep_rate`."""
    number = final_number(results[0])
    is_right_now = number == int(doc["answer"])
    is_wrong = doc["first_wrong"] > 0
    return {
        "score": Checked(is_wrong, is_right_now),
        "fix_rate" if is_wrong else "keep_rate": float(is_right_now),
        "unparsed": float(number is None),
    }


def final_number(answer: str) -> float | None:
    """The first number of an answer line (after its last "="), without thousands separators."""
    found = re.search(r"-?\d[\d,]*(?:\.\d+)?", answer.rsplit("=", 1)[-1])
    return float(found[0].replace(",", "")) if found else None


def score(items: Sequence[Checked]) -> float:
    """Fix rate plus keep rate less 1, at least 0; NaN where all solutions are right, or all wrong."""
    fixed = [item.is_right_now for item in items if item.is_wrong]
    kept = [item.is_right_now for item in items if not item.is_wrong]
    if not fixed or not kept:
        return math.nan
    return max(0.0, sum(fixed) / len(fixed) + sum(kept) / len(kept) - 1)
