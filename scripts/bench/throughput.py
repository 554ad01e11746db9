"""Generation throughput of a run against a bare vLLM engine that gets the same token ids at once.

    python scripts/bench/throughput.py [--docs 60] [--max-gen-toks 128] [--rounds 3]

Both engines are loaded side by side with the same arguments and take turns, prefix caches emptied before each turn.
Ours is the path of `evalharness run`: prompts built and tokenized while the engine works, journal on. The ratio is the
median over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evalharness.config import (
    Config,
    EngineConfig,
    ModelConfig,
    SamplingConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.engines import Weights, open_engine
from evalharness.engines.vllm import engine_arguments
from evalharness.running.building import Prompting, Sample, build_samples
from evalharness.running.executing import Sender, TaskProgress, execute
from evalharness.running.journal import Journal
from evalharness.tasks.lm import EngineLM
from evalharness.tasks.loading import load_suite

TASK = "gsm8k_sample"
PROMPTING = Prompting(
    is_chat=False, fewshot_as_multiturn=False, system_instruction=None, run_seed=1234
)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Generated tokens per second of each, in turns."""
    import vllm
    from transformers import AutoTokenizer

    weights = Weights(path=Path(options.model))
    engine_config = EngineConfig(max_model_len=2048, max_in_flight=options.docs)
    config = Config(
        model=ModelConfig(name="bench", path=options.model, variant=Variant.base),
        suite=SuiteConfig(name="bench", tasks={TASK: TaskConfig(limit=options.docs)}),
    )
    lm = EngineLM(
        AutoTokenizer.from_pretrained(options.model),
        2048,
        sampling=SamplingConfig(max_gen_toks=options.max_gen_toks),
    )
    (loaded,) = load_suite(config).tasks
    engine: Any = await open_engine(engine_config, weights)
    bare = vllm.LLM(**engine_arguments(engine_config, weights))

    async def ours() -> float:
        await engine._llm.reset_prefix_cache()
        num_tokens = 0

        def count(_: TaskProgress, sample: Sample) -> None:
            nonlocal num_tokens
            num_tokens += sum(len(response.token_ids) for response in sample.responses)

        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            async with Journal(Path(folder)) as journal:
                await execute(
                    [TaskProgress(loaded)],
                    lm,
                    Sender(engine, journal, "bench"),
                    PROMPTING,
                    max_in_flight=options.docs,
                    on_sample=count,
                )
        return num_tokens / (time.perf_counter() - started)

    requests = [r for s in build_samples(loaded, lm, PROMPTING) for r in s.plans[0].requests]
    prompts = [{"prompt_token_ids": list(r.prompt_token_ids)} for r in requests]
    params = [
        vllm.SamplingParams(
            temperature=0.0, max_tokens=r.sampling.max_gen_toks, stop=list(r.sampling.stop)
        )
        for r in requests
    ]

    def theirs() -> float:
        bare.reset_prefix_cache()
        started = time.perf_counter()
        outputs = bare.generate(prompts, params, use_tqdm=False)
        wall = time.perf_counter() - started
        return sum(len(o.outputs[0].token_ids) for o in outputs) / wall

    await ours()
    theirs()
    rounds = []
    for number in range(options.rounds):
        if number % 2:  # who goes first changes, so that a drift of the machine favours neither
            bare_tok_s = theirs()
            rounds.append((await ours(), bare_tok_s))
        else:
            rounds.append((await ours(), theirs()))
    await engine.close()
    mine, bares = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "docs": options.docs,
        "max_gen_toks": options.max_gen_toks,
        "evalharness_tok_s": round(mine, 1),
        "bare_vllm_tok_s": round(bares, 1),
        "ratio": round(statistics.median(a / b for a, b in rounds), 3),
        "ratios": [round(a / b, 3) for a, b in rounds],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/smollm2-135m-instruct")
    parser.add_argument("--docs", type=int, default=60)
    parser.add_argument("--max-gen-toks", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mirror", help="not used here: the data ships")
    options = parser.parse_args()
    line = asyncio.run(measure(options))
    sys.stdout.write(json.dumps({"bench": "throughput", **line}) + "\n")


if __name__ == "__main__":
    main()
