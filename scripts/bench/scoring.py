"""Log-likelihood tasks against lm-eval's own vllm backend, and against the bare engine's prefill.

    python scripts/bench/scoring.py --mirror DIR [--tasks mmlu,truthfulqa,...] [--docs N] [--rounds 3]

Per task, in seconds of engine time after warm-up, prefix caches emptied before each turn:

- `lm_eval_s`, `evalharness_s` (the median of the rounds), their `ratio`, and how far the answers are apart;
- `bare_s`: the bare engine given every unique token of the task's tries once (contexts and continuations, shared
  prefixes shared), nothing but prefill asked of it; `efficiency` is `bare_s` over `evalharness_s`, the median of rounds;
- `num_resent`: prompts that were sent again.

`endings` is a HellaSwag-like task made here: the last sentence of a GSM8K question among those of three others (15 to 40
words), after ten questions with theirs, drawn for each doc as lm-eval does for HellaSwag. In `endings_fixed` the ten are
the same for all docs. `short_context` has PIQA's shape (no few-shots, a sentence, two long endings) and `two_contexts`
WinoGrande's (five few-shots, two contexts that differ near their end, one ending for both), of the same sentences.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from _baseline import MODEL, PROMPTING, Pair, Turn, differences, load_pair, say

from evalharness.config.schema import TaskConfig
from evalharness.engines.requests import ScoreRequest
from evalharness.runner.samples import build_samples
from evalharness.tasks.loaded_task import LoadedTask

TASKS = {
    "mmlu": {
        f"mmlu_{subject}": TaskConfig(num_fewshot=5, limit=40)
        for subject in ("astronomy", "abstract_algebra", "anatomy")
    },
    "truthfulqa": {"truthfulqa_mc2": TaskConfig(limit=60)},
    "endings": {"endings": TaskConfig(limit=40)},
    "endings_fixed": {"endings_fixed": TaskConfig(limit=40)},
    "short_context": {"short_context": TaskConfig(num_fewshot=0, limit=100)},
    "two_contexts": {"two_contexts": TaskConfig(num_fewshot=5, limit=60)},
    "arc_challenge": {"arc_challenge": TaskConfig(num_fewshot=25, limit=40)},
    "arc_easy": {"arc_easy": TaskConfig(num_fewshot=0, limit=100)},
}

ENDINGS = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{train: {folder}/train.jsonl, test: {folder}/test.jsonl}}}}
output_type: multiple_choice
test_split: test
fewshot_split: train
fewshot_config: {{sampler: {sampler}}}
num_fewshot: 10
doc_to_text: "{{{{start}}}}"
doc_to_choice: "{{{{endings}}}}"
doc_to_target: label
target_delimiter: " "
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1}}
"""

SHORT_CONTEXT = """
task: short_context
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/short_context.jsonl}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{start}}}}"
doc_to_choice: "{{{{endings}}}}"
doc_to_target: label
target_delimiter: " "
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1}}
"""
TWO_CONTEXTS = """
task: two_contexts
dataset_path: json
dataset_kwargs: {{data_files: {{train: {folder}/two_contexts.jsonl, test: {folder}/two_contexts.jsonl}}}}
output_type: multiple_choice
test_split: test
fewshot_split: train
fewshot_config: {{sampler: first_n}}
doc_to_text: label
doc_to_choice: "{{{{starts}}}}"
doc_to_target: "{{{{ending}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1}}
"""


def write_shapes(mirror: Path, folder: Path) -> None:
    """Make `short_context` and `two_contexts` in `folder/tasks`."""
    import pyarrow.parquet as pq

    questions = pq.read_table(mirror / "openai/gsm8k/main/test.parquet")["question"].to_pylist()
    split = [re.split(r"(?<=[.?!])\s+", question.strip()) for question in questions]
    split = [sentences for sentences in split if len(sentences) >= 3]
    with (
        (folder / "short_context.jsonl").open("w") as short,
        (folder / "two_contexts.jsonl").open("w") as two,
    ):
        for number, (first, second, *rest) in enumerate(split[:200]):
            other, label = split[(number + 1) % len(split)], number % 2
            endings = [" ".join([second, *rest]), " ".join(other[1:])]
            starts = [f"{first} It was the {word}" for word in ("first", "last")]
            doc = {"start": first, "endings": endings[::-1] if label else endings, "label": label}
            short.write(json.dumps(doc) + "\n")
            two.write(json.dumps({"starts": starts, "ending": second, "label": label}) + "\n")
    for name, text in (("short_context", SHORT_CONTEXT), ("two_contexts", TWO_CONTEXTS)):
        (folder / "tasks" / f"{name}.yaml").write_text(text.format(folder=folder))


def write_endings(mirror: Path, folder: Path) -> None:
    """Make both tasks in `folder/tasks`."""
    import pyarrow.parquet as pq

    for split in ("train", "test"):
        questions = pq.read_table(mirror / f"openai/gsm8k/main/{split}.parquet")["question"]
        pairs = []
        for question in questions.to_pylist():
            *start, end = re.split(r"(?<=[.?!])\s+", question.strip())
            if start and 15 <= len(end.split()) <= 40:
                pairs.append((" ".join(start), end))
        with (folder / f"{split}.jsonl").open("w") as lines:
            for number, (start_text, _) in enumerate(pairs[:200]):
                endings = [pairs[(number + k) % len(pairs)][1] for k in range(4)]
                label = number % 4
                endings[0], endings[label] = endings[label], endings[0]
                doc = {"start": start_text, "endings": endings, "label": label}
                lines.write(json.dumps(doc) + "\n")
    (folder / "tasks").mkdir()
    for name, sampler in (("endings", "default"), ("endings_fixed", "first_n")):
        text = ENDINGS.format(folder=folder, name=name, sampler=sampler)
        (folder / "tasks" / f"{name}.yaml").write_text(text)


def unique_prompts(requests: Sequence[ScoreRequest], block: int) -> tuple[list[list[int]], int]:
    """Prompts that make the engine compute as many tokens as the tries have nodes, and that number.

    A context counts from where it leaves the nearest context before it, its continuations as a trie. The prompt is the
    context with all its trie's tokens behind it, cut so that what is computed after the cached blocks is that number.
    """
    seen: list[tuple[int, ...]] = []
    prompts, total = [], 0
    for request in requests:
        context = request.context_token_ids
        place = bisect.bisect(seen, context)
        shared = max((_shared(context, s) for s in seen[max(0, place - 1) : place + 1]), default=0)
        seen.insert(place, context)
        trie: list[int] = []
        before: tuple[int, ...] = ()
        for continuation in sorted(set(request.continuations)):
            trie += continuation[_shared(before, continuation) :]
            before = continuation
        num_unique = len(context) - shared + len(trie)
        prompts.append([*context, *trie][: shared // block * block + num_unique])
        total += num_unique
    return prompts, total


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    return next(
        (n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def prefill(llm: Any, prompts: list[list[int]]) -> tuple[float, int]:
    """Seconds of the bare engine, and the tokens that it computed."""
    from vllm import SamplingParams

    llm.reset_prefix_cache()
    inputs = [{"prompt_token_ids": prompt} for prompt in prompts]
    params = SamplingParams(temperature=0.0, max_tokens=1, detokenize=False)
    started = time.perf_counter()
    outputs = llm.generate(inputs, params, use_tqdm=False)
    wall_s = time.perf_counter() - started
    return wall_s, sum(len(o.prompt_token_ids) - (o.num_cached_tokens or 0) for o in outputs)


async def measure(pair: Pair, names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Figures of some tasks that are one row of the table."""

    def tasks() -> list[LoadedTask]:
        return [task for task in pair.tasks() if task.name in names]

    requests = [
        request
        for task in tasks()
        for sample in build_samples(task, pair.lm, PROMPTING)
        for request in sample.plans[0].requests
        if isinstance(request, ScoreRequest)
    ]
    block: int = pair.engine._block_size
    prompts, num_unique = unique_prompts(requests, block)
    turns: list[Turn] = []
    bares = []
    before = pair.engine.num_resent
    for number in range(rounds):
        if (
            number % 2 == 0
        ):  # who goes first changes, so that a drift of the machine favours neither
            turns.append(await pair.ours(tasks()))
        bare_s, num_computed = prefill(pair.theirs.model, prompts)
        bares.append(bare_s)
        if number % 2:
            turns.append(await pair.ours(tasks()))
        say(f"{names[0]}: ours {turns[-1].wall_s:.2f} s, bare engine {bare_s:.2f} s")
    num_resent = (pair.engine.num_resent - before) / rounds
    theirs = pair.lm_eval(tasks())
    say(f"{names[0]}: lm-eval {theirs.engine_s:.2f} s")
    ours_s = statistics.median(turn.wall_s for turn in turns)
    return {
        "docs": len(requests),
        "lm_eval_s": round(theirs.engine_s, 2),
        "evalharness_s": round(ours_s, 2),
        "ratio": round(theirs.engine_s / ours_s, 2),
        "bare_s": round(statistics.median(bares), 2),
        "efficiency": round(
            statistics.median(b / t.wall_s for b, t in zip(bares, turns, strict=True)), 3
        ),
        "unique_tokens": num_unique,
        "bare_computed_tokens": num_computed,
        "num_resent": num_resent,
        **{name: differences(turns[-1], theirs, name) for name in names},
    }


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Every task asked for."""
    chosen = {name: TASKS[name] for name in options.tasks.split(",")}
    configs = {name: config for tasks in chosen.values() for name, config in tasks.items()}
    if options.docs:
        for config in configs.values():
            config.limit = options.docs
    with tempfile.TemporaryDirectory() as folder:
        write_endings(Path(options.mirror), Path(folder))
        write_shapes(Path(options.mirror), Path(folder))
        pair = await load_pair(options.model, options.mirror, configs, tasks_folder=Path(folder))
        try:
            say("warming up")
            for task in pair.tasks()[:1]:
                task.limit = 2
                await pair.ours([task])
            for task in pair.tasks()[:1]:
                task.limit = 2
                pair.lm_eval([task])
            return {
                name: await measure(pair, list(tasks), options.rounds)
                for name, tasks in chosen.items()
            }
        finally:
            await pair.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", required=True)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--tasks", default=",".join(TASKS), help="some of: " + ", ".join(TASKS))
    parser.add_argument("--docs", type=int, help="per task, instead of each one's own number")
    parser.add_argument("--rounds", type=int, default=3, help="of ours and the bare engine")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    figures = asyncio.run(run(options))
    sys.stdout.write(json.dumps({"bench": "scoring", **figures}) + "\n")


if __name__ == "__main__":
    main()
