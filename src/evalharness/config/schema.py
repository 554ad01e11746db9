"""The schema of a run's configuration. Values live in `configs/*.yaml`; a key that isn't here is refused.

Not frozen, because OmegaConf can't merge into frozen dataclasses. `Any` only where the user passes arguments through.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING


class Variant(Enum):
    """How the model was trained."""

    base = "base"
    instruct = "instruct"


class Device(Enum):
    """Where the engine runs; `auto` takes the GPU when there is one."""

    auto = "auto"
    gpu = "gpu"
    cpu = "cpu"


class EngineKind(Enum):
    """`vllm` is the engine.

    `hf` (transformers) is the plain reference; `fake` needs no weights; `replicas` is several of one of these, as Ray
    actors; `openai` is a server that is already running.
    """

    vllm = "vllm"
    hf = "hf"
    fake = "fake"
    replicas = "replicas"
    openai = "openai"


class Scoring(Enum):
    """How log-likelihoods are computed."""

    prefix = "prefix"
    """Compute a context once for all its continuations, using the engine's prefix cache."""
    plain = "plain"
    """Compute every continuation with its full context: slow, and the check of the other."""


class PromptFormat(Enum):
    """How engine=openai sends a prompt."""

    token_ids = "token_ids"
    text = "text"
    """For servers that accept only text; a prompt that doesn't survive the tokenizer's round trip is refused."""


class Resume(Enum):
    """What a run does with an unfinished run of the same weights, tasks and settings."""

    auto = "auto"
    """Continue it if there is one."""
    never = "never"
    must = "must"
    """Continue it, or refuse to run."""


class LimitFrom(Enum):
    """Which docs a limit takes."""

    random = "random"
    """Random docs, drawn with `run.limit_seed`, each category in proportion: the same for every checkpoint and engine."""
    first = "first"
    """The first docs, as in lm-eval: often of one kind, so that they say little about the rest."""


class StrategyKind(Enum):
    """How requests become an answer."""

    single = "single"
    """One request, one answer."""
    repeats = "repeats"
    """k draws of every doc: mean@k, pass@k, majority@k."""
    self_correct = "self_correct"
    """Rounds of critique and a new answer, beside what as many tokens do without critique."""
    verify = "verify"
    """k draws, each judged by the model itself: the best of them, compared with mean and majority."""
    budget = "budget"
    """Thinking stopped at several budgets, each with the answer forced at that point."""


class Domain(Enum):
    """What a suite measures."""

    capability = "capability"
    safety = "safety"


class Truncation(Enum):
    """What happens to a prompt longer than the context."""

    none = "none"
    """Recorded as `context_overflow`; the sample isn't scored."""
    left = "left"
    """The oldest tokens are dropped, and the manifest says so."""


@dataclass(kw_only=True)
class ModelConfig:
    """One checkpoint: configs/model/<name>.yaml."""

    name: str = MISSING
    path: str | None = None
    """Folder with config.json, safetensors and tokenizer. Wins over `hub_id`; relative to the working directory."""
    hub_id: str | None = None
    """Repository on the Hugging Face Hub, used when `path` is null."""
    revision: str | None = None
    """Hub branch, tag or commit."""
    family: str | None = None
    variant: Variant = Variant.base
    release_date: str | None = None
    """ISO date of the public release of the weights."""
    release_source: str | None = None
    """Link to the source of the date."""
    reported_as: str | None = None
    """Name under which others report its scores (`evalharness scores models`); null: by its Hub id."""
    parent: str | None = None
    """Name of the model entry this one was made from."""
    adapter: str | None = None
    """LoRA adapter over the base: a folder or Hub id in PEFT format."""
    adapter_revision: str | None = None
    chat: bool | None = None
    """Apply the chat template. null: yes for `instruct`, no for `base`."""
    chat_template: str | None = None
    """File with a Jinja template that replaces the checkpoint's own, or the name of one of the checkpoint's several."""
    chat_template_args: dict[str, Any] = field(default_factory=dict)
    """Passed to the template, e.g. {enable_thinking: true}."""
    template_date: str | None = None
    """ISO date that a template uses as today's date; null: the day the run was first started."""
    system_instruction: str | None = None
    think_start: str | None = None
    """Tag that opens the model's thinking, e.g. <think>; null when the model has none."""
    think_end: str | None = None
    is_text_only: bool = False
    """Load a natively multimodal checkpoint without memory for images."""
    license: str | None = None
    notes: str | None = None
    allow_pickle: bool = False
    """Load .bin/.pt weights, which can run code when read."""
    trust_remote_code: bool = False
    """Run Python code that comes with the checkpoint."""


@dataclass(kw_only=True)
class EngineConfig:
    """How the checkpoint is run: configs/engine/<name>.yaml. Names are vLLM's if it has the setting."""

    kind: EngineKind = EngineKind.vllm
    device: Device = Device.auto
    dtype: str = "auto"
    """auto: the checkpoint's own on a GPU, float32 on a CPU (3 to 5 times faster there than bfloat16 without AMX)."""
    quantization: str | None = None
    """null: as the checkpoint's config says (gptq, awq, fp8, ...)."""
    max_model_len: int | None = None
    """Tokens of prompt and answer together; null: the checkpoint's context length or, where that may not fit, what the
    suite's longest prompt and answer need, as far as memory allows."""
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    num_replicas: int | None = None
    """Engines that `replicas` starts; null: as many as the GPUs hold (GPUs / (tensor_parallel_size *
    pipeline_parallel_size)). On a CPU, where they divide the cores, it must be given."""
    replica_kind: EngineKind = EngineKind.vllm
    """The engine of each replica."""
    gpu_memory_utilization: float = 0.9
    """Share of each GPU's memory for weights and KV cache."""
    cpu_kv_cache_gib: float = 2.0
    """KV cache on a CPU."""
    block_size: int | None = None
    """Tokens per KV block; null: vLLM's on a GPU; on a CPU 16 in float32 on x86, else 32 (share prefixes better than its 128)."""
    enable_prefix_caching: bool = True
    scoring: Scoring = Scoring.prefix
    enforce_eager: bool | None = None
    """Skip compilation and CUDA graphs: starts sooner, runs slower. null: no on a GPU, yes on a CPU (where it starts
    in a third of the time and generates as fast)."""
    max_num_seqs: int | None = None
    """Sequences in one batch; null: vLLM's choice."""
    max_in_flight: int = 512
    """Requests handed to the engine (each replica) at once; bounds memory, more than a batch keeps the engine busy."""
    seed: int = 0
    deterministic: bool = False
    """An answer doesn't depend on the rest of the batch: vLLM's batch-invariant mode, slower. Refused where vLLM lacks
    it (CPUs, GPUs before compute capability 8.0, most quantized weights)."""
    base_url: str | None = None
    """Base URL of engine=openai, which has /completions, e.g. http://localhost:8000/v1."""
    served_model: str | None = None
    """The model's name on the server; null: the only one it serves."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; null: the server needs none. The key itself is never written."""
    timeout_s: float = 600.0
    """A request without an answer for this long is sent again; waiting in the server's own queue counts."""
    num_retries: int = 8
    """Retries of a request that was rejected for now (429, 5xx), timed out or lost; about 40 s of growing pauses in
    all, unless the server gives its own (Retry-After)."""
    prompt_format: PromptFormat = PromptFormat.token_ids
    extra: dict[str, Any] = field(default_factory=dict)
    """Any further vLLM engine argument; for engine=openai, any further field of a request's body."""

    @property
    def computes(self) -> EngineKind:
        """The kind of engine that answers, which the numbers depend on, whether there is one or several."""
        return self.replica_kind if self.kind is EngineKind.replicas else self.kind


@dataclass(kw_only=True)
class RayConfig:
    """Where engine=replicas finds its machines."""

    address: str | None = None
    """null: start Ray for this run, on this machine; auto or host:port: join an existing cluster."""
    allow_mixed: bool = False
    """Let replicas have different GPU models or versions of vLLM, whose answers may differ; the manifest lists them."""


@dataclass(kw_only=True)
class SamplingConfig:
    """How answers are drawn: configs/sampling/<name>.yaml. null leaves the task's own value."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_gen_toks: int | None = None
    """Replaces the task's limit on generated tokens."""
    seed: int = 0
    """Seed of sampled answers; each sample's own seed is derived from it, the task, the doc and the repeat."""


@dataclass(kw_only=True)
class StrategyConfig:
    """How a generative task's requests become answers: configs/strategy/<name>.yaml. Other tasks run as they are."""

    kind: StrategyKind = StrategyKind.single
    k: int = 8
    """Draws per doc, for repeats and verify."""
    temperature: float = 0.7
    """Temperature of draws if neither sampling.temperature nor the task has one above 0."""
    rounds: int = 2
    """Corrections, for self_correct."""
    max_critique_toks: int = 256
    """Token limit of a critique, for self_correct; a thinking model has the task's own limit."""
    critique: str = ""
    """Message that asks the model to critique its answer."""
    correct: str = ""
    """Message after its critique."""
    reanswer: str = ""
    """Message in the control without critique."""
    verify: str = ""
    """The yes-or-no question whose probability of yes ranks a draw, for verify."""
    budgets: list[int] = field(default_factory=list)
    """Budgets in thinking tokens, for budget."""


@dataclass(kw_only=True)
class TaskConfig:
    """What a suite changes in a task. null leaves the task's own value."""

    num_fewshot: int | None = None
    limit: int | None = None
    """At most this many docs; `run.limit_from` says which."""
    repeats: int | None = None
    metric: str | None = None
    """The metric shown first; null: the task's first."""
    filter: str | None = None
    """The filter shown first; null: the task's first."""
    gen_kwargs: dict[str, Any] = field(default_factory=dict)
    """Merged over the task's generation_kwargs."""
    cluster: str | None = None
    """Jinja template over a doc, e.g. "{{passage}}": docs with the same text share a source, and intervals are
    cluster-robust. null: the task's own (`metadata: {cluster: ...}`)."""
    stratify: str | None = None
    """Field of a doc, or Jinja template over it, that gives its category: a random limit takes a share of each category.
    null: the task's own (`metadata: {stratify: ...}`), else its field group, category, subject or generator; "": none."""


@dataclass(kw_only=True)
class CompositeConfig:
    """One number over a suite's tasks: the mean of their main metrics, with equal weight."""

    name: str = MISSING
    """Its name in the metrics, where it is listed like a task."""
    title: str = ""
    version: str = "1"
    definition: str = ""
    """What the number is, in one sentence."""
    note: str = ""
    """What a reader has to know; shown wherever the number is."""
    target: float | None = None
    """Score by chance, drawn as a line; 0 to 1."""
    parts: list[str] = field(default_factory=list)
    """Tasks of the suite whose main metric is from 0 to 1, with 1 the best."""


@dataclass(kw_only=True)
class SuiteConfig:
    """Tasks that are run together: configs/suite/<name>.yaml."""

    name: str = MISSING
    version: str = "1"
    description: str = ""
    domain: Domain = Domain.capability
    """`drift` shows the two side by side."""
    tasks: dict[str, TaskConfig] = field(default_factory=dict)
    """lm-eval task, group or tag -> what to change."""
    composite: CompositeConfig | None = None
    """null: there is no composite."""
    modified: list[str] = field(default_factory=list)
    """Detected, not set: how the run's tasks differ from the suite's file (+task, -task, task.key)."""


@dataclass(kw_only=True)
class RunConfig:
    """The run itself."""

    id: str | None = None
    """Folder name under results_dir; null: date, model and suite."""
    seed: int = 1234
    """Seed of few-shot draws and everything else random except sampling (lm-eval's default, for parity)."""
    limit: int | None = None
    """At most this many docs of every task, for trying out. The table marks it."""
    limit_from: LimitFrom = LimitFrom.random
    limit_seed: int = 0
    """Seed of the docs that a random limit takes; runs of other docs aren't comparable, so another seed is another
    experiment."""
    resume: Resume = Resume.auto
    reuse: bool = True
    """Reuse responses to the same requests from other runs in results_dir, with the same weights, numerics and sampling
    only."""
    truncation: Truncation = Truncation.none
    fewshot_as_multiturn: bool | None = None
    """Few-shots as chat turns; null: yes when the chat template is on."""
    rolling_as_lm_eval: bool = False
    """For a whole text (perplexities), also score what the tokenizer adds to it, as lm-eval does: the probability of a
    BOS after the BOS. For comparing with lm-eval's numbers; without it, only the text's own tokens count."""
    max_error_rate: float = 0.01
    """A task with a larger share of failed samples is `failed` and has no score."""
    scorer_timeout_s: float = 60.0
    """Time limit of a task's own code (scorer, filter, template, prompt, a step of a conversation) for one sample;
    beyond it the sample is an error."""
    feeders: int | None = None
    """Processes that write prompts, encode, score and store, each for a share of the tasks, while the main process serves
    the engine; 0: the main process does it all; null: as many as are worth it, none with fewer than four cores."""
    allow_unsafe_code: bool = False
    """Run tasks that execute model-written code (humaneval, mbpp)."""


@dataclass(kw_only=True)
class DataConfig:
    """Where datasets come from."""

    mirror: str | None = None
    """Folder laid out as <org>/<name>; Hub ids found there are read from it, without network."""
    offline: bool = False
    """Never contact the Hub."""


@dataclass(kw_only=True)
class TasksConfig:
    """Whose tasks may run."""

    trust: bool = False
    """Run the code of tasks in `./tasks` without asking, which otherwise happens once per folder; tasks shipped with
    the harness and lm-eval's own are always trusted. EVALHARNESS_TASKS_TRUST=true does the same for every verb."""


@dataclass(kw_only=True)
class CostConfig:
    """What the machine costs."""

    usd_per_gpu_hour: float | None = None
    """Price of one GPU for one hour; null: no cost is shown."""


@dataclass(kw_only=True)
class Config:
    """A whole run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    run: RunConfig = field(default_factory=RunConfig)
    data: DataConfig = field(default_factory=DataConfig)
    tasks: TasksConfig = field(default_factory=TasksConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    cost: CostConfig = field(default_factory=CostConfig)
    results_dir: str = "results"
