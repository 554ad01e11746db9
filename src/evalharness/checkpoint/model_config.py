"""What config.json says of a model as a whole: its class, the part for text, how the weights are quantized."""

from __future__ import annotations

from typing import Any, NamedTuple

from evalharness.checkpoint.json_files import as_dict, whole_number


class Quantization(NamedTuple):
    """How the weights on disk are quantized; None if they aren't, or if config.json doesn't say."""

    method: str | None
    bits: int | None


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


def quantization_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The part of config.json that describes quantized weights; multimodal models may have it in their text part."""
    for part in (config, text_config(config)):
        for key in ("quantization_config", "compression_config"):
            if isinstance(settings := part.get(key), dict) and settings:
                return settings | as_dict(settings.get("quantization"))
    return {}


def quantization_of(config: dict[str, Any]) -> Quantization:
    """Method and bits, from config.json."""
    settings = quantization_settings(config)
    if not settings:
        return Quantization(None, None)
    method = str(settings.get("quant_method", "unknown")).lower()
    algorithm = str(settings.get("quant_algo", "")).upper()
    bits = whole_number(settings, "bits", "w_bit", "weight_bits")
    if bits is None:
        groups = as_dict(settings.get("config_groups")).values()
        weights = [as_dict(as_dict(group).get("weights")) for group in groups]
        # Where groups differ, those of 8 bits aren't packed.
        bits = min((n for entry in weights if (n := whole_number(entry, "num_bits"))), default=None)
    if bits is None and method.startswith("bitsandbytes"):
        bits = 8 if settings.get("load_in_8bit") or settings.get("_load_in_8bit") else 4
    if bits is None and ("fp8" in method or algorithm.startswith("FP8")):
        bits = 8
    if bits is None and (method == "mxfp4" or "FP4" in algorithm or algorithm.startswith("W4")):
        bits = 4
    return Quantization(method, bits if bits is None or 0 < bits <= 64 else None)
