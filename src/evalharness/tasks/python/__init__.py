"""Tasks in Python, as lm-eval takes them; `evalharness.tasks.python_task` is what they are written with."""
