"""Nothing that was finished is computed again, and nothing of other weights or settings is taken for it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import own_tasks
from evalharness.config.schema import (
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
from evalharness.engines import EngineInfo
from evalharness.errors import StoreError
from evalharness.runner.changed import describe_changes
from evalharness.runner.manifest import begin_manifest
from evalharness.runner.prepare import (
    Prepared,
    prepare,
)
from evalharness.runner.resume import (
    claim_run,
    find_unfinished,
    open_run,
    request_identity,
    run_identity,
    stored_responses,
)
from evalharness.runner.run import (
    Outcome,
    run,
)
from evalharness.store.lock import SILENT_S
from evalharness.store.read import list_runs
from evalharness.store.write import RunWriter
from journals import read_journal
from stores import _summary

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
    from evalharness.runner import resume

    # The fault is an engine argument here, which a real fault isn't.
    monkeypatch.setattr(resume, "_NUMBERS_DONT_DEPEND_ON", ("extra", "max_in_flight"))
    return run(config(tiny_llama, tmp_path, extra={"die_after": 6}))


def test_a_run_that_ended_early_continues_where_it_was(
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


def test_another_name_of_the_same_weights_continues_with_no_run_of_the_first(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    renamed = config(tiny_llama, tmp_path)
    renamed.model.name = "another-name"
    other = run(renamed)
    assert other.manifest.run_id != died.manifest.run_id
    assert (other.manifest.model, reused(other)) == ("another-name", 6)


def test_resume_never_starts_a_new_run(died: Outcome, tiny_llama: Path, tmp_path: Path) -> None:
    fresh = run(config(tiny_llama, tmp_path, run=RunConfig(resume=Resume.never, reuse=False)))
    assert fresh.manifest.run_id != died.manifest.run_id
    assert reused(fresh) == 0


def test_resume_must_refuses_when_there_is_nothing_to_continue(
    tiny_llama: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"run\.resume=must"):
        run(config(tiny_llama, tmp_path, run=RunConfig(resume=Resume.must)))


FEWER = {**TASKS, "arc_easy_sample": TaskConfig(limit=4)}


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        (
            {"suite": SuiteConfig(name="test", tasks=FEWER)},
            "suite.tasks.arc_easy_sample.limit 8 -> 4, docs of arc_easy_sample (8 -> 4, or different ones)",
        ),
        (
            {"sampling": SamplingConfig(temperature=0.6, seed=1)},
            "sampling.temperature null -> 0.6, sampling.seed 0 -> 1",
        ),
        ({"suite": SuiteConfig(name="test", version="2", tasks=TASKS)}, 'suite.version "1" -> "2"'),
    ],
)
def test_a_run_that_is_another_by_now_says_what_changed(
    died: Outcome, tiny_llama: Path, tmp_path: Path, changes: dict[str, Any], reported: str
) -> None:
    wanted = RunConfig(resume=Resume.must, id=died.manifest.run_id)
    with pytest.raises(StoreError) as error:
        run(config(tiny_llama, tmp_path, run=wanted, **changes))
    said = f"run '{died.manifest.run_id}' can't continue, because this has changed: {reported}; restore it"
    assert str(error.value).startswith(said)


def test_what_changed_of_weights_tasks_and_older_runs(tiny_llama: Path, tmp_path: Path) -> None:
    prepared = prepare(config(tiny_llama, tmp_path))
    now = begin_manifest(prepared, "2026-01-01T00:00:00+00:00")

    def reported(**changes: Any) -> str:
        return describe_changes(replace(now, **changes), now, prepared.suite.tasks, ["extra"])

    assert reported(
        config={**now.config, "engine": {**now.config["engine"], "extra": {"a": 1}}}
    ) == ("a task or its docs (which one isn't known for tasks that didn't finish)")
    engine = {k: v for k, v in now.config["engine"].items() if k != "deterministic"}
    assert reported(config={**now.config, "engine": engine}) == "engine.deterministic none -> false"
    other = {**now.checkpoint, "fingerprint": "0123456789abcdef"}
    prints = f"weights 0123456789ab -> {str(now.checkpoint['fingerprint'])[:12]}"
    assert reported(checkpoint=other, model="x") == f"model x -> tiny, {prints}"
    assert reported(template_date="2026-01-01").startswith(
        f"date in the chat template 2026-01-01 -> {now.template_date}"
    )
    task = replace(_summary("weekday_arithmetic", "g", [1.0]), version="0")
    assert reported(tasks=(task,)).startswith("task weekday_arithmetic (version 0 -> ")
    settings = {**now.config, "engine": {}}
    assert reported(config=settings).endswith(" more")


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
        {"engine": EngineConfig(kind=EngineKind.fake, deterministic=True)},
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


HOLD = """
import sys
from pathlib import Path
from evalharness.store.lock import Claim
claim = Claim.take(Path(sys.argv[1]))
print(claim is not None, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_process(died: Outcome) -> Iterator[subprocess.Popen[str]]:
    """A process that writes to the run that died."""
    command = [sys.executable, "-c", HOLD, str(died.run_dir)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_run_that_another_process_continues_with_is_left_alone(
    died: Outcome, other_process: object, tiny_llama: Path, tmp_path: Path
) -> None:
    assert run(config(tiny_llama, tmp_path)).manifest.run_id != died.manifest.run_id


def test_resuming_a_run_that_another_process_continues_with_is_refused(
    died: Outcome, other_process: object, tiny_llama: Path, tmp_path: Path
) -> None:
    run_id = died.manifest.run_id
    for wanted in (
        RunConfig(resume=Resume.must, id=run_id),
        RunConfig(resume=Resume.must),
        RunConfig(id=run_id),
    ):
        with pytest.raises(StoreError, match=r"is being written to by process \d+ on .*; wait"):
            run(config(tiny_llama, tmp_path, run=wanted))


def test_a_run_whose_process_was_killed_is_continued(
    died: Outcome, other_process: subprocess.Popen[str], tiny_llama: Path, tmp_path: Path
) -> None:
    set_running(died, pid=other_process.pid)
    other_process.kill()
    other_process.wait()
    assert run(config(tiny_llama, tmp_path)).manifest.run_id == died.manifest.run_id


def test_a_run_whose_process_number_is_anothers_by_now_is_continued(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    set_running(died, pid=1)
    assert run(config(tiny_llama, tmp_path)).manifest.run_id == died.manifest.run_id


def test_a_run_that_another_process_has_just_finished_is_left_alone(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    found = find_unfinished(tmp_path, died.manifest.identity, None)
    finished = run(config(tiny_llama, tmp_path))
    assert [m.run_id for m in found] == [finished.manifest.run_id]
    assert claim_run(finished.run_dir, died.manifest.identity) is None


def test_a_run_on_another_machine_is_left_alone_while_its_folder_changes(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    set_running(died, host="elsewhere")
    assert claim_run(died.run_dir, died.manifest.identity) is None
    for path in (*died.run_dir.iterdir(), *(died.run_dir / "journal").iterdir()):
        os.utime(path, (0, time.time() - SILENT_S - 1))
    assert run(config(tiny_llama, tmp_path)).manifest.run_id == died.manifest.run_id


def test_what_a_killed_process_was_about_to_write_is_removed(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    left = [died.run_dir / ".manifest.json.7.tmp", died.run_dir / "samples" / ".t.parquet.7.tmp"]
    for path in left:
        path.write_text("half")
    run(config(tiny_llama, tmp_path))
    assert not any(path.exists() for path in left)


def test_two_runs_that_start_in_the_same_second_get_names_of_their_own(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalharness.runner import run as running

    begin_manifest = running.begin_manifest
    monkeypatch.setattr(
        running, "begin_manifest", lambda *p: replace(begin_manifest(*p), run_id="same")
    )
    names = [run(config(tiny_llama, tmp_path)).manifest.run_id for _ in range(3)]
    assert names == ["same", "same-2", "same-3"]


def set_running(outcome: Outcome, **hardware: Any) -> None:
    path = outcome.run_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["status"] = "running"
    manifest["hardware"] |= hardware
    path.write_text(json.dumps(manifest))


def test_a_continued_run_keeps_the_log_of_its_earlier_start(
    died: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    before = (died.run_dir / "log.txt").read_text()
    assert "is partial" in before
    run(config(tiny_llama, tmp_path))
    after = (died.run_dir / "log.txt").read_text()
    assert after.startswith(before)
    assert "is complete" in after


def test_a_run_that_isnt_taken_is_left_to_others(tiny_llama: Path, tmp_path: Path) -> None:
    outcome = run(config(tiny_llama, tmp_path))
    assert claim_run(outcome.run_dir, outcome.manifest.identity) is None
    # Locks are between processes: only another one finds it taken.
    code = "import sys, pathlib; from evalharness.store.lock import Claim; print(Claim.take(pathlib.Path(sys.argv[1])))"
    asked = [sys.executable, "-c", code, str(outcome.run_dir.resolve())]
    assert subprocess.run(asked, capture_output=True, check=True, text=True).stdout != "None\n"


def test_arguments_that_go_to_the_engine_are_part_of_a_requests_identity(
    tiny_llama: Path, tmp_path: Path
) -> None:
    info = EngineInfo(
        kind="fake", version="1", device="none", dtype="none", quantization=None, max_model_len=64
    )
    changes = ({}, {"seed": 1}, {"deterministic": True}, {"extra": {"a": 1}})
    prepared = prepare(config(tiny_llama, tmp_path))
    found = []
    for change in changes:
        changed = replace(prepared.config, engine=replace(prepared.config.engine, **change))
        found.append(request_identity(replace(prepared, config=changed), info))
    assert len(set(found)) == len(changes)


@pytest.fixture(scope="module")
def prepared(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A run of an own task, whose weights' fingerprint is given: that of the tiny ones may change with torch."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        own_tasks.write(folder, "sums")
        suite = SuiteConfig(name="test", version="3", tasks={"sums": TaskConfig(repeats=2)})
        made = prepare(config(tiny_llama, folder, suite=suite))
        assert made.suite.tasks[0].docs
    return replace(made, info=replace(made.info, fingerprint="weights"))


def plain(prepared: Prepared) -> dict[str, Any]:
    """Its configuration as plain containers, without the paths of this machine."""
    return begin_manifest(prepared, "2026-01-01T00:00:00+00:00").config


GOLDEN = {
    "as it is": "271c8989ef29b830fdf5da63b87b474864e38606b163fb9df6ef85fdc2f1c833",
    "a date": "d4f0f69ade695dd2eb193ba4b1a0de50a744aef8b5485ed23b5847cdbe6c6801",
    "chat": "70cb6cd3322a6a8cafc5a5676dee3d5e7f19b497e2582ec5fc8f99c763141b83",
    "rolling": "95a6bf464236631dfe0000dce34870accc611383e18ea03a2240acccfdc74e85",
}
"""Made once: with other ones no run that ended early would be continued."""


def test_a_runs_identity_is_golden(prepared: Prepared) -> None:
    settings = plain(prepared)
    chat = replace(prepared, prompting=replace(prepared.prompting, is_chat=not prepared.prompting.is_chat))  # fmt: skip
    rolling = settings | {"run": settings["run"] | {"rolling_as_lm_eval": True}}
    found = {
        "as it is": run_identity(prepared, settings, None),
        "a date": run_identity(prepared, settings, "2026-01-02"),
        "chat": run_identity(chat, settings, None),
        "rolling": run_identity(prepared, rolling, None),
    }
    assert found == GOLDEN


CHANGES = [
    ("engine", "seed", 1), ("engine", "scoring", "plain"), ("engine", "extra", {"a": 1}),
    ("sampling", "temperature", 0.5), ("strategy", "kind", "repeats"), ("run", "seed", 5),
    ("run", "truncation", "left"), ("run", "max_error_rate", 0.5), ("run", "rolling_as_lm_eval", True),
    ("suite", "name", "other"), ("suite", "version", "4"), ("model", "system_instruction", "Be brief."),
    ("model", "think_start", "<t>"), ("model", "think_end", "</t>"), ("model", "chat_template_args", {"a": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("room", "name", "value"), CHANGES)
def test_what_numbers_depend_on_is_part_of_a_runs_identity(
    prepared: Prepared, room: str, name: str, value: object
) -> None:
    settings = plain(prepared)
    changed = settings | {room: settings[room] | {name: value}}
    assert run_identity(prepared, changed, None) != run_identity(prepared, settings, None)


@pytest.mark.parametrize(
    ("room", "name", "value"),
    [
        ("engine", "max_in_flight", 7), ("engine", "gpu_memory_utilization", 0.5), ("engine", "num_replicas", 2),
        ("engine", "cpu_kv_cache_gib", 9), ("engine", "api_key_env", "KEY"), ("engine", "timeout_s", 9.0),
        ("engine", "num_retries", 9), ("engine", "replica_kind", "fake"), ("run", "resume", "never"),
    ],
)  # fmt: skip
def test_what_they_dont_depend_on_is_not(
    prepared: Prepared, room: str, name: str, value: object
) -> None:
    settings = plain(prepared)
    changed = settings | {room: settings[room] | {name: value}}
    assert run_identity(prepared, changed, None) == run_identity(prepared, settings, None)


def test_a_requests_identity_is_golden(prepared: Prepared) -> None:
    info = EngineInfo(
        kind="fake", version="1", device="none", dtype="none", quantization=None, max_model_len=64
    )
    engine = replace(
        prepared.config.engine, seed=4, extra={"b": Path("x"), "a": 1}, deterministic=True
    )
    changed = replace(prepared, config=replace(prepared.config, engine=engine))
    assert request_identity(changed, info) == (
        f"weights {info.numerics} "
        '{"deterministic": true, "extra": {"a": 1, "b": "x"}, "scoring": "prefix", "seed": 4}'
    )
    assert request_identity(prepared, info).endswith(
        '{"extra": {}, "scoring": "prefix", "seed": 0}'
    )


def test_another_machine_is_left_two_minutes_of_silence() -> None:
    assert SILENT_S == 120


def test_a_runs_own_responses_come_first_and_those_of_others_only_if_they_may_be_reused(
    tiny_llama: Path, tmp_path: Path
) -> None:
    suite = SuiteConfig(name="test", tasks={"weekday_arithmetic": TaskConfig(limit=1)})
    first, second = (run(config(tiny_llama, tmp_path, suite=suite)) for _ in range(2))
    prepared = prepare(config(tiny_llama, tmp_path, suite=suite))
    ((key, _),) = read_journal(first.run_dir / "journal")
    for outcome, is_own in ((first, True), (second, True)):
        with stored_responses(prepared, outcome.run_dir) as responses:
            found = responses.get(key)
            assert found is not None
            assert found.is_own is is_own
    with stored_responses(prepared, tmp_path / "results" / "another") as responses:
        found = responses.get(key)
        assert found is not None
        assert not found.is_own
    alone = replace(prepared, config=replace(prepared.config, run=RunConfig(reuse=False)))
    with stored_responses(alone, tmp_path / "results" / "another") as responses:
        assert responses.get(key) is None


def opened(prepared: Prepared, folder: Path, **settings: Any) -> RunWriter:
    changed = replace(prepared.config, results_dir=str(folder), run=RunConfig(**settings))
    made = replace(prepared, config=changed)
    return open_run(made, begin_manifest(made, "2026-01-01T00:00:00+00:00"), "")


def test_a_name_that_is_taken_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    opened(prepared, tmp_path, id="mine", resume=Resume.never).release()
    with pytest.raises(StoreError, match="mine"):
        opened(prepared, tmp_path, id="mine", resume=Resume.never)
    assert [run.run_id for run in list_runs(tmp_path)] == ["mine"]


def test_a_folder_that_cant_be_written_is_refused_at_once(
    prepared: Prepared, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        opened(prepared, tmp_path / "file", resume=Resume.never)


def test_a_run_that_must_continue_and_isnt_there_is_reported_by_its_name(
    prepared: Prepared, tmp_path: Path
) -> None:
    for name, said in (("mine", "run 'mine' of"), (None, "run of")):
        with pytest.raises(StoreError, match=f"no unfinished {said} the same weights"):
            opened(prepared, tmp_path, id=name, resume=Resume.must)


def test_a_run_that_continues_keeps_its_beginning(prepared: Prepared, tmp_path: Path) -> None:
    first = opened(prepared, tmp_path, id="mine")
    (first.run_dir / ".manifest.json.7.tmp").write_text("half")
    begun = replace(
        first.manifest, status="partial", started_at="2020-01-01", num_starts=3, engine={"kind": "fake"}
    )  # fmt: skip
    first.update(begun)
    first.release()
    second = opened(prepared, tmp_path, id="mine")
    again = second.manifest
    assert (again.started_at, again.num_starts, again.engine) == ("2020-01-01", 4, {"kind": "fake"})
    assert (again.status, again.identity) == ("running", begun.identity)
    assert not list(first.run_dir.glob(".*.tmp"))
    second.update(replace(again, status="partial", packages={"other": "1"}))
    second.release()
    third = opened(prepared, tmp_path, resume=Resume.must).manifest
    assert (third.run_id, third.num_starts, third.engine) == ("mine", 5, {})
