"""Runs beside each other: paired comparison, gate, drift, leaderboard."""
