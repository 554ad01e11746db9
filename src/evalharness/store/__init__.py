"""Results on disk: write a run, read runs as records, as SQL tables, or (`load_*`, for notebooks) as pandas frames."""

from evalharness.store.frames import load_metrics, load_responses, load_runs, load_samples

__all__ = ["load_metrics", "load_responses", "load_runs", "load_samples"]
