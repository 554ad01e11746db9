"""Which way is better, where a task's metric doesn't say.

lm-eval calls accuracy better when higher whatever it is the accuracy of. Knowledge of hazards is measured by accuracy.
"""

from dataclasses import replace

from evalharness.analysis.compare import TaskComparison, verdict

_LOWER_IS_SAFER = ("wmdp",)
"""Tasks and groups that begin so. Li et al. 2024, arXiv:2403.03218: a proxy of hazardous knowledge."""
_NOTE = "lower is safer"


def oriented(row: TaskComparison, group: str, margin: float) -> TaskComparison:
    """The row with its direction and verdict the other way round where lower is safer, and a note of it.

    Args:
        row: as `compare` made it.
        group: of the task.
        margin: largest difference that counts as none.
    """
    is_hazard = any(name.startswith(_LOWER_IS_SAFER) for name in (row.task, group))
    if not is_hazard or not row.higher_is_better:
        return row
    return replace(
        row,
        higher_is_better=False,
        verdict=verdict(row.result, row.p_adjusted, margin, higher_is_better=False),
        notes=(*row.notes, _NOTE),
    )
