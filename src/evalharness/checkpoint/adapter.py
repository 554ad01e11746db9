"""A LoRA adapter in PEFT's format: its tensors by module, checked against its config and its base.

    base_model.model.<module>.lora_A.weight             (rank, in)
    base_model.model.<module>.lora_B.weight             (out, rank); .lora_B.bias (out) with lora_bias
    base_model.model.<module>.lora_magnitude_vector     (out), DoRA only
    base_model.model.<module>.lora_embedding_A          (rank, rows of the embedding)
    base_model.model.<module>.lora_embedding_B          (columns, rank)
    base_model.model.<module>.weight, .bias             in place of the base's (modules_to_save, bias)
    base_model.model.<module>.base_layer.weight, .bias  the same, of a module that has a LoRA too

Names of modules are those of the model in transformers; in the base's files they may differ (`architecture`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalharness.checkpoint.architecture import INPUT_EMBEDDINGS
from evalharness.checkpoint.lora_config import (
    ADAPTER_CONFIG,
    BY_PEFT,
    LoraConfig,
    read_lora_config,
)
from evalharness.checkpoint.scale import VISION
from evalharness.checkpoint.weights import ADAPTER_WEIGHTS, WeightsFile, read_safetensors
from evalharness.errors import CheckpointError, some

LARGEST_RANK_OF_VLLM = 512
_PREFIX = "base_model.model."
_PARTS = re.compile(
    r"^(?P<module>.+?)\.(?:"
    r"(?P<part>lora_A|lora_B)(?:\.default)?\.(?P<kind>weight|bias)"
    r"|(?P<embedding>lora_embedding_A|lora_embedding_B)(?:\.default)?"
    r"|(?P<magnitude>lora_magnitude_vector)(?:\.default)?(?:\.weight)?"
    r"|(?:base_layer\.|modules_to_save\.(?:default\.)?)?(?P<whole>weight|bias))$"
)
_VLLM_TAKES = {
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "qkv_proj",
    "gate_proj",
    "up_proj",
    "gate_up_proj",
    "down_proj",
}
"""Linear layers that vLLM has in every architecture that supports adapters; others are merged."""
_TRANSPOSED = {"gpt2", "openai-gpt", "imagegpt", "ctrl", "decision_transformer"}
"""Model types whose linear layers are Conv1D: weights of shape (in, out)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraModule:
    """An adapter's tensors for one module, by their names in its file."""

    name: str
    a: str
    b: str
    bias: str | None = None
    magnitude: str | None = None
    is_embedding: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter's config and tensors."""

    path: Path
    config: LoraConfig
    file: WeightsFile
    modules: Mapping[str, LoraModule]
    """By name of the module."""
    replaced: Mapping[str, str]
    """Tensor of the base -> tensor of the adapter that replaces it."""
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)

    @property
    def not_for_vllm(self) -> str | None:
        """Why vLLM can't load it beside the weights, so that it has to be merged; None if it can."""
        others = [name for name in self.modules if not _is_taken(name)]
        if self.config.use_dora:
            return "use_dora"
        if self.replaced:
            return f"it replaces {some(self.replaced, 1)}"
        if any(module.bias for module in self.modules.values()):
            return "lora_bias"
        if others:
            return f"it is for {some(others, 1)}"
        if self.config.largest_rank > LARGEST_RANK_OF_VLLM:
            return f"rank {self.config.largest_rank}"
        return None

    def remarks(self, *base_names: str | None) -> tuple[str, ...]:
        """Remarks on the adapter for readers of scores, a sentence each.

        Args:
            base_names: the base's names: its entry, its id on the Hub, its folder.
        """
        found = []
        config = self.config
        known = {Path(name).name.lower() for name in base_names if name}
        if config.base and Path(config.base).name.lower() not in known:
            found.append(
                f"The adapter was trained over {config.base}, and is used over {base_names[0]}."
            )
        if config.unknown:
            found.append(
                f"{ADAPTER_CONFIG} sets {some(config.unknown)}, unknown to evalharness and not followed."
            )
        return tuple(found)


def read_adapter(path: Path) -> Adapter:
    """The adapter in `path`.

    Raises:
        CheckpointError: not a LoRA adapter in PEFT's safetensors format, damaged, or one that we can't follow.
    """
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (path / name).exists() and not (path / name).is_symlink():
            raise CheckpointError(
                f"adapter {path}: {name} is missing; a folder in PEFT format is needed."
            )
    config = read_lora_config(path)
    file = read_safetensors(path / ADAPTER_WEIGHTS)
    parts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    replaced: dict[str, str] = {}
    for tensor in file.tensors:
        match = _PARTS.match(tensor.name.removeprefix(_PREFIX))
        if match is None:
            raise _error(
                path, f"holds {tensor.name!r}, which is not a tensor of a LoRA adapter; {BY_PEFT}"
            )
        if match["whole"]:
            replaced[f"{match['module']}.{match['whole']}"] = tensor.name
            continue
        part = match["embedding"] or match["magnitude"] or f"{match['part']}.{match['kind']}"
        parts[match["module"]][part] = tensor.name
    return Adapter(
        path=path,
        config=config,
        file=file,
        modules={name: _module(path, name, found) for name, found in parts.items()},
        replaced=replaced,
        shapes={tensor.name: tensor.shape for tensor in file.tensors},
    )


def check_adapter(
    adapter: Adapter,
    base: Mapping[str, tuple[int, ...]],
    *,
    model_type: str = "",
    names: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Check that the adapter fits its config and its base.

    Args:
        adapter: the adapter.
        base: the base's tensors and their shapes, without quantization (`quantized`).
        model_type: of the base.
        names: the model's name of a tensor -> its name in the base's files, where the two differ.

    Returns:
        The model's name of each tensor that the adapter changes -> its name in the base's files.

    Raises:
        CheckpointError: a tensor is missing, has the wrong shape for config or base, or belongs to no module.
    """
    names, found = names or {}, {}
    for module in adapter.modules.values():
        weight = f"{module.name}.weight"
        found[weight] = _base_name(adapter, weight, base, names)
        _check_module(adapter, module, base[found[weight]], model_type)
        if module.bias:
            bias = f"{module.name}.bias"
            found[bias] = _base_name(adapter, bias, base, names)
    for name, own in adapter.replaced.items():
        found[name] = _base_name(adapter, name, base, names)
        if adapter.shapes[own] != base[found[name]]:
            raise _error(
                adapter.path,
                f"replaces {name} by one of shape {list(adapter.shapes[own])}, the base's is "
                f"{list(base[found[name]])}: it is for another base; check model.path",
            )
    _check_targets(adapter, base, names)
    return found


def is_transposed(model_type: str, module: LoraModule) -> bool:
    """Whether the base's weight has the shape (in, out)."""
    return model_type in _TRANSPOSED and not module.is_embedding and module.name != "lm_head"


def _is_taken(module: str) -> bool:
    return module.rpartition(".")[2] in _VLLM_TAKES and ".experts" not in module


def _module(path: Path, name: str, parts: Mapping[str, str]) -> LoraModule:
    is_embedding = "lora_embedding_A" in parts or "lora_embedding_B" in parts
    a = parts.get("lora_embedding_A") or parts.get("lora_A.weight")
    b = parts.get("lora_embedding_B") or parts.get("lora_B.weight")
    if not a or not b:
        missing = "lora_B" if a else "lora_A"
        raise _error(path, f"lacks {missing} of {name}; fetch it again")
    return LoraModule(
        name=name,
        a=a,
        b=b,
        bias=parts.get("lora_B.bias"),
        magnitude=parts.get("lora_magnitude_vector"),
        is_embedding=is_embedding,
    )


def _base_name(
    adapter: Adapter, name: str, base: Mapping[str, object], names: Mapping[str, str]
) -> str:
    found = name if name in base else names.get(name, name)
    if found in base:
        return found
    if name == "lm_head.weight":  # tied: the input embedding serves
        for tied in base:
            if tied.endswith(INPUT_EMBEDDINGS) and not VISION.search(tied):
                return tied
    raise _error(
        adapter.path,
        f"is for {name}, which the base hasn't: it is for another base, or for experts that lie in the files in "
        f"another way; check model.path, or {BY_PEFT}",
    )


def _check_module(
    adapter: Adapter, module: LoraModule, weight: tuple[int, ...], model_type: str
) -> None:
    a, b = adapter.shapes[module.a], adapter.shapes[module.b]
    rank = adapter.config.rank_of(module.name)
    if len(a) != 2 or len(b) != 2 or a[0] != rank or b[1] != rank:
        raise _error(
            adapter.path,
            f"has matrices of {list(a)} and {list(b)} for {module.name}, whose rank is {rank} in {ADAPTER_CONFIG}; "
            "fetch it again",
        )
    size_in, size_out = a[1], b[0]
    wanted = (size_out, size_in)
    if module.is_embedding or is_transposed(model_type, module):
        wanted = (size_in, size_out)
    if len(weight) == 2 and weight != wanted:
        raise _error(
            adapter.path,
            f"is for {module.name} of shape {list(wanted)}, the base's is {list(weight)}: it is for another base; "
            "check model.path",
        )
    if adapter.config.use_dora != (module.magnitude is not None):
        has = "lacks" if adapter.config.use_dora else "has"
        raise _error(
            adapter.path,
            f"{has} a magnitude for {module.name}, and use_dora={str(adapter.config.use_dora).lower()}; fetch it again",
        )
    for name in (module.magnitude, module.bias):
        if name and adapter.shapes[name] != (size_out,):
            raise _error(
                adapter.path,
                f"{name} has the shape {list(adapter.shapes[name])}, {[size_out]} is needed; fetch it again",
            )


def _check_targets(
    adapter: Adapter, base: Mapping[str, tuple[int, ...]], names: Mapping[str, str]
) -> None:
    """Check that the file holds exactly the modules of the base that the config targets."""
    config = adapter.config
    if config.target_modules in (None, "all-linear"):
        return
    in_model = {own: name for name, own in names.items()}
    modules = [
        {at.removesuffix(".weight") for at in (name, in_model.get(name, name))}
        for name, shape in base.items()
        if name.endswith(".weight") and len(shape) == 2
    ]
    targets = [called for called in modules if any(map(config.is_target, called))]
    if isinstance(config.target_modules, str) and not targets:
        return  # a pattern for names that the model has but the files don't
    missing = sorted(
        min(called)
        for called in targets
        if not called & adapter.modules.keys()
        and not any(".experts." in name or VISION.search(name) for name in called)
    )
    if missing:
        raise _error(
            adapter.path,
            f"lacks {some(missing)}, which target_modules of {ADAPTER_CONFIG} means; fetch it again",
        )
    extra = sorted(name for name in adapter.modules if not config.is_target(name))
    if extra:
        raise _error(
            adapter.path,
            f"holds {some(extra)}, which {ADAPTER_CONFIG} leaves out; the two are from different trainings: fetch it "
            "again",
        )
    for name in config.modules_to_save:
        if not any(re.search(rf"(^|\.){re.escape(name)}\.", at) for at in adapter.replaced):
            raise _error(adapter.path, f"lacks {name} of modules_to_save; fetch it again")


def _error(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"adapter {path}: {what}.")
