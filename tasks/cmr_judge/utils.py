"""Score of cmr_judge: does the model see whether a worked solution is right, and where it first goes wrong?

    score = 0.4 * max(0, mcc) + 0.6 * step_acc

`mcc` is the Matthews correlation of the verdict (wrong or not) with the truth, over all docs; `step_acc` the share of
wrong solutions whose first wrong step is named. The weights are those of MR-Score (0.2 MCC, 0.3 first step, 0.5 reason;
Zeng et al. 2023, arXiv:2312.17080) without its third term, which needs a judge, brought to a sum of 1.

A reply without a verdict counts as the verdict that is false for its doc, and in `unparsed`.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import evalharness.stats.calibration as calibration

MCC_WEIGHT = 0.4
STEP_WEIGHT = 0.6


class Judged(NamedTuple):
    """One doc and its verdict."""

    is_wrong: bool
    says_wrong: bool
    is_step_right: bool
    """The first wrong step is named; False for a right solution."""


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """A doc's part in every metric; `step_acc` has a part only in wrong solutions."""
    is_wrong = doc["first_wrong"] > 0
    step = named_step(results[0])
    says_wrong = not is_wrong if step is None else step > 0
    is_step_right = is_wrong and step == doc["first_wrong"]
    judged = Judged(is_wrong, says_wrong, is_step_right)
    return {
        "score": judged,
        "mcc": judged,
        **({"step_acc": float(is_step_right)} if is_wrong else {}),
        "verdict_acc": float(is_wrong == says_wrong),
        "unparsed": float(step is None),
    }


def named_step(answer: str) -> int | None:
    """The step an answer line calls wrong, 0 for "correct", None for neither.

    "step 3", "Step 3 is wrong." and a bare "3" are 3; "correct" must come first, so that "incorrect" is None.
    """
    text = answer.strip(" \t*_\"'`.").lower()
    if text.startswith("correct"):
        return 0
    found = re.search(r"\bstep\W*(\d+)", text) or re.fullmatch(r"(\d)", text)
    return int(found[1]) if found else None


def score(items: Sequence[Judged]) -> float:
    """The weighted sum; NaN where no solution is wrong, so that there is no step to find."""
    wrong = [item.is_step_right for item in items if item.is_wrong]
    if not wrong:
        return math.nan
    return MCC_WEIGHT * max(0.0, mcc(items)) + STEP_WEIGHT * sum(wrong) / len(wrong)


def mcc(items: Sequence[Judged]) -> float:
    """Matthews correlation, -1 to 1; 0 for a model that always says the same."""
    return calibration.mcc([i.says_wrong for i in items], [i.is_wrong for i in items])
