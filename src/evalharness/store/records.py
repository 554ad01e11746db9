"""Frozen records that reach disk.

A *doc* is a dataset row; a *sample* is a doc x repeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

FLIP = 0.001
"""A score that moves by more has flipped: a tenth of a point, the least that tables show. Below it a score that isn't
0 or 1 (a share of probability) moves with its log-likelihoods, which are reported themselves."""


class ScoredChoice(NamedTuple):
    """One choice of a sample, and what the model made of it."""

    text: str
    logprob: float
    """Natural log, summed over its tokens."""
    num_tokens: int | None
    """None where it was scored again from a file that doesn't have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRecord:
    """One doc x repeat x filter of a task, as stored in `samples/<task>.parquet` (one row each)."""

    task: str
    doc_id: int
    doc_hash: str
    """sha256 of the doc as lm-eval computes it: the key for joining runs."""
    repeat: int
    filter: str
    prompt: str
    """The context as text, with the chat template applied."""
    target: str
    response: str
    """Generated text, or `[logprob, is_greedy]` of each continuation as JSON: enough to score the sample again."""
    thinking: str | None
    answer: str
    """What the task's filter extracted."""
    scores: dict[str, float]
    """Metric name -> this sample's score (a pair of numbers as `metric[0]`, `metric[1]`); empty if the sample failed."""
    finish_reason: str
    """stop | length | unclosed (thinking that never ended) | score | error | unknown (imported)"""
    num_prompt_tokens: int
    num_generated_tokens: int
    latency_s: float
    error: str | None
    """`kind: message` of the failure; None without one."""
    is_main: bool = True
    """The filter of the task's main metric: one row per doc x repeat."""
    cluster: str | None = None
    """Shared by docs of one source (a passage, a template); None where the task declares none."""
    choices: tuple[ScoredChoice, ...] = ()
    """Of a multiple-choice sample, in the order asked; empty when it failed, and in files of schema 2 and before."""
    chosen: dict[str, int] = field(default_factory=dict)
    """Metric -> the choice that it takes for the answer, from 0."""
    gold: tuple[int, ...] = ()
    """The choices that are right; empty where the task's own code decides."""
    gold_answer: str | None = None
    """What the filter extracts from the target, beside which `answer` can be read; None where that is all of the target,
    or isn't known to be what the answer is compared with."""


class DocRecord(NamedTuple):
    """A doc that was asked, as stored in `docs/<task>.parquet` if a task's own code made it."""

    doc_id: int
    doc_hash: str
    doc: str
    """The doc as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecord:
    """One turn of a trajectory, as stored in `turns/<task>.parquet`: all messages and answers of a sample."""

    task: str
    doc_id: int
    doc_hash: str
    repeat: int
    turn: int
    """From 0, in the order in which a sample's turns were answered."""
    arm: str
    """The strategy's procedure that the turn belongs to; empty if there is only one."""
    step: int
    """Round, draw or token budget."""
    purpose: str
    """answer | critique | verify | think, or a task's own word"""
    message: str
    """The message to the model in this turn; empty for the task's own prompt, which is in the samples."""
    text: str
    """Its answer, without its thinking."""
    thinking: str | None
    answer: str | None
    """What the task's filter extracted; None if it found nothing, or if the turn is not an answer."""
    score: float | None
    """Score on the task's main metric; None if the turn is not an answer."""
    p_yes: float | None
    """The model's probability of yes, if it was asked a yes-or-no question."""
    token_ids: tuple[int, ...]
    """Generated."""
    num_prompt_tokens: int
    finish_reason: str
    latency_s: float

    @property
    def num_generated_tokens(self) -> int:
        """Tokens of the answer, its thinking included."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One scored answer of a trajectory, from which a strategy's curve is computed."""

    doc_id: int
    repeat: int
    """0 except for strategy=repeats."""
    arm: str
    """Which of the strategy's procedures made it."""
    step: int
    """Round, draw or token budget."""
    answer: str | None
    """Extracted by the task's filter; None if there is none."""
    score: float
    """Of the task's main metric."""
    num_tokens: int
    """Tokens generated for this answer and all turns before it."""
    p_yes: float | None = None
    """The model's own probability that it is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One point of a strategy's curve, as stored in `curves.parquet`."""

    task: str
    strategy: str
    arm: str
    x: float
    """Samples, round or thinking tokens."""
    x_name: str
    value: float
    ci_low: float
    ci_high: float
    n: int
    """Docs."""
    num_tokens: float
    """Mean tokens generated per doc up to this point."""
    gained: int | None = None
    """Docs wrong at the arm's first point and right here; None at the first, and if scores aren't 0 or 1."""
    lost: int | None = None
    """Docs right at the first point and wrong here."""
    p_value: float | None = None
    """Of no change since the first point: exact McNemar, or random signs of sources where docs share them."""
    gained_step: int | None = None
    """The same, compared with the point before."""
    lost_step: int | None = None
    p_value_step: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRecord:
    """One task x metric x filter of a run, as stored in `metrics.parquet`."""

    task: str
    group: str
    """The lm-eval group or tag that the suite names, or the task itself."""
    metric: str
    filter: str
    value: float
    """NaN when n is 0."""
    ci_low: float
    """95 %; over random docs, for the score that all docs would give (`stats.finite`)."""
    ci_high: float
    stderr: float
    """Standard error with the docs as a sample of all possible ones, as in lm-eval; never narrowed."""
    n: int
    """Samples scored (docs when a task repeats)."""
    higher_is_better: bool
    is_main: bool
    """The metric the suite declares; one per task."""


MAX_REASONS = 5
"""Most different reasons of failed samples that a task's summary keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """What a task cost and what went wrong in it; a part of the manifest."""

    task: str
    group: str
    version: str
    num_fewshot: int
    repeats: int
    kind: str
    """lm-eval's output_type."""
    num_docs: int
    num_docs_available: int
    num_samples: int
    num_errors: int
    num_truncated: int
    num_empty: int
    num_context_overflow: int
    num_prompt_tokens: int
    num_cached_tokens: int
    num_generated_tokens: int
    wall_s: float
    """Seconds from the task's first request to its last answer."""
    dataset: str
    """Hub id (or path) and configuration."""
    dataset_fingerprint: str
    task_hash: str
    """sha256 of the task's resolved configuration."""
    status: str
    """complete | partial | failed"""
    request_hash: str = ""
    """sha256 of the part of the task's configuration that determines its requests."""
    num_reused: int = 0
    """Samples whose responses were reused; their tokens aren't in the counts above."""
    num_unclosed_thinking: int = 0
    """Missing answers, because the thinking before them didn't end; counted as truncated and empty too."""
    num_split_tokens: int = 0
    """Choices that were encoded separately, because a token would have spanned context and choice."""
    num_own_fewshots: int = 0
    """Samples whose doc was among its own few-shots, with its answer."""
    num_without_gold: int = 0
    """Samples whose right answer is none of the choices."""
    num_cut_prompts: int = 0
    """Samples whose prompt lost its oldest tokens to fit the context (`run.truncation=left`)."""
    num_doubled_bos: int = 0
    """Samples whose prompt has more than one BOS token (or more than one per turn, if the template writes one per turn)."""
    num_without_system: int = 0
    """Samples whose system text was left out, because the chat template takes none."""
    energy_j: float | None = None
    """The task's share of the GPUs' energy, by samples in flight; null if not measured. The tasks' shares add up to the
    run's energy without loading."""
    peak_gpu_memory_gib: float | None = None
    """Peak over the GPUs used together, while the task ran."""
    cost_usd: float | None = None
    """Its share of the run's cost; null without a price."""
    strategy: str = "single"
    """How requests became answers; a run's strategy applies to its generative tasks only."""
    sampling: str = ""
    """How its answers were drawn (`tasks.sampling.sampling_words`); empty if it generates none, or if that wasn't stored."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why samples failed -> how many, the most frequent first; at most `MAX_REASONS`."""
    bound_low: float | None = None
    """The score if all answers that were cut or are empty scored 0, if they are more than 1 %; null for fewer, and for
    a metric that isn't a mean of values from 0 to 1."""
    bound_high: float | None = None
    """The score if all of them scored 1."""
    remarks: tuple[str, ...] = ()
    """Remarks on the task's score, a sentence each; shown under every table of it."""
    limit_from: str = "first"
    """first | random: which docs were taken if there are more; first in runs of old versions."""
    limit_seed: int | None = None
    """Seed of random docs; None otherwise."""
    stratified_by: str = ""
    """Field or template of the categories from which random docs were drawn in proportion; empty for none."""

    @property
    def is_limited(self) -> bool:
        """Whether it ran on fewer docs than there are."""
        return self.num_docs < self.num_docs_available

    @property
    def subset(self) -> str:
        """Which docs: `first 50` | `random 50, seed 0`; empty for all."""
        if not self.is_limited:
            return ""
        seed = "" if self.limit_seed is None else f", seed {self.limit_seed}"
        return f"{self.limit_from} {self.num_docs}{seed}"

    @property
    def tokens_per_s(self) -> float:
        """Prompt and generated tokens per second of wall time; NaN if nothing ran."""
        total = self.num_prompt_tokens + self.num_generated_tokens
        return total / self.wall_s if self.wall_s > 0 else float("nan")


SCHEMA_VERSION = 4
"""Of what a run's folder holds. 2: samples have `is_main` and `cluster`, suites a domain, files checksums. 3: samples
have their choices. 4: and what a filter extracts from the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`manifest.json` of a run: everything needed to trust, find and repeat it."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    status: str
    """running | complete | partial | failed; shown as `interrupted` if the run's process is gone
    (`store.read.as_seen`)"""
    model: str
    suite: str
    suite_version: str
    started_at: str
    """ISO 8601, UTC."""
    finished_at: str | None = None
    wall_s: float | None = None
    load_s: float | None = None
    """Seconds for loading the engine."""
    reason: str | None = None
    """Why a run is partial or failed."""
    config: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    """`CheckpointInfo` as a dict: fingerprints, architecture, scale."""
    engine: dict[str, Any] = field(default_factory=dict)
    """`EngineInfo` as a dict: kind, version, dtype, quantization, max_model_len."""
    packages: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    tasks: tuple[TaskSummary, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    """Tasks of the suite that couldn't be loaded -> why; the run is then partial."""
    groups: dict[str, list[str]] = field(default_factory=dict)
    """Groups within the suite's groups that have their own score -> the tasks below them, at any depth."""
    identity: str = ""
    """sha256 of everything the run's numbers depend on; two runs with the same one are the same experiment."""
    num_starts: int = 1
    """How often the run was started: 1 plus the times it was continued."""
    template_date: str | None = None
    """ISO date that the chat template wrote into the prompts as today's; null if it writes none."""
    remarks: tuple[str, ...] = ()
    """Remarks on the whole run, a sentence each; shown under its table."""
    rescored_from: str | None = None
    """The run whose responses were scored again for this run."""
    serve_s: float | None = None
    """Seconds of the last start in which the engine was up and had requests to answer."""
    num_gpus: int = 0
    """GPUs that the engine used; 0 on a CPU and for an endpoint."""
    energy_j: float | None = None
    """Energy that they used from loading to the last answer (of the last start); null if not measured."""
    load_energy_j: float | None = None
    """The part of it before the first request."""
    peak_gpu_memory_gib: float | None = None
    """Peak over the GPUs together, by any process."""
    cost_usd: float | None = None
    """GPUs x hours x `cost.usd_per_gpu_hour`, for the same time; null without a price."""

    @property
    def is_fake(self) -> bool:
        """Whether its answers are made up, by the fake engine or by lm-eval's `dummy` model: it never represents a model."""
        # Before its engine is loaded, a run has only the configured engine; an import has lm-eval's `model` as its backend.
        engine = self.engine or self.config.get("engine") or {}
        return engine.get("kind") == "fake" or engine.get("backend") in ("fake", "dummy")

    @property
    def is_imported(self) -> bool:
        """lm-eval made it; its engine's kind begins so."""
        return str(self.engine.get("kind") or "").startswith("lm-eval")

    @property
    def domain(self) -> str:
        """What the suite measures: capability or safety."""
        return str(self.config.get("suite", {}).get("domain", "capability"))

    @property
    def composite(self) -> dict[str, Any]:
        """The suite's composite as it was configured; empty where it has none."""
        return dict((self.config.get("suite") or {}).get("composite") or {})

    @property
    def strategy(self) -> str:
        """The configured strategy; `TaskSummary.strategy` says which tasks it was applied to."""
        return str(self.config.get("strategy", {}).get("kind", "single"))

    @property
    def tokens_per_s(self) -> float:
        """Prompt and generated tokens of all tasks per second of `serve_s`; NaN if nothing ran."""
        total = sum(task.num_prompt_tokens + task.num_generated_tokens for task in self.tasks)
        return total / self.serve_s if total and self.serve_s else float("nan")
