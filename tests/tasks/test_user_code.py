"""Code of a task's own that was ended leaves nothing behind in the interpreter."""

import subprocess
import sys

AFTER_A_THREAD_THAT_TOOK_TOO_LONG = """
import sys, threading
from evalharness.tasks.user_code import Bounds, UserCodeError

def work():
    try:
        with Bounds(limit_s=0.1).contain("scoring"):
            while True:
                pass
    except UserCodeError as e:
        print(e)

thread = threading.Thread(target=work)
thread.start()
thread.join()
sys.settrace(lambda *a: None)
(lambda: None)()
sys.settrace(None)
print("traced")
"""


def test_code_can_be_traced_after_a_thread_was_ended() -> None:
    """CPython 3.11 runs in a circle where an exception was sent to a thread and taken back, and tracing is on."""
    program = [sys.executable, "-c", AFTER_A_THREAD_THAT_TOOK_TOO_LONG]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "scoring took longer than 0.1 s (run.scorer_timeout_s)",
        "traced",
    ]
