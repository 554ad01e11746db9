"""The web app: maps addresses to pages, and restricts access to this machine.

GET only. A request that names another host is refused (any site's name could be made to point here), and pages may
load, run and send only what comes from the app itself.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import jinja2
from fastapi import Depends, FastAPI, Request, Response
from fastapi import Query as Field
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from evalharness.errors import UserError
from evalharness.report.terminal.format import (
    amount,
    duration,
    number,
)
from evalharness.viewer.compare_page import Choice, compare_page
from evalharness.viewer.curves_page import curves_page
from evalharness.viewer.flips import Way
from evalharness.viewer.list_page import LABELS, ORDERS, samples_page
from evalharness.viewer.query import (
    Order,
    Query,
    Show,
)
from evalharness.viewer.run_pages import run_address, run_page, runs_page
from evalharness.viewer.sample_page import sample_page, tokens_page
from evalharness.viewer.texts import clean, ending_words

HOSTS = ["127.0.0.1", "localhost"]
_HERE = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_LARGEST = 2**62
_LONGEST_FIELD = 500

Count = Annotated[int, Field(ge=0, le=_LARGEST)]
PageNumber = Annotated[int, Field(ge=1, le=_LARGEST)]
Word = Annotated[str, Field(max_length=_LONGEST_FIELD)]


def _query(
    task: Word,
    show: Annotated[list[Show], Field(max_length=len(Show))] = [],  # noqa: B006 (FastAPI copies it)
    order: Order = Order.doc,
    contains: Word = "",
    searched_from: Count = 0,
    other: Word = "",
) -> Query:
    return Query(
        task=task,
        show=tuple(dict.fromkeys(show)),
        order=order,
        contains=contains,
        searched_from=searched_from,
        other=other,
    )


def _choice(
    a: Word = "",
    b: Word = "",
    task: Word = "",
    way: Way = Way.any,
    any_prompt: bool = False,
    show_all: bool = False,
) -> Choice:
    return Choice(a=a, b=b, task=task, way=way, any_prompt=any_prompt, show_all=show_all)


Asked = Annotated[Query, Depends(_query)]


def create_app(results_dir: Path) -> FastAPI:
    """The app over a folder of runs; its only state is caches."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")

    @app.get("/")
    def runs(
        model: Word = "", suite: Word = "", status: Word = "", page: PageNumber = 1
    ) -> Response:
        chosen = {"model": model, "suite": suite, "status": status}
        return _render("runs", runs_page(results_dir, chosen, page))

    @app.get("/runs/{run_id}")
    def run(run_id: str) -> Response:
        return _render("run", run_page(results_dir, run_id))

    @app.get("/runs/{run_id}/curves")
    def curves(run_id: str) -> Response:
        return _render("curves", curves_page(results_dir, run_id))

    @app.get("/runs/{run_id}/samples")
    def samples(run_id: str, query: Asked, page: PageNumber = 1) -> Response:
        return _render("samples", samples_page(results_dir, run_id, query, page))

    @app.get("/runs/{run_id}/sample")
    def sample(
        run_id: str, query: Asked, doc: Count, repeat: Count = 0, whole: Word = ""
    ) -> Response:
        return _render("sample", sample_page(results_dir, run_id, query, doc, repeat, whole))

    @app.get("/runs/{run_id}/tokens")
    def tokens(
        run_id: str, query: Asked, doc: Count, repeat: Count = 0, show_all: bool = False
    ) -> Response:
        page = tokens_page(results_dir, run_id, query, doc, repeat, show_all=show_all)
        return _render("tokens", page)

    @app.get("/compare")
    def compare(choice: Annotated[Choice, Depends(_choice)], page: PageNumber = 1) -> Response:
        found = compare_page(results_dir, choice, page)
        return _render("compare", found, status=409 if found.problem else 200)

    _add_errors(app)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    app.middleware("http")(_with_headers)
    return app


def _add_errors(app: FastAPI) -> None:
    """Turn every error into a page with one line."""

    @app.exception_handler(UserError)
    def not_there(_: Request, error: UserError) -> Response:
        return _problem(404, str(error))

    @app.exception_handler(HTTPException)
    def refused(_: Request, error: HTTPException) -> Response:
        return _problem(
            error.status_code, "there is no such page" if error.status_code == 404 else error.detail
        )

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return _problem(422, f"the address isn't right: {first['loc'][1]}: {first['msg']}")

    @app.exception_handler(Exception)
    def broken(_: Request, error: Exception) -> Response:
        response = _problem(
            500, f"this page failed ({type(error).__name__}); see the terminal for details"
        )
        response.headers.update(_HEADERS)
        return response


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


def _problem(status: int, message: str) -> Response:
    return _render("problem", message, status=status)


def _render(name: str, page: Any, status: int = 200) -> Response:
    text = _TEMPLATES.get_template(f"{name}.html").render(page=page)
    return HTMLResponse(text, status_code=status)


def _shown(value: Any) -> Any:
    """Clean everything that a template writes, as it is untrusted; Jinja escapes it afterwards."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(name: str) -> Markup:
    """A long name that a browser may break after its marks, and not in mid-word."""
    return Markup(_BREAKS.sub(r"\g<0><wbr>", str(escape(clean(name)))))


_BREAKS = re.compile(r"[-_+.]+")

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_TEMPLATES.filters |= {
    "number": number,
    "duration": duration,
    "amount": amount,
    "ending": ending_words,
    "breakable": _breakable,
}
_TEMPLATES.globals |= {"run_address": run_address, "labels": LABELS, "orders": ORDERS}
