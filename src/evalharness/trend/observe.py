"""Which scores are fitted: every model under one name, one effort a cell, each fact once, chance and ceiling known.

A cell is a model on a benchmark. Where it has scores at several efforts, those of one effort count (the highest reported, if
no other policy is asked for); where
one source says a value that another has said, it counts once; where one source has published a newer value, that counts.
What is left out is counted, and a raw score on a benchmark of unknown chance is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal, NamedTuple

from evalharness.trend.capability_index import Score
from evalharness.trend.scores.benchmarks import find_benchmark
from evalharness.trend.scores.identity import effort, identity_of, key_of, known_models
from evalharness.trend.scores.records import ReportedScore

EffortPolicy = Literal["highest", "lowest", "median", "default"]
EFFORT_POLICIES: Mapping[EffortPolicy, str] = {
    "highest": "highest reported effort",
    "lowest": "lowest reported effort",
    "median": "middle one of its reported efforts",
    "default": "score without a stated effort, else the lowest",
}
"""Which of a cell's settings counts. But for `default`, a score that doesn't say its setting counts where none does."""
_PERCENT = 100
_SAME = 0.011
"""Percentage points within which two values of a cell are one fact: values are quoted with one or two decimals."""


_Pair = tuple[ReportedScore, Score]
_Cell = Sequence[_Pair]


class LeftOut(NamedTuple):
    """How many scores aren't fitted, and by which rule."""

    effort_policy: str
    num_lower_efforts: int
    """Scores at other efforts than the policy's."""
    num_superseded: int
    """Values that their own source has replaced by later ones."""
    num_cited_again: int
    """Values that another score of the same model and benchmark says already."""


class Observations(NamedTuple):
    """Scores to fit and what isn't among them."""

    scores: tuple[ReportedScore, ...]
    """Each with the model's one name, its setting, and what the table of models knows of it."""
    rows: tuple[Score, ...]
    """The same, for the fit."""
    left_out: LeftOut
    refused: Mapping[str, str]
    """Benchmark -> why its scores aren't among them."""


def observe(
    scores: Iterable[ReportedScore], since: date, effort_policy: EffortPolicy = "highest"
) -> Observations:
    """The scores of models released since a day, or without a date, that can be fitted.

    Args:
        scores: of any model.
        since: the day.
        effort_policy: a key of `EFFORT_POLICIES`.
    """
    named = _spelt_once(named_once(score) for score in scores)
    named = [s for s in named if s.release_date is None or s.release_date >= since]
    cells: dict[tuple[str, str], list[_Pair]] = {}
    unknown: dict[str, int] = {}
    for score in named:
        row = as_row(score)
        if row is None and is_chance_unknown(score):
            unknown[score.benchmark] = unknown.get(score.benchmark, 0) + 1
        elif row is not None:
            cells.setdefault((score.model, score.benchmark), []).append((score, row))
    kept: list[_Pair] = []
    counts = [0, 0, 0]
    of_effort = _CHOICES[effort_policy]
    for cell in cells.values():
        for place, choose in enumerate((_newest_of_source, of_effort, _each_value_once)):
            chosen = choose(cell)
            counts[place] += len(cell) - len(chosen)
            cell = chosen
        kept += cell
    return Observations(
        scores=tuple(score for score, _ in kept),
        rows=tuple(row for _, row in kept),
        left_out=LeftOut(EFFORT_POLICIES[effort_policy], counts[1], counts[0], counts[2]),
        refused={name: _unknown_words(count) for name, count in unknown.items()},
    )


def named_once(score: ReportedScore) -> ReportedScore:
    """The score under its model's one name; facts that it doesn't have are the table's."""
    found = identity_of(score)
    setting = score.setting or found.setting
    if not found.is_known:
        return replace(score, model=found.model, setting=setting)
    known = known_models()[found.model]
    return replace(
        score,
        model=known.model,
        setting=setting,
        family=known.family,
        release_date=known.release_date or score.release_date,
        open_weight=score.open_weight if known.open_weight is None else known.open_weight,
        total_params_b=known.total_params_b or score.total_params_b,
        active_params_b=known.active_params_b or score.active_params_b,
    )


def _spelt_once(scores: Iterable[ReportedScore]) -> list[ReportedScore]:
    """The scores with one spelling a model: the first, of those that differ in case and separators."""
    first: dict[str, str] = {}
    names = ((score, first.setdefault(key_of(score.model), score.model)) for score in scores)
    return [s if s.model == name else replace(s, model=name) for s, name in names]


def as_row(score: ReportedScore) -> Score | None:
    """The score as a share of the benchmark's ceiling, with its chance on the same scale.

    None where lower is better, or where neither the benchmark's chance is known nor the score is corrected for it. A
    corrected score on a benchmark of known chance is put back on the raw scale, where its scatter is known; both are the
    same to the fit's curve.
    """
    known = find_benchmark(score.benchmark)
    if not score.higher_is_better or (known and known.lower_is_better):
        return None
    share = score.score / _PERCENT
    items = score.n or (known.num_items if known and not score.subset else None)
    if known is None or known.chance is None:
        return (
            Score(score.model, score.benchmark, share, 0.0, items)
            if score.chance_corrected
            else None
        )
    ceiling = known.ceiling or 1.0
    chance = known.chance / ceiling
    share = chance + (1 - chance) * share if score.chance_corrected else min(share / ceiling, 1.0)
    return Score(score.model, score.benchmark, share, chance, items)


def is_chance_unknown(score: ReportedScore) -> bool:
    """Whether its chance level is unknown."""
    known = find_benchmark(score.benchmark)
    return not score.chance_corrected and (known is None or known.chance is None)


def _unknown_words(count: int) -> str:
    return f"what guessing scores isn't known (benchmarks.yaml): {count} score{'s' * (count != 1)} left out"


def _of_effort(choose: Callable[[list[float]], float]) -> Callable[[_Cell], list[_Pair]]:
    """The scores of one effort; `choose` gets the different ones that are stated, ascending, or -1 if none is."""

    def chosen(cell: _Cell) -> list[_Pair]:
        efforts = [effort(score.setting) for score, _ in cell]
        stated = sorted({found for found in efforts if found >= 0}) or [-1.0]
        wanted = choose(stated)
        return [pair for pair, found in zip(cell, efforts, strict=True) if found == wanted]

    return chosen


def _of_default(cell: _Cell) -> list[_Pair]:
    return [pair for pair in cell if effort(pair[0].setting) < 0] or _CHOICES["lowest"](cell)


_CHOICES: Mapping[EffortPolicy, Callable[[_Cell], list[_Pair]]] = {
    "highest": _of_effort(lambda stated: stated[-1]),
    "lowest": _of_effort(lambda stated: stated[0]),
    "median": _of_effort(lambda stated: stated[(len(stated) - 1) // 2]),
    "default": _of_default,
}
"""Of an even number of efforts, the median is the lower of the two in the middle."""


def _newest_of_source(cell: _Cell) -> list[_Pair]:
    """Without the values that their own source has replaced: by one of a later day, or the shipped one by an import."""
    imported = {score.source_repo for score, _ in cell if score.origin == "imported"} - {""}
    cell = [p for p in cell if p[0].origin != "seed" or p[0].source_repo not in imported]
    newest: dict[tuple[object, ...], date] = {}
    for score, _ in cell:
        if score.score_date:
            key = _source(score)
            newest[key] = max(score.score_date, newest.get(key, score.score_date))
    return [
        pair
        for pair in cell
        if not pair[0].score_date or pair[0].score_date == newest[_source(pair[0])]
    ]


def _source(score: ReportedScore) -> tuple[object, ...]:
    return score.reported_by, score.source_repo, score.metric, score.protocol


def _each_value_once(cell: _Cell) -> list[_Pair]:
    kept: list[_Pair] = []
    for pair in cell:
        if all(_PERCENT * abs(pair[1].score - other.score) > _SAME for _, other in kept):
            kept.append(pair)
    return kept
