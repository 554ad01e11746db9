"""Models of one size: the classes, each class's open frontier, and the open model nearest in size to a checkpoint.

Mixtures of experts are classed by the parameters that a token uses, all others by their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from evalharness.trend.frontier import find_frontier
from evalharness.trend.index_models import TrendModel
from evalharness.trend.placed import PlacedModel


class SizeClass(NamedTuple):
    """A range of sizes, in billions of parameters."""

    name: str
    low: float
    high: float
    """Exclusive."""
    is_mixture: bool = False


CLASSES = (
    SizeClass("up to 2 B", 0, 2.5),
    SizeClass("3 to 9 B", 2.5, 9.5),
    SizeClass("10 to 35 B", 9.5, 35.5),
    SizeClass("about 70 B", 64.5, 75.5),
    SizeClass("mixtures, up to 9 B active", 0, 9.5, is_mixture=True),
    SizeClass("mixtures, 10 B active and more", 9.5, math.inf, is_mixture=True),
)
"""Ends lie half-way between whole billions, as sizes are stated rounded."""


_NO_SIZE, _BETWEEN = "open, parameters not known", "open, of a size outside the classes"
_NO_DATE, _NOT_OPEN = "open, release date not known", "not of open weights"
_REASONS = (_NO_SIZE, _BETWEEN, _NO_DATE, _NOT_OPEN)


class Sized(Protocol):
    """A model whose size may be known."""

    @property
    def total_params_b(self) -> float | None:
        """Billions of parameters."""
        ...

    @property
    def active_params_b(self) -> float | None:
        """Billions of parameters that a token uses."""
        ...

    @property
    def num_experts(self) -> int | None:
        """Experts of each layer; None for a dense or unknown model."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeFrontier:
    """The open models of one class."""

    of: SizeClass
    models: tuple[TrendModel, ...]
    """By release date."""
    frontier: tuple[TrendModel, ...]
    """Those that nothing of the class released before them, or on their day, had surpassed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BySize:
    """All classes that have a model, and the models that are in none."""

    frontiers: tuple[SizeFrontier, ...]
    left_out: Mapping[str, tuple[str, ...]]
    """Reason -> models."""


class Nearest(NamedTuple):
    """A checkpoint beside the open model nearest to it in size."""

    model: str
    size_b: float
    difference: float
    """Index points, checkpoint minus model."""
    ci_low: float
    """90 % interval."""
    ci_high: float
    call: Literal["better", "worse", "not resolved"]


def size_of(m: Sized) -> float | None:
    """Billions of parameters by which a model is classed; None if they aren't known, or not how many of them are active."""
    if m.active_params_b is not None:
        return m.active_params_b
    return m.total_params_b if m.num_experts == 1 else None


def class_of(m: Sized) -> SizeClass | None:
    """The class of a model; None if its size isn't known or lies outside the classes."""
    size = size_of(m)
    if size is None:
        return None
    found = (c for c in CLASSES if c.low <= size < c.high and c.is_mixture == _is_mixture(m))
    return next(found, None)


def by_size(models: Sequence[TrendModel]) -> BySize:
    """Frontiers of the open models of each class.

    Args:
        models: all of the index.
    """
    groups: dict[SizeClass, list[TrendModel]] = {}
    left_out: dict[str, list[str]] = {reason: [] for reason in _REASONS}
    for m in models:
        found = class_of(m)
        if m.is_open is not True:
            left_out[_NOT_OPEN].append(m.model)
        elif size_of(m) is None:
            left_out[_NO_SIZE].append(m.model)
        elif found is None:
            left_out[_BETWEEN].append(m.model)
        elif m.release_date is None:
            left_out[_NO_DATE].append(m.model)
        else:
            groups.setdefault(found, []).append(m)
    return BySize(
        frontiers=tuple(_frontier(c, groups[c]) for c in CLASSES if c in groups),
        left_out={reason: tuple(names) for reason, names in left_out.items() if names},
    )


def nearest_open(p: PlacedModel, models: Sequence[TrendModel]) -> Nearest | str:
    """The comparison with the open model nearest in size, of equally near ones the most capable; or why there is none.

    The distances to both intervals' ends add in squares, which takes the two for independent: the errors of the scale that
    they share make the interval wider than it needs to be.

    Args:
        p: the checkpoint; the reported model that it is itself isn't compared with.
        models: all of the index.

    Source: Zou & Donner 2008, Statistics in Medicine 27:1693.
    """
    size, of = size_of(p), class_of(p)
    if size is None or size <= 0:
        return "its size isn't known"
    if of is None:
        return f"{size:.3g} B lies outside the classes of size"
    same = [m for m in models if m.is_open and class_of(m) == of and m.model != p.reported]
    same = [m for m in same if not math.isnan(m.ci_low)]
    if not same:
        return f"no open model of its size ({of.name}) has an interval on the index"
    at = p.placement
    if not math.isfinite(at.value):
        return "its own index is unbounded"
    if at.refusal:
        return f"its own index has {at.refusal}"
    near = min(same, key=lambda m: (abs(math.log((size_of(m) or 0) / size)), -m.capability))
    difference = at.value - near.capability
    low = difference - math.hypot(at.value - at.ci_low, near.ci_high - near.capability)
    high = difference + math.hypot(at.ci_high - at.value, near.capability - near.ci_low)
    call: Literal["better", "worse", "not resolved"] = "not resolved"
    if low > 0 or high < 0:
        call = "better" if low > 0 else "worse"
    return Nearest(near.model, size_of(near) or 0, difference, low, high, call)


def _is_mixture(m: Sized) -> bool:
    if m.num_experts is not None:
        return m.num_experts > 1
    return (m.active_params_b or 0) < (m.total_params_b or 0)


def _frontier(of: SizeClass, models: Sequence[TrendModel]) -> SizeFrontier:
    dates = [m.release_date for m in models if m.release_date is not None]
    leads = find_frontier(dates, [m.capability for m in models])
    return SizeFrontier(
        of=of,
        models=tuple(models),
        frontier=tuple(m for m, is_leading in zip(models, leads, strict=True) if is_leading),
    )
