"""Ctrl-C and SIGTERM end a run soon, whatever a task's code does; what was answered is kept, and the run goes on."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import own_tasks
from evalharness.runner.signals import interruptible
from killing import Home, manifest

pytestmark = pytest.mark.slow

MOST_S = 10.0
YAML = own_tasks.GENERATE + "process_results: !function code.score\n"
SCORER = """
import os, re, signal, time
def score(doc, results):
    if os.path.exists("odd"):
        open("begun", "w").close()
        {odd}
    return {{"exact_match": 1.0}}
"""
SWALLOW = """while True:
            try:
                while True: pass
            except BaseException: pass"""
BUSY_IN_C = "__import__('hashlib').pbkdf2_hmac('sha256', b'a', b'b', 2**31 - 1)"
"""Minutes in C, without the interpreter's lock: other threads run."""
STUCK_IN_C = "__import__('collections').deque(__import__('itertools').repeat(0), maxlen=0)"
"""For ever in C, with the lock: no other thread runs."""
TEMPLATE = """\
{% set at = namespace(n=0) %}{% if "What is" in messages[-1]["content"] %}\
{% for a in range(99999) %}{% for b in range(99999) %}{% set at.n = at.n + 1 %}{% endfor %}{% endfor %}\
{% endif %}{{ messages[-1]["content"] }}"""
"""Loops for the docs, not for what a run looks at before it begins."""


class Ended(NamedTuple):
    seconds: float
    """From the signal to the end of the process."""
    exit_code: int
    err: str


def command(checkpoint: Path, *more: str) -> list[str]:
    return [
        *("run", "model=smollm2-135m", f"model.path={checkpoint}", "model.chat=false"),
        *("engine=fake", "suite=own", *more),
    ]


def home(path: Path, *tasks: str, odd: str = "pass") -> Home:
    """A folder with tasks whose scorer is odd while a file `odd` is there."""
    path.mkdir()
    for name in tasks:
        folder = own_tasks.write(path, name, YAML).parent
        (folder / "code.py").write_text(SCORER.format(odd=odd))
    suite = path / "configs" / "suite" / "own.yaml"
    suite.parent.mkdir(parents=True)
    lines = "".join(f"  {name}: {{}}\n" for name in tasks)
    suite.write_text(f"name: own\ntasks:\n{lines}")
    (path / "odd").touch()
    return Home(path)


def interrupt(
    process: subprocess.Popen[str], has_begun: Callable[[], bool], *signals: int, pause_s: float = 1
) -> Ended:
    """Signals to a process that is at work."""
    given_up = time.monotonic() + 120
    while not has_begun():
        assert time.monotonic() < given_up, "it never began"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    for number in signals:
        time.sleep(pause_s)  # the engine has answered meanwhile
        process.send_signal(number)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    return Ended(time.monotonic() - sent, process.returncode, err)


def finish(home: Home, checkpoint: Path, *more: str) -> None:
    """The same command again, without what was odd, ends the same run."""
    (home.path / "odd").unlink()
    done = home.finish(*command(checkpoint, *more))
    assert done.returncode == 0, done.stderr
    (run_dir,) = home.run_dirs
    assert manifest(run_dir)["status"] == "complete"
    assert manifest(run_dir)["num_starts"] == 2


SCORERS = {
    "loops": "while True: pass",
    "waits": "time.sleep(600)",
    "backtracks": "re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "swallows": SWALLOW,
}


@pytest.mark.parametrize("name", SCORERS)
def test_a_scorer_is_ended_in_order(name: str, tiny_llama: Path, tmp_path: Path) -> None:
    here = home(tmp_path / "home", "sums", odd=SCORERS[name])
    process = here.start(*command(tiny_llama))
    ended = interrupt(process, (here.path / "begun").exists, signal.SIGINT)
    assert ended.seconds < 6.0
    assert (ended.exit_code, ended.err) == (3, "interrupted\n")
    (run_dir,) = here.run_dirs
    assert (manifest(run_dir)["status"], manifest(run_dir)["reason"]) == ("partial", "interrupted")
    assert len(here.journaled) == 8
    finish(here, tiny_llama)


def test_code_in_c_that_takes_no_signal_is_ended_by_force(tiny_llama: Path, tmp_path: Path) -> None:
    here = home(tmp_path / "home", "first", "second", odd=BUSY_IN_C)
    process = here.start(*command(tiny_llama))
    ended = interrupt(process, (here.path / "begun").exists, signal.SIGTERM)
    assert ended.seconds < MOST_S
    assert (ended.exit_code, ended.err) == (3, "interrupted\n")
    (run_dir,) = here.run_dirs
    assert (manifest(run_dir)["status"], manifest(run_dir)["reason"]) == ("partial", "interrupted")
    finish(here, tiny_llama)


def test_code_in_c_that_lets_no_thread_run_is_killed(tiny_llama: Path, tmp_path: Path) -> None:
    here = home(tmp_path / "home", "sums", odd=STUCK_IN_C)
    process = here.start(*command(tiny_llama))
    ended = interrupt(process, (here.path / "begun").exists, signal.SIGINT)
    assert ended.seconds < MOST_S
    assert ended.err == "interrupted, and killed because it did not end\n"
    finish(here, tiny_llama)


def test_a_second_press_ends_the_process_at_once(tiny_llama: Path, tmp_path: Path) -> None:
    here = home(tmp_path / "home", "sums", odd=BUSY_IN_C)
    process = here.start(*command(tiny_llama))
    ended = interrupt(process, (here.path / "begun").exists, signal.SIGINT, signal.SIGINT)
    assert ended.seconds < 3.0
    assert ended.exit_code == 3
    finish(here, tiny_llama)


def test_a_chat_template_that_loops_is_ended(tiny_llama: Path, tmp_path: Path) -> None:
    here = home(tmp_path / "home", "sums")
    template = here.path / "loops.jinja"
    template.write_text(TEMPLATE)
    odd = ("model.chat=true", f"model.chat_template={template}")
    process = here.start(*command(tiny_llama, *odd))
    journal = "results/[!.]*/journal/0000.jsonl"
    ended = interrupt(process, lambda: bool(list(here.path.glob(journal))), signal.SIGINT)
    assert ended.seconds < 6.0
    assert (ended.exit_code, ended.err) == (3, "interrupted\n")


def test_a_run_that_loads_is_ended(tiny_llama: Path, tmp_path: Path) -> None:
    here = home(tmp_path / "home", "sums")
    loading = command(tiny_llama, "engine=hf")
    process = here.start(*loading)
    ended = interrupt(process, lambda: bool(here.run_dirs), signal.SIGINT, pause_s=0.1)
    assert ended.seconds < MOST_S
    assert ended.exit_code == 3
    finish(here, tiny_llama, "engine=hf")


def test_a_signal_to_a_scorers_worker_isnt_the_runs() -> None:
    reads, writes = os.pipe()
    with interruptible():
        worker = os.fork()
        if not worker:
            os.write(writes, b"!")
            time.sleep(60)
            os._exit(0)
        os.read(reads, 1)
        os.kill(worker, signal.SIGTERM)
        _, status = os.waitpid(worker, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
