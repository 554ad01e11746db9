"""Tasks: lm-eval's own, the YAML tasks in `tasks/`, and the data they read.

lm-eval builds prompts, filters answers and computes metrics; we turn its instances into requests (`lm_adapter`), find
and override tasks (`suite`) and read datasets from a mirror (`dataset_mirror`).
"""
