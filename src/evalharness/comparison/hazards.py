"""Tasks for which lower is better although their metric says otherwise: knowledge of hazards, measured by accuracy."""

_LOWER_IS_SAFER = ("wmdp",)
"""Prefixes of such tasks and groups. Li et al. 2024, arXiv:2403.03218: a proxy of hazardous knowledge."""


def is_hazard(*names: str) -> bool:
    """Whether one of these tasks or groups measures what is safer when lower."""
    return any(name.startswith(_LOWER_IS_SAFER) for name in names)
