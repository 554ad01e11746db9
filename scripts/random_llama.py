"""A Llama with random weights in a published shape, for machines that have no real one at hand: what it says means nothing.

    python scripts/random_llama.py 1b|8b FOLDER

bfloat16 safetensors, with the demo checkpoint's tokenizer. Shapes: config.json of meta-llama/Llama-3.2-1B and Llama-3.1-8B.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parents[1] / "models" / "smollm2-135m-instruct"
SHAPES: dict[str, dict[str, Any]] = {
    "1b": {
        "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 64, "intermediate_size": 8192, "tie_word_embeddings": True,
    },
    "8b": {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 14336, "tie_word_embeddings": False,
    },
    # For trying this script out.
    "tiny": {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": 32, "intermediate_size": 96, "tie_word_embeddings": True, "vocab_size": 49152,
    },
}  # fmt: skip


def make(shape: str, folder: Path) -> None:
    """Write the checkpoint, drawn on the GPU where there is one."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    config = LlamaConfig(
        **{"vocab_size": 128256, "max_position_embeddings": 8192, "rope_theta": 500000.0}
        | SHAPES[shape],
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(usual)
    model.to(torch.bfloat16).save_pretrained(folder)
    for path in DEMO.iterdir():
        if path.name.startswith(("tokenizer", "special_tokens", "chat_template", "vocab", "merges")):  # fmt: skip
            shutil.copy(path, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    make(options.shape, options.folder)


if __name__ == "__main__":
    main()
