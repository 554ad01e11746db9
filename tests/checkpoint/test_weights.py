"""Damaged, missing and unsafe weights: one line that names the file."""

import json
from pathlib import Path

import pytest

from evalharness.checkpoint import inspect
from evalharness.checkpoint.weights import read_safetensors, read_weights
from evalharness.errors import CheckpointError
from tiny_checkpoints import TinyTensor, write_safetensors

SMALL = {"model.embed_tokens.weight": TinyTensor("F32", (8, 4))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    return tmp_path


def shards(folder: Path, *names: str) -> None:
    weight_map = {}
    for i, name in enumerate(names):
        write_safetensors(folder / name, {f"t{i}": TinyTensor("F32", (4,))})
        weight_map[f"t{i}"] = name
    index = {"weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_truncated_file_is_named(folder: Path) -> None:
    path = write_safetensors(folder / "model.safetensors", SMALL)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated") as caught:
        inspect(folder)
    assert "\n" not in str(caught.value)


def test_file_cut_in_the_header_is_truncated(folder: Path) -> None:
    path = write_safetensors(folder / "model.safetensors", SMALL)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CheckpointError, match="truncated"):
        read_safetensors(path)


@pytest.mark.parametrize("content", [b"", b"\x01", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"[]"])
def test_what_is_no_safetensors_file_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        inspect(folder)


def test_bytes_after_the_last_tensor_are_damage(folder: Path) -> None:
    path = write_safetensors(folder / "model.safetensors", SMALL)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="too long"):
        inspect(folder)


def test_missing_shard_is_named(folder: Path) -> None:
    shards(folder, "a.safetensors", "b.safetensors")
    (folder / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"b\.safetensors is missing \(1 of the 2 files"):
        inspect(folder)


def test_shard_without_its_tensor_is_named(folder: Path) -> None:
    shards(folder, "a.safetensors", "b.safetensors")
    write_safetensors(folder / "b.safetensors", {"other": TinyTensor("F32", (4,))})
    with pytest.raises(CheckpointError, match=r"b\.safetensors lacks the tensor 't1'"):
        inspect(folder)


def test_index_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    index = {"weight_map": {"t": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="isn't a file in this folder"):
        inspect(folder)


def test_files_outside_the_index_are_not_weights(folder: Path) -> None:
    shards(folder, "a.safetensors")
    write_safetensors(folder / "stale.safetensors", SMALL)
    assert [file.path.name for file in read_weights(folder)] == ["a.safetensors"]


def test_consolidated_copy_is_not_counted_twice(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", SMALL)
    write_safetensors(folder / "consolidated.safetensors", SMALL)
    assert [file.path.name for file in read_weights(folder)] == ["model.safetensors"]


def test_bad_config_is_named(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", SMALL)
    (folder / "config.json").write_text("{broken")
    with pytest.raises(CheckpointError, match=r"config\.json can't be read"):
        inspect(folder)


def test_missing_config_is_named(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", SMALL)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        inspect(folder)


def test_empty_folder_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights"):
        inspect(tmp_path)


def test_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        inspect(tmp_path / "nowhere")


def test_pickle_is_refused_with_the_key_that_allows_it(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(CheckpointError, match=r"model\.allow_pickle=true"):
        inspect(folder)


def test_allowed_pickle_is_hashed_but_its_parameters_are_unknown(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    info = inspect(folder, allow_pickle=True)
    assert info.params_total is None
    assert info.disk_bytes == 24


def test_safetensors_are_preferred_to_pickles(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"x")
    write_safetensors(folder / "model.safetensors", SMALL)
    assert inspect(folder, allow_pickle=True).params_total == 32


def test_gguf_alone_is_named_as_such(folder: Path) -> None:
    (folder / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match="only GGUF"):
        inspect(folder)
