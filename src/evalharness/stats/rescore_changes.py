"""Which samples are scored differently than before: rows of the same sample in, changes out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from evalharness.store.records import SampleRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A sample whose answer or scores have changed. Scores are empty, and answers None, if there is none."""

    task: str
    doc_id: int
    repeat: int
    filter: str
    answer_before: str | None
    answer_after: str | None
    scores_before: dict[str, float]
    scores_after: dict[str, float]

    @property
    def is_scored_otherwise(self) -> bool:
        """Whether a score changed, not only the answer."""
        return self.scores_before != self.scores_after


def changes_of_sample(
    before: Mapping[str, SampleRecord], after: Mapping[str, SampleRecord]
) -> Iterator[Change]:
    """What changed in one sample.

    Args:
        before: filter -> its row.
        after: the same, scored again; a filter may be new or gone.
    """
    for filter_ in {**before, **after}:
        old, new = before.get(filter_), after.get(filter_)
        sample = old or new
        assert sample is not None
        change = Change(
            task=sample.task,
            doc_id=sample.doc_id,
            repeat=sample.repeat,
            filter=filter_,
            answer_before=old.answer if old else None,
            answer_after=new.answer if new else None,
            scores_before=old.scores if old else {},
            scores_after=new.scores if new else {},
        )
        if change.is_scored_otherwise or change.answer_before != change.answer_after:
            yield change


def num_scored_otherwise(changes: Iterable[Change], task: str, filter_: str, metric: str) -> int:
    """Samples of a task whose score under a filter and metric changed."""
    return sum(
        change.scores_before.get(metric) != change.scores_after.get(metric)
        for change in changes
        if (change.task, change.filter) == (task, filter_)
    )
