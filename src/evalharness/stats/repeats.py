"""The value of k samples of a doc, from the n >= k that were drawn: scores in, exact expectations out.

Each is the mean over all subsets of k of the n samples, counted and not drawn. One set of samples serves every k, and
no seed is needed.
"""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MAX_SAMPLES = 1000
"""Binomial coefficients of more overflow a float."""


def pass_at_k(num_correct: npt.ArrayLike, num_samples: int, k: int) -> Floats:
    """Unbiased pass@k per doc.

    Args:
        num_correct: (docs,) correct samples per doc, 0..num_samples.
        num_samples: drawn of each doc.
        k: samples allowed, 1 <= k <= num_samples.

    Returns:
        (docs,) probability in [0, 1].

    Raises:
        ValueError: k > num_samples or < 1; num_correct outside 0..num_samples.

    Source: Chen et al. 2021, arXiv:2107.03374, eq. 1 (product form: no factorials).
    """
    _check_k(k, num_samples)
    counts = np.asarray(num_correct, dtype=np.int64)
    if counts.size and not 0 <= counts.min() <= counts.max() <= num_samples:
        raise ValueError(f"num_correct is outside 0..{num_samples}: {counts}")
    factors = 1 - k / np.arange(num_samples, 0, -1)
    all_wrong = np.concatenate([[1.0], np.cumprod(factors)])
    return np.asarray(1 - all_wrong[counts])


def majority_at_k(answers: Sequence[str | None], scores: Sequence[float], k: int) -> float:
    """Expected score of one doc's majority answer among k random samples; see `majority_curve`."""
    (score,) = majority_curve(answers, scores, [k])
    return score


def majority_curve(
    answers: Sequence[str | None], scores: Sequence[float], ks: Sequence[int]
) -> list[float]:
    """maj@k of one doc for several k: the expected score of the answer that most of k random samples give.

    Answers with equally many votes win by lot, so their scores are averaged. An answer's score is the mean of the
    samples that gave it. A sample without an answer doesn't vote; k samples without any score the mean of theirs.

    Args:
        answers: (samples,) extracted answers, compared as strings; None where there is none.
        scores: (samples,) of the samples, in their order.
        ks: samples allowed, each 1..samples.

    Returns:
        (ks,) exact to rounding (relative 1e-12).

    Raises:
        ValueError: k outside 1..samples, another number of scores, more than 1000 samples.

    A polynomial in x counts the subsets of each size (x^i: i samples). For each number of votes t that can win, answers
    given by fewer than t samples are free; of the others each has fewer than t votes, or t and shares the first place.
    """
    num_samples = len(answers)
    _check_lengths("answers", num_samples, scores)
    if num_samples > _MAX_SAMPLES:
        raise ValueError(f"{num_samples} samples of a doc; a majority of at most {_MAX_SAMPLES}")
    for k in ks:
        _check_k(k, num_samples)
    if not ks:
        return []
    votes = Counter(answer for answer in answers if answer is not None)
    means = _mean_scores(answers, scores)
    size = max(ks)
    totals = means[None] * _subsets(num_samples - votes.total(), size)
    for winning in range(1, min(size, max(votes.values(), default=0)) + 1):
        totals = totals + _score_sums(votes, means, winning, num_samples, size)
    return [float(totals[k]) / math.comb(num_samples, k) for k in ks]


def best_at_k(scores: Sequence[float], confidences: Sequence[float], k: int) -> float:
    """Expected score of one doc's most confident sample among k random ones; equal confidence is drawn by lot.

    Args:
        scores: (samples,).
        confidences: (samples,) on any scale; -inf for a sample that is taken only when there is no other.
        k: samples allowed, 1..samples.

    Raises:
        ValueError: k outside 1..samples, another number of confidences, a NaN among them.
    """
    num_samples = len(scores)
    _check_lengths("scores", num_samples, confidences)
    _check_k(k, num_samples)
    if any(math.isnan(confidence) for confidence in confidences):
        raise ValueError("a confidence is NaN; -inf stands for none")
    ranked = sorted(zip(confidences, scores, strict=True), reverse=True)
    total, num_left = 0.0, num_samples
    for _, equals in groupby(ranked, key=lambda pair: pair[0]):
        tied = [score for _, score in equals]
        subsets = math.comb(num_left, k) - math.comb(num_left - len(tied), k)
        total += math.fsum(tied) / len(tied) * (subsets / math.comb(num_samples, k))
        num_left -= len(tied)
    return total


def _score_sums(
    votes: Counter[str], means: dict[str | None, float], winning: int, num_samples: int, size: int
) -> Floats:
    """Sum over subsets of each size in which `winning` votes win, of the mean score of the answers that have them."""
    contenders = [answer for answer, count in votes.items() if count >= winning]
    num_free = num_samples - sum(votes[answer] for answer in contenders)
    max_tied = min(len(contenders), size // winning)
    # [0]: number of subsets; [1]: the sum over them of the tied answers' scores; by answers tied and by size.
    sums = np.zeros((2, max_tied + 1, size + 1))
    sums[0, 0] = _subsets(num_free, size)
    for answer in contenders:
        fewer = _subsets(votes[answer], winning - 1)
        grown = _times(sums, fewer)
        tied = math.comb(votes[answer], winning) * sums[:, :-1, : size + 1 - winning]
        grown[:, 1:, winning:] += tied
        grown[1, 1:, winning:] += means[answer] * tied[0]
        sums = grown
    return np.asarray((1 / np.arange(1, max_tied + 1)) @ sums[1, 1:])


def _subsets(num_samples: int, size: int) -> Floats:
    """How many subsets of each size 0..size there are."""
    return np.array([math.comb(num_samples, i) for i in range(size + 1)], dtype=float)


def _times(polynomials: Floats, factor: Floats) -> Floats:
    """Each polynomial (last axis) times one factor, cut to its length: one convolution of all, zeros between them."""
    length = polynomials.shape[-1]
    gap = np.zeros((*polynomials.shape[:-1], len(factor) - 1))
    padded = np.concatenate([polynomials, gap], axis=-1)
    product = np.convolve(padded.ravel(), factor)[: padded.size]
    return product.reshape(padded.shape)[..., :length]


def _mean_scores(answers: Sequence[str | None], scores: Sequence[float]) -> dict[str | None, float]:
    """Answer -> mean score of the samples that gave it; 0 for None when all samples have an answer."""
    groups: dict[str | None, list[float]] = {None: []}
    for answer, score in zip(answers, scores, strict=True):
        groups.setdefault(answer, []).append(score)
    return {
        answer: math.fsum(found) / len(found) if found else 0.0 for answer, found in groups.items()
    }


def _check_k(k: int, num_samples: int) -> None:
    if not 1 <= k <= num_samples:
        raise ValueError(f"k is {k} of {num_samples} samples")


def _check_lengths(what: str, num_samples: int, values: Sequence[float]) -> None:
    if len(values) != num_samples:
        raise ValueError(f"{num_samples} {what} but {len(values)} values for them")
