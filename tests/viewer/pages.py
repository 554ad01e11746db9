"""Pages of the viewer as tests read them."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

from fastapi.testclient import TestClient

from evalharness.viewer.app import create_app


def client_of(results_dir: Path) -> TestClient:
    return TestClient(
        create_app(results_dir), base_url="http://127.0.0.1:8000", raise_server_exceptions=False
    )


def page(client: TestClient, path: str, code: int = 200, **query: object) -> str:
    """The page's HTML; `code` is what it has to come with."""
    address = path + ("?" + urlencode(query, doseq=True) if query else "")
    answer = client.get(address)
    assert answer.status_code == code, answer.text
    assert "Traceback" not in answer.text
    return answer.text


def text(page: str) -> str:
    """What a reader sees of a page."""
    body = page[page.index("<main") :].replace("<wbr>", "")
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


class Tags(HTMLParser):
    """Collects what a browser would make elements of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [
            value or "" for name, value in attrs if name in ("href", "src", "action")
        ]
        if tag == "script":
            assert dict(attrs).get("src") == "/static/viewer.js"


def assert_harmless(page: str) -> None:
    """No element, attribute or character on it is what a model or a file wrote."""
    tags = Tags(page)
    assert "img" not in tags.found
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert "style" not in tags.found | tags.attributes
    assert all(address[:1] in ("/", "?", "#") for address in tags.addresses), tags.addresses
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
