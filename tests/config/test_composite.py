"""A suite's composite is checked before anything is loaded."""

from typing import Any

import pytest

from evalharness.config.bounds import check_values
from evalharness.config.schema import (
    CompositeConfig,
    Config,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.errors import ConfigError


def config(**changes: Any) -> Config:
    composite = CompositeConfig(**{"name": "mix", "parts": ["gsm8k", "arc"], **changes})
    tasks = {"gsm8k": TaskConfig(), "arc": TaskConfig()}
    suite = SuiteConfig(name="s", tasks=tasks, composite=composite)
    return Config(model=ModelConfig(name="m"), suite=suite)


def test_a_composite_of_the_suites_own_tasks_is_accepted() -> None:
    check_values(config(target=0.95))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parts": ["gsm8k", "arcs"]}, r"'arcs' is not a task of suite 's'; did you mean 'arc'\?.*composite=null"),
        ({"parts": []}, "parts: got \\[\\]"),
        ({"parts": ["arc", "arc"]}, "different tasks"),
        ({"name": "arc"}, "name: got 'arc'"),
        ({"name": " "}, "name: got ' '"),
        ({"target": 95.0}, "target: got 95.0; expected 0 to 1"),
    ],
)  # fmt: skip
def test_a_composite_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_values(config(**changes))
