"""A small real HTTP server that speaks /v1/completions: a made-up model of known probabilities, and mishaps by script.

The model: after any prompt one token, `likeliest(prompt)`, has log-probability -0.1; all others have one that follows
from the prompt and the token. It writes its likeliest tokens, one after the other.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VOCAB = 259
"""Of the tiny checkpoints' byte tokenizer."""


def likeliest(prompt: Sequence[int]) -> int:
    return 70 + (sum(prompt) * 7 + len(prompt)) % 50


def logprob(prompt: Sequence[int], token: int) -> float:
    if token == likeliest(prompt):
        return -0.1
    return -1.0 - ((sum(prompt) * 31 + len(prompt) * 5 + token * 17) % 97) / 10


@dataclass(frozen=True)
class Mishap:
    """What the server does instead of answering one request."""

    status: int = 200
    body: str | bytes = "{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_reset: bool = False
    raw: bytes | None = None
    """All that it sends, from the status line on, before it hangs up."""
    drip_s: float | None = None
    """Sends its headers and then a space every so many seconds, while a client listens."""
    edit: Callable[[dict[str, Any]], Any] | None = None
    """See `Endpoint.edit`."""
    is_endless: bool = False
    """Sends its headers and then spaces as fast as they are taken."""
    seconds: float = 0.0
    """Waits, and then does as it would have (a status other than 200, or an answer)."""


@dataclass
class Endpoint:
    """How it behaves, and what it saw."""

    models: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"id": "tiny", "owned_by": "vllm", "root": "org/tiny", "max_model_len": 1024}
        ]
    )
    key: str | None = None
    takes_extras: bool = True
    takes_token_ids: bool = True
    is_ranked: bool = True
    is_echoing: bool = True
    gives_next: bool = True
    next_is_logits: bool = False
    metrics: str = 'vllm:cache_config_info{block_size="16",enable_prefix_caching="True"} 1.0\n'
    num_extra_tokens: int = 0
    """Added to every prompt's count."""
    tokenizer: Any = None
    """Reads texts; begins them with token 1 where `adds_bos`."""
    adds_bos: bool = False
    latency_s: float = 0.0
    edit: Callable[[dict[str, Any]], Any] | None = None
    """What becomes of the content of every completion before it is sent; bytes are sent as they are."""
    mishap_of: Callable[[dict[str, Any]], Mishap | None] | None = None
    """Of a completion, from the request's body."""
    gets: dict[str, Mishap] = field(default_factory=dict)
    """Path -> what is answered to a GET of it."""
    num_sent: int = 0
    """Bytes of endless answers."""
    dies_after: int | None = None
    """Completions until it closes its socket for good."""
    mishaps: list[Mishap] = field(default_factory=list)
    """Of the next completions, one each."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    num_at_once: int = 0
    max_at_once: int = 0
    url: str = ""
    server: ThreadingHTTPServer | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and content for a completion."""
        prompt, own = body["prompt"], {"top_k", "min_p", "repetition_penalty", "return_token_ids"}
        if not self.takes_extras and own & set(body):
            return 400, {"error": {"message": f"Unrecognized arguments: {sorted(own & set(body))}"}}
        if isinstance(prompt, list) and not self.takes_token_ids:
            return 422, {"detail": "prompt: expected a string"}
        if isinstance(prompt, str):
            bos = [1] if self.adds_bos else []
            prompt = bos + self.tokenizer.encode(prompt, add_special_tokens=False)
        if any(token >= VOCAB for token in prompt):
            return 400, {"error": {"message": "Token id is out of vocabulary"}}
        written = list(prompt)
        for _ in range(min(body["max_tokens"], 6)):
            written.append(likeliest(written))
        generated = written[len(prompt) :]
        choice = {
            "index": 0,
            "text": "".join(chr(t) for t in generated),
            "finish_reason": "length" if body["max_tokens"] <= 6 else "stop",
            "logprobs": self._logprobs(body, prompt, generated),
        }
        if self.is_ranked and "prompt_logprobs" in body:
            choice["prompt_logprobs"] = [None, *(_ranked(prompt, i) for i in range(1, len(prompt)))]
        if self.takes_extras and body.get("return_token_ids"):
            choice |= {"token_ids": generated, "prompt_token_ids": prompt}
        usage = {
            "prompt_tokens": len(prompt) + self.num_extra_tokens,
            "completion_tokens": len(generated),
            "prompt_tokens_details": {"cached_tokens": min(3, len(prompt))},
        }
        return 200, {"choices": [choice], "usage": usage}

    def _logprobs(
        self, body: Mapping[str, Any], prompt: list[int], generated: list[int]
    ) -> dict[str, Any] | None:
        if body.get("logprob_token_ids") and self.gives_next:
            wanted = {*body["logprob_token_ids"], generated[0]}
            shift = 7.0 if self.next_is_logits else 0.0
            top = {f"token_id:{t}": logprob(prompt, t) + shift for t in wanted}
            return {"top_logprobs": [top]}
        if body.get("logprobs") is None:
            return None
        tokens = prompt + generated if body.get("echo") and self.is_echoing else generated
        start = len(prompt) + len(generated) - len(tokens)
        written = prompt + generated
        own: list[float | None] = []
        top_logprobs: list[dict[str, float] | None] = []
        for i in range(start, len(written)):
            score = logprob(written[:i], written[i])
            own.append(score if i else None)
            top_logprobs.append({str(written[i]): score, "the likeliest": -0.1} if i else None)
        return {"token_logprobs": own, "top_logprobs": top_logprobs}


def _ranked(prompt: list[int], position: int) -> dict[str, Any]:
    score = logprob(prompt[:position], prompt[position])
    return {str(prompt[position]): {"logprob": score, "rank": 1 if score == -0.1 else 9}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint: Endpoint

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        end = self.endpoint
        if end.key and self.headers["Authorization"] != f"Bearer {end.key}":
            self._send(401, json.dumps({"error": {"message": "Unauthorized"}}))
        elif self.path in end.gets:
            mishap = end.gets[self.path]
            self._send(mishap.status, mishap.body, mishap.headers)
        elif self.path == "/v1/models":
            self._send(200, json.dumps({"data": end.models}))
        elif self.path == "/version":
            self._send(200, json.dumps({"version": "0.32.0"}))
        elif self.path == "/metrics" and end.metrics:
            self._send(200, end.metrics, {"Content-Type": "text/plain"})
        else:
            self._send(404, json.dumps({"detail": "Not Found"}))

    def do_POST(self) -> None:
        end = self.endpoint
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with end.lock:
            end.bodies.append(body)
            end.headers.append({k.lower(): v for k, v in self.headers.items()})
            end.num_at_once += 1
            end.max_at_once = max(end.max_at_once, end.num_at_once)
            mishap = end.mishaps.pop(0) if end.mishaps else None
            mishap = mishap or (end.mishap_of(body) if end.mishap_of else None)
            is_dead = end.dies_after is not None and len(end.bodies) > end.dies_after
        try:
            if is_dead:
                self.close_connection = True
                _close(end)
                return
            self._complete(body, mishap)
        finally:
            with end.lock:
                end.num_at_once -= 1

    def _complete(self, body: dict[str, Any], mishap: Mishap | None) -> None:
        if mishap and mishap.is_reset:
            self.close_connection = True
            return
        if mishap and mishap.raw is not None:
            self.close_connection = True
            self.wfile.write(mishap.raw)
            return
        if mishap and (mishap.drip_s is not None or mishap.is_endless):
            self._go_on(mishap)
            return
        time.sleep(mishap.seconds if mishap else self.endpoint.latency_s)
        edit = (mishap.edit if mishap else None) or self.endpoint.edit
        if mishap and not mishap.seconds and not mishap.edit:
            self._send(mishap.status, mishap.body, mishap.headers)
            return
        status, content = self.endpoint.answer(body)
        sent = edit(content) if edit and status == 200 else content
        self._send(status, sent if isinstance(sent, bytes) else json.dumps(sent))

    def _go_on(self, mishap: Mishap) -> None:
        self.close_connection = True
        self._begin(200, mishap.headers)
        piece = b" " if mishap.drip_s else b" " * 2**16
        with contextlib.suppress(OSError):  # no client listens any more
            while True:
                self.wfile.write(piece)
                self.endpoint.num_sent += len(piece)
                time.sleep(mishap.drip_s or 0)

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()

    def _send(
        self, status: int, body: str | bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        content = body if isinstance(body, bytes) else body.encode()
        self._begin(status, {**(headers or {}), "Content-Length": str(len(content))})
        try:
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):  # the client has given up waiting
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""


def _close(endpoint: Endpoint) -> None:
    with endpoint.lock:
        server, endpoint.server = endpoint.server, None
    if server:
        server.socket.close()
        threading.Thread(target=server.shutdown, daemon=True).start()


@contextmanager
def running(**behaviour: Any) -> Iterator[Endpoint]:
    """The server, on a free port of this machine."""
    endpoint = Endpoint(**behaviour)
    handler = type("Handler", (_Handler,), {"endpoint": endpoint})
    endpoint.server = server = _Server(("127.0.0.1", 0), handler)
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.daemon = True
    thread.start()
    try:
        yield endpoint
    finally:
        _close(endpoint)
        thread.join(10)
