"""Statistics over the store: pure functions."""
