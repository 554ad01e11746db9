"""Every shipped suite: known keys, known tasks, and metrics and filters that those tasks have. No data is read."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.tasks import TaskManager
from omegaconf import OmegaConf

from evalharness.config.schema import (
    SamplingConfig,
    SuiteConfig,
)
from evalharness.tasks.task_manager import CachedTaskManager

ROOT = Path(__file__).parents[2]
SUITES = sorted((ROOT / "configs" / "suite").glob("*.yaml"))
SAMPLINGS = sorted((ROOT / "configs" / "sampling").glob("*.yaml"))
ENTRIES = [
    pytest.param(path, name, id=f"{path.stem}-{name}")
    for path in SUITES
    for name in yaml.safe_load(path.read_text(encoding="utf-8"))["tasks"]
]


@cache
def index() -> dict[str, Any]:
    """lm-eval's own, with whole configurations; Python tasks are known to our manager only."""
    stock = TaskManager(include_path=str(ROOT / "tasks")).task_index
    return {**CachedTaskManager([ROOT / "tasks"]).task_index, **stock}


@cache
def suite(path: Path) -> SuiteConfig:
    parsed = OmegaConf.merge(OmegaConf.structured(SuiteConfig), OmegaConf.load(path))
    found = OmegaConf.to_object(parsed)
    assert isinstance(found, SuiteConfig)
    return found


def leaves(name: str) -> Iterator[dict[str, Any]]:
    """Configurations of the tasks that a task, group or tag stands for."""
    entry = index()[name]
    if entry.kind.name == "PY_TASK" and entry.yaml_path is None:
        yield python_task(name)
        return
    if entry.kind.name == "TAG":
        members = sorted(entry.tags)
    elif entry.kind.name == "GROUP":
        members = entry.cfg["task"]
    else:
        yield entry.cfg
        return
    for member in members:
        yield from leaves(member if isinstance(member, str) else member["task"])


def python_task(name: str) -> dict[str, Any]:
    """What a YAML would say of it; its docs are made here."""
    task = CachedTaskManager([ROOT / "tasks"]).load([name])["tasks"][name]
    return {
        "output_type": task.OUTPUT_TYPE,
        "metric_list": [{"metric": metric} for metric in task.aggregation()],
        "filter_list": [{"name": filter_.name} for filter_ in task._filters],
    }


def metrics(task: dict[str, Any]) -> list[str]:
    return [entry["metric"] for entry in task["metric_list"]]


def filters(task: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in task.get("filter_list") or [{"name": "none"}]]


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_suite_fits_the_schema_and_bears_its_files_name(path: Path) -> None:
    assert suite(path).name == path.stem
    assert suite(path).description
    assert suite(path).tasks


@pytest.mark.parametrize(("path", "name"), ENTRIES)
def test_task_is_known(path: Path, name: str) -> None:
    assert name in index()


@pytest.mark.parametrize(("path", "name"), ENTRIES)
def test_metric_exists_in_every_task(path: Path, name: str) -> None:
    metric = suite(path).tasks[name].metric
    assert metric is None or all(metric in metrics(task) for task in leaves(name))


@pytest.mark.parametrize(("path", "name"), ENTRIES)
def test_filter_exists_in_every_task(path: Path, name: str) -> None:
    filter_ = suite(path).tasks[name].filter
    assert filter_ is None or all(filter_ in filters(task) for task in leaves(name))


@pytest.mark.parametrize(("path", "name"), ENTRIES)
def test_a_task_with_several_filters_says_which_is_shown(path: Path, name: str) -> None:
    if any(len(filters(task)) > 1 for task in leaves(name)):
        assert suite(path).tasks[name].filter


@pytest.mark.parametrize(("path", "name"), ENTRIES)
def test_gen_kwargs_are_for_tasks_that_generate(path: Path, name: str) -> None:
    if suite(path).tasks[name].gen_kwargs:
        assert {task["output_type"] for task in leaves(name)} == {"generate_until"}


def test_quick_needs_no_data_but_ours() -> None:
    for name in suite(ROOT / "configs" / "suite" / "quick.yaml").tasks:
        assert all("custom_dataset" in task for task in leaves(name))


@pytest.mark.parametrize("path", SAMPLINGS, ids=lambda path: path.stem)
def test_sampling_names_every_field(path: Path) -> None:
    schema = OmegaConf.structured(SamplingConfig)
    assert set(OmegaConf.load(path)) == set(schema)
    OmegaConf.merge(schema, OmegaConf.load(path))


def test_sampling_task_leaves_everything_to_the_task() -> None:
    values = OmegaConf.load(ROOT / "configs" / "sampling" / "task.yaml")
    assert {value for key, value in values.items() if key != "seed"} == {None}
