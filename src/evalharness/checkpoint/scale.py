"""Scale of a checkpoint: parameters, active parameters, experts, context length.

Counts come from the safetensors headers; config.json only gives what the weights don't (experts per token, bits of
packed weights, context length). Nothing here touches a file. What neither says is None, which means unknown.

*Active* parameters are those that one text token uses: all but the routed experts that aren't chosen and the vision
tower. Makers count two ways, and both are given:

- with both embeddings: Mixtral 8x7B 12.9 B (arXiv:2401.04088), Qwen3-30B-A3B 3.3 B (arXiv:2505.09388, table 2), Llama 4
  Scout 17 B (its model card); also what makes a dense model's active parameters all of them. This is `params_active`;
- without the input embedding, which is looked up, not multiplied, unless it is the output's as well: gpt-oss-20b 3.6 B
  (arXiv:2508.10925, table 1), DeepSeek-V3 36.7 B (README_WEIGHTS.md of its repository), Nemotron 3 Nano 3.2 B (its
  model card). This is `params_active_without_input`.

Layers that only predict further tokens (multi-token prediction) aren't part of the model that is run: they count
neither in total nor as active.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from evalharness.checkpoint.attention_layers import attention_layers
from evalharness.checkpoint.json_files import LARGEST, as_dict, as_number
from evalharness.checkpoint.json_files import whole_number as _int
from evalharness.checkpoint.model_config import architecture, quantization_of, text_config
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
_PACKED = ("I32", "U32", "U8")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_EXPERTS_PER_TOKEN = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "top_k_experts",
    "moe_topk",
    "moe_top_k",
    "moe_k",
)
_NEXTN = ("num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers", "num_mtp_modules")
VISION = re.compile(
    r"(^|\.)(vision_model|vision_tower|vision_encoder|visual|multi_modal_projector|mm_projector"
    r"|image_newline|embed_vision|vit_large_projector|audio_tower|embed_audio)(\.|$)"
)
_ROUTED = re.compile(
    r"(^|\.)experts\.|(^|\.)block_sparse_moe\.(input|output)_linear\."
    r"|(^|\.)moe\.(gate|up|down|gate_up)_proj\b"
)
_ROUTED_INDEX = re.compile(r"(^|\.)experts\.(\d+)\.")
_SHARED = re.compile(r"(^|\.)(shared_experts?|share_experts?|shared_mlp)\.")
_EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|lm_head|wte|embed_in|embed_out|word_embeddings|(backbone|model)\.embeddings)\.weight$"
)
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$")
_BUFFER = re.compile(r"(inv_freq|e_score_correction_bias|position_ids|tid2eid)$")
_NEXT_TOKENS = re.compile(r"(^|\.)(mtp|mtp_layers|mtp_block|nextn)\.|(^|\.)mtp_\w+\.\d")
_LAYER = re.compile(r"(^|\.)layers\.(\d{1,6})\.")
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
    """Tied embeddings once, packed weights unpacked, vision tower included, multi-token prediction left out; None for
    pickled weights and packed ones of unknown bits."""
    params_active: int | None
    """Per text token, both embeddings included; equal to the total for a dense text model."""
    params_active_without_input: int | None
    """`params_active` without the input embedding, unless that is the output embedding too."""
    params_vision: int
    params_embedding: int
    """Input and output embeddings."""
    params_next_tokens: int
    """Of layers for multi-token prediction, which are in the files and not in the total."""
    weight_bytes: int | None
    """Bytes on disk of what the total counts; None if it isn't there."""
    num_experts: int | None
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
    """Layers whose KV cache stops growing at `attention_window` tokens. The rest of `num_layers` keep none."""
    attention_window: int | None
    hidden_size: int
    num_attention_heads: int
    num_kv_heads: int
    head_dim: int
    num_global_kv_heads: int
    """KV heads of the layers that see the whole sequence, where they differ (Gemma 4, MiMo); else `num_kv_heads`."""
    global_head_dim: int
    """Their width; else `head_dim`."""
    latent_dim: int | None
    """Values per token and layer in the KV cache of multi-head latent attention (DeepSeek)."""
    is_multimodal: bool


class _Counts(NamedTuple):
    """Parameters; `known` says whether those of every tensor are."""

    total: int = 0
    vision: int = 0
    embedding: int = 0
    looked_up: int = 0
    routed: int = 0
    num_bytes: int = 0
    is_known: bool = True


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
    num_layers = _int(text, "num_hidden_layers", "n_layer", "n_layers") or 0
    configured = _configured_experts(text)
    next_from = num_layers if num_layers and _int(text, *_NEXTN) else None
    own = [tensor for tensor in tensors if not _is_next_tokens(tensor.name, next_from)]
    counts = _count(own, quantization.bits, is_tied, configured)
    num_experts = _num_experts(own, configured)
    per_token = _experts_per_token(text)
    active = _active(counts, num_experts, per_token)
    is_counted = bool(own) and counts.is_known
    return Scale(
        architecture=architecture(config) or "unknown",
        model_type=str(config.get("model_type", "unknown")),
        params_total=counts.total if is_counted else None,
        params_active=active if is_counted else None,
        params_active_without_input=active - counts.looked_up if is_counted and active else None,
        params_vision=counts.vision,
        params_embedding=counts.embedding,
        params_next_tokens=sum(
            logical_params(tensor, quantization.bits) or 0
            for tensor in tensors
            if _is_next_tokens(tensor.name, next_from)
        ),
        weight_bytes=counts.num_bytes if own else None,
        num_experts=num_experts,
        experts_per_token=per_token if num_experts else None,
        num_shared_experts=_num_shared_experts(own, text) if num_experts else 0,
        dtype=_main_dtype(own)
        or str(config.get("dtype") or config.get("torch_dtype") or "unknown"),
        quantization=quantization.method,
        quantization_bits=quantization.bits,
        context_length=_context_length(text, model_max_length),
        vocab_size=_int(text, "vocab_size"),
        num_layers=num_layers,
        is_multimodal=counts.vision > 0 or "vision_config" in config or "audio_config" in config,
        **_attention(text, num_layers),
    )


def _attention(text: dict[str, Any], num_layers: int) -> dict[str, Any]:
    """The fields of `Scale` that the KV cache depends on."""
    layers = attention_layers(text, num_layers)
    num_heads = _int(text, "num_attention_heads", "n_head", "n_heads") or 0
    hidden_size = _int(text, "hidden_size", "n_embd", "d_model") or 0
    kv_heads = (
        _int(text, "num_key_value_heads", "num_kv_heads", "num_attention_groups") or num_heads
    )
    head_dim = _int(text, "head_dim") or (hidden_size // num_heads if num_heads else 0)
    latent = _int(text, "kv_lora_rank")
    return {
        "num_full_attention_layers": layers.full,
        "num_windowed_layers": layers.windowed,
        "attention_window": layers.window,
        "hidden_size": hidden_size,
        "num_attention_heads": num_heads,
        "num_kv_heads": _int(text, "swa_num_key_value_heads") or kv_heads,
        "head_dim": _int(text, "swa_head_dim") or head_dim,
        "num_global_kv_heads": _int(text, "num_global_key_value_heads") or kv_heads,
        "global_head_dim": _int(text, "global_head_dim") or head_dim,
        "latent_dim": None if latent is None else latent + (_int(text, "qk_rope_head_dim") or 0),
    }


def logical_params(tensor: Tensor, bits: int | None) -> int | None:
    """Parameters that a tensor represents: unpacked, and 0 for scales, zero points and buffers.

    None if it is packed and nothing says with how many bits.
    """
    if _BUFFER.search(tensor.name) or (bits and QUANTIZATION_AUX.search(tensor.name)):
        return 0
    if tensor.dtype in _PACKED and len(tensor.shape) > 1:
        return int(Fraction(tensor.num_bytes * 8, bits)) if bits else None
    is_number = tensor.dtype.startswith(("F", "BF")) or tensor.dtype == "I8"
    return math.prod(tensor.shape) if is_number else 0


def _count(
    tensors: Sequence[Tensor], bits: int | None, is_tied: bool, configured: int | None
) -> _Counts:
    total = vision = embedding = inputs = routed = num_bytes = 0
    is_known = True
    has_input = any(_EMBEDDING.search(t.name) and not _HEAD.search(t.name) for t in tensors)
    has_head = any(_HEAD.search(t.name) for t in tensors)
    for tensor in tensors:
        if is_tied and has_input and _HEAD.search(tensor.name):
            continue
        found = logical_params(tensor, bits)
        is_known &= found is not None
        params = found or 0
        total += params
        num_bytes += tensor.num_bytes
        if VISION.search(tensor.name):
            vision += params
        elif _is_routed(tensor, configured):
            routed += params
        elif _EMBEDDING.search(tensor.name):
            embedding += params
            inputs += 0 if _HEAD.search(tensor.name) else params
    looked_up = inputs if has_head and not is_tied else 0
    return _Counts(total, vision, embedding, looked_up, routed, num_bytes, is_known)


def _active(counts: _Counts, num_experts: int | None, experts_per_token: int | None) -> int | None:
    always = counts.total - counts.vision - counts.routed
    if num_experts == 0:
        return always
    if not counts.routed or not num_experts or experts_per_token is None:
        return None
    return always + counts.routed * min(experts_per_token, num_experts) // num_experts


def _is_next_tokens(name: str, next_from: int | None) -> bool:
    """Whether a tensor is only used for multi-token prediction: by its name, or by a layer behind the last."""
    if VISION.search(name):
        return False
    layer = _LAYER.search(name) if next_from is not None else None
    is_behind = layer is not None and next_from is not None and int(layer[2]) >= next_from
    return is_behind or _NEXT_TOKENS.search(name) is not None


def _is_routed(tensor: Tensor, configured: int | None) -> bool:
    """Whether it holds routed experts: by its name, or one slice for each of the experts that config.json names."""
    if _SHARED.search(tensor.name):
        return False
    is_stack = configured is not None and len(tensor.shape) > 2 and tensor.shape[0] == configured
    return _ROUTED.search(tensor.name) is not None or (is_stack and "conv" not in tensor.name)


def _configured_experts(text: dict[str, Any]) -> int | None:
    if text.get("enable_moe_block") is False:
        return None
    found = _int(text, *_EXPERTS)
    return found if found and found > 1 else None


def _experts_per_token(text: dict[str, Any]) -> int | None:
    """The most of any layer, where they differ."""
    for key in _EXPERTS_PER_TOKEN:
        if isinstance(numbers := text.get(key), list) and numbers:
            return max((n for n in numbers if type(n) is int and n > 0), default=None)
    return _int(text, *_EXPERTS_PER_TOKEN)


def _num_experts(tensors: Iterable[Tensor], configured: int | None) -> int | None:
    """Routed experts per layer; None if nothing was counted, or the experts that are there aren't understood."""
    names = [tensor.name for tensor in tensors if not VISION.search(tensor.name)]
    if not names:
        return configured
    routed = [t for t in tensors if _is_routed(t, configured) and not VISION.search(t.name)]
    indices = [int(match[2]) for t in routed if (match := _ROUTED_INDEX.search(t.name))]
    if indices:
        return max(indices) + 1
    fused = [tensor.shape[0] for tensor in routed if len(tensor.shape) >= 3]
    if fused or configured:
        return max(fused) if fused else configured
    return None if routed or any("expert" in name.lower() for name in names) else 0


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


def _context_length(text: dict[str, Any], model_max_length: Any) -> int | None:
    """As vLLM derives it: only linear and dynamic scaling lengthen `max_position_embeddings`, and not Gemma 3's."""
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
    if "gemma3" in str(text.get("model_type")):
        return limit  # its limit is the scaled one already
    for rope in _ropes(text):
        if rope.get("rope_type", rope.get("type")) in ("linear", "dynamic"):
            longer = limit * (as_number(rope.get("factor")) or 1.0)
            return int(longer) if 0 < longer <= LARGEST else limit
    return limit


def _ropes(text: dict[str, Any]) -> list[dict[str, Any]]:
    """Scalings of the rotary embedding: one, or one for each kind of layer."""
    rope = as_dict(text.get("rope_scaling")) or as_dict(text.get("rope_parameters"))
    return [rope, *(inner for inner in rope.values() if isinstance(inner, dict))]
