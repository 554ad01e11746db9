"""The demo checkpoint: never overwritten, verified, and right for chats."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from evalharness.checkpoint import DEMO_PATH, inspect, make_demo
from evalharness.checkpoint.identity import hash_weights
from evalharness.checkpoint.weights import read_weights
from evalharness.errors import CheckpointError
from tiny_checkpoints import TinyTensor, write_safetensors

MADE = Path(__file__).parents[2] / DEMO_PATH


def pretend(folder: Path) -> Path:
    """A folder that looks like a demo made earlier."""
    write_safetensors(folder / "model.safetensors", {"w": TinyTensor("F32", (4,))})
    source = {"weights_fingerprint": hash_weights(read_weights(folder))}
    (folder / "source.json").write_text(json.dumps(source))
    return folder


def test_finished_demo_is_left_alone(tmp_path: Path) -> None:
    before = sorted(pretend(tmp_path / "demo").iterdir())
    assert make_demo(tmp_path / "demo") == tmp_path / "demo"
    assert sorted((tmp_path / "demo").iterdir()) == before


def test_changed_demo_is_reported_not_replaced(tmp_path: Path) -> None:
    folder = pretend(tmp_path / "demo")
    write_safetensors(folder / "model.safetensors", {"w": TinyTensor("F32", (4,))}, fill=2)
    with pytest.raises(CheckpointError, match="weights have changed"):
        make_demo(folder)


def test_foreign_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(CheckpointError, match="isn't the demo checkpoint"):
        make_demo(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_importing_the_room_pulls_in_no_engine() -> None:
    code = (
        "import sys, evalharness.checkpoint, evalharness.cli.model; "
        "print({'torch', 'vllm', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.skipif(not MADE.is_dir(), reason="`evalharness model demo` makes it")
def test_demo_has_the_scale_of_smollm2_135m() -> None:
    """134,515,008 parameters, bfloat16: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct."""
    info = inspect(MADE)
    assert info.params_total == 134_515_008
    assert (info.dtype, info.context_length) == ("bfloat16", 8192)


@pytest.mark.skipif(not MADE.is_dir(), reason="`evalharness model demo` makes it")
def test_demo_tokenizer_adds_no_start_token_and_splits_digits() -> None:
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's imports
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(MADE)
    assert tokenizer.convert_ids_to_tokens(tokenizer("hello")["input_ids"]) == ["hello"]
    assert tokenizer.tokenize("a\n\n12") == ["a", "ĊĊ", "1", "2"]
    assert tokenizer.eos_token == "<|im_end|>"


@pytest.mark.slow
@pytest.mark.network
def test_demo_can_be_made(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = make_demo(tmp_path / "demo")
    assert inspect(made).params_total == 134_515_008
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
