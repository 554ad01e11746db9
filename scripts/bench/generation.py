"""GSM8K 5-shot generation: a run of ours, lm-eval's own vllm backend, and a bare engine given the token ids at once.

    python scripts/bench/generation.py --mirror DIR [--docs 60] [--max-gen-toks 128] [--rounds 3]

All with the same arguments, taking turns, prefix caches emptied before each. `vs_lm_eval` is our wall time over
lm-eval's, `vs_bare` our generated tokens per second over the bare engine's; medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from _baseline import MODEL, PROMPTING, Pair, load_pair, say

from evalharness.config.schema import (
    SamplingConfig,
    TaskConfig,
)
from evalharness.runner.samples import build_samples

TASK = "gsm8k"


def bare(llm: Any, prompts: list[Any], params: list[Any]) -> tuple[float, int]:
    """Seconds, and tokens generated."""
    llm.reset_prefix_cache()
    started = time.perf_counter()
    outputs = llm.generate(prompts, params, use_tqdm=False)
    wall_s = time.perf_counter() - started
    return wall_s, sum(len(o.outputs[0].token_ids) for o in outputs)


async def measure(pair: Pair, rounds: int) -> dict[str, Any]:
    """The figures."""
    import vllm

    (task,) = pair.tasks()
    requests = [r for s in build_samples(task, pair.lm, PROMPTING) for r in s.plans[0].requests]
    prompts = [{"prompt_token_ids": list(r.prompt_token_ids)} for r in requests]
    params = [
        vllm.SamplingParams(
            temperature=0.0, max_tokens=r.sampling.max_gen_toks, stop=list(r.sampling.stop)
        )
        for r in requests
    ]
    table: list[dict[str, float]] = []
    same = 0
    for number in range(-1, rounds):  # the first warms up
        turns: dict[str, Any] = {}
        names = ("ours", "theirs", "bare")
        for name in names[number % 3 :] + names[: number % 3]:  # who goes first changes
            if name == "ours":
                turns[name] = await pair.ours(pair.tasks())
            elif name == "theirs":
                turns[name] = pair.lm_eval(pair.tasks())
            else:
                turns[name] = bare(pair.theirs.model, prompts, params)
        ours, theirs = turns["ours"], turns["theirs"]
        bare_s, num_tokens = turns["bare"]
        texts, other = ours.answers[TASK], theirs.answers[TASK]
        same = sum(texts[i] == other[i] for i in texts)
        row = {
            "evalharness_s": ours.wall_s,
            "lm_eval_s": theirs.engine_s,
            "bare_s": bare_s,
            "vs_lm_eval": ours.wall_s / theirs.engine_s,
            # The same prompts and limits: as many tokens, unless a near-tie fell otherwise (`same_texts`).
            "vs_bare": bare_s / ours.wall_s,
            "bare_tok_s": num_tokens / bare_s,
        }
        say(f"round {number}: " + ", ".join(f"{k} {v:.3f}" for k, v in row.items()))
        if number >= 0:
            table.append(row)
    medians = {k: round(statistics.median(row[k] for row in table), 3) for k in table[0]}
    return {"docs": len(requests), "same_texts": same, **medians}


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Load, measure, stop."""
    config = TaskConfig(
        num_fewshot=5,
        limit=options.docs,
        gen_kwargs={"max_gen_toks": options.max_gen_toks},
    )
    sampling = SamplingConfig(max_gen_toks=options.max_gen_toks)
    pair = await load_pair(options.model, options.mirror, {TASK: config}, sampling=sampling)
    try:
        return await measure(pair, options.rounds)
    finally:
        await pair.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", help="folder of datasets; without it they come from the Hub")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--docs", type=int, default=60)
    parser.add_argument("--max-gen-toks", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.mirror:
        os.environ["HF_HUB_OFFLINE"] = "1"
    figures = asyncio.run(run(options))
    sys.stdout.write(
        json.dumps({"bench": "generation", "max_gen_toks": options.max_gen_toks, **figures}) + "\n"
    )


if __name__ == "__main__":
    main()
