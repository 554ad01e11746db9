"""Whole runs with a strategy, on the fake engine: what is asked, kept and counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.cli.run import stored_config
from evalharness.config.bounds import check_values
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
    Variant,
)
from evalharness.errors import ConfigError, TaskError
from evalharness.runner.rescore import rescore
from evalharness.runner.run import (
    Outcome,
    run,
)
from evalharness.store.read import iter_samples, load_curves, load_manifest
from evalharness.store.sql import connect, query

GENERATED, SCORED = "weekday_arithmetic", "arc_easy_sample"
SELF_CORRECT = StrategyConfig(
    kind=StrategyKind.self_correct, rounds=1, critique="C", correct="D", reanswer="E"
)


def config(checkpoint: Path, results_dir: Path, strategy: StrategyConfig, **changes: Any) -> Config:
    base = Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
        engine=EngineConfig(kind=EngineKind.fake, extra=changes.pop("extra", {})),
        strategy=strategy,
        suite=SuiteConfig(
            name="test",
            tasks={
                SCORED: TaskConfig(limit=4),
                GENERATED: TaskConfig(limit=5, num_fewshot=0),
            },
        ),
        run=RunConfig(max_error_rate=1.0),
        results_dir=str(results_dir),
    )
    return replace(base, **changes)


@pytest.fixture(scope="module")
def corrected(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(config(tiny_llama, tmp_path_factory.mktemp("results"), SELF_CORRECT))


def test_a_strategy_is_applied_to_the_generative_tasks_and_the_manifest_says_so(
    corrected: Outcome,
) -> None:
    strategies = {task.task: task.strategy for task in corrected.manifest.tasks}
    assert strategies == {SCORED: "single", GENERATED: "self_correct"}
    assert corrected.manifest.strategy == "self_correct"


def test_every_turn_is_kept_with_its_tokens(corrected: Outcome) -> None:
    rows = query(
        connect(corrected.run_dir.parent),
        "SELECT doc_id, list(arm || step || purpose ORDER BY turn), min(len(token_ids)), "
        "bool_and(score IS NOT NULL OR purpose <> 'answer') FROM turns GROUP BY doc_id",
    ).fetchall()
    assert len(rows) == 5
    for _, turns, fewest_tokens, is_scored in rows:
        assert turns[:4] == ["0answer", "correct1critique", "correct1answer", "reanswer1answer"]
        assert set(turns[4:]) <= {f"vote{i}answer" for i in range(1, 65)}
        assert fewest_tokens > 0
        assert is_scored


def test_the_curve_begins_with_what_single_gives(
    corrected: Outcome, tiny_llama: Path, tmp_path: Path
) -> None:
    single = run(config(tiny_llama, tmp_path, StrategyConfig()))
    (score,) = [m.value for m in single.metrics if m.is_main and m.task == GENERATED]
    first = next(p for p in load_curves(corrected.run_dir) if (p.arm, p.x) == ("self-correct", 0))
    assert (first.value, first.n) == (score, 5)


def test_a_runs_score_is_that_of_its_last_round(corrected: Outcome) -> None:
    (score,) = [m.value for m in corrected.metrics if m.is_main and m.task == GENERATED]
    last = next(p for p in load_curves(corrected.run_dir) if (p.arm, p.x) == ("self-correct", 1))
    assert last.value == score


def test_a_second_run_asks_nothing_again(corrected: Outcome, tiny_llama: Path) -> None:
    results_dir = corrected.run_dir.parent
    again = run(config(tiny_llama, results_dir, SELF_CORRECT))
    assert [t.num_reused for t in again.manifest.tasks] == [
        t.num_samples for t in again.manifest.tasks
    ]
    assert load_curves(again.run_dir) == load_curves(corrected.run_dir)


def test_repeats_are_samples_of_their_own_and_give_pass_and_majority(
    tiny_llama: Path, tmp_path: Path
) -> None:
    outcome = run(config(tiny_llama, tmp_path, StrategyConfig(kind=StrategyKind.repeats, k=4)))
    samples = list(iter_samples(outcome.run_dir, GENERATED))
    docs = {s.doc_id for s in samples}
    assert len(docs) == 5
    assert {(s.doc_id, s.repeat) for s in samples} == {(d, r) for d in docs for r in range(4)}
    arms = {(p.arm, p.x) for p in load_curves(outcome.run_dir)}
    assert arms == {(a, k) for a in ("mean", "pass", "majority") for k in (1, 2, 4)}


def test_verify_shares_its_draws_with_repeats(tiny_llama: Path, tmp_path: Path) -> None:
    run(config(tiny_llama, tmp_path, StrategyConfig(kind=StrategyKind.repeats, k=3)))
    verify = StrategyConfig(kind=StrategyKind.verify, k=3, verify="Right?")
    outcome = run(config(tiny_llama, tmp_path, verify))
    (task,) = [t for t in outcome.manifest.tasks if t.task == GENERATED]
    assert task.num_generated_tokens == 0  # only the judgements were asked anew
    assert task.num_prompt_tokens > 0
    (gap,) = [m for m in outcome.metrics if m.metric == "verification_gap"]
    assert -1 <= gap.value <= 1


def test_a_budget_run_has_a_point_for_each_budget(tiny_llama: Path, tmp_path: Path) -> None:
    strategy = StrategyConfig(kind=StrategyKind.budget, budgets=[0, 2, 4])
    thinker = ModelConfig(
        name="tiny",
        path=str(tiny_llama),
        variant=Variant.instruct,
        think_start="<think>",
        think_end="</think>",
    )
    outcome = run(config(tiny_llama, tmp_path, strategy, model=thinker))
    assert [p.x for p in load_curves(outcome.run_dir)] == [0, 2, 4]
    (task,) = [t for t in outcome.manifest.tasks if t.task == GENERATED]
    assert task.num_truncated == 0


def test_a_conversation_that_failed_is_one_failed_sample(tiny_llama: Path, tmp_path: Path) -> None:
    outcome = run(config(tiny_llama, tmp_path, SELF_CORRECT, extra={"fail_share": 0.15}))
    (task,) = [t for t in outcome.manifest.tasks if t.task == GENERATED]
    assert 0 < task.num_errors < 5
    assert {p.n for p in load_curves(outcome.run_dir)} == {5 - task.num_errors}


def test_rescore_points_to_the_runs_own_command(corrected: Outcome) -> None:
    with pytest.raises(TaskError, match=r"strategy=self_correct.*repeat the run's command"):
        rescore(
            corrected.run_dir.parent,
            corrected.manifest,
            stored_config(corrected.run_dir),
            tasks=[GENERATED],
            is_dry=True,
        )


def test_a_task_that_cannot_be_loaded_is_left_out_and_named(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "tasks" / "mine" / "mine.yaml"
    broken.parent.mkdir(parents=True)
    broken.write_text("task: mine\ndataset_path: json\noutput_typ: generate_until\n")
    monkeypatch.chdir(tmp_path)
    suite = SuiteConfig(
        name="test", tasks={"mine": TaskConfig(), GENERATED: TaskConfig(limit=2, num_fewshot=0)}
    )
    outcome = run(config(tiny_llama, tmp_path / "results", StrategyConfig(), suite=suite))
    assert outcome.manifest.status == "partial"
    assert "output_typ" in outcome.manifest.left_out["mine"]
    assert outcome.manifest.reason is not None
    assert "mine is left out" in outcome.manifest.reason
    assert [(t.task, t.status) for t in outcome.manifest.tasks] == [(GENERATED, "complete")]


def test_a_chat_template_that_cannot_continue_is_refused_before_anything_runs(
    tiny_llama: Path, tmp_path: Path
) -> None:
    template = tmp_path / "once.jinja"
    template.write_text(
        "{% if messages | length > 1 %}One question only.{% else %}Q: {{ messages[0].content }} A:{% endif %}"
    )
    model = ModelConfig(
        name="tiny", path=str(tiny_llama), variant=Variant.instruct, chat_template=str(template)
    )
    with pytest.raises(TaskError, match="can't continue a conversation"):
        run(config(tiny_llama, tmp_path / "results", SELF_CORRECT, model=model))
    assert not (tmp_path / "results").exists()


def test_a_suite_without_generative_tasks_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    suite = SuiteConfig(name="test", tasks={SCORED: TaskConfig(limit=2)})
    with pytest.raises(TaskError, match="strategy=self_correct is for generative tasks"):
        run(config(tiny_llama, tmp_path, SELF_CORRECT, suite=suite))
    assert not any(tmp_path.iterdir())


def test_another_strategy_is_another_experiment(tiny_llama: Path, tmp_path: Path) -> None:
    one = run(config(tiny_llama, tmp_path / "a", SELF_CORRECT)).manifest
    other = run(config(tiny_llama, tmp_path / "b", replace(SELF_CORRECT, critique="X"))).manifest
    assert load_manifest(tmp_path / "a" / one.run_id).identity != other.identity


@pytest.mark.parametrize(
    ("strategy", "sampling", "message"),
    [
        (StrategyConfig(kind=StrategyKind.repeats), SamplingConfig(temperature=0.0), "temperature"),
        (StrategyConfig(kind=StrategyKind.repeats, k=0), SamplingConfig(), "strategy.k"),
        (StrategyConfig(kind=StrategyKind.verify), SamplingConfig(), "strategy.verify"),
        (StrategyConfig(kind=StrategyKind.budget), SamplingConfig(), "strategy.budgets"),
        (StrategyConfig(kind=StrategyKind.budget, budgets=[5, 5]), SamplingConfig(), "different"),
        (StrategyConfig(kind=StrategyKind.budget, budgets=[5]), SamplingConfig(), "think_start"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    strategy: StrategyConfig, sampling: SamplingConfig, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_values(config(tmp_path, tmp_path, strategy, sampling=sampling))


EXITS = """
import sys
from evalharness.tasks.python_task import PythonTask

class Exits(PythonTask):
    def docs(self):
        return [{{"id": str(i)}} for i in range(4)]

    def prompt(self, doc):
        {prompt}
        return "Q" + doc["id"]

    def target(self, doc):
        return "1"

    async def solve(self, doc, dialogue):
        {solve}
        return (await dialogue.generate()).text

    def score(self, doc, answer):
        {score}
        return {{"acc": 1.0}}
"""


@pytest.mark.parametrize("where", ["prompt", "solve", "score"])
def test_a_task_whose_code_exits_costs_its_sample_and_not_the_run(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    code = dict.fromkeys(("prompt", "solve", "score"), "pass")
    code[where] = 'if doc["id"] == "2": sys.exit(3)'
    folder = tmp_path / "tasks" / "exits"
    folder.mkdir(parents=True)
    (folder / "exits.py").write_text(EXITS.format(**code))
    monkeypatch.chdir(tmp_path)
    suite = SuiteConfig(
        name="test", tasks={"exits": TaskConfig(), GENERATED: TaskConfig(limit=2, num_fewshot=0)}
    )
    outcome = run(config(tiny_llama, tmp_path / "results", StrategyConfig(), suite=suite))
    exits, other = outcome.manifest.tasks
    assert (exits.num_samples, exits.num_errors, other.num_errors) == (4, 1, 0)
    (error,) = [row.error for row in iter_samples(outcome.run_dir, "exits") if row.error]
    assert error.endswith("SystemExit: 3")
