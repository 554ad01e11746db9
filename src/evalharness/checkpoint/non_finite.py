"""Values that are not finite: a NaN or an infinity in a weight makes every answer worthless.

Reads every byte of the weights, with numpy only: in each floating format those values have all bits of the exponent
set, which is visible without conversion (numpy has neither bfloat16 nor 8-bit floats).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from evalharness.checkpoint.weights import Tensor, WeightsFile, tensor_blocks

_BLOCK_BYTES = 2**24


class _Format(NamedTuple):
    word: str
    """numpy's type of the same size."""
    mask: int
    """Bits that all non-finite values have set."""


_FORMATS = {
    "F64": _Format("<u8", 0x7FF0_0000_0000_0000),
    "F32": _Format("<u4", 0x7F80_0000),
    "BF16": _Format("<u2", 0x7F80),
    "F16": _Format("<u2", 0x7C00),
    "F8_E5M2": _Format("u1", 0x7C),
    "F8_E4M3": _Format("u1", 0x7F),
    "C64": _Format("<u4", 0x7F80_0000),
}
"""F8_E4M3 has no infinity; only all ones is NaN."""


def non_finite(files: Iterable[WeightsFile]) -> tuple[str, ...]:
    """A sentence for each tensor with NaN or infinite values: how many, in how many of its rows."""
    found = []
    for file in files:
        for tensor in file.tensors:
            num_values, num_rows = _count(file, tensor)
            if num_values:
                rows = tensor.shape[0] if tensor.shape else 1
                found.append(
                    f"{tensor.name}: {num_values} NaN or infinite values in {num_rows} of {rows} rows."
                )
    return tuple(found)


def _count(file: WeightsFile, tensor: Tensor) -> tuple[int, int]:
    """Counts of non-finite values, and of entries of the first dimension that have one."""
    if tensor.dtype not in _FORMATS or not tensor.num_bytes:
        return 0, 0
    word, mask = _FORMATS[tensor.dtype]
    row_words = max(tensor.num_bytes // np.dtype(word).itemsize // (tensor.shape or (1,))[0], 1)
    num_values, at, rows = 0, 0, set[int]()
    for block in tensor_blocks(file, tensor, _BLOCK_BYTES):
        words = np.frombuffer(block, dtype=word)
        bad = np.flatnonzero((words & mask) == mask)
        num_values += len(bad)
        rows.update(np.unique((bad + at) // row_words).tolist())
        at += len(words)
    return num_values, len(rows)
