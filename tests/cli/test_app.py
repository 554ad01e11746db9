"""The command line: one line for wrong input, clean standard output, interruptions."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command_line import Cli
from evalharness.store.read import load_manifest, load_metrics

ROOT = Path(__file__).parents[2]
FAKE = ("engine=fake", "run.limit=1", "suite=tiny")
TINY_SUITE = "name: tiny\ntasks: {weekday_arithmetic: {}, arc_easy_sample: {}}\n"


def _id(value: str | list[str]) -> str | None:
    return " ".join(value)[:40] if isinstance(value, list) else ""


@pytest.fixture
def home(home: Path) -> Path:
    """With a suite of the user's own, too."""
    (home / "configs" / "suite").mkdir()
    (home / "configs" / "suite" / "tiny.yaml").write_text(TINY_SUITE)
    return home


WRONG = [
    (["model=nope"], "model=nope: no such model"),
    (["model=mien"], "did you mean 'mine'?"),
    (["modle=mine"], "modle: no such key; did you mean 'model'?"),
    (["suite=tiny"], "model: not given; say model=<name>"),
    (["model=null"], "a run needs its model"),
    (["model=mine", "suite=tny"], "did you mean 'tiny'? there are: "),
    (["model=mine", "engine.dtyp=x"], "did you mean 'engine.dtype'?"),
    (["model=mine", "+engine.dtyp=x"], "did you mean 'engine.dtype'?"),
    (["model=mine", "limit=x"], "run.limit: got 'x'; expected a whole number or null"),
    (["model=mine", "run.limit=abc"], "run.limit: got 'abc'; expected a whole number or null"),
    (["model=mine", "run.limit=0"], "run.limit: got 0; expected 1 or more"),
    (["model=mine", "run.limit=-3"], "run.limit: got -3; expected 1 or more"),
    (["model=mine", "run.limit_seed=-1"], "run.limit_seed: got -1; expected 0 or more"),
    (["model=mine", "run.limit_from=last"], "got 'last'; expected one of random, first"),
    (["model=mine", "run.max_error_rate=nan"], "run.max_error_rate: got nan; expected 0 to 1"),
    (["model=mine", "engine.kind=foo"], "got 'foo'; expected one of vllm, hf, fake"),
    (["model=mine", "model.name="], "model.name: got ''"),
    (["model=mine", "+foo=1"], "foo: no such key"),
    (["model=mine", "foo"], "'foo': expected key=value"),
    (["model=mine", "=x"], "'=x': expected key=value"),
    (["model=mine", "run.id=[1"], "can't be read as key=value"),
    (["model=mine", "run.limit.x=1"], "run.limit is one value, not a mapping"),
    (["model=mine,other"], "several values need -m"),
    (["model=mine", "~suite"], "a run needs its suite"),
    (["model=mine", "~suite.tasks.nope"], "nothing to remove"),
    (["model=mine", "--foo"], "unrecognized arguments: --foo"),
    (["model=mine", "--cfg", "joob"], "invalid choice: 'joob'"),
    (["model=mine", "--config-dir", "/nowhere"], "--config-dir /nowhere: no such folder"),
    (["model=mine", "--config-name", "x"], "--config-name isn't supported"),
    (
        ["model=mine", "suite.tasks.arc_easy_sampel.limit=3"],
        "did you mean 'arc_easy_sample'? `+suite.tasks.arc_easy_sampel={}` adds it",
    ),
    (
        ["model=mine", "suite.tasks.arc_easy_sample.limt=3"],
        "did you mean 'suite.tasks.arc_easy_sample.limit'?",
    ),
    (["-m", "model=mine,nope"], "model=nope: no such model"),
    (["-m", "model=mine", "run.limit=1,x"], "run.limit: got 'x'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=_id)
def test_wrong_input_is_one_line_that_says_the_way_out(
    evalharness: Cli, home: Path, arguments: list[str], message: str
) -> None:
    printed = evalharness("run", *arguments)
    assert printed.code == 2
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert not (home / "results").is_dir() or not list((home / "results").glob("[!.]*"))


PREPARING = [
    (["model.path=/nowhere"], "/nowhere isn't a folder; check model.path"),
    (["results_dir=configs/suite/tiny.yaml/x"], "results_dir"),
    (["run.id=a/b"], "run.id 'a/b'"),
    (["+suite.tasks.gsm8k_sampel={}"], "unknown task 'gsm8k_sampel'; did you mean 'gsm8k_sample'?"),
    (["data.mirror=/nowhere"], "data.mirror: no folder at /nowhere"),
]


def test_a_task_without_its_data_is_left_out_and_reported_before_the_engine_is_loaded(
    evalharness: Cli,
) -> None:
    printed = evalharness("run", "model=mine", *FAKE, "+suite.tasks.hellaswag={}", "data.mirror=.")
    assert printed.code == 3
    assert "weekday_arithmetic" in printed.out
    (line,) = printed.err.splitlines()
    assert line.startswith("warning: hellaswag is left out: ")
    assert "'Rowan/hellaswag' is not in the mirror" in line


def test_a_suite_of_which_nothing_can_be_loaded_is_refused(evalharness: Cli, home: Path) -> None:
    (home / "configs" / "suite" / "tiny.yaml").write_text("name: tiny\ntasks: {hellaswag: {}}\n")
    printed = evalharness("run", "model=mine", *FAKE, "data.mirror=.")
    assert (printed.code, printed.out) == (2, "")
    assert printed.err.count("\n") == 1
    assert "'Rowan/hellaswag' is not in the mirror" in printed.err


@pytest.mark.parametrize(("arguments", "message"), PREPARING, ids=_id)
def test_what_is_found_while_preparing_is_one_line_too(
    evalharness: Cli, home: Path, arguments: list[str], message: str
) -> None:
    printed = evalharness("run", "model=mine", *FAKE, *arguments)
    assert (printed.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert message in printed.err
    assert not (home / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nope"], "No such option: --nope; `evalharness --help` explains"),
        (["runn"], "Did you mean 'run'? `evalharness --help` explains"),
        (["model", "inspect"], "Missing argument 'PATH'; `evalharness model inspect --help`"),
        (["results", "--samples", "x"], "Invalid value for '--samples'"),
        (["results", "nope"], "no runs in 'results'"),
        (["sql"], "a query is missing"),
    ],
    ids=_id,
)
def test_wrong_usage_of_a_verb_is_one_line(
    evalharness: Cli, arguments: list[str], message: str
) -> None:
    printed = evalharness(*arguments)
    assert (printed.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert message in printed.err


def test_a_run_prints_its_table_and_nothing_else(evalharness: Cli, home: Path) -> None:
    printed = evalharness("run", "model=mine", *FAKE)
    assert (printed.code, printed.err) == (0, "")
    assert "complete" in printed.out.splitlines()[0]
    assert "weekday_arithmetic" in printed.out
    assert {path.name for path in home.iterdir()} == {"configs", "results"}


def test_json_of_a_multirun_is_one_list(evalharness: Cli, home: Path) -> None:
    arguments = ("-m", "model=mine", *FAKE, "sampling.seed=1,2", "--json")
    printed = evalharness("run", *arguments)
    assert (printed.code, printed.err) == (0, "")
    assert [run["seeds"]["sampling"] for run in json.loads(printed.out)] == [1, 2]
    assert {path.name for path in home.iterdir()} == {"configs", "results"}
    assert len(json.loads(evalharness("results", "--json").out)) == 2  # .sweeps is none of them


def test_a_multirun_continues_after_a_job_that_could_not_run(evalharness: Cli) -> None:
    printed = evalharness("run", "-m", "model=mine", *FAKE, "run.limit=0,1", "--json")
    assert printed.code == 2
    assert "run.limit: got 0" in printed.err
    refused, run = json.loads(printed.out)
    assert (refused["exit_code"], run["status"]) == (2, "complete")


def test_a_stock_task_can_be_added_and_one_taken_away(evalharness: Cli) -> None:
    printed = evalharness(
        *("run", "model=mine", *FAKE, "--json", "~suite.tasks.arc_easy_sample"),
        *("+suite.tasks.gsm8k_sample.num_fewshot=1", "engine.extra.latency_s=0.01"),
    )
    assert printed.code == 0, printed.err
    (run,) = json.loads(printed.out)
    tasks = {task["task"]: task["num_fewshot"] for task in run["tasks"]}
    assert tasks == {"weekday_arithmetic": 3, "gsm8k_sample": 1}


def test_a_task_of_the_users_own_is_found(evalharness: Cli, home: Path) -> None:
    (home / "tasks" / "capitals").mkdir(parents=True)
    (home / "tasks" / "capitals" / "docs.jsonl").write_text('{"q": "France", "a": "Paris"}\n')
    (home / "tasks" / "capitals" / "capitals.yaml").write_text(
        "task: capitals\ndataset_path: json\noutput_type: generate_until\ntest_split: test\n"
        f"dataset_kwargs: {{data_files: {{test: {home}/tasks/capitals/docs.jsonl}}}}\n"
        "doc_to_text: '{{q}}'\ndoc_to_target: '{{a}}'\n"
        "generation_kwargs: {until: ['.'], max_gen_toks: 4}\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    printed = evalharness("run", "model=mine", *FAKE, "+suite.tasks.capitals={}")
    assert printed.code == 0, printed.err
    assert "capitals" in printed.out


def test_hydras_own_flags_work(evalharness: Cli) -> None:
    printed = evalharness("run", "model=mine", *FAKE, "--cfg", "job")
    assert (printed.code, printed.err) == (0, "")
    assert "max_model_len: null" in printed.out
    assert "defaults" in evalharness("run", "model=mine", "--info", "defaults").out.lower()


def test_another_programs_config_is_refused(evalharness: Cli, home: Path) -> None:
    (home / "configs" / "config.yaml").write_text("lr: 0.1\n")
    printed = evalharness("run", "model=mine", *FAKE)
    assert (printed.code, printed.err.count("\n")) == (2, 1)
    assert "not a configuration of evalharness" in printed.err


def test_a_bug_marks_the_run_as_failed(
    evalharness: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalharness.store.write import RunWriter

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(RunWriter, "write_metrics", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        evalharness("run", "model=mine", *FAKE)
    (folder,) = (home / "results").glob("*")
    manifest = load_manifest(folder)
    assert (manifest.status, manifest.reason) == ("failed", "RuntimeError: a bug")


def _start(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A slow run in a process of its own, once its first response is on disk."""
    slow = ("engine.extra.latency_s=0.5", "engine.max_in_flight=2", "run.limit=100")
    command = [sys.executable, "-m", "evalharness", "run", "model=mine", *FAKE, *slow, *arguments]
    process = subprocess.Popen(
        command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not any(f.stat().st_size for f in (home / "results").glob("*/journal/*.jsonl")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_partial_and_keeps_what_was_finished(
    home: Path, signum: signal.Signals
) -> None:
    process = _start(home)
    process.send_signal(signum)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err.splitlines()[-1]) == (3, "interrupted")
    assert "partial: interrupted" in out
    (folder,) = (home / "results").glob("[!.]*")
    manifest = load_manifest(folder)
    assert (manifest.status, manifest.reason) == ("partial", "interrupted")
    journal = (folder / "journal" / "0000.jsonl").read_text().splitlines()
    assert len(journal) == sum(task.num_samples for task in manifest.tasks) > 0
    assert max(m.n for m in load_metrics(folder)) > 0


def test_an_interruption_ends_the_other_jobs_of_a_multirun_and_a_second_one_hurts_nothing(
    home: Path,
) -> None:
    process = _start(home, "-m", "sampling.seed=1,2")
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err.splitlines()[-1]) == (3, "interrupted")
    (folder,) = (home / "results").glob("[!.]*")
    assert load_manifest(folder).status == "partial"


def test_resume_continues_until_the_run_is_complete(evalharness: Cli, home: Path) -> None:
    # Dies after 3 requests each time it is started; 8 are wanted.
    died = evalharness(
        "run", "model=mine", "suite=tiny", "engine=fake", "run.limit=4", "run.id=cut",
        "engine.max_in_flight=1", "engine.extra.die_after=3",
    )  # fmt: skip
    assert died.code == 3
    starts = 1
    while (resumed := evalharness("resume", "cut")).code == 3:
        starts += 1
        assert starts < 6
    assert resumed.code == 0
    manifest = load_manifest(home / "results" / "cut")
    assert manifest.status == "complete"
    assert manifest.num_starts == starts + 1 > 2
    assert sum(task.num_samples for task in manifest.tasks) == 8


def test_resume_refuses_what_is_complete_or_not_there(evalharness: Cli) -> None:
    evalharness("run", "model=mine", *FAKE, "run.id=done")
    complete = evalharness("resume", "done")
    assert (complete.code, complete.out) == (2, "")
    assert "complete" in complete.err
    missing = evalharness("resume", "don3")
    assert missing.code == 2
    assert "did you mean 'done'" in missing.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "a", "b"],
        ["results", "nope"],
        ["run", "model=nope", "suite=tiny"],
        ["results", "--nope"],
    ],
    ids=" ".join,
)
def test_an_error_is_json_too_where_json_is_asked_for(
    evalharness: Cli, arguments: list[str]
) -> None:
    printed = evalharness(*arguments, "--json")
    content = json.loads(printed.out)
    found = content[0] if isinstance(content, list) else content
    assert found == {"error": printed.err.strip().removeprefix("error: "), "exit_code": 2}
    assert printed.code == 2


def test_a_run_starts_before_it_is_prepared(
    evalharness: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalharness.runner import run as running

    begun: list[str] = []
    prepare = running.prepare
    monkeypatch.setattr(running, "prepare", lambda c: (begun.append(running.now()), prepare(c))[1])
    assert evalharness("run", "model=mine", *FAKE).code == 0
    (run,) = (home / "results").glob("2*")
    assert load_manifest(run).started_at <= begun[0]


def test_without_lm_eval_a_verb_that_needs_it_is_one_line(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["lm_eval"] = None
from evalharness.cli import app
for verb in (["task", "new", "x"], ["task", "check", "x"], ["task", "preview", "x", "model=smollm2-135m"]):
    sys.argv = ["evalharness", *verb]
    try:
        app.main()
    except SystemExit as end:
        print(end.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "2", "2"]
    lines = done.stderr.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        f"error: task {verb}: lm_eval isn't installed" for verb in ("new", "check", "preview")
    ]
