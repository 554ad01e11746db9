"""Results on disk: write a run, read runs as records or as SQL tables."""
