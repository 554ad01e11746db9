"""`kill -9` of a run and all it started, at any moment: nothing is lost but a second, and the numbers are the same."""

import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from evalharness.runner.journal import FLUSH_EVERY_S
from evalharness.store.read import load_curves
from evalharness.store.sql import connect, query
from killing import Home, kill_tree, manifest, numbers

pytestmark = pytest.mark.slow

NUM_KILLS = 20
KILLS_PER_RUN = 4
SEED = 20260101
WRITING_S = 0.5
"""A batch's time on its way to a busy disk, on top of the flush interval."""
LATENCY_S = 0.1
ENDING_S = 0.3
"""From the last answer to the end of the process, about."""


@dataclass
class Served:
    """What the engine answered, in all starts of a home."""

    times: list[float]
    keys: list[str]

    @classmethod
    def read(cls, home: Home) -> "Served":
        path = home.path / "served"
        rows = [line.split() for line in path.read_text().splitlines()] if path.is_file() else []
        # One continuation: a prompt computed ahead for the cache, which is no response.
        rows = [row for row in rows if row[1] != "1"]
        return cls([float(row[0]) for row in rows], [row[2] for row in rows])

    @property
    def num_unique(self) -> int:
        return len(set(self.keys))


class Moment(NamedTuple):
    """When to kill, however fast the machine is today."""

    seconds: float
    is_after_an_answer: bool
    """Counted from this start's first answer, not from the start itself."""

    @classmethod
    def draw(cls, rng: random.Random, *, loading_s: float, left_s: float) -> "Moment":
        """Anywhere in a start, and one in five before its first answer, which takes longer than all the rest."""
        if rng.random() < 0.2:
            return cls(rng.uniform(0, loading_s), False)
        return cls(rng.uniform(0, left_s + ENDING_S), True)


@dataclass
class Kill:
    """One row of the table."""

    run: int
    after_s: float
    """Seconds after the start."""
    phase: str
    num_on_disk: int
    num_lost: int
    """Answered and not on disk: computed again later."""
    oldest_lost_s: float
    """Seconds from the answer of the oldest of them to the kill."""


def command(checkpoint: Path, *more: str) -> list[str]:
    return [
        "run",
        "model=smollm2-135m",
        f"model.path={checkpoint}",
        "engine=fake",
        "engine.max_model_len=20000",
        "engine.max_in_flight=4",
        f"engine.extra.latency_s={LATENCY_S}",
        "+engine.extra.served=served",
        "suite=quick",
        "run.limit=60",
        *more,
    ]


def phase(home: Home) -> str:
    """How far the killed start had come."""
    if not home.run_dirs:
        return "before the folder"
    (run_dir,) = home.run_dirs
    left = manifest(run_dir)
    if left["status"] == "complete":
        return "complete"
    if (run_dir / "metrics.parquet").is_file():
        return "metrics written"
    if left["load_s"] is None:
        return "before the engine"
    return "answering"


def kill_at(home: Home, arguments: list[str], moment: Moment, number: int) -> Kill | None:
    """Start and kill; None when it was done before."""
    num_before, num_kept = len(Served.read(home).keys), len(home.journaled)
    started = time.monotonic()
    process = home.start(*arguments)
    if moment.is_after_an_answer:
        while len(Served.read(home).keys) == num_before and process.poll() is None:
            time.sleep(0.01)
    time.sleep(moment.seconds)
    seconds = time.monotonic() - started
    if process.poll() is not None:
        process.communicate()
        return None
    killed = kill_tree(process)
    times = Served.read(home).times[num_before:]
    num_on_disk = len(home.journaled)
    num_lost = len(times) - (num_on_disk - num_kept)
    oldest = killed - sorted(times)[-num_lost] if num_lost else 0.0
    return Kill(number, seconds, phase(home), num_on_disk, num_lost, oldest)


def table(rows: list[Kill], equal: dict[int, bool]) -> str:
    head = "kill  run  after s  phase              on disk  computed again  oldest s  equal"
    lines = [
        f"{i:4}  {k.run:3}  {k.after_s:7.2f}  {k.phase:17}  {k.num_on_disk:7}  {k.num_lost:14}  "
        f"{k.oldest_lost_s:8.2f}  {'yes' if equal[k.run] else 'NO'}"
        for i, k in enumerate(rows, 1)
    ]
    return "\n".join(["", head, *lines])


def test_a_run_killed_at_twenty_random_moments_gives_the_same_numbers(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Home(tmp_path / "whole")
    started = time.monotonic()
    done = whole.finish(*command(tiny_llama))
    whole_s = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    expected, served = numbers(whole.run_dirs[0]), Served.read(whole)
    answering_s = max(served.times) - min(served.times)
    loading_s = whole_s - answering_s
    assert len(served.keys) == served.num_unique
    kills: list[Kill] = []
    equal: dict[int, bool] = {}
    rng = random.Random(SEED)
    number = 0
    while len(kills) < NUM_KILLS:
        number += 1
        home = Home(tmp_path / f"run{number}")
        for _ in range(KILLS_PER_RUN):
            if len(kills) == NUM_KILLS:
                break
            left = 1 - len(home.journaled) / served.num_unique
            moment = Moment.draw(rng, loading_s=loading_s, left_s=answering_s * left)
            resumed = rng.random() < 0.5 and home.run_dirs
            kill = kill_at(
                home, ["resume", "latest"] if resumed else command(tiny_llama), moment, number
            )
            if kill is not None:
                kills.append(kill)
            if kill is None or kill.phase == "complete":
                break
        if not [d for d in home.run_dirs if manifest(d)["status"] == "complete"]:
            done = home.finish(*command(tiny_llama))
            assert done.returncode == 0, done.stderr
        (run_dir,) = home.run_dirs
        assert manifest(run_dir)["status"] == "complete"
        equal[number] = numbers(run_dir) == expected
        again = Served.read(home)
        assert again.num_unique == served.num_unique
        num_lost = sum(kill.num_lost for kill in kills if kill.run == number)
        assert len(again.keys) - again.num_unique == num_lost
    with capsys.disabled():
        print(table(kills, equal))
        print(
            f"{len(kills)} kills of {number} runs of {served.num_unique} responses: "
            f"{sum(k.num_lost for k in kills)} computed again, the oldest "
            f"{max(k.oldest_lost_s for k in kills):.2f} s before its kill; phases "
            f"{dict(Counter(k.phase for k in kills))}"
        )
    assert all(equal.values())
    assert max(kill.oldest_lost_s for kill in kills) < FLUSH_EVERY_S + WRITING_S


MOMENTS = {
    "the folder is there": "results/[!.]*/manifest.json",
    "the journal is there": "results/[!.]*/journal/0000.jsonl",
    "a task is stored": "results/[!.]*/samples/*.parquet",
    "the metrics are stored": "results/[!.]*/metrics.parquet",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_as_soon_as(moment: str, tiny_llama: Path, tmp_path: Path) -> None:
    short = command(tiny_llama, "run.limit=10")
    whole, home = Home(tmp_path / "whole"), Home(tmp_path / "killed")
    process = home.start(*short)
    while not list(home.path.glob(MOMENTS[moment])):
        assert process.poll() is None
        time.sleep(0.0005)
    kill_tree(process)
    done = home.finish(*short)
    assert done.returncode == 0, done.stderr
    whole.finish(*short)
    assert all(numbers(run_dir) == numbers(whole.run_dirs[0]) for run_dir in home.run_dirs)
    assert {manifest(run_dir)["status"] for run_dir in home.run_dirs} == {"complete"}


def test_a_run_that_is_resumed_twice_at_once_is_written_by_one(
    tiny_llama: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    process = home.start(*command(tiny_llama))
    while not home.journaled:
        assert process.poll() is None
        time.sleep(0.05)
    kill_tree(process)
    both = [home.start("resume", "latest") for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    refused = next(err for p, (_, err) in zip(both, outputs, strict=True) if p.returncode)
    assert "is being written to by process" in refused
    assert refused.splitlines()[-1].startswith("error: run ")
    (run_dir,) = home.run_dirs
    assert manifest(run_dir)["num_starts"] == 2


def test_a_killed_run_with_a_strategy_gives_the_same_turns_and_curve(
    tiny_llama: Path, tmp_path: Path
) -> None:
    corrected = command(
        tiny_llama,
        "strategy=self_correct",
        "run.limit=12",
        "~suite.tasks.arc_easy_sample",
        "~suite.tasks.truthfulqa_mc2_sample",
        "~suite.tasks.bbh_boolean_sample",
    )
    whole, killed = Home(tmp_path / "whole"), Home(tmp_path / "killed")
    assert whole.finish(*corrected).returncode == 0
    kill = kill_at(killed, corrected, Moment(1.5, True), 1)
    assert kill is not None
    assert kill.phase == "answering"
    assert killed.finish(*corrected).returncode == 0
    (expected,), (found,) = whole.run_dirs, killed.run_dirs
    assert manifest(found)["num_starts"] == 2
    assert load_curves(found) == load_curves(expected) != []
    said = "SELECT * EXCLUDE (run_id, started_at, latency_s) FROM turns ORDER BY ALL"
    turns = [query(connect(path.parent), said).fetchall() for path in (found, expected)]
    assert turns[0] == turns[1] != []
