"""Score of math500_boxed: is the answer in the response's last box the same mathematics as the gold answer?"""

import threading
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

_EXTRACTION = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """{"exact_match": 1.0 or 0.0}; without a box the last expression in the response counts."""
    return {"exact_match": float(is_same(doc["answer"], results[0]))}


def is_same(answer: str, response: str) -> bool:
    r"""Whether `response` ends in mathematics equal to `answer` (LaTeX, without delimiters).

    Only what follows the last \boxed is read: given several boxes math_verify takes them for one set, and a
    model that corrects itself would be wrong.
    """
    # math_verify's time limit is an alarm signal, which Python allows in the main thread only.
    seconds = 5 if threading.current_thread() is threading.main_thread() else None
    start = max(response.rfind("\\boxed"), 0)
    gold = parse("\\boxed{" + answer + "}", _EXTRACTION, parsing_timeout=seconds)
    got = parse(response[start:], _EXTRACTION, parsing_timeout=seconds)
    return bool(verify(gold, got, timeout_seconds=seconds))
