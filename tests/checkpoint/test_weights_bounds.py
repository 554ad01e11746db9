"""Headers at every bound of the safetensors format, and experts that lie apart."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from evalharness.checkpoint.weights import (
    DTYPE_BITS,
    read_safetensors,
    read_weights,
    tensor_blocks,
    unused_files,
)
from evalharness.errors import CheckpointError
from tiny_checkpoints import TinyTensor, write_safetensors

MOST = 100_000_000
"""Bytes of the longest header that the safetensors library reads."""


def test_a_dtype_says_its_bits_in_its_name() -> None:
    named = {name: int(re.findall(r"\d+", name)[0]) for name in DTYPE_BITS if name != "BOOL"}
    assert {"BOOL": 8} | named == DTYPE_BITS


def file(folder: Path, header: Any, body: bytes = b"", *, name: str = "model.safetensors") -> Path:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / name).write_bytes(len(encoded).to_bytes(8, "little") + encoded + body)
    return folder / name


def entry(begin: int, end: int, *shape: Any, dtype: str = "U8") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [*shape], "data_offsets": [begin, end]}


def test_a_header_alone_is_a_file_without_tensors(tmp_path: Path) -> None:
    found = read_safetensors(file(tmp_path, {}))
    assert (found.size, found.header, found.tensors, found.is_pickle) == (10, b"{}", (), False)
    with pytest.raises(CheckpointError, match="is too long: 11 bytes, its header promises 10"):
        read_safetensors(file(tmp_path, {}, b"x"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff" * 7, "is truncated: 7 bytes"),
        (b"\0" * 8, "has a damaged header"),
        (b"\x02" + b"\0" * 7 + b"{", "is truncated: 9 bytes, its header alone is 10"),
        (MOST.to_bytes(8, "little") + b"{}", f"is truncated: 10 bytes, its header alone is {8 + MOST}"),
        ((MOST + 1).to_bytes(8, "little") + b"{}", f"is not a safetensors file: header of {MOST + 1} bytes"),
    ],
)  # fmt: skip
def test_a_file_is_as_long_as_its_first_bytes_say(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(said)):
        read_safetensors(tmp_path / "model.safetensors")


def test_the_longest_header_is_read(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as sparse:
        sparse.write(MOST.to_bytes(8, "little"))
        sparse.truncate(8 + MOST)
    with pytest.raises(CheckpointError, match="has a damaged header"):
        read_safetensors(tmp_path / "model.safetensors")


def test_tensors_are_reported_in_the_headers_order_wherever_they_lie(tmp_path: Path) -> None:
    path = file(tmp_path, {"b": entry(3, 5, 2), "c": entry(3, 3, 0), "a": entry(0, 3, 3)}, b"aaabb")
    found = read_safetensors(path)
    start = found.size - 5
    assert [(t.name, t.num_bytes, t.offset - start) for t in found.tensors] == [
        ("b", 2, 3),
        ("c", 0, 3),
        ("a", 3, 0),
    ]
    assert [b"".join(tensor_blocks(found, t)) for t in found.tensors] == [b"bb", b"", b"aaa"]
    assert list(tensor_blocks(found, found.tensors[2], 2)) == [b"aa", b"a"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"a": entry(0, 2, 2), "b": entry(1, 3, 2)}, "tensor 'b' overlaps 'a'"),
        ({"a": entry(0, 1, 1), "b": entry(2, 3, 1)}, "tensor 'b' leaves a gap behind 'a'"),
        ({"a": entry(1, 3, 2)}, "tensor 'a' leaves a gap behind the header"),
        ({"a": entry(0, 3, -1, -3)}, "with shape (-1, -3)"),
        ({"a": entry(0, 3, -1, -1, 3)}, "with shape (-1, -1, 3)"),
        ({"a": entry(0, 3, True, 3)}, "with shape (True, 3)"),
        ({"a": entry(0, 3, 3.0)}, "with shape (3.0,)"),
        ({"a": entry(0, 0, 0, 2**63), "b": entry(0, 3, 3)}, "tensor 'a' at 0..0"),
        ({"a": entry(0, 3, *[1] * 16, 3)}, "tensor 'a' at 0..3"),
        ({"a": entry(0, 3, 4)}, "tensor 'a' has 3 bytes, U8 of shape [4] would be 4"),
        ({"a": entry(0, 3, 2)}, "tensor 'a' has 3 bytes, U8 of shape [2] would be 2"),
        ({"a": entry(0, 3, 3, dtype="U7")}, "the unknown dtype 'U7'"),
        ({"__metadata__": {"x": "y", "z": 1}, "a": entry(0, 3, 3)}, "holds something else than text"),
        (b'{"a": 1, "b": 2, "b": 3}', "'b' is there twice"),
    ],
)  # fmt: skip
def test_what_the_format_does_not_allow_is_named(tmp_path: Path, header: Any, said: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(said)):
        read_safetensors(file(tmp_path, header, b"xxx"))


@pytest.mark.parametrize("shape", [(0, 2**63 - 1), (1,) * 15 + (0,), (0,)])
def test_the_largest_that_it_allows_are_fine(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (found,) = read_safetensors(file(tmp_path, {"a": entry(0, 0, *shape)})).tensors
    assert found.shape == shape


def test_a_pickle_has_no_tensors_and_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"anything")
    (found,) = read_weights(tmp_path, allow_pickle=True)
    assert (found.path.name, found.size, found.is_pickle) == ("pytorch_model.bin", 8, True)


def experts(folder: Path, *names: str) -> None:
    tensors = {f"model.layers.0.mlp.experts.{name}": TinyTensor("U8", (1,)) for name in names}
    write_safetensors(folder / "model.safetensors", tensors)


def test_experts_without_a_gap_are_fine(tmp_path: Path) -> None:
    experts(tmp_path, "0.up.weight", "0.up.scale", "0.down.weight", "1.up.weight", "1.down.weight")
    (found,) = read_weights(tmp_path)
    assert len(found.tensors) == 5


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("1.up.weight", "2.up.weight"), "experts.0 lacks up"),
        (("0.up.weight", "2.up.weight"), "experts.1 lacks up"),
        (("0.up.weight", "0.down.weight", "1.up.weight"), "experts.1 lacks down"),
    ],
)
def test_an_expert_that_lacks_what_others_have_is_named(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    experts(tmp_path, *names)
    with pytest.raises(CheckpointError, match=re.escape(said)):
        read_weights(tmp_path)


def test_buffers_of_older_versions_may_be_in_no_index_and_in_two_files(tmp_path: Path) -> None:
    both = {"model.rotary_emb.inv_freq": TinyTensor("U8", (1,))}
    for number in (1, 2):
        own = {f"t{number}": TinyTensor("U8", (1,))}
        write_safetensors(tmp_path / f"model-0000{number}-of-00002.safetensors", own | both)
    assert len(read_weights(tmp_path)) == 2
    weight_map = {f"t{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    files = read_weights(tmp_path)
    assert len(files) == 2
    write_safetensors(tmp_path / "other.safetensors", {"t3": TinyTensor("U8", (1,))})
    assert unused_files(tmp_path, files) == ["other.safetensors"]
