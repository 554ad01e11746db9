"""Scores that others report, beside those that were measured here: one record for both, and where each comes from."""
