"""What scripts/gpu_check says and refuses; the whole of it runs in the nightly list."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from evalharness.store.records import SampleRecord, ScoredChoice

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import _gpu_check_report as page  # noqa: E402
import gpu_check  # noqa: E402


def sample(doc_id: int, *logprobs: float, response: str = "") -> SampleRecord:
    return SampleRecord(
        task="t", doc_id=doc_id, doc_hash="h", repeat=0, filter="none", prompt="p", target="", response=response,
        thinking=None, answer="", scores={}, finish_reason="score", num_prompt_tokens=1, num_generated_tokens=1,
        latency_s=0.1, error=None, choices=tuple(ScoredChoice("c", value, 2) for value in logprobs),
    )  # fmt: skip


class Recorded(gpu_check.Check):
    """Samples as given, no runs."""

    def samples(self, run_id: str, task: str) -> dict[int, SampleRecord]:
        return RUNS[run_id][task]


def texts(*words: str) -> dict[int, SampleRecord]:
    return {i: sample(i, response=word) for i, word in enumerate(words)}


RUNS: dict[str, dict[str, dict[int, SampleRecord]]] = {
    "prefix": {"arc_easy_sample": {0: sample(0, -1.0, -2.0)}, "truthfulqa_mc2_sample": {0: sample(0, -3.0)}, "gsm8k_sample": texts("a", "b")},
    "near": {"arc_easy_sample": {0: sample(0, -1.01, -2.0)}, "truthfulqa_mc2_sample": {0: sample(0, -3.0)}, "gsm8k_sample": texts("a", "c")},
    "far": {"arc_easy_sample": {0: sample(0, -1.1, -2.0)}, "truthfulqa_mc2_sample": {0: sample(0, -3.0)}, "gsm8k_sample": texts("a", "b")},
    "turned": {"arc_easy_sample": {0: sample(0, -2.0, -1.0)}, "truthfulqa_mc2_sample": {0: sample(0, -3.0)}, "gsm8k_sample": texts("a", "b")},
}  # fmt: skip


def check(tmp_path: Path, dtype: str = "bfloat16") -> Any:
    made = Recorded(tmp_path, True, "m", 1e9, None)
    made.manifests = {name: {"engine": {"dtype": dtype}} for name in RUNS}
    return made


def test_rounding_is_allowed_and_said(tmp_path: Path) -> None:
    said, figures = gpu_check.compare(check(tmp_path), "near")
    assert said.startswith("5.0e-03 nats per token apart at most (bfloat16; 0.01 allowed)")
    assert (figures["other_argmax"], figures["same_texts"]) == (0, [1, 2])


@pytest.mark.parametrize(("run_id", "dtype"), [("near", "float32"), ("far", "bfloat16")])
def test_more_than_rounding_is_a_failure(tmp_path: Path, run_id: str, dtype: str) -> None:
    with pytest.raises(gpu_check.FailedStepError, match="nats per token apart"):
        gpu_check.compare(check(tmp_path, dtype), run_id)


def test_another_choice_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(gpu_check.FailedStepError, match="1 of 2 with another choice"):
        gpu_check.compare(check(tmp_path), "turned")


def test_a_step_that_fails_is_a_line_and_the_next_one_is_taken(tmp_path: Path) -> None:
    made = check(tmp_path)

    def fails() -> tuple[str, dict[str, Any]]:
        raise gpu_check.FailedStepError(f"{tmp_path}/results/prefix/log.txt: no")

    made.take("first", 0, fails)
    made.take("second", 0, lambda: ("good", {"n": 1}))
    made.deadline = 0.0
    made.take("third", 60, lambda: ("good", {}))
    assert [(step.verdict, step.said) for step in made.steps] == [
        ("failed", "TMP/results/prefix/log.txt: no"),
        ("ok", "good"),
        ("skipped", "no time left (needs about 60 s)"),
    ]


def test_a_report_names_no_host_user_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page.socket, "gethostname", lambda: "node17.cluster")
    monkeypatch.setenv("USER", "alice")
    monkeypatch.setenv("HOME", "/home/alice")
    token = "hf_" + "a" * 12
    text = f"{tmp_path}/a on node17.cluster (10.1.2.3): /home/alice/x and /scratch/alice/run/log.txt of alice, {token}"
    said = page.scrub(text, tmp_path)
    assert said == "TMP/a on NAME (ADDRESS): ~/x and /.../log.txt of NAME, TOKEN"
    found = page.machine(is_cpu=True)
    assert not {"host", "pid"} & found.keys()


def test_the_page_has_a_row_for_each_step(tmp_path: Path) -> None:
    made = check(tmp_path)
    made.take("one | two", 0, lambda: ("a | b", {"tokens_per_s": 7}))
    report = {
        "machine": page.machine(is_cpu=True), "model": "m", "wall_s": 1.0, "steps": [asdict(s) for s in made.steps],
    }  # fmt: skip
    text = page.as_markdown(report)
    assert "| one \\| two | ok | 0 | a \\| b |" in text
    figures = json.loads(text.partition("```json\n")[2].partition("\n```")[0])
    assert figures == {"one | two": {"tokens_per_s": 7}}
    page.show(report)


def test_its_suite_is_one_of_ours(tmp_path: Path) -> None:
    gpu_check.write_suite(tmp_path, (1, 2, 3))
    suite = json.loads((tmp_path / "configs" / "suite" / "gpu_check.yaml").read_text())
    assert {name: task["limit"] for name, task in suite["tasks"].items()} == {
        "arc_easy_sample": 1,
        "truthfulqa_mc2_sample": 2,
        "gsm8k_sample": 3,
    }
    assert os.access(ROOT / "scripts" / "gpu_check", os.X_OK)


def test_a_verb_that_fails_says_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/echo")
    done = gpu_check.call(["run"])
    assert done.stdout == "-m evalharness run\n"
    assert gpu_check.last_line(done) == "exit code 0"


def test_a_cache_that_was_read_all_the_same_is_a_failure(tmp_path: Path) -> None:
    made = check(tmp_path)
    task = {"task": "arc_easy_sample", "num_prompt_tokens": 100}
    made.run = lambda run_id, *_: made.manifests.update(
        {
            "prefix": {"tasks": [task | {"num_cached_tokens": 60}]},
            "plain": {"tasks": [task | {"num_cached_tokens": 10}]},
        }
    )
    with pytest.raises(gpu_check.FailedStepError, match="10% of the prompts' tokens"):
        gpu_check.score_plain(made)


def test_on_a_gpu_every_step_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = check(tmp_path)
    made.is_cpu, made.mirror = False, "mirror"
    asked: list[str] = []

    def says(what: str) -> Any:
        return lambda *words, **_: asked.append(" ".join([what, *map(str, words[1:])])) or ("", {})

    for name in ("kill_and_resume", "score_plain", "run_and_compare", "selfcheck", "several", "full_speed", "bench"):  # fmt: skip
        monkeypatch.setattr(gpu_check, name, says(name))
    made.manifests = {"prefix": {"energy_j": 50.0, "load_energy_j": 1.0, "peak_gpu_memory_gib": 7.0, "serve_s": 2.0}}  # fmt: skip
    gpu_check.take_all(made, "own/8b")
    assert {step.verdict for step in made.steps} == {"ok"}
    assert "selfcheck engine.deterministic=true" in asked
    assert "full_speed own/8b" in asked
    assert [words.split()[1] for words in asked if words.startswith("bench")] == [
        "scoring",
        "generation",
        "mixed",
    ]
    assert next(step.said for step in made.steps if step.name == "energy") == "50 J, 7 GiB at most"


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"vs_lm_eval": 0.5}, "2.00 times as fast as lm-eval"),
        ({"ratio": 0.25, "gsm8k": {"x": 1}}, "4.00 times as fast as lm-eval"),
        ({"bench": "scoring", "mmlu": {"ratio": 31.0}}, "mmlu 31.0 times as fast as lm-eval"),
    ],
)
def test_a_benchmark_is_said_in_words(figures: dict[str, Any], said: str) -> None:
    assert gpu_check.ratios(figures) == said


def test_random_weights_are_a_checkpoint_with_a_tokenizer(demo: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    import random_llama
    from evalharness import checkpoint

    random_llama.make("tiny", tmp_path / "made")
    info = checkpoint.inspect(tmp_path / "made")
    assert (info.architecture, info.dtype) == ("LlamaForCausalLM", "bfloat16")
    assert AutoTokenizer.from_pretrained(tmp_path / "made").chat_template
