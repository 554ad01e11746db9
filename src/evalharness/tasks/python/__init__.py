"""Tasks in Python, adapted to lm-eval; they are written with `evalharness.tasks.python_task`."""
