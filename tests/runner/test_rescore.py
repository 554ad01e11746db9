"""Stored responses scored again: the same task gives the same numbers, a changed one says what changed."""

import json
import math
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.cli.run import stored_config
from evalharness.comparison.compare import compare_runs
from evalharness.config.schema import (
    CompositeConfig,
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.errors import TaskError
from evalharness.runner.rescore import (
    Rescored,
    rescore,
)
from evalharness.runner.run import run
from evalharness.store.read import iter_docs, iter_samples, list_runs, load_metrics
from evalharness.store.records import Manifest
from evalharness.store.write import RunWriter
from evalharness.tasks.loaded_task import doc_hash

TASK = """
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {docs}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{prompt}"
doc_to_target: "{{{{target}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 32}}
filter_list:
  - name: number
    filter: [{{function: regex, regex_pattern: '{pattern}'}}, {{function: take_first}}]
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1}}
"""
LAST_DIGIT, WHOLE_NUMBER = r"(\d)\.", r"(\d+)\."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_docs(tmp_path)
    write_task(tmp_path, LAST_DIGIT)
    return tmp_path


def write_docs(folder: Path, first: str = "q0") -> None:
    rows = [{"question": first if i == 0 else f"q{i}", "target": str(i)} for i in range(30)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_task(folder: Path, pattern: str, prompt: str = "{{question}}") -> None:
    path = folder / "tasks" / "sums" / "sums.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = TASK.format(docs=folder / "docs.jsonl", pattern=pattern, prompt=prompt)
    path.write_text(text)


def run_it(
    checkpoint: Path,
    tasks: dict[str, TaskConfig] | None = None,
    composite: CompositeConfig | None = None,
    max_error_rate: float = 1.0,
    **extra: Any,
) -> Manifest:
    config = Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
        engine=EngineConfig(kind=EngineKind.fake, extra=extra),
        suite=SuiteConfig(name="test", tasks=tasks or {"sums": TaskConfig()}, composite=composite),
        run=RunConfig(max_error_rate=max_error_rate),
        results_dir="results",
    )
    return run(config).manifest


def again(manifest: Manifest, **arguments: Any) -> Rescored:
    results = Path("results")
    return rescore(results, manifest, stored_config(results / manifest.run_id), **arguments)


def test_unchanged_tasks_give_the_same_numbers_and_no_new_run(
    folder: Path, tiny_llama: Path
) -> None:
    tasks = {
        "arc_easy_sample": TaskConfig(limit=8),
        "truthfulqa_mc2_sample": TaskConfig(limit=8),
        "weekday_arithmetic": TaskConfig(limit=8, repeats=2),
    }
    rescored = again(run_it(tiny_llama, tasks))
    assert rescored.changes == []
    assert rescored.metrics_after == rescored.metrics_before
    assert rescored.num_samples == 32
    assert len(list_runs(folder / "results")) == 1


def test_a_changed_filter_changes_exactly_the_samples_it_extracts_otherwise(
    folder: Path, tiny_llama: Path
) -> None:
    manifest = run_it(tiny_llama)
    before = {s.doc_id: s for s in iter_samples(folder / "results" / manifest.run_id, "sums")}
    write_task(folder, WHOLE_NUMBER)
    rescored = again(manifest)
    assert rescored.run_dir is not None
    after = {s.doc_id: s for s in iter_samples(rescored.run_dir, "sums")}
    changed = {d for d, s in before.items() if s.answer != after[d].answer}
    assert changed
    assert {c.doc_id for c in rescored.changes} == changed
    assert all(len(s.answer) == 2 for d, s in after.items() if d in changed)
    assert all(after[d].response == s.response for d, s in before.items())


def test_new_scores_are_compared_with_the_old_ones_only_when_asked_for(
    folder: Path, tiny_llama: Path
) -> None:
    manifest = run_it(tiny_llama)
    write_task(folder, WHOLE_NUMBER)
    rescored = again(manifest).manifest
    found = compare_runs(folder / "results", manifest, rescored)
    assert found.left_out["sums"].startswith("scored differently (filter or metric changed")
    (row,) = compare_runs(folder / "results", manifest, rescored, any_prompt=True).tasks
    assert row.notes[0].startswith("scored differently")
    assert row.result.n == 30


def test_samples_that_failed_in_one_run_are_missing_there(folder: Path, tiny_llama: Path) -> None:
    part = run_it(tiny_llama, fail_share=0.4)
    num = part.tasks[0].num_errors
    assert 0 < num < 30
    (row,) = compare_runs(folder / "results", run_it(tiny_llama), part).tasks
    assert (row.result.n, row.num_only_a, row.num_neither) == (30 - num, num, 0)
    assert (row.missing_a, row.missing_b) == (0.0, pytest.approx(num / 30))


def test_the_new_scores_are_those_of_a_new_run(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama)
    write_task(folder, WHOLE_NUMBER)
    rescored = again(manifest)
    fresh = run_it(tiny_llama)
    assert rescored.metrics_after == load_metrics(folder / "results" / fresh.run_id)
    assert rescored.manifest.tasks[0].task_hash == fresh.tasks[0].task_hash
    assert rescored.manifest.rescored_from == manifest.run_id


def test_the_old_run_stays_as_it_is(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama)
    run_dir = folder / "results" / manifest.run_id
    before = {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()}
    write_task(folder, WHOLE_NUMBER)
    again(manifest)
    assert {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()} == before


def test_a_dry_run_writes_nothing(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama)
    write_task(folder, WHOLE_NUMBER)
    rescored = again(manifest, is_dry=True)
    assert rescored.changes
    assert [r.run_id for r in list_runs(folder / "results")] == [manifest.run_id]


def test_another_prompt_is_refused(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama)
    write_task(folder, LAST_DIGIT, prompt="Q: {{question}}")
    with pytest.raises(TaskError, match="'sums' sends other requests"):
        again(manifest)
    assert [r.run_id for r in list_runs(folder / "results")] == [manifest.run_id]


def test_other_docs_are_refused(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama)
    write_docs(folder, first="another question")
    with pytest.raises(TaskError, match="other docs"):
        again(manifest)


def test_docs_in_another_order_are_found_again(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama)
    before = list(iter_samples(folder / "results" / manifest.run_id, "sums"))
    lines = (folder / "docs.jsonl").read_text().splitlines(keepends=True)
    (folder / "docs.jsonl").write_text(
        "".join(['{"question": "new", "target": "0"}\n', *lines[::-1]])
    )
    rescored = again(manifest)
    assert (rescored.changes, rescored.num_samples) == ([], 30)
    write_task(folder, WHOLE_NUMBER)
    changed = again(manifest)
    assert changed.run_dir is not None
    assert [r.target for r in iter_samples(changed.run_dir, "sums")] == [r.target for r in before]
    assert changed.manifest.tasks[0].status == "complete"


def test_how_many_docs_are_gone_is_reported(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama)
    write_docs(folder, first="another question")
    with pytest.raises(TaskError, match=r"1 of 30 that were asked \(the first: doc 0\)"):
        again(manifest)


UNREPEATABLE = """
import uuid

def process_docs(docs):
    return docs.map(lambda doc: {"question": uuid.uuid4().hex, "target": doc["target"]})
"""


def test_docs_that_no_process_makes_twice_are_kept(folder: Path, tiny_llama: Path) -> None:
    write_unrepeatable(folder, LAST_DIGIT)
    manifest = run_it(tiny_llama)
    rescored = again(manifest)
    assert (rescored.changes, rescored.num_samples) == ([], 30)
    write_unrepeatable(folder, WHOLE_NUMBER)
    first = again(manifest)
    assert first.run_dir is not None
    second = again(first.manifest)
    assert (second.changes, second.num_samples) == ([], 30)


def test_every_stored_hash_is_that_of_the_doc_that_was_asked(
    folder: Path, tiny_llama: Path
) -> None:
    write_unrepeatable(folder, LAST_DIGIT)
    manifest = run_it(tiny_llama)
    run_dir = folder / "results" / manifest.run_id
    asked = {r.doc_id: (r.doc_hash, json.loads(r.doc)) for r in iter_docs(run_dir, "sums")}
    samples = list(iter_samples(run_dir, "sums"))
    assert len(samples) == len(asked) == 30
    for sample in samples:
        hash_, doc = asked[sample.doc_id]
        assert sample.doc_hash == hash_ == doc_hash(doc)
        assert doc["question"] in sample.prompt


def test_docs_that_come_from_data_as_they_are_arent_kept(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama)
    assert list(iter_docs(folder / "results" / manifest.run_id, "sums")) == []


def write_unrepeatable(folder: Path, pattern: str) -> None:
    write_task(folder, pattern)
    path = folder / "tasks" / "sums" / "sums.yaml"
    path.write_text(path.read_text() + "process_docs: !function u.process_docs\n")
    (path.parent / "u.py").write_text(UNREPEATABLE)


def test_a_failed_sample_stays_failed(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama, fail_share=0.4)
    write_task(folder, WHOLE_NUMBER)
    rescored = again(manifest)
    assert rescored.run_dir is not None
    rows = list(iter_samples(rescored.run_dir, "sums"))
    assert 0 < sum(r.error is not None for r in rows) == manifest.tasks[0].num_errors
    assert all(not r.scores for r in rows if r.error)


def write_scoring(folder: Path, value: str) -> None:
    path = folder / "tasks" / "sums" / "sums.yaml"
    write_task(folder, LAST_DIGIT)
    path.write_text(path.read_text() + "process_results: !function scoring.score\n")
    code = f"def score(doc, results):\n    return {{'exact_match': {value}}}\n"
    (path.parent / "scoring.py").write_text(code)


def test_a_task_of_which_nothing_can_be_scored_any_more_fails_and_has_no_score(
    folder: Path, tiny_llama: Path
) -> None:
    write_scoring(folder, "1")
    manifest = run_it(tiny_llama, max_error_rate=0.5)
    write_scoring(folder, "1 // 0")
    rescored = again(manifest)
    (main,) = rescored.metrics_after
    assert (main.task, main.metric, main.n, math.isnan(main.value)) == (
        "sums",
        "exact_match",
        0,
        True,
    )
    made = rescored.manifest
    assert (made.status, made.reason, made.tasks[0].num_errors) == (
        "partial",
        "sums is failed",
        30,
    )


def test_a_mended_target_is_that_of_all_that_is_scored(folder: Path, tiny_llama: Path) -> None:
    path = folder / "tasks" / "sums" / "sums.yaml"
    path.write_text(path.read_text().replace('"{{target}}"', "!function u.target"))
    code = path.parent / "u.py"
    code.write_text("def target(doc):\n    return doc['target']\n")
    manifest = run_it(tiny_llama, fail_share=0.4)
    code.write_text("def target(doc):\n    return '1'\n")
    rescored = again(manifest)
    assert rescored.run_dir is not None
    rows = list(iter_samples(rescored.run_dir, "sums"))
    assert {r.target for r in rows if r.error is None} == {"1"}
    assert all(r.target == str(r.doc_id) for r in rows if r.error)


def test_a_sample_that_couldnt_be_scored_is_when_its_metric_is_mended(
    folder: Path, tiny_llama: Path
) -> None:
    write_scoring(folder, "1 // int(doc['target'])")
    manifest = run_it(tiny_llama)
    assert manifest.tasks[0].num_errors == 1
    write_scoring(folder, "1")
    rescored = again(manifest)
    assert rescored.manifest.tasks[0].num_errors == 0
    (main,) = rescored.metrics_after
    assert (main.value, main.n) == (1.0, 30)


def test_the_rest_of_a_run_keeps_its_scores(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama, {"sums": TaskConfig(), "weekday_arithmetic": TaskConfig(limit=5)})
    write_task(folder, WHOLE_NUMBER)
    rescored = again(manifest, tasks=["sums"])
    others = [m for m in rescored.metrics_before if m.task != "sums"]
    assert [m for m in rescored.metrics_after if m.task != "sums"] == others
    assert rescored.run_dir is not None
    run_dir = folder / "results" / manifest.run_id
    old, new = (list(iter_samples(d, "weekday_arithmetic")) for d in (run_dir, rescored.run_dir))
    assert old == new


def test_a_run_without_request_hashes_is_refused(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama)
    old = replace(manifest, tasks=tuple(replace(t, request_hash="") for t in manifest.tasks))
    with pytest.raises(TaskError, match="run it again"):
        again(old)


def test_a_rescored_run_is_one_of_its_own_that_took_no_engine(
    folder: Path, tiny_llama: Path
) -> None:
    used = {"load_s": 9.0, "serve_s": 9.0, "energy_j": 9.0, "load_energy_j": 9.0, "peak_gpu_memory_gib": 9.0, "cost_usd": 9.0}  # fmt: skip
    old = replace(
        run_it(tiny_llama), **used, num_gpus=2, reason="odd", started_at="2020-01-01", finished_at="2020-01-02",
        packages={"old": "1"}, hardware={"gpu": "x", "pid": 1, "host": "h"},
    )  # fmt: skip
    assert old.identity
    write_task(folder, WHOLE_NUMBER)
    first, second = (again(old) for _ in range(2))
    names = [one.manifest.run_id for one in (first, second)]
    assert names == [f"{old.run_id}-rescored", f"{old.run_id}-rescored-2"]
    made = first.manifest
    assert [getattr(made, name) for name in used] == [None] * len(used)
    assert (made.status, made.reason, made.identity, made.num_gpus) == ("complete", None, "", 0)
    assert "2020-01-02" < made.started_at <= str(made.finished_at)
    assert made.packages.keys() > {"old", "lm-eval"}
    assert made.hardware == {"gpu": "x", "pid": os.getpid(), "host": socket.gethostname()}
    assert made.wall_s is not None
    assert stored_config(folder / "results" / made.run_id) == stored_config(
        folder / "results" / old.run_id
    )


def test_answers_that_were_cut_leave_the_new_score_open_too(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama, {"sums": TaskConfig(gen_kwargs={"max_gen_toks": 3})})
    (before,) = manifest.tasks
    assert before.num_truncated == 30
    write_task(folder, WHOLE_NUMBER)
    (after,) = again(manifest).manifest.tasks
    assert (
        (after.bound_low, after.bound_high) == (before.bound_low, before.bound_high) == (0.0, 1.0)
    )


def test_one_empty_draw_of_two_leaves_a_sample_open_as_in_a_run(
    folder: Path, tiny_llama: Path
) -> None:
    path = folder / "tasks" / "sums" / "sums.yaml"
    path.write_text(path.read_text() + "repeats: 2\n")
    manifest = run_it(tiny_llama)
    run_dir = folder / "results" / manifest.run_id
    rows = list(iter_samples(run_dir, "sums"))
    first = [json.loads(row.response)[0][0] for row in rows]
    emptied = [
        replace(row, response=json.dumps([[text, " "]]))
        for row, text in zip(rows, first, strict=True)
    ]
    RunWriter(run_dir, manifest).write_samples("sums", emptied)
    write_task(folder, WHOLE_NUMBER)
    path.write_text(path.read_text() + "repeats: 2\n")
    (after,) = again(manifest).manifest.tasks
    assert (after.bound_low, after.bound_high) == (0.0, 1.0)


def test_a_composite_is_computed_again(folder: Path, tiny_llama: Path) -> None:
    manifest = run_it(tiny_llama, composite=CompositeConfig(name="whole", parts=["sums"]))
    write_task(folder, WHOLE_NUMBER)
    rescored = again(manifest)
    for metrics in (rescored.metrics_before, rescored.metrics_after):
        assert [m.task for m in metrics] == ["sums", "whole"]
        assert metrics[0].value == metrics[1].value
