"""What is said of a download while it goes on."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evalharness.checkpoint import fetching

huggingface_hub = pytest.importorskip("huggingface_hub")

COMMIT = "a" * 40
SIZE = 20_000_000
SAID: list[str | None] = []
"""What was said when half of it had arrived."""
HALF = "fetching org/model, 0.01 of 0.02 GB"


def test_the_bytes_that_have_arrived_are_said_even_where_no_bar_is_drawn() -> None:
    assert fetching.how_far() is None
    with fetching.watched("org/model") as bar_class:
        assert fetching.how_far() == "fetching org/model"
        files = bar_class(total=9, unit="it", disable=True)
        network = bar_class(total=0, unit="B", disable=True)
        disk = bar_class(total=0, unit="B", disable=True)
        disk.total = network.total = (
            16_100_000_000  # as the Hub client sets it when it knows a file
        )
        files.update(8)
        disk.update(1_250_000_000)
        assert fetching.how_far() == "fetching org/model, 1.25 of 16.10 GB"
    assert fetching.how_far() is None


class Hub(BaseHTTPRequestHandler):
    """One file, of which the second half comes when the first is said to have arrived."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        for name, value in {"ETag": '"e"', "X-Repo-Commit": COMMIT, "Content-Length": SIZE}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def do_GET(self) -> None:
        if "/tree/" in self.path:
            files = [{"type": "file", "path": "model.safetensors", "size": SIZE, "oid": "0" * 40}]
            body = json.dumps(files).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.do_HEAD()
        self.wfile.write(b"x" * (SIZE // 2))
        until = time.monotonic() + 10.0
        while fetching.how_far() != HALF and time.monotonic() < until:
            time.sleep(0.01)
        SAID.append(fetching.how_far())
        self.wfile.write(b"x" * (SIZE // 2))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1_000_000)
    huggingface_hub.close_session()
    yield f"http://127.0.0.1:{server.server_port}"
    huggingface_hub.close_session()
    server.shutdown()
    server.server_close()


def test_a_real_download_is_followed_byte_by_byte(tmp_path: Path, address: str) -> None:
    with fetching.watched("org/model") as bar_class:
        found = huggingface_hub.snapshot_download(
            "org/model", revision=COMMIT, endpoint=address, cache_dir=tmp_path, token=False, tqdm_class=bar_class,
        )  # fmt: skip
    assert (Path(found) / "model.safetensors").stat().st_size == SIZE
    assert SAID == [HALF]
