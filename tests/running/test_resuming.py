"""Nothing that was finished is computed again, and nothing of other weights or settings is taken for it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.config import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    Resume,
    RunConfig,
    SamplingConfig,
    Scoring,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.errors import StoreError
from evalharness.running.run import Outcome, run

TASKS = {
    "arc_easy_sample": TaskConfig(limit=8),
    "weekday_arithmetic": TaskConfig(limit=8, num_fewshot=0),
}


def config(checkpoint: Path, results_dir: Path, *, extra: Any = None, **changes: Any) -> Config:
    base = Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
        engine=EngineConfig(kind=EngineKind.fake, max_in_flight=2, extra=extra or {}),
        suite=SuiteConfig(name="test", tasks=dict(TASKS)),
        results_dir=str(results_dir),
    )
    return replace(base, **changes)


def num_journaled(outcome: Outcome) -> int:
    files = (outcome.run_dir / "journal").glob("*.jsonl")
    return sum(len(path.read_text().splitlines()) for path in files)


def reused(outcome: Outcome) -> int:
    return sum(task.num_reused for task in outcome.manifest.tasks)


@pytest.fixture
def died(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """A run whose engine died after 6 of 16 samples."""
    from evalharness.running import resuming

    # The fault is an engine argument here, which a real fault isn't.
    monkeypatch.setattr(resuming, "_NUMBERS_DONT_DEPEND_ON", ("extra", "max_in_flight"))
    return run(config(tiny_llama, tmp_path, extra={"die_after": 6}))


def test_a_run_that_ended_early_goes_on_where_it_was(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    assert died.manifest.status == "partial"
    again = run(config(tiny_llama, tmp_path))
    assert again.manifest.status == "complete"
    assert again.manifest.run_id == died.manifest.run_id
    assert again.manifest.num_starts == 2
    assert reused(again) == 6
    assert num_journaled(again) == 16  # each response once
    uninterrupted = run(config(tiny_llama, tmp_path / "elsewhere"))
    assert again.metrics == uninterrupted.metrics


def test_resume_never_starts_a_new_run(died: Outcome, tiny_llama: Path, tmp_path: Path) -> None:
    fresh = run(config(tiny_llama, tmp_path, run=RunConfig(resume=Resume.never, reuse=False)))
    assert fresh.manifest.run_id != died.manifest.run_id
    assert reused(fresh) == 0


def test_resume_must_refuses_when_there_is_nothing_to_continue(
    tiny_llama: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"run\.resume=must"):
        run(config(tiny_llama, tmp_path, run=RunConfig(resume=Resume.must)))


def test_a_complete_run_isnt_continued_but_its_responses_are_reused(
    tiny_llama: Path, tmp_path: Path
) -> None:
    first = run(config(tiny_llama, tmp_path))
    second = run(config(tiny_llama, tmp_path))
    assert second.manifest.run_id != first.manifest.run_id
    assert reused(second) == 16
    assert second.metrics == first.metrics
    assert num_journaled(second) == 16  # complete by itself
    assert sum(task.num_prompt_tokens for task in second.manifest.tasks) == 0  # nothing computed


def test_more_docs_of_the_same_task_compute_only_the_new_ones(
    tiny_llama: Path, tmp_path: Path
) -> None:
    run(config(tiny_llama, tmp_path))
    suite = SuiteConfig(name="test", tasks={"arc_easy_sample": TaskConfig(limit=12)})
    more = run(config(tiny_llama, tmp_path, suite=suite))
    assert reused(more) == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": SamplingConfig(temperature=0.7)},
        {"sampling": SamplingConfig(max_gen_toks=3)},
        {"engine": EngineConfig(kind=EngineKind.hf)},
        {"engine": EngineConfig(kind=EngineKind.fake, extra={"latency_s": 0.001})},
        {"engine": EngineConfig(kind=EngineKind.fake, scoring=Scoring.plain)},
        {"engine": EngineConfig(kind=EngineKind.fake, seed=1)},
    ],
)
def test_other_settings_never_share_a_generation(
    tiny_llama: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    suite = SuiteConfig(name="test", tasks={"weekday_arithmetic": TaskConfig(limit=2)})
    run(config(tiny_llama, tmp_path, suite=suite))
    assert reused(run(config(tiny_llama, tmp_path, suite=suite, **changes))) == 0


def test_other_weights_never_share_a_response(tiny_llama: Path, tmp_path: Path) -> None:
    import shutil

    run(config(tiny_llama, tmp_path / "results"))
    other = shutil.copytree(tiny_llama, tmp_path / "other")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(bytes(weights))
    assert reused(run(config(other, tmp_path / "results"))) == 0


def test_a_run_of_a_living_process_is_left_alone(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    path = died.run_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["status"] = "running"
    manifest["hardware"]["pid"] = 1  # alive, and not ours
    path.write_text(json.dumps(manifest))
    assert run(config(tiny_llama, tmp_path)).manifest.run_id != died.manifest.run_id


def test_a_run_whose_process_is_gone_is_continued(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    path = died.run_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["status"] = "running"
    manifest["hardware"]["pid"] = 2**22 + 1  # above any process
    path.write_text(json.dumps(manifest))
    assert run(config(tiny_llama, tmp_path)).manifest.run_id == died.manifest.run_id


def test_a_continued_run_keeps_the_log_of_its_earlier_start(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    before = (died.run_dir / "log.txt").read_text()
    assert "is partial" in before
    run(config(tiny_llama, tmp_path))
    after = (died.run_dir / "log.txt").read_text()
    assert after.startswith(before)
    assert "is complete" in after
