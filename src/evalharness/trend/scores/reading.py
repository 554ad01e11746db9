"""What reading a file of scores gives, whatever its format: scores, and remarks on what isn't among them.

A row is read completely or not at all. Beside the checks of each row, rows that contradict each other about what a number
is are refused: a score corrected for chance beside a raw one of the same cell, a model in two families, a release after
the publication of its score, shares among percentages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evalharness.trend.scores.benchmarks import find_benchmark, nearest_benchmark
from evalharness.trend.scores.records import ReportedScore

_CHANCE_OF_CHOICES = 0.1
"""Chance of a benchmark on which nobody scores 1 %: that of ten choices, as a share."""


class Problem(NamedTuple):
    """A remark on a line of the file."""

    line: int
    column: str
    """Empty if it is the whole line."""
    message: str

    def __str__(self) -> str:
        """Number of one line of it."""
        where = f", column {self.column}" if self.column else ""
        return f"line {self.line}{where}: {self.message}"


class CellError(ValueError):
    """A cell that can't be read."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The content of a file."""

    collection: str
    scores: tuple[ReportedScore, ...]
    skipped: tuple[Problem, ...]
    """Remarks on bad cells, one for each; such a row isn't among the scores."""
    duplicates: tuple[Problem, ...]
    """Rows that repeat another one in every field, which aren't among the scores either."""
    unknown: tuple[Problem, ...]
    """Benchmarks that aren't in `benchmarks.yaml`, each once; their scores are kept."""
    notices: tuple[str, ...]
    """Remarks on the file as a whole."""


def assemble(
    collection: str,
    scores: Sequence[ReportedScore],
    skipped: Iterable[Problem],
    *,
    is_checked: bool = True,
    notices: Iterable[str] = (),
) -> Reading:
    """The reading of a file's rows: repetitions dropped, contradicting rows skipped, unknown benchmarks named.

    Args:
        collection: name of the file.
        scores: each with its line.
        skipped: problems of the rows that aren't among them.
        is_checked: whether the scores are held against each other.
        notices: remarks on the file as a whole.
    """
    problems = [*skipped]
    if is_checked:
        found = {problem.line: problem for problem in contradictions(scores)}
        problems += found.values()
        scores = [score for score in scores if score.line not in found]
    kept: dict[tuple[object, ...], ReportedScore] = {}
    duplicates = []
    for score in scores:
        first = kept.setdefault(score.content, score)
        if first is not score:
            message = f"the same as line {first.line}; dropped"
            duplicates.append(Problem(score.line or 0, "", message))
    scores = tuple(kept.values())
    return Reading(
        collection=collection,
        scores=scores,
        skipped=tuple(sorted(problems)),
        duplicates=tuple(duplicates),
        unknown=tuple(_unknown(scores)),
        notices=tuple(notices),
    )


def contradictions(scores: Sequence[ReportedScore]) -> Iterator[Problem]:
    """Lines that can't be right beside the others, at most one problem each kind."""
    yield from _dates(scores)
    yield from _families(scores)
    yield from _corrections(scores)
    yield from _shares(scores)


def _dates(scores: Iterable[ReportedScore]) -> Iterator[Problem]:
    for score in scores:
        if score.release_date and score.score_date and score.release_date > score.score_date:
            message = f"{score.release_date} is after its score was published ({score.score_date})"
            yield Problem(score.line or 0, "release_date", message)


def _families(scores: Iterable[ReportedScore]) -> Iterator[Problem]:
    first: dict[str, ReportedScore] = {}
    for score in scores:
        held = first.setdefault(score.model, score) if score.family else score
        if held.family != score.family:
            message = (
                f"{score.family!r}, but {score.model!r} is of {held.family!r} in line {held.line}"
            )
            yield Problem(score.line or 0, "family", message)


def _corrections(scores: Iterable[ReportedScore]) -> Iterator[Problem]:
    cells: dict[tuple[str, str], dict[bool, ReportedScore]] = {}
    for score in scores:
        first = cells.setdefault((score.model, score.benchmark), {})
        first.setdefault(score.chance_corrected, score)
    for score in scores:
        other = cells[score.model, score.benchmark].get(not score.chance_corrected)
        if other is not None:
            now, then = ("corrected", "raw") if score.chance_corrected else ("raw", "corrected")
            message = f"{now} here and {then} in line {other.line}, of one model and benchmark; give one of them"
            yield Problem(score.line or 0, "chance_corrected", message)


def _shares(scores: Sequence[ReportedScore]) -> Iterator[Problem]:
    """Scores of at most 1 in a file with others above, where they are the most or guessing scores more: whose scale isn't known."""
    above = [score for score in scores if score.score > 1]
    low = [score for score in scores if 0 < score.score <= 1]
    if above:
        for score in low if len(low) >= len(above) else filter(_is_far_below_chance, low):
            message = f"{score.score:g} is at most 1 in a file with {above[0].score:g} (line {above[0].line}): a share among percentages?"
            yield Problem(score.line or 0, "score", message)


def _is_far_below_chance(score: ReportedScore) -> bool:
    known = find_benchmark(score.benchmark)
    chance = known.chance if known and not score.chance_corrected else None
    return chance is not None and chance >= _CHANCE_OF_CHOICES


def _unknown(scores: Iterable[ReportedScore]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for score in scores:
        if find_benchmark(score.benchmark) is None:
            first.setdefault(score.benchmark, score.line or 0)
    for label, line in first.items():
        message = f"unknown benchmark {label!r}{nearest_benchmark(label)}; kept under this name"
        yield Problem(line, "benchmark", message)
