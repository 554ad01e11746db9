"""Quantized tensors as the plain ones that they represent, so that they can be checked against the architecture.

| method | on disk | stands for `weight` of shape (out, in) |
|---|---|---|
| gptq | `qweight` int32 (in x bits / 32, out) | |
| awq | `qweight` int32 (in, out x bits / 32) | |
| compressed-tensors | `weight_packed` int32 (out, in x bits / 32) or uint8 (out, in / 2) | |
| fp8, int8 | `weight` of 8 bit, same shape | |
| modelopt NVFP4 | `weight` uint8 (out, in / 2) | |
| mxfp4 | `x_blocks` uint8 (experts, out, in / 32, 16) | `x` (experts, in, out) |
| bitsandbytes, 4 bit | `weight` uint8 (in x out / 2, 1) | its number of values only |

Other tensors in such a module (scales, zero points, order of groups) aren't part of the architecture; the presence of
scales is checked, their values aren't.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.checkpoint.model_config import quantization_of, quantization_settings
from evalharness.checkpoint.weights import Tensor
from evalharness.errors import CheckpointError, some

_KNOWN = ("gptq", "awq", "compressed-tensors", "fp8", "modelopt", "mxfp4", "bitsandbytes")
_SCALES = ("scale", "absmax", "scb")
_EIGHT_BIT = ("F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "I8")


class _Method(NamedTuple):
    name: str | None
    bits: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainTensors:
    """A checkpoint's tensors without quantization."""

    shapes: dict[str, tuple[int, ...]]
    remarks: tuple[str, ...] = ()
    method: str | None = None
    """Method of quantization; None for plain weights."""
    has_exact_shapes: bool = True
    """Whether the shapes follow from the headers; the numbers of values always do."""

    def may_be(self, there: Sequence[int], wanted: Sequence[int]) -> bool:
        """Whether a tensor that represents the shape `there` can be one of shape `wanted`."""
        return not self.has_exact_shapes and math.prod(there) == math.prod(wanted)


def is_known(config: dict[str, Any]) -> bool:
    """Whether the checkpoint is plain, or quantized in a way that is described above."""
    method = quantization_of(config).method
    return method is None or any(name in method for name in _KNOWN)


def plain_tensors(path: Path, config: dict[str, Any], tensors: Sequence[Tensor]) -> PlainTensors:
    """The tensors as the architecture has them.

    Args:
        path: the checkpoint's folder, for messages.
        config: its config.json.
        tensors: all headers.

    Raises:
        CheckpointError: a quantized tensor has no scales.
    """
    method = _Method(*quantization_of(config))
    if method.name is None:
        return PlainTensors(shapes={tensor.name: tensor.shape for tensor in tensors})
    modules: defaultdict[str, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        modules[_module(tensor.name)].append(tensor)
    shapes: dict[str, tuple[int, ...]] = {}
    without_scales = []
    for module, parts in modules.items():
        packed = {t.name: plain for t in parts if (plain := _plain(module, t, method))}
        shapes |= dict(packed.values())
        if packed and not any(s in t.name.lower() for t in parts for s in _SCALES):
            without_scales += list(packed)
        for tensor in parts:
            is_beside = packed and not tensor.name.endswith(".bias")
            if tensor.name not in packed and not is_beside:
                shapes[tensor.name] = tensor.shape
    if without_scales and method.name != "bitnet":
        raise CheckpointError(
            f"checkpoint {path}: {some(without_scales)} of {method.name} weights have no scales; fetch it again."
        )
    is_mixed = bool(quantization_settings(config).get("dynamic"))
    return PlainTensors(
        shapes=shapes,
        method=method.name,
        has_exact_shapes=not is_mixed and "bitsandbytes" not in method.name,
        remarks=(
            f"Weights quantized by {method.name}: names and sizes were checked, scales and packed values weren't.",
        ),
    )


def _module(name: str) -> str:
    """The module that a tensor belongs to: `layers.0.mlp.up_proj` for its qweight, weight.absmax and scales alike."""
    for ending in ("_blocks", "_scales"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    module, _, _ = name.rpartition(".")
    return module.removesuffix(".weight") if ".weight." in name else module


def _plain(module: str, tensor: Tensor, method: _Method) -> tuple[str, tuple[int, ...]] | None:
    """Name and shape of the plain tensor for a quantized one; None for all others."""
    part = tensor.name.removeprefix(module).removeprefix(".")
    weight, shape = f"{module}.weight", tensor.shape
    per_word = 32 // method.bits if method.bits and 32 % method.bits == 0 else None
    if part == "qweight" and len(shape) == 2 and method.bits:
        if method.name and "awq" in method.name:
            return weight, (shape[1] * 32 // method.bits, shape[0])
        return weight, (shape[1], shape[0] * 32 // method.bits)
    if part == "weight_packed" and len(shape) >= 2:
        per_item = 2 if tensor.dtype == "U8" else per_word
        return (weight, (*shape[:-1], shape[-1] * per_item)) if per_item else None
    if part == "weight" and tensor.dtype in _EIGHT_BIT:
        return weight, shape
    if part == "weight" and tensor.dtype == "U8":
        return weight, (shape[0] * 2, 1) if shape[-1:] == (1,) else (*shape[:-1], shape[-1] * 2)
    if part == "_blocks" and len(shape) == 4:
        return module, (shape[0], shape[2] * shape[3] * 2, shape[1])
    return None
