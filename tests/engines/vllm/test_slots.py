"""One path for all checkpoints of an architecture, and never another process's checkpoint behind it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import Device, EngineConfig
from evalharness.engines import Weights
from evalharness.engines.vllm.arguments import engine_arguments
from evalharness.engines.vllm.slots import shares_compilation, take_slot
from evalharness.errors import EngineError


def checkpoint(folder: Path, **config: Any) -> Weights:
    folder.mkdir()
    plain = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "_name_or_path": folder.name}
    (folder / "config.json").write_text(json.dumps(plain | config))
    return Weights(path=folder)


def test_checkpoints_of_one_architecture_take_turns_at_one_path(tmp_path: Path) -> None:
    slots = tmp_path / "slots"
    first = take_slot(checkpoint(tmp_path / "step-1"), slots)
    assert first is not None
    assert first.path.resolve() == tmp_path / "step-1"
    first.close()
    second = take_slot(checkpoint(tmp_path / "step-2"), slots)
    assert second is not None
    assert second.path == first.path
    assert second.path.resolve() == tmp_path / "step-2"
    second.close()


def test_another_architecture_has_another_path(tmp_path: Path) -> None:
    slots = tmp_path / "slots"
    one = take_slot(checkpoint(tmp_path / "a"), slots)
    other = take_slot(checkpoint(tmp_path / "b", hidden_size=128), slots)
    assert one is not None
    assert other is not None
    assert one.path != other.path
    one.close()
    other.close()


def test_a_path_in_use_is_never_turned_to_another_checkpoint(tmp_path: Path) -> None:
    slots = tmp_path / "slots"
    weights = checkpoint(tmp_path / "a")
    held = take_slot(weights, slots)
    same = take_slot(weights, slots)
    other = take_slot(checkpoint(tmp_path / "b"), slots)
    assert held is not None
    assert same is not None
    assert other is not None
    assert same.path == held.path
    assert other.path != held.path
    held.close()
    third = take_slot(checkpoint(tmp_path / "c"), slots)
    assert third is not None
    assert third.path not in (same.path, other.path)  # `same` is still in use
    assert same.path.resolve() == tmp_path / "a"
    for slot in (same, other, third):
        slot.close()


def test_a_process_that_is_gone_holds_no_path(tmp_path: Path) -> None:
    slots = tmp_path / "slots"
    checkpoint(tmp_path / "a")
    code = (
        "import os, sys; from pathlib import Path; from evalharness.engines import Weights; "
        "from evalharness.engines.vllm.slots import take_slot; "
        "slot = take_slot(Weights(path=Path(sys.argv[1])), Path(sys.argv[2])); print(slot.path); os._exit(1)"
    )
    gone = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a"), str(slots)],
        capture_output=True,
        text=True,
        check=False,
    )
    slot = take_slot(checkpoint(tmp_path / "b"), slots)
    assert slot is not None
    assert str(slot.path) in gone.stdout or not gone.stdout.strip()
    assert slot.path.resolve() == tmp_path / "b"
    slot.close()


@pytest.mark.parametrize("where", ["quantization_config", "text_config"])
def test_quantized_weights_keep_their_own_path(tmp_path: Path, where: str) -> None:
    quantized = {"quantization_config": {"quant_method": "fp8"}}
    config = quantized if where == "quantization_config" else {where: quantized}
    assert take_slot(checkpoint(tmp_path / "a", **config), tmp_path / "slots") is None


def test_quantized_weights_with_a_file_of_their_own_do_too(tmp_path: Path) -> None:
    weights = checkpoint(tmp_path / "a")
    (weights.path / "hf_quant_config.json").write_text("{}")
    assert take_slot(weights, tmp_path / "slots") is None


def test_code_and_adapters_of_a_checkpoint_keep_its_path(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a").path
    slots = tmp_path / "slots"
    assert take_slot(Weights(path=path, trust_remote_code=True), slots) is None
    assert take_slot(Weights(path=path, adapter=tmp_path), slots) is None


def test_a_place_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "slots").write_text("a file")
    assert take_slot(checkpoint(tmp_path / "a"), tmp_path / "slots") is None


def test_a_path_that_was_turned_all_the_same_is_noticed(tmp_path: Path) -> None:
    slot = take_slot(checkpoint(tmp_path / "a"), tmp_path / "slots")
    assert slot is not None
    slot.check()
    slot.path.unlink()
    slot.path.symlink_to(tmp_path)
    with pytest.raises(EngineError, match="the disk has no locks"):
        slot.check()
    slot.close()


@pytest.mark.parametrize(
    ("fields", "shares"),
    [
        ({"device": Device.gpu}, True),
        ({"device": Device.gpu, "enforce_eager": True}, False),
        ({"device": Device.gpu, "quantization": "fp8"}, False),
        ({"device": Device.gpu, "extra": {"kv_cache_dtype": "fp8"}}, False),
        ({"device": Device.gpu, "extra": {"distributed_executor_backend": "ray"}}, False),
        ({"device": Device.cpu}, False),
    ],
)
def test_only_what_is_compiled_is_shared(fields: dict[str, Any], shares: bool) -> None:
    arguments = engine_arguments(EngineConfig(**fields), Weights(path=Path("model")))
    assert shares_compilation(arguments) is shares
