"""A metric's value for each sample of a task, as they arrive, and the values per doc."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Doubt(NamedTuple):
    """How much of a task's score depends on answers that were cut or are empty."""

    num_cut: int
    """Samples whose answer is one of these."""
    num_scored: int
    low: float | None
    """The score if all of them scored 0; None for a metric that isn't a mean of values from 0 to 1."""
    high: float | None
    """The score if all of them scored 1."""


@dataclass(slots=True)
class SampleValues:
    """A metric's value for each sample: 21 bytes a sample if the metric is a mean of numbers."""

    values: array[float] | list[Any]
    """A list if the metric is not a mean of numbers."""
    doc_ids: array[int] = field(default_factory=lambda: array("q"))
    repeats: array[int] = field(default_factory=lambda: array("i"))
    is_cut: array[int] = field(default_factory=lambda: array("b"))

    @property
    def num_docs(self) -> int:
        """Docs with a value."""
        return len(np.unique(self.doc_ids))

    def add(self, doc_id: int, repeat: int, value: Any, is_cut: bool) -> None:
        """Add a sample's value, in any order of samples."""
        self.doc_ids.append(doc_id)
        self.repeats.append(repeat)
        self.values.append(value)
        self.is_cut.append(is_cut)

    def doubt(self) -> Doubt | None:
        """How much depends on the samples whose answer was cut or is empty; None if there are none."""
        is_cut = np.asarray(self.is_cut)
        num_cut, num_scored = int(is_cut.sum()), len(is_cut)
        if not num_cut:
            return None
        values = np.asarray(self.values) if isinstance(self.values, array) else np.array([np.nan])
        if not (values.min() >= 0 and values.max() <= 1):
            return Doubt(num_cut, num_scored, None, None)
        low, high = (
            float(self._per_doc(np.where(is_cut, end, values)).mean()) for end in (0.0, 1.0)
        )
        return Doubt(num_cut, num_scored, low, high)

    def draws(self) -> float:
        """Mean answers per doc; 1 if they aren't all 0 or 1, whose mean is a score like any other."""
        if not isinstance(self.values, array) or not np.isin(self.values, (0.0, 1.0)).all():
            return 1.0
        return len(self.values) / self.num_docs

    def per_unit(self) -> Sequence[Any]:
        """A value per doc, the mean of its repeats, in the order of docs; if the metric is not a mean, one per sample.

        The order in which samples finish doesn't matter.
        """
        if isinstance(self.values, array):
            return array("d", self._per_doc(np.asarray(self.values)))
        return [self.values[i] for i in np.lexsort((self.repeats, self.doc_ids))]

    def unit_docs(self) -> Sequence[int]:
        """The doc of each of these."""
        if isinstance(self.values, array):
            return [int(doc_id) for doc_id in np.unique(self.doc_ids)]
        return sorted(self.doc_ids)

    def _per_doc(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The mean over each doc's repeats, in the order of docs: docs are the unit, not samples."""
        _, place = np.unique(self.doc_ids, return_inverse=True)
        return np.bincount(place, weights=values) / np.bincount(place)
