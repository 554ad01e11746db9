"""Finds and checks everything a run needs, before any weights are loaded and before anything is written."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalharness import checkpoint, strategies
from evalharness.checkpoint import CheckpointInfo
from evalharness.checkpoint.entry import MADE
from evalharness.checkpoint.info import UNVERIFIED
from evalharness.config.schema import (
    Config,
    Resume,
    RunConfig,
    StrategyKind,
    Variant,
)
from evalharness.engines import EngineInfo, Weights, ask_server, describe
from evalharness.engines.determinism import check_deterministic
from evalharness.engines.detokenizer import special_tokens
from evalharness.engines.memory_fit import AS_FITS, fitting_context
from evalharness.engines.spec import speculates
from evalharness.errors import CheckpointError, ConfigError, StoreError, some
from evalharness.runner.needed_context import ENDLESS, needed_context
from evalharness.runner.samples import Prompting
from evalharness.store import layout
from evalharness.store.read import list_runs, load_manifest
from evalharness.tasks.dataset_mirror import go_offline
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.sampling import sampling_params
from evalharness.tasks.suite import (
    LoadedSuite,
    load_suite,
)
from evalharness.tasks.templates import (
    Template,
    check_template,
    choose_template,
    template_remarks,
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Prepared:
    """A run whose input is valid."""

    config: Config
    weights: Weights
    info: CheckpointInfo
    tokenizer: Any
    suite: LoadedSuite
    prompting: Prompting
    max_model_len: int | None
    """The engine's context length; -1: as long as fits; None leaves it to the engine."""
    template_date: str | None = None
    """The date that the chat template writes as today's; None if it writes none."""
    remarks: list[str] = field(default_factory=list)
    """Remarks on the run that are known before it starts."""


def prepare(config: Config) -> Prepared:
    """Find and check everything a run needs, the cheapest checks first."""
    if config.data.offline or config.data.mirror:
        go_offline()
    _check_results(Path(config.results_dir), config.run)
    offline = config.data.offline
    spec = describe(config.engine)
    is_served = spec.is_remote
    path = checkpoint.resolve(config.model, offline, with_weights=not is_served)
    adapter = checkpoint.resolve_adapter(config.model, offline)
    if is_served:
        info = checkpoint.inspect_served(path)
    else:
        info = checkpoint.inspect(path, allow_pickle=config.model.allow_pickle)
        if spec.loads_weights:
            info = _check_weights(config, path, info)
    if adapter:
        info = _with_adapter(config, path, adapter, info)
    _check_made_name(config, info)
    weights = Weights(
        path=path,
        adapter=adapter,
        is_text_only=config.model.is_text_only,
        trust_remote_code=config.model.trust_remote_code,
        allow_pickle=config.model.allow_pickle,
    )
    check_deterministic(config.engine, config.engine.quantization or info.quantization)
    max_model_len = fitting_context(config.engine, config.ray, info)
    is_chat = is_chat_model(config, path)
    tokenizer = load_tokenizer(config, path)
    if spec.loads_weights:
        _check_vocabulary(config, tokenizer, info)
    template = Template(tokenizer, config.model)
    if is_chat:
        check_template(template, config.model)
        _check_conversation(config, tokenizer)
    served = asyncio.run(ask_server(config.engine, weights)) if is_served else None
    suite = load_suite(config)
    if as_they_are := strategies.apply(config.strategy, suite.tasks):
        logger.info(
            "strategy %s can't be applied to %s: run as they are",
            config.strategy.kind.value,
            ", ".join(as_they_are),
        )
    if speculates(config.engine):
        _refuse_drafts(config, suite)
    if served and not served.gives_logprobs:
        _refuse_scoring(served, suite)
    if served and not served.takes_extras:
        _refuse_settings(config, suite)
    remarks = list(template_remarks(template, config.model, is_chat=is_chat))
    if served and not served.keeps_special_tokens:
        remarks += _lost_tokens(config, tokenizer, suite)
    multiturn = config.run.fewshot_as_multiturn
    prompting = Prompting(
        is_chat=is_chat,
        fewshot_as_multiturn=is_chat if multiturn is None else multiturn,
        system_instruction=config.model.system_instruction,
        run_seed=config.run.seed,
    )
    if max_model_len == AS_FITS:  # all of it may not fit: what does the run need?
        lm = EngineLM(tokenizer, ENDLESS, model=config.model, sampling=config.sampling)
        needed = needed_context(suite.tasks, lm, prompting)
        max_model_len = fitting_context(config.engine, config.ray, info, needed)
    return Prepared(
        config=config,
        weights=weights,
        info=info,
        tokenizer=tokenizer,
        suite=suite,
        prompting=prompting,
        max_model_len=max_model_len,
        template_date=template.day if is_chat and template.writes_day else None,
        remarks=remarks,
    )


def _check_weights(config: Config, path: Path, info: CheckpointInfo) -> CheckpointInfo:
    """The checkpoint with remarks on its architecture; weights that don't fit it are refused."""
    check = checkpoint.check_architecture(path, is_text_only=config.model.is_text_only)
    for remark in check.remarks:
        logger.warning("%s: %s", config.model.name, remark)
    return checkpoint.with_check(info, check)


def _check_made_name(config: Config, info: CheckpointInfo) -> None:
    """Refuse a name made from a folder that a run of another checkpoint has: results would take them for one model."""
    is_made = (config.model.notes or "").startswith(MADE)
    if not is_made or info.weights_fingerprint.startswith(UNVERIFIED):
        return
    for run in list_runs(Path(config.results_dir)):
        other = run.checkpoint.get("fingerprint")
        is_known = not str(run.checkpoint.get("weights_fingerprint")).startswith(UNVERIFIED)
        if (
            run.model == config.model.name
            and is_known
            and not run.is_fake
            and other not in (None, info.fingerprint)
        ):
            raise ConfigError(
                f"model {config.model.name!r} is another checkpoint in {config.results_dir!r} (fingerprint {str(other)[:12]} in "
                f"run {run.run_id}, this one has {info.fingerprint[:12]}); model.name=<name> gives this one a name of its own"
            )


def _with_adapter(
    config: Config, path: Path, adapter: Path, info: CheckpointInfo
) -> CheckpointInfo:
    """The checkpoint with its adapter, which is checked against the base before anything is loaded."""
    info = checkpoint.with_adapter(info, checkpoint.inspect_adapter(adapter))
    spec = describe(config.engine)
    if not spec.loads_weights:
        return info
    fitting = checkpoint.fit_adapter(path, adapter)
    why: str | None = "engine=hf merges every adapter"
    if spec.takes_adapters:
        why = fitting.adapter.not_for_vllm
    if why:
        fitting.require_merging()
        logger.info("adapter %s will be merged into the weights: %s", adapter, why)
    remarks = fitting.adapter.remarks(config.model.name, config.model.hub_id, str(path))
    for remark in remarks:
        logger.warning("%s: %s", config.model.name, remark)
    return replace(info, adapter_merged=why, remarks=(*info.remarks, *remarks))


def _check_results(results_dir: Path, run: RunConfig) -> None:
    if run.id is not None and not _may_continue(results_dir / run.id, run.resume):
        layout.check_free(results_dir, run.id)
    folder = results_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(
            f"results_dir {str(results_dir)!r}: can't write to {str(folder)!r}; "
            "choose another with results_dir=<folder>"
        )


def _may_continue(run_dir: Path, resume: Resume) -> bool:
    """Whether there is an unfinished run; whether it is the same experiment is known once the tasks are loaded."""
    if resume is Resume.never or not (run_dir / layout.MANIFEST).is_file():
        return False
    return load_manifest(run_dir).status != "complete"


def _refuse_scoring(served: EngineInfo, suite: LoadedSuite) -> None:
    scored = list(dict.fromkeys(t.group for t in suite.tasks if t.kind != "generate_until"))
    if scored:
        without = " ".join(f"'~suite.tasks.{name}'" for name in scored)
        raise ConfigError(
            f"engine=openai: {served.endpoint} gives no log-likelihoods of prompts, which {', '.join(scored)} "
            f"{'need' if len(scored) > 1 else 'needs'}; leave out {without}, or serve the model with vLLM"
        )


def _refuse_drafts(config: Config, suite: LoadedSuite) -> None:
    scored = list(dict.fromkeys(t.group for t in suite.tasks if t.kind != "generate_until"))
    if config.strategy.kind is StrategyKind.verify:
        scored.append("strategy=verify")
    if scored:
        raise ConfigError(
            f"engine.extra.speculative_config: vLLM gives no log-likelihoods of given tokens while it drafts tokens, and "
            f"{some(scored)} {'need' if len(scored) > 1 else 'needs'} them; leave it out, or run these tasks without it"
        )


def _refuse_settings(config: Config, suite: LoadedSuite) -> None:
    """Settings that the server would have to support beyond OpenAI's."""
    from evalharness.engines.openai.engine import own_settings

    for task in suite.tasks:
        if task.kind == "generate_until":
            wanted = own_settings(
                sampling_params(task.task.config.generation_kwargs, config.sampling)
            )
            if wanted:
                raise ConfigError(
                    f"engine=openai: the server takes no {', '.join(wanted)}, which task {task.name!r} or sampling.* "
                    "sets; leave it out, or serve the model with vLLM"
                )


def _lost_tokens(config: Config, tokenizer: Any, suite: LoadedSuite) -> Iterator[str]:
    """A warning of the tags and stop strings that a server without token ids may leave out of its texts."""
    special = set(special_tokens(tokenizer).values())
    wanted = [config.model.think_start, config.model.think_end]
    for task in suite.tasks:
        if task.kind == "generate_until":
            kwargs = task.task.config.generation_kwargs
            wanted += sampling_params(kwargs, config.sampling).stop
    if lost := [text for text in dict.fromkeys(wanted) if text in special]:
        yield (
            f"the server doesn't report which tokens it generated, and may leave special tokens out of its texts: "
            f"{', '.join(lost)} may then end no thinking and no answer (a vLLM server reports them)"
        )


def _check_conversation(config: Config, tokenizer: Any) -> None:
    """Check that the chat template can continue after an answer, if the strategy needs it."""
    if config.strategy.kind not in (StrategyKind.self_correct, StrategyKind.verify):
        return
    lm = EngineLM(tokenizer, 1, model=config.model)
    prompt = lm.apply_chat_template([{"role": "user", "content": "question"}])
    lm.follow_up(prompt, "answer", "message", is_chat=True)


def is_chat_model(config: Config, path: Path) -> bool:
    """Whether prompts get the chat template.

    Raises:
        CheckpointError: they should, and there is none.
    """
    model = config.model
    is_chat = model.variant is Variant.instruct if model.chat is None else model.chat
    if is_chat and model.chat_template is None and not checkpoint.has_chat_template(path):
        raise CheckpointError(
            f"model {model.name!r}: its tokenizer has no chat template; set model.chat=false for plain "
            "prompts or model.chat_template=<file>"
        )
    return is_chat


def _check_vocabulary(config: Config, tokenizer: Any, info: CheckpointInfo) -> None:
    """A model may have more tokens than its tokenizer, never fewer, except for added ones, which no prompt needs."""
    size, num = info.vocab_size, int(tokenizer.vocab_size)
    if size and num > size:
        raise CheckpointError(
            f"model {config.model.name!r}: its tokenizer has {num} tokens, and config.json says {size}; they are of "
            "different checkpoints: fetch it again."
        )


def load_tokenizer(config: Config, path: Path) -> Any:
    """The checkpoint's tokenizer, with the model entry's chat template.

    Raises:
        CheckpointError: damaged, or the template isn't there.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, trust_remote_code=config.model.trust_remote_code
        )
    except Exception as e:  # transformers may raise anything on a damaged tokenizer
        first = (str(e).splitlines() or [type(e).__name__])[0]
        raise CheckpointError(f"model {config.model.name!r}: tokenizer in {path}: {first}") from e
    choose_template(tokenizer, config.model)
    return tokenizer
