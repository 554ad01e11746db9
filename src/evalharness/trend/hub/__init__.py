"""Data of the Hugging Face Hub over time: counts of a model's use, and new checkpoints.

Only `client`, `snapshot` and `watch` use the network; their results are on disk and read without it.
"""
