"""Same responses, same numbers: our runner against lm-eval's own `simple_evaluate` over the same engine."""

from pathlib import Path

import lm_eval
import pytest

from evalharness import paths
from evalharness.config import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.engines.fake import FakeEngine
from evalharness.running.run import run
from evalharness.tasks.lm import EngineLM
from evalharness.tasks.loading import task_manager

GROUP = """
group: two_tasks
task: [arc_easy_sample, bbh_boolean_sample]
aggregate_metric_list:
  - {metric: acc, weight_by_size: %s}
"""


@pytest.mark.parametrize("is_chat", [False, True])
def test_metrics_equal_those_of_simple_evaluate(
    tiny_llama: Path, tmp_path: Path, is_chat: bool
) -> None:
    from transformers import AutoTokenizer

    tasks = ["arc_easy_sample", "truthfulqa_mc2_sample", "gsm8k_sample", "weekday_arithmetic"]
    lm = EngineLM(AutoTokenizer.from_pretrained(tiny_llama), 100_000, engine=FakeEngine())
    theirs = lm_eval.simple_evaluate(
        model=lm,
        tasks=tasks,
        limit=12,
        bootstrap_iters=0,
        task_manager=task_manager(),
        apply_chat_template=is_chat,
        fewshot_as_multiturn=is_chat,
    )
    ours = run(
        Config(
            model=ModelConfig(
                name="tiny", path=str(tiny_llama), variant=Variant.instruct, chat=is_chat
            ),
            engine=EngineConfig(kind=EngineKind.fake, max_model_len=100_000),
            suite=SuiteConfig(name="parity", tasks={name: TaskConfig() for name in tasks}),
            run=RunConfig(limit=12),
            results_dir=str(tmp_path),
        )
    )
    assert theirs is not None
    expected = {
        (task, *key.split(",")): value
        for task, metrics in theirs["results"].items()
        for key, value in metrics.items()
        if "," in key and "_stderr" not in key
    }
    assert {(m.task, m.metric, m.filter): m.value for m in ours.metrics} == pytest.approx(expected)


@pytest.mark.parametrize("by_size", ["true", "false"])
def test_groups_equal_those_of_simple_evaluate(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_size: str
) -> None:
    from transformers import AutoTokenizer

    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "two_tasks.yaml").write_text(GROUP % by_size)
    folders = [tmp_path / "tasks", paths.shipped("tasks")]
    monkeypatch.setattr(paths, "search", lambda name: folders if name == "tasks" else [])
    lm = EngineLM(AutoTokenizer.from_pretrained(tiny_llama), 100_000, engine=FakeEngine())
    theirs = lm_eval.simple_evaluate(
        model=lm, tasks=["two_tasks"], limit=9, bootstrap_iters=100, task_manager=task_manager()
    )
    ours = run(
        Config(
            model=ModelConfig(name="tiny", path=str(tiny_llama)),
            engine=EngineConfig(kind=EngineKind.fake, max_model_len=100_000),
            suite=SuiteConfig(name="parity", tasks={"two_tasks": TaskConfig(metric="acc")}),
            run=RunConfig(limit=9),
            results_dir=str(tmp_path / "results"),
        )
    )
    assert theirs is not None
    (group,) = [m for m in ours.metrics if m.task == "two_tasks"]
    assert group.value == pytest.approx(theirs["results"]["two_tasks"]["acc,none"])
    assert group.n == 18
    assert group.ci_low < group.value < group.ci_high
    assert group.is_main
