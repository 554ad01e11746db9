"""The footer of a run's table: its environment, time, amount of computation and energy."""

import math
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from evalharness.report.terminal.format import (
    active_params,
    amount,
    dollars,
    duration,
    energy,
    params,
    plain,
    rate,
)
from evalharness.store.records import Manifest


def footer(manifest: Manifest, run_dir: str) -> list[Text]:
    """A line each for model, suite, strategy, engine, time, tokens, GPUs and folder, as far as they are known."""
    checkpoint, engine = manifest.checkpoint, manifest.engine
    total = checkpoint.get("params_total")
    active = checkpoint.get("params_active", total)  # not there in imported runs
    size = f"{params(total)} params" if params(total) else ""
    if words := active_params(total, active):
        size += f" ({words})"
    fingerprint = str(checkpoint.get("fingerprint") or "")[:12]
    is_unverified = str(checkpoint.get("weights_fingerprint") or "").startswith("unverified")
    quantization = engine.get("quantization")
    lines = {
        "model": [
            manifest.model,
            size,
            f"fingerprint {fingerprint}" if fingerprint else "",
            "weights unverified" if is_unverified else "",
        ],
        "weights": [" ".join(str(remark) for remark in checkpoint.get("remarks") or ())],
        "suite": [f"{manifest.suite} version {manifest.suite_version}"],
        "strategy": _strategy(manifest),
        "engine": [
            " ".join(str(engine[name]) for name in ("kind", "version") if engine.get(name)),
            str(engine.get("dtype") or ""),
            str(quantization or ""),
            _replicas(engine),
            "deterministic" if manifest.config.get("engine", {}).get("deterministic") else "",
        ],
        "time": [
            duration(manifest.wall_s) if manifest.wall_s is not None else "",
            _loading(manifest),
            f"start {manifest.num_starts}" if manifest.num_starts > 1 else "",
            _reused(_num_reused(manifest)),
        ],
        "tokens": _tokens(manifest),
        "gpu": _drawn(manifest),
        "folder": [run_dir],
    }
    shown = [
        Text(f"{name:<9}", style="dim") + plain(", ".join(part for part in parts if part))
        for name, parts in lines.items()
        if any(parts)
    ]
    shown[-1].no_wrap, shown[-1].overflow = True, "ignore"
    return shown


def _reused(num: int) -> str:
    return f"{num} sample{'s' if num > 1 else ''} reused" if num else ""


def _strategy(manifest: Manifest) -> list[str]:
    """The strategy, the tasks that it was not applied to, and where its curve is; nothing for strategy=single."""
    if manifest.strategy == "single":
        return []
    plain_tasks = [task.task for task in manifest.tasks if task.strategy == "single"]
    return [
        manifest.strategy,
        f"not applied to {' '.join(plain_tasks)}" if plain_tasks else "",
        f"curve: evalharness results {manifest.run_id} --curve",
    ]


def _replicas(engine: Mapping[str, Any]) -> str:
    num, num_lost = engine.get("num_replicas", 1), engine.get("num_lost", 0)
    lost = f" ({num_lost} lost)" if num_lost else ""
    words = f"{num} replicas{lost}" if num > 1 or lost else ""
    mixed = f" ({engine['mixture']})" if engine.get("mixture") else ""
    return words + mixed


def _loading(manifest: Manifest) -> str:
    if manifest.load_s is not None:
        return f"engine loaded in {duration(manifest.load_s)}"
    is_reused = manifest.status == "complete" and _num_reused(manifest)
    return "engine not needed" if is_reused and not manifest.rescored_from else ""


def _num_reused(manifest: Manifest) -> int:
    return sum(task.num_reused for task in manifest.tasks)


def _tokens(manifest: Manifest) -> list[str]:
    """The amount of computation; nothing for a run that reused all."""
    prompt = sum(task.num_prompt_tokens for task in manifest.tasks)
    cached = sum(task.num_cached_tokens for task in manifest.tasks)
    generated = sum(task.num_generated_tokens for task in manifest.tasks)
    if not prompt + generated:
        return []
    return [
        f"{amount(prompt)} prompt" + (f" ({cached / prompt:.0%} cached)" if cached else ""),
        f"{amount(generated)} generated" if generated else "",
        f"{rate(manifest.tokens_per_s)}/s" if not math.isnan(manifest.tokens_per_s) else "",
    ]


def _drawn(manifest: Manifest) -> list[str]:
    """The GPUs' energy and memory, as far as known."""
    memory, energy_j, usd = manifest.peak_gpu_memory_gib, manifest.energy_j, manifest.cost_usd
    return [
        f"{manifest.num_gpus} used" if manifest.num_gpus else "",
        f"peak {memory:.1f} GiB" if memory is not None else "",
        energy(energy_j) if energy_j is not None else "",
        dollars(usd) if usd is not None else "",
    ]
