"""Metrics that, unlike most, aren't a share."""

COMPOSITE = "composite"
"""A suite's composite (`stats.composite`), whose task is the composite's name."""

NO_SHARES = {
    "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "mcc", "bleu", "chrf", "ter",
}  # fmt: skip
"""Metrics whose scores aren't between 0 and 1."""
