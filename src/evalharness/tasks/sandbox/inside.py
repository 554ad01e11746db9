"""Code that runs inside the sandbox: it sets its limits, gives up root, and runs the program in stdin.

The verdict is sent with a token that the parent made for this program only, so that neither an exit code nor a
program's output can fake one. `run.py` passes this file's text to the sandbox's interpreter, where no other file of
evalharness can be read: it may import only the standard library, and little of that, because every program pays for it.
"""

import os
import resource
import sys

PASSED = b"passed"
"""The program ran to its end."""
FAILED = b"failed"
"""It raised, including `SystemExit`."""
OUT_OF_MEMORY = b"out of memory"
"""It asked for more memory than it may have."""
TOKEN_BYTES = 32


def main(
    started_fd: int,
    uid: int,
    cpu_s: int,
    memory_bytes: int,
    num_processes: int,
    file_bytes: int,
    num_files: int,
) -> None:
    """Run the program, report the verdict and exit; never returns.

    Args:
        started_fd: written to once the limits hold (without that the sandbox has failed, not the program), and then
            again: the token that stdin begins with, and the verdict.
        uid: become this user and group; 0 keeps the current ones.
        cpu_s: seconds of processor time, per process.
        memory_bytes: address space, per process.
        num_processes: processes and threads.
        file_bytes: size of any one file.
        num_files: open files, per process.
    """
    given = sys.stdin.buffer.read()
    token, source = given[:TOKEN_BYTES], given[TOKEN_BYTES:]
    del given
    verdict_fd = out_of_reach(started_fd, num_files)
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NOFILE, num_files),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NPROC, num_processes),
        (resource.RLIMIT_AS, memory_bytes),
    ):
        resource.setrlimit(limit, (value, value))
    # The soft limit sends a signal that says why, the hard one ends a program that ignores it.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    os.write(verdict_fd, b"1")
    verdict = b""
    try:
        verdict = run(source)
    finally:
        try:
            os.pwrite(verdict_fd, token + verdict, 0)
        finally:
            os._exit(0)


def out_of_reach(fd: int, num_files: int) -> int:
    """The descriptor under a number above all that a program may open or close; its children don't get it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    high = os.dup2(fd, num_files + 7, inheritable=False)
    os.close(fd)
    return high


def run(source: bytes) -> bytes:
    """The verdict on a program: PASSED, FAILED or OUT_OF_MEMORY.

    Not under the name `__main__`, as a model's code for running its file as a script isn't part of its answer.
    """
    module = type(sys)("program")
    sys.modules["program"] = module
    sys.argv = ["program.py"]
    try:
        exec(compile(source, "program.py", "exec", dont_inherit=True), module.__dict__)
    except MemoryError:
        return OUT_OF_MEMORY
    except BaseException as e:
        show(e)
        return FAILED
    return PASSED


def show(error: BaseException) -> None:
    """Write the traceback, from the program's own frames on, to the real stderr."""
    if error.__traceback__:
        error = error.with_traceback(error.__traceback__.tb_next)
    sys.stderr = sys.__stderr__
    sys.__excepthook__(type(error), error, error.__traceback__)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
