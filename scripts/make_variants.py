"""Variants of a checkpoint: its matrices rounded to 4 bits and back, or without their smallest weights."""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

GROUP = 64
"""Weights that share a scale."""
PRUNED = 0.5
"""Share of each matrix's weights that become zero."""


def round_to_4_bits(weights: torch.Tensor) -> torch.Tensor:
    """Nearest of 15 levels per group, symmetric around zero."""
    groups = weights.float().reshape(-1, GROUP)
    scale = groups.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 7
    return ((groups / scale).round().clamp(-7, 7) * scale).reshape(weights.shape).to(weights.dtype)


def prune(weights: torch.Tensor) -> torch.Tensor:
    """The smallest by magnitude to zero."""
    limit = weights.abs().float().flatten().kthvalue(int(PRUNED * weights.numel())).values
    return torch.where(weights.abs() > limit, weights, torch.zeros_like(weights))


def make(source: Path, target: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Copy a checkpoint with its linear layers changed; embeddings and norms stay."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    for path in target.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for name, tensor in tensors.items():
            if tensor.ndim == 2 and "embed" not in name and "lm_head" not in name:
                tensors[name] = change(tensor)
        save_file(tensors, path, metadata)
    print(f"{target}: ready")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=Path("models/smollm2-135m-instruct"))
    parser.add_argument("--models", type=Path, default=Path("models"))
    given = parser.parse_args()
    make(given.source, given.models / "smollm2-135m-4bit", round_to_4_bits)
    make(given.source, given.models / "smollm2-135m-pruned", prune)
