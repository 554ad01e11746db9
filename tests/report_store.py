"""A small results folder in which every section of a report has something to show."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from evalharness.stats.metrics import COMPOSITE
from evalharness.store.read import load_manifest, load_metrics
from evalharness.store.records import (
    CurvePoint,
    MetricRecord,
)
from evalharness.store.write import RunWriter
from evalharness.trend.hub import snapshots_store
from evalharness.trend.hub.records import (
    Sighting,
    Snapshot,
)
from evalharness.trend.scores.records import ReportedScore
from evalharness.trend.scores.storage import store_scores
from stores import make_run

HOSTILE = "<script>alert(1)</script>"
BIDI = "gpt\u202e4\u0007"
"""A direction override and a bell in a name."""
ENGINE = {"kind": "vllm", "version": "1", "dtype": "float32", "quantization": None}
_PARTS = ("cmr_a", "cmr_b")


def run(results_dir: Path, day: int, model: str, suite: str, tasks: Any, **fields: Any) -> None:
    """A run of a real engine, on a day of January 2026."""
    about = {"name": model, "parent": fields.pop("parent", None)}
    config = {"model": about, "suite": {"domain": fields.pop("domain", "capability")}}
    config["suite"] |= fields.pop("in_suite", {})
    config |= fields.pop("in_config", {})
    started = f"2026-01-{day:02}T08:00:00+00:00"
    name = f"202601{day:02}-0800{len(list(results_dir.glob('2*'))):02}-run-{suite}"
    make_run(
        results_dir, name, model, suite, tasks, config=config, engine=ENGINE, started_at=started, **fields
    )  # fmt: skip


def write_store(results_dir: Path) -> None:
    """All of it."""
    _lineage(results_dir)
    _curves(results_dir)
    for day, value, version in ((8, 0.4, "1"), (9, 0.6, "1"), (10, 0.7, "2"), (12, 0.96, "2")):
        cmr_run(results_dir, day, "base", value, version)
    _gpu(results_dir)
    for day, total in ((1, 1_000), (4, 1_900), (9, 4_400)):
        write_snapshot(results_dir, day, total)
    store_scores(results_dir, _scores())


def cmr_run(results_dir: Path, day: int, model: str, value: float, version: str) -> None:
    """A run with a composite of that value."""
    composite = {
        "name": "cmr", "title": "Cross-Meta Reasoning", "version": version, "parts": list(_PARTS), "target": 0.95,
        "definition": "Mean of two parts.", "note": "no public benchmark of this name",
    }  # fmt: skip
    scores = [1.0] * round(100 * value) + [0.0] * (100 - round(100 * value))
    tasks = dict.fromkeys(_PARTS, scores)
    run(results_dir, day, model, "cmr", tasks, in_suite={"composite": composite})
    folder = max(results_dir.glob(f"202601{day:02}-*-cmr"))
    writer = RunWriter(folder, load_manifest(folder))
    whole = MetricRecord(
        task="cmr", group="cmr", metric=COMPOSITE, filter="none", value=value, ci_low=value - 0.05,
        ci_high=min(value + 0.05, 1), stderr=0.025, n=200, higher_is_better=True, is_main=True,
    )  # fmt: skip
    writer.write_metrics([*load_metrics(folder), whole])


def write_snapshot(results_dir: Path, day: int, total: int) -> None:
    models = tuple(
        Sighting(model=name, hub_id=f"org/{place}", downloads=total // 2, downloads_all_time=total * (place + 1), likes=9, num_derivatives=3)
        for place, name in enumerate(("base", HOSTILE))
    )  # fmt: skip
    taken_at = f"2026-01-{day:02}T08:00:00.000+00:00"
    snapshots_store.write(
        results_dir, Snapshot(taken_at=taken_at, endpoint="https://hub.example", models=models)
    )


def _lineage(results_dir: Path) -> None:
    models = ("base", HOSTILE, BIDI)
    for place, model in enumerate(models):
        parent = models[place - 1] if place else None
        right = 20 + 30 * place
        run(
            results_dir, 2 + place, model, "sums", {"sums": [1.0] * right + [0.0] * (100 - right)}, parent=parent,
        )  # fmt: skip
        refused = [1.0] * (95 - 40 * place) + [0.0] * (5 + 40 * place)
        run(results_dir, 2 + place, model, "safety", {"refusals": refused}, parent=parent, domain="safety")  # fmt: skip


def _curves(results_dir: Path) -> None:
    for kind, x_name, arms in (
        ("self_correct", "round", ("self-correct", "re-answer", "majority, equal tokens")),
        ("repeats", "samples", ("mean", "pass", "majority")),
    ):
        strategy = {"strategy": {"kind": kind}}
        run(results_dir, 6, "base", f"quick-{kind}", {"gsm8k": [1.0] * 5 + [0.0] * 5}, in_config=strategy)  # fmt: skip
        folder = next(results_dir.glob(f"*-quick-{kind}"))
        writer = RunWriter(folder, load_manifest(folder))
        writer.write_curves(
            _point(kind, x_name, arm, place, x)
            for place, arm in enumerate(arms)
            for x in ((0, 1, 2) if x_name == "round" else (1, 2, 4, 8))
        )


def _point(kind: str, x_name: str, arm: str, place: int, x: int) -> CurvePoint:
    value = 0.5 + 0.02 * place * x
    has_flips = kind == "self_correct" and x > 0
    return CurvePoint(
        task="gsm8k", strategy=kind, arm=arm, x=float(x), x_name=x_name, value=value, ci_low=value - 0.1,
        ci_high=value + 0.1, n=10, num_tokens=100.0 * (x + 1), gained=1 if has_flips else None,
        lost=1 if has_flips else None, p_value=1.0 if has_flips else None,
    )  # fmt: skip


def _gpu(results_dir: Path) -> None:
    run(
        results_dir, 7, "base", "timed", {"sums": [1.0] * 30 + [0.0] * 20}, num_gpus=2, serve_s=10.0,
        energy_j=1200.0, load_energy_j=200.0,
    )  # fmt: skip


def _scores() -> list[ReportedScore]:
    """Of a model with a hostile name, on enough of the index's benchmarks."""
    benchmarks = {
        "MMLU": 70.0,
        "GSM8K": 80.0,
        "HellaSwag": 85.0,
        "WinoGrande": 80.0,
        "ARC-Challenge": 80.0,
    }
    return [
        ReportedScore(
            origin="imported", collection="mine.csv", line=2, model=HOSTILE, release_date=date(2025, 1, 15),
            benchmark=name, benchmark_raw=name, score=score, n=1000, open_weight=True, reported_by="<b>us</b>",
        )
        for name, score in benchmarks.items()
    ]  # fmt: skip
