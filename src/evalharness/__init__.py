"""evalharness: evaluate open Llama-family checkpoints on your own GPUs, and trust the numbers."""

__version__ = "0.1.0"
