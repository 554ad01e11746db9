"""Small stores for the viewer's tests: every kind of sample, two runs, and text that would like to do something."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from evalharness.store.read import iter_samples, load_manifest
from evalharness.store.records import (
    CurvePoint,
    SampleRecord,
    ScoredChoice,
    TurnRecord,
)
from evalharness.store.write import RunWriter
from stores import make_run

EVIL = (
    "<script>alert(1)</script><img src=x onerror=alert(2) id=evil>\"'</pre></details>{{ 7 * 7 }}"
    "<a href='javascript:alert(3)'>go</a>\x1b[31mred\x1b[0m\x00\x07 \u202egnirts\u202c \u2066iso\u2069 end"
)
CHAT = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQuestion {}: what colour is the {}?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
FIRST, SECOND, ODD = "first-run", "second-run", "odd-run"
NUM_COLOURS = 120


def make_store(results_dir: Path) -> Path:
    """Runs FIRST and SECOND of the task `colours`; ODD with texts, choices, filters, turns and a strange task name."""
    first = [float(i % 3 == 0) for i in range(NUM_COLOURS)]
    second = [float(i % 3 == 0) for i in range(NUM_COLOURS)]
    first[4] = None  # type: ignore[call-overload]
    second[5], second[6] = 1.0, 0.0
    make_run(results_dir, FIRST, "alpha", "small", {"colours": first})
    make_run(results_dir, SECOND, "beta", "small", {"colours": second})
    for run_id in (FIRST, SECOND):
        rewrite(results_dir / run_id, "colours", [_colour(i) for i in range(NUM_COLOURS)])
    _add_curves(results_dir / FIRST)
    make_run(results_dir, ODD, "gamma", "odd", {"texts": [1.0, 0.0, 1.0], "a/../b <i>": [1.0]})
    rewrite(
        results_dir / ODD,
        "texts",
        [
            {"prompt": EVIL, "response": EVIL, "thinking": EVIL, "answer": EVIL, "target": EVIL},
            {"prompt": "p " * 3000, "response": "x" * 1_000_000, "thinking": "Let me see. " * 20},
            {"response": "[[-1.5, false], [-0.25, true]]", "answer": "[[-1.5, false], [-0.25, true]]",
             "target": "1", "finish_reason": "score", "gold": (1,), "chosen": {"acc": 1},
             "choices": (ScoredChoice("no", -1.5, 1), ScoredChoice("yes <b>", -0.25, 3))},
        ],
    )  # fmt: skip
    _add_filter(results_dir / ODD, "texts")
    _add_turns(results_dir / ODD, "texts")
    return results_dir


def rewrite(run_dir: Path, task: str, changes: list[dict[str, Any]]) -> None:
    """Give a run's samples other fields, by place."""
    samples = [replace(s, **c) for s, c in zip(read(run_dir, task), changes, strict=True)]
    _writer(run_dir).write_samples(task, samples)


def read(run_dir: Path, task: str) -> list[SampleRecord]:
    return list(iter_samples(run_dir, task))


def _colour(i: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "prompt": CHAT.format(i, "Sky" if i == 7 else "sea"),
        "num_generated_tokens": 500 - i,
    }
    match i:
        case 8:
            fields |= {"finish_reason": "length"}
        case 9:
            fields |= {"response": " \n", "answer": ""}
        case 10:
            fields |= {
                "target": "It mirrors the sky.\n#### blue " + EVIL,
                "gold_answer": "blue " + EVIL,
            }
    return fields


def _add_filter(run_dir: Path, task: str) -> None:
    samples = read(run_dir, task)
    other = [
        replace(s, filter="strict", is_main=False, answer="[strict]", scores={"acc": 0.0})
        for s in samples
    ]
    _writer(run_dir).write_samples(task, [*samples, *other])


def _add_turns(run_dir: Path, task: str) -> None:
    samples = read(run_dir, task)
    turns = _writer(run_dir).open_turns(task)
    shared: dict[str, Any] = {
        "task": task, "doc_id": 0, "doc_hash": samples[0].doc_hash, "repeat": 0, "p_yes": None,
        "token_ids": (1, 2, 3), "num_prompt_tokens": 5, "finish_reason": "stop", "latency_s": 0.1,
    }  # fmt: skip
    turns.add(
        [
            TurnRecord(turn=0, arm="", step=0, purpose="answer", message="", text="first try", thinking=EVIL, answer="1",
                       score=0.0, **shared),
            TurnRecord(turn=1, arm="reanswer", step=1, purpose="answer", message="Again?", text="second try", thinking=None,
                       answer="2", score=1.0, **shared),
            TurnRecord(turn=2, arm="correct", step=1, purpose="critique", message="Look again: " + EVIL, text="it was " + EVIL,
                       thinking=None, answer=None, score=None, **shared),
        ]
    )  # fmt: skip
    turns.close()


def _add_curves(run_dir: Path) -> None:
    """Four arms with long names, and flips."""
    point = CurvePoint(
        task="colours", strategy="self_correct", arm="self-correct", x=0, x_name="round", value=0.25, ci_low=0.125,
        ci_high=0.5, n=120, num_tokens=1234.5,
    )  # fmt: skip
    arms = "self-correct", "re-answer", "majority, equal tokens", "random change"
    _writer(run_dir).write_curves(
        replace(point, arm=arm, x=x, value=0.25 + 0.05 * x, gained=x, lost=1, p_value=0.625)
        for arm in arms
        for x in range(3)
    )


def _writer(run_dir: Path) -> RunWriter:
    return RunWriter(run_dir, load_manifest(run_dir))
