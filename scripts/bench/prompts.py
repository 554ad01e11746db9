"""Docs a second that our client writes, encodes, sends, scores and stores, beside lm-eval's, with real few-shot prompts.

    python scripts/bench/prompts.py --mirror DIR [--tasks mmlu,arc_challenge,...] [--docs N] [--feeders N] [--ours-only]

Ours is all of `evalharness run` on the `fake` engine, made to answer at once; lm-eval's is its own `simple_evaluate`
on a model that answers at once and encodes as lm-eval's backends do. Per task, in a process of its own:

- `docs_per_s`, `lm_eval_docs_per_s`, their `ratio`: from the first prompt to the last score, without loading;
- `loop_us`: CPU of the main thread, which runs the event loop, per doc.

`endings` is HellaSwag's shape without few-shots (see `scoring.py`), with a `process_docs` as HellaSwag has.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TASKS = {
    "mmlu": {
        f"mmlu_{s}": 5 for s in ("astronomy", "professional_law", "moral_scenarios", "anatomy")
    },
    "arc_challenge": {"arc_challenge": 25},
    "endings": {"endings": 0},
    "gsm8k": {"gsm8k": 5},
    "math500": {"math500_boxed": 0},
}
"""Name -> lm-eval's task -> few-shots."""

ENDINGS = """
task: endings
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/test.jsonl}}}}
output_type: multiple_choice
test_split: test
process_docs: !function utils.process_docs
doc_to_text: "{{{{query}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{label}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1}}
"""
PROCESS_DOCS = '''
def process_docs(dataset):
    """Rename and tidy, doc by doc."""

    def one(doc):
        return {"query": doc["start"].strip(), "choices": [e.strip() for e in doc["endings"]]}

    return dataset.map(one)
'''


def write_endings(mirror: Path, folder: Path, num_docs: int) -> None:
    """Make the task in `folder/tasks`: the last sentence of a question among those of three others."""
    import re

    import pyarrow.parquet as pq

    questions = pq.read_table(mirror / "openai/gsm8k/main/train.parquet")["question"].to_pylist()
    pairs = []
    for question in questions:
        *start, end = re.split(r"(?<=[.?!])\s+", question.strip())
        if start:
            pairs.append((" ".join(start), end))
    with (folder / "test.jsonl").open("w") as lines:
        for number in range(num_docs):
            endings = [pairs[(number + k) % len(pairs)][1] for k in range(4)]
            label = number % 4
            endings[0], endings[label] = endings[label], endings[0]
            start_text = pairs[number % len(pairs)][0]
            lines.write(
                json.dumps({"start": start_text, "endings": endings, "label": label}) + "\n"
            )
    (folder / "tasks").mkdir(exist_ok=True)
    (folder / "tasks/endings.yaml").write_text(ENDINGS.format(folder=folder))
    (folder / "tasks/utils.py").write_text(PROCESS_DOCS)


def answer_at_once() -> None:
    """Let the fake engine take no time of its own: it makes an answer from a hash of the prompt, about 100 us."""
    import asyncio

    from evalharness.engines.fake import FakeEngine
    from evalharness.engines.requests import ContinuationScore, Generation, Scores

    some = ContinuationScore(logprob=-1.0, is_greedy=False, num_tokens=1)
    said = Generation(text=" The answer is 12.", token_ids=(1, 2, 3))

    async def score(self: Any, request: Any) -> Scores:
        await asyncio.sleep(0)
        return Scores(continuations=(some,) * len(request.continuations))

    async def generate(self: Any, request: Any) -> Generation:
        await asyncio.sleep(0)
        return said

    FakeEngine.score, FakeEngine.generate = score, generate  # type: ignore[method-assign]


def ours(options: argparse.Namespace) -> dict[str, Any]:
    """One run of `evalharness run` on the fake engine."""
    from evalharness.config.schema import (
        Config,
        DataConfig,
        EngineConfig,
        EngineKind,
        LimitFrom,
        ModelConfig,
        Resume,
        RunConfig,
        SuiteConfig,
        TaskConfig,
        TasksConfig,
        Variant,
    )
    from evalharness.runner import run as running

    spent: dict[str, float] = {}
    execute = running._Execution._execute
    answer_at_once()

    async def timed(*args: Any) -> None:
        wall, cpu, everything = time.perf_counter(), time.thread_time(), time.process_time()
        await execute(*args)
        spent["wall_s"] = time.perf_counter() - wall
        spent["loop_s"] = time.thread_time() - cpu
        spent["cpu_s"] = time.process_time() - everything

    running._Execution._execute = timed  # type: ignore[method-assign]
    tasks = {
        name: TaskConfig(num_fewshot=shots, limit=options.docs)
        for name, shots in TASKS[options.tasks].items()
    }
    outcome = running.run(
        Config(
            model=ModelConfig(name="bench", path=options.model, variant=Variant.base),
            engine=EngineConfig(kind=EngineKind.fake, max_model_len=8192, max_in_flight=64),
            suite=SuiteConfig(name="bench", tasks=tasks),
            run=RunConfig(
                resume=Resume.never,
                reuse=False,
                limit_from=LimitFrom.first,
                feeders=options.feeders,
            ),
            data=DataConfig(mirror=options.mirror),
            tasks=TasksConfig(trust=True),
            results_dir="results",
        )
    )
    num = sum(task.num_samples for task in outcome.manifest.tasks)
    assert not sum(task.num_errors for task in outcome.manifest.tasks)
    return {
        "docs": num,
        "docs_per_s": round(num / spent["wall_s"]),
        "loop_us": round(1e6 * spent["loop_s"] / num),
        "cpu_us": round(1e6 * spent["cpu_s"] / num),
    }


def lm_evals(options: argparse.Namespace) -> dict[str, Any]:
    """lm-eval's `simple_evaluate` on a model that answers at once."""
    from lm_eval import evaluator, simple_evaluate
    from lm_eval.api.model import TemplateLM
    from transformers import AutoTokenizer

    from evalharness.tasks.dataset_mirror import mirrored

    class Free(TemplateLM):
        """Encodes as lm-eval's backends do; every answer is there already."""

        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = AutoTokenizer.from_pretrained(options.model)

        @property
        def eot_token_id(self) -> int:
            return int(self.tokenizer.eos_token_id)

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> Any:
            return self.tokenizer.encode(string, add_special_tokens=bool(add_special_tokens))

        def _loglikelihood_tokens(self, requests: Any, **_: Any) -> Any:
            return [(-float(len(continuation)), False) for _, _, continuation in requests]

        def loglikelihood_rolling(self, requests: Any, **_: Any) -> Any:
            return [0.0 for _ in requests]

        def generate_until(self, requests: Any, **_: Any) -> Any:
            for request in requests:
                self.tok_encode(request.args[0])
            return ["The answer is 12." for _ in requests]

    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path="tasks" if Path("tasks").is_dir() else None)
    lm = Free()
    with mirrored(options.mirror):
        shots = set(TASKS[options.tasks].values())
        clock: dict[str, float] = {}
        evaluate = evaluator.evaluate

        def timed(*args: Any, **arguments: Any) -> Any:
            clock["start"] = time.perf_counter()
            found = evaluate(*args, **arguments)
            clock["end"] = time.perf_counter()
            return found

        evaluator.evaluate = timed
        results = simple_evaluate(
            lm,
            tasks=list(TASKS[options.tasks]),
            num_fewshot=shots.pop(),
            limit=options.docs,
            bootstrap_iters=0,
            task_manager=manager,
        )
    num = sum(n["effective"] for n in results["n-samples"].values())
    return {"lm_eval_docs_per_s": round(num / (clock["end"] - clock["start"]), 1)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every task, ours and lm-eval's in turns."""
    found: dict[str, Any] = {}
    for name in options.tasks.split(","):
        sides = ["ours"] if options.ours_only else ["ours", "lm_eval"]
        row: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder:
            if name == "endings":
                write_endings(Path(options.mirror), Path(folder), options.docs)
            for side in sides:
                done = subprocess.run(
                    [
                        *(sys.executable, __file__, f"--side={side}", f"--tasks={name}"),
                        *(f"--docs={options.docs}", f"--mirror={options.mirror}"),
                        f"--model={options.model}",
                        f"--feeders={options.feeders}",
                    ],
                    cwd=folder,
                    stdout=subprocess.PIPE,
                    stderr=None if options.loud else subprocess.DEVNULL,
                    text=True,
                    check=True,
                )
                row |= json.loads(done.stdout.splitlines()[-1])
        if "lm_eval_docs_per_s" in row:
            row["ratio"] = round(row["docs_per_s"] / row["lm_eval_docs_per_s"], 1)
        found[name] = row
        sys.stderr.write(f"{name}: {row}\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", required=True, help="folder of datasets")
    parser.add_argument("--model", default="models/smollm2-135m-instruct", help="its tokenizer")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--docs", type=int, default=1000, help="docs of each task")
    parser.add_argument(
        "--feeders", type=int, default=0, help="processes of ours beside the main one"
    )
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--loud", action="store_true", help="show what both sides print")
    parser.add_argument("--side", choices=["ours", "lm_eval"], help="one side of one task")
    options = parser.parse_args()
    if options.side:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
        run = ours if options.side == "ours" else lm_evals
        sys.stdout.write(json.dumps(run(options)) + "\n")
        return
    options.model, options.mirror = (
        str(Path(p).resolve()) for p in (options.model, options.mirror)
    )
    sys.stdout.write(json.dumps({"bench": "prompts", **measure(options)}) + "\n")


if __name__ == "__main__":
    main()
