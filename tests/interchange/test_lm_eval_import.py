"""What lm-eval wrote, as a run of ours: same values, same docs, and nothing claimed that it doesn't say."""

import json
import shutil
from collections.abc import Callable
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
)
from evalharness.errors import StoreError, UserError
from evalharness.interchange.lm_eval_import import Imported, import_path
from evalharness.stats.estimates import estimate
from evalharness.store.columns import run_row
from evalharness.store.read import iter_samples, list_runs, load_manifest, load_metrics


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def _import_one(path: Path, store: Path, **options: Any) -> Imported:
    (run,) = import_path(path, store, **options).runs
    return run


def _change(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def _samples(results_file: Path, task: str) -> Path:
    (path,) = results_file.parent.glob(f"samples_{task}_*.jsonl")
    return path


def test_every_value_is_the_files(lm_eval_output: Path, results_file: Path, store: Path) -> None:
    run = _import_one(lm_eval_output, store)
    expected = {
        (task, *key.split(",")): value
        for task, metrics in json.loads(results_file.read_text())["results"].items()
        for key, value in metrics.items()
        if "," in key and "_stderr" not in key
    }
    stored = load_metrics(store / run.manifest.run_id)
    assert {(m.task, m.metric, m.filter): m.value for m in stored} == expected
    assert len(expected) == 6
    assert (run.manifest.status, run.notes) == ("complete", ())


def test_intervals_are_those_of_the_samples(lm_eval_output: Path, store: Path) -> None:
    run = _import_one(lm_eval_output, store)
    for metric in run.metrics:
        if metric.task == metric.group:
            continue
        rows = list(iter_samples(store / run.manifest.run_id, metric.task))
        scores = [row.scores[metric.metric] for row in rows if row.filter == metric.filter]
        assert (metric.ci_low, metric.ci_high) == pytest.approx(estimate(scores)[1:3])
        assert metric.n == 8


def test_docs_are_those_of_our_own_runs(
    lm_eval_output: Path, store: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    from evalharness.runner.run import run

    imported = _import_one(lm_eval_output, store)
    names = ["arc_easy_sample", "gsm8k_sample"]
    own = run(
        Config(
            model=ModelConfig(name="tiny", path=str(tiny_llama)),
            engine=EngineConfig(kind=EngineKind.fake, max_model_len=100_000),
            suite=SuiteConfig(name="same", tasks={name: TaskConfig() for name in names}),
            run=RunConfig(limit=8, limit_from=LimitFrom.first),
            results_dir=str(tmp_path / "own"),
        )
    )
    for name in names:
        ours, theirs = (
            {(s.doc_id, s.filter): (s.doc_hash, s.prompt, s.target) for s in iter_samples(d, name)}
            for d in (own.run_dir, store / imported.manifest.run_id)
        )
        assert theirs == ours
    of = {t.task: t for t in imported.manifest.tasks}
    for task in own.manifest.tasks:
        found = of[task.task]
        assert found.dataset_fingerprint == task.dataset_fingerprint
        assert (found.version, found.kind, found.num_fewshot) == (
            task.version, task.kind, task.num_fewshot,
        )  # fmt: skip
        assert (found.num_docs, found.num_docs_available) == (8, task.num_docs_available)


def test_responses_are_stored_as_ours_are(
    lm_eval_output: Path, results_file: Path, store: Path
) -> None:
    from evalharness.runner.record import parse_response

    run = _import_one(lm_eval_output, store)
    logged = json.loads(_samples(results_file, "arc_easy_sample").read_text().splitlines()[0])
    row = next(iter_samples(store / run.manifest.run_id, "arc_easy_sample"))
    parsed = parse_response(row.response, "multiple_choice", num_instances=4, num_draws=1)
    assert parsed == [[(float(lp), greedy == "True")] for ((lp, greedy),) in logged["resps"]]
    logged = json.loads(_samples(results_file, "gsm8k_sample").read_text().splitlines()[0])
    row = next(iter_samples(store / run.manifest.run_id, "gsm8k_sample"))
    assert [[row.response]] == logged["resps"]


def test_an_answer_is_what_the_filter_left(lm_eval_output: Path, store: Path) -> None:
    run = _import_one(lm_eval_output, store)
    rows = list(iter_samples(store / run.manifest.run_id, "gsm8k_sample"))
    assert {(row.filter, row.is_main) for row in rows} == {
        ("strict-match", False),
        ("flexible-extract", True),
    }
    assert "[invalid]" in {row.answer for row in rows}


def test_a_group_keeps_its_tasks_and_its_own_score(lm_eval_output: Path, store: Path) -> None:
    run = _import_one(lm_eval_output, store)
    groups = {task.task: task.group for task in run.manifest.tasks}
    assert groups["arc_easy_sample"] == groups["truthfulqa_mc2_sample"] == "two_tasks"
    assert groups["gsm8k_sample"] == "gsm8k_sample"
    (group,) = [m for m in run.metrics if m.task == "two_tasks"]
    assert (group.n, group.is_main) == (16, True)
    assert group.ci_low < group.value < group.ci_high


def test_what_lm_eval_does_not_record_stays_unknown(lm_eval_output: Path, store: Path) -> None:
    run = _import_one(lm_eval_output, store)
    row = run_row(run.manifest)
    assert (row["fingerprint"], row["engine"], row["dtype"]) == (None, "lm-eval import", "float32")
    assert run.manifest.checkpoint["weights_fingerprint"] == "unverified"
    assert {task.request_hash for task in run.manifest.tasks} == {""}
    generated = next(iter_samples(store / run.manifest.run_id, "gsm8k_sample"))
    assert generated.finish_reason == "unknown"


def test_date_and_versions_are_the_files(
    lm_eval_output: Path, results_file: Path, store: Path
) -> None:
    _change(
        results_file, lambda content: content.update(date=1767323045.5, lm_eval_version="0.4.9")
    )
    run = _import_one(lm_eval_output, store)
    assert run.manifest.started_at == "2026-01-02T03:04:05+00:00"
    assert run.manifest.run_id == "20260102-030405-llama-imported"
    assert run.manifest.packages["lm-eval"] == "0.4.9"
    assert run.manifest.seeds["fewshot"] == 1234


def test_without_a_date_the_name_of_the_file_has_it(results_file: Path, store: Path) -> None:
    _change(results_file, lambda content: content.pop("date"))
    moved = results_file.rename(results_file.with_name("results_2026-01-02T03-04-05.678.json"))
    assert _import_one(moved, store).manifest.started_at == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize("layout", ["nested", "flat", "file", "deep"])
def test_layouts(lm_eval_output: Path, results_file: Path, store: Path, layout: str) -> None:
    paths = {
        "nested": lm_eval_output,
        "flat": results_file.parent,
        "file": results_file,
        "deep": lm_eval_output.parent,
    }
    run = _import_one(paths[layout], store)
    assert len(list(iter_samples(store / run.manifest.run_id, "gsm8k_sample"))) == 16


def test_the_same_file_twice_is_refused(
    lm_eval_output: Path, results_file: Path, store: Path
) -> None:
    run = _import_one(lm_eval_output, store)
    for path in (lm_eval_output, shutil.copy(results_file, results_file.with_name("copy.json"))):
        with pytest.raises(
            UserError, match=f"is in the store already, as run '{run.manifest.run_id}'"
        ):
            import_path(Path(path), store)
    assert len(list_runs(store)) == 1


def test_a_folder_gives_what_is_new_and_names_what_is_not(
    lm_eval_output: Path, results_file: Path, store: Path
) -> None:
    first = _import_one(results_file, store)
    later = results_file.with_name("results_2027-01-01T00-00-00.json")
    shutil.copy(results_file, later)
    _change(later, lambda content: content.update(date=1798761600))
    outcome = import_path(lm_eval_output, store)
    assert [run.manifest.started_at[:4] for run in outcome.runs] == ["2027"]
    assert outcome.already == {str(results_file): first.manifest.run_id}


def test_an_import_that_was_killed_does_not_count(results_file: Path, store: Path) -> None:
    run = _import_one(results_file, store)
    manifest = store / run.manifest.run_id / "manifest.json"
    _change(manifest, lambda content: content.update(status="running"))
    assert _import_one(results_file, store).manifest.run_id == f"{run.manifest.run_id}-2"


ODD_LINES = {
    "torn": '{"doc_id": 3, "doc_has',
    "no JSON": "\x00\x00\x00",
    "no object": "[1, 2]",
    "doc_id is text": json.dumps({"doc_id": "3", "resps": [["a"]], "arguments": [["p"]]}),
    "no resps": json.dumps({"doc_id": 3, "doc_hash": "x", "arguments": [["p"]]}),
    "no arguments": json.dumps({"doc_id": 3, "doc_hash": "x", "resps": [["a"]], "arguments": []}),
    "resps of another type": json.dumps({"doc_id": 3, "doc_hash": "x", "resps": "a", "arguments": [["p"]]}),
    "neither hash nor doc": json.dumps({"doc_id": 3, "resps": [["a"]], "arguments": [["p"]]}),
    "deep": "[" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD_LINES)
def test_an_odd_line_is_counted_and_reported(results_file: Path, store: Path, odd: str) -> None:
    path = _samples(results_file, "gsm8k_sample")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], ODD_LINES[odd], *lines[4:]]) + "\n")
    run = _import_one(results_file, store)
    (note,) = run.notes
    assert note.startswith(f"gsm8k_sample: 1 lines of {path.name} left out (line 4: ")
    assert load_manifest(store / run.manifest.run_id).config["import"]["notes"] == [note]
    assert len(list(iter_samples(store / run.manifest.run_id, "gsm8k_sample"))) == 15
    assert run.manifest.status == "complete"


def test_a_doc_that_is_there_twice_counts_once(results_file: Path, store: Path) -> None:
    path = _samples(results_file, "arc_easy_sample")
    path.write_text(path.read_text() * 2)
    run = _import_one(results_file, store)
    assert "8 lines" in run.notes[0]
    assert "doc 0 with filter 'none' is there twice" in run.notes[0]
    assert len(list(iter_samples(store / run.manifest.run_id, "arc_easy_sample"))) == 8


def test_samples_of_fewer_docs_than_the_score_are_reported(results_file: Path, store: Path) -> None:
    path = _samples(results_file, "arc_easy_sample")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    run = _import_one(results_file, store)
    assert run.notes == ("arc_easy_sample: samples of 5 docs, the score is over 8",)
    task = next(t for t in run.manifest.tasks if t.task == "arc_easy_sample")
    assert (task.num_docs, task.dataset_fingerprint) == (8, "")


def test_a_value_that_is_not_the_samples_mean_is_reported(results_file: Path, store: Path) -> None:
    scores = [json.loads(line)["acc"] for line in _samples(results_file, "arc_easy_sample").open()]
    wrong = 1 - estimate(scores).value / 2
    _change(results_file, lambda c: c["results"]["arc_easy_sample"].update({"acc,none": wrong}))
    run = _import_one(results_file, store)
    (note,) = run.notes
    assert f"acc,none is {wrong:.6g} in the results but {estimate(scores).value:.6g}" in note
    metric = next(m for m in run.metrics if (m.task, m.metric) == ("arc_easy_sample", "acc"))
    assert metric.value == wrong


def test_results_without_samples_have_the_same_intervals(
    results_file: Path, store: Path, tmp_path: Path
) -> None:
    alone = shutil.copy(results_file, tmp_path)
    run, whole = _import_one(Path(alone), store), _import_one(results_file, tmp_path / "other")
    assert "arc_easy_sample: no samples beside the results; only the score is imported" in run.notes
    ours, theirs = (
        {(m.task, m.metric, m.filter): (m.ci_low, m.ci_high) for m in found}
        for found in (run.metrics, whole.metrics)
    )
    for key in ours:
        if key[0] not in ("truthfulqa_mc2_sample", "two_tasks"):  # neither 0 nor 1; pooled
            assert ours[key] == pytest.approx(theirs[key]), key


def test_a_task_without_n_is_left_out_and_the_run_partial(
    results_file: Path, store: Path, tmp_path: Path
) -> None:
    def forget(content: dict[str, Any]) -> None:
        content.pop("n-samples")
        content["results"]["gsm8k_sample"].pop("sample_len")

    alone = _change(Path(shutil.copy(results_file, tmp_path)), forget)
    run = _import_one(alone, store)
    assert run.manifest.status == "partial"
    assert list(run.manifest.left_out) == ["gsm8k_sample"]
    assert "gsm8k_sample" not in {m.task for m in run.metrics}


def test_without_n_the_samples_are_counted(results_file: Path, store: Path) -> None:
    def forget(content: dict[str, Any]) -> None:
        content.pop("n-samples")
        content["results"]["gsm8k_sample"].pop("sample_len")

    run = _import_one(_change(results_file, forget), store)
    assert {m.n for m in run.metrics if m.task == "gsm8k_sample"} == {8}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"results": {"a"', "is damaged"),
        ("[]", "not a results file of lm-eval"),
        ('{"results": {}}', "not a results file of lm-eval"),
        ('{"results": {"a": {"acc,none": "high"}}}', "no task with a score"),
        ('{"results": {"a": 1}}', "no task with a score"),
        ('{"results": {"a": {"acc,none": 0.5}}}', "give the number of docs"),
        ("[" * 100_000, "is damaged"),
    ],
)
def test_a_file_that_is_none_of_lm_evals_is_one_clear_line(
    tmp_path: Path, store: Path, text: str, message: str
) -> None:
    path = tmp_path / "results_x.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=message) as caught:
        import_path(path, store)
    assert "results_x.json" in str(caught.value)
    assert list_runs(store) == []
    assert not store.exists() or list(store.iterdir()) == []


def test_a_damaged_file_costs_a_folder_only_itself(lm_eval_output: Path, store: Path) -> None:
    (lm_eval_output / "results_torn.json").write_text("{")
    outcome = import_path(lm_eval_output, store)
    assert len(outcome.runs) == 1
    assert "results_torn.json" in outcome.unreadable[0]


def test_a_path_without_results_says_what_to_give(tmp_path: Path, store: Path) -> None:
    with pytest.raises(UserError, match=r"no results_\*\.json in"):
        import_path(tmp_path, store)
    with pytest.raises(UserError, match="no such file or folder"):
        import_path(tmp_path / "none", store)


def test_an_import_that_fails_leaves_no_run(results_file: Path, store: Path) -> None:
    path = _samples(results_file, "truthfulqa_mc2_sample")
    path.unlink()
    path.symlink_to("/proc/self/mem")  # opens, and fails when it is read
    with pytest.raises(StoreError, match="can't read"):
        import_path(results_file, store)
    assert list(store.iterdir()) == []


def test_a_task_name_reaches_no_file_elsewhere(tmp_path: Path, store: Path) -> None:
    (tmp_path / "secret_2026-01-01T00-00-00.jsonl").write_text('{"doc_id": 0}\n')
    (tmp_path / "out" / "samples_").mkdir(parents=True)
    name = "/../../secret"
    content = {"results": {name: {"acc,none": 0.5}}, "n-samples": {name: {"effective": 2}}}
    path = tmp_path / "out" / "results_2026-01-01T00-00-00.json"
    path.write_text(json.dumps(content))
    assert _import_one(path, store).notes == (
        f"{name}: no samples beside the results; only the score is imported",
    )


def test_a_model_entry_is_known_by_its_hub_id(results_file: Path, store: Path) -> None:
    _change(results_file, lambda content: content.update(model_name="meta-llama/Llama-3.2-1B"))
    manifest = _import_one(results_file, store).manifest
    assert manifest.model == "llama-3.2-1b"
    assert manifest.config["model"]["release_date"] == "2024-09-25"


def test_the_model_can_be_named(results_file: Path, store: Path) -> None:
    manifest = _import_one(results_file, store, model="llama-3.2-3b").manifest
    assert (manifest.model, manifest.config["model"]["hub_id"]) == (
        "llama-3.2-3b",
        "meta-llama/Llama-3.2-3B",
    )


def test_the_main_metric_is_the_suites(results_file: Path, store: Path, tmp_path: Path) -> None:
    run = _import_one(results_file, store, suite="quick")
    main = {m.task: (m.metric, m.filter) for m in run.metrics if m.is_main}
    assert main["arc_easy_sample"] == ("acc_norm", "none")
    assert main["gsm8k_sample"] == ("exact_match", "flexible-extract")
    run = _import_one(results_file, tmp_path / "other", suite="cmr")
    main = {m.task: (m.metric, m.filter) for m in run.metrics if m.is_main}
    assert main["arc_easy_sample"] == ("acc", "none")


def test_older_files_are_read(tmp_path: Path, store: Path) -> None:
    doc = {"question": "2+2?", "answer": "4"}
    results = {
        "results": {"sums": {"acc": 0.5, "acc_stderr": 0.5, "alias": "sums"}},
        "group_subtasks": {"sums": []},
        "configs": {"sums": {"output_type": "multiple_choice", "num_fewshot": 2}},
        "versions": {"sums": 2},
        "n-shot": {"sums": 2},
        "config": {"model_args": "pretrained=org/model,dtype=auto"},
        "date": 1700000000,
    }
    lines = [
        {
            "doc_id": i, "doc": doc | {"id": i}, "target": 1, "arguments": [["2+2?", " 3"], ["2+2?", " 4"]],
            "resps": [[[-1.0, False]], [[-0.5, True]]], "filtered_resps": [[-1.0, False], [-0.5, True]], "acc": float(i),
        }
        for i in range(2)
    ]  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "samples_sums.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    run = _import_one(tmp_path / "results.json", store)
    assert run.notes == ()
    (metric,) = run.metrics
    assert (metric.metric, metric.filter, metric.value, metric.n) == ("acc", "none", 0.5, 2)
    assert run.manifest.model == "org/model"
    from evalharness.tasks.loaded_task import doc_hash

    first, second = iter_samples(store / run.manifest.run_id, "sums")
    assert first.response == "[[-1.0, false], [-0.5, true]]"
    assert [first.doc_hash, second.doc_hash] == [doc_hash(line["doc"]) for line in lines]
