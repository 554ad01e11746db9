"""Whole runs on the fake engine: what the user gets, whatever goes wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    LimitFrom,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.errors import CheckpointError, StoreError, TaskError
from evalharness.runner.run import (
    Outcome,
    run,
)
from evalharness.stats.estimates import estimate
from evalharness.store.read import iter_samples, load_manifest, load_metrics

TASKS = {
    "arc_easy_sample": TaskConfig(limit=6, metric="acc_norm"),
    "weekday_arithmetic": TaskConfig(limit=6, num_fewshot=0),
}


def config(checkpoint: Path, results_dir: Path, **changes: Any) -> Config:
    engine = EngineConfig(kind=EngineKind.fake, max_in_flight=4, extra=changes.pop("extra", {}))
    base = Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
        engine=engine,
        suite=SuiteConfig(name="test", tasks=dict(TASKS)),
        run=RunConfig(max_error_rate=0.5),
        results_dir=str(results_dir),
    )
    return replace(base, **changes)


@pytest.fixture
def outcome(tiny_llama: Path, tmp_path: Path) -> Outcome:
    return run(config(tiny_llama, tmp_path))


def test_a_run_leaves_everything_needed_to_trust_it(outcome: Outcome, tmp_path: Path) -> None:
    folder = outcome.run_dir
    assert {p.name for p in folder.iterdir()} == {
        "manifest.json",
        "config.yaml",
        "metrics.parquet",
        "samples",
        "docs",
        "journal",
        "log.txt",
        "checksums.sha256",
    }
    manifest = load_manifest(folder)
    assert manifest.status == "complete"
    assert manifest.checkpoint["weights_fingerprint"].startswith("fast:")
    assert manifest.packages["lm-eval"]
    assert manifest.seeds["run"] == 1234
    assert [t.task for t in manifest.tasks] == list(TASKS)
    assert {m.task for m in load_metrics(folder)} == set(TASKS)


def test_each_task_has_one_main_metric_with_an_interval(outcome: Outcome) -> None:
    main = [m for m in outcome.metrics if m.is_main]
    assert (main[0].task, main[0].metric) == ("arc_easy_sample", "acc_norm")
    assert len(main) == len(TASKS)
    assert all(m.ci_low <= m.value <= m.ci_high and m.n == 6 for m in main)


def test_samples_hold_prompt_answer_and_score(outcome: Outcome) -> None:
    rows = list(iter_samples(outcome.run_dir, "weekday_arithmetic"))
    assert len({row.doc_id for row in rows}) == 6
    assert all("assistant" in row.prompt for row in rows)  # the chat template was applied
    assert all(row.scores and row.error is None for row in rows)
    assert all(row.num_prompt_tokens > 0 for row in rows)


def test_the_same_run_twice_gives_the_same_numbers(tiny_llama: Path, tmp_path: Path) -> None:
    first, second = (run(config(tiny_llama, tmp_path)) for _ in range(2))
    assert first.manifest.run_id != second.manifest.run_id
    assert first.metrics == second.metrics
    assert first.manifest.tasks[0].task_hash == second.manifest.tasks[0].task_hash
    assert (
        first.manifest.tasks[0].dataset_fingerprint == second.manifest.tasks[0].dataset_fingerprint
    )


def test_repeats_average_within_a_doc(tiny_llama: Path, tmp_path: Path) -> None:
    suite = SuiteConfig(name="test", tasks={"weekday_arithmetic": TaskConfig(limit=3, repeats=4)})
    outcome = run(config(tiny_llama, tmp_path, suite=suite))
    (summary,) = outcome.manifest.tasks
    assert summary.num_samples == 12
    assert next(m for m in outcome.metrics if m.is_main).n == 3


def clustered(tiny_llama: Path, results: Path, cluster: str | None) -> Outcome:
    task = TaskConfig(limit=40, metric="acc", cluster=cluster)
    suite = SuiteConfig(name="test", tasks={"arc_easy_sample": task})
    first = RunConfig(limit_from=LimitFrom.first)
    return run(config(tiny_llama, results, suite=suite, run=first))


def test_declared_clusters_reach_samples_and_interval(tiny_llama: Path, tmp_path: Path) -> None:
    plain = clustered(tiny_llama, tmp_path / "plain", None)
    by_answer = clustered(tiny_llama, tmp_path / "clustered", "{{answerKey}}")
    rows = list(iter_samples(by_answer.run_dir, "arc_easy_sample"))
    assert 2 < len({row.cluster for row in rows}) <= 8
    assert {row.cluster for row in iter_samples(plain.run_dir, "arc_easy_sample")} == {None}
    (before,), (after,) = (
        [m for m in outcome.metrics if m.metric == "acc"] for outcome in (plain, by_answer)
    )
    assert after.value == before.value
    scores = [row.scores["acc"] for row in rows]
    expected = estimate(scores, [row.cluster for row in rows])
    assert (after.ci_low, after.ci_high) == (expected.ci_low, expected.ci_high)
    assert (after.ci_low, after.ci_high) != (before.ci_low, before.ci_high)


def test_a_cluster_that_means_nothing_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"gives nothing .* question, choices"):
        clustered(tiny_llama, tmp_path, "{{passage}}")


def test_failed_requests_are_counted_and_never_scored(tiny_llama: Path, tmp_path: Path) -> None:
    outcome = run(
        config(tiny_llama, tmp_path, extra={"fail_share": 0.5}, run=RunConfig(max_error_rate=1.0))
    )
    for summary in outcome.manifest.tasks:
        main = next(m for m in outcome.metrics if m.task == summary.task and m.is_main)
        assert main.n == summary.num_samples - summary.num_errors
    assert sum(t.num_errors for t in outcome.manifest.tasks) > 0
    rows = [r for t in TASKS for r in iter_samples(outcome.run_dir, t)]
    assert all((r.error is not None) == (not r.scores) for r in rows)


def test_too_many_failures_fail_the_task_without_a_score(tiny_llama: Path, tmp_path: Path) -> None:
    outcome = run(
        config(tiny_llama, tmp_path, extra={"fail_share": 1.0}, run=RunConfig(max_error_rate=0.01))
    )
    assert outcome.manifest.status == "partial"
    assert {t.status for t in outcome.manifest.tasks} == {"failed"}
    assert all(m.n == 0 and m.value != m.value for m in outcome.metrics)
    assert "samples failed" in str(outcome.manifest.reason)


def test_a_dead_engine_leaves_a_partial_run_with_what_was_finished(
    tiny_llama: Path, tmp_path: Path
) -> None:
    outcome = run(config(tiny_llama, tmp_path, extra={"die_after": 4}))
    assert outcome.manifest.status == "partial"
    assert "died" in str(outcome.manifest.reason)
    assert sum(t.num_samples for t in outcome.manifest.tasks) == 4
    assert len((outcome.run_dir / "journal" / "0000.jsonl").read_text().splitlines()) == 4
    started = outcome.manifest.tasks[0]
    assert started.status == "partial"
    assert next(m for m in outcome.metrics if m.task == started.task and m.is_main).n == 4


def test_prompts_beyond_the_context_are_counted_as_overflow(
    tiny_llama: Path, tmp_path: Path
) -> None:
    changed = config(tiny_llama, tmp_path, run=RunConfig(max_error_rate=1.0))
    changed.engine.max_model_len = 200
    outcome = run(changed)
    arc = outcome.manifest.tasks[0]
    assert 0 < arc.num_context_overflow == arc.num_errors


def test_unknown_task_is_refused_before_anything_is_written(
    tiny_llama: Path, tmp_path: Path
) -> None:
    suite = SuiteConfig(name="test", tasks={"gsm8k_sampel": TaskConfig()})
    with pytest.raises(TaskError, match="did you mean 'gsm8k_sample'"):
        run(config(tiny_llama, tmp_path, suite=suite))
    assert list(tmp_path.iterdir()) == []


def test_unknown_metric_names_those_there_are(tiny_llama: Path, tmp_path: Path) -> None:
    suite = SuiteConfig(name="test", tasks={"arc_easy_sample": TaskConfig(metric="exact_match")})
    with pytest.raises(TaskError, match=r"no metric 'exact_match'.*acc, acc_norm"):
        run(config(tiny_llama, tmp_path, suite=suite))


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        run(config(tmp_path / "nowhere", tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_a_chat_run_needs_a_chat_template(tiny_llama: Path, tmp_path: Path) -> None:
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(tiny_llama, bare)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match=r"no chat template; set model\.chat=false"):
        run(config(bare, tmp_path / "results"))


def test_an_unwritable_results_folder_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="results_dir"):
        run(config(tiny_llama, tmp_path / "file" / "results"))


def test_an_existing_run_id_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    named = config(tiny_llama, tmp_path, run=RunConfig(id="mine"))
    run(named)
    before = (tmp_path / "mine" / "manifest.json").read_text()
    with pytest.raises(StoreError, match="exists"):
        run(named)
    assert (tmp_path / "mine" / "manifest.json").read_text() == before


def test_base_models_get_no_chat_template(tiny_llama: Path, tmp_path: Path) -> None:
    changed = config(tiny_llama, tmp_path)
    changed.model.variant = Variant.base
    outcome = run(changed)
    row = next(iter_samples(outcome.run_dir, "weekday_arithmetic"))
    assert "assistant" not in row.prompt
    assert (
        json.loads((outcome.run_dir / "manifest.json").read_text())["checkpoint"]["is_chat"]
        is False
    )


BROKEN = """
def process_results(doc, results):
    if doc["number"] % 3 == 0:
        raise ValueError("no such answer")
    return {"acc": 1.0}


def docs(**kwargs):
    from datasets import Dataset

    return {"test": Dataset.from_list([{"number": i} for i in range(9)])}
"""
BROKEN_YAML = """
task: broken
custom_dataset: !function utils.docs
test_split: test
output_type: generate_until
doc_to_text: "{{number}}"
doc_to_target: "{{number}}"
process_results: !function utils.process_results
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


@pytest.mark.parametrize(("max_error_rate", "status"), [(0.5, "complete"), (0.1, "failed")])
def test_a_sample_that_cant_be_scored_is_counted_and_never_a_zero(
    tiny_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    max_error_rate: float,
    status: str,
) -> None:
    folder = tmp_path / "tasks" / "broken"
    folder.mkdir(parents=True)
    (folder / "utils.py").write_text(BROKEN)
    (folder / "broken.yaml").write_text(BROKEN_YAML)
    monkeypatch.chdir(tmp_path)
    outcome = run(
        config(
            tiny_llama,
            tmp_path / "results",
            suite=SuiteConfig(name="test", tasks={"broken": TaskConfig()}),
            run=RunConfig(max_error_rate=max_error_rate),
        )
    )
    (summary,) = outcome.manifest.tasks
    assert (summary.status, summary.num_errors, summary.num_samples) == (status, 3, 9)
    (metric,) = outcome.metrics
    assert metric.n == (6 if status == "complete" else 0)
    rows = list(iter_samples(outcome.run_dir, "broken"))
    assert sum(row.error == "scoring: ValueError: no such answer" for row in rows) == 3
    assert all(row.scores == ({} if row.error else {"acc": 1.0}) for row in rows)
