"""Whether this machine runs evalharness as it should: the product's own verbs, and what they left compared.

    scripts/gpu_check [--cpu] [--model PATH] [--mirror DIR] [--minutes 8] [--out DIR]

Runs a small suite that ships with us: killed on the way and resumed; by both ways of scoring, and on GPUs by vLLM's older
model runner; selfcheck, batch-invariant mode, energy; on two GPUs also tensor parallelism and replicas. A step that there
is no time left for is skipped and named. Prints a table; OUT/gpu_check.json has every figure, OUT/gpu_check.md is a report
without names of hosts, users or folders. Exit code: 1 if a step failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from _gpu_check_compare import CHOICES, TEXTS, cached_share, compare
from _gpu_check_report import as_markdown, machine, scrub, show
from _verbs import WAIT_S, FailedStepError, call, last_line, started
from evalharness.config.schema import Device
from evalharness.engines import resolve_device
from evalharness.engines.gpus import visible_gpus
from evalharness.store.read import iter_samples
from evalharness.store.records import SampleRecord

HERE = Path(__file__).parent
DEMO = HERE.parent / "models" / "smollm2-135m-instruct"
LIMITS = {"cpu": (12, 6, 4), "gpu": (200, 100, 60)}
"""Docs of each."""
MIN_ANSWERS = 5
"""On disk before the run is killed."""


class SkippedStepError(Exception):
    """Why a step can't be taken here."""


@dataclass(slots=True, kw_only=True)
class Step:
    """A line of the table."""

    name: str
    verdict: str = "ok"
    """ok | failed | skipped"""
    wall_s: float = 0.0
    said: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Check:
    """The steps taken so far, and what they share."""

    folder: Path
    """Results and logs."""
    is_cpu: bool
    model: str
    deadline: float
    mirror: str | None
    steps: list[Step] = field(default_factory=list)
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def take(self, name: str, estimate_s: float, do: Callable[[], tuple[str, dict[str, Any]]]) -> None:  # fmt: skip
        """Take a step, unless the time left is less than it needs."""
        step = Step(name=name)
        print(f"{time.strftime('%H:%M:%S')} {name} ...", file=sys.stderr, flush=True)
        begun = time.monotonic()
        try:
            if begun + estimate_s > self.deadline:
                raise SkippedStepError(f"no time left (needs about {estimate_s:.0f} s)")
            step.said, step.figures = do()
        except SkippedStepError as why:
            step.verdict, step.said = "skipped", str(why)
        except (FailedStepError, subprocess.TimeoutExpired) as why:
            step.verdict, step.said = "failed", scrub(str(why), self.folder)
        step.wall_s = round(time.monotonic() - begun, 1)
        self.steps.append(step)

    def arguments(self, run_id: str, *more: str) -> list[str]:
        """Of `run` and `selfcheck`, for the suite of this check."""
        own = ["engine.cpu_kv_cache_gib=1"] if self.is_cpu else ["engine.enforce_eager=true"]
        return [
            "--json", f"--config-dir={self.folder / 'configs'}", f"model={self.model}", "suite=gpu_check",
            f"results_dir={self.results}", f"run.id={run_id}", "run.reuse=false", "engine.max_model_len=2048",
            f"engine.device={'cpu' if self.is_cpu else 'gpu'}", *own, *more,
        ]  # fmt: skip

    def run(self, run_id: str, *more: str, **environment: str) -> dict[str, Any]:
        """A whole run; its manifest and metrics.

        Raises:
            FailedStepError: it isn't complete.
        """
        return self.finished(run_id, ["run", *self.arguments(run_id, *more)], environment)

    def finished(
        self, run_id: str, words: list[str], environment: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """What a verb that ends a run prints."""
        return self.keep(run_id, call(words, environment))

    def keep(self, run_id: str, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        """The manifest and metrics that a verb has printed, for later steps.

        Raises:
            FailedStepError: the run isn't complete.
        """
        found = json.loads(done.stdout) if done.stdout.strip() else [{}]
        result: dict[str, Any] = found[0] if isinstance(found, list) else found
        if done.returncode or result.get("status") != "complete":
            raise FailedStepError(result.get("error") or result.get("reason") or last_line(done))
        self.manifests[run_id] = result
        return result

    def samples(self, run_id: str, task: str) -> dict[int, SampleRecord]:
        """By doc."""
        return {s.doc_id: s for s in iter_samples(self.results / run_id, task) if s.is_main}


def kill_and_resume(check: Check) -> tuple[str, dict[str, Any]]:
    """Kill a run when some of its answers are on disk, and let `resume` end it."""
    journal = check.results / "prefix" / "journal"
    with started(["run", *check.arguments("prefix", "engine.scoring=prefix")]) as process:
        waits_until = time.monotonic() + WAIT_S
        while num_answers(journal) < MIN_ANSWERS and process.poll() is None:
            if time.monotonic() > waits_until:
                raise FailedStepError(f"no answers within {WAIT_S:.0f} s")
            time.sleep(0.02)
        if process.poll() is not None:
            out, err = process.communicate()
            check.keep("prefix", subprocess.CompletedProcess([], process.returncode, out, err))
            raise SkippedStepError("the run was over before it could be killed")
    kept = num_answers(journal)
    words = ["resume", "prefix", "--results-dir", str(check.results), "--json"]
    result = check.finished("prefix", words)
    reused = sum(task["num_reused"] for task in result["tasks"])
    if not reused:
        raise FailedStepError(f"{kept} answers were on disk, and none was reused")
    total = sum(task["num_docs"] for task in result["tasks"])
    return (
        f"loads, generates and scores; killed after {kept} answers, {reused} of {total} samples were not computed again",
        {
            "answers_on_disk": kept,
            "samples_reused": reused,
            "samples": total,
            "load_s": round(result["load_s"], 1),
        },
    )


def num_answers(journal: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in journal.glob("*"))


def score_plain(check: Check) -> tuple[str, dict[str, Any]]:
    """Without the prefix cache, which must not have been read then."""
    check.run("plain", "engine.scoring=plain")
    shares = {name: cached_share(check.manifests[name]) for name in ("prefix", "plain")}
    if shares["plain"]:
        raise FailedStepError(f"{shares['plain']:.0%} of the prompts' tokens were read from the cache")  # fmt: skip
    said, figures = compare(check, "plain")
    return (
        f"{said}; {shares['prefix']:.0%} of the scored prompts' tokens were cached before, none here",
        figures | {"cached_share": shares["prefix"]},
    )


def run_and_compare(
    check: Check, run_id: str, *more: str, **environment: str
) -> tuple[str, dict[str, Any]]:
    check.run(run_id, *more, **environment)
    return compare(check, run_id)


def selfcheck(check: Check, *more: str) -> tuple[str, dict[str, Any]]:
    """The verb, on few docs."""
    limit = 4 if check.is_cpu else 20
    done = call(["selfcheck", *check.arguments("self", f"run.limit={limit}", *more)])
    if not done.stdout.strip():
        raise FailedStepError(last_line(done))
    found = json.loads(done.stdout)
    (result,) = found if isinstance(found, list) else [found]
    verdict = " ".join(result.get("verdict", ()))
    if done.returncode or "total" not in result:
        raise FailedStepError(result.get("error") or verdict or last_line(done))
    return verdict, result["total"]


def deterministic(check: Check) -> tuple[str, dict[str, Any]]:
    if check.is_cpu:
        raise SkippedStepError("vLLM has no batch-invariant mode on CPUs")
    shutil.rmtree(check.results / ".selfcheck", ignore_errors=True)
    return selfcheck(check, "engine.deterministic=true")


def energy(check: Check) -> tuple[str, dict[str, Any]]:
    """What the first whole run says of it."""
    if check.is_cpu:
        raise SkippedStepError("only GPUs have a counter of it")
    result = check.manifests.get("plain") or check.manifests.get("prefix")
    if result is None:
        raise SkippedStepError("no run is complete")
    if not result["energy_j"]:
        raise FailedStepError("NVML gave no energy; is nvidia-ml-py installed?")
    figures = {
        k: result[k] for k in ("energy_j", "load_energy_j", "peak_gpu_memory_gib", "serve_s")
    }
    return (
        f"{result['energy_j']:.0f} J, {result['peak_gpu_memory_gib']:.0f} GiB at most",
        figures,
    )


def full_speed(check: Check, model: str) -> tuple[str, dict[str, Any]]:
    """Compiled, with CUDA graphs: how long it takes to start, and tokens per second."""
    small, check.model = check.model, model
    try:
        result = check.run("speed", "engine.enforce_eager=false", "engine.max_model_len=4096")
    finally:
        check.model = small
    tokens = sum(t["num_prompt_tokens"] + t["num_generated_tokens"] for t in result["tasks"])
    figures = {
        "load_s": round(result["load_s"], 1),
        "serve_s": round(result["serve_s"], 2),
        "tokens_per_s": round(tokens / result["serve_s"]),
        "energy_j": result["energy_j"],
        "params_b": round(result["checkpoint"]["params_total"] / 1e9, 2),
    }
    return (
        f"{figures['params_b']} B parameters: started in {figures['load_s']} s, {figures['tokens_per_s']} tokens/s",
        figures,
    )


def several(check: Check, run_id: str, *more: str) -> tuple[str, dict[str, Any]]:
    if check.is_cpu or len(visible_gpus()) < 2:
        raise SkippedStepError("needs two GPUs")
    return run_and_compare(check, run_id, *more)


def bench(check: Check, name: str, *more: str, model: str) -> tuple[str, dict[str, Any]]:
    """A script of scripts/bench."""
    if check.is_cpu:
        raise SkippedStepError("scripts/nightly runs it by itself")
    if not check.mirror:
        raise SkippedStepError("needs --mirror DIR, datasets laid out as org/name")
    words = [sys.executable, str(HERE / "bench" / f"{name}.py"), "--mirror", check.mirror]
    words += ["--model", model, "--rounds", "1", *more]
    left = max(30.0, check.deadline - time.monotonic())
    done = subprocess.run(words, capture_output=True, text=True, timeout=left, check=False)
    if done.returncode:
        raise FailedStepError(last_line(done))
    figures = json.loads(done.stdout.splitlines()[-1])
    return ratios(figures), figures


def ratios(figures: dict[str, Any]) -> str:
    """What the benches call how much faster than lm-eval."""
    if "vs_lm_eval" in figures:
        return f"{1 / figures['vs_lm_eval']:.2f} times as fast as lm-eval"
    if "ratio" in figures:
        return f"{1 / figures['ratio']:.2f} times as fast as lm-eval"
    rows = {name: row["ratio"] for name, row in figures.items() if isinstance(row, dict)}
    return "; ".join(f"{name} {ratio} times as fast as lm-eval" for name, ratio in rows.items())


def write_suite(folder: Path, limits: tuple[int, int, int]) -> None:
    """The suite as a configuration of ours."""
    tasks = dict(zip((*CHOICES, TEXTS), ({"limit": n} for n in limits), strict=True))
    tasks[TEXTS] |= {"num_fewshot": 2, "gen_kwargs": {"max_gen_toks": 32}}
    (folder / "configs" / "suite").mkdir(parents=True)
    suite = {"name": "gpu_check", "tasks": tasks}
    (folder / "configs" / "suite" / "gpu_check.yaml").write_text(json.dumps(suite))  # JSON is YAML


def random_model(folder: Path, shape: str, num_gb: float) -> str:
    """A folder with random weights; made in a process of its own, so that the GPU's memory is free afterwards."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < 1.2 * num_gb:
        raise SkippedStepError(
            f"{num_gb:g} GB of weights don't fit {free_gb:.0f} GB of free disk (TMPDIR)"
        )
    words = [
        sys.executable, str(HERE / "random_llama.py"), shape, str(folder / f"random-llama-{shape}"),
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=WAIT_S, check=False)
    if done.returncode:
        raise FailedStepError(last_line(done))
    return words[-1]


def take_all(check: Check, large: str | None) -> None:
    """All steps, those that others need first."""
    each_s = 20 if check.is_cpu else 25
    check.take("killed and resumed", 3 * each_s, lambda: kill_and_resume(check))
    if "prefix" not in check.manifests:
        return
    check.take(
        "scored without the prefix cache", each_s,
        lambda: score_plain(check),
    )  # fmt: skip
    if not check.is_cpu:
        check.take(
            "scored by vLLM's older runner", each_s,
            lambda: run_and_compare(check, "older", VLLM_USE_V2_MODEL_RUNNER="0"),
        )  # fmt: skip
    check.take("selfcheck", 2 * each_s, lambda: selfcheck(check))
    check.take("batch-invariant mode", 2 * each_s, lambda: deterministic(check))
    check.take("energy", 0, lambda: energy(check))
    two = "engine.tensor_parallel_size=2"
    check.take("two GPUs as one", each_s, lambda: several(check, "tensor", two))
    two = "engine.num_replicas=2"
    check.take("two replicas", each_s, lambda: several(check, "replicas", "engine=replicas", two))
    if check.is_cpu:
        return
    made: dict[str, str] = {"": large} if large else {}

    def make() -> tuple[str, dict[str, Any]]:
        made[""] = random_model(check.folder, "8b", 16.1)
        return "8 B parameters, random", {}

    if not made:
        check.take("large checkpoint made", 60, make)
    model = made.get("", check.model)
    check.take("at full speed", 90, lambda: full_speed(check, model))
    for name, more in (
        ("scoring", ["--docs", "20", "--tasks", "mmlu,endings,arc_easy"]),
        ("generation", ["--docs", "60"]),
        ("mixed", ["--docs", "20"]),
    ):
        check.take(f"bench {name}", 60, lambda n=name, m=more: bench(check, n, *m, model=model))  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cpu", action="store_true", help="the small variant, on the CPU")
    parser.add_argument("--model", help="folder or Hub id; else random weights, on CPUs the demo checkpoint")  # fmt: skip
    parser.add_argument("--mirror", help="datasets laid out as org/name, for the benchmarks")
    parser.add_argument("--minutes", type=float, help="8 on GPUs, 30 on CPUs")
    parser.add_argument("--out", type=Path, default=Path("gpu_check"), help="folder of the report")
    options = parser.parse_args()
    is_cpu = options.cpu or resolve_device(Device.auto) is Device.cpu
    minutes = options.minutes or (30 if is_cpu else 8)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu_check-") as name:
        folder = Path(name)
        write_suite(folder, LIMITS["cpu" if is_cpu else "gpu"])
        check = Check(
            folder, is_cpu, options.model or str(DEMO), begun + 60 * minutes, options.mirror
        )
        if not is_cpu and not options.model:

            def make() -> tuple[str, dict[str, Any]]:
                check.model = random_model(folder, "1b", 2.5)
                return "1 B parameters, random", {}

            check.take("small checkpoint made", 30, make)
        take_all(check, options.model)
        report = {
            "machine": machine(is_cpu),
            "model": "your own" if options.model else Path(check.model).name,
            "wall_s": round(time.monotonic() - begun, 1),
            "steps": [asdict(step) for step in check.steps],
        }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu_check.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "gpu_check.md").write_text(as_markdown(report))
    show(report)
    print(f"the report to send back: {options.out / 'gpu_check.md'}")
    sys.exit(any(step.verdict == "failed" for step in check.steps))


if __name__ == "__main__":
    main()
