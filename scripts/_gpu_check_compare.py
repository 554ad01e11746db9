"""Two runs of gpu_check's suite side by side: log-likelihoods and texts."""

from __future__ import annotations

from typing import Any

from _verbs import FailedStepError

CHOICES = ("arc_easy_sample", "truthfulqa_mc2_sample")
TEXTS = "gsm8k_sample"
TOLERANCE = {"bfloat16": 1e-2, "float16": 1e-2, "float32": 1e-3}
"""Nats per token that two ways of computing a log-likelihood may be apart."""


def compare(check: Any, run_id: str, with_id: str = "prefix") -> tuple[str, dict[str, Any]]:
    """Log-likelihoods and texts of two runs.

    Raises:
        FailedStepError: they are further apart than rounding explains.
    """
    dtype = check.manifests[run_id]["engine"]["dtype"]
    tolerance = TOLERANCE[dtype]
    differences, num_argmax, num = [0.0], 0, 0
    for task in CHOICES:
        others = check.samples(with_id, task)
        for doc_id, sample in check.samples(run_id, task).items():
            if error := sample.error or others[doc_id].error:
                raise FailedStepError(f"{task}, doc {doc_id}: {error}")
            pairs = list(zip(sample.choices, others[doc_id].choices, strict=True))
            apart = [abs(a.logprob - b.logprob) / max(a.num_tokens or 1, 1) for a, b in pairs]
            differences += apart
            num += 1
            best = max(pairs, key=lambda pair: pair[0].logprob)
            margin = max(b.logprob for _, b in pairs) - best[1].logprob
            # A tie may fall either way.
            num_argmax += margin > 2 * tolerance * max(best[0].num_tokens or 1, 1)
    texts, others = check.samples(run_id, TEXTS), check.samples(with_id, TEXTS)
    same = sum(sample.response == others[i].response for i, sample in texts.items())
    figures = {
        "dtype": dtype,
        "max_difference_per_token": max(differences),
        "other_argmax": num_argmax,
        "docs": num,
        "same_texts": [same, len(texts)],
    }
    said = (
        f"{max(differences):.1e} nats per token apart at most ({dtype}; {tolerance:g} allowed), {num_argmax} of {num} with "
        f"another choice, {same} of {len(texts)} texts the same"
    )
    if max(differences) > tolerance or num_argmax:
        raise FailedStepError(said)
    return said, figures


def cached_share(manifest: dict[str, Any]) -> float:
    """Of the tokens of scored prompts."""
    tasks = [task for task in manifest["tasks"] if task["task"] in CHOICES]
    cached = sum(task["num_cached_tokens"] for task in tasks)
    return cached / max(sum(task["num_prompt_tokens"] for task in tasks), 1)
