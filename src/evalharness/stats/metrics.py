"""What many ask of metrics: the 95 % interval of a normal one, and which aren't a share like most others."""

Z = 1.959963984540054
"""Standard errors from the value to the ends of a 95 % interval, where it is normal."""

COMPOSITE = "composite"
"""A suite's composite (`stats.composite`), whose task is the composite's name."""

NO_SHARES = {
    "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "mcc", "bleu", "chrf", "ter",
}  # fmt: skip
"""Metrics whose scores aren't between 0 and 1."""
