"""The columns of the tables that users query: one list for Parquet files, SQL views and help.

`metrics` and `samples` are a record's fields plus the run's own, so that files of many runs can be read as one table.
"""

from math import isnan
from typing import Literal, NamedTuple

from evalharness.store.records import Manifest
from evalharness.store.subset_words import subset_words

SqlType = Literal[
    "VARCHAR",
    "BIGINT",
    "DOUBLE",
    "BOOLEAN",
    "MAP(VARCHAR, DOUBLE)",
    "MAP(VARCHAR, BIGINT)",
    "BIGINT[]",
    'STRUCT("text" VARCHAR, logprob DOUBLE, num_tokens BIGINT)[]',
    "JSON",
]
CHOICES: SqlType = 'STRUCT("text" VARCHAR, logprob DOUBLE, num_tokens BIGINT)[]'
RunRow = dict[str, str | int | float | bool | None]
"""A row of `runs`, `manifest` left out: column -> value."""


class Column(NamedTuple):
    """A column of a table that users query."""

    name: str
    type: SqlType
    doc: str


_RUN = (
    Column("run_id", "VARCHAR", "the run's folder under results_dir"),
    Column("model", "VARCHAR", "name of the model entry"),
    Column("suite", "VARCHAR", "name of the suite"),
    Column("started_at", "VARCHAR", "ISO 8601, UTC; started_at::timestamp to compute with it"),
)

RUNS = (
    *_RUN,
    Column("suite_version", "VARCHAR", "version of the suite"),
    Column(
        "status",
        "VARCHAR",
        "running, complete, partial, failed, or interrupted (its process is gone)",
    ),
    Column("reason", "VARCHAR", "why a run is partial or failed"),
    Column("finished_at", "VARCHAR", "ISO 8601, UTC"),
    Column("wall_s", "DOUBLE", "seconds from start to end"),
    Column("load_s", "DOUBLE", "seconds of it for loading the engine"),
    Column("serve_s", "DOUBLE", "seconds of it for answering requests"),
    Column("domain", "VARCHAR", "what the suite measures: capability or safety"),
    Column("num_tasks", "BIGINT", "tasks in the run"),
    Column("num_docs", "BIGINT", "docs over all tasks"),
    Column("num_samples", "BIGINT", "docs x repeats over all tasks"),
    Column("num_errors", "BIGINT", "samples without an answer; not scored"),
    Column("num_truncated", "BIGINT", "answers cut at the token limit"),
    Column("num_empty", "BIGINT", "answers without text"),
    Column("num_unclosed_thinking", "BIGINT", "missing answers, because the thinking didn't end"),
    Column("num_prompt_tokens", "BIGINT", "tokens of all prompts"),
    Column("num_cached_tokens", "BIGINT", "prompt tokens found in the prefix cache"),
    Column("num_generated_tokens", "BIGINT", "tokens of all answers"),
    Column("tokens_per_s", "DOUBLE", "prompt and generated tokens per second of serve_s"),
    Column("num_gpus", "BIGINT", "GPUs that the engine used; 0 on a CPU"),
    Column("peak_gpu_memory_gib", "DOUBLE", "peak over these GPUs together; null: not measured"),
    Column("energy_j", "DOUBLE", "joules that they used, including loading; null: not measured"),
    Column("cost_usd", "DOUBLE", "GPUs x hours x cost.usd_per_gpu_hour; null without a price"),
    Column("strategy", "VARCHAR", "how requests became answers; single: one request, one answer"),
    Column("is_limited", "BOOLEAN", "a task ran on some of its docs only"),
    Column("subset", "VARCHAR", "which docs: random 50 of 313 docs (seed 0); empty: all"),
    Column("fingerprint", "VARCHAR", "identity of the checkpoint"),
    Column("engine", "VARCHAR", "vllm, hf, ..."),
    Column("engine_version", "VARCHAR", "its version"),
    Column("dtype", "VARCHAR", "numbers the weights were computed in"),
    Column("quantization", "VARCHAR", "null: none"),
    Column("manifest", "JSON", "all of manifest.json: manifest->>'$.config.run.seed'"),
)

METRICS = (
    *_RUN,
    Column("task", "VARCHAR", "task, or group for a group's own score"),
    Column("group", "VARCHAR", 'group the task was run in, or the task itself (write "group")'),
    Column("metric", "VARCHAR", "acc, exact_match, ..."),
    Column("filter", "VARCHAR", "how the answer was extracted; none: the answer as it is"),
    Column("value", "DOUBLE", "the score; NaN when n is 0"),
    Column("ci_low", "DOUBLE", "95 % interval"),
    Column("ci_high", "DOUBLE", "95 % interval"),
    Column("stderr", "DOUBLE", "standard error"),
    Column("n", "BIGINT", "samples scored (docs when a task repeats)"),
    Column("higher_is_better", "BOOLEAN", "false for perplexity and the like"),
    Column("is_main", "BOOLEAN", "the one metric per task that tables show"),
)

SAMPLES = (
    *_RUN,
    Column("task", "VARCHAR", "task"),
    Column("doc_id", "BIGINT", "position in the dataset split"),
    Column("doc_hash", "VARCHAR", "sha256 of the doc: joins runs"),
    Column("repeat", "BIGINT", "0 for the first draw"),
    Column("filter", "VARCHAR", "how the answer was extracted"),
    Column("prompt", "VARCHAR", "the context as text, chat template applied"),
    Column("target", "VARCHAR", "the right answer"),
    Column("response", "VARCHAR", "generated text, or the choices' log-probabilities as JSON"),
    Column("thinking", "VARCHAR", "text between the model's thinking tags"),
    Column("answer", "VARCHAR", "what the filter extracted"),
    Column(
        "scores", "MAP(VARCHAR, DOUBLE)", "metric -> score: scores['acc']; empty when it failed"
    ),
    Column(
        "finish_reason",
        "VARCHAR",
        "stop, length, unclosed (thinking), budget, score, error or unknown (imported)",
    ),
    Column("num_prompt_tokens", "BIGINT", "tokens of the prompt"),
    Column("num_generated_tokens", "BIGINT", "tokens of the answer"),
    Column("latency_s", "DOUBLE", "seconds from sending to the last token"),
    Column("error", "VARCHAR", "kind and message of the failure; null without one"),
    Column("is_main", "BOOLEAN", "the filter of the task's main metric: one row per doc x repeat"),
    Column("cluster", "VARCHAR", "docs with the same one share a source; null: none declared"),
    Column("choices", CHOICES, "of a multiple-choice sample: text, log-likelihood and tokens"),
    Column(
        "chosen", "MAP(VARCHAR, BIGINT)", "metric -> the choice it takes, from 0: chosen['acc']"
    ),
    Column("gold", "BIGINT[]", "the right choices, from 0; empty: the task's own code decides"),
    Column(
        "gold_answer",
        "VARCHAR",
        "what the filter extracts from the target; null: all of it, or nothing",
    ),
)

ADDED = {"is_main": 2, "cluster": 2, "choices": 3, "chosen": 3, "gold": 3, "gold_answer": 4}
"""Column of `samples` -> the schema version that brought it."""


def added_since(version: int) -> list[Column]:
    """The columns of `samples` that files of this schema version lack."""
    return [column for column in SAMPLES if ADDED.get(column.name, 0) > version]


_OF_A_FILTER = (
    "filter", "target", "answer", "scores", "is_main", "cluster", "choices", "chosen", "gold", "gold_answer"
)  # fmt: skip
RESPONSES = tuple(column for column in SAMPLES if column.name not in _OF_A_FILTER)
"""What the model was asked and said: once per doc x repeat, whatever filters read it."""

TURNS = (
    *_RUN,
    Column("task", "VARCHAR", "task"),
    Column("doc_id", "BIGINT", "position in the dataset split"),
    Column("doc_hash", "VARCHAR", "sha256 of the doc: joins runs"),
    Column("repeat", "BIGINT", "0 for the first draw"),
    Column("turn", "BIGINT", "position in the sample's conversation"),
    Column("arm", "VARCHAR", "the strategy's procedure: correct, reanswer, vote, sample, budget"),
    Column("step", "BIGINT", "round, draw or token budget"),
    Column("purpose", "VARCHAR", "answer, critique, verify, think or a task's own word"),
    Column("message", "VARCHAR", "the message to the model; empty: the sample's prompt"),
    Column("text", "VARCHAR", "its answer, without its thinking"),
    Column("thinking", "VARCHAR", "text between the model's thinking tags"),
    Column("answer", "VARCHAR", "what the task's filter extracted; null: nothing, or no answer"),
    Column("score", "DOUBLE", "score on the task's main metric; null if the turn is not an answer"),
    Column("p_yes", "DOUBLE", "the model's probability of yes; null if it wasn't asked"),
    Column("token_ids", "BIGINT[]", "generated"),
    Column("num_prompt_tokens", "BIGINT", "tokens of the prompt"),
    Column("finish_reason", "VARCHAR", "stop, length, unclosed (thinking), budget or score"),
    Column("latency_s", "DOUBLE", "seconds from sending to the last token"),
)

CURVES = (
    *_RUN,
    Column("task", "VARCHAR", "task"),
    Column("strategy", "VARCHAR", "repeats, self_correct, verify or budget"),
    Column("arm", "VARCHAR", "one line of the curve: pass, majority, self-correct, ..."),
    Column("x", "DOUBLE", "samples, round or thinking tokens"),
    Column("x_name", "VARCHAR", "which of them"),
    Column("value", "DOUBLE", "mean of the task's main metric over docs"),
    Column("ci_low", "DOUBLE", "95 % interval"),
    Column("ci_high", "DOUBLE", "95 % interval"),
    Column("n", "BIGINT", "docs"),
    Column("num_tokens", "DOUBLE", "mean tokens generated per doc up to this point"),
    Column("gained", "BIGINT", "docs wrong at the arm's first point and right here"),
    Column("lost", "BIGINT", "docs right there and wrong here"),
    Column(
        "p_value",
        "DOUBLE",
        "of no change since the first point (exact McNemar; random signs of sources where docs share them)",
    ),
    Column("gained_step", "BIGINT", "the same against the point before"),
    Column("lost_step", "BIGINT", "the same against the point before"),
    Column("p_value_step", "DOUBLE", "the same against the point before"),
)

TABLES = {
    "runs": RUNS,
    "metrics": METRICS,
    "samples": SAMPLES,
    "responses": RESPONSES,
    "turns": TURNS,
    "curves": CURVES,
}


def run_row(manifest: Manifest) -> RunRow:
    """A manifest as a row of `runs`."""
    tasks = manifest.tasks
    return {
        "run_id": manifest.run_id,
        "model": manifest.model,
        "suite": manifest.suite,
        "started_at": manifest.started_at,
        "suite_version": manifest.suite_version,
        "status": manifest.status,
        "reason": manifest.reason,
        "finished_at": manifest.finished_at,
        "wall_s": manifest.wall_s,
        "load_s": manifest.load_s,
        "serve_s": manifest.serve_s,
        "domain": manifest.domain,
        "num_tasks": len(tasks),
        "num_docs": sum(task.num_docs for task in tasks),
        "num_samples": sum(task.num_samples for task in tasks),
        "num_errors": sum(task.num_errors for task in tasks),
        "num_truncated": sum(task.num_truncated for task in tasks),
        "num_empty": sum(task.num_empty for task in tasks),
        "num_unclosed_thinking": sum(task.num_unclosed_thinking for task in tasks),
        "num_prompt_tokens": sum(task.num_prompt_tokens for task in tasks),
        "num_cached_tokens": sum(task.num_cached_tokens for task in tasks),
        "num_generated_tokens": sum(task.num_generated_tokens for task in tasks),
        "tokens_per_s": None if isnan(manifest.tokens_per_s) else manifest.tokens_per_s,
        "num_gpus": manifest.num_gpus,
        "peak_gpu_memory_gib": manifest.peak_gpu_memory_gib,
        "energy_j": manifest.energy_j,
        "cost_usd": manifest.cost_usd,
        "strategy": manifest.strategy,
        "is_limited": any(task.is_limited for task in tasks),
        "subset": subset_words(tasks),
        "fingerprint": manifest.checkpoint.get("fingerprint"),
        "engine": manifest.engine.get("kind"),
        "engine_version": manifest.engine.get("version"),
        "dtype": manifest.engine.get("dtype"),
        "quantization": manifest.engine.get("quantization"),
    }
