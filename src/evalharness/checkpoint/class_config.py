"""What transformers' classes know about a checkpoint beyond its config.json, without any remote code.

A config.json may leave out what equals its class's default (Gemma 3's context length, LLaVA's number of layers) and
what its class derives (which layers have a sliding window). Engines ask the class; so do we, where transformers is
installed and knows the model type. What the file says itself is never replaced.
"""

from __future__ import annotations

import copy
from typing import Any

from evalharness.checkpoint.attention_layers import MOST_LAYERS
from evalharness.checkpoint.json_files import whole_number
from evalharness.checkpoint.model_config import architecture, text_config
from evalharness.checkpoint.quiet import quiet
from evalharness.checkpoint.scale import VISION
from evalharness.checkpoint.weights import DTYPE_BITS, Tensor

_NEEDED = (
    ("num_hidden_layers", "n_layer", "n_layers"),
    ("num_attention_heads", "n_head", "n_heads"),
    ("hidden_size", "n_embd", "d_model"),
    ("vocab_size",),
    ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length"),
)
"""Settings without which size and KV cache aren't known, each by its names."""
_WINDOWS = ("sliding_window", "attention_chunk_size", "full_attention_interval")
_LAYERS = ("layer_types", "layers_block_type")
_STORED = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def with_class_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """config.json with its text part completed; unchanged where nothing is missing or transformers can't say.

    Raises nothing: a config that transformers refuses is returned as it is, and refused by name when it is loaded.
    """
    text = text_config(config)
    is_nested = text is not config
    if not is_nested and not _is_incomplete(text):
        return config
    known = _class_values(config)
    if is_nested and "tie_word_embeddings" in config and "tie_word_embeddings" not in text:
        known.pop("tie_word_embeddings", None)
    own = {key: value for key, value in text.items() if value is not None or key not in known}
    # An explicit null is a choice (no window), unless its class makes a value of it.
    full = known | own
    if not is_nested:
        return full
    name = next(k for k in ("text_config", "llm_config", "language_config") if k in config)
    return config | {name: full}


def built_tensors(config: dict[str, Any]) -> tuple[str | None, list[Tensor]]:
    """Class and tensors of the model that transformers builds from config.json, without memory for them.

    Returns:
        The class's name (None: transformers can't build it), and its parameters, each once, as plain tensors.
    """
    try:
        import torch
    except ImportError:
        return None, []
    full = _class_config(config)
    if full is None:
        return None, []
    stored = _STORED.get(str(config.get("dtype") or config.get("torch_dtype")), "BF16")
    with quiet(), torch.device("meta"):
        try:
            model = _model_class(full, architecture(config))(full)
        except Exception:  # transformers may raise anything on an unusual config.json
            return None, []
    has_vision = "vision_config" in config or text_config(config) is not config
    return type(model).__name__, [
        Tensor(name, stored, tuple(p.shape), p.numel() * DTYPE_BITS[stored] // 8, 0)
        for name, p in model.named_parameters()
        if has_vision or not VISION.search(name)
    ]


def _is_incomplete(text: dict[str, Any]) -> bool:
    lacks = any(all(text.get(name) is None for name in names) for names in _NEEDED)
    has_windows = any(text.get(name) for name in _WINDOWS)
    return lacks or (has_windows and not any(text.get(name) for name in _LAYERS))


def _class_values(config: dict[str, Any]) -> dict[str, Any]:
    """Settings of the text part as its class has them; {} if transformers can't say."""
    full = _class_config(config)
    if full is None:
        return {}
    with quiet():
        try:
            text = full.get_text_config()
            values: dict[str, Any] = text.to_dict()
            for name in _LAYERS:
                if isinstance(layers := getattr(text, name, None), list):
                    values[name] = layers
        except Exception:  # as above
            return {}
    return {key: value for key, value in values.items() if value is not None}


def _class_config(config: dict[str, Any]) -> Any:
    """The config as an object of transformers' class; None if it has none, or refuses it."""
    try:
        from transformers import CONFIG_MAPPING
    except ImportError:
        return None
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        return None
    text = text_config(config)
    if (whole_number(text, *_NEEDED[0]) or 0) > MOST_LAYERS:
        return None  # a class makes lists as long
    if any(type(text.get(name)) is int and text[name] < 0 for name in _NEEDED[0]):
        return None  # a class builds a model without layers
    plain = _without_quantization(config)
    with quiet():
        try:
            full = CONFIG_MAPPING[model_type].from_dict(copy.deepcopy(plain))
            text = full.get_text_config()
            if text_config(config) is config and text is not full:
                # The file is its class's text part alone, which would be made from defaults.
                own = {key: value for key, value in plain.items() if key != "model_type"}
                return CONFIG_MAPPING[model_type].from_dict({"text_config": own})
            return full
        except Exception:  # as above
            return None


def _without_quantization(config: dict[str, Any]) -> dict[str, Any]:
    left_out = ("auto_map", "quantization_config", "compression_config")
    return {
        key: _without_quantization(value) if key == "text_config" and value else value
        for key, value in config.items()
        if key not in left_out
    }


def _model_class(config: Any, named: str | None) -> Any:
    import transformers
    from transformers.models.auto import modeling_auto

    found = getattr(transformers, named, None) if named else None
    if isinstance(found, type) and getattr(found, "config_class", None) is type(config):
        return found
    mappings = ("MODEL_FOR_CAUSAL_LM_MAPPING", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING")
    return next(
        m[type(config)] for n in mappings if type(config) in (m := getattr(modeling_auto, n))
    )
