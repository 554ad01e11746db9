"""What a run's manifest says: counts of all that went wrong, a status, remarks with figures, nothing left out."""

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import own_tasks
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SamplingConfig,
    StrategyConfig,
    StrategyKind,
    SuiteConfig,
    TaskConfig,
)
from evalharness.engines.requests import (
    ContinuationScore,
    Failure,
    Generation,
    Response,
    Scores,
)
from evalharness.runner import (
    environment,
    manifest,
)
from evalharness.runner.manifest import (
    Counts,
    begin_manifest,
    describe_doubt,
    describe_task,
    most_frequent,
    now,
    summarize,
    task_status,
    what_failed,
    with_scores,
    without_score_remarks,
)
from evalharness.runner.prepare import (
    Prepared,
    prepare,
)
from evalharness.runner.resume import run_identity
from evalharness.runner.sample_values import Doubt
from evalharness.runner.samples import Sample
from evalharness.runner.score import (
    TaskScores,
    no_metric,
)
from evalharness.store.records import (
    MetricRecord,
    TaskSummary,
)
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.plans import Plan
from evalharness.tasks.suite import BrokenTask

SAID = Generation(text="4", token_ids=(5, 6, 7), num_prompt_tokens=11, num_cached_tokens=2)
SCORED = Scores(
    continuations=(ContinuationScore(logprob=-1.0, is_greedy=True, num_tokens=1),),
    num_prompt_tokens=17,
    num_cached_tokens=3,
)
FAILED = Failure(kind="request", message="no answer")


def sample(*responses: Response, **changes: Any) -> Sample:
    plan = Plan((), lambda _: [], **changes.pop("plan", {}))
    other = Plan((), lambda _: [], num_split_tokens=100, has_doubled_bos=True)
    made = Sample(task="t", doc_id=0, repeat=0, instances=[], plans=[plan, other], target="", **changes)  # fmt: skip
    made.responses = list(responses)
    return made


def counted(*samples: Sample) -> dict[str, Any]:
    """What isn't zero."""
    counts = Counts()
    for one in samples:
        counts.add(one)
    return {name: value for name, value in asdict(counts).items() if value}


def test_nothing_is_counted_before_the_first_sample() -> None:
    assert counted() == {}
    assert Counts().reasons == {}


def test_samples_and_tokens_are_added_up() -> None:
    assert counted(sample(SAID), sample(SCORED, SAID), sample()) == {
        "num_samples": 3,
        "num_prompt_tokens": 11 + 17 + 11,
        "num_cached_tokens": 2 + 3 + 2,
        "num_generated_tokens": 6,
    }


def test_a_sample_is_reused_when_all_of_it_is_and_costs_nothing() -> None:
    old, old_scores = replace(SAID, is_reused=True), replace(SCORED, is_reused=True)
    assert counted(sample(old, old_scores), sample(old)) == {"num_samples": 2, "num_reused": 2}
    mixed = counted(sample(old, SCORED))
    assert mixed == {"num_samples": 1, "num_prompt_tokens": 17, "num_cached_tokens": 3}
    failed = counted(sample(old, FAILED))
    assert "num_reused" not in failed
    assert failed["num_errors"] == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"finish_reason": "length"}, {"num_truncated": 2}),
        ({"finish_reason": "unclosed"}, {"num_truncated": 2, "num_unclosed_thinking": 2}),
        ({"finish_reason": "budget"}, {}),
        ({"text": " \n"}, {"num_empty": 2}),
    ],
)
def test_cut_and_empty_answers_are_counted_whoever_gave_them(
    changes: dict[str, Any], expected: dict[str, int]
) -> None:
    said = replace(SAID, is_reused=True, **changes)
    assert counted(sample(said), sample(said)) == {"num_samples": 2, "num_reused": 2} | expected


def test_failures_are_counted_by_reason_without_their_numbers() -> None:
    long = Failure(kind="context_overflow", message="12 tokens\n and  room for 1")
    longer = Failure(kind="context_overflow", message="345 tokens and room for 1")
    assert counted(sample(long), sample(longer), sample(FAILED), sample(SAID, FAILED)) == {
        "num_samples": 4,
        "num_errors": 4,
        "num_context_overflow": 2,
        "num_prompt_tokens": 11,
        "num_cached_tokens": 2,
        "num_generated_tokens": 3,
        "reasons": {
            "context_overflow: N tokens and room for N": 2,
            "request: no answer": 2,
        },
    }


def test_the_limit_of_a_reason_stays_in_it() -> None:
    slow = Failure(
        kind="scoring", message="scoring took longer than 0.5 s (run.scorer_timeout_s), doc 7"
    )
    assert counted(sample(slow), sample(slow))["reasons"] == {
        "scoring: scoring took longer than 0.5 s (run.scorer_timeout_s), doc N": 2
    }


def test_a_hundred_reasons_are_kept_of_200_characters_each() -> None:
    counts = Counts()
    names = [chr(0x4E00 + i) for i in range(101)]
    for name in (*names, *names):
        counts.add(sample(Failure(kind="task", message=name * 300)))
    assert list(counts.reasons.values()) == [2] * 100
    assert {len(reason) for reason in counts.reasons} == {200}


def test_what_happened_to_prompts_is_counted_once_a_sample() -> None:
    plan = {"num_split_tokens": 3, "has_doubled_bos": True}
    flags = {"is_cut": True, "is_without_system": True, "is_own_fewshot": True}
    assert counted(sample(plan=plan, **flags), sample(plan=plan, **flags)) == {
        "num_samples": 2,
        "num_split_tokens": 6,
        "num_doubled_bos": 2,
        "num_cut_prompts": 2,
        "num_without_system": 2,
        "num_own_fewshots": 2,
    }


def load(folder: Path, *, better: str = "true", **overrides: Any) -> LoadedTask:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yaml = own_tasks.GENERATE.replace("better: true", f"better: {better}")
        own_tasks.write(folder, "sums", yaml)
        (loaded,) = own_tasks.load("sums", **overrides).tasks
        loaded.docs_fingerprint()
    return loaded


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedTask:
    return load(tmp_path_factory.mktemp("sums"), repeats=2, limit=5)


COUNTS = Counts(
    num_samples=10, num_errors=1, num_truncated=2, num_empty=3, num_prompt_tokens=40,
    num_generated_tokens=20, reasons={"a": 1, "b": 2},
)  # fmt: skip


def test_a_summary_says_what_the_task_is_and_came_to(loaded: LoadedTask) -> None:
    """Hashes are golden values: other ones would part this run from all before it."""
    found = summarize(loaded, COUNTS, wall_s=4.5, max_error_rate=0.1, remarks=("first",))
    assert found == TaskSummary(
        task="sums", group="sums", version="1.0", num_fewshot=0, repeats=2, kind="generate_until",
        num_docs=5, num_docs_available=8, num_samples=10, num_errors=1, num_truncated=2, num_empty=3,
        num_context_overflow=0, num_prompt_tokens=40, num_cached_tokens=0, num_generated_tokens=20,
        wall_s=4.5, dataset="the task's own folder", status="complete", strategy="single",
        reasons={"b": 2, "a": 1}, remarks=("first",),
        dataset_fingerprint="a8fdf39d52a4d3c275fc6e8e1f138934a4f45319fed7c50b1d2d21ff44302ee0",
        limit_from="random", limit_seed=0, sampling="greedy, max_gen_toks 8",
        task_hash="aaa183631e3cb70656a6abd43d952afc6e51cf8f0c059e44ae34dbf3b2790811",
        request_hash="f16647f5cca8ee2902c651daf2d53200b9bd5a25361470abd241966a20940fce",
    )  # fmt: skip
    assert list(found.reasons) == ["b", "a"]


def test_few_shots_and_strategy_of_a_summary_are_the_tasks(tmp_path: Path) -> None:
    few = load(tmp_path, num_fewshot=3)
    assert summarize(few, Counts(), wall_s=0.0, max_error_rate=0).num_fewshot == 3
    found = summarize(replace(few, group="g"), Counts(num_samples=7), wall_s=0.0, max_error_rate=0)
    assert (found.num_docs, found.group, found.status, found.remarks) == (8, "g", "partial", ())


def test_how_answers_are_drawn_is_the_runs_and_the_strategys_word(loaded: LoadedTask) -> None:
    def sampling(loaded: LoadedTask, **own: Any) -> str:
        given = SamplingConfig(**own)
        return summarize(loaded, COUNTS, wall_s=1.0, max_error_rate=1, sampling=given).sampling

    drawing = replace(loaded, strategy=StrategyConfig(kind=StrategyKind.repeats, temperature=0.8))
    assert sampling(loaded, temperature=0.6).startswith("temperature 0.6, ")
    assert sampling(drawing).startswith("temperature 0.8, ")
    assert sampling(drawing, temperature=0.6).startswith("temperature 0.6, ")


PROMPTS = {
    "num_without_system": "the chat template takes no system text, so it is left out in 7 of 10 samples",
    "num_own_fewshots": "the doc itself is among the few-shots of 7 of 10 samples, with its answer",
    "num_split_tokens": "7 choices are encoded separately from the context",
    "num_doubled_bos": "there is more than one BOS in the prompts of 7 of 10 samples",
    "num_cut_prompts": "the oldest tokens are cut off the prompts of 7 of 10 samples",
}


@pytest.mark.parametrize(("name", "expected"), PROMPTS.items())
def test_what_happened_to_prompts_is_reported(loaded: LoadedTask, name: str, expected: str) -> None:
    counts = Counts(num_samples=10, **{name: 7})
    (remark,) = summarize(loaded, counts, wall_s=1.0, max_error_rate=0).remarks
    assert remark.startswith(expected)


def test_one_choice_is_reported_in_the_singular(loaded: LoadedTask) -> None:
    counts = Counts(num_samples=10, num_split_tokens=1)
    (remark,) = summarize(loaded, counts, wall_s=1.0, max_error_rate=0).remarks
    assert remark.startswith("1 choice is encoded separately")


@pytest.fixture(scope="module")
def summary(loaded: LoadedTask) -> TaskSummary:
    return summarize(loaded, COUNTS, wall_s=4.0, max_error_rate=0.1, remarks=("first",))


MAIN = ("exact_match", "number")


def scores(num_cut: int = 0, num: int = 100, **changes: Any) -> TaskScores:
    record = MetricRecord(
        task="sums", group="sums", metric=MAIN[0], filter=MAIN[1], value=0.5, ci_low=0.25, ci_high=0.75,
        stderr=0.1, n=num, higher_is_better=True, is_main=True,
    )  # fmt: skip
    doubt = Doubt(num_cut, num, 0.25, 0.5) if num_cut else None
    return TaskScores([record], {}, doubt=doubt, **changes)


@pytest.mark.parametrize(
    ("num_cut", "num", "is_reported"),
    [(1, 100, False), (0, 100, False), (2, 199, True), (3, 200, True)],
)
def test_bounds_are_reported_where_more_than_a_hundredth_was_cut(
    loaded: LoadedTask, summary: TaskSummary, num_cut: int, num: int, is_reported: bool
) -> None:
    found = with_scores(summary, loaded, scores(num_cut, num))
    assert (found.bound_low, found.bound_high) == ((0.25, 0.5) if is_reported else (None, None))
    assert len(found.remarks) == (2 if is_reported else 1)
    assert found.remarks[0] == "first"
    assert found.status == summary.status


def test_problems_of_scores_are_reported_by_metric_and_filter(
    loaded: LoadedTask, summary: TaskSummary
) -> None:
    problems = {MAIN: "too slow", ("f1", "none"): "no value"}
    found = with_scores(summary, loaded, scores(problems=problems))
    assert found.remarks == ("first", "exact_match (number): too slow", "f1: no value")
    assert found.status == "complete"
    assert without_score_remarks(found, loaded).remarks == (
        "first",
        "f1: no value",
    )  # no metric of it


def test_a_task_whose_main_metric_has_no_value_is_failed(
    loaded: LoadedTask, summary: TaskSummary
) -> None:
    nothing = TaskScores([no_metric(loaded)], {}, problems={MAIN: "no sample has a value"})
    assert with_scores(summary, loaded, nothing).status == "failed"


@pytest.mark.parametrize(
    ("better", "wrong"), [("true", "0.250"), ("false", "0.500"), ("null", "0.250")]
)
def test_all_wrong_is_the_worse_end_of_the_scale(
    tmp_path: Path, summary: TaskSummary, better: str, wrong: str
) -> None:
    task = load(tmp_path, better=better)
    found = with_scores(summary, task, scores(20))
    assert f"the score is between {wrong} (all of them wrong)" in found.remarks[-1]
    taken = "exact_match: the task doesn't say whether higher is better; taken as yes"
    assert (taken in found.remarks) == (better == "null")
    again = without_score_remarks(found, task)
    assert (again.remarks, again.bound_low, again.bound_high) == (("first",), None, None)


def test_doubt_is_reported_with_its_share_and_its_bounds() -> None:
    reported = "12 % of answers (12 of 96) were cut by a limit or are empty"
    assert describe_doubt(Doubt(12, 96, None, None), True) == reported
    assert describe_doubt(Doubt(12, 96, 0.5, None), True) == reported
    assert describe_doubt(Doubt(12, 96, None, 0.5), True) == reported
    ends = ": the score is between 0.250 (all of them wrong) and 0.500 (all right)"
    assert describe_doubt(Doubt(12, 96, 0.25, 0.5), True) == reported + ends
    assert describe_doubt(Doubt(12, 96, 0.5, 0.25), False) == reported + ends


def test_the_five_most_frequent_reasons_are_kept() -> None:
    reasons = {"z": 1, "a": 9, "b": 3, "c": 2, "d": 4, "e": 5}
    assert list(most_frequent(reasons).items()) == [
        ("a", 9),
        ("e", 5),
        ("d", 4),
        ("b", 3),
        ("c", 2),
    ]


@pytest.mark.parametrize(
    ("num_samples", "num_errors", "status"),
    [
        (20, 0, "complete"), (20, 2, "complete"), (20, 3, "failed"), (19, 0, "partial"),
        (19, 2, "failed"), (0, 0, "partial"), (21, 0, "partial"),
    ],
)  # fmt: skip
def test_a_task_is_failed_above_the_rate_and_partial_below_its_samples(
    num_samples: int, num_errors: int, status: str
) -> None:
    assert task_status(num_samples, num_errors, 20, 0.1) == status


def test_nothing_asked_is_complete() -> None:
    assert task_status(0, 0, 0, 0.1) == "complete"


def test_what_failed_is_reported_with_figures_and_the_way_out(summary: TaskSummary) -> None:
    overflow = (
        ", {} because the prompt is longer than the context (fewer few-shots, a larger engine.max_model_len, or "
        "run.truncation=left)"
    )
    partial = replace(summary, status="partial", num_samples=7)
    assert what_failed(partial) == "7 of 10 samples"
    failed = replace(summary, status="failed", num_errors=3, num_context_overflow=0)
    assert what_failed(failed) == "3 of 10 samples failed (b)"
    assert what_failed(replace(failed, reasons={})) == "3 of 10 samples failed"
    both = replace(failed, num_context_overflow=2)
    assert what_failed(both) == "3 of 10 samples failed (b)" + overflow.format(2)
    only = replace(failed, num_context_overflow=3)
    assert what_failed(only) == "3 of 10 samples failed" + overflow.format(3)
    no_score = replace(failed, num_errors=0, remarks=("no value", "more"))
    assert what_failed(no_score) == "no value"
    assert what_failed(replace(no_score, remarks=(), reasons={})) == "0 of 10 samples failed"


def test_a_task_is_one_line_of_the_log(summary: TaskSummary) -> None:
    (record,) = scores().metrics
    other = replace(record, metric="f1", is_main=False, value=0.9)
    assert describe_task(summary, [other, record]) == (
        "sums: 5 docs x 2, 0.500 [0.250, 0.750], 2 truncated, 1 errors, 4 s, 15 tok/s"
    )


def test_times_are_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now())


@pytest.fixture(scope="module")
def prepared(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("prepared")
    own_tasks.write(folder, "sums")
    own_tasks.write(folder, "picks", own_tasks.CHOICE, own_tasks.PICKS)
    for name, member in (("outer", "inner"), ("inner", "picks")):
        (folder / "tasks" / f"{name}.yaml").write_text(
            f"group: {name}\ntask: [{member}]\naggregate_metric_list: [{{metric: acc}}]\n"
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield prepare(
            Config(
                model=ModelConfig(name="tiny", path=str(tiny_llama)),
                engine=EngineConfig(kind=EngineKind.fake, seed=3),
                sampling=SamplingConfig(seed=2),
                suite=SuiteConfig(
                    name="two", version="7", tasks={n: TaskConfig() for n in ("sums", "outer")}
                ),
                run=RunConfig(seed=1),
                results_dir=str(folder / "${suite.name}"),
            )
        )


def test_a_manifest_begins_with_all_of_its_input(prepared: Prepared) -> None:
    suite = replace(prepared.suite, broken=[BrokenTask("gone", "no such task")])
    prepared = replace(
        prepared,
        suite=suite,
        template_date="2026-01-02",
        remarks=["remark"],
        prompting=replace(prepared.prompting, is_chat=True),
    )
    found = begin_manifest(prepared, "2026-01-02T03:04:05+00:00")
    assert (found.model, found.suite, found.suite_version) == ("tiny", "two", "7")
    assert (found.status, found.num_starts, found.template_date) == ("running", 1, "2026-01-02")
    assert found.seeds == {"run": 1, "sampling": 2, "engine": 3}
    assert found.groups == {"inner": ["picks"]}
    assert found.left_out == {"gone": "no such task"}
    assert found.remarks == ("remark",)
    assert found.checkpoint == dataclasses.asdict(prepared.info) | {"is_chat": True}
    assert found.packages == environment.package_versions()
    assert found.hardware["host"] == environment.hardware()["host"]
    assert found.started_at == "2026-01-02T03:04:05+00:00"
    assert found.run_id.endswith("-tiny-two")
    assert found.identity == run_identity(prepared, found.config, "2026-01-02")
    assert found.identity != run_identity(prepared, found.config, None)


def test_a_manifests_config_is_plain_words_without_references(prepared: Prepared) -> None:
    config = begin_manifest(prepared, "2026-01-02T03:04:05+00:00").config
    assert config["engine"]["kind"] == "fake"
    assert type(config["engine"]["kind"]) is str
    assert config["results_dir"].endswith("/two")


def test_a_run_is_named_as_given_or_by_the_second_and_what_is_free(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        def now(self, _: object) -> datetime:
            return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    monkeypatch.setattr(manifest, "datetime", Clock())
    config = replace(prepared.config, results_dir=str(tmp_path))
    base = "20260102-030405-tiny-two"
    for expected in (base, f"{base}-2", f"{base}-3"):
        name = begin_manifest(replace(prepared, config=config), "2026-01-02T03:04:05+00:00").run_id
        assert name == expected
        (tmp_path / name).mkdir()
    named = replace(config, run=RunConfig(id="mine"))
    assert (
        begin_manifest(replace(prepared, config=named), "2026-01-02T03:04:05+00:00").run_id
        == "mine"
    )
