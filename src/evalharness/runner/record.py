"""Samples as they are stored: a row per filter, with the prompt, the response and the scores.

The `response` column holds lm-eval's responses, from which a sample can be scored again: the text if there is one, else
JSON, one entry per instance: `[logprob, is_greedy]` for a continuation, a number for a rolling log-likelihood, a text
for a generation; a list of such entries where the task draws several answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance

from evalharness.engines.requests import (
    Failure,
    Generation,
    Scores,
)
from evalharness.runner.manifest import (
    CUT_REASONS,
    Counts,
)
from evalharness.runner.metric_values import numbers
from evalharness.runner.samples import Sample
from evalharness.runner.score import (
    Answer,
    Scored,
    TaskScorer,
    TaskScores,
)
from evalharness.store.records import (
    Attempt,
    SampleRecord,
    ScoredChoice,
    TurnRecord,
)
from evalharness.store.write import SampleWriter, TurnWriter
from evalharness.tasks.choices import Choices, chosen_by
from evalharness.tasks.loaded_task import LoadedTask


class Recorder:
    """A task's samples on their way to disk: scored as they finish, counted, stored, forgotten."""

    def __init__(
        self, loaded: LoadedTask, writer: SampleWriter, turns: TurnWriter | None = None
    ) -> None:
        """Start with no finished sample.

        Args:
            loaded: the task.
            writer: takes its samples.
            turns: takes the turns of its conversations; None for a task that holds none.
        """
        self.counts = Counts()
        self.attempts: list[Attempt] = []
        """Of all conversations; what the strategy's curve is computed from."""
        self._loaded, self._writer, self._turns = loaded, writer, turns
        self._scorer = TaskScorer(loaded)

    def add(self, sample: Sample) -> None:
        """Add a finished sample."""
        by_filter: Mapping[str, Scored] = {}
        answers = self._score_answers(sample)
        if sample.failure is None:
            scored = self._scorer.score(
                sample.doc_id, sample.repeat, sample.instances, is_cut=is_cut(sample)
            )
            if isinstance(scored, Failure):
                sample.responses.append(scored)
            else:
                by_filter = scored
        self.counts.add(sample)
        self._writer.add(sample_rows(self._loaded, sample, by_filter))
        if self._turns is not None:
            self._turns.add(turn_rows(self._loaded, sample, answers))
        if sample.failure is None:
            self.attempts += attempts(sample, answers)

    def finish(self) -> TaskScores:
        """Finish the samples' file, and give the metrics over them."""
        self._writer.close()
        if self._turns is not None:
            self._turns.close()
        return self._scorer.finish()

    def discard(self) -> None:
        """Leave no half-written file."""
        self._writer.discard()
        if self._turns is not None:
            self._turns.discard()

    def _score_answers(self, sample: Sample) -> dict[int, Answer]:
        """Id of a turn -> its answer, for the turns that are scored; one that can't be scored fails the sample."""
        answers: dict[int, Answer] = {}
        for tried in sample.attempts:
            if id(tried.turn) in answers or sample.failure is not None:
                continue
            answer = self._scorer.score_answer(sample.instances, tried.turn.text)
            if isinstance(answer, Failure):
                sample.responses.append(answer)
            else:
                answers[id(tried.turn)] = answer
        return answers


def is_cut(sample: Sample) -> bool:
    """Whether its answer (the final one of a conversation) was ended by a limit or is empty."""
    found = [r for r in sample.responses if isinstance(r, Generation)]
    if sample.turns:
        found = [t.generation for t in sample.turns if t.generation and t.purpose == "answer"][-1:]
    return any(r.finish_reason in CUT_REASONS or not r.text.strip() for r in found)


def sample_rows(
    loaded: LoadedTask, sample: Sample, by_filter: Mapping[str, Scored]
) -> list[SampleRecord]:
    """One row per filter.

    Args:
        loaded: the task.
        sample: finished.
        by_filter: its scores; empty when it failed.
    """
    failure, instance = sample.failure, sample.instances[0]
    generations = [r for r in sample.responses if isinstance(r, Generation)]
    finish_reason = generations[0].finish_reason if generations else "score"
    shared: dict[str, Any] = {
        "task": loaded.name,
        "doc_id": sample.doc_id,
        "doc_hash": loaded.doc_hash(sample.doc_id),
        "cluster": loaded.cluster(sample.doc_id),
        "repeat": sample.repeat,
        "prompt": str(instance.args[0]),
        "target": sample.target,
        "response": response_text(sample.instances),
        "thinking": generations[0].thinking if generations else None,
        "finish_reason": "error" if failure and failure.kind != "scoring" else finish_reason,
        "num_prompt_tokens": sum(getattr(r, "num_prompt_tokens", 0) for r in sample.responses),
        "num_generated_tokens": sum(len(g.token_ids) for g in generations),
        "latency_s": max((getattr(r, "latency_s", 0.0) for r in sample.responses), default=0.0),
        "error": failure_text(failure),
    }
    found = logprobs(sample.instances) if sample.choices.texts and failure is None else []
    choices = _scored_choices(sample, found)
    shared |= {"choices": choices, "gold": sample.choices.gold if choices else ()}
    nothing = Scored("", {})
    main_filter = loaded.main_metric()[1]
    rows = []
    for filter_ in loaded.filters():
        scored = by_filter.get(filter_, nothing)
        rows.append(
            SampleRecord(
                **shared,
                filter=filter_,
                is_main=filter_ == main_filter,
                answer=scored.answer,
                scores=numbers(scored.scores),
                gold_answer=scored.gold_answer,
                chosen=chosen_by(sample.choices, found, scored.scores) if choices else {},
            )
        )
    return rows


def _scored_choices(sample: Sample, found: Sequence[float]) -> tuple[ScoredChoice, ...]:
    """The sample's choices with their log-likelihoods; none of a failed one, and where no choices are asked."""
    if not found:
        return ()
    scored = [c for r in sample.responses if isinstance(r, Scores) for c in r.continuations]
    return paired_choices(sample.choices, found, [c.num_tokens for c in scored])


def paired_choices(
    choices: Choices, found: Sequence[float], num_tokens: Sequence[int | None]
) -> tuple[ScoredChoice, ...]:
    """The choices with their log-likelihoods; nothing where the task asks something else for them.

    Args:
        choices: of the doc.
        found: log-likelihoods of its requests, the choices' first.
        num_tokens: of each choice, where it is known.
    """
    if len(found) < len(choices.texts):
        return ()
    nums = [*num_tokens, *[None] * len(choices.texts)]
    return tuple(map(ScoredChoice, choices.texts, found, nums))


def logprobs(instances: Sequence[Instance]) -> list[float]:
    """Of a sample's log-likelihood requests, in their order."""
    in_order = [i.resps[0] for i in sorted(instances, key=lambda i: i.idx)]
    return [float(said[0]) for said in in_order if isinstance(said, tuple | list)]


def turn_rows(
    loaded: LoadedTask, sample: Sample, answers: Mapping[int, Answer]
) -> list[TurnRecord]:
    """A conversation's turns, in order; up to the failure if it failed."""
    rows = []
    for number, turn in enumerate(sample.turns):
        answer, generation = answers.get(id(turn)), turn.generation
        rows.append(
            TurnRecord(
                task=loaded.name,
                doc_id=sample.doc_id,
                doc_hash=loaded.doc_hash(sample.doc_id),
                repeat=sample.repeat,
                turn=number,
                arm=turn.arm,
                step=turn.step,
                purpose=turn.purpose,
                message=turn.message,
                text=turn.text,
                thinking=generation.thinking if generation else None,
                answer=answer.text if answer else None,
                score=answer.score if answer else None,
                p_yes=turn.p_yes,
                token_ids=generation.token_ids if generation else (),
                num_prompt_tokens=turn.num_prompt_tokens,
                finish_reason=generation.finish_reason if generation else "score",
                latency_s=turn.latency_s,
            )
        )
    return rows


def attempts(sample: Sample, answers: Mapping[int, Answer]) -> list[Attempt]:
    """A conversation's scored answers, with what they count for."""
    return [
        Attempt(
            doc_id=sample.doc_id,
            repeat=sample.repeat,
            arm=tried.arm,
            step=tried.step,
            answer=answers[id(tried.turn)].text,
            score=answers[id(tried.turn)].score,
            num_tokens=tried.num_tokens,
            p_yes=tried.p_yes,
        )
        for tried in sample.attempts
    ]


def failure_text(failure: Failure | None) -> str | None:
    """The `error` column."""
    return f"{failure.kind}: {failure.message}" if failure else None


def response_text(instances: Sequence[Instance]) -> str:
    """The `response` column of a sample, from its instances; empty when one of them has no answer."""
    if not all(i.resps for i in instances):
        return ""
    entries = [i.resps[0] if len(i.resps) == 1 else i.resps for i in instances]
    if len(entries) == 1 and isinstance(entries[0], str):
        return entries[0]
    return json.dumps(entries)


def parse_response(
    text: str, kind: str, *, num_instances: int | None, num_draws: int
) -> list[list[Any]]:
    """lm-eval's `resps` of each instance, from the `response` column.

    Args:
        text: of a sample that didn't fail.
        kind: the task's output type.
        num_instances: number of the sample's instances; None for as many as are stored, and for a generation.
        num_draws: answers per instance.

    Raises:
        ValueError: the text isn't what `response_text` writes for such a task.
    """
    if kind == "generate_until" and num_instances in (None, 1) and num_draws == 1:
        return [[text]]
    entries = json.loads(text)
    if not isinstance(entries, list) or num_instances not in (None, len(entries)):
        raise ValueError(f"not a list of {num_instances or 'some'} responses")
    draws = [[entry] if num_draws == 1 else entry for entry in entries]
    return [[tuple(x) if isinstance(x, list) else x for x in entry] for entry in draws]
