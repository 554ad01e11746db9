"""What a program tries in the sandbox, what it gets, and that the machine outside is unharmed."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalharness.tasks.sandbox.run import (
    Limits,
    Outcome,
    run_python,
)
from programs import run_many

pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="no bubblewrap: apt-get install bubblewrap"
)

DENIED = """
def denied(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return True
    return False
"""


def run(program: str, **limits: float) -> Outcome:
    """Under limits that leave a slow machine time, unless configured otherwise."""
    return run_python(DENIED + program, limits=Limits(**limits))


def assert_true(program: str) -> None:
    """The program's own assertions hold."""
    outcome = run(program)
    assert outcome.is_ok, outcome


def command_lines() -> Iterator[tuple[int, bytes]]:
    """(pid, arguments, each ended by a zero byte) of all processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield int(path.parent.name), path.read_bytes()


@pytest.fixture
def survivors() -> Callable[[], list[int]]:
    """Pids of sandboxed processes that this test started (it limits open files to its own number of them)."""

    def pids() -> list[int]:
        mark = [str(MARK).encode(), b""]
        return [pid for pid, line in command_lines() if line.split(b"\0")[-2:] == mark]

    return pids


MARK = 1000 + os.getpid() % 1000
"""A limit of open files that no other run has."""


def assert_soon_empty(pids: Callable[[], list[int]]) -> None:
    """The kernel ends a sandbox's processes a moment after bubblewrap itself."""
    end = time.monotonic() + 2
    while pids() and time.monotonic() < end:
        time.sleep(0.01)
    assert pids() == []


# --- limits


def test_endless_loop_is_a_timeout(survivors: Callable[[], list[int]]) -> None:
    start = time.monotonic()
    assert run("while True: pass", cpu_s=1, num_files=MARK).reason == "timeout"
    assert time.monotonic() - start < 25
    assert_soon_empty(survivors)


def test_waiting_is_a_timeout(survivors: Callable[[], list[int]]) -> None:
    start = time.monotonic()
    program = "import time; time.sleep(60)"
    assert run(program, wall_s=0.5, num_files=MARK).reason == "timeout"
    assert time.monotonic() - start < 25
    assert_soon_empty(survivors)


def test_loop_that_ignores_the_signal_of_its_time_limit_ends() -> None:
    program = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert run(program, cpu_s=1).reason == "killed"


def test_10_gb_are_out_of_memory() -> None:
    assert run_python("x = bytearray(10**10)").reason == "memory"


def test_10_gb_in_small_pieces_are_out_of_memory() -> None:
    program = "x = []\nwhile True: x.append(bytearray(10**7))"
    assert run(program, memory_mib=200).reason == "memory"


@pytest.mark.parametrize(
    "program",
    [
        "import mmap; assert denied(mmap.mmap, -1, 10**10)",
        "import os; assert denied(os.memfd_create, 'x')",
        "import ctypes; assert ctypes.CDLL(None).shmget(0, 4096, 0o1600) == -1",
    ],
)
def test_memory_past_the_address_space_is_refused(program: str) -> None:
    assert_true(program)


def test_processes_are_bounded() -> None:
    program = """
import os, time
num_children = 0
try:
    while num_children < 1000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        num_children += 1
except BlockingIOError:
    pass
assert 5 < num_children < 10, num_children
"""
    outcome = run(program, num_processes=10)
    assert outcome.is_ok, outcome


def test_programs_side_by_side_do_not_share_their_number_of_processes() -> None:
    program = """
import os, time
for _ in range(5):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
time.sleep(0.2)
"""
    outcomes = run_many([program] * 4, limits=Limits(num_processes=7), num_workers=4)
    assert [o.reason for o in outcomes] == ["ok"] * 4


def test_fork_bomb_ends_with_its_program(survivors: Callable[[], list[int]]) -> None:
    # Bounded by itself too, for the day on which the sandbox doesn't hold.
    program = """
import os, time
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        os.fork()
    except OSError:
        pass
"""
    outcome = run(program, cpu_s=1, wall_s=1, num_files=MARK)
    assert outcome.reason == "timeout"
    assert_soon_empty(survivors)


def test_memory_of_all_processes_together_is_bounded(survivors: Callable[[], list[int]]) -> None:
    program = """
import os, time
for _ in range(14):
    if os.fork() == 0:
        held = b"x" * 200 * 2**20
        time.sleep(60)
time.sleep(60)
"""
    started = time.monotonic()
    assert run(program, num_files=MARK).reason == "memory"
    assert time.monotonic() - started < 25
    assert_soon_empty(survivors)


def test_memory_that_processes_share_is_counted_once() -> None:
    program = """
import os, time
held = b"x" * 200 * 2**20
children = [os.fork() for _ in range(3)]
if 0 in children:
    time.sleep(1)
    os._exit(0)
time.sleep(1)
"""
    outcome = run(program, memory_mib=500)
    assert outcome.is_ok, outcome


def test_processor_time_of_all_processes_together_is_bounded() -> None:
    program = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        while time.process_time() < 1:
            pass
        os._exit(0)
for _ in range(8):
    os.wait()
"""
    assert run(program, cpu_s=2, wall_s=600).reason == "timeout"


def test_a_program_of_many_small_files_is_out_of_memory(survivors: Callable[[], list[int]]) -> None:
    program = """
import os
for i in range(10**9):
    os.mkdir(str(i))
"""
    assert run(program, num_files=MARK).reason == "memory"
    assert_soon_empty(survivors)


def test_a_few_thousand_files_are_fine() -> None:
    assert_true("import os\nfor i in range(3000): os.mkdir(str(i))\nimport time; time.sleep(0.1)")


def test_the_sandbox_is_the_first_to_go_when_memory_runs_out() -> None:
    program = "import os, time\nif os.fork() == 0: time.sleep(60)\ntime.sleep(60)"
    thread = threading.Thread(target=run, args=(program,), kwargs={"num_files": MARK, "wall_s": 2})
    thread.start()
    seen: dict[int, str] = {}
    while thread.is_alive():
        for pid, line in command_lines():
            if line.split(b"\0")[-2:] == [str(MARK).encode(), b""]:
                with contextlib.suppress(OSError):
                    seen[pid] = Path(f"/proc/{pid}/oom_score_adj").read_text().strip()
        time.sleep(0.05)
    thread.join()
    assert len(seen) >= 3
    assert set(seen.values()) == {"1000"}
    assert Path("/proc/self/oom_score_adj").read_text().strip() != "1000"


# --- a busy machine


@pytest.fixture
def load() -> Iterator[None]:
    """More work than the machine has processors for."""
    hogs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(8 * len(os.sched_getaffinity(0)))
    ]
    yield
    for hog in hogs:
        hog.kill()
        hog.wait()


@pytest.mark.usefixtures("load")
def test_a_busy_machine_is_no_programs_fault() -> None:
    program = "import time\nend = time.process_time() + 2\nwhile time.process_time() < end: pass"
    outcomes = run_many([program] * 4, limits=Limits(cpu_s=6, wall_s=4), num_workers=4)
    assert [o.reason for o in outcomes] == ["ok"] * 4


@pytest.mark.usefixtures("load")
def test_sleeping_is_a_timeout_on_a_busy_machine_too() -> None:
    assert run("import time; time.sleep(60)", wall_s=2).reason == "timeout"


# --- verdicts


@pytest.mark.parametrize("code", [0, 1, 2, 87, 88, 89, 120, 127])
def test_no_exit_code_is_a_verdict(code: int) -> None:
    assert run(f"import os; os._exit({code})").reason == "error"


@pytest.mark.parametrize("verdict", ["passed", "ok", "1"])
def test_nothing_that_is_written_is_a_verdict(verdict: str) -> None:
    program = f"""
import os
for fd in range(3000):
    denied(os.write, fd, {verdict.encode() * 9!r})
    denied(os.pwrite, fd, {verdict.encode()!r}, 0)
os._exit(0)
"""
    assert run(program).reason in ("error", "killed")


def test_a_program_that_closes_all_it_knows_of_still_passes() -> None:
    assert_true("import os; os.closerange(0, os.sysconf('SC_OPEN_MAX'))")


def test_programs_of_one_source_have_tokens_of_their_own() -> None:
    program = "import sys; raise SystemExit(sys._getframe(2).f_locals['token'].hex())"
    said = {run(program).stderr for _ in range(3)}
    assert len(said) == 3


def test_daemon_dies_with_its_program(survivors: Callable[[], list[int]]) -> None:
    program = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 32):
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_IGN)
        os.closerange(0, 64)
        time.sleep(60)
    os._exit(0)
os.wait()
"""
    assert run(program, num_files=MARK).is_ok
    assert_soon_empty(survivors)


def test_flood_of_stdout_is_not_kept() -> None:
    outcome = run("while True: print('x' * 1000)", cpu_s=1)
    assert outcome == Outcome(reason="timeout", stderr="")


def test_flood_of_stderr_is_cut() -> None:
    outcome = run("import sys\nwhile True: sys.stderr.write('x' * 10**6)", file_mib=2)
    assert outcome.reason == "error"
    assert len(outcome.stderr) <= 2000


def test_huge_file_is_refused() -> None:
    assert_true("assert denied(open('big', 'wb', 0).truncate, 10**9)")


def test_all_files_together_are_bounded() -> None:
    program = """
num_files = 0
try:
    for num_files in range(100):
        with open(f"file{num_files}", "wb") as file:
            file.write(bytes(2**20))
except OSError:
    pass
assert 5 <= num_files <= 8, num_files
"""
    outcome = run(program, disk_mib=8)
    assert outcome.is_ok, outcome


def test_every_program_finds_tmp_empty() -> None:
    assert_true("open('/tmp/mine', 'w').write('1')")
    assert_true("import os; assert os.listdir('/tmp') == [] and os.getcwd() == '/tmp'")


# --- reading


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/hostname",
        "/proc",
        "/sys",
        "/var",
        "/usr/src",
        "/usr/local/etc",
    ],
)
def test_system_file_is_not_there(path: str) -> None:
    assert_true(f"import os; assert denied(os.stat, {path!r})")


def test_home_is_not_there() -> None:
    secret = Path.home() / f".evalharness-test-{os.getpid()}"
    secret.write_text("secret")
    try:
        assert_true(f"assert denied(open, {str(secret)!r})")
    finally:
        secret.unlink()


def test_repository_and_working_directory_are_not_there() -> None:
    assert_true(f"assert denied(open, {__file__!r})")
    assert_true(f"import os; assert denied(os.listdir, {str(Path.cwd())!r})")


def test_link_out_leads_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    assert_true(f"import os; os.symlink({str(secret)!r}, 'link'); assert denied(open, 'link')")


def test_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    known = {"HOME", "LANG", "PATH", "PYTHONHASHSEED", "PWD"}
    assert_true(f"import os; assert set(os.environ) <= {known}, os.environ")


def test_installed_packages_are_not_there() -> None:
    assert_true("import sys; assert not [p for p in sys.path if 'site-packages' in p]")


def test_own_descriptors_are_all_there_are(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        assert_true("import os; assert all(denied(os.fstat, fd) for fd in range(3, 64))")


def test_source_is_on_no_command_line() -> None:
    program = "import time; secret = 'on no command line'; time.sleep(2)"
    thread = threading.Thread(target=run_python, args=(program,))
    thread.start()
    seen = b""
    while thread.is_alive() and b"Code that runs inside the sandbox" not in seen:
        seen = b"".join(line for _, line in command_lines())
    thread.join()
    assert b"Code that runs inside the sandbox" in seen
    assert b"on no command line" not in seen


# --- network


def test_server_of_this_machine_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = server.getsockname()
        assert_true(f"import socket; assert denied(socket.create_connection, {address})")
        with pytest.raises(BlockingIOError):
            server.accept()


def test_abstract_socket_of_this_machine_is_out_of_reach() -> None:
    name = f"\0evalharness-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        assert_true(
            f"import socket; assert denied(socket.socket(socket.AF_UNIX).connect, {name!r})"
        )


@pytest.mark.parametrize("family", ["NETLINK", "PACKET", "ALG", "VSOCK", "BLUETOOTH", "CAN"])
def test_sockets_of_other_families_are_refused(family: str) -> None:
    number = {"NETLINK": 16, "PACKET": 17, "ALG": 38, "VSOCK": 40, "BLUETOOTH": 31, "CAN": 29}[
        family
    ]
    assert_true(
        "import errno, socket\n"
        f"for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):\n"
        f"    for make in (socket.socket, socket.socketpair):\n"
        f"        try: make({number}, kind)\n"
        "        except OSError as e: assert e.errno == errno.EAFNOSUPPORT, e\n"
        "        else: raise AssertionError"
    )


def test_sockets_that_programs_use_are_there() -> None:
    assert_true(
        "import asyncio, socket\n"
        "for f in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6): socket.socket(f).close()\n"
        "a, b = socket.socketpair()\na.send(b'x')\nassert b.recv(1) == b'x'\n"
        "async def seven(): return 7\n"
        "assert asyncio.run(seven()) == 7"
    )


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80), ("example.org", 80)])
def test_outside_is_out_of_reach(address: tuple[str, int]) -> None:
    assert_true(f"import socket; assert denied(socket.create_connection, {address}, 2)")


# --- writing and others


@pytest.mark.parametrize(
    "folder",
    ["/", "/usr", "/usr/bin", "/dev", "/etc", "/var/tmp", sys.base_prefix, str(Path.home())],
)
def test_writing_outside_is_refused(folder: str) -> None:
    name = f"evalharness-test-{os.getpid()}"
    assert_true(f"import os; assert denied(open, os.path.join({folder!r}, {name!r}), 'w')")
    assert not (Path(folder) / name).exists()


def test_what_is_written_to_tmp_stays_inside() -> None:
    path = Path(f"/tmp/evalharness-test-{os.getpid()}")
    assert_true(f"open({str(path)!r}, 'w').write('1')")
    assert not path.exists()


def test_other_processes_can_not_be_signalled() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        program = f"import os\nassert denied(os.kill, {other.pid + 2**20}, 9)\n"
        for pid in (other.pid, os.getpid(), os.getppid()):
            program += f"if {pid} > 9: assert denied(os.kill, {pid}, 9)\n"
        outcome = run(program + "os.kill(-1, 9) if denied(os.kill, 1, 9) else None")
        assert other.poll() is None
        other.kill()
    assert outcome.reason in ("ok", "error", "killed")


def test_killing_its_parent_kills_the_program_at_most() -> None:
    outcome = run("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(60)", wall_s=1)
    assert not outcome.is_ok


@pytest.mark.parametrize(
    "call", ["ptrace(16, 1, 0, 0)", "unshare(0x10000000)", "mount(0, b'/tmp', b'tmpfs', 0, 0)"]
)
def test_system_call_is_refused(call: str) -> None:
    assert_true(
        f"import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nassert c.{call} == -1\n"
        "assert ctypes.get_errno() == 1"
    )


def test_program_is_not_root_and_can_not_become_it() -> None:
    assert_true("import os; assert os.getuid() and os.getgid() and not os.getgroups()")
    assert_true("import os; assert denied(os.setuid, 0)")


def test_interpreter_can_start_again() -> None:
    assert_true(
        "import subprocess, sys\n"
        "out = subprocess.check_output([sys.executable, '-c', 'import json; print(7)'])\n"
        "assert out == b'7\\n'"
    )
