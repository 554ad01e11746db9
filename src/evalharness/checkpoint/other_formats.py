"""Folders that hold a model in a form that isn't ours to load, or whose checkpoints are a level below."""

from pathlib import Path

from evalharness.errors import CheckpointError

_SHOWN = 3
_FORMATS = (
    (
        "*.gguf",
        "GGUF weights ({}), which no engine here reads; take the safetensors they were made from",
    ),
    (
        "params.json",
        "its maker's own format ({}: Meta's, Mistral's); take the repository with config.json, or convert it "
        "(transformers' convert_llama_weights_to_hf.py does Meta's)",
    ),
    (
        "zero_to_fp32.py",
        "a DeepSpeed training state; `python zero_to_fp32.py . OUT --safe_serialization` writes its weights, beside "
        "which config.json and tokenizer are needed",
    ),
    (
        "*.distcp",
        "a sharded training state of PyTorch ({}); save the model with `save_pretrained` first",
    ),
)
"""A file's pattern, and what a folder with such files and without config.json holds."""


def check_format(folder: Path) -> None:
    """Raise `CheckpointError` if the folder has no config.json but something else that a model is kept in."""
    if (folder / "config.json").exists() or not folder.is_dir():
        return
    for pattern, words in _FORMATS:
        if found := sorted(path.name for path in folder.glob(pattern)):
            raise CheckpointError(f"checkpoint {folder}: {words.format(found[0])}.")
    below = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if below:
        more = f" and {len(below) - _SHOWN} more" if len(below) > _SHOWN else ""
        raise CheckpointError(
            f"checkpoint {folder}: config.json is missing here, and is in its folders "
            f"{', '.join(below[:_SHOWN])}{more}; name one of them."
        )
