"""Capability against size, in total and active parameters, and the cost of a measured answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from evalharness.report.page import texts
from evalharness.report.page.blocks import Beside, Block, Chart, Section, Table, table, words
from evalharness.report.page.charts import PLACED, Look, Point, figure, marks
from evalharness.report.page.collect import Findings
from evalharness.report.page.trend import model_text
from evalharness.store.records import Manifest
from evalharness.trend.build import (
    Trend,
)
from evalharness.trend.index_models import TrendModel

_DENSE, _MOE, _UNKNOWN = (
    Look("@1", "circle"),
    Look("@2", "diamond", 10),
    Look("@quiet", "circle", 7, True),
)


class _Kind(NamedTuple):
    name: str
    look: Look
    is_of: Callable[[TrendModel], bool]


_KINDS = (
    _Kind("size only", _UNKNOWN, lambda m: m.num_experts is None),
    _Kind("dense", _DENSE, lambda m: m.num_experts == 1),
    _Kind("mixture of experts", _MOE, lambda m: (m.num_experts or 0) > 1),
)


def scale_section(found: Findings) -> Section:
    """Both plots and the table of costs."""
    blocks: list[Block] = []
    missing: list[str] = []
    if found.trend and any(m.total_params_b for m in found.trend.models):
        total = _chart(found.trend, "total", lambda m: m.total_params_b)
        active = _chart(found.trend, "active", _active)
        blocks += [
            Beside(charts=(total, active)),
            words(
                f"{len(total.data.rows)} models whose size is known; a mixture of experts reads all its parameters and "
                "computes with the active ones. Sizes come from whichever source states them."
            ),
        ]
    else:
        missing.append("no model of the index has a known size")
    if costs := _costs(found):
        blocks.append(costs)
    else:
        missing.append("right answers per GPU-second and per joule: `evalharness run` on a GPU")
    return Section(key="scale", title="Scale", blocks=tuple(blocks), missing=tuple(missing))


def _active(m: TrendModel) -> float | None:
    """Active parameters: all of a dense model; those of a mixture have to be stated."""
    return m.active_params_b or (m.total_params_b if m.num_experts == 1 else None)


def _chart(trend: Trend, name: str, size: Callable[[TrendModel], float | None]) -> Chart:
    sized = [(m, b) for m in trend.models if (b := size(m))]
    traces = [
        marks(label, [_point(m, b) for m, b in sized if test(m)], style)
        for label, style, test in _KINDS
        if any(test(m) for m, _ in sized)
    ]
    placed = [p for p in trend.placed if p.total_params_b and math.isfinite(p.placement.value)]
    if placed:
        points = [
            Point(
                (p.active_params_b if name == "active" else None) or p.total_params_b or 0,
                p.placement.value,
                f"{p.model} (measured here)\n{texts.billions(p.total_params_b)}\nindex {texts.index(p.placement.value)} "
                f"{texts.span(p.placement.ci_low, p.placement.ci_high)}",
                p.placement.ci_low,
                p.placement.ci_high,
            )
            for p in placed
        ]
        traces.append(marks("measured here", points, PLACED))
    rows = [
        (
            m.model,
            texts.billions(b),
            _experts(m),
            texts.index(m.capability),
            texts.day(m.release_date),
        )
        for m, b in sized
    ]
    return Chart(
        key=f"chart-{name}",
        caption=f"Index against {name} parameters",
        summary=f"Scatter plot of the capability index of {len(sized)} models against their {name} parameters in billions, "
        "on a logarithmic axis; dense models are circles, mixtures of experts diamonds.",
        figure=figure(
            traces,
            f"{name} parameters, billions",
            "capability index",
            x_type="log",
            dtick=1,
            exponentformat="none",
        ),
        data=table(
            f"Models by {name} parameters",
            ("model", f"#{name}", "experts", "#index", "released"),
            rows,
        ),
        height=380,
    )


def _point(m: TrendModel, size: float) -> Point:
    return Point(size, m.capability, f"{model_text(m)}\n{_size_words(m)}")


def _size_words(m: TrendModel) -> str:
    active = f", {texts.billions(m.active_params_b)} active" if m.active_params_b else ""
    return f"{texts.billions(m.total_params_b)}{active}, {_experts(m)}"


def _experts(m: TrendModel) -> str:
    if m.num_experts is None:
        return "experts unknown"
    return "dense" if m.num_experts == 1 else f"{m.num_experts} experts"


def _costs(found: Findings) -> Table | None:
    """Right answers per GPU time and energy, where these were measured."""
    rows = [_cost(found, run) for run in found.real_runs if run.num_gpus and run.serve_s]
    if not rows:
        return None
    return table(
        "Right answers (sum of main scores) per GPU-second and per joule; only rows of one suite compare",
        (
            "run",
            "model",
            "suite",
            "#right answers",
            "#GPU-seconds",
            "#per GPU-second",
            "#joules",
            "#per joule",
        ),
        rows,
    )


def _cost(found: Findings, run: Manifest) -> tuple[str, ...]:
    answers = _right_answers(found, run)
    seconds = run.num_gpus * (run.serve_s or math.nan)
    joules = math.nan if run.energy_j is None else run.energy_j - (run.load_energy_j or 0)
    return (
        run.run_id, run.model, run.suite, texts.count(answers), texts.count(seconds), _rate(answers, seconds),
        texts.count(joules), _rate(answers, joules),
    )  # fmt: skip


def _right_answers(found: Findings, run: Manifest) -> float:
    """Sum over tasks whose main score is a share of which higher is better, without groups and composites."""
    tasks = {task.task for task in run.tasks}
    shares = [
        m.value * m.n
        for m in found.metrics.get(run.run_id, ())
        if m.is_main and m.task in tasks and m.higher_is_better and 0 <= m.value <= 1
    ]
    return math.fsum(shares) if shares else math.nan


def _rate(amount: float, of: float) -> str:
    return texts.NOTHING if math.isnan(amount / of if of else math.nan) else f"{amount / of:.3g}"
