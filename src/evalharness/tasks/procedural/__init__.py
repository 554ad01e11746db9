"""Tasks whose docs are generated; `class: !function evalharness.tasks.procedural.ProceduralTask` in a YAML."""

from evalharness.tasks.procedural.task import ProceduralTask

__all__ = ["ProceduralTask"]
