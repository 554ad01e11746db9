"""The manifest of a run: what it ran, on what, and the outcome of each task."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from evalharness.config.schema import (
    Config,
    SamplingConfig,
    StrategyKind,
)
from evalharness.engines.requests import (
    Failure,
    Generation,
)
from evalharness.errors import one_line
from evalharness.runner import environment
from evalharness.runner.group_scores import inner_groups
from evalharness.runner.prepare import Prepared
from evalharness.runner.resume import run_identity
from evalharness.runner.sample_values import Doubt
from evalharness.runner.samples import Sample
from evalharness.runner.score import (
    TaskScores,
    is_higher_better,
)
from evalharness.store import layout
from evalharness.store.records import (
    MAX_REASONS,
    Manifest,
    MetricRecord,
    TaskSummary,
)
from evalharness.tasks.loaded_task import (
    OWN_FEWSHOT,
    LoadedTask,
)
from evalharness.tasks.sampling import sampling_params, sampling_words

CUT_REASONS = ("length", "unclosed")
"""The finish reason of a generation that reached its limit."""
_MAX_IN_DOUBT = 0.01
"""If a larger share of answers is cut or empty, a score is shown with its bounds."""
_NUMBER = re.compile(r"(took longer than \S+ s)|\d+")
"""A number in a reason; a time limit is the same for all samples, and stays."""
_REASON_LENGTH = 200
_REASONS_KEPT = 100
"""Most different reasons that a running task remembers, so that memory doesn't grow with the run."""


def begin_manifest(prepared: Prepared, started_at: str) -> Manifest:
    """The manifest of a run that is about to start: its whole input, and nothing of its outcome.

    Args:
        prepared: the run.
        started_at: before it was prepared; ISO 8601, UTC.
    """
    config = prepared.config
    plain = _plain(config)
    return Manifest(
        identity=run_identity(prepared, plain, prepared.template_date),
        groups=inner_groups(prepared.suite.groups, prepared.suite.tasks),
        left_out={broken.name: broken.message for broken in prepared.suite.broken},
        run_id=_run_id(config),
        status="running",
        model=config.model.name,
        suite=config.suite.name,
        suite_version=config.suite.version,
        started_at=started_at,
        config=plain,
        template_date=prepared.template_date,
        remarks=tuple(prepared.remarks),
        checkpoint=dataclasses.asdict(prepared.info) | {"is_chat": prepared.prompting.is_chat},
        packages=environment.package_versions(),
        hardware=environment.hardware(),
        seeds={
            "run": config.run.seed,
            "sampling": config.sampling.seed,
            "engine": config.engine.seed,
        },
    )


def _plain(config: Config) -> dict[str, Any]:
    container = OmegaConf.to_container(OmegaConf.structured(config), resolve=True, enum_to_str=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _run_id(config: Config) -> str:
    if config.run.id:
        return config.run.id
    base = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{config.model.name}-{config.suite.name}"
    return layout.free_id(Path(config.results_dir), base)


@dataclass(slots=True)
class Counts:
    """Counts over a task's samples so far; the names are those of `TaskSummary`."""

    num_samples: int = 0
    num_errors: int = 0
    num_truncated: int = 0
    num_empty: int = 0
    num_context_overflow: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_generated_tokens: int = 0
    num_reused: int = 0
    num_unclosed_thinking: int = 0
    num_split_tokens: int = 0
    num_cut_prompts: int = 0
    num_doubled_bos: int = 0
    num_without_system: int = 0
    num_own_fewshots: int = 0
    num_without_gold: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, sample: Sample) -> None:
        """Count a finished sample; tokens count only if they were computed in this run."""
        self.num_samples += 1
        self._add_prompt(sample)
        failure = sample.failure
        if failure is not None:
            self._add_reason(failure)
        self.num_errors += failure is not None
        self.num_context_overflow += failure is not None and failure.kind == "context_overflow"
        is_reused = bool(sample.responses)
        for response in sample.responses:
            if isinstance(response, Generation):
                self.num_truncated += response.finish_reason in CUT_REASONS
                self.num_unclosed_thinking += response.finish_reason == "unclosed"
                self.num_empty += not response.text.strip()
            if isinstance(response, Failure) or not response.is_reused:
                is_reused = False
            if not isinstance(response, Failure) and not response.is_reused:
                self.num_prompt_tokens += response.num_prompt_tokens
                self.num_cached_tokens += response.num_cached_tokens
                if isinstance(response, Generation):
                    self.num_generated_tokens += len(response.token_ids)
        self.num_reused += is_reused

    def _add_prompt(self, sample: Sample) -> None:
        plan = sample.plans[0]  # the draws of a doc share a prompt
        self.num_split_tokens += plan.num_split_tokens
        self.num_doubled_bos += plan.has_doubled_bos
        self.num_cut_prompts += sample.is_cut
        self.num_without_system += sample.is_without_system
        self.num_own_fewshots += sample.is_own_fewshot
        self.num_without_gold += sample.choices.is_without_gold

    def _add_reason(self, failure: Failure) -> None:
        """Numbers differ between samples with the same reason, so they are left out."""
        reason = _NUMBER.sub(lambda m: m[1] or "N", one_line(f"{failure.kind}: {failure.message}"))
        reason = reason[:_REASON_LENGTH]
        if reason in self.reasons or len(self.reasons) < _REASONS_KEPT:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


def summarize(
    loaded: LoadedTask,
    counts: Counts,
    *,
    wall_s: float,
    max_error_rate: float,
    remarks: Sequence[str] = (),
    sampling: SamplingConfig | None = None,
) -> TaskSummary:
    """The outcome of a task: counts of all that went wrong, tokens, time, identity.

    Args:
        loaded: the task.
        counts: of its samples.
        wall_s: seconds.
        max_error_rate: share of failed samples above which the task is failed.
        remarks: further remarks for the reader.
        sampling: the run's.
    """
    status = task_status(
        counts.num_samples, counts.num_errors, loaded.num_docs * loaded.repeats, max_error_rate
    )
    return TaskSummary(
        task=loaded.name,
        group=loaded.group,
        version=loaded.version,
        num_fewshot=loaded.task.config.num_fewshot or 0,
        repeats=loaded.repeats,
        kind=loaded.kind,
        num_docs=loaded.num_docs,
        num_docs_available=loaded.num_docs_available,
        **dataclasses.asdict(counts) | {"reasons": most_frequent(counts.reasons)},
        wall_s=wall_s,
        dataset=loaded.dataset,
        dataset_fingerprint=loaded.docs_fingerprint(),
        task_hash=loaded.task_hash(),
        request_hash=loaded.request_hash(),
        status=status,
        strategy=loaded.strategy.kind.value,
        sampling=_sampling(loaded, sampling or SamplingConfig()),
        remarks=(*remarks, *_on_prompts(counts), *_on_subset(loaded)),
        limit_from="random" if loaded.subset.is_random else "first",
        limit_seed=loaded.limit_seed if loaded.subset.is_random else None,
        stratified_by=loaded.stratified_by if loaded.subset.is_stratified else "",
    )


def _sampling(loaded: LoadedTask, own: SamplingConfig) -> str:
    if loaded.kind != "generate_until":
        return ""
    draws = loaded.strategy.kind in (StrategyKind.repeats, StrategyKind.verify)
    params = sampling_params(loaded.task.config.generation_kwargs or {}, own)
    return sampling_words(params, loaded.strategy.temperature if draws else 0.0)


def _on_subset(loaded: LoadedTask) -> Iterator[str]:
    """Remarks where a draw from categories isn't proportional."""
    subset = loaded.subset
    if subset.num_raised:
        yield (
            f"{subset.num_raised} of {len(subset.counts)} categories have at least twice their share of the "
            f"{len(subset.doc_ids)} docs, so that each has one"
        )
    if subset.num_empty:
        yield (
            f"{subset.num_empty} of {len(subset.counts)} categories have no doc: the limit of {len(subset.doc_ids)} is smaller "
            "than their number, so docs were drawn regardless of category; a larger run.limit covers all"
        )


def _on_prompts(counts: Counts) -> Iterator[str]:
    """What happened to prompts on the way to the model."""
    of_all = f"of {counts.num_samples} samples"
    if num := counts.num_without_system:
        yield (
            f"the chat template takes no system text, so it is left out in {num} {of_all} "
            "(the task's description, model.system_instruction)"
        )
    if num := counts.num_own_fewshots:
        yield f"the doc itself is among the few-shots of {num} {of_all}, with its answer; {OWN_FEWSHOT}"
    if num := counts.num_without_gold:
        yield (
            f"the right answer is none of the choices in {num} {of_all}, which count as wrong in any case; "
            "`task check` names the docs"
        )
    if num := counts.num_split_tokens:
        what = "choice is" if num == 1 else "choices are"
        yield (
            f"{num} {what} encoded separately from the context, as one token would span both; "
            "`task preview` shows where"
        )
    if num := counts.num_doubled_bos:
        yield f"there is more than one BOS in the prompts of {num} {of_all}; `task preview` shows where"
    if num := counts.num_cut_prompts:
        yield (
            f"the oldest tokens are cut off the prompts of {num} {of_all} (run.truncation=left; a BOS is kept)"
        )


def with_scores(summary: TaskSummary, loaded: LoadedTask, scores: TaskScores) -> TaskSummary:
    """The summary with remarks on the task's scores."""
    main = loaded.main_metric()
    remarks = [
        f"{metric}{'' if filter_ == 'none' else f' ({filter_})'}: {why}"
        for (metric, filter_), why in scores.problems.items()
    ]
    if loaded.task.higher_is_better().get(main[0]) is None:
        remarks.append(f"{main[0]}: the task doesn't say whether higher is better; taken as yes")
    doubt = scores.doubt
    low = high = None
    if doubt is not None and doubt.num_cut > _MAX_IN_DOUBT * doubt.num_scored:
        low, high = doubt.low, doubt.high
        remarks.append(describe_doubt(doubt, is_higher_better(loaded, main[0])))
    return replace(
        summary,
        status="failed" if scores.has_no_score(loaded) else summary.status,
        remarks=(*summary.remarks, *remarks),
        bound_low=low,
        bound_high=high,
    )


def without_score_remarks(summary: TaskSummary, loaded: LoadedTask) -> TaskSummary:
    """The summary without what `with_scores` adds, for samples that are scored again."""
    names = tuple(f"{metric}{end}" for metric in loaded.task.aggregation() for end in (":", " ("))
    kept = [r for r in summary.remarks if not r.startswith(names) and _DOUBT not in r]
    return replace(summary, remarks=tuple(kept), bound_low=None, bound_high=None)


_DOUBT = "were cut by a limit or are empty"


def describe_doubt(doubt: Doubt, higher_is_better: bool) -> str:
    """How much of the score depends on answers that were cut or are empty, in words."""
    share = doubt.num_cut / doubt.num_scored
    percent = float(f"{100 * share:.2g}")
    what = f"{percent:g} % of answers ({doubt.num_cut} of {doubt.num_scored}) {_DOUBT}"
    if doubt.low is None or doubt.high is None:
        return what
    wrong, right = (doubt.low, doubt.high) if higher_is_better else (doubt.high, doubt.low)
    return (
        f"{what}: the score is between {wrong:.3f} (all of them wrong) and {right:.3f} (all right)"
    )


def most_frequent(reasons: Mapping[str, int]) -> dict[str, int]:
    """The reasons that a summary keeps, the most frequent first."""
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    return dict(ordered[:MAX_REASONS])


def task_status(num_samples: int, num_errors: int, num_expected: int, max_error_rate: float) -> str:
    """Complete, partial (samples are missing) or failed (too many of them have no score)."""
    if num_samples and num_errors > max_error_rate * num_samples:
        return "failed"
    return "complete" if num_samples == num_expected else "partial"


def what_failed(summary: TaskSummary) -> str:
    """Why a task is not complete, and the way out if there is one."""
    if summary.status == "partial":
        return f"{summary.num_samples} of {summary.num_docs * summary.repeats} samples"
    if not summary.num_errors and summary.remarks:
        return summary.remarks[0]
    what = f"{summary.num_errors} of {summary.num_samples} samples failed"
    if summary.reasons and summary.num_errors > summary.num_context_overflow:
        what += f" ({next(iter(summary.reasons))})"
    if summary.num_context_overflow:
        what += (
            f", {summary.num_context_overflow} because the prompt is longer than the context "
            "(fewer few-shots, a larger engine.max_model_len, or run.truncation=left)"
        )
    return what


def describe_task(summary: TaskSummary, metrics: list[MetricRecord]) -> str:
    """One line for the log."""
    main = next(m for m in metrics if m.is_main)
    return (
        f"{summary.task}: {summary.num_docs} docs x {summary.repeats}, {main.value:.3f} "
        f"[{main.ci_low:.3f}, {main.ci_high:.3f}], {summary.num_truncated} truncated, "
        f"{summary.num_errors} errors, {summary.wall_s:.0f} s, {summary.tokens_per_s:.0f} tok/s"
    )


def now() -> str:
    """ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
