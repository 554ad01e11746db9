"""Scale of a checkpoint: parameters, active parameters, experts, context length.

Counts come from the safetensors headers; config.json only gives what the weights don't (experts per token, bits of
packed weights, context length). Nothing here touches a file.

*Active* parameters are those that one text token uses: all but the routed experts that aren't chosen and the vision
tower; embeddings count, as in published figures (Mixtral 8x7B: 46.7 B total, 12.9 B active).
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from evalharness.checkpoint.json_files import as_dict, as_number
from evalharness.checkpoint.weights import Tensor

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3",
    "F8_E5M2": "float8_e5m2",
    "I8": "int8",
    "I32": "int32",
    "U8": "uint8",
}
_PACKED = ("I32", "U8")
_MOST = 10**12
"""Largest count accepted in a config.json."""
VISION = re.compile(
    r"(^|\.)(vision_model|vision_tower|vision_encoder|visual|multi_modal_projector|mm_projector"
    r"|image_newline|embed_vision|audio_tower|embed_audio)(\.|$)"
)
_ROUTED = re.compile(r"(^|\.)experts\.|(^|\.)block_sparse_moe\.(input|output)_linear\.")
_ROUTED_INDEX = re.compile(r"(^|\.)experts\.(\d+)\.")
_SHARED = re.compile(r"(^|\.)(shared_experts?|shared_mlp)\.")
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|lm_head|wte|embed_out)\.weight$")
_HEAD = re.compile(r"(^|\.)lm_head\.weight$")
_BUFFER = re.compile(r"(inv_freq|e_score_correction_bias)$")
QUANTIZATION_AUX = re.compile(
    r"(scale|scales|scale_inv|scale_2|zero_point|qzeros|zeros|g_idx|absmax|quant_map|SCB|weight_format"
    r"|weight_shape)$|\.quant_state\."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Size and shape of a checkpoint. None if the files don't say."""

    architecture: str
    model_type: str
    params_total: int | None
    """Tied embeddings once, packed weights unpacked, vision tower included; None for pickled weights."""
    params_active: int | None
    """Per text token; equal to the total for a dense text model."""
    params_vision: int
    params_embedding: int
    """Input and output embeddings."""
    num_experts: int
    """Routed experts per layer; 0 for a dense model."""
    experts_per_token: int | None
    num_shared_experts: int
    dtype: str
    """Dtype of most bytes on disk: `int32` or `uint8` if they are packed."""
    quantization: str | None
    """gptq, awq, fp8, compressed-tensors, bitsandbytes, ..."""
    quantization_bits: int | None
    context_length: int | None
    vocab_size: int | None
    num_layers: int
    num_full_attention_layers: int
    """Layers whose KV cache grows with the whole sequence."""
    num_windowed_layers: int
    """Layers whose KV cache stops growing at `attention_window` tokens."""
    attention_window: int | None
    hidden_size: int
    num_attention_heads: int
    num_kv_heads: int
    head_dim: int
    latent_dim: int | None
    """Values per token and layer in the KV cache of multi-head latent attention (DeepSeek)."""
    is_multimodal: bool


class _Counts(NamedTuple):
    total: int
    vision: int
    embedding: int
    routed: int


class Quantization(NamedTuple):
    """How the weights on disk are quantized; None if they aren't, or if config.json doesn't say."""

    method: str | None
    bits: int | None


def measure(
    config: dict[str, Any], tensors: Sequence[Tensor], *, model_max_length: Any = None
) -> Scale:
    """The scale of a checkpoint. Invalid values in config.json are ignored.

    Args:
        config: its config.json (with `quantization_config`, if it has one).
        tensors: all headers; empty for pickled weights.
        model_max_length: the tokenizer's limit in tokens, which engines respect too; ignored if it isn't a number.
    """
    text = text_config(config)
    quantization = quantization_of(config)
    is_tied = bool(config.get("tie_word_embeddings") or text.get("tie_word_embeddings"))
    counts = _count(tensors, quantization.bits, is_tied)
    num_experts = _num_experts(tensors, text)
    experts_per_token = _int(
        text,
        "num_experts_per_tok",
        "num_experts_per_token",
        "experts_per_token",
        "moe_topk",
        "moe_top_k",
    )
    num_layers = _int(text, "num_hidden_layers", "n_layer", "n_layers") or 0
    layers = _attention_layers(text, num_layers)
    num_heads = _int(text, "num_attention_heads", "n_head", "n_heads") or 0
    hidden_size = _int(text, "hidden_size", "n_embd", "d_model") or 0
    latent = _int(text, "kv_lora_rank")
    return Scale(
        architecture=architecture(config) or "unknown",
        model_type=str(config.get("model_type", "unknown")),
        params_total=counts.total if tensors else None,
        params_active=_active(counts, num_experts, experts_per_token) if tensors else None,
        params_vision=counts.vision,
        params_embedding=counts.embedding,
        num_experts=num_experts,
        experts_per_token=experts_per_token if num_experts else None,
        num_shared_experts=_num_shared_experts(tensors, text) if num_experts else 0,
        dtype=_main_dtype(tensors)
        or str(config.get("dtype") or config.get("torch_dtype") or "unknown"),
        quantization=quantization.method,
        quantization_bits=quantization.bits,
        context_length=_context_length(text, model_max_length),
        vocab_size=_int(text, "vocab_size"),
        num_layers=num_layers,
        num_full_attention_layers=layers.full,
        num_windowed_layers=layers.windowed,
        attention_window=layers.window,
        hidden_size=hidden_size,
        num_attention_heads=num_heads,
        num_kv_heads=_int(text, "num_key_value_heads", "num_kv_heads") or num_heads,
        head_dim=_int(text, "head_dim") or (hidden_size // num_heads if num_heads else 0),
        latent_dim=None if latent is None else latent + (_int(text, "qk_rope_head_dim") or 0),
        is_multimodal=counts.vision > 0 or "vision_config" in config or "audio_config" in config,
    )


def architecture(config: dict[str, Any]) -> str | None:
    """The first of the classes that config.json names; None if it names none."""
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else None
    return first if isinstance(first, str) else None


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part of config.json that describes the language model."""
    for key in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(key), dict):
            return dict(config[key])
    return config


def logical_params(tensor: Tensor, bits: int | None) -> int:
    """Parameters that a tensor represents: unpacked, and 0 for scales, zero points and buffers."""
    if _BUFFER.search(tensor.name) or (bits and QUANTIZATION_AUX.search(tensor.name)):
        return 0
    if tensor.dtype in _PACKED:
        return int(Fraction(tensor.num_bytes * 8, bits)) if bits else 0
    is_number = tensor.dtype.startswith(("F", "BF")) or tensor.dtype == "I8"
    return math.prod(tensor.shape) if is_number else 0


def _count(tensors: Iterable[Tensor], bits: int | None, is_tied: bool) -> _Counts:
    total = vision = embedding = routed = 0
    tensors = list(tensors)
    has_input = any(_EMBEDDING.search(t.name) and not _HEAD.search(t.name) for t in tensors)
    for tensor in tensors:
        if is_tied and has_input and _HEAD.search(tensor.name):
            continue
        params = logical_params(tensor, bits)
        total += params
        if VISION.search(tensor.name):
            vision += params
        elif _ROUTED.search(tensor.name):
            routed += params
        elif _EMBEDDING.search(tensor.name):
            embedding += params
    return _Counts(total, vision, embedding, routed)


def _active(counts: _Counts, num_experts: int, experts_per_token: int | None) -> int | None:
    always = counts.total - counts.vision - counts.routed
    if not counts.routed:
        return always
    if not num_experts or experts_per_token is None:
        return None
    return always + counts.routed * min(experts_per_token, num_experts) // num_experts


def _num_experts(tensors: Iterable[Tensor], text: dict[str, Any]) -> int:
    routed = [tensor for tensor in tensors if _ROUTED.search(tensor.name)]
    if not routed:
        return 0
    indices = [int(match[2]) for t in routed if (match := _ROUTED_INDEX.search(t.name))]
    fused = [tensor.shape[0] for tensor in routed if len(tensor.shape) >= 3]
    configured = _int(
        text, "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"
    )
    if indices:
        return max(indices) + 1
    return max(fused) if fused else configured or 0


def _num_shared_experts(tensors: Iterable[Tensor], text: dict[str, Any]) -> int:
    if not any(_SHARED.search(tensor.name) for tensor in tensors):
        return 0
    return _int(text, "n_shared_experts", "num_shared_experts") or 1


def _main_dtype(tensors: Iterable[Tensor]) -> str | None:
    num_bytes: Counter[str] = Counter()
    for tensor in tensors:
        num_bytes[tensor.dtype] += tensor.num_bytes
    if not num_bytes:
        return None
    dtype = num_bytes.most_common(1)[0][0]
    return _DTYPES.get(dtype, dtype.lower())


def quantization_of(config: dict[str, Any]) -> Quantization:
    """Method and bits, from config.json."""
    settings = config.get("quantization_config") or config.get("compression_config")
    if not isinstance(settings, dict):
        return Quantization(None, None)
    method = str(settings.get("quant_method", "unknown")).lower()
    algorithm = str(settings.get("quant_algo", "")).upper()
    bits = _int(settings, "bits", "w_bit", "weight_bits")
    if bits is None:
        groups = as_dict(settings.get("config_groups")).values()
        weights = [as_dict(as_dict(group).get("weights")) for group in groups]
        bits = next((found for entry in weights if (found := _int(entry, "num_bits"))), None)
    if bits is None and method.startswith("bitsandbytes"):
        bits = 8 if settings.get("load_in_8bit") or settings.get("_load_in_8bit") else 4
    if bits is None and ("fp8" in method or algorithm.startswith("FP8")):
        bits = 8
    if bits is None and (method == "mxfp4" or "FP4" in algorithm or algorithm.startswith("W4")):
        bits = 4
    return Quantization(method, bits if bits is None or 0 < bits <= 64 else None)


def _context_length(text: dict[str, Any], model_max_length: Any) -> int | None:
    """As vLLM derives it: only linear and dynamic scaling lengthen `max_position_embeddings`."""
    limit = _int(
        text,
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "seq_length",
        "max_sequence_length",
    )
    if limit is None:
        return None
    longest = as_number(model_max_length)
    if longest is not None and 0 < longest < limit:
        limit = int(longest)
    rope = as_dict(text.get("rope_scaling")) or as_dict(text.get("rope_parameters"))
    if rope.get("rope_type", rope.get("type")) in ("linear", "dynamic"):
        longer = limit * (as_number(rope.get("factor")) or 1.0)
        limit = int(longer) if 0 < longer <= _MOST else limit
    return limit


class _Layers(NamedTuple):
    full: int
    windowed: int
    window: int | None


def _attention_layers(text: dict[str, Any], num_layers: int) -> _Layers:
    types = text.get("layer_types")
    if not isinstance(types, list):
        return _Layers(num_layers, 0, None)
    full = types.count("full_attention")
    windowed = types.count("sliding_attention") + types.count("chunked_attention")
    window = _int(text, "sliding_window", "attention_chunk_size")
    if not window:
        return _Layers(full + windowed, 0, None)
    return _Layers(full, windowed, window)


def _int(config: dict[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = config.get(key)
        if type(value) is int and 0 <= value <= _MOST:
            return value
    return None
