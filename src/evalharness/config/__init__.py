"""A run's configuration: its schema and bounds, and how Hydra composes it out of `configs/` and the command line."""
