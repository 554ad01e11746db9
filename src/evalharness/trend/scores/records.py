"""One score of one model on one benchmark, with its source and protocol.

Two rows of the same model and benchmark are two facts. Nothing here merges them, averages them or takes the larger one,
as protocols change a score more than a generation of models does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date
from operator import attrgetter
from typing import Literal, NamedTuple

Origin = Literal["seed", "imported", "measured"]


class Protocol(NamedTuple):
    """How a score was measured; None and empty if unknown."""

    n_shot: str | None
    cot: bool | None
    chat: bool | None
    subset: str
    harness: str
    strategy: str
    setting: str


class Quantity(NamedTuple):
    """The quantity of a score: two values of one quantity should be the same number."""

    model: str
    variant: str
    benchmark: str
    metric: str
    protocol: Protocol
    definition: str
    chance_corrected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedScore:
    """A score as given by its source. None and empty text mean that the source doesn't say."""

    origin: Origin
    """seed (came with the package) | imported | measured (a run in the store)"""
    collection: str
    """The file that it was read from, or the results folder."""
    line: int | None = None
    """Line in that file."""

    model: str
    """The source's spelling; `identity` says which model it is."""
    reported_as: str = ""
    """Another spelling of the same model, if its owner says so (a model entry's `reported_as`)."""
    family: str = ""
    release_date: date | None = None
    total_params_b: float | None = None
    active_params_b: float | None = None
    n_experts: int | None = None
    """Routed experts; 1 is a dense model."""
    open_weight: bool | None = None
    variant: str = ""
    """base | instruct | the source's own word"""
    train_tokens_t: float | None = None
    """Trillions."""
    train_flops_1e21: float | None = None

    benchmark: str
    """Its name in `benchmarks.yaml`, or the source's label if it isn't listed there."""
    benchmark_raw: str = ""
    """The source's label."""
    metric: str = ""
    score: float
    """0 to 100."""
    chance_corrected: bool = False
    """Whether the source has already moved what guessing scores to 0, and the ceiling to 100."""
    score_date: date | None = None
    """Day on which the score was published."""
    n: int | None = None
    """Number of items that were scored."""
    ci_low: float | None = None
    """Ends of the 95 % interval, 0 to 100; measured scores have one."""
    ci_high: float | None = None
    higher_is_better: bool = True

    n_shot: str | None = None
    """A number, a range (3-5) or `few`."""
    cot: bool | None = None
    chat: bool | None = None
    """With the model's chat template."""
    subset: str = ""
    """Part of the benchmark's items, if not all."""
    setting: str = ""
    """Effort or thinking budget of the model: `high`, `16K`."""
    harness: str = ""
    strategy: str = ""
    """How requests became answers; empty for reported scores, whose metric says it (maj@8)."""
    definition: str = ""
    """Exactly what a run measured: task, version and hash of its prompts and scoring, or a composite's version and parts."""

    reported_by: str = ""
    source_repo: str = ""
    source_path: str = ""
    source_commit: str = ""
    date_source: str = ""
    """Source of the release date."""
    notes: str = ""
    run_id: str = ""
    """Run of a measured score."""
    task: str = ""

    @property
    def protocol(self) -> Protocol:
        """How it was measured."""
        return Protocol(
            self.n_shot, self.cot, self.chat, self.subset, self.harness, self.strategy, self.setting
        )

    @property
    def quantity(self) -> Quantity:
        """Its quantity."""
        return Quantity(
            self.model, self.variant, self.benchmark, self.metric, self.protocol, self.definition,
            self.chance_corrected,
        )  # fmt: skip

    @property
    def num_fewshot(self) -> int | None:
        """`n_shot` as a number; None if it isn't one."""
        return int(self.n_shot) if self.n_shot and self.n_shot.isdecimal() else None

    @property
    def content(self) -> tuple[object, ...]:
        """The score's fields but for its place: two with equal content are the same fact."""
        return _content(self)


_content = attrgetter(
    *(f.name for f in fields(ReportedScore) if f.name not in ("origin", "collection", "line"))
)


def distinct(scores: Iterable[ReportedScore]) -> list[ReportedScore]:
    """The scores without exact repetitions."""
    found: dict[tuple[object, ...], ReportedScore] = {}
    for score in scores:
        found.setdefault(score.content, score)
    return list(found.values())


def find_conflicts(scores: Sequence[ReportedScore]) -> list[tuple[ReportedScore, ...]]:
    """Groups of scores that are values of one quantity but differ, in order of appearance."""
    groups: dict[Quantity, list[ReportedScore]] = {}
    for score in scores:
        groups.setdefault(score.quantity, []).append(score)
    return [tuple(group) for group in groups.values() if len({item.score for item in group}) > 1]


def by_source(
    scores: Iterable[ReportedScore],
) -> dict[tuple[Origin, str, str], list[ReportedScore]]:
    """(origin, collection, source) -> its scores; the source is a repository, else who reports them, empty for our own."""
    groups: dict[tuple[Origin, str, str], list[ReportedScore]] = {}
    for score in scores:
        source = "" if score.origin == "measured" else score.source_repo or score.reported_by
        groups.setdefault((score.origin, score.collection, source), []).append(score)
    return groups
