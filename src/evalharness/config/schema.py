"""The schema of a run's configuration. Values live in `configs/*.yaml`; a key that isn't here is refused.

Not frozen, because OmegaConf can't merge into frozen dataclasses. `Any` only where the user passes arguments through.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING


class Variant(Enum):
    """How the weights were trained."""

    base = "base"
    instruct = "instruct"


class Device(Enum):
    """Where the engine runs; `auto` takes the GPU when there is one."""

    auto = "auto"
    gpu = "gpu"
    cpu = "cpu"


class EngineKind(Enum):
    """`vllm` is the engine.

    `hf` (transformers) is the plain reference; `fake` needs no weights; `replicas` are several of one of these, as Ray
    actors; `openai` is a server that runs already.
    """

    vllm = "vllm"
    hf = "hf"
    fake = "fake"
    replicas = "replicas"
    openai = "openai"


class Scoring(Enum):
    """How log-likelihoods are computed."""

    prefix = "prefix"
    """A context once for all its continuations, out of the engine's prefix cache."""
    plain = "plain"
    """Every continuation with its context in full: slow, and what the other is checked against."""


class PromptFormat(Enum):
    """How engine=openai sends a prompt."""

    token_ids = "token_ids"
    text = "text"
    """For servers that take nothing else; a prompt that doesn't come out of the tokenizer as it went in is refused."""


class Resume(Enum):
    """What a run does with an unfinished one of the same weights, tasks and settings."""

    auto = "auto"
    """Continue it, when there is one."""
    never = "never"
    must = "must"
    """Continue it, or refuse."""


class LimitFrom(Enum):
    """Which docs a limit takes."""

    random = "random"
    """Drawn by `run.limit_seed`, each category with its share: the same docs for every checkpoint and engine."""
    first = "first"
    """The first docs, as lm-eval takes them: often of one kind, so that they say little of the rest."""


class StrategyKind(Enum):
    """How requests become an answer."""

    single = "single"
    """One request, one answer."""
    repeats = "repeats"
    """k draws of every doc: mean@k, pass@k, majority@k."""
    self_correct = "self_correct"
    """Rounds of critique and a new answer, beside what as many tokens do without critique."""
    verify = "verify"
    """k draws, each judged by the model itself: the best of them against mean and majority."""
    budget = "budget"
    """Thinking ended at several budgets, each with the answer that is forced then."""


class Domain(Enum):
    """What a suite measures."""

    capability = "capability"
    safety = "safety"


class Truncation(Enum):
    """What happens to a prompt longer than the context."""

    none = "none"
    """Recorded as `context_overflow`; the sample isn't scored."""
    left = "left"
    """The oldest tokens are dropped; the manifest says so."""


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
    """Where the date is written: a link."""
    parent: str | None = None
    """Name of the model entry this one was made from."""
    adapter: str | None = None
    """LoRA adapter over the base: a folder or Hub id in PEFT format."""
    adapter_revision: str | None = None
    chat: bool | None = None
    """Apply the chat template. null: yes for `instruct`, no for `base`."""
    chat_template: str | None = None
    """File with a Jinja template that replaces the checkpoint's own, or the name of one of several that it has."""
    chat_template_args: dict[str, Any] = field(default_factory=dict)
    """Passed to the template, e.g. {enable_thinking: true}."""
    template_date: str | None = None
    """ISO date that a template which writes today's date takes for today; null: the day the run was first started."""
    system_instruction: str | None = None
    think_start: str | None = None
    """Tag that opens the model's thinking, e.g. <think>; null when the model has none."""
    think_end: str | None = None
    is_text_only: bool = False
    """A natively multimodal checkpoint is loaded without room for images."""
    license: str | None = None
    notes: str | None = None
    allow_pickle: bool = False
    """Load .bin/.pt weights, which can run code when they are read."""
    trust_remote_code: bool = False
    """Run Python code that came with the checkpoint."""


@dataclass(kw_only=True)
class EngineConfig:
    """How the checkpoint is run: configs/engine/<name>.yaml. Names are vLLM's where vLLM has one."""

    kind: EngineKind = EngineKind.vllm
    device: Device = Device.auto
    dtype: str = "auto"
    """auto: the checkpoint's own on a GPU, float32 on a CPU (3 to 5 times faster there than bfloat16 without AMX)."""
    quantization: str | None = None
    """null: what the checkpoint's config says (gptq, awq, fp8, ...)."""
    max_model_len: int | None = None
    """Tokens of prompt and answer together; null: the checkpoint's context length, as far as memory allows."""
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    num_replicas: int | None = None
    """Engines that `replicas` starts; null: as many as the GPUs hold (GPUs / (tensor_parallel_size *
    pipeline_parallel_size)). On a CPU, where they divide the cores, it must be given."""
    replica_kind: EngineKind = EngineKind.vllm
    """What each of the replicas is."""
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
    """An answer is the same whatever else is in the batch: vLLM's batch-invariant mode, slower. Refused where vLLM hasn't
    got it (CPUs, GPUs before compute capability 8.0, most quantized weights)."""
    base_url: str | None = None
    """Of engine=openai: where its /completions is, e.g. http://localhost:8000/v1."""
    served_model: str | None = None
    """The model's name there; null: the only one it serves."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; null: the server asks for none. The key itself is written
    nowhere."""
    timeout_s: float = 600.0
    """A request without an answer for so long is sent again; it counts waiting in the server's own queue."""
    num_retries: int = 8
    """How often a request is sent again that was refused for now (429, 5xx), timed out or lost; about 40 s of growing
    pauses, unless the server names its own (Retry-After)."""
    prompt_format: PromptFormat = PromptFormat.token_ids
    extra: dict[str, Any] = field(default_factory=dict)
    """Any further vLLM engine argument; for engine=openai, any further field of a request's body."""

    @property
    def computes(self) -> EngineKind:
        """The kind of engine that answers: what the numbers depend on, whether there is one of it or several."""
        return self.replica_kind if self.kind is EngineKind.replicas else self.kind


@dataclass(kw_only=True)
class RayConfig:
    """Where engine=replicas finds its machines."""

    address: str | None = None
    """null: Ray is started for this run, on this machine; auto or host:port joins a cluster that is there."""


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
    """Of sampled answers; each sample's own seed is derived from it, the task, the doc and the repeat."""


@dataclass(kw_only=True)
class StrategyConfig:
    """How a generative task's requests become answers: configs/strategy/<name>.yaml. Other tasks run as they are."""

    kind: StrategyKind = StrategyKind.single
    k: int = 8
    """Draws of each doc, for repeats and verify."""
    temperature: float = 0.7
    """Of draws, where neither sampling.temperature nor the task has one above 0."""
    rounds: int = 2
    """Corrections, for self_correct."""
    max_critique_toks: int = 256
    """Limit of a critique, for self_correct; the task's own limit holds for a thinking model."""
    critique: str = ""
    """What is said to the model for a critique of its answer."""
    correct: str = ""
    """What is said to it after its critique."""
    reanswer: str = ""
    """What is said to it in the control without critique."""
    verify: str = ""
    """The yes-or-no question whose probability of yes is a draw's rank, for verify."""
    budgets: list[int] = field(default_factory=list)
    """Thinking tokens, for budget."""


@dataclass(kw_only=True)
class TaskConfig:
    """What a suite changes in a task. null leaves the task's own value."""

    num_fewshot: int | None = None
    limit: int | None = None
    """So many docs at most; which ones, `run.limit_from` says."""
    repeats: int | None = None
    metric: str | None = None
    """The metric shown first; null: the task's first."""
    filter: str | None = None
    """The filter shown first; null: the task's first."""
    gen_kwargs: dict[str, Any] = field(default_factory=dict)
    """Merged over the task's generation_kwargs."""
    cluster: str | None = None
    """Jinja template over a doc, e.g. "{{passage}}": docs that give the same text share a source, and intervals are
    cluster-robust. null: the task's own (`metadata: {cluster: ...}`)."""
    stratify: str | None = None
    """Field of a doc, or Jinja template over it, that says its category: a random limit takes each category's share.
    null: the task's own (`metadata: {stratify: ...}`), else its field group, category, subject or generator; "": none."""


@dataclass(kw_only=True)
class CompositeConfig:
    """One number over a suite's tasks: the mean of their main metrics, with equal weight."""

    name: str = MISSING
    """Stands as a task of this name in the metrics."""
    title: str = ""
    version: str = "1"
    definition: str = ""
    """What the number is, in one sentence."""
    note: str = ""
    """What a reader has to know, said wherever the number is shown."""
    target: float | None = None
    """Drawn as a line; 0 to 1."""
    parts: list[str] = field(default_factory=list)
    """Tasks of the suite whose main metric lies in 0 to 1, 1 the best."""


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
    """null: the tasks' scores stand by themselves."""
    modified: list[str] = field(default_factory=list)
    """Found, not set: in what the run's tasks aren't those of the suite's file (+task, -task, task.key)."""


@dataclass(kw_only=True)
class RunConfig:
    """The run itself."""

    id: str | None = None
    """Folder name under results_dir; null: date, model and suite."""
    seed: int = 1234
    """Few-shot draws and everything else random that isn't sampling (lm-eval's default, for parity)."""
    limit: int | None = None
    """So many docs of every task at most; for trying out. The table marks it."""
    limit_from: LimitFrom = LimitFrom.random
    limit_seed: int = 0
    """Of the docs that a random limit takes; runs of other docs aren't comparable, so another seed is another experiment."""
    resume: Resume = Resume.auto
    reuse: bool = True
    """Take responses that other runs in results_dir have for the same requests; only of the same weights, numerics and
    sampling."""
    truncation: Truncation = Truncation.none
    fewshot_as_multiturn: bool | None = None
    """Few-shots as chat turns; null: yes when the chat template is on."""
    rolling_as_lm_eval: bool = False
    """Of a whole text that is scored (perplexities), what the tokenizer adds to it is scored too, as lm-eval does: the
    probability of a BOS after the BOS. For comparing with lm-eval's numbers; without it, only the text's own tokens count."""
    max_error_rate: float = 0.01
    """A task with a larger share of failed samples is `failed`: no score is shown for it."""
    scorer_timeout_s: float = 60.0
    """A task's own code (scorer, filter, template, prompt, a step of a conversation) may take so long for one sample; it is
    that sample's error then."""
    allow_unsafe_code: bool = False
    """Run tasks that execute model-written code (humaneval, mbpp)."""


@dataclass(kw_only=True)
class DataConfig:
    """Where datasets come from."""

    mirror: str | None = None
    """Folder laid out as <org>/<name>; Hub ids found there are read from it and the network isn't touched."""
    offline: bool = False
    """Never ask the Hub for anything."""


@dataclass(kw_only=True)
class TasksConfig:
    """Whose tasks may run."""

    trust: bool = False
    """Run the code of tasks in `./tasks` without the question that is asked once for a folder; those that ship with the
    harness and lm-eval's own are always trusted. EVALHARNESS_TASKS_TRUST=true does the same for every verb."""


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
