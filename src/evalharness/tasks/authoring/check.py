"""`task check`: finds what is wrong with a task that loads, from its docs and through its own filters and metrics.

    LoadedTask -> Defect(level, what, where), none for a correct task

What can't even be asked is found by `asking`, first.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from evalharness.tasks.authoring.asking import unasked_docs
from evalharness.tasks.authoring.blame import blamed
from evalharness.tasks.authoring.defects import Defect, Level, named_docs
from evalharness.tasks.authoring.probe_answers import (
    Score,
    as_numbers,
    gold_text,
    preferring,
    score,
    stop_strings,
)
from evalharness.tasks.choices import choices_of, gold_places
from evalharness.tasks.loaded_task import (
    OWN_FEWSHOT,
    LoadedTask,
    doc_hash,
)

ID_FIELDS = ("id", "unique_id", "doc_id", "task_id", "question_id", "uid", "idx")
"""Fields that must identify docs, if a task has them."""

_MOST_TRIED = 3
"""Number of other docs whose answers are tried as wrong ones."""
_SIGNIFICANT = 0.001
_LARGE_GAP = 0.15
"""Margin of a constant answer's score over chance."""


@dataclass(kw_only=True)
class Examined:
    """A task with the data of all checks, computed once."""

    loaded: LoadedTask
    num_scored: int
    """Number of docs that are scored with gold, empty and wrong answers; the cheap checks take all."""
    seconds: float
    """Time limit for each of the three; 0 is no limit."""
    num_reached: int = 0
    """Number of docs that were scored in time by all three."""

    @property
    def task(self) -> Any:
        """lm-eval's task."""
        return self.loaded.task

    @cached_property
    def docs(self) -> list[Any]:
        """All docs of the scored split."""
        return list(self.loaded.docs)

    @cached_property
    def sample(self) -> list[int]:
        """Ids of the docs that are scored, spread evenly over all."""
        num = min(len(self.docs), self.num_scored)
        return sorted({round(i * (len(self.docs) - 1) / max(num - 1, 1)) for i in range(num)})

    def in_time(self) -> Iterator[int]:
        """Ids of the sample, as far as time allows."""
        began = time.monotonic()
        for num, place in enumerate(self.sample, start=1):
            yield place
            if self.seconds and time.monotonic() - began > self.seconds:
                self.num_reached = min(self.num_reached, num)
                return

    @property
    def is_choice(self) -> bool:
        """Whether the model chooses by log-likelihood."""
        return self.loaded.kind == "multiple_choice"

    @property
    def is_generated(self) -> bool:
        """Whether the model generates."""
        return self.loaded.kind == "generate_until"

    @cached_property
    def questions(self) -> list[str]:
        """Questions of all docs, with their choices."""
        return [self.question(doc) for doc in self.docs]

    def question(self, doc: Any) -> str:
        """The question of a doc, with its choices."""
        return repr((self.task.doc_to_text(doc), choices_of(self.task, doc)))


def examine(
    loaded: LoadedTask, *, num_scored: int | None = 100, seconds: float = 1.0
) -> tuple[list[Defect], int]:
    """All defects of a task's docs, answers and few-shots; its prompts' lengths and its folder are checked elsewhere.

    Args:
        loaded: the task, with its data.
        num_scored: docs to score with gold, empty and wrong answers; None for all.
        seconds: for each of the three kinds of answers; 0 is no limit.

    Returns:
        The defects, and how many docs were scored with all three; 0 if one can't even be asked.
    """
    if unasked := unasked_docs(loaded):
        return unasked, 0
    num_docs = loaded.num_docs_available
    examined = Examined(loaded=loaded, num_scored=num_scored or num_docs, seconds=seconds)
    examined.num_reached = len(examined.sample)
    found: list[Defect] = []
    for check in _CHECKS:
        try:
            found += check(examined)
        except Exception as e:  # a task's own functions may raise anything
            what = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else 'no message'}"
            where = blamed(e, loaded) or check.__name__.strip("_").replace("_", " ")
            found.append(Defect("error", what, where))
    return list(dict.fromkeys(found)), examined.num_reached


def _unique_ids(examined: Examined) -> Iterator[Defect]:
    docs = examined.docs
    for field in ID_FIELDS:
        if docs and all(field in doc for doc in docs):
            for value, places in _repeated(str(doc[field]) for doc in docs):
                yield Defect("error", f"{field} {value!r} is that of {named_docs(places)}", "docs")
    bare = [
        doc_hash({k: v for k, v in doc.items() if k not in ID_FIELDS})
        for doc in docs
        if hasattr(doc, "items")
    ]
    doubled = [places for _, places in _repeated(bare)]
    for places in doubled:
        yield Defect("error", f"{named_docs(places)} are the same", "docs")
    same = {place for places in doubled for place in places}
    asked = [places for _, places in _repeated(examined.questions) if not same & set(places)]
    if asked:
        more = f", and {len(asked) - 1} more such questions" if len(asked) > 1 else ""
        yield Defect("warning", f"{named_docs(asked[0])} ask the same{more}", "docs")


def _choices(examined: Examined) -> Iterator[Defect]:
    doubled, empty, lost = [], [], []
    for place, doc in enumerate(examined.docs):
        choices = choices_of(examined.task, doc)
        if len({c.strip() for c in choices}) < len(choices):
            doubled.append(place)
        if any(not c.strip() for c in choices):
            empty.append(place)
        if examined.is_choice:
            try:
                gold_places(examined.task, doc)
            except ValueError:
                lost.append(place)
    if doubled:
        yield Defect("error", f"duplicate choices in {named_docs(doubled)}", "doc_to_choice")
    if empty:
        yield Defect("error", f"an empty choice in {named_docs(empty)}", "doc_to_choice")
    if lost:
        yield Defect("error", f"the target is not a choice in {named_docs(lost)}", "doc_to_target")


def _gold_scores(examined: Examined) -> Iterator[Defect]:
    answers = ((i, _gold(examined, examined.docs[i])) for i in examined.in_time())
    yield from _expect(examined, answers, "gold", lambda value: abs(value - 1) < 1e-6)


def _empty_scores(examined: Examined) -> Iterator[Defect]:
    if examined.is_generated:
        answers = ((i, [""]) for i in examined.in_time())
        # A `solve` of the task's own may never return one.
        may_raise = bool(getattr(examined.task, "solve", None))
        found = _expect(examined, answers, "an empty answer", lambda value: value <= 1e-6)
        yield from (d for d in found if not (may_raise and "an empty answer raises" in d.what))


def _wrong_scores(examined: Examined) -> Iterator[Defect]:
    if examined.is_choice:
        yield from _wrong_choices(examined)
    elif examined.is_generated:
        yield from _wrong_texts(examined)


def _wrong_choices(examined: Examined) -> Iterator[Defect]:
    """Some other choice must score 0, not every one, because a task's own scorer may accept several."""
    task, bad = examined.task, defaultdict(list)
    for place in examined.in_time():
        doc = examined.docs[place]
        gold = _gold_or_none(examined, doc)
        others = [i for i in range(len(choices_of(task, doc))) if gold and i not in gold]
        lowest: dict[tuple[str, str], float] = {}
        for other in others:
            for metric, filter_, value in score(task, doc, preferring(task, doc, [other])):
                if isinstance(value, int | float) and _is_higher_better(examined, metric):
                    key = (metric, filter_)
                    lowest[key] = min(lowest.get(key, value), value)
        for key, value in lowest.items():
            if value > 1e-6:
                bad[key].append(place)
    for (metric, filter_), places in bad.items():
        what = f"a wrong choice scores above 0 in {metric} ({filter_}) for {named_docs(places)}"
        yield Defect("error", what, "metric_list")


def _wrong_texts(examined: Examined) -> Iterator[Defect]:
    """The gold answers of a few other docs: not all of them may be accepted as right."""
    targets = {i: str(examined.task.doc_to_target(examined.docs[i])) for i in examined.sample}
    golds = {i: gold_text(examined.task, examined.docs[i]) for i in examined.sample}
    if len(golds) > 1 and len(set(targets.values())) == 1:
        what = f"every doc has the target {targets[0][:40]!r}: a constant answer is always right"
        yield Defect("warning", what, "doc_to_target")
        return
    taken: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place in examined.in_time():
        others = (golds[i] for i in golds if targets[i] != targets[place])
        scored = [_numbers(examined, place, [other]) for other in islice(others, _MOST_TRIED)]
        for key in scored[0] if scored else ():
            if min(numbers.get(key, 0.0) for numbers in scored) > 1 - 1e-6:
                taken[key].append(place)
    for (metric, filter_), places in taken.items():
        what = f"other docs' answers score 1 in {metric} ({filter_}) for {named_docs(places)}"
        is_main = metric == examined.loaded.main_metric()[0]
        yield Defect("error" if is_main else "warning", what, "metric_list")


def _numbers(examined: Examined, place: int, answer: list[Any]) -> dict[tuple[str, str], float]:
    """(metric, filter) -> score, for metrics of which higher is better."""
    return {
        (metric, filter_): float(value)
        for metric, filter_, value in score(examined.task, examined.docs[place], answer)
        if isinstance(value, int | float) and _is_higher_better(examined, metric)
    }


def _gold(examined: Examined, doc: Any) -> list[Any]:
    if examined.is_choice:
        gold = _gold_or_none(examined, doc)
        return [] if gold is None else list(preferring(examined.task, doc, gold[:1]))
    if examined.is_generated:
        return [gold_text(examined.task, doc)]
    return [(0.0, True)] if examined.loaded.kind == "loglikelihood" else []


def _gold_or_none(examined: Examined, doc: Any) -> list[int] | None:
    try:
        return gold_places(examined.task, doc)
    except ValueError:
        return None


def _expect(
    examined: Examined,
    answers: Iterable[tuple[int, list[Any]]],
    whose: str,
    is_right: Callable[[float], bool],
) -> Iterator[Defect]:
    """A defect for each metric and filter in which an answer's score is wrong."""
    scored: dict[int, list[Score]] = {}
    raised: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, answer in answers:
        try:
            if answer:
                scored[place] = score(examined.task, examined.docs[place], answer)
        except Exception as e:  # filters and metrics may be the task's own
            where = blamed(e, examined.loaded) or "metric_list"
            raised[f"{type(e).__name__}: {str(e)[:80]}", where].append(place)
    for (what, where), places in raised.items():
        yield Defect("error", f"scoring {whose} raises {what} for {named_docs(places)}", where)
    bad: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for place, of_doc in scored.items():
        for metric, filter_, value in of_doc:
            is_score = isinstance(value, int | float) and _is_higher_better(examined, metric)
            if is_score and not is_right(float(value)):
                bad[metric, filter_].append((place, float(value)))
    first = examined.loaded.filters()[0]
    for (metric, filter_), found in bad.items():
        what = f"{whose} scores {found[0][1]:.3g} in {metric} ({filter_}) for {named_docs([p for p, _ in found])}"
        where = "filter_list" if whose == "gold" and examined.is_generated else "metric_list"
        level: Level = "error" if filter_ == first else "warning"
        yield Defect(level, what, where)
    if whose == "gold":
        yield from _aggregated_gold(examined, list(scored.values()))


def _aggregated_gold(examined: Examined, scored: list[list[Score]]) -> Iterator[Defect]:
    """Check metrics whose scores aren't numbers of one doc, such as F1 or MCC."""
    pairs = [[s for s in of_doc if not isinstance(s.value, int | float)] for of_doc in scored]
    for (metric, filter_), value in as_numbers(examined.task, pairs).items():
        best = 1.0 if _is_higher_better(examined, metric) else 0.0
        if metric in ("f1", "mcc", "brier_score") and abs(value - best) > 1e-6:
            what = f"gold scores {value:.3g} in {metric} ({filter_}), not {best:g}"
            yield Defect("error", what, "metric_list")


def _is_higher_better(examined: Examined, metric: str) -> bool:
    """Skip metrics without a known right value, such as a perplexity."""
    return metric in examined.task.aggregation() and bool(
        examined.task.higher_is_better().get(metric)
    )


def _few_shots(examined: Examined) -> Iterator[Defect]:
    task = examined.task
    config = getattr(task, "fewshot_cfg", None)
    num = int(task.get_config("num_fewshot") or 0)
    is_named = config is not None and (config.split or config.samples)
    pool = list(getattr(getattr(task, "sampler", None), "df", None) or [])
    if not pool or not (num or is_named):
        return
    scored = set(examined.questions)
    shared = [i for i, doc in enumerate(pool) if examined.question(doc) in scored]
    if shared:
        level: Level = "error" if num else "warning"
        what = (
            f"{len(shared)} of {len(pool)} few-shot docs are scored docs too ({named_docs(shared)})"
        )
        if num and config is not None and config.split != task.config.test_split:
            what += f", and may be in their own prompts: {OWN_FEWSHOT}"
        yield Defect(level, what, "fewshot_split")


def _stop_strings(examined: Examined) -> Iterator[Defect]:
    if not examined.is_generated or getattr(examined.task, "solve", None):
        return
    for stop in stop_strings(examined.task):
        cut = [i for i in examined.sample if stop in gold_text(examined.task, examined.docs[i])]
        if cut:
            what = f"stop string {stop!r} is inside the gold answer of {named_docs(cut)}"
            yield Defect("error", what, "generation_kwargs.until")


def _gold_positions(examined: Examined) -> Iterator[Defect]:
    if not examined.is_choice or callable(examined.task.get_config("process_results")):
        return
    places: dict[int, list[int]] = defaultdict(list)
    sets = set()
    for doc in examined.docs:
        choices = choices_of(examined.task, doc)
        sets.add(tuple(choices))
        gold = _gold_or_none(examined, doc)
        if gold and len(gold) == 1:
            places[len(choices)].append(gold[0])
    if not places:
        return
    num_choices, golds = max(places.items(), key=lambda item: len(item[1]))
    counts = Counter(golds)
    place, count = counts.most_common(1)[0]
    share, chance = count / len(golds), 1 / num_choices
    if num_choices < 2 or _p_balanced([counts[i] for i in range(num_choices)]) >= _SIGNIFICANT:
        return
    is_error = len(sets) > 1 and share > chance + _LARGE_GAP
    what = f"always choosing choice {place + 1} of {num_choices} scores {share:.2f}, chance is {chance:.2f}"
    yield Defect("error" if is_error else "warning", what, "doc_to_target")


def _p_balanced(counts: Sequence[int]) -> float:
    from scipy.stats import chisquare

    return float(chisquare(counts).pvalue)


def _repeated(values: Any) -> list[tuple[str, list[int]]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, value in enumerate(values):
        places[value].append(place)
    return [(value, found) for value, found in places.items() if len(found) > 1]


_CHECKS: tuple[Callable[[Examined], Iterator[Defect]], ...] = (
    _unique_ids,
    _choices,
    _gold_scores,
    _empty_scores,
    _wrong_scores,
    _few_shots,
    _stop_strings,
    _gold_positions,
)
