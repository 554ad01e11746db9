"""A real vLLM server on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 240
SERVE = [
    *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"),
    *("--dtype", "float32", "--block-size", "32", "--enforce-eager"),
    *("--served-model-name", "smol", "--enable-prompt-tokens-details"),
]


@dataclass
class Server:
    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """It and its engine process, as an operator or the kernel would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def serving(path: Path, log: Path, max_model_len: int = 2048) -> Iterator[Server]:
    """The server of a checkpoint, up and answering."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:8]))
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": cores,
        "VLLM_NO_USAGE_STATS": "1",
    }
    arguments = ["--model", str(path), "--port", str(port), "--max-model-len", str(max_model_len)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*SERVE, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
        )
    running = Server(f"http://127.0.0.1:{port}/v1", process)
    try:
        _wait(running, log)
        yield running
    finally:
        running.kill()


def _wait(server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        assert server.process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{server.url}/models", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
