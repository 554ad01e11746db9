"""Model-written code, run in bubblewrap: no network, a read-only system, limits."""
