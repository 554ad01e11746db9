"""Damaged, missing and unsafe weights: one line that names the file."""

import json
import re
from pathlib import Path

import pytest

from evalharness.checkpoint import inspect
from evalharness.checkpoint.weights import read_safetensors, read_weights, some
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


def write_raw(path: Path, header: str, data: bytes = b"") -> Path:
    encoded = header.encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    return path


def entry(begin: int, end: int, shape: object = (2,), dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, "'b' overlaps 'a'"),
        ({"a": entry(0, 8), "b": entry(12, 20)}, "'b' leaves a gap behind 'a'"),
        ({"a": entry(4, 12)}, "'a' leaves a gap behind the header"),
        ({"a": entry(0, 8, (3,))}, "has 8 bytes, F32 of shape"),
        ({"a": entry(0, 8, (2,), "F16")}, "would be 4"),
        ({"a": entry(0, 8, (2**62, 2**62))}, "has 8 bytes"),
        ({"a": entry(0, 8, (2**64,))}, "with shape"),
        ({"a": entry(0, 8, (1,) * 17)}, "with shape"),
        ({"a": entry(0, 8, (-2,))}, "with shape"),
        ({"a": entry(0, 8, (True, 2))}, "with shape"),
        ({"a": entry(0, 8, ("2",))}, "with shape"),
        ({"a": entry(8, 0)}, "has -8 bytes"),
        ({"a": entry(0, 8, (2,), "F99")}, "unknown dtype 'F99'"),
        ({"a": entry(0, 8, (2,), ["F32"])}, "damaged header"),
        ({"a": entry(0, 8, 2)}, "damaged header"),
        ({"a": {"dtype": "F32"}}, "damaged header"),
        ({"a": 5}, "damaged header"),
        ({"__metadata__": {"format": 1}, "a": entry(0, 8)}, "__metadata__"),
        ({"__metadata__": 5, "a": entry(0, 8)}, "damaged header"),
    ],
)
def test_a_header_that_breaks_the_format_is_refused(
    tmp_path: Path, tensors: dict[str, object], said: str
) -> None:
    path = write_raw(tmp_path / "model.safetensors", json.dumps(tensors), bytes(8))
    with pytest.raises(CheckpointError, match=re.escape(said)) as caught:
        read_safetensors(path)
    assert "\n" not in str(caught.value)


def test_a_tensor_named_twice_in_a_header_is_refused(tmp_path: Path) -> None:
    one = json.dumps({"a": entry(0, 8)})[1:-1]
    path = write_raw(tmp_path / "model.safetensors", f"{{{one}, {one}}}", bytes(8))
    with pytest.raises(CheckpointError, match="'a' is there twice"):
        read_safetensors(path)


def test_packed_four_bit_floats_and_empty_tensors_are_valid(tmp_path: Path) -> None:
    tensors = {"a": entry(0, 2, (4,), "F4"), "b": entry(2, 2, (0, 5)), "c": entry(2, 6, ())}
    path = write_raw(tmp_path / "model.safetensors", json.dumps(tensors), bytes(6))
    assert [tensor.shape for tensor in read_safetensors(path).tensors] == [(4,), (0, 5), ()]


def test_offsets_count_from_the_start_of_the_file(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", {"a": TinyTensor("F32", (4,))})
    file = read_safetensors(path)
    assert file.tensors[0].offset == 8 + len(file.header) == file.size - 16


def test_a_tensor_in_another_shard_than_the_index_says_is_refused(folder: Path) -> None:
    shards(folder, "a.safetensors", "b.safetensors")
    both = {"t1": TinyTensor("F32", (4,)), "t0": TinyTensor("F32", (4,))}
    write_safetensors(folder / "b.safetensors", both)
    with pytest.raises(
        CheckpointError, match=r"b\.safetensors holds the tensor 't0' .* places in a"
    ):
        inspect(folder)


def test_a_tensor_that_the_index_does_not_name_is_refused(folder: Path) -> None:
    shards(folder, "a.safetensors", "b.safetensors")
    both = {"t1": TinyTensor("F32", (4,)), "new": TinyTensor("F32", (4,))}
    write_safetensors(folder / "b.safetensors", both)
    with pytest.raises(CheckpointError, match=r"'new' that .* doesn't name"):
        inspect(folder)


def test_an_old_index_beside_a_single_file_is_refused(folder: Path) -> None:
    shards(folder, "a.safetensors", "b.safetensors")
    write_safetensors(folder / "model.safetensors", SMALL)
    with pytest.raises(CheckpointError, match="remove the older of the two"):
        inspect(folder)


def test_an_index_that_names_the_single_file_is_fine(folder: Path) -> None:
    shards(folder, "model.safetensors")
    assert inspect(folder).num_files == 1


def test_a_shard_that_the_index_does_not_name_is_refused(folder: Path) -> None:
    shards(folder, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    write_safetensors(folder / "model-00001-of-00003.safetensors", SMALL)
    with pytest.raises(CheckpointError, match=r"model-00001-of-00003\.safetensors isn't named by"):
        inspect(folder)


def test_a_single_file_beside_another_without_an_index_is_refused(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", SMALL)
    write_safetensors(folder / "other.safetensors", {"t": TinyTensor("F32", (4,))})
    with pytest.raises(CheckpointError, match=r"without an index, other\.safetensors are there"):
        inspect(folder)


@pytest.mark.parametrize("there", [("1-of-00002",), ("1-of-00002", "1-of-00003")])
def test_shards_without_an_index_must_all_be_there(folder: Path, there: tuple[str, ...]) -> None:
    for i, name in enumerate(there):
        tensors = {f"t{i}": TinyTensor("F32", (4,))}
        write_safetensors(folder / f"model-0000{name}.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"is one of 2 shards"):
        inspect(folder)


def test_a_tensor_in_two_files_without_an_index_is_refused(folder: Path) -> None:
    for number in (1, 2):
        write_safetensors(folder / f"model-0000{number}-of-00002.safetensors", SMALL)
    with pytest.raises(CheckpointError, match=r"is in model-00001.* and in model-00002"):
        inspect(folder)


@pytest.mark.parametrize("names", [{"a": 5}, {"a": "sub/a.safetensors"}, {"a": "a.bin"}, [], "x"])
def test_an_index_of_another_form_is_refused(folder: Path, names: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json"):
        inspect(folder)


def test_an_adapter_beside_the_weights_is_not_among_them(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", SMALL)
    write_safetensors(folder / "adapter_model.safetensors", {"t": TinyTensor("F32", (4,))})
    assert [file.path.name for file in read_weights(folder)] == ["model.safetensors"]


def test_a_checkpoint_in_mistrals_own_format_alone_is_read(folder: Path) -> None:
    write_safetensors(folder / "consolidated.safetensors", SMALL)
    assert [file.path.name for file in read_weights(folder)] == ["consolidated.safetensors"]


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "rng_state.pth"])
def test_what_training_leaves_behind_is_not_weights(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="no weights"):
        inspect(folder, allow_pickle=True)


def test_the_first_lines_name_three_and_count_the_rest() -> None:
    assert some("abcd") == "a, b, c and 1 more"
    assert some("abc") == "a, b, c"
