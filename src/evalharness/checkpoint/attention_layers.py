"""Which layers keep a KV cache, and how long it grows, from the text part of config.json.

A layer sees the whole sequence, or only a window of it (sliding or chunked), or keeps no KV cache at all: Mamba and
linear attention hold a state of fixed size, and in some hybrids an MLP is a layer of its own. Fields are those that
transformers and the models' own code write; a layer of an unknown kind counts as seeing everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from evalharness.checkpoint.json_files import as_dict, whole_number

FULL, WINDOWED, NONE = "full", "windowed", "none"
_KINDS = {
    **dict.fromkeys(("sliding_attention", "chunked_attention", "hybrid_sliding"), WINDOWED),
    **dict.fromkeys(("swa", "sliding", "local", "local_attention"), WINDOWED),
    **dict.fromkeys(("linear_attention", "mamba", "mamba2", "conv", "recurrent"), NONE),
    **dict.fromkeys(("moe", "mlp", "lightning", "linear"), NONE),
}
_PATTERN = {"*": FULL, "M": NONE, "E": NONE, "-": NONE}
"""Letters of `hybrid_override_pattern` (Nemotron-H)."""
_ALL_WINDOWED = ("mistral", "mixtral", "phi3", "phimoe", "starcoder2")
"""Model types whose `sliding_window` holds for every layer (transformers' modeling files)."""
MOST_LAYERS = 10_000
"""Of a real model; more are of a file that should cost time and memory."""
_NO_ROPE_INTERVAL = 4
"""Llama 4's, if config.json says nothing else."""


class Layers(NamedTuple):
    """Numbers of layers by what their KV cache holds; the rest keep none."""

    full: int
    windowed: int
    window: int | None
    """Tokens."""


def attention_layers(text: dict[str, Any], num_layers: int) -> Layers:
    """The layers of a model.

    Args:
        text: the part of config.json that describes the language model.
        num_layers: all of its layers.
    """
    if num_layers > MOST_LAYERS:
        return Layers(num_layers, 0, None)
    window = whole_number(text, "sliding_window", "sliding_window_size", "attention_chunk_size")
    kinds = _kinds(text, num_layers, has_window=bool(window))
    # Layers that a list is too short for are counted as the largest.
    kinds = [*kinds, *[FULL] * (num_layers - len(kinds))]
    shared = whole_number(text, "num_kv_shared_layers") or 0
    counted = Counter(kinds[: max(len(kinds) - shared, 0)])
    if not window:
        return Layers(counted[FULL] + counted[WINDOWED], 0, None)
    windowed = counted[WINDOWED]
    return Layers(counted[FULL], windowed, window if windowed else None)


def _kinds(text: dict[str, Any], num_layers: int, *, has_window: bool) -> Sequence[str]:
    """The kind of each layer."""
    named = text.get("layer_types") or text.get("layers_block_type")
    if isinstance(named, list) and named:
        # Layers for multi-token prediction may stand behind the others.
        return [_KINDS.get(str(name), FULL) for name in named][: num_layers or None]
    if isinstance(pattern := text.get("hybrid_override_pattern"), str) and pattern:
        return [_PATTERN.get(letter, FULL) for letter in pattern]
    for field, zero, one in (
        ("hybrid_layer_pattern", FULL, WINDOWED),  # MiMo
        ("attn_type_list", NONE, FULL),  # MiniMax
    ):
        if isinstance(flags := text.get(field), list) and flags:
            return [one if flag else zero for flag in flags][: num_layers or None]
    if every := whole_number(text, "full_attention_interval"):  # Qwen3-Next
        return [NONE if (layer + 1) % every else FULL for layer in range(num_layers)]
    if every := whole_number(text, "attn_layer_period"):  # Jamba
        offset = whole_number(text, "attn_layer_offset") or 0
        return [FULL if layer % every == offset else NONE for layer in range(num_layers)]
    if isinstance(those := text.get("attn_layer_indices"), list) and those:  # Bamba
        return [FULL if layer in those else NONE for layer in range(num_layers)]
    if isinstance(those := as_dict(text.get("linear_attn_config")).get("kda_layers"), list):
        return [NONE if layer + 1 in those else FULL for layer in range(num_layers)]
    return _windows(text, num_layers) if has_window else [FULL] * num_layers


def _windows(text: dict[str, Any], num_layers: int) -> Sequence[str]:
    """Layers of a model that names a window, but not its layers."""
    if text.get("use_sliding_window") is False:
        return [FULL] * num_layers
    every = whole_number(text, "sliding_window_pattern", "_sliding_window_pattern")
    if every:
        return [WINDOWED if (layer + 1) % every else FULL for layer in range(num_layers)]
    if whole_number(text, "attention_chunk_size"):
        return _chunked(text, num_layers)
    is_windowed = text.get("model_type") in _ALL_WINDOWED
    return [WINDOWED if is_windowed else FULL] * num_layers


def _chunked(text: dict[str, Any], num_layers: int) -> Sequence[str]:
    """Llama 4: layers with rotary embeddings are chunked, those without see everything."""
    ropes = text.get("no_rope_layers")
    if not isinstance(ropes, list) or not ropes:
        every = whole_number(text, "no_rope_layer_interval") or _NO_ROPE_INTERVAL
        ropes = [(layer + 1) % every for layer in range(num_layers)]
    return [WINDOWED if rope else FULL for rope in ropes][: num_layers or None]
