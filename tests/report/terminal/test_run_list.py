import csv
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from evalharness.comparison.board_scores import Score
from evalharness.comparison.run_mean import RunMean
from evalharness.report.export import as_csv, metric_rows, run_as_json
from evalharness.report.terminal.run import run_table
from evalharness.report.terminal.run_list import (
    Listed,
    rows_table,
    runs_table,
    samples_view,
)
from evalharness.store.json_codec import as_json
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    TaskSummary,
    TurnRecord,
)

TASK = TaskSummary(
    task="t", group="t", version="1.0", num_fewshot=5, repeats=1, kind="multiple_choice", num_docs=100,
    num_docs_available=100, num_samples=100, num_errors=0, num_truncated=0, num_empty=0,
    num_context_overflow=0, num_prompt_tokens=6000, num_cached_tokens=0, num_generated_tokens=500,
    wall_s=20.0, dataset="d", dataset_fingerprint="f", task_hash="h", status="complete",
)  # fmt: skip
METRIC = MetricRecord(
    task="t", group="t", metric="acc", filter="none", value=0.84211, ci_low=0.82249, ci_high=0.86051,
    stderr=0.01, n=100, higher_is_better=True, is_main=True,
)  # fmt: skip
RUN = Manifest(
    run_id="2026-11-22_17-30-00_smollm2-135m_quick", status="complete", model="smollm2-135m",
    suite="quick", suite_version="1", started_at="2026-11-22T17:30:00Z", wall_s=412.0, load_s=31.0, serve_s=381.0,
    checkpoint={"fingerprint": "3f9c2d" * 10, "params_total": 46_700_000_000, "params_active": 12_900_000_000},
    engine={"kind": "vllm", "version": "0.32.0", "dtype": "bfloat16", "quantization": "fp8"},
    tasks=(TASK,),
)  # fmt: skip
SCORE = "0.842 [0.822, 0.861]"


def task(name: str, **changes: object) -> TaskSummary:
    return replace(TASK, **{"task": name, "group": name, **changes})


def metric(name: str, **changes: object) -> MetricRecord:
    return replace(METRIC, **{"task": name, "group": name, **changes})


def shown(renderable: RenderableType, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(renderable)
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    return text


def show_run(
    tasks: list[TaskSummary], metrics: list[MetricRecord], width: int = 80, **options: bool
) -> str:
    run = replace(RUN, tasks=tuple(tasks))
    return shown(run_table(run, metrics, run_dir="results/x", width=width, **options), width)


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize("width", [60, 80, 100])
def test_names_are_broken_where_their_words_end(width: int) -> None:
    names = ["truthfulqa_mc2_sample", "mmlu_high_school_world_history", "wörter-über/alles"]
    shown = show_run([task(name) for name in names], [metric(name) for name in names], width)
    cells = [line.split()[0] for line in shown.splitlines() if line and line[0] != " "]
    ends = "".join(cells)
    assert all(name in ends for name in names)
    words = {word for name in names for word in re.split(r"(?<=[_/-])", name)}
    pieces = [cell for cell in cells if any(word in cell for word in words)]
    assert all(piece in names or piece in _runs(names) for piece in pieces)


def _runs(names: Sequence[str]) -> set[str]:
    """Every run of whole words of a name."""
    found = set()
    for name in names:
        words = re.split(r"(?<=[_/-])", name)
        found |= {"".join(words[i:j]) for i in range(len(words)) for j in range(i, len(words) + 1)}
    return found


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_numbers_are_whole_at_every_width(width: int) -> None:
    name = "leaderboard_bbh_" + "x" * 80
    tasks = [
        task(
            name, num_docs=40, num_docs_available=14042, num_errors=123, num_empty=45, wall_s=5000
        ),
        task("wiki", status="partial"),
    ]
    metrics = [
        metric(name, metric="exact_match", filter="custom-extract-something", n=40),
        metric("wiki", metric="word_perplexity", value=33123.7, ci_low=31001, ci_high=35999),
    ]
    text = show_run(tasks, metrics, width)
    for whole in (SCORE, "40/14042", "123", "45 empty", "33124 [31001, 35999]"):
        assert whole in text
    assert ("1h23m" in text) == (width > 80)  # the first column that a long name leaves no room for
    if width >= 110:
        assert "tok/s" in text


def test_footer_says_what_was_run() -> None:
    text = show_run([TASK], [METRIC])
    for fact in (
        "46.7 B params (12.9 B active)", "fingerprint 3f9c2d3f9c2d", "vllm 0.32.0, bfloat16, fp8", "6m52s",
        "loaded in 31s", "results/x", "quick version 1",
    ):  # fmt: skip
        assert fact in text


def test_footer_says_what_is_unknown_and_how_replicas_differ() -> None:
    mixed = {"num_replicas": 3, "num_lost": 1, "mixture": "2 with H100; 1 with A100"}
    unknown = {"params_total": 46_700_000_000, "params_active": None}
    run = replace(RUN, engine=dict(RUN.engine) | mixed, checkpoint=unknown)
    text = " ".join(shown(run_table(run, [METRIC], run_dir="x")).split())
    assert "46.7 B params (active unknown)" in text
    assert "3 replicas (1 lost) (2 with H100; 1 with A100)" in text


def test_footer_says_that_the_engine_was_deterministic() -> None:
    run = replace(RUN, config={"engine": {"deterministic": True}})
    text = shown(run_table(run, [METRIC], run_dir="x"))
    assert "vllm 0.32.0, bfloat16, fp8, deterministic" in text


def test_footer_says_what_is_to_be_known_of_the_weights() -> None:
    run = replace(RUN, checkpoint={"remarks": ["Weights unchecked: a reason."]})
    assert "weights  Weights unchecked: a reason." in shown(run_table(run, [METRIC], run_dir="x"))


def test_footer_says_how_many_tokens_were_computed() -> None:
    tasks = [task("a", num_cached_tokens=1500), task("b")]
    assert "tokens   12.0k prompt (12% cached), 1.0k generated, 34/s" in show_run(tasks, [METRIC])
    reused = task("t", num_prompt_tokens=0, num_generated_tokens=0)
    assert "tokens" not in show_run([reused], [METRIC])


def test_footer_says_what_the_gpus_drew() -> None:
    drawn = {"num_gpus": 2, "energy_j": 1_224_000.0, "peak_gpu_memory_gib": 71.24, "cost_usd": 1.5}
    text = shown(run_table(replace(RUN, **drawn), [METRIC], run_dir="results/x"))
    assert "gpu      2 used, peak 71.2 GiB, 0.34 kWh, $1.50" in text


def test_footer_without_gpus_says_nothing_of_them() -> None:
    assert "gpu " not in shown(run_table(RUN, [METRIC], run_dir="results/x"))


def test_unclosed_thinking_is_counted_and_explained() -> None:
    text = show_run([task("t", num_truncated=3, num_unclosed_thinking=2)], [METRIC])
    assert "2 think" in text
    assert "cut before the thinking ended" in text


def test_run_without_facts_yet_can_be_shown() -> None:
    run = replace(RUN, checkpoint={}, engine={}, tasks=(), wall_s=None, load_s=None)
    text = shown(run_table(run, [], run_dir="x"))
    assert "engine" not in text


def test_limited_run_is_not_comparable() -> None:
    text = show_run([task("t", num_docs=40, num_docs_available=1319)], [replace(METRIC, n=40)])
    assert "first 40 of 1319 docs: not comparable with published scores" in text
    assert "40/1319" in text
    assert "comparable" not in show_run([TASK], [METRIC])


def test_a_run_of_random_docs_says_what_its_intervals_are_for() -> None:
    some = {"num_docs": 40, "num_docs_available": 1319, "limit_from": "random", "limit_seed": 0}
    text = show_run([task("t", **some, stratified_by="category")], [replace(METRIC, n=40)])
    words = "random 40 of 1319 docs (seed 0, by category): estimates of the scores over all docs, intervals narrowed"
    assert words in " ".join(text.split())
    assert "40/1319" in text
    two = show_run([task("t", **some), TASK], [replace(METRIC, n=40)])
    assert "random 40 of 1319 docs in 1 of 2 tasks (seed 0): estimates" in " ".join(two.split())


def test_failed_task_shows_no_score() -> None:
    line = row(show_run([task("t", status="failed")], [METRIC]), "t ")
    assert "failed" in line
    assert "0.8" not in line


def test_partial_task_is_marked() -> None:
    text = show_run([task("t", status="partial", num_errors=3, num_context_overflow=2)], [METRIC])
    assert SCORE in text
    assert "\n" + " " * 11 + "partial" in text or "partial" in text.split(SCORE)[1]
    assert "2 ctx" in text


def test_task_without_metrics_yet_has_no_score() -> None:
    assert row(show_run([TASK], []), "t ").split()[:2] == ["t", "-"]


def test_empty_metric_is_not_a_zero() -> None:
    nothing = replace(METRIC, value=math.nan, ci_low=math.nan, ci_high=math.nan, n=0)
    assert row(show_run([TASK], [nothing]), "t ").split()[:4] == ["t", "n/a", "acc", "0"]


def test_score_without_interval_says_so() -> None:
    assert "0.842 [no CI]" in show_run([TASK], [replace(METRIC, ci_low=math.nan)])


def test_lower_is_better_is_marked() -> None:
    assert "acc ↓" in show_run([TASK], [replace(METRIC, higher_is_better=False)])


def test_main_metric_is_shown_and_all_on_request() -> None:
    metrics = [replace(METRIC, metric="acc_norm", is_main=False), METRIC]
    assert "acc_norm" not in show_run([TASK], metrics)
    text = show_run([TASK], metrics, show_all=True)
    assert text.index(" acc ") < text.index("acc_norm")


GROUP = [task("mmlu_a", group="mmlu"), task("mmlu_b", group="mmlu", status="partial", num_errors=2)]
GROUP_METRICS = [
    metric("mmlu", n=200),
    metric("mmlu_a", group="mmlu", value=0.111),
    metric("mmlu_b", group="mmlu", value=0.222),
]


def test_group_is_one_row() -> None:
    text = show_run(GROUP, GROUP_METRICS, 120)
    assert row(text, "mmlu (2 tasks)").split()[3:7] == ["0.842", "[0.822,", "0.861]", "acc"]
    assert "partial: 1 of 2" in text
    assert "0.111" not in text


def test_members_of_a_group_on_request() -> None:
    text = show_run(GROUP, GROUP_METRICS, 120, show_all=True)
    assert "0.111" in row(text, "  mmlu_a")
    assert "0.222" in row(text, "  mmlu_b")


def test_group_without_own_score_shows_its_members() -> None:
    text = show_run(GROUP, GROUP_METRICS[1:], 120)
    assert "0.111" in text


def test_group_of_failed_tasks_shows_no_score() -> None:
    failed = [replace(member, status="failed") for member in GROUP]
    text = show_run(failed, GROUP_METRICS, 120)
    assert "failed: 2 of 2" in row(text, "mmlu (2")
    assert SCORE not in text


def test_names_are_text_and_never_markup() -> None:
    name = "[red]x[/red]\x1b[31m[/nope]"
    text = show_run([task(name)], [metric(name, metric="[bold]m")], 120)
    assert "[red]x[/red][31m[/nope]" in text
    assert "[bold]m" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_runs_are_listed(width: int) -> None:
    failed = replace(RUN, run_id="a[/red]", status="failed", wall_s=None, model="m" * 60)
    text = shown(runs_table([Listed(RUN, None), Listed(failed, None)], width=width), width)
    assert RUN.run_id in text
    assert "6m52s" in text
    assert "a[/red]" in text
    assert "failed" in text


def test_wide_list_marks_limited_runs() -> None:
    limited = replace(RUN, tasks=(replace(TASK, num_docs=5),))
    text = shown(runs_table([Listed(limited, None)], width=120), 120)
    assert f"5 of {TASK.num_docs_available}*" in text
    assert "first docs only (n of N): not comparable" in text
    narrow = shown(runs_table([Listed(limited, None)], width=80), 80)
    assert f"5 of {TASK.num_docs_available}*" in narrow
    assert "first docs only (n of N): not comparable" in narrow


def test_a_list_tells_runs_apart_by_what_they_reached() -> None:
    mean = RunMean("mean", Score(0.5, 0.4, 0.6, 100), 2, 2)
    part = RunMean("mean", Score(math.nan, math.nan, math.nan, 0), 3, 1)
    listed = [
        Listed(RUN, mean),
        Listed(replace(RUN, config={"strategy": {"kind": "repeats"}}), part),
        Listed(RUN, None),
    ]
    text = shown(runs_table(listed, width=200), 200)
    assert "0.500 [0.400, 0.600]" in text
    assert "1 of 3 scored" in text
    assert "repeats" in text
    assert str(RUN.engine["kind"]) in text
    assert "strategy" not in shown(runs_table(listed[:1], width=200), 200)


@pytest.mark.parametrize("width", [60, 80, 160])
def test_made_up_answers_are_marked_on_every_width(width: int) -> None:
    fake = replace(RUN, engine={"kind": "fake", "version": "1"})
    mean = RunMean("mean", Score(0.5, 0.4, 0.6, 0.05), 3, 3)
    for run, is_marked in ((fake, True), (RUN, False)):
        listed = shown(runs_table([Listed(run, mean)], width=width), width)
        assert ("0.600] fake" in listed) is is_marked
        one = shown(run_table(run, [metric("t")], run_dir="results/x", width=width), width)
        assert ("no model's scores" in " ".join(one.split())) is is_marked


def test_an_id_without_room_is_broken_between_its_words() -> None:
    run = replace(RUN, run_id="20260102-030405-some-model-of-ours-some_task+another_task")
    wide, narrow = (shown(runs_table([Listed(run, None)], width=w), w) for w in (120, 70))
    assert run.run_id in wide
    lines = [line.split()[0] for line in narrow.splitlines()[2:] if line.split()]
    assert lines[:3] == ["20260102-030405-some-", "model-of-ours-some_task+", "another_task"]


def test_query_rows_too_wide_for_a_table_become_blocks() -> None:
    columns = [f"column_{i}" for i in range(20)]
    text = shown(rows_table(columns, [["[b]text\x1b[0m" * 3] * 20], width=80))
    assert text.splitlines()[19].startswith("column_19")
    assert "[b]text[0m" in text


def test_query_rows_of_all_types() -> None:
    rows = [[1, 0.25, None, True, "x" * 1000], [2, math.nan, None, False, {"a": 1}]]
    text = shown(rows_table(["i", "f", "none", "b", "s"], rows, width=80))
    assert "nan" in text
    assert "null" in text
    assert "x" * 301 not in text.replace("\n", "").replace(" ", "")


def test_no_query_rows_is_a_header() -> None:
    assert "run_id" in shown(rows_table(["run_id"], []))


SAMPLE = {
    "task": "t", "doc_id": 1, "repeat": 0, "filter": "none", "prompt": "start" + "x" * 500 + "end",
    "thinking": None, "response": "[b]\nr", "answer": "a", "target": "4", "error": None,
    "scores": {"acc": 1.0}, "finish_reason": "stop", "num_generated_tokens": 3,
    "choices": (), "chosen": {}, "gold": (), "gold_answer": None,
}  # fmt: skip


def test_samples_show_the_end_of_the_prompt() -> None:
    text = shown(samples_view([SAMPLE]))
    assert "start" not in text
    assert "xend" in text
    assert "[b]" in text
    assert "acc 1.000" in text
    assert "thinking" not in text


def test_a_sample_shows_what_its_answer_is_compared_with() -> None:
    text = shown(samples_view([SAMPLE | {"target": "So it is\n#### 4", "gold_answer": "4"}]))
    assert text.index("#### 4") < text.index("compared with 4")


def test_a_conversation_stands_under_its_headings_instead_of_the_response() -> None:
    turn = TurnRecord(
        task="t", doc_id=1, doc_hash="h", repeat=0, turn=0, arm="", step=0, purpose="answer", message="", text="[b]3",
        thinking="hm", answer="3", score=0.0, p_yes=None, token_ids=(1,), num_prompt_tokens=5, finish_reason="stop",
        latency_s=0.1,
    )  # fmt: skip
    again = replace(turn, turn=1, arm="reanswer", step=1, message="Again?\x1b[31m", answer=None)
    judged = replace(
        turn, turn=2, arm="own", purpose="verify", text="", score=None, thinking=None, p_yes=0.5
    )
    text = shown(samples_view([SAMPLE, SAMPLE], [[turn, again, judged], []]))
    parts = [
        "xend",
        "First answer",
        "hm",
        "[b]3",
        "answer 3, score 0.000",
        "Control: asked again",
        "Again?[31m",
    ]
    parts += [
        "answer, round 1",
        "no answer found, score",
        "own",
        "verify",
        "probability of yes 0.500",
        "target 4",
        "r",
    ]
    place = 0
    for part in parts:
        place = text.index(part, place) + len(part)
    assert text.count("response") == 1


def test_run_as_json_has_no_nan() -> None:
    content = run_as_json(RUN, [replace(METRIC, value=math.nan)])
    assert json.loads(json.dumps(content, allow_nan=False))["metrics"][0]["value"] is None
    assert content["tasks"][0]["task"] == "t"


def test_json_of_other_objects_is_text() -> None:
    assert as_json({1: [math.inf, (1.5, object)]}) == {"1": [None, [1.5, "<class 'object'>"]]}


def test_csv_of_metrics_has_the_task_status() -> None:
    names, rows = metric_rows(
        RUN, [replace(METRIC, ci_low=math.nan), replace(METRIC, task="group")]
    )
    first, second = csv.DictReader(io.StringIO(as_csv(names, rows)))
    assert first["value"] == "0.84211"
    assert first["ci_low"] == ""
    assert first["status"] == "complete"
    assert second["status"] == ""
