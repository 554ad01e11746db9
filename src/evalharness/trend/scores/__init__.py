"""Reported scores beside those measured here: one record for both, with the source of each."""
