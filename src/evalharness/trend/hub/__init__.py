"""What is seen on the Hugging Face Hub over time: counts of a model's use, and checkpoints that are new there.

The network is used in `client`, `collecting` and `watching` only; what they found is on disk and read without it.
"""
