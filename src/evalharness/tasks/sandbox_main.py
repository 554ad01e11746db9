"""What runs inside the sandbox: bind itself by limits, give up root, run the program that stdin holds.

`sandbox.py` hands this file's text to the sandbox's interpreter, where no other file of evalharness can be read: the
standard library is all it may import, and little of it, because every program pays for it.
"""

import os
import resource
import sys

PASSED = 87
"""Exit code: the program ran to its end. Not 0, so that a program which exits by itself hasn't passed."""
FAILED = 88
"""Exit code: the program raised, `SystemExit` included."""
OUT_OF_MEMORY = 89
"""Exit code: the program asked for more memory than it may have."""


def main(
    started_fd: int,
    uid: int,
    cpu_s: int,
    memory_bytes: int,
    num_processes: int,
    file_bytes: int,
    num_files: int,
) -> None:
    """Run the program and exit with its verdict; never returns.

    Args:
        started_fd: written to once the limits hold; without that byte the sandbox has failed, not the program.
        uid: become this user and group; 0 stays who it is.
        cpu_s: seconds of processor time, per process.
        memory_bytes: address space, per process.
        num_processes: processes and threads.
        file_bytes: size of any one file.
        num_files: open files, per process.
    """
    source = sys.stdin.buffer.read()
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
    # At the soft limit a signal that says why, at the hard one the end of a program that ignores it.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    os.write(started_fd, b"1")
    os.close(started_fd)
    try:
        code = run(source)
    finally:
        os._exit(code)


def run(source: bytes) -> int:
    """The verdict on a program: PASSED, FAILED or OUT_OF_MEMORY.

    Not under the name `__main__`: what a model wrote for running its file as a script isn't part of its answer.
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
    """Write the traceback from the program's own frames on, wherever the program has turned stderr to."""
    if error.__traceback__:
        error = error.with_traceback(error.__traceback__.tb_next)
    sys.stderr = sys.__stderr__
    sys.__excepthook__(type(error), error, error.__traceback__)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
