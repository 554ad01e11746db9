"""What of the time by the clock is a program's own, by what the kernel says at each look."""

import os
from typing import NamedTuple

import pytest

from evalharness.tasks.sandbox import watch as sandbox_watch
from evalharness.tasks.sandbox.watch import (
    TICK_S,
    Watch,
)

MS = 1_000_000


class Thread(NamedTuple):
    state: str
    ran_ms: float
    waited_ms: float


def own_ms(monkeypatch: pytest.MonkeyPatch, looks: list[list[Thread]]) -> float:
    """Over looks 20 ms apart; of each thread, all it has run and waited for a processor until then."""
    threads: list[Thread] = []

    def read(path: str) -> str:
        thread = threads[int(path.split("/")[-2])]
        if path.endswith("schedstat"):
            return f"{int(thread.ran_ms * MS)} {int(thread.waited_ms * MS)} 1\n"
        return f"7 (a) program) {thread.state} 1 2 3"

    monkeypatch.setattr(sandbox_watch, "_read", read)
    monkeypatch.setattr(
        sandbox_watch, "_threads", lambda pid: [str(i) for i in range(len(threads))]
    )
    watch = Watch(os.getpid(), 0, cpu_s=1, wall_s=1, memory_bytes=1, num_inodes=1)
    total = 0.0
    for look in looks:
        threads[:] = look
        total += watch._own_s(["7"], TICK_S)
    return total * 1000


def test_sleep_is_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_ms(monkeypatch, [[Thread("S", 1, 0)]] * 5) == pytest.approx(100)


def test_so_is_a_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_ms(monkeypatch, [[Thread("D", 1, 0)]] * 5) == pytest.approx(100)


def test_work_is(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [[Thread("R", 20 * i, 0)] for i in range(1, 6)]
    assert own_ms(monkeypatch, looks) == pytest.approx(100)


def test_a_wait_longer_than_a_look_is_not_though_it_is_reported_only_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = [[Thread("R", 5, 0)] for _ in range(9)] + [[Thread("R", 10, 190)]]
    assert own_ms(monkeypatch, looks) == pytest.approx(10)


def test_nor_are_processors_that_the_host_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs, as its system sees it, and nothing is counted."""
    looks = [[Thread("R", 2 * i, 0)] for i in range(1, 11)]
    assert own_ms(monkeypatch, looks) == pytest.approx(20)


def test_a_short_wait_before_a_sleep_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [[Thread("S", i, 12 * i)] for i in range(1, 6)]
    assert own_ms(monkeypatch, looks) == pytest.approx(5 * 8)


def test_threads_that_wait_for_one_another_are_no_busy_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = [[Thread("R", 10 * i, 10 * i), Thread("R", 10 * i, 10 * i)] for i in range(1, 6)]
    assert own_ms(monkeypatch, looks) == pytest.approx(100)


def test_no_look_counts_more_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [[Thread("R", 20 * i, 0)] * 4 for i in range(1, 6)]
    assert own_ms(monkeypatch, looks) == pytest.approx(100)
