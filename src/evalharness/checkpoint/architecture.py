"""Whether the weights are those that the architecture needs, by loading them into transformers without their values.

transformers' own loader runs over tensors on the `meta` device, which have shapes and no bytes: names and shapes go
through the same renaming, fusing (experts that are separate in the files) and tying as in a real load, so it finds the
same tensors missing, misshapen or unknown as an engine would. Only headers are read; torch and transformers are
imported.

Quantized weights are passed as the plain ones that they represent (`quantized`): their names and sizes are checked,
their packed values and scales are not.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.checkpoint.json_files import read_json, read_json_if_there
from evalharness.checkpoint.model_config import architecture, quantization_of
from evalharness.checkpoint.quantized import PlainTensors, is_known, plain_tensors
from evalharness.checkpoint.quiet import quiet
from evalharness.checkpoint.scale import QUANTIZATION_AUX, VISION
from evalharness.checkpoint.weights import (
    INDEX,
    Tensor,
    WeightsFile,
    read_weights,
    tensor_blocks,
    unused_files,
)
from evalharness.errors import CheckpointError, one_line, some

INPUT_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight")
"""Suffixes of their names."""
_GENERATES = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
_WHOLE = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")
_MISMATCH_SHOWN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureCheck:
    """The outcome, if nothing is wrong."""

    checked: str | None
    """The transformers class that the weights fit; None if they weren't checked."""
    remarks: tuple[str, ...] = ()
    """Remarks, a sentence each: why they weren't checked, or tensors that the class doesn't know."""


def check_architecture(path: Path, *, is_text_only: bool = False) -> ArchitectureCheck:
    """Check that the safetensors in `path` hold every tensor that their architecture needs, with its shape.

    Args:
        path: folder with config.json and weights.
        is_text_only: the vision part isn't loaded, so it may be missing.

    Raises:
        CheckpointError: tensors are missing or have another shape than config.json says, or config.json is refused by
            transformers.
    """
    files = read_weights(path, allow_pickle=True)
    if any(file.is_pickle for file in files):
        return _unchecked("pickled weights can't be listed without running them")
    content = checkpoint_config(path)
    if not is_known(content):
        return _unchecked(f"they are quantized by {quantization_of(content).method}")
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as e:
        return _unchecked(f"{e.name or 'torch'} isn't installed")
    if quantization_of(content).method is None:
        _check_dtypes(path, files)
    remarks = _unused(path, files)
    model_type = content.get("model_type")
    if not _is_model_type(model_type):
        return _unchecked(f"transformers doesn't know the model type {model_type!r}")
    plain = plain_tensors(path, content, [tensor for file in files for tensor in file.tensors])
    config = _config(path)
    names: list[str] = []
    remarks += plain.remarks
    for model_class in _classes(config, architecture(content)):
        try:
            remarks += _check(path, model_class, config, plain, is_text_only)
        except _CantBuildError as e:
            return _unchecked(str(e))
        names.append(model_class.__name__)
    remarks += _contradiction(config, architecture(content))
    if not names:
        named = architecture(content)
        return _unchecked(
            f"transformers has no class for text generation for {named or model_type}"
        )
    _check_ties(path, config, files)
    return ArchitectureCheck(checked=", ".join(names), remarks=tuple(dict.fromkeys(remarks)))


def checkpoint_config(path: Path) -> dict[str, Any]:
    """config.json; NVIDIA's ModelOpt writes its quantization into a file of its own."""
    config = read_json(path / "config.json")
    modelopt = read_json_if_there(path / "hf_quant_config.json").get("quantization")
    if isinstance(modelopt, dict) and "quantization_config" not in config:
        config["quantization_config"] = {"quant_method": "modelopt", **modelopt}
    return config


def model_names(path: Path) -> dict[str, str]:
    """The model's name of a tensor in transformers -> its name in the files; {} if transformers can't say.

    Only renamed tensors: those that are separate in the files but one in the model have no such name.
    """
    config, content = _config(path), checkpoint_config(path)
    classes = _classes(config, architecture(content))
    if not classes:
        return {}
    import torch
    from transformers import conversion_mapping, core_model_loading

    with quiet(), torch.device("meta"):
        model = classes[-1](config)
        rules = conversion_mapping.get_model_conversion_mapping(model)
    renaming = [r for r in rules if isinstance(r, core_model_loading.WeightRenaming)]
    fusing = [r for r in rules if isinstance(r, core_model_loading.WeightConverter)]
    wanted = model.state_dict()
    names = {}
    for file in read_weights(path):
        for tensor in file.tensors:
            name, pattern = core_model_loading.rename_source_key(
                tensor.name, renaming, fusing, model.base_model_prefix, wanted
            )
            if pattern is None and name in wanted:
                names[name] = tensor.name
    return names


def _unused(path: Path, files: Sequence[WeightsFile]) -> list[str]:
    """A remark on safetensors files that aren't loaded; without an index vLLM would load them too."""
    unused = unused_files(path, files)
    if unused and not (path / INDEX).exists():
        raise CheckpointError(
            f"checkpoint {path}: without {INDEX} vLLM would load {some(unused)} too; remove what doesn't belong to the "
            "model."
        )
    return [f"Not loaded from the checkpoint's folder: {some(unused)}."] if unused else []


def _check_dtypes(path: Path, files: Sequence[WeightsFile]) -> None:
    """Refuse integers without a quantization, as they are packed or scaled weights."""
    tensors = [tensor for file in files for tensor in file.tensors]
    whole = [t for t in tensors if t.dtype in _WHOLE and t.name.endswith(".weight")]
    if whole:
        raise CheckpointError(
            f"checkpoint {path}: {some([t.name for t in whole])}: {whole[0].dtype}, packed or quantized weights, and "
            "config.json has no quantization_config; fetch the checkpoint again, or write it unquantized."
        )


def _unchecked(why: str) -> ArchitectureCheck:
    return ArchitectureCheck(checked=None, remarks=(f"Weights unchecked: {why}.",))


def _is_model_type(model_type: Any) -> bool:
    from transformers import CONFIG_MAPPING

    return isinstance(model_type, str) and model_type in CONFIG_MAPPING


def _config(path: Path) -> Any:
    """The checkpoint's config as transformers reads it, without quantization."""
    from transformers import AutoConfig

    with quiet():
        try:
            config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        except Exception as e:  # transformers may raise anything on an unusual config.json
            raise CheckpointError(
                f"checkpoint {path}: transformers refuses config.json ({type(e).__name__}: {one_line(e)[:200]}); "
                "fetch it again."
            ) from e
    for part in (config, config.get_text_config()):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    return config


def _classes(config: Any, named: str | None) -> list[Any]:
    """The classes that engines load: transformers' for the config, and the one that config.json names."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    found = []
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        found.append(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])
    own: Any = _named_class(named)
    if own is not None and issubclass(own, transformers.PreTrainedModel):
        is_other = own not in found and own.config_class is type(config)
        found += [own] if is_other or not found else []
    return found


def _named_class(named: str | None) -> Any:
    """The transformers class that config.json names, if it generates text."""
    import transformers

    found = getattr(transformers, named, None) if named and named.endswith(_GENERATES) else None
    return found if isinstance(found, type) else None


def _contradiction(config: Any, named: str | None) -> list[str]:
    own = _named_class(named)
    if own is None or own.config_class in (type(config), type(config.get_text_config())):
        return []
    return [
        f"config.json names {named}, but its model type {config.model_type!r} is another architecture: hf loads it by "
        "the type, vllm by the name."
    ]


def _check(
    path: Path, model_class: Any, config: Any, plain: PlainTensors, is_text_only: bool
) -> list[str]:
    """Raise for missing or misshapen tensors; return a remark on unknown ones."""
    import torch

    tensors = {
        name: torch.empty(shape, dtype=torch.float32, device="meta")
        for name, shape in plain.shapes.items()
    }
    config = copy.deepcopy(config)
    if model_class.config_class is not type(config):
        config = config.get_text_config()
    with quiet() as log:
        try:
            model, found = model_class.from_pretrained(
                None,
                config=config,
                state_dict=tensors,
                device_map={"": "meta"},
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        except RuntimeError as e:  # tensors that don't fit together
            why = log.last_error() or one_line(e)[:200]
            raise CheckpointError(
                f"checkpoint {path}: the weights don't fit {model_class.__name__} ({why}); "
                "config.json or weights are from another checkpoint: fetch it again."
            ) from e
        except (
            Exception
        ) as e:  # transformers can't build it, for instance because it lacks a package
            why = f"{type(e).__name__}: {one_line(e)[:200]}"
            raise _CantBuildError(f"transformers can't build {model_class.__name__} ({why})") from e
    missing = sorted(found["missing_keys"])
    if is_text_only:
        missing = [name for name in missing if not _is_vision(name)]
    if missing:
        raise CheckpointError(
            f"checkpoint {path}: {len(missing)} of the {len(model.state_dict())} tensors of {model_class.__name__} missing: "
            f"{some(missing, 5)}; fetch it again."
        )
    misshapen = sorted(found["mismatched_keys"])
    misshapen = [entry for entry in misshapen if not plain.may_be(entry[1], entry[2])]
    if misshapen:
        shown = "; ".join(
            f"{name} is {list(there)}, config.json makes it {list(wanted)}"
            for name, there, wanted in misshapen[:_MISMATCH_SHOWN]
        )
        raise CheckpointError(
            f"checkpoint {path}: {len(misshapen)} tensor(s) of another shape than {model_class.__name__} needs: {shown}; "
            "config.json or weights are from another checkpoint: fetch it again."
        )
    unknown = [name for name in sorted(found["unexpected_keys"]) if not _is_vision(name)]
    if plain.method:
        unknown = [name for name in unknown if not QUANTIZATION_AUX.search(name)]
    if not unknown:
        return []
    return [
        f"{len(unknown)} tensor(s) of the checkpoint unknown to {model_class.__name__} and not used: {some(unknown)}."
    ]


def _is_vision(name: str) -> bool:
    return VISION.search(name) is not None


def _check_ties(path: Path, config: Any, files: Sequence[WeightsFile]) -> None:
    """Check that tied embeddings stored twice are equal, as transformers loads both, and vLLM only one."""
    if not getattr(config.get_text_config(), "tie_word_embeddings", False):
        return
    embedding = _find(files, INPUT_EMBEDDINGS)
    head = _find(files, ("lm_head.weight", "embed_out.weight"))
    if head and not embedding:
        raise CheckpointError(
            f"checkpoint {path}: config.json ties the output embedding to the input's, which isn't there "
            f"({head[1].name} is), and vLLM would not find it; save the checkpoint again with transformers."
        )
    if embedding and head and not _equal(embedding, head):
        raise CheckpointError(
            f"checkpoint {path}: config.json ties input and output embeddings, but {embedding[1].name} and "
            f"{head[1].name} differ, and engines differ in which they use; set tie_word_embeddings=false in config.json, "
            f"or remove {head[1].name}."
        )


def _find(
    files: Sequence[WeightsFile], endings: tuple[str, ...]
) -> tuple[WeightsFile, Tensor] | None:
    for file in files:
        for tensor in file.tensors:
            if tensor.name.endswith(endings) and not _is_vision(tensor.name):
                return file, tensor
    return None


def _equal(a: tuple[WeightsFile, Tensor], b: tuple[WeightsFile, Tensor]) -> bool:
    if a[1].shape != b[1].shape or a[1].dtype != b[1].dtype:
        return False
    left = tensor_blocks(*a)
    right = tensor_blocks(*b)
    return all(one == other for one, other in zip(left, right, strict=True))


class _CantBuildError(Exception):
    """Raised if the class can't be built, whatever the weights are."""
