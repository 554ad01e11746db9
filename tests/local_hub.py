"""A small Hub on 127.0.0.1 that speaks the routes which `model_info` and `list_models` of the real client use.

GET /api/models/<org>/<name>?expand=...    404, gated (403), moved (307)
GET /api/models?filter=&author=&search=&sort=&limit=&expand=    pages by Link header, 400 for what lists can't expand
Any of them: 429 with Retry-After, as often as `busy` says.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

NOT_IN_LISTS = {"baseModels", "childrenModelCount", "usedStorage"}
PAGE = 2


class LocalHub:
    """What is on it, and what it was asked."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, Any]] = {}
        self.moved: dict[str, str] = {}
        self.hidden: set[str] = set()
        """Gated so far that even the counts are."""
        self.busy: list[dict[str, str]] = []
        """Headers of the 429s that come before the next answer."""
        self.broken: set[str] = set()
        """Tags whose lists end in a 400."""
        self.page: Any = None
        """Replaces every list, if it isn't None."""
        self.asked: list[str] = []
        self.address = ""

    def add(self, hub_id: str, *tags: str, **fields: Any) -> None:
        """A repository; fields are named as the Hub names them."""
        values = {
            "createdAt": "2026-01-01T00:00:00.000Z",
            "pipeline_tag": "text-generation",
            "library_name": "transformers",
            "gated": False,
        }
        self.repos[hub_id] = {**values, "id": hub_id, "tags": list(tags), **fields}

    def add_checkpoint(self, hub_id: str, *tags: str, **fields: Any) -> None:
        """A repository with weights."""
        self.add(hub_id, "transformers", "safetensors", "text-generation", *tags, **fields)

    def add_derivatives(self, of: str, relation: str, num: int) -> None:
        """Repositories that say they were made from another."""
        for place in range(num):
            tags = (f"base_model:{of}", f"base_model:{relation}:{of}")
            self.add_checkpoint(f"someone/{relation}-{place}-of-{of.split('/')[1]}", *tags)


@contextmanager
def serving(hub: LocalHub) -> Iterator[LocalHub]:
    """The Hub, at `address` while the block runs."""

    class Handler(_Handler):
        of = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    of: LocalHub

    def do_GET(self) -> None:
        self.of.asked.append(self.path)
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path == "/api/models" and self.of.busy and "expand" in query:
            return self._answer(429, {"error": "slow down"}, self.of.busy.pop(0))
        if url.path == "/api/models" and self.of.page is not None:
            return self._answer(200, self.of.page)
        if url.path == "/api/models":
            return self._list(query)
        if not url.path.startswith("/api/models/"):
            return self._answer(404, {})
        if self.of.busy:
            return self._answer(429, {"error": "slow down"}, self.of.busy.pop(0))
        return self._info(url.path.removeprefix("/api/models/"), query)

    def _info(self, hub_id: str, query: dict[str, list[str]]) -> None:
        if hub_id in self.of.moved:
            to = f"/api/models/{self.of.moved[hub_id]}?{urlencode(query, doseq=True)}"
            return self._answer(307, {}, {"Location": to})
        if hub_id in self.of.hidden:
            return self._answer(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        if hub_id not in self.of.repos:
            return self._answer(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        return self._answer(200, _expanded(self.of.repos[hub_id], query))

    def _list(self, query: dict[str, list[str]]) -> None:
        if NOT_IN_LISTS & set(query.get("expand", [])):
            return self._answer(400, {"error": "expand: not for lists"})
        if self.of.broken & set(query.get("filter", [])):
            return self._answer(400, {"error": "broken"})
        found = [repo for repo in self.of.repos.values() if _matches(repo, query)]
        if query.get("sort") == ["createdAt"]:
            found.sort(key=lambda repo: repo["createdAt"] or "", reverse=True)
        start = int(query.get("cursor", ["0"])[0])
        end = start + min(PAGE, int(query.get("limit", [PAGE])[0]))
        headers = {}
        if end < len(found):
            further = urlencode({**query, "cursor": [str(end)]}, doseq=True)
            headers["Link"] = f'<{self.of.address}/api/models?{further}>; rel="next"'
        return self._answer(200, [_expanded(repo, query) for repo in found[start:end]], headers)

    def _answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _matches(repo: dict[str, Any], query: dict[str, list[str]]) -> bool:
    author, search = query.get("author", [""])[0], query.get("search", [""])[0]
    return (
        set(query.get("filter", [])) <= set(repo["tags"])
        and author.lower() in ("", repo["id"].split("/")[0].lower())
        and search.lower() in repo["id"].lower()
    )


def _expanded(repo: dict[str, Any], query: dict[str, list[str]]) -> dict[str, Any]:
    wanted = query.get("expand", ["tags", "createdAt"])
    return {"_id": "1", "id": repo["id"], **{name: repo[name] for name in wanted if name in repo}}
