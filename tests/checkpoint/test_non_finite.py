"""NaN and infinite values in every floating format, counted by rows."""

import json
import struct
from pathlib import Path

import pytest

from evalharness.checkpoint import inspect
from evalharness.checkpoint.non_finite import non_finite
from evalharness.checkpoint.weights import read_safetensors
from tiny_checkpoints import TinyTensor, write_safetensors

NAN_AND_INFINITY = {
    "F32": [struct.pack("<f", float("nan")), struct.pack("<f", float("-inf"))],
    "F16": [struct.pack("<e", float("nan")), struct.pack("<e", float("inf"))],
    "BF16": [b"\xc0\x7f", b"\x80\xff"],
    "F8_E4M3": [b"\x7f", b"\xff"],
}
"""bfloat16 is the upper half of float32; an 8-bit float with 4 bits of exponent has no infinity."""


def with_values(folder: Path, dtype: str, places: dict[int, bytes]) -> Path:
    """A (4, 3) tensor of finite values with the given ones at the given places, between two others."""
    at = {
        "a": TinyTensor(dtype, (2, 2)),
        "b": TinyTensor(dtype, (4, 3)),
        "c": TinyTensor("U8", (3,)),
    }
    path = write_safetensors(folder / "model.safetensors", at)
    tensor = next(t for t in read_safetensors(path).tensors if t.name == "b")
    content = bytearray(path.read_bytes())
    for place, value in places.items():
        start = tensor.offset + place * len(value)
        content[start : start + len(value)] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", NAN_AND_INFINITY)
def test_nan_and_infinity_are_counted_with_their_rows(tmp_path: Path, dtype: str) -> None:
    nan, infinite = NAN_AND_INFINITY[dtype]
    path = with_values(tmp_path, dtype, {0: nan, 2: infinite, 9: nan})
    assert non_finite([read_safetensors(path)]) == ("b: 3 NaN or infinite values in 2 of 4 rows.",)


@pytest.mark.parametrize("dtype", NAN_AND_INFINITY)
def test_the_largest_finite_values_are_none(tmp_path: Path, dtype: str) -> None:
    largest = {
        "F32": b"\xff\xff\x7f\x7f",
        "F16": b"\xff\x7b",
        "BF16": b"\x7f\x7f",
        "F8_E4M3": b"\x7e",
    }
    path = with_values(tmp_path, dtype, {1: largest[dtype]})
    assert non_finite([read_safetensors(path)]) == ()


def test_all_ones_in_an_integer_are_no_nan(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "m.safetensors", {"a": TinyTensor("U8", (8,))}, fill=255)
    assert non_finite([read_safetensors(path)]) == ()


def test_a_row_that_ends_behind_the_first_block_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalharness.checkpoint.non_finite._BLOCK_BYTES", 16)
    nan = NAN_AND_INFINITY["F32"][0]
    path = with_values(tmp_path, "F32", {3: nan, 4: nan, 11: nan})
    assert non_finite([read_safetensors(path)]) == ("b: 3 NaN or infinite values in 2 of 4 rows.",)


def test_only_a_full_inspection_reads_the_values(tmp_path: Path) -> None:
    with_values(tmp_path, "F32", {0: NAN_AND_INFINITY["F32"][0]})
    (tmp_path / "config.json").write_text(json.dumps({}))
    assert inspect(tmp_path).non_finite is None
    assert inspect(tmp_path, full=True).non_finite == (
        "b: 1 NaN or infinite values in 1 of 4 rows.",
    )
