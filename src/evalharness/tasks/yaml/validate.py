"""Finds what is wrong with a custom task's YAML before lm-eval reads it, in a line with file and field.

lm-eval reports an unknown field as `TaskConfig.__init__() got an unexpected keyword argument`, compiles a filter's
regex at the first response, and renders a template at the first doc.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jinja2
import lm_eval.filters
import lm_eval.utils
from lm_eval.api.registry import aggregation_registry, filter_registry, metric_registry
from lm_eval.api.task import ALL_OUTPUT_TYPES
from lm_eval.config.group import GroupConfig
from lm_eval.config.task import FewshotConfig, TaskConfig
from lm_eval.tasks._yaml_loader import _import_func_in_yml, load_yaml

from evalharness.config.yaml_files import shown
from evalharness.errors import TaskError, did_you_mean
from evalharness.tasks.yaml.files import (
    FunctionName,
    TaskFile,
    read,
)

OWN_FIELDS = frozenset({"procedural"})
"""Fields that we know but lm-eval doesn't."""

_TASK = {f.name for f in dataclasses.fields(TaskConfig)} | {"class", "task_list"} | OWN_FIELDS
_GROUP = {f.name for f in dataclasses.fields(GroupConfig)} | {"tag"} | _TASK
_FEWSHOT = {f.name for f in dataclasses.fields(FewshotConfig)}
_FILTER = {"name", "filter"}
_TEMPLATES = ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix")
_COUNTS = {"num_fewshot": 0, "repeats": 1}
"""Field -> its lowest value."""
_REGEXES = ("regex_pattern", "regexes_to_ignore")


def validate(path: Path) -> TaskFile:
    """The file of a custom task or group, after all checks that need no data.

    Raises:
        TaskError: the first thing that is wrong; it names file, line and field.
    """
    file = read(path)
    is_group, is_class = "group" in file.values, "class" in file.values
    if not is_class or OWN_FIELDS & set(file.values):
        _check_known(file, file.values, _GROUP if is_group else _TASK)
    _check_functions(file)
    for check, field in () if is_group or is_class else _CHECKS.items():
        try:
            check(file)
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            # A number where a mapping belongs, and the like.
            raise _fail(file, field, f"not in the form that lm-eval expects ({cause(e)})") from e
    return file


def _fail(file: TaskFile, where: str, message: str) -> TaskError:
    """`where` is a field, or a path of fields such as filter_list[0].filter."""
    return TaskError(f"{file.place(re.split(r'[.[]', where)[0])}: {where}: {message}")


def _check_known(file: TaskFile, given: Iterable[str], known: set[str], inside: str = "") -> None:
    for key in given:
        if key not in known:
            raise _fail(file, f"{inside}{key}", f"no such field{did_you_mean(str(key), known)}")


def _check_functions(file: TaskFile) -> None:
    for where, function in _walk(file.values):
        if isinstance(function, FunctionName):
            try:
                _import_func_in_yml(*function)
            except (Exception, SystemExit) as e:  # the module is the task's own Python
                raise _fail(file, where, f"!function {function.name}: {cause(e)}") from e


def _walk(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every value inside fields and lists, with its path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _walk(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _walk(inner, f"{where}[{place}]")
    else:
        yield where, value


def _check_output_type(file: TaskFile) -> None:
    kind = file.values.get("output_type", "generate_until")
    if kind not in ALL_OUTPUT_TYPES:
        raise _fail(file, "output_type", f"got {kind!r}; one of {', '.join(ALL_OUTPUT_TYPES)}")
    if kind == "multiple_choice" and "doc_to_choice" not in file.values:
        raise _fail(file, "doc_to_choice", "missing, and output_type is multiple_choice")


def _check_data(file: TaskFile) -> None:
    values = file.values
    if not {"custom_dataset", "dataset_path"} & set(values):
        raise _fail(file, "dataset_path", "missing; or custom_dataset: !function module.name")
    if not {"test_split", "validation_split"} & set(values):
        raise _fail(file, "test_split", "missing; it names the split that is scored")
    named = (values.get("dataset_kwargs") or {}).get("data_files") or []
    for where, name in _walk(named, "dataset_kwargs.data_files"):
        if "://" not in str(name) and not _is_there(str(name)):
            raise _fail(file, where, f"no file {name!r} in the working directory")


def _is_there(pattern: str) -> bool:
    anchor = Path(Path(pattern).anchor)
    return any(anchor.glob(str(Path(pattern).relative_to(anchor))))


def _check_fewshots(file: TaskFile) -> None:
    config = file.values.get("fewshot_config") or {}
    if not isinstance(config, Mapping):
        raise _fail(file, "fewshot_config", f"got {config!r}; expected a mapping")
    _check_known(file, config, _FEWSHOT, "fewshot_config.")


def _check_filters(file: TaskFile) -> None:
    filters = file.values.get("filter_list") or []
    for i, pipeline in enumerate(filters if isinstance(filters, list) else []):
        _check_known(file, pipeline, _FILTER, f"filter_list[{i}].")
        for key in sorted(_FILTER - set(pipeline)):
            raise _fail(file, f"filter_list[{i}].{key}", "missing")
        for j, step in enumerate(pipeline["filter"]):
            _check_filter(file, step, f"filter_list[{i}].filter[{j}]")


def _check_filter(file: TaskFile, step: Mapping[str, Any], where: str) -> None:
    name = step.get("function")
    if isinstance(name, FunctionName):
        return
    if name not in filter_registry:
        near = did_you_mean(str(name), filter_registry.keys())
        raise _fail(file, f"{where}.function", f"no filter {name!r}{near}")
    parameters = inspect.signature(filter_registry.get(name)).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        _check_known(file, step, {"function", *(p.name for p in parameters)}, f"{where}.")
    _check_regexes(file, step, where)


def _check_regexes(file: TaskFile, step: Mapping[str, Any], where: str) -> None:
    for key in _REGEXES:
        for place, pattern in _walk(step.get(key) or [], f"{where}.{key}"):
            try:
                re.compile(pattern)
            except (re.error, TypeError) as e:
                raise _fail(file, place, f"bad regex {pattern!r}: {e}") from e


def _check_counts(file: TaskFile) -> None:
    for field, least in _COUNTS.items():
        value = file.values.get(field)
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if value is not None and not is_count:
            raise _fail(file, field, f"got {value!r}; expected a whole number, {least} or more")


def _check_metrics(file: TaskFile) -> None:
    names: list[Any] = []
    for i, metric in enumerate(file.values.get("metric_list") or []):
        where = f"metric_list[{i}]"
        name = metric.get("metric")
        if name is None:
            raise _fail(file, f"{where}.metric", "missing")
        if name in names:
            what = f"{name!r} is given twice, and lm-eval computes the last for both; keep one"
            raise _fail(file, f"{where}.metric", what)
        names.append(name)
        is_higher_better = metric.get("higher_is_better")
        if not isinstance(is_higher_better, bool | None):
            what = f"got {is_higher_better!r}; expected true or false"
            raise _fail(file, f"{where}.higher_is_better", what)
        own = isinstance(name, FunctionName) or "process_results" in file.values
        if not own and not metric.get("hf_evaluate") and name not in metric_registry:
            near = did_you_mean(str(name), metric_registry.keys())
            raise _fail(file, f"{where}.metric", f"no metric {name!r}{near}")
        aggregation = metric.get("aggregation", "mean")
        if aggregation is None:
            raise _fail(file, f"{where}.aggregation", "empty; leave it out, or name one")
        if isinstance(aggregation, str) and aggregation not in aggregation_registry:
            near = did_you_mean(aggregation, aggregation_registry.keys())
            raise _fail(file, f"{where}.aggregation", f"no aggregation {aggregation!r}{near}")
        _check_regexes(file, metric, where)


def templates(file: TaskFile) -> Iterator[tuple[str, str]]:
    """(path of the field, template) of all texts of a task that are templates, or names of fields."""
    own = {key: file.values.get(key) for key in _TEMPLATES}
    fewshot = file.values.get("fewshot_config") or {}
    if isinstance(fewshot, Mapping):
        own |= {f"fewshot_config.{key}": fewshot.get(key) for key in _TEMPLATES}
    for where, template in own.items():
        if isinstance(template, str) and not isinstance(template, FunctionName):
            yield where, template


def _check_templates(file: TaskFile) -> None:
    for where, template in templates(file):
        try:
            lm_eval.utils.env.parse(template)
        except jinja2.TemplateSyntaxError as e:
            raise _fail(file, where, f"bad template: {e.message}") from e


_CHECKS: dict[Callable[[TaskFile], None], str] = {
    _check_output_type: "output_type",
    _check_data: "dataset_kwargs",
    _check_fewshots: "fewshot_config",
    _check_filters: "filter_list",
    _check_counts: "num_fewshot",
    _check_metrics: "metric_list",
    _check_templates: "doc_to_text",
}
"""Methods with the field that they read."""


def blamed_field(error: BaseException, file: TaskFile) -> str:
    """Place in a task's YAML that caused an error of lm-eval: 'file, line n: field', or only the file.

    It is the field whose own function the error passed through; else the field that lm-eval was reading.
    """
    functions = {
        value.__code__: where
        for where, value in _walk(load_yaml(file.path))
        if inspect.isfunction(value)
    }
    field = None
    for frame in _frames(error.__traceback__):
        field = functions.get(frame.f_code) or _reading(file, frame, error) or field
    return f"{file.place(re.split(r'[.[]', field)[0])}: {field}" if field else shown(file.path)


def _frames(traceback: TracebackType | None) -> Iterator[Any]:
    while traceback:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _reading(file: TaskFile, frame: Any, error: BaseException) -> str | None:
    """The field that a method of lm-eval's task was reading."""
    name = frame.f_code.co_name
    if not str(frame.f_globals.get("__name__")).startswith("lm_eval."):
        return None
    if name in _TEMPLATES:
        return str(name)
    if name == "download":
        return "custom_dataset" if "custom_dataset" in file.values else "dataset_path"
    if isinstance(error, KeyError):
        docs = {"fewshot_docs": "fewshot_split", "test_docs": "test_split"}
        docs |= {"validation_docs": "validation_split", "training_docs": "training_split"}
        return docs.get(name)
    return None


def cause(error: BaseException) -> str:
    """An error's own first line, with its type unless it is one of our errors."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, TaskError):
        return lines[0]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
