"""`CheckpointInfo`: identity and scale of the weights in a folder, alone or with a LoRA adapter over them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from evalharness.checkpoint import identity
from evalharness.checkpoint.adapter import read_adapter
from evalharness.checkpoint.architecture import ArchitectureCheck, checkpoint_config
from evalharness.checkpoint.class_config import built_tensors, with_class_defaults
from evalharness.checkpoint.json_files import check_no_pipes, read_json, read_json_if_there
from evalharness.checkpoint.lora_config import ADAPTER_CONFIG
from evalharness.checkpoint.non_finite import non_finite
from evalharness.checkpoint.scale import Scale, logical_params, measure
from evalharness.checkpoint.weights import Tensor, WeightsFile, read_weights
from evalharness.errors import CheckpointError

UNVERIFIED = "unverified"
NO_WEIGHTS = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointInfo(Scale):
    """Identity and scale of a checkpoint; goes into the manifest as a dict."""

    path: str
    fingerprint: str
    """Everything that determines the output for given tokens: weights, config, tokenizer, adapter."""
    weights_fingerprint: str
    """`fast:` (samples), `full:` (every byte), `unverified` (on a server) or `none` (only a config.json)."""
    config_hash: str
    tokenizer_hash: str | None
    chat_template_hash: str | None
    disk_bytes: int
    """Of the weights."""
    num_files: int
    adapter_fingerprint: str | None = None
    adapter_base: str | None = None
    """The base that the adapter names in its own config."""
    adapter_rank: int | None = None
    adapter_merged: str | None = None
    """Why the adapter is merged into the weights before they are loaded; None if the engine applies it itself."""
    fits_architecture: str | None = None
    """The transformers class that the weights fit; None if that wasn't checked."""
    remarks: tuple[str, ...] = ()
    """Remarks on the weights for readers of scores, a sentence each."""
    non_finite: tuple[str, ...] | None = None
    """A sentence for each tensor with NaN or infinite values; None if the values weren't read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterInfo:
    """A LoRA adapter in PEFT format."""

    path: str
    fingerprint: str
    base: str | None
    """`base_model_name_or_path` of adapter_config.json."""
    rank: int
    """The largest of any module."""
    params: int
    disk_bytes: int


def inspect(path: Path, *, full: bool = False, allow_pickle: bool = False) -> CheckpointInfo:
    """Identity and scale of the checkpoint in `path`.

    Args:
        path: folder with config.json, weights and tokenizer.
        full: hash every byte instead of samples, and look for values that are not finite.
        allow_pickle: accept .bin/.pt/.pth weights; they are hashed, never opened, so their parameters stay unknown.

    Raises:
        CheckpointError: something is missing, damaged or not allowed.
    """
    if not path.is_dir():
        raise CheckpointError(f"checkpoint {path}: no such folder.")
    if is_adapter(path):
        base = read_json(path / ADAPTER_CONFIG).get("base_model_name_or_path")
        raise CheckpointError(
            f"checkpoint {path}: this is a LoRA adapter over {base!r}; give the base as model.path and this as "
            "model.adapter."
        )
    files = read_weights(path, allow_pickle=allow_pickle)
    info = _info(path, files, identity.hash_weights(files, full=full))
    return replace(info, non_finite=non_finite(files)) if full else info


def inspect_served(path: Path) -> CheckpointInfo:
    """Identity and scale of a checkpoint that a server has loaded; weights needn't be in `path`.

    Weights in `path` are used only for their size: whether the server has the same is unknown, so the weights'
    fingerprint is `unverified` in any case.

    Raises:
        CheckpointError: no such folder, or no config.json in it.
    """
    if not path.is_dir():
        raise CheckpointError(f"checkpoint {path}: no such folder.")
    try:
        files = read_weights(path)
    except CheckpointError:
        files = ()
    return _info(path, files, UNVERIFIED)


def inspect_config(path: Path) -> CheckpointInfo:
    """Scale of the model that a config.json describes, without weights: parameters are those that transformers builds.

    The weights' fingerprint is `none`. Parameters are unknown if transformers isn't installed or doesn't know the model.

    Raises:
        CheckpointError: no such folder, or no config.json in it.
    """
    if not path.is_dir():
        raise CheckpointError(f"checkpoint {path}: no such folder.")
    name, tensors = built_tensors(checkpoint_config(path))
    info = _info(path, (), NO_WEIGHTS, tensors)
    source = f"they are those of {name}, made from config.json" if name else "they are unknown"
    remark = f"No weights are in the folder: parameters weren't counted; {source}."
    return replace(info, weight_bytes=None, remarks=(remark,))


def _info(
    path: Path, files: tuple[WeightsFile, ...], weights: str, built: Sequence[Tensor] = ()
) -> CheckpointInfo:
    check_no_pipes(path)
    config = with_class_defaults(checkpoint_config(path))
    tokenizer = read_json_if_there(path / "tokenizer_config.json")
    tensors = built or [tensor for file in files for tensor in file.tensors]
    scale = measure(config, tensors, model_max_length=tokenizer.get("model_max_length"))
    config_hash = identity.hash_config(path)
    tokenizer_hash = identity.hash_tokenizer(path)
    return CheckpointInfo(
        **asdict(scale),
        path=str(path),
        fingerprint=identity.combine(weights, config_hash, tokenizer_hash),
        weights_fingerprint=weights,
        config_hash=config_hash,
        tokenizer_hash=tokenizer_hash,
        chat_template_hash=identity.hash_template(path),
        disk_bytes=sum(file.size for file in files),
        num_files=len(files),
    )


def with_check(info: CheckpointInfo, check: ArchitectureCheck) -> CheckpointInfo:
    """The info, with the result of checking the weights against their architecture."""
    return replace(info, fits_architecture=check.checked, remarks=(*info.remarks, *check.remarks))


def is_adapter(path: Path) -> bool:
    """Whether the folder holds a LoRA adapter and no model of its own."""
    return (path / ADAPTER_CONFIG).is_file() and not (path / "config.json").is_file()


def inspect_adapter(path: Path, *, full: bool = False) -> AdapterInfo:
    """Identity and size of the LoRA adapter in `path`.

    Raises:
        CheckpointError: not a LoRA adapter in PEFT's safetensors format, damaged, or one that we can't follow.
    """
    adapter = read_adapter(path)
    config, file = read_json(path / ADAPTER_CONFIG), adapter.file
    numbers = {key: value for key, value in config.items() if key not in _ADAPTER_NOISE}
    return AdapterInfo(
        path=str(path),
        fingerprint=identity.combine(
            identity.hash_weights((file,), full=full), identity.hash_json(numbers)
        ),
        base=adapter.config.base,
        rank=adapter.config.largest_rank,
        params=sum(logical_params(tensor, None) or 0 for tensor in file.tensors),
        disk_bytes=file.size,
    )


_ADAPTER_NOISE = {"base_model_name_or_path", "inference_mode", "peft_version", "revision"}


def with_adapter(base: CheckpointInfo, adapter: AdapterInfo) -> CheckpointInfo:
    """The base with the adapter: another fingerprint, and the adapter's parameters added."""

    def plus(params: int | None) -> int | None:
        return None if params is None else params + adapter.params

    return replace(
        base,
        fingerprint=identity.combine(base.fingerprint, adapter.fingerprint),
        params_total=plus(base.params_total),
        params_active=plus(base.params_active),
        params_active_without_input=plus(base.params_active_without_input),
        disk_bytes=base.disk_bytes + adapter.disk_bytes,
        adapter_fingerprint=adapter.fingerprint,
        adapter_base=adapter.base,
        adapter_rank=adapter.rank,
    )
