"""Scales of metrics that are fixed by their names; other metrics have an unknown scale."""

import math
from typing import NamedTuple


class Scale(NamedTuple):
    """Least and largest value that a metric can have."""

    least: float
    largest: float


_SHARE = Scale(0.0, 1.0)
_SHARES = {
    "acc", "acc_norm", "acc_bytes", "acc_mutual_info", "acc_all", "exact_match", "em", "f1", "mc1", "mc2",
    "pass@1", "pass_at_1", "refusal", "right_behaviour", "pct_stereotype", "math_verify",
    "prompt_level_strict_acc", "prompt_level_loose_acc", "inst_level_strict_acc", "inst_level_loose_acc",
    "rouge1", "rouge2", "rougeL", "rougeLsum",
}  # fmt: skip
_OTHERS = {
    "mcc": Scale(-1.0, 1.0),
    "brier_score": Scale(0.0, 2.0),  # summed over the classes
    "bleu": Scale(0.0, 100.0),  # sacrebleu's
    "chrf": Scale(0.0, 100.0),
    "ter": Scale(0.0, math.inf),
    "perplexity": Scale(1.0, math.inf),
    "word_perplexity": Scale(1.0, math.inf),
    "byte_perplexity": Scale(1.0, math.inf),
    "bits_per_byte": Scale(0.0, math.inf),
}


def scale_of(metric: str) -> Scale | None:
    """The metric's scale; None if its name doesn't fix one."""
    return _SHARE if metric in _SHARES else _OTHERS.get(metric)


def is_share(metric: str) -> bool:
    """Whether the scale is 0 to 1, so that a value is a share of the maximum."""
    return scale_of(metric) == _SHARE
