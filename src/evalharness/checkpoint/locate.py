"""From a model entry to a folder on this machine: the local path, or a snapshot from the Hugging Face Hub."""

from pathlib import Path

from evalharness.checkpoint.demo import DEMO_PATH
from evalharness.checkpoint.fetching import watched
from evalharness.checkpoint.other_formats import check_format
from evalharness.config.schema import ModelConfig
from evalharness.errors import CheckpointError
from evalharness.paths import install_command

_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken"]
_UNWANTED = ["original/*", "onnx/*", "metal/*", "consolidated*"]
"""Copies of the same weights in other formats."""


def resolve(model: ModelConfig, offline: bool = False, *, with_weights: bool = True) -> Path:
    """The folder of a model's checkpoint; `model.path` wins over `model.hub_id`.

    Args:
        model: the entry.
        offline: only what is on this machine already.
        with_weights: also fetch the weights from the Hub, not only config, tokenizer and chat template.

    Raises:
        CheckpointError: neither is given, the folder doesn't exist or holds another format, or the Hub doesn't provide it.
    """
    if model.path:
        path = Path(model.path).expanduser()
        if path.is_dir():
            check_format(path)
            return path
        raise CheckpointError(
            f"model {model.name!r}: {model.path} isn't a folder; {_way_out(model)}"
        )
    if not model.hub_id:
        raise CheckpointError(f"model {model.name!r}: neither model.path nor model.hub_id is set.")
    patterns = list(_WANTED)
    if not with_weights:
        patterns.remove("*.safetensors")
    elif model.allow_pickle:
        patterns += ["*.bin", "*.pt", "*.pth"]
    if model.trust_remote_code:
        patterns += ["*.py"]
    return _snapshot(model.hub_id, model.revision, offline, patterns)


def resolve_adapter(model: ModelConfig, offline: bool = False) -> Path | None:
    """The folder of a model's LoRA adapter; None if the entry has none. A folder wins over a Hub id.

    Raises:
        CheckpointError: the folder doesn't exist, or the Hub doesn't provide it.
    """
    if not model.adapter:
        return None
    path = Path(model.adapter).expanduser()
    if path.is_dir():
        return path
    if model.adapter.startswith((".", "~", "/")) or model.adapter.count("/") != 1:
        raise CheckpointError(
            f"model {model.name!r}: adapter {model.adapter} is neither a folder nor a Hub id (organisation/name)."
        )
    return _snapshot(model.adapter, model.adapter_revision, offline, _WANTED)


def _way_out(model: ModelConfig) -> str:
    if model.path and Path(model.path).name == DEMO_PATH.name:
        return "`evalharness model demo` makes it."
    if model.hub_id:
        return f"set model.path=null to take {model.hub_id} from the Hub."
    return "check model.path (relative to the working directory)."


def _snapshot(hub_id: str, revision: str | None, offline: bool, patterns: list[str]) -> Path:
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as e:
        raise CheckpointError(
            f"{hub_id}: the Hub client isn't installed; `{install_command('gpu')}` installs it, or set model.path."
        ) from e
    try:
        with watched(hub_id) as tqdm_class:
            return Path(
                snapshot_download(
                    hub_id,
                    revision=revision,
                    local_files_only=offline,
                    allow_patterns=patterns,
                    ignore_patterns=_UNWANTED,
                    tqdm_class=tqdm_class,
                )
            )
    except (errors.HFValidationError, errors.HfHubHTTPError, OSError) as e:
        raise CheckpointError(hub_problem(e, hub_id, revision, offline)) from e


def hub_problem(error: Exception, hub_id: str, revision: str | None, offline: bool) -> str:
    """One line for an error of the Hub client: what is wrong and the way out."""
    from huggingface_hub import errors

    where = f"{hub_id} on the Hugging Face Hub"
    match error:
        case errors.GatedRepoError():
            return (
                f"{where} is gated: accept its licence at https://huggingface.co/{hub_id}, then "
                "`hf auth login` (or set HF_TOKEN)."
            )
        case errors.RevisionNotFoundError():
            return f"{where} has no revision {revision!r}; model.revision takes a branch, tag or commit."
        case errors.RepositoryNotFoundError():
            return f"{where} doesn't exist or is private; check model.hub_id, or `hf auth login`."
        case errors.HFValidationError():
            return f"{hub_id!r} is not a Hub id (organisation/name); set model.path for a folder."
        case errors.LocalEntryNotFoundError() if offline:
            return (
                f"{hub_id} isn't on this machine and data.offline=true: fetch it with "
                f"`hf download {hub_id}` where there is network, or set model.path."
            )
        case errors.HfHubHTTPError():
            return f"{where} couldn't be fetched ({_first_line(error)})."
    return (
        f"{where} couldn't be reached ({_first_line(error)}); without network set model.path, or "
        "data.offline=true to use what is on this machine."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
