"""A run of some docs asks what a run of all asks of them, and its score estimates that run's."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import own_tasks as own
from evalharness.cli.run import stored_config
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
from evalharness.runner.rescore import rescore
from evalharness.runner.run import (
    Outcome,
    run,
)
from evalharness.runner.samples import (
    Prompting,
    Sample,
    build_samples,
)
from evalharness.runner.strategy_scores import ends
from evalharness.runner.walk import (
    Chance,
    chance_of,
)
from evalharness.stats.estimates import wilson
from evalharness.store.read import iter_samples, load_manifest
from evalharness.store.records import (
    CurvePoint,
    TaskSummary,
)
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.suite import load_suite

NUM_DOCS, LIMIT = 40, 7
DOCS = [{"q": f"what is {i}", "a": str(i % 5)} for i in range(NUM_DOCS - 1)] + [
    {"q": "what is 3", "a": "3"}  # one of them twice
]
OTHERS = [{"q": f"other {i}", "a": str(i)} for i in range(30)]
SHOTS = own.GENERATE + "num_fewshot: 3\n"
PYTHON = """\
import random
import numpy as np
generator = random.Random(7)

def doc_to_text(doc):
    return f"{doc['q']} {generator.random()} {random.random()}"

def shuffled(split):
    return split.select(np.random.permutation(len(split)))
"""
LONG = 'description: "{{{{ 1 // (q|length - 9) }}}}"\n'  # fails for some docs, before their few-shots are drawn

TASKS = {
    "few-shots of another split": (SHOTS + "fewshot_split: dev\n", Chance.fewshots),
    "few-shots of the scored docs": (SHOTS + "fewshot_split: test\n", Chance.fewshots),
    "few-shots of whatever there is": (SHOTS, Chance.fewshots),
    "a description that fails": (SHOTS + "fewshot_split: dev\n" + LONG, Chance.fewshots),
    "the same few-shots for all": (
        SHOTS + "fewshot_split: dev\nfewshot_config: {{sampler: first_n}}\n",
        Chance.none,
    ),
    "no few-shots": (own.GENERATE, Chance.none),
    "a generator of its own": (
        SHOTS.replace('"{{{{q}}}}\\nAnswer:"', "!function own.doc_to_text")
        + "fewshot_split: dev\n",
        Chance.anything,
    ),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(run_config: RunConfig, checkpoint: Path | str = "x", **overrides: Any) -> Config:
    return Config(
        model=ModelConfig(name="tiny", path=str(checkpoint)),
        engine=EngineConfig(kind=EngineKind.fake),
        suite=SuiteConfig(name="test", tasks={"mine": TaskConfig(**overrides)}),
        run=run_config,
        results_dir="results",
    )


def load(limit: int | None, **changes: Any) -> LoadedTask:
    return load_suite(config(RunConfig(limit=limit, **changes))).tasks[0]


def samples(loaded: LoadedTask, tokenizer: Any) -> Iterator[Sample]:
    lm = EngineLM(tokenizer, 4096)
    prompting = Prompting(
        is_chat=False, fewshot_as_multiturn=False, system_instruction=None, run_seed=1
    )
    return build_samples(loaded, lm, prompting)


def asked(loaded: LoadedTask, tokenizer: Any) -> dict[int, Any]:
    """Doc id -> what is sent."""
    return {s.doc_id: s.plans[0].requests for s in samples(loaded, tokenizer)}


@pytest.mark.parametrize("name", TASKS)
def test_a_docs_prompt_is_that_of_a_run_of_all(name: str, here: Path, byte_tokenizer: Any) -> None:
    yaml, chance = TASKS[name]
    path = own.write(here, "mine", yaml, DOCS, dev=OTHERS)
    path.with_name("own.py").write_text(PYTHON)
    every = asked(load(None), byte_tokenizer)
    loaded = load(LIMIT)
    assert chance_of(loaded) is chance
    some = asked(loaded, byte_tokenizer)
    assert list(some) == list(loaded.subset.doc_ids)
    assert len(some) == LIMIT
    assert some == {doc_id: every[doc_id] for doc_id in some}
    failed = {repr(requests) for requests in some.values() if "Failure" in repr(requests)}
    assert len({repr(requests) for requests in some.values()}) >= LIMIT - 1
    assert bool(failed) == ("fails" in name)


def test_the_first_docs_need_no_others(here: Path) -> None:
    own.write(here, "mine", TASKS["few-shots of another split"][0], DOCS, dev=OTHERS)
    assert chance_of(load(LIMIT, limit_from=LimitFrom.first)) is Chance.none
    assert chance_of(load(None)) is Chance.none


def test_of_docs_that_are_left_out_nothing_is_encoded_or_rendered(
    here: Path, byte_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write(here, "mine", TASKS["few-shots of another split"][0], DOCS, dev=OTHERS)
    loaded, seen = load(LIMIT), []
    text = loaded.task.doc_to_text
    monkeypatch.setattr(
        loaded.task, "doc_to_text", lambda doc, *more: seen.append(doc["q"]) or text(doc, *more)
    )
    for _ in samples(loaded, byte_tokenizer):
        pass
    mine = [q for q in seen if q.startswith("what")]
    assert mine == [loaded.docs[i]["q"] for i in loaded.subset.doc_ids]


def test_docs_that_the_task_shuffles_are_the_same_docs(here: Path) -> None:
    """In another order for each `run.seed`; each place is that of its doc in that run."""
    path = own.write(here, "mine", own.GENERATE + "process_docs: !function own.shuffled\n", DOCS)
    path.with_name("own.py").write_text(PYTHON)
    one, other = (load(LIMIT, seed=seed) for seed in (1, 2))
    assert one.subset.doc_ids != other.subset.doc_ids
    taken = [sorted(doc["q"] for _, doc in loaded.scored_docs()) for loaded in (one, other)]
    assert taken[0] == taken[1]
    assert len(taken[0]) == LIMIT
    for loaded in (one, other):
        assert [doc for _, doc in loaded.scored_docs()] == [
            loaded.docs[i] for i in loaded.subset.doc_ids
        ]


@pytest.fixture
def mine(here: Path) -> None:
    own.write(here, "mine", TASKS["few-shots of another split"][0], DOCS, dev=OTHERS)


def summary(outcome: Outcome) -> TaskSummary:
    (found,) = outcome.manifest.tasks
    return found


@pytest.mark.usefixtures("mine")
def test_a_limited_run_after_a_run_of_all_sends_nothing(tiny_llama: Path) -> None:
    whole = run(config(RunConfig(), tiny_llama, repeats=2))
    limited = run(config(RunConfig(limit=LIMIT), tiny_llama, repeats=2))
    assert summary(limited).num_reused == summary(limited).num_samples == 2 * LIMIT
    assert limited.manifest.load_s is None  # the engine wasn't even loaded
    every = {(s.doc_id, s.repeat, s.filter): s for s in iter_samples(whole.run_dir, "mine")}
    for sample in iter_samples(limited.run_dir, "mine"):
        of_all = every[sample.doc_id, sample.repeat, sample.filter]
        assert replace(sample, latency_s=0) == replace(of_all, latency_s=0)


@pytest.mark.usefixtures("mine")
def test_a_run_of_all_after_a_limited_one_sends_only_the_rest(tiny_llama: Path) -> None:
    limited = summary(run(config(RunConfig(limit=LIMIT), tiny_llama)))
    assert (limited.num_docs, limited.num_reused) == (LIMIT, 0)
    whole = summary(run(config(RunConfig(), tiny_llama)))
    assert (whole.num_docs, whole.num_reused) == (NUM_DOCS, LIMIT)


@pytest.mark.usefixtures("mine")
def test_the_manifest_says_which_docs(tiny_llama: Path) -> None:
    of_seed_3 = run(config(RunConfig(limit=LIMIT, limit_seed=3), tiny_llama))
    assert summary(of_seed_3).subset == f"random {LIMIT}, seed 3"
    first = run(config(RunConfig(limit=LIMIT, limit_from=LimitFrom.first), tiny_llama))
    assert summary(first).subset == f"first {LIMIT}"
    assert [s.doc_id for s in iter_samples(first.run_dir, "mine")] == list(range(LIMIT))
    whole = run(config(RunConfig(limit=NUM_DOCS), tiny_llama))
    assert summary(whole).subset == ""
    identities = {outcome.manifest.identity for outcome in (of_seed_3, first, whole)}
    assert len(identities) == 3
    assert run(config(RunConfig(), tiny_llama)).manifest.identity == whole.manifest.identity


@pytest.mark.usefixtures("mine")
def test_intervals_of_random_docs_are_narrowed_and_no_others(tiny_llama: Path) -> None:
    """The same docs, taken as the first of a task that has no others, have the interval of n docs."""
    limited = run(config(RunConfig(limit=LIMIT), tiny_llama))
    loaded = load(LIMIT)
    own.write(Path.cwd(), "mine", rows=[doc for _, doc in loaded.scored_docs()])
    alone = run(config(RunConfig(), tiny_llama))
    (narrow,), (wide,) = limited.metrics, alone.metrics
    assert (narrow.value, narrow.n, narrow.stderr) == (wide.value, wide.n, wide.stderr)
    factor = math.sqrt(1 - LIMIT / NUM_DOCS)
    assert narrow.ci_high - narrow.value == pytest.approx(factor * (wide.ci_high - wide.value))
    assert narrow.value - narrow.ci_low == pytest.approx(factor * (wide.value - wide.ci_low))
    assert wide.ci_high > wide.ci_low


def test_a_draw_with_a_doc_that_has_no_score_is_not_narrowed(tiny_llama: Path, here: Path) -> None:
    own.write(here, "mine", TASKS["a description that fails"][0], DOCS, dev=OTHERS)
    outcome = run(config(RunConfig(limit=25, max_error_rate=1), tiny_llama))
    (metric,), task = outcome.metrics, summary(outcome)
    assert 0 < task.num_errors < 25
    assert metric.n == 25 - task.num_errors
    assert (metric.ci_low, metric.ci_high) == wilson(round(metric.n * metric.value), metric.n)


@pytest.mark.usefixtures("mine")
def test_a_draw_of_fewer_docs_than_categories_is_a_plain_one_and_says_so(tiny_llama: Path) -> None:
    outcome = run(config(RunConfig(limit=3), tiny_llama, stratify="a"))
    (metric,), task = outcome.metrics, summary(outcome)
    low, high = wilson(round(3 * metric.value), 3)
    factor = math.sqrt(1 - 3 / NUM_DOCS)
    assert metric.value - metric.ci_low == pytest.approx(factor * (metric.value - low))
    assert metric.ci_high - metric.value == pytest.approx(factor * (high - metric.value))
    (remark,) = task.remarks
    assert re.match(r"[234] of 5 categories have no doc: the limit of 3 is smaller", remark)
    assert task.stratified_by == ""


@pytest.mark.usefixtures("mine")
def test_a_curves_intervals_are_narrowed_where_every_doc_of_the_draw_has_a_point() -> None:
    point = CurvePoint(
        task="mine", strategy="repeats", arm="a", x=1, x_name="samples", value=0.5, ci_low=0.25,
        ci_high=0.75, n=LIMIT, num_tokens=1,
    )  # fmt: skip
    reach = 0.25 * math.sqrt(1 - LIMIT / NUM_DOCS)
    loaded = load(LIMIT)
    assert ends(loaded, point) == pytest.approx((0.5 - reach, 0.5 + reach))
    assert ends(loaded, replace(point, n=LIMIT - 1)) == (0.25, 0.75)
    assert ends(load(LIMIT, limit_from=LimitFrom.first), point) == (0.25, 0.75)


@pytest.mark.usefixtures("mine")
def test_scoring_again_keeps_the_docs_and_their_interval(tiny_llama: Path, here: Path) -> None:
    """Also when the data has other docs before them by now."""
    before = run(config(RunConfig(limit=LIMIT), tiny_llama, repeats=2))
    yaml = TASKS["few-shots of another split"][0]
    for rows in (DOCS, [{"q": "new", "a": "0"}, *DOCS]):
        own.write(here, "mine", yaml, rows, dev=OTHERS)
        again = rescore(here / "results", before.manifest, stored_config(before.run_dir))
        assert again.num_samples == 2 * LIMIT
        assert again.metrics_after == again.metrics_before
    own.write(here, "mine", yaml.replace("[0-9]+", "[a-z]+"), DOCS, dev=OTHERS)
    again = rescore(here / "results", before.manifest, stored_config(before.run_dir))
    assert again.changes
    assert again.manifest.tasks[0].subset == f"random {LIMIT}, seed 0"


@pytest.mark.usefixtures("mine")
def test_a_run_of_before_there_were_random_docs_continues_with_the_first(tiny_llama: Path) -> None:
    outcome = run(config(RunConfig(limit=LIMIT), tiny_llama))
    path = outcome.run_dir / "config.yaml"
    kept = [line for line in path.read_text().splitlines() if "limit_" not in line]
    path.write_text("\n".join(kept))
    assert stored_config(outcome.run_dir).run.limit_from is LimitFrom.first


def test_manifests_of_before_there_were_random_docs_say_first() -> None:
    old = Path(__file__).parents[1] / "data" / "schema-1"
    tasks = load_manifest(old).tasks
    assert {task.subset for task in tasks} == {f"first {task.num_docs}" for task in tasks}
    assert {task.is_limited for task in tasks} == {True}


def test_a_groups_score_estimates_that_of_all_docs(tiny_llama: Path, here: Path) -> None:
    """Of 10 docs of each member they weigh as the members' own docs do, and the value of all docs lies in the interval."""
    for name, size in (("small", 15), ("large", 60)):
        own.write(
            here,
            name,
            own.CHOICE,
            [{"q": f"{name} {i}?", "choices": ["a", f"b{i}"], "a": i % 3 % 2} for i in range(size)],
        )
    (here / "tasks" / "both.yaml").write_text(
        "group: both\ntask: [small, large]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"
        "metadata: {version: 1.0}\n"
    )
    wanted = config(RunConfig(limit=10), tiny_llama)
    wanted.suite = SuiteConfig(name="test", tasks={"both": TaskConfig()})
    outcome = run(wanted)
    value = {m.task: m for m in outcome.metrics}
    assert value["both"].value == pytest.approx(
        (15 * value["small"].value + 60 * value["large"].value) / 75
    )
    wanted.run = RunConfig(limit=10, limit_from=LimitFrom.first)
    first = {m.task: m for m in run(wanted).metrics}
    assert first["both"].value == pytest.approx((first["small"].value + first["large"].value) / 2)
    widths = [m["both"].ci_high - m["both"].ci_low for m in (value, first)]
    assert all(width > 0 for width in widths)
