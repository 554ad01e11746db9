"""Why an engine died, out of vLLM's log."""

from evalharness.engines.vllm.crash import (
    last_error,
    signal_name,
)

LOG = """\
(EngineCore pid=3) ERROR 11-22 20:00:00 [core.py:1196] ValueError: of an earlier start
(EngineCore pid=7) INFO 11-22 21:38:18 [core.py:1] ready
(EngineCore pid=7) ERROR 11-22 21:38:19 [core.py:1196] EngineCore encountered a fatal error.
(EngineCore pid=7) ERROR 11-22 21:38:19 [core.py:1196] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-22 21:38:19 [core.py:1196]     raise self._format_exception(outputs)
(EngineCore pid=7) ERROR 11-22 21:38:19 [core.py:1196] torch.OutOfMemoryError: CUDA out of memory.
(MainProcess pid=5) ERROR 11-22 21:38:19 [async_llm.py:9] vllm.v1.engine.exceptions.EngineDeadError: See above.
"""


def test_the_engines_own_last_error_is_the_cause() -> None:
    assert last_error(LOG, 7) == "torch.OutOfMemoryError: CUDA out of memory."


def test_a_dead_worker_is_the_cause() -> None:
    line = "(EngineCore pid=7) ERROR 11-22 21:38:19 [multiproc_executor.py:2] Worker proc W-0 died unexpectedly, bye."
    assert last_error(line, 7) == "Worker proc W-0 died unexpectedly, bye."


def test_a_log_without_errors_has_no_cause() -> None:
    assert last_error("(EngineCore pid=7) INFO 11-22 21:38:18 [core.py:1] ready", 7) is None


def test_signals_are_named() -> None:
    assert signal_name(11) == "SIGSEGV"
    assert signal_name(9).startswith("SIGKILL (the system sends it when memory runs out")
    assert signal_name(99) == "signal 99"
