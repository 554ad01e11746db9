"""Metrics that aren't a share like most others."""

COMPOSITE = "composite"
"""A suite's composite (`stats.composite`), whose task is the composite's name."""

NO_SHARES = {
    "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "mcc", "bleu", "chrf", "ter",
}  # fmt: skip
"""Their scores don't lie between 0 and 1."""
