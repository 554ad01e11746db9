"""A checkpoint that a server has loaded: known by its config and tokenizer, and never taken for verified weights."""

import shutil
from pathlib import Path

import pytest

from evalharness.checkpoint import inspect, inspect_served
from evalharness.errors import CheckpointError


@pytest.fixture
def unweighted(tiny_llama: Path, tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("*.safetensors")
    return Path(shutil.copytree(tiny_llama, tmp_path / "served", ignore=ignored))


def test_config_and_tokenizer_are_enough(unweighted: Path) -> None:
    info = inspect_served(unweighted)
    assert (info.weights_fingerprint, info.params_total) == ("unverified", None)
    assert info.context_length == 1024


def test_an_engine_that_loads_weights_still_asks_for_them(unweighted: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights"):
        inspect(unweighted)


def test_local_weights_tell_the_size_and_prove_nothing(tiny_llama: Path, unweighted: Path) -> None:
    with_weights, without = inspect_served(tiny_llama), inspect_served(unweighted)
    assert with_weights.params_total == inspect(tiny_llama).params_total
    assert with_weights.fingerprint == without.fingerprint != inspect(tiny_llama).fingerprint


def test_another_tokenizer_is_another_checkpoint(unweighted: Path) -> None:
    before = inspect_served(unweighted).fingerprint
    tokenizer = unweighted / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"Z"', '"Ω"'))
    assert inspect_served(unweighted).fingerprint != before


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        inspect_served(tmp_path / "nowhere")
