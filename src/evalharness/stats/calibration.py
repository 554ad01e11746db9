"""How well a confidence tells right from wrong: confidence and correctness per answer in, one number out.

Nothing in is NaN out.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Values = Sequence[float] | Floats
Flags = Sequence[bool] | Sequence[int] | Sequence[float] | npt.NDArray[np.generic]


def auroc(confidence: Values, correct: Flags) -> float:
    """Probability that a right answer has more confidence than a wrong one; equal confidence counts half.

    NaN when all answers are right or all are wrong. 0.5 is no better than chance.

    Args:
        confidence: (answers,) on any scale, infinities included.
        correct: (answers,) 0 or 1.

    Raises:
        ValueError: lengths differ, a confidence is NaN, a `correct` is neither 0 nor 1.

    Source: Hanley & McNeil 1982, Radiology 143:29 (the Mann-Whitney statistic over its maximum).
    """
    scores, is_right = _checked(confidence, correct)
    num_right = int(is_right.sum())
    num_pairs = num_right * (len(scores) - num_right)
    if num_pairs == 0:
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(mean_ranks[place][is_right].sum())
    return (rank_sum - num_right * (num_right + 1) / 2) / num_pairs


def brier(confidence: Values, correct: Flags) -> float:
    """Mean squared distance of a probability from what came true: 0 is best, 0.25 is what a constant 0.5 has.

    Args:
        confidence: (answers,) probability in [0, 1] of being right.
        correct: (answers,) 0 or 1.

    Raises:
        ValueError: as `auroc`, or a confidence outside [0, 1].

    Source: Brier 1950, Monthly Weather Review 78:1, for two outcomes (half of his sum over both).
    """
    probabilities, is_right = _checked_probabilities(confidence, correct)
    return float(((probabilities - is_right) ** 2).mean()) if len(probabilities) else math.nan


def ece(confidence: Values, correct: Flags, bins: int = 10) -> float:
    """Expected calibration error: |accuracy - mean confidence| of each bin, weighted by its answers.

    It is biased upwards where bins hold few answers, and depends on their number: name both beside it.

    Args:
        confidence: (answers,) probability in [0, 1] of being right.
        correct: (answers,) 0 or 1.
        bins: of equal width, each holding its upper edge; 0 is in the first.

    Raises:
        ValueError: as `brier`, or fewer than one bin.

    Source: Naeini et al. 2015, AAAI; Guo et al. 2017, arXiv:1706.04599, eq. 3.
    """
    if bins < 1:
        raise ValueError(f"{bins} bins")
    probabilities, is_right = _checked_probabilities(confidence, correct)
    if not len(probabilities):
        return math.nan
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    place = np.digitize(probabilities, edges, right=True)
    excess = np.bincount(place, weights=probabilities - is_right)
    return float(np.abs(excess).sum()) / len(probabilities)


def mcc(predicted: Flags, actual: Flags) -> float:
    """Matthews correlation of two yes-or-no columns, -1..1; 0 is chance at any share of yes.

    0 where a column is all yes or all no: such a judge (or such a set) distinguishes nothing.

    Args:
        predicted: (items,) 0 or 1.
        actual: (items,) 0 or 1.

    Raises:
        ValueError: lengths differ, a value is neither 0 nor 1.

    Source: Matthews 1975, Biochimica et Biophysica Acta 405:442; 0 for an empty margin as in scikit-learn.
    """
    guesses, facts = _flags("predicted", predicted), _flags("actual", actual)
    if len(guesses) != len(facts):
        raise ValueError(f"{len(guesses)} predicted but {len(facts)} actual")
    if not len(facts):
        return math.nan
    n, yes_guessed, yes = len(facts), int(guesses.sum()), int(facts.sum())
    margins = yes_guessed * (n - yes_guessed) * yes * (n - yes)
    if margins == 0:
        return 0.0
    return (n * int((guesses & facts).sum()) - yes_guessed * yes) / math.sqrt(margins)


def _checked(confidence: Values, correct: Flags) -> tuple[Floats, npt.NDArray[np.bool_]]:
    scores, is_right = np.asarray(confidence, dtype=float), _flags("correct", correct)
    if len(scores) != len(is_right):
        raise ValueError(f"{len(scores)} confidences but {len(is_right)} answers")
    if np.isnan(scores).any():
        raise ValueError("a confidence is NaN: leave its answer out")
    return scores, is_right


def _checked_probabilities(
    confidence: Values, correct: Flags
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    scores, is_right = _checked(confidence, correct)
    if ((scores < 0) | (scores > 1)).any():
        raise ValueError("a confidence is outside [0, 1]; a probability is needed")
    return scores, is_right


def _flags(name: str, values: Flags) -> npt.NDArray[np.bool_]:
    numbers = np.asarray(values)
    if not np.isin(numbers, (0, 1)).all():
        raise ValueError(f"{name} has values other than 0 and 1")
    return numbers.astype(bool)
