"""The verb `view`: the local viewer of runs and samples."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalharness.cli.options import ResultsDir
from evalharness.errors import UserError
from evalharness.paths import install_command

if TYPE_CHECKING:
    from fastapi import FastAPI

_HOST = "127.0.0.1"
"""The only address, because there is no password."""


def view(
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65535, help="Listen on this port of 127.0.0.1; 0 takes a free one."
        ),
    ] = 8000,
    results_dir: ResultsDir = Path("results"),
    show: Annotated[
        bool,
        typer.Option("--open/--no-open", help="Open the page in this machine's browser, or don't."),
    ] = False,
) -> None:
    """Browse runs in a local web page: tasks, samples, conversations, and two runs side by side.

    \b
    evalharness view
    evalharness view --port 9000 --open

    Only this machine can connect, and nothing is written. From elsewhere, use `ssh -L 8000:127.0.0.1:8000 HOST`.
    Ctrl-C ends it.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.store.read import run_names

    num_runs = len(run_names(results_dir))
    app = _app(results_dir)
    listening = _listen(port)
    address = f"http://{_HOST}:{listening.getsockname()[1]}/"
    typer.echo(f"{num_runs} runs in {results_dir}: {address} (Ctrl-C ends it)")
    if show:
        import webbrowser

        webbrowser.open(address)
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


def _app(results_dir: Path) -> FastAPI:
    try:
        import uvicorn  # noqa: F401 (reported before anything starts if missing)

        from evalharness.viewer.app import create_app
    except ModuleNotFoundError as e:
        raise UserError(
            f"view: {e.name} isn't installed; `{install_command('view')}` installs it"
        ) from e
    return create_app(results_dir)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except OSError as e:
        why = os.strerror(e.errno) if e.errno else e
        raise UserError(f"view: port {port}: {why}; `--port 0` picks a free one") from e
