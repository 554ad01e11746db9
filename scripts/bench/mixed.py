"""A mixed suite in one run: MMLU 5-shot, ARC-Challenge 25-shot and GSM8K 5-shot, against lm-eval's own vllm backend.

    python scripts/bench/mixed.py --mirror DIR [--docs N] [--rounds 3]

`ratio` is our wall time over lm-eval's, for the whole evaluation: building prompts, engine, scoring; both engines are
loaded and warm. `journal_cost` is what keeping every response on disk adds to ours: the share by which a run with the
journal is slower than one without, the median of rounds taken in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from _baseline import MODEL, Pair, differences, load_pair, say

from evalharness.config.schema import (
    SamplingConfig,
    TaskConfig,
)

MAX_GEN_TOKS = 128
TASKS = {
    "mmlu_astronomy": TaskConfig(num_fewshot=5, limit=40),
    "mmlu_abstract_algebra": TaskConfig(num_fewshot=5, limit=40),
    "mmlu_anatomy": TaskConfig(num_fewshot=5, limit=40),
    "arc_challenge": TaskConfig(num_fewshot=25, limit=40),
    "gsm8k": TaskConfig(num_fewshot=5, limit=60, gen_kwargs={"max_gen_toks": MAX_GEN_TOKS}),
}


async def measure(pair: Pair, rounds: int) -> dict[str, Any]:
    """The figures."""
    walls: dict[bool, list[float]] = {True: [], False: []}
    ours = None
    for number in range(rounds):
        for journal in (True, False) if number % 2 else (False, True):
            turn = await pair.ours(pair.tasks(), journal=journal)
            walls[journal].append(turn.wall_s)
            ours = turn if journal else ours
            say(f"ours, journal {'on' if journal else 'off'}: {turn.wall_s:.2f} s")
    assert ours is not None
    theirs = pair.lm_eval(pair.tasks())
    say(f"lm-eval: {theirs.wall_s:.2f} s")
    ours_s = statistics.median(walls[True])
    pairs = zip(walls[True], walls[False], strict=True)
    texts, other = ours.answers["gsm8k"], theirs.answers["gsm8k"]
    return {
        "lm_eval_s": round(theirs.wall_s, 1),
        "evalharness_s": round(ours_s, 1),
        "ratio": round(ours_s / theirs.wall_s, 3),
        "journal_cost": round(statistics.median(on / off for on, off in pairs) - 1, 4),
        "journal_on_s": [round(s, 2) for s in walls[True]],
        "journal_off_s": [round(s, 2) for s in walls[False]],
        "same_texts": [sum(texts[i] == other[i] for i in texts), len(texts)],
        **{name: differences(ours, theirs, name) for name in TASKS if name != "gsm8k"},
    }


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Load, warm up, measure, stop."""
    if options.docs:
        for config in TASKS.values():
            config.limit = options.docs
    sampling = SamplingConfig(max_gen_toks=MAX_GEN_TOKS)
    pair = await load_pair(options.model, options.mirror, TASKS, sampling=sampling)
    try:
        say("warming up")
        small = pair.tasks()
        for task in small:
            task.limit = 1
        await pair.ours(small)
        small = pair.tasks()
        for task in small:
            task.limit = 1
        pair.lm_eval(small)
        return await measure(pair, options.rounds)
    finally:
        await pair.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", required=True)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--docs", type=int, help="per task, instead of each one's own number")
    parser.add_argument("--rounds", type=int, default=3, help="of ours with and without journal")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    figures = asyncio.run(run(options))
    sys.stdout.write(json.dumps({"bench": "mixed", **figures}) + "\n")


if __name__ == "__main__":
    main()
