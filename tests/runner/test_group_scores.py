"""Groups within groups: every level has lm-eval's value, an interval and a row."""

from array import array
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from rich.console import Console

from evalharness import paths
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.engines.fake import FakeEngine
from evalharness.report.terminal.run import run_table
from evalharness.runner.group_scores import _member
from evalharness.runner.run import (
    Outcome,
    run,
)
from evalharness.runner.score import TaskScores
from evalharness.store.records import MetricRecord
from evalharness.tasks.suite import task_manager
from lm_eval_model import LmEvalModel
from own_tasks import CHOICE, write

SIZES = {"ga": 5, "gb": 40, "gc": 11, "gd": 3}
MEMBERS = {"inner": ("ga", "gb"), "middle": ("ga", "gb", "gd"), "outer": tuple(SIZES)}
GROUPS = """
group: {name}
task: [{tasks}]
{aggregated}
metadata: {{version: 1.0}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for place, (name, size) in enumerate(SIZES.items()):
        rows = [
            {"id": str(i), "q": f"{name} {i}?", "choices": [f"{c}{i}" for c in "abcd"[: 2 + place]], "a": 0}
            for i in range(size)
        ]  # fmt: skip
        write(tmp_path, name, CHOICE, rows)
    monkeypatch.setattr(
        paths, "search", lambda name: [tmp_path / "tasks"] if name == "tasks" else []
    )
    return tmp_path


def add_group(here: Path, name: str, tasks: str, by_size: bool | None) -> None:
    line = f"aggregate_metric_list: [{{metric: acc, weight_by_size: {str(by_size).lower()}}}]"
    text = GROUPS.format(name=name, tasks=tasks, aggregated="" if by_size is None else line)
    (here / "tasks" / f"{name}.yaml").write_text(text)


def run_group(here: Path, tiny_llama: Path, name: str) -> Outcome:
    return run(
        Config(
            model=ModelConfig(name="tiny", path=str(tiny_llama)),
            engine=EngineConfig(kind=EngineKind.fake, max_model_len=100_000),
            suite=SuiteConfig(name="s", tasks={name: TaskConfig()}),
            results_dir=str(here / "results"),
        )
    )


def table(found: Outcome, **options: Any) -> list[str]:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(run_table(found.manifest, found.metrics, run_dir="here", width=120, **options))
    return console.export_text().splitlines()


@pytest.mark.parametrize("outer_by_size", [True, False, None])
@pytest.mark.parametrize("inner_by_size", [True, False])
def test_every_level_equals_lm_evals_own(
    here: Path, tiny_llama: Path, outer_by_size: bool | None, inner_by_size: bool
) -> None:
    from transformers import AutoTokenizer

    add_group(here, "inner", "ga, gb", inner_by_size)
    add_group(here, "middle", "inner, gd", not inner_by_size)
    add_group(here, "outer", "middle, gc", outer_by_size)
    lm = LmEvalModel(AutoTokenizer.from_pretrained(tiny_llama), 100_000, FakeEngine())
    theirs = lm_eval.simple_evaluate(
        model=lm, tasks=["outer"], bootstrap_iters=0, task_manager=task_manager()
    )
    assert theirs is not None
    ours = {m.task: m for m in run_group(here, tiny_llama, "outer").metrics}
    expected = {
        name: found["acc,none"] for name, found in theirs["results"].items() if "acc,none" in found
    }
    assert ("outer" in expected) == (outer_by_size is not None)
    assert {name: m.value for name, m in ours.items()} == pytest.approx(expected)
    assert len({round(value, 9) for value in expected.values()}) == len(expected)
    for name in set(expected) - set(SIZES):
        assert ours[name].group == "outer"
        assert ours[name].n == sum(SIZES[m] for m in MEMBERS[name])
        assert 0 <= ours[name].ci_low < ours[name].value < ours[name].ci_high <= 1


def test_inner_groups_have_a_row_below_the_outer_one(here: Path, tiny_llama: Path) -> None:
    add_group(here, "inner", "ga, gb", False)
    add_group(here, "outer", "inner, gc", True)
    found = run_group(here, tiny_llama, "outer")
    assert found.manifest.groups == {"inner": ["ga", "gb"]}
    first = [line.split("  ")[0] for line in table(found) if "tasks)" in line]
    assert "outer (3 tasks)" in first[0]
    rows = [line for line in table(found) if "tasks)" in line]
    assert rows[1].strip().startswith("inner (2 tasks)")
    assert "45" in rows[1]


def test_members_stand_below_the_group_that_holds_them(here: Path, tiny_llama: Path) -> None:
    add_group(here, "inner", "ga, gb", False)
    add_group(here, "middle", "inner, gd", True)
    add_group(here, "outer", "middle, gc", None)
    found = run_group(here, tiny_llama, "outer")
    names = [
        line[: len(line) - len(line.lstrip())] + line.split()[0]
        for line in table(found, show_all=True)
        if line.strip().startswith(("outer", "middle", "inner", *SIZES))
    ]
    left = len(names[0]) - len(names[0].lstrip())
    assert [name[left:] for name in names] == [
        "outer", "  middle", "    inner", "      ga", "      gb", "    gd", "  gc",
    ]  # fmt: skip


def test_a_group_that_the_outer_does_not_aggregate_is_shown(here: Path, tiny_llama: Path) -> None:
    add_group(here, "inner", "ga, gb", False)
    add_group(here, "outer", "inner, gc", None)
    found = run_group(here, tiny_llama, "outer")
    assert {m.task for m in found.metrics if m.is_main} == {"ga", "gb", "gc", "inner"}
    lines = table(found)
    assert any("inner (2 tasks)" in line for line in lines)
    assert any(line.strip().startswith("ga") for line in lines)


def test_a_member_knows_how_often_its_docs_were_answered() -> None:
    record = MetricRecord(
        task="x", group="x", metric="acc", filter="none", value=0.5, ci_low=0.4, ci_high=0.6, stderr=0.0,
        n=2, higher_is_better=True, is_main=True,
    )  # fmt: skip
    key = ("acc", "none")
    scores = TaskScores([record], {key: array("d", [0.5, 0.5])}, draws={key: 8.0})
    found = _member(scores, key, 1.0)
    assert (found.draws, found.clusters, list(found.values or ())) == (8.0, None, [0.5, 0.5])
