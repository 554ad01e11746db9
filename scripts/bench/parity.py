"""Parity: the same checkpoint and tasks through lm-eval's own `hf` backend and through `evalharness run`.

    python scripts/bench/parity.py --mirror DIR [--limit 50] [--engine vllm]

DIR holds datasets as <org>/<name>. Compares, doc by doc, the log-likelihoods of every choice, the generated texts, and
the metrics. Plain prompts, float32 on the CPU, greedy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TASKS = {
    "arc_easy": {"metric": "acc_norm"},
    "truthfulqa_mc2": {"metric": "acc"},
    "gsm8k": {"metric": "exact_match", "filter": "flexible-extract"},
}
MODEL = "models/smollm2-135m-instruct"


def with_lm_eval(options: argparse.Namespace) -> dict[str, Any]:
    """lm-eval's results and samples, through its public `simple_evaluate`."""
    import lm_eval

    from evalharness.tasks.dataset_mirror import mirrored
    from evalharness.tasks.suite import task_manager

    with mirrored(options.mirror):
        return lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": options.model, "dtype": "float32"},
            tasks=list(TASKS),
            limit=options.limit,
            batch_size=options.batch_size,
            device="cpu",
            bootstrap_iters=0,
            task_manager=task_manager(),
        )


def with_evalharness(options: argparse.Namespace, folder: Path) -> Any:
    """The run's outcome, through the configuration that a user would give."""
    from evalharness.config.compose import run_hydra
    from evalharness.runner.run import run

    (folder / "suite").mkdir()
    suite = {"name": "parity", "tasks": TASKS}
    (folder / "suite" / "parity.yaml").write_text(json.dumps(suite))  # JSON is YAML
    outcomes: list[Any] = []
    run_hydra(
        [
            f"--config-dir={folder}",
            "model=smollm2-135m",
            f"model.path={options.model}",
            "model.chat=false",
            f"engine={options.engine}",
            "engine.dtype=float32",
            "suite=parity",
            f"run.limit={options.limit}",
            "run.limit_from=first",
            "run.rolling_as_lm_eval=true",
            f"data.mirror={options.mirror}",
            f"results_dir={folder / 'results'}",
        ],
        lambda config: outcomes.append(run(config)),
    )
    return outcomes[0]


def _number(said: Any) -> float:
    """lm-eval's log-likelihood: alone for a whole text, else beside whether it is greedy."""
    return float(said[0] if isinstance(said, tuple | list) else said)


def compare(theirs: dict[str, Any], ours: Any) -> dict[str, Any]:
    """Figures per task."""
    from evalharness.store.read import iter_samples

    figures: dict[str, Any] = {}
    for name in TASKS:
        samples = {s["doc_id"]: s for s in theirs["samples"][name]}
        rows = {row.doc_id: row for row in iter_samples(ours.run_dir, name)}
        assert rows.keys() == samples.keys()
        figure: dict[str, Any] = {"docs": len(rows)}
        if name == "gsm8k":
            same = [rows[i].response == s["resps"][0][0] for i, s in samples.items()]
            figure["same_text"] = sum(same)
        else:
            differences = [
                abs((mine[0] if isinstance(mine, list) else mine) - _number(their[0]))
                for i, s in samples.items()
                for mine, their in zip(json.loads(rows[i].response), s["resps"], strict=True)
            ]
            figure["max_loglikelihood_difference"] = max(differences)
        for record in (m for m in ours.metrics if m.task == name):
            expected = theirs["results"][name][f"{record.metric},{record.filter}"]
            figure[f"{record.metric},{record.filter}"] = [record.value, expected]
        figures[name] = figure
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", required=True)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=1, help="of lm-eval's hf backend")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        ours = with_evalharness(options, Path(folder))
        started = time.perf_counter()
        theirs = with_lm_eval(options)
        lm_eval_s = time.perf_counter() - started
        figures = compare(theirs, ours)
    line = {
        "bench": "parity",
        "lm_eval_wall_s": round(lm_eval_s, 1),
        "evalharness_wall_s": round(ours.manifest.wall_s, 1),
        **figures,
    }
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
