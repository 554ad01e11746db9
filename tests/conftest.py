"""Shared fixtures: a real small checkpoint, tiny random ones, and one vLLM engine for all tests that need it."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("EVALHARNESS_TASKS_TRUST", "true")

# A busy machine is slow, not wrong.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "models" / "smollm2-135m-instruct"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Libraries that set logging up (Hydra's --info does) leave handlers to streams that end with the test."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    for handler in [h for h in root.handlers if type(h) is logging.StreamHandler]:
        if handler not in handlers:
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def demo() -> Path:
    """The demo checkpoint (SmolLM2-135M-Instruct); `scripts/test` makes it."""
    if not (DEMO / "config.json").is_file():
        pytest.fail("the demo checkpoint is missing: `evalharness model demo` makes it")
    return DEMO


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of a few layers with a byte tokenizer and a chat template."""
    from tiny_checkpoints import make_tiny_llama

    return make_tiny_llama(tmp_path_factory.mktemp("tiny") / "llama")


@pytest.fixture(scope="session")
def byte_tokenizer(tiny_llama: Path) -> Any:
    """The tiny checkpoint's: a token per byte, so that texts and token counts can be read off."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_llama)
