"""What is known of a benchmark: chance, ceiling, items, and the tasks that measure it here. `benchmarks.yaml` holds it.

A value that isn't known is `unknown` there, and None here.

Two spellings are the same name if they differ only in case, spaces and - _ . /: `GPQA diamond` is `GPQA-Diamond`, and
`MMLU-Pro+` isn't `MMLU-Pro`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from evalharness.config.yaml_files import LOADER
from evalharness.errors import did_you_mean

FILE = Path(__file__).with_name("benchmarks.yaml")
_UNKNOWN = "unknown"
_NO_MATTER = re.compile(r"[\s_./-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark. None: unknown, or not the same in all sources."""

    name: str
    aliases: tuple[str, ...] = ()
    chance: float | None = None
    """What guessing scores, 0 to 1."""
    ceiling: float | None = None
    """The best score that can be had, 0 to 1, as some items are wrong; where it isn't known, 1 is what a score can't exceed."""
    num_items: int | None = None
    tasks: tuple[str, ...] = ()
    """Tasks that have these items here."""
    released: date | None = None
    access: str = ""
    """Whether its items are public, private (held back by its makers) or procedural (made anew); empty if unknown."""
    source: str = ""
    """Where these facts stand: a paper, a repository, a page."""
    lower_is_better: bool = False


@cache
def known_benchmarks() -> Mapping[str, Benchmark]:
    """All of them by name."""
    entries: dict[str, dict[str, Any]] = yaml.load(FILE.read_bytes(), Loader=LOADER)
    return {name: _benchmark(name, entry) for name, entry in entries.items()}


def find_benchmark(label: str) -> Benchmark | None:
    """The benchmark of this name or alias; None if there is none."""
    return _by_label().get(squeezed(label))


def benchmark_of_task(task: str) -> Benchmark | None:
    """The benchmark whose items a task has; None for samples of one, and for all others."""
    return _by_task().get(task)


def nearest_benchmark(label: str) -> str:
    """'; did you mean 'x'?' for the nearest name or alias, or '' when none is near."""
    return did_you_mean(
        label, [s for b in known_benchmarks().values() for s in (b.name, *b.aliases)]
    )


@cache
def _by_label() -> Mapping[str, Benchmark]:
    return {
        squeezed(label): benchmark
        for benchmark in known_benchmarks().values()
        for label in (benchmark.name, *benchmark.aliases)
    }


@cache
def _by_task() -> Mapping[str, Benchmark]:
    return {
        task: benchmark for benchmark in known_benchmarks().values() for task in benchmark.tasks
    }


def _benchmark(name: str, entry: Mapping[str, Any]) -> Benchmark:
    lists = {key: tuple(entry.get(key, ())) for key in ("aliases", "tasks")}
    known = {key: value for key, value in entry.items() if value != _UNKNOWN}
    return Benchmark(**{"name": name, **known, **lists})


def squeezed(label: str) -> str:
    """The part that spellings of one name have in common."""
    return _NO_MATTER.sub("", label).casefold()
