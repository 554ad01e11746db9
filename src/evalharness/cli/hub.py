"""The verbs `adoption` and `watch`: what the Hugging Face Hub shows, now and over time."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalharness.cli.options import (
    AsCsv,
    AsJson,
    ResultsDir,
)
from evalharness.cli.output import chosen_form, print_json, print_view, show
from evalharness.errors import StoreError, UserError, did_you_mean, then

if TYPE_CHECKING:
    from evalharness.trend.adoption import Adoption
    from evalharness.trend.hub.records import Entry

EXIT_NEW = 1

app = typer.Typer(
    no_args_is_help=True, help="Show how much models are used, by the Hugging Face Hub's counts."
)

_Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Choose models by names in configs/model or Hub ids (organisation/name).",
    ),
]


@app.command()
def snapshot(
    models: _Models = None,
    take_all: Annotated[
        bool, typer.Option("--all", help="Take every entry of configs/model that has a hub_id.")
    ] = False,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Store each model's current counts on the Hub.

    A snapshot holds downloads, likes and derivatives, and is one file in <results_dir>/.adoption. Take one a day (cron),
    since reports show how counts change. A model that the Hub won't show is recorded with the reason. Needs network; uses
    HF_TOKEN and HF_ENDPOINT.

    \b
    evalharness adoption snapshot llama-3.1-8b-instruct Qwen/Qwen3-8B
    evalharness adoption snapshot --all

    Exit code: 0 done, 2 the input is wrong, there is no network, or no model could be read.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from dataclasses import asdict

    from evalharness.store.layout import check_results_dir
    from evalharness.trend.hub import (
        client,
        snapshots_store,
    )
    from evalharness.trend.hub.snapshot import take

    entries = _entries(models or [], take_all)
    check_results_dir(results_dir)
    api = client.connect("adoption snapshot")
    taken = take(api, _with_progress(entries))
    path = snapshots_store.write(results_dir, taken)
    if as_json:
        print_json({"path": str(path), **asdict(taken)})
    else:
        from evalharness.report.terminal.adoption import snapshot_view

        print_view(lambda width: snapshot_view(taken, path=str(path), width=width))
    if all(model.error for model in taken.models):
        raise UserError(
            f"adoption snapshot: none of {len(entries)} could be read completely; see {path}"
        )


@app.command()
def report(
    models: _Models = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show the latest counts and how fast they change.

    Rates are downloads and likes per day and derivatives per week. Reads <results_dir>/.adoption, never the network.
    Without MODEL, all models that have a snapshot are shown. --json has every step between snapshots.
    """
    form = chosen_form(as_json=as_json, as_csv=as_csv)
    from evalharness.report.terminal import adoption as forms
    from evalharness.trend.adoption import adoptions
    from evalharness.trend.hub import (
        client,
        snapshots_store,
    )

    taken = snapshots_store.read_all(results_dir)
    found = _chosen(adoptions(taken), models or [], results_dir)
    if not found and form == "table":
        return typer.echo(
            f"No snapshots in {results_dir} yet; `evalharness adoption snapshot llama-3.1-8b-instruct` takes one."
        )
    return show(
        form,
        view=lambda width: forms.adoption_view(
            found, num_snapshots=len(taken), is_offline=client.is_offline(), width=width
        ),
        content=lambda: forms.adoption_as_json(found, len(taken)),
        rows=lambda: forms.adoption_rows(found),
    )


def watch(
    orgs: Annotated[
        list[str] | None,
        typer.Option(
            "--org", metavar="ORG", help="Watch this organisation on the Hub; repeat for several."
        ),
    ] = None,
    families: Annotated[
        list[str] | None,
        typer.Option(
            "--family",
            metavar="TEXT",
            help="Watch repositories of anyone with this text in their name; repeat for several.",
        ),
    ] = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    write_entries: Annotated[
        Path | None,
        typer.Option(
            "--write-entries",
            metavar="DIR",
            help="Write a model entry for each new checkpoint into this folder.",
        ),
    ] = None,
) -> None:
    """Show which checkpoints are new on the Hub since the last look, each with a model entry ready to use.

    Without --org and --family, the makers of the Llama models in configs/model are watched. Only repositories with full
    weights of a language model (safetensors or PyTorch) count, not adapters, and not GGUF or otherwise quantised copies of
    others' models. The first look at an organisation or family only records what is there (<results_dir>/.watch.json).

    \b
    evalharness watch
    evalharness watch --org meta-llama --family llama-5 --write-entries configs/model

    Exit code: 0 nothing new, 1 something is new, 2 the input is wrong or there is no network.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.store.layout import check_results_dir
    from evalharness.trend.hub import (
        client,
        draft_entries,
        entries,
    )
    from evalharness.trend.hub import (
        watch as hub_watch,
    )
    from evalharness.trend.hub.snapshot import now

    known = entries.known_entries()
    check_results_dir(results_dir)
    asked_orgs = orgs or ([] if families else entries.makers(known))
    sources = hub_watch.sources(asked_orgs, families or [])
    before = hub_watch.read_state(results_dir)
    api = client.connect("watch")
    looked_at = now()
    looks = [
        hub_watch.look(api, source, before.get(source.lower()), asked_orgs) for source in sources
    ]
    new = {item.hub_id.lower(): item for look in looks for item in look.new}
    drafts = draft_entries.drafts(new.values(), known, api.endpoint)
    if write_entries is not None:
        drafts = draft_entries.write_drafts(drafts, write_entries)
    _show_watch(looks, drafts, looked_at, api.endpoint, as_json)
    # Last, so that what couldn't be shown is new again next time.
    hub_watch.write_state(results_dir, before, looks, looked_at)
    raise typer.Exit(EXIT_NEW if drafts else 0)


def _show_watch(
    looks: list[Any], drafts: list[Any], looked_at: str, endpoint: str, as_json: bool
) -> None:
    from evalharness.report.terminal.watch import (
        entries_view,
        watch_as_json,
        watch_view,
    )

    if as_json:
        return print_json(watch_as_json(looks, drafts, looked_at=looked_at, endpoint=endpoint))
    from evalharness.report.terminal.console import console

    out = console()
    out.print(watch_view(looks, drafts, width=out.width))
    if entries := entries_view(drafts):
        out.print(entries, soft_wrap=True)
    return None


def _entries(models: list[str], take_all: bool) -> list[Entry]:
    from evalharness.trend.hub.entries import (
        known_entries,
        wanted,
    )

    known = known_entries()
    if models and take_all:
        raise UserError("adoption snapshot: models or --all, not both")
    if not models and not take_all:
        raise UserError(
            f"adoption snapshot: which models? Names or Hub ids, or --all for the {len(known)} entries with a hub_id"
        )
    return known if take_all else wanted(models, known)


def _chosen(found: list[Adoption], models: list[str], results_dir: Path) -> list[Adoption]:
    """The models named, by entry or Hub id; all of them without a name."""
    by_name = {
        name.lower(): item for item in found for name in (item.hub_id, item.last.hub_id, item.model)
    }
    unknown = [model for model in models if model.lower() not in by_name]
    if unknown:
        way_out = f"`evalharness adoption snapshot {unknown[0]}` takes one"
        near = did_you_mean(unknown[0], by_name)
        raise StoreError(
            f"no snapshot in {str(results_dir)!r} holds {unknown[0]!r}{then(near, way_out)}"
        )
    chosen = [by_name[model.lower()] for model in models]
    return list({item.hub_id: item for item in chosen}.values()) if models else found


def _with_progress(entries: list[Entry]) -> Iterable[Entry]:
    if not sys.stderr.isatty():
        return entries
    from rich.console import Console
    from rich.progress import track

    return track(entries, "asking the Hub", console=Console(stderr=True), transient=True)
