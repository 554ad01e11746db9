"""A LoRA adapter merged into the weights of its base as a new checkpoint, for engines that can't load both.

For each module that the adapter is for, with s = alpha / rank (alpha / sqrt(rank) with rsLoRA):

    LoRA    W + s B A                                        arXiv:2106.09685
    DoRA    m (W + s B A) / |W + s B A|, row by row          arXiv:2402.09353, eq. 5
    bias    b + s (bias of B)

Computed in float32, tensor by tensor, file by file: memory for the largest file is enough. Values are those of PEFT's
unmerged model, whose input and output embeddings are separate if the adapter changes one of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.checkpoint import identity
from evalharness.checkpoint.adapter import (
    Adapter,
    LoraModule,
    check_adapter,
    is_transposed,
    read_adapter,
)
from evalharness.checkpoint.architecture import (
    INPUT_EMBEDDINGS,
    checkpoint_config,
    model_names,
)
from evalharness.checkpoint.json_files import read_json, read_json_if_there
from evalharness.checkpoint.lora_config import BY_PEFT
from evalharness.checkpoint.model_config import quantization_of, text_config
from evalharness.checkpoint.quantized import plain_tensors
from evalharness.checkpoint.weights import (
    INDEX,
    SINGLE,
    WeightsFile,
    read_weights,
)
from evalharness.errors import CheckpointError, WriteError
from evalharness.paths import cache_folder, install_command
from evalharness.store.atomic import sync

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

MADE_FROM = "merged.json"
"""File in a merged checkpoint with the fingerprints of its parts and of its own weights."""
_VERSION = 1
"""Version of the arithmetic; another one makes other checkpoints from the same parts."""
_COPIED = (".json", ".jinja", ".model", ".txt", ".tiktoken", ".py")
_HEAD = "lm_head.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """An adapter and the base that it was found to fit."""

    base: Path
    adapter: Adapter
    files: Sequence[WeightsFile]
    """Of the base."""
    config: Mapping[str, Any]
    """The base's config.json."""
    names: Mapping[str, str]
    """The model's name of each tensor that changes -> its name in the base's files."""

    def require_merging(self) -> None:
        """Raise `CheckpointError` if the adapter can't be merged, with the way out."""
        if method := quantization_of(dict(self.config)).method:
            raise CheckpointError(
                f"adapter {self.adapter.path}: it can't be merged into {self.base}, whose weights are quantized "
                f"({method}); set model.path to the base without quantization, or {BY_PEFT}."
            )
        _unties(self)


def fit_adapter(base: Path, adapter: Path) -> Fitting:
    """Read an adapter and its base, and check one against the other.

    Raises:
        CheckpointError: one of them is damaged, or the adapter is for another base; see `check_adapter`.
    """
    files = read_weights(base)
    found = read_adapter(adapter)
    config = checkpoint_config(base)
    tensors = [tensor for file in files for tensor in file.tensors]
    shapes = plain_tensors(base, config, tensors).shapes
    is_renamed = any(
        name not in shapes and name != _HEAD
        for name in [*(f"{module}.weight" for module in found.modules), *found.replaced]
    )
    names = check_adapter(
        found,
        shapes,
        model_type=str(config.get("model_type")),
        names=_model_names(base) if is_renamed else None,
    )
    return Fitting(base=base, adapter=found, files=files, config=config, names=names)


def _model_names(base: Path) -> dict[str, str]:
    try:
        return model_names(base)
    except ImportError:
        return {}


def merged(base: Path, adapter: Path, *, dtype: str | None = None) -> Path:
    """The folder of the merged checkpoint in the user's cache, made if needed.

    Several processes may ask for the same: one makes it, the others wait.

    Args:
        base: folder of the base.
        adapter: folder of the adapter.
        dtype: `float32` keeps what the base's 16 bits would round away; None is the base's own.

    Raises:
        CheckpointError: see `merge`.
    """
    fitting = fit_adapter(base, adapter)
    parts = _parts(fitting, dtype)
    key = identity.combine(str(_VERSION), *parts.values())[:32]
    folder = cache_folder() / "merged" / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_suffix(".lock")):
            if not _is_whole(folder, parts):
                shutil.rmtree(folder, ignore_errors=True)
                logger.info("adapter %s is merged into %s: %s", adapter, base, folder)
                _write(fitting, folder, dtype, parts)
    except OSError as e:
        raise WriteError.of(e, folder) from e
    return folder


def merge(base: Path, adapter: Path, out: Path, *, dtype: str | None = None) -> Path:
    """Write the merged checkpoint into `out`, completely or not at all.

    Args:
        base: folder of the base.
        adapter: folder of the adapter.
        out: folder to make; must not exist.
        dtype: of the tensors that change: `float32`, `bfloat16` or `float16`; None is the base's own.

    Raises:
        CheckpointError: adapter and base don't fit or can't be merged, or `out` exists.
        WriteError: the disk is full or can't be written.
    """
    if os.path.lexists(out):
        raise CheckpointError(f"{out} exists; choose a new folder.")
    fitting = fit_adapter(base, adapter)
    try:
        _write(fitting, out, dtype, _parts(fitting, dtype))
    except OSError as e:
        raise WriteError.of(e, out) from e
    return out


def _parts(fitting: Fitting, dtype: str | None) -> dict[str, str]:
    adapter = fitting.adapter
    config = read_json(adapter.path / "adapter_config.json")
    return {
        "base": identity.combine(
            identity.hash_weights(tuple(fitting.files)),
            identity.hash_config(fitting.base),
            identity.hash_tokenizer(fitting.base),
            identity.hash_template(fitting.base),
        ),
        "adapter": identity.combine(
            identity.hash_weights((adapter.file,), full=True), identity.hash_json(config)
        ),
        "dtype": dtype or "as the base",
    }


def _is_whole(folder: Path, parts: Mapping[str, str]) -> bool:
    """Whether the cached checkpoint exists and is still what was written."""
    if not folder.is_dir():
        return False
    try:
        made = read_json_if_there(folder / MADE_FROM)
        return made == {**parts, "weights": identity.hash_weights(read_weights(folder))}
    except CheckpointError:
        return False


def _write(fitting: Fitting, out: Path, dtype: str | None, parts: Mapping[str, str]) -> None:
    """Write the checkpoint beside `out`, sync it, then rename it."""
    fitting.require_merging()
    try:
        import torch  # noqa: F401
        from safetensors.torch import save_file
    except ImportError as e:
        raise CheckpointError(
            f"adapter {fitting.adapter.path}: merging needs torch ({e}); `{install_command('hf')}` installs it."
        ) from e
    _check_space(fitting, out, dtype)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        beside.chmod(0o755)
        unties, size = _unties(fitting), 0
        weight_map: dict[str, str] = {}
        for number, file in enumerate(fitting.files, 1):
            count = len(fitting.files)
            name = SINGLE if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"
            tensors = dict(_tensors(fitting, file, dtype, unties))
            save_file(tensors, beside / name, {"format": "pt"})
            sync(beside / name)
            weight_map |= dict.fromkeys(tensors, name)
            size += sum(tensor.nbytes for tensor in tensors.values())
            del tensors
        if len(fitting.files) > 1:
            index = {"metadata": {"total_size": size}, "weight_map": weight_map}
            (beside / INDEX).write_text(json.dumps(index), encoding="utf-8")
        _copy_rest(fitting, beside, unties)
        weights = identity.hash_weights(read_weights(beside))
        made = json.dumps({**parts, "weights": weights}, indent=2)
        (beside / MADE_FROM).write_text(made, encoding="utf-8")
        for path in beside.iterdir():
            sync(path)
        beside.rename(out)
        sync(out.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _tensors(
    fitting: Fitting, file: WeightsFile, dtype: str | None, unties: bool
) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors of one of the base's files, merged; the output embedding follows the input's if they become separate."""
    import torch
    from safetensors import safe_open

    wanted = getattr(torch, dtype) if dtype else None
    own_names = {own: name for name, own in fitting.names.items() if not (unties and name == _HEAD)}
    with (
        safe_open(fitting.adapter.file.path, framework="pt") as adapter,
        safe_open(file.path, framework="pt") as base,
    ):
        for name in base.keys():  # noqa: SIM118
            value = base.get_tensor(name)
            if name in own_names:
                merged_value = _merged(fitting, own_names[name], value, adapter)
                yield name, merged_value.to(wanted or value.dtype).contiguous()
            else:
                yield name, value
            if unties and name == _tied_embedding(fitting):
                head = _merged(fitting, _HEAD, _shared(fitting, value, adapter), adapter)
                yield _HEAD, head.to(wanted or value.dtype).contiguous()


def _merged(fitting: Fitting, name: str, value: torch.Tensor, tensors: Any) -> torch.Tensor:
    """The value of the model's tensor `name` with the adapter merged, in float32."""
    adapter = fitting.adapter
    if name in adapter.replaced:
        value = tensors.get_tensor(adapter.replaced[name])
    module_name, _, kind = name.rpartition(".")
    module = adapter.modules.get(module_name)
    value = value.float()
    if module is None:
        return value
    scaling = adapter.config.scaling_of(module.name)
    if kind == "bias":
        added = tensors.get_tensor(module.bias) if module.bias else None
        return value if added is None else value + scaling * added.float()
    across = module.is_embedding or is_transposed(str(fitting.config.get("model_type")), module)
    delta = tensors.get_tensor(module.b).float() @ tensors.get_tensor(module.a).float() * scaling
    return _with_magnitude(value, delta, module, tensors, across=across)


def _with_magnitude(
    value: torch.Tensor, delta: torch.Tensor, module: LoraModule, tensors: Any, *, across: bool
) -> torch.Tensor:
    """The sum, scaled to the learnt length of its rows with DoRA; `across`: the value is the transpose."""
    total = value + (delta.T if across else delta)
    if module.magnitude is None:
        return total
    magnitude = tensors.get_tensor(module.magnitude).float()
    norm = total.norm(dim=0 if across else 1)
    factor = magnitude / norm
    return total * (factor[None, :] if across else factor[:, None])


def _tied_embedding(fitting: Fitting) -> str | None:
    """The input embedding in the base's files if it is also the output's; None if they are separate."""
    there = {tensor.name for file in fitting.files for tensor in file.tensors}
    if _HEAD in there:
        return None
    return next((name for name in sorted(there) if name.endswith(INPUT_EMBEDDINGS)), None)


def _unties(fitting: Fitting) -> bool:
    """Whether input and output embedding, one tensor in the base, become two with the adapter."""
    tied = _tied_embedding(fitting)
    if tied is None:
        return False
    adapter, own = fitting.adapter, {name for name, at in fitting.names.items() if at == tied}
    changes_head = _HEAD in own
    own.discard(_HEAD)
    modules = {name.removesuffix(".weight") for name in own}
    changes_input = bool(modules & adapter.modules.keys()) or any(
        name in adapter.replaced and _is_saved(adapter, name) for name in own
    )
    if adapter.config.ensure_weight_tying and (changes_head or changes_input):
        raise CheckpointError(
            f"adapter {adapter.path}: it trains tied embeddings (ensure_weight_tying), which can't be merged here; "
            f"{BY_PEFT}."
        )
    return changes_head or changes_input


def _shared(fitting: Fitting, value: torch.Tensor, tensors: Any) -> torch.Tensor:
    """The output embedding of a tied base before its own changes: the input's, if that was saved as a whole."""
    tied, adapter = _tied_embedding(fitting), fitting.adapter
    for name, at in fitting.names.items():
        is_whole = name in adapter.replaced and not _is_saved(adapter, name)
        if at == tied and name != _HEAD and is_whole:
            resaved: torch.Tensor = tensors.get_tensor(adapter.replaced[name])
            return resaved
    return value


def _is_saved(adapter: Adapter, name: str) -> bool:
    """Whether a replaced tensor is a copy that was trained (modules_to_save), not the base's saved again."""
    module = name.rpartition(".")[0]
    return any(
        module == saved or module.endswith(f".{saved}") for saved in adapter.config.modules_to_save
    )


def _copy_rest(fitting: Fitting, to: Path, unties: bool) -> None:
    """Copy config, tokenizer, chat template and code of the base."""
    for path in sorted(fitting.base.iterdir()):
        is_wanted = path.suffix in _COPIED and path.name not in (INDEX, MADE_FROM)
        if is_wanted and path.is_file():
            shutil.copyfile(path, to / path.name)
    if unties:
        config = read_json(to / "config.json")
        config["tie_word_embeddings"] = False
        text = text_config(config)
        for key in ("text_config", "llm_config", "language_config"):
            if config.get(key) == text:
                config[key] = text | {"tie_word_embeddings": False}
        (to / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _check_space(fitting: Fitting, out: Path, dtype: str | None) -> None:
    factor = 2 if dtype == "float32" else 1
    needed = sum(file.size for file in fitting.files) * factor
    folder = out.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CheckpointError(
            f"adapter {fitting.adapter.path}: merging it needs {needed / 2**30:.1f} GiB in {folder}, {free / 2**30:.1f} "
            "are free; make room, or set XDG_CACHE_HOME to a larger disk."
        )


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
