"""The HTTP client of the `openai` library: it reads whole answers, bounded in time and size, from one host only.

The library limits the pause between two bytes, not the total time; it would follow redirects to any host, with the
prompt; and it reads answers of any size. Here an answer that is too slow times out (and is retried), and one that is
too large or on another host raises `UnfitAnswerError` (and isn't retried).
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import openai

from evalharness.engines.openai.schema import quoted

MAX_REDIRECTS = 3
BASE_BYTES = 8 * 2**20
"""Bytes allowed for generated text: 100 for each of 80,000 tokens."""
BYTES_PER_BYTE = 256
"""Bytes allowed for the server's data on the prompt, per byte of the request: a token's id takes two or more there, its
log-probability about 100 in the answer."""


class UnfitAnswerError(openai.OpenAIError):
    """The answer is not read, and a retry would not help."""


class BoundedClient(httpx2.AsyncClient):
    """Limits an answer to the request's read timeout, from the first byte sent to the last one read."""

    async def send(
        self, request: httpx2.Request, *, stream: bool = False, **kwargs: Any
    ) -> httpx2.Response:
        """Send and read.

        Raises:
            httpx2.TimeoutException: not read in time.
            httpx2.TransportError: the connection failed.
            UnfitAnswerError: too large, or only on another host.
        """
        most_s = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(most_s):
                return await self._read(request, kwargs | {"follow_redirects": False})
        except TimeoutError as e:
            raise httpx2.ReadTimeout(f"not read within {most_s:g} s", request=request) from e

    async def _read(self, request: httpx2.Request, kwargs: dict[str, Any]) -> httpx2.Response:
        most_bytes = BASE_BYTES + BYTES_PER_BYTE * len(request.content)
        for _ in range(MAX_REDIRECTS + 1):
            response = await super().send(request, stream=True, **kwargs)
            try:
                if not response.has_redirect_location:
                    return _whole(response, await _body(response, most_bytes))
                request = _same_host(request, response)
            finally:
                await response.aclose()
        raise UnfitAnswerError(f"the server redirects more than {MAX_REDIRECTS} times")


async def _body(response: httpx2.Response, most_bytes: int) -> bytes:
    """The uncompressed body; a compressed one is unpacked in pieces, so that the bound holds for it too."""
    encoding = response.headers.get("content-encoding", "")
    if "," in encoding:
        raise UnfitAnswerError(
            f"the server compressed its answer more than once ({quoted(encoding)})"
        )
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > most_bytes:
            raise UnfitAnswerError(
                f"the server's answer is longer than the {most_bytes} bytes allowed for this request"
            )
    return bytes(body)


def _whole(response: httpx2.Response, body: bytes) -> httpx2.Response:
    """The response as already read, without its encoding header, which may hold anything."""
    kept = ("content-type", "content-length", "content-encoding", "transfer-encoding")
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in kept]
    return httpx2.Response(
        response.status_code, headers=headers, content=body, request=response.request
    )


def _same_host(request: httpx2.Request, response: httpx2.Response) -> httpx2.Request:
    to = response.next_request
    if to is None or _origin(to.url) != _origin(request.url):
        where = quoted(str(to.url) if to else response.headers["location"])
        raise UnfitAnswerError(
            f"the server redirects to {where}; set engine.base_url to the API itself"
        )
    return to


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    port = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or port
