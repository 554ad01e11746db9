"""Tools for task authors: list tasks, make a new one, check it."""
