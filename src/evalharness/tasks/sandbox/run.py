"""Runs model-written Python in bubblewrap: without network, on a read-only system, with limits on all resources.

A program in, an `Outcome` out. Inside there are the interpreter, its standard library and an empty /tmp; no file of the
user, no other process, no network, no environment. The program is passed through a descriptor, never on a command line,
and everything it started dies with it.

There are two ways to drop rights. A user runs in a separate user namespace. Root can't, as the kernel doesn't limit the
number of processes of a user that is root outside, so root sets the sandbox up and then becomes a unique user id.

The kernel's limits are per process (`inside`); all processes of one program together are watched from outside
(`watch`). Programs queue for processors, and only their own use of one counts: a busy machine changes no score. If the
machine itself has failed, nothing is known about the program, which is an error and not a 0.

A program can deceive its own tests, as they run in one interpreter, but not by an exit code or its output.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import unicodedata
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Literal

from evalharness.errors import TaskError
from evalharness.tasks.sandbox import inside
from evalharness.tasks.sandbox.seccomp import seccomp_filter
from evalharness.tasks.sandbox.watch import (
    Watch,
    num_oom_kills,
)

Reason = Literal["ok", "error", "timeout", "memory", "killed"]

_NOBODY = 65534
_TAIL_BYTES = 2000
_MIB = 2**20
_ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    # The order of sets affects programs: make it the same in every run.
    "PYTHONHASHSEED": "0",
}
_USR = (
    *("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec"),
    *("local/bin", "local/lib", "share/zoneinfo"),
)
"""Not all of /usr: images often have a project in /usr/src, and sites their settings in /usr/local/etc."""
_SIGNALLED = 128
"""The offset that bubblewrap adds to the number of the signal that ended the program."""
_SPARE_UIDS = 2_100_000_000
"""First user id, if the system has so many: above those of containers and directory services."""
_FEWEST_UIDS = 60_000
"""With fewer, root is inside a container without spare user ids."""
_GET_IT = (
    "install bubblewrap: `apt-get install bubblewrap` (Debian, Ubuntu) or "
    "`dnf install bubblewrap` (Fedora)"
)
_WAYS_OUT = {
    "Unknown option": "bubblewrap 0.7 or newer is needed",
    "uid map": "Ubuntu forbids it: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    "max_": "the kernel allows no user namespaces: `sysctl user.max_user_namespaces=15000`",
    "No permissions": "the kernel forbids it: `sysctl kernel.unprivileged_userns_clone=1`",
    "not permitted": (
        "in a container, start it with `--cap-add SYS_ADMIN --security-opt seccomp=unconfined`; "
        "elsewhere `sysctl kernel.unprivileged_userns_clone=1`"
    ),
}
"""Part of bubblewrap's message -> what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one program."""

    cpu_s: int = 10
    """Processor time, of each process and of all together."""
    wall_s: float = 30.0
    """Wall time, for programs that wait; without the time in which they were ready but got no processor."""
    memory_mib: int = 1024
    """Address space of each process, and memory of all together."""
    num_processes: int = 16
    """Processes and threads."""
    disk_mib: int = 64
    """All files together, in memory."""
    file_mib: int = 16
    """One file, and what is written to stderr."""
    num_files: int = 64
    """Open files."""
    num_inodes: int = 10_000
    """Files, folders and links in all; even small ones take the kernel's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a program."""

    reason: Reason
    """ok: it ran to its end; error: it raised or exited by itself; timeout, memory: beyond its limits; killed: by a
    signal."""
    stderr: str
    """The end of its stderr, without control characters."""

    @property
    def is_ok(self) -> bool:
        """Whether it ran to its end."""
        return self.reason == "ok"


_CORES = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))
"""Most programs at once; more than processors would only slow one another down."""


def run_python(source: str, *, limits: Limits | None = None) -> Outcome:
    """Run a program and wait for its end, once a processor is free for it.

    Args:
        source: a module's text; `__name__` isn't `__main__` in it, stdin is empty, stdout goes nowhere.
        limits: its limits; default: `Limits()`.

    Raises:
        TaskError: the sandbox can't start, or the machine failed, so that nothing is known about the program.
    """
    limits, bubblewrap = limits or Limits(), _bubblewrap()
    token = secrets.token_bytes(inside.TOKEN_BYTES)
    with (
        _CORES,
        _memory_file(token + source.encode("utf-8", "surrogatepass")) as program,
        _memory_file(seccomp_filter()) as filter_,
        _memory_file() as verdict,
        _memory_file() as stderr,
    ):
        num_killed = num_oom_kills()
        process = _start(bubblewrap, program, filter_, verdict, stderr, limits)
        watch = Watch(
            process.pid,
            verdict.fileno(),
            # A little more than each process has, so that the kernel's own signal, which says why, comes first.
            cpu_s=limits.cpu_s + 1.5,
            wall_s=limits.wall_s,
            memory_bytes=limits.memory_mib * _MIB,
            num_inodes=limits.num_inodes,
        )
        try:
            breach = watch.wait()
        finally:
            process.kill()
            process.wait()
        sent = os.pread(verdict.fileno(), 100, 0)
        tail = _tail(stderr)
    if breach == "busy":
        raise TaskError(
            "the machine is too busy for the sandbox: a program got hardly any processor"
        )
    if breach and not sent:
        raise TaskError(_why_not(f"it didn't start within {limits.wall_s:g} s"))
    if not sent or (process.returncode < 0 and not breach):
        raise TaskError(_why_not(tail))
    reason = breach or _reason(sent, token, process.returncode)
    if reason == "killed" and num_oom_kills() > num_killed:
        raise TaskError("the machine ran out of memory while a program ran in the sandbox")
    return Outcome(reason=reason, stderr=tail)


@functools.cache
def require_sandbox() -> None:
    """Try the sandbox once with a program that does nothing.

    Raises:
        TaskError: it can't start here; gives the reason and the way out.
    """
    outcome = run_python("pass")
    if not outcome.is_ok:
        raise TaskError(
            f"the sandbox for code can't run an empty program ({outcome.reason}): {outcome.stderr!r}"
        )


def _start(
    bubblewrap: str,
    program: FileIO,
    filter_: FileIO,
    verdict: FileIO,
    stderr: FileIO,
    limits: Limits,
) -> subprocess.Popen[bytes]:
    uid = _spare_uid()
    arguments = (
        *(verdict.fileno(), uid or 0, limits.cpu_s, limits.memory_mib * _MIB),
        *(limits.num_processes, limits.file_mib * _MIB, limits.num_files),
    )
    command = [
        *(bubblewrap, *_isolation(is_root=uid is not None), *_system()),
        *("--perms", "1777", "--size", str(limits.disk_mib * _MIB), "--tmpfs", "/tmp"),
        *("--remount-ro", "/", "--chdir", "/tmp", "--seccomp", str(filter_.fileno())),
        *("--", str(_interpreter()), "-s", "-S", "-P", "-B", "-c", _main_source()),
        *map(str, arguments),
    ]
    return subprocess.Popen(
        command,
        stdin=program.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=stderr.fileno(),
        pass_fds=(filter_.fileno(), verdict.fileno()),
        env=_ENVIRONMENT,
        cwd="/",
    )


def _memory_file(content: bytes = b"") -> FileIO:
    """A file without a name. A program's output into it is limited by its file size limit, not by our reading."""
    file = FileIO(os.memfd_create("evalharness"), "r+b")
    file.write(content)
    file.seek(0)
    return file


def _reason(sent: bytes, token: bytes, exit_code: int) -> Reason:
    verdicts: dict[bytes, Reason] = {
        token + inside.PASSED: "ok",
        token + inside.FAILED: "error",
        token + inside.OUT_OF_MEMORY: "memory",
    }
    if sent in verdicts:
        return verdicts[sent]
    if exit_code == _SIGNALLED + signal.SIGXCPU:
        return "timeout"
    return "killed" if exit_code > _SIGNALLED else "error"


def _tail(file: FileIO) -> str:
    size = os.fstat(file.fileno()).st_size
    text = os.pread(file.fileno(), _TAIL_BYTES, max(size - _TAIL_BYTES, 0)).decode(errors="replace")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c)[0] != "C").strip()


def _bubblewrap() -> str:
    path = shutil.which("bwrap")
    if path is None:
        raise TaskError(f"model-written code runs in a sandbox only, and there is none: {_GET_IT}")
    return path


def _why_not(said: str) -> str:
    """One line with the message of bubblewrap or the interpreter, and the way out."""
    lines = [line for line in said.splitlines() if line.strip()]
    line = lines[-1] if lines else "no reason given"
    ways_out = (way_out for hint, way_out in _WAYS_OUT.items() if hint in line)
    way_out = next(ways_out, "what does `bwrap --ro-bind / / true` say?")
    return f"the sandbox for code can't start: {line}; {way_out}"


def _isolation(*, is_root: bool) -> tuple[str, ...]:
    """Options for namespaces and rights. Root keeps the rights for becoming another user, and loses them by doing so."""
    rights: tuple[str, ...]
    if is_root:
        rights = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
    else:
        nobody = str(_NOBODY)
        rights = ("--unshare-user", "--uid", nobody, "--gid", nobody, "--cap-drop", "ALL")
    return (
        *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent", "--new-session"),
        *rights,
    )


@functools.cache
def _system() -> tuple[str, ...]:
    """The read-only system: libraries, the interpreter with its standard library, harmless devices. No /proc."""
    options = []
    # Made explicitly, because folders that bubblewrap makes on the way to a file are closed to other users.
    for name in ("/dev", "/etc", "/usr/local", "/usr/share", str(_interpreter().parent)):
        options += ["--dir", name]
    for name in _USR:
        options += ["--ro-bind-try", f"/usr/{name}", f"/usr/{name}"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if Path(name).is_symlink():
            options += ["--symlink", str(Path(name).readlink()), name]
        elif Path(name).is_dir():
            options += ["--ro-bind", name, name]
    for name in ("/etc/ld.so.cache", "/etc/alternatives"):
        options += ["--ro-bind-try", name, name]
    for name in ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"):
        options += ["--dev-bind", name, name]
    prefix = Path(sys.base_prefix)
    if prefix not in (Path("/usr"), Path("/usr/local")):
        for path in (_interpreter(), prefix / "lib", prefix / "lib64"):
            options += ["--ro-bind-try", str(path), str(path)]
    return tuple(options)


@functools.cache
def _interpreter() -> Path:
    """The current interpreter outside its virtual environment, whose packages programs must not see."""
    return Path(sys.executable).resolve()


@functools.cache
def _main_source() -> str:
    return Path(inside.__file__).read_text(encoding="utf-8")


def _spare_uid() -> int | None:
    """A user id without files or processes, another for each program; None if there is none.

    Different for each, because the limit of processes counts all of a user's.
    """
    if os.geteuid() != 0:
        return None
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    end = max(int(first) + int(count) for first, _, count in ranges)
    low = min(_SPARE_UIDS, end // 2)
    return low + secrets.randbelow(min(end, 2**31) - low) if end > _FEWEST_UIDS else None
