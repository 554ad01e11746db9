"""May two scores be compared? Finds what they depend on besides the weights: manifests in, differences and doubts out.

One check for all verbs that pair or rank. A difference keeps two scores apart unless the user says otherwise; what a
run doesn't record is never silently taken as equal.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from evalharness.store.records import (
    Manifest,
    TaskSummary,
)

HINT = "--any-prompt compares it all the same"
_GENERATES = "generate_until"
"""The kind of a task whose answers are generated."""
_SHORT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a score of a task or group depends on besides the weights; "" if unknown."""

    engine: str
    """fake or real, as answers of the fake engine represent no model."""
    metric: str
    filter: str
    version: str
    """The task's."""
    shots: str
    draw: str
    """The seed of the few-shots; the same for all if there are none."""
    prompt: str
    """Hash of everything that determines the requests."""
    sampling: str
    """How answers are drawn, "none" if none are generated; for older runs, what was set over the tasks' own (`_SET`)."""
    scoring: str
    """Hash of the whole task, which with equal prompts is that of filters and metrics."""
    docs: str
    """Fingerprint of the docs that were asked."""
    num_docs: str
    """n of N."""
    chat: str
    template: str
    """What replaces the model's own template, with its arguments and system text."""
    date: str
    """The date that the template writes as today's."""
    lm_eval: str
    """lm-eval's version: its filters and metrics are code."""


Field = Literal[
    "engine", "metric", "filter", "version", "shots", "draw", "prompt", "sampling", "scoring", "docs", "chat", "template", "date",
    "lm_eval",
]  # fmt: skip

OF_RUN: tuple[Field, ...] = ("engine", "chat", "template", "date", "lm_eval")
"""The settings that all scores of a run share."""
FINAL: tuple[Field, ...] = ("engine", "version")
"""Settings that no flag overrides, because such scores measure different things."""
NAMES: dict[Field, str] = {
    "engine": "engine",
    "metric": "metric",
    "filter": "filter",
    "version": "task version",
    "shots": "shots",
    "draw": "few-shot draws",
    "prompt": "prompt or generation settings",
    "sampling": "sampling",
    "scoring": "scoring",
    "docs": "docs",
    "chat": "chat template on or off",
    "template": "chat template",
    "date": "date in the chat template",
    "lm_eval": "lm-eval version",
}
"""Their names for a reader."""
_FOLLOWS: dict[Field, tuple[Field, ...]] = {
    "draw": ("shots",),
    "prompt": ("shots", "version"),
    "scoring": ("shots", "version", "prompt"),
    "template": ("chat",),
    "date": ("chat",),
}
"""Settings that follow from another that differs."""


class Difference(NamedTuple):
    """A difference between two scores."""

    field: Field
    text: str

    @property
    def is_final(self) -> bool:
        """Whether no flag overrides it."""
        return self.field in FINAL


def settings(
    run: Manifest, tasks: Sequence[TaskSummary], metric: str = "", filter_: str = ""
) -> Settings:
    """The settings that a run's score of these tasks depends on.

    Args:
        run: its manifest.
        tasks: one, or a group's.
        metric: of the score; "" if two scores share it anyway.
        filter_: the same.
    """
    shots = _joined(str(task.num_fewshot) for task in tasks)
    seed = run.seeds.get("run", run.seeds.get("fewshot"))
    has_shots = any(task.num_fewshot for task in tasks)
    num, available = (sum(getattr(t, n) for t in tasks) for n in ("num_docs", "num_docs_available"))
    is_chat = run.checkpoint.get("is_chat")
    return Settings(
        engine=("fake" if run.is_fake else "real") if run.engine.get("kind") else "",
        metric=metric,
        filter=filter_,
        version=_joined(task.version for task in tasks),
        shots=shots,
        draw="none" if not has_shots else "" if seed is None else str(seed),
        prompt=_hashes(task.request_hash for task in tasks),
        sampling=_sampling(run, tasks),
        scoring=_hashes(task.task_hash for task in tasks),
        docs=_hashes(f"{t.task} {t.dataset_fingerprint}" if t.dataset_fingerprint else "" for t in tasks),
        num_docs=f"all {available}" if num >= available else f"{num} of {available}",
        chat="" if is_chat is None else "with a chat template" if is_chat else "as plain text",
        template=_template(run, is_chat=bool(is_chat)),
        date=run.template_date or "",
        lm_eval=run.packages.get("lm-eval", ""),
    )  # fmt: skip


def differences(a: Settings, b: Settings) -> list[Difference]:
    """The known differences of two scores, the most important first, without those that follow from another."""
    found = [name for name in NAMES if _differs(a, b, name)]
    return [
        Difference(name, _text(name, a, b))
        for name in found
        if not any(cause in found for cause in _FOLLOWS.get(name, ()))
    ]


def unknown(a: Settings, b: Settings, among: Sequence[Field]) -> list[str]:
    """Settings that one of the two doesn't record, so that their equality is unknown."""
    return [
        NAMES[name]
        for name in among
        if name != "date"  # most templates write no date
        and (
            not getattr(a, name) or not getattr(b, name) or (name == "sampling" and _is_mixed(a, b))
        )
        and not any(_differs(a, b, cause) for cause in _FOLLOWS.get(name, ()))
    ]


OF_TASK: tuple[Field, ...] = tuple(name for name in NAMES if name not in OF_RUN)


def task_notes(first: TaskSummary, second: TaskSummary) -> tuple[str, ...]:
    """Remarks on a task's answers in two runs, besides differences in its settings."""
    notes = []
    for run, task in (("first", first), ("second", second)):
        if task.status != "complete":
            notes.append(f"{task.status} in the {run} run")
        if task.bound_low is not None and task.bound_high is not None:
            notes.append(
                f"cut or empty answers in the {run} run: its score is between {task.bound_low:.3f} and {task.bound_high:.3f}"
            )
    return tuple(notes)


def drawn_otherwise(first: TaskSummary, second: TaskSummary) -> tuple[str, ...]:
    """Differences that don't prevent a comparison: another number of repeats estimates the same mean."""
    notes = []
    if first.strategy != second.strategy:
        notes.append(f"strategy {first.strategy} against {second.strategy}")
    if first.repeats != second.repeats:
        notes.append(f"{first.repeats} repeat{'s' * (first.repeats != 1)} against {second.repeats}")
    return tuple(notes)


def run_notes(a: Manifest, b: Manifest) -> tuple[str, ...]:
    """Other differences between two runs, and what isn't known of them."""
    if a.run_id == b.run_id:
        return ("the same run: there is no difference",)
    notes = [FAKE] if a.is_fake and b.is_fake else []
    first, second = settings(a, ()), settings(b, ())
    notes += [found.text for found in differences(first, second) if found.field in OF_RUN]
    if doubts := unknown(first, second, OF_RUN):
        notes.append(f"unverified: {', '.join(doubts)}")
    prints = [run.checkpoint.get("fingerprint") for run in (a, b)]
    if prints[0] == prints[1] and prints[0]:
        notes.append("the same weights")
    elif first.chat == second.chat == "with a chat template":
        hashes = [str(run.checkpoint.get("chat_template_hash") or "") for run in (a, b)]
        if all(hashes) and hashes[0] != hashes[1]:
            notes.append("each with its own chat template")
    if a.suite_version != b.suite_version and a.suite == b.suite:
        notes.append(f"suite version {a.suite_version} against {b.suite_version}")
    notes += [f"{run.run_id}: {text}" for run in (a, b) if (text := suite_changes(run))]
    for what in ("kind", "version", "dtype", "quantization"):
        one, other = (run.engine.get(what) for run in (a, b))
        if one != other and a.engine and b.engine:
            notes.append(f"engine {what} {one} against {other}")
    return tuple(notes)


FAKE = "both runs are of the fake engine, whose answers say nothing about a model"


def suite_changes(run: Manifest) -> str:
    """What was changed in the suite for this run only, in words; empty if nothing was, or if it wasn't recorded."""
    changes = (run.config.get("suite") or {}).get("modified") or []
    return f"modified suite ({', '.join(map(str, changes))})" if changes else ""


def added_tasks(run: Manifest) -> frozenset[str]:
    """Tasks and groups that were added to the suite's for this run."""
    changes = (run.config.get("suite") or {}).get("modified") or []
    added = {str(change)[1:] for change in changes if str(change).startswith("+")}
    return frozenset(added | {task.task for task in run.tasks if task.group in added})


def _differs(a: Settings, b: Settings, name: Field) -> bool:
    first, second = getattr(a, name), getattr(b, name)
    if name == "sampling" and _is_mixed(a, b):
        return False
    if name == "docs" and a.num_docs != b.num_docs and a.num_docs and b.num_docs:
        return not (first and first == second)  # the same docs of a dataset that has grown
    return bool(first and second and first != second)


def _text(name: Field, a: Settings, b: Settings) -> str:
    first, second = getattr(a, name), getattr(b, name)
    match name:
        case "engine":
            return "the fake engine's answers against a model's"
        case "shots":
            return f"{first} shots against {second}"
        case "prompt":
            return "another prompt or other generation settings"
        case "scoring":
            own, other = (_short(x, y) for x, y in ((first, second), (second, first)))
            return f"scored differently (filter or metric changed: task {own} against {other})"
        case "sampling":
            return f"sampling {_other_parts(first, second)} against {_other_parts(second, first)}"
        case "docs" if a.num_docs != b.num_docs:
            return f"{a.num_docs} docs against {b.num_docs}"
        case "docs":
            return f"other docs ({a.num_docs} each)"
        case "chat":
            return f"prompted {first} against {second}"
        case "template":
            return f"chat template {first} against {second}"
        case "date":
            return f"the chat template writes {first} against {second} as today's date"
    return f"{NAMES[name]} {first} against {second}"


_SET, _OR = "as set: ", " or "


def _sampling(run: Manifest, tasks: Sequence[TaskSummary]) -> str:
    own = run.config.get("sampling")
    given = {k: v for k, v in (own or {}).items() if v is not None and k != "seed"}
    set_ = _SET + (", ".join(f"{name} {value}" for name, value in given.items()) or "nothing")
    found = set()
    for task in tasks:
        if task.sampling or not task.kind:
            found.add(task.sampling)
        elif task.kind != _GENERATES:
            found.add("none")
        else:
            found.add(set_ if own else "")
    return "" if "" in found else _OR.join(sorted(found))


def _is_mixed(a: Settings, b: Settings) -> bool:
    """Whether only one records how answers were drawn, and the other just what was set over the tasks' own."""
    return (_SET in a.sampling) != (_SET in b.sampling)


def _other_parts(sampling: str, other: str) -> str:
    """The part of it that the other doesn't have."""
    own, others = sampling.split(_OR), other.split(_OR)
    found = ([one for one in own if one not in others] or own)[0]
    theirs = ([one for one in others if one not in own] or others)[0].split(", ")
    return ", ".join(part for part in found.split(", ") if part not in theirs) or "without"


def _template(run: Manifest, *, is_chat: bool) -> str:
    """What the user did to the model's chat template; unknown of runs that another program made."""
    if run.is_imported:
        return ""
    model = run.config.get("model") or {}
    names = ("system_instruction", *(("chat_template", "chat_template_args") if is_chat else ()))
    given = [f"{name}={json.dumps(model[name], sort_keys=True, default=str)}" for name in names if model.get(name)]  # fmt: skip
    return ", ".join(given) or "unchanged"


def _short(hashes: str, others: str) -> str:
    """The first of a group's hashes that the other doesn't have, shortened."""
    own = [one for one in hashes.split("+") if one not in others.split("+")]
    return (own or [hashes])[0][:_SHORT]


def _joined(values: Iterable[str]) -> str:
    return "/".join(sorted(set(values)))


def _hashes(values: Iterable[str]) -> str:
    """One value for all; unknown if any is."""
    found = sorted(set(values))
    return "" if not found or "" in found else "+".join(found)
