"""The task that a verb of `evalharness task` is about, loaded as a run with the same overrides loads it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalharness.cli.direct import understand
from evalharness.cli.output import print_lines
from evalharness.errors import TaskError, UserError

if TYPE_CHECKING:
    from evalharness.config.schema import Config
    from evalharness.tasks.loaded_task import LoadedTask

ANY_MODEL = "model=smollm2-135m"
"""Completes a configuration for which the model does not matter."""


def names_model(overrides: Sequence[str]) -> bool:
    """Whether a model is given."""
    return any(text.lstrip("+").startswith("model=") for text in overrides)


def config_of(overrides: Sequence[str]) -> Config:
    """The configuration of a run with these overrides; an arbitrary model completes it if none is named.

    Raises:
        UserError: there are several.
    """
    from evalharness.config.compose import run_hydra

    found: list[Config] = []
    meant = understand([*([] if names_model(overrides) else [ANY_MODEL]), *overrides])
    print_lines(meant.remarks, to_stderr=True)
    run_hydra(meant.arguments, found.append)
    if len(found) != 1:
        raise UserError("task: one configuration at a time; several values are for `run -m`")
    if not any(o.lstrip("+").startswith(("suite", "tasks=", "experiment=")) for o in overrides):
        found[0].suite.tasks.clear()  # a task by itself isn't as the default suite has it
    return found[0]


def load(config: Config, name: str) -> list[LoadedTask]:
    """A task, or all of a group or tag, with its data; libraries' own lines are kept from the terminal.

    Raises:
        TaskError: it can't be loaded, or isn't trusted.
    """
    from dataclasses import replace

    from evalharness.config.schema import (
        SuiteConfig,
        TaskConfig,
    )
    from evalharness.tasks.dataset_mirror import go_offline
    from evalharness.tasks.suite import load_suite
    from evalharness.tasks.trust import ask

    for library in ("lm_eval", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
    if config.data.offline or config.data.mirror:
        go_offline()
    tasks = {name: config.suite.tasks.get(name, TaskConfig())}
    config = replace(config, suite=SuiteConfig(name=name, tasks=tasks))
    ask(config)
    try:
        return load_suite(config).tasks
    except TaskError as e:
        raise TaskError(str(e).removeprefix(f"suite {name!r}: ")) from e


def load_one(config: Config, name: str) -> LoadedTask:
    """A task, with its data.

    Raises:
        TaskError: it can't be loaded, isn't trusted, or is several.
    """
    loaded = load(config, name)
    if len(loaded) > 1:
        some = ", ".join(task.name for task in loaded[:5])
        raise TaskError(f"{name!r} is {len(loaded)} tasks: {some}, ...; preview one of them")
    return loaded[0]
