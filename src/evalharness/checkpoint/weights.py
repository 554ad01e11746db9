"""The files of a folder that hold the weights, and their safetensors headers.

A safetensors file is 8 bytes (little-endian length of the header), the header (JSON: tensor name -> dtype, shape,
data_offsets) and the tensors' bytes, without gaps. Everything that can be checked without reading weights is checked
here; the architecture is checked in `architecture`.

Engines differ in what they load from a folder: transformers takes `model.safetensors` before an index and all tensors
of the shards that an index names; vLLM takes all `*.safetensors`, or those that an index names. A folder from which
they would load different tensors is refused.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.checkpoint.json_files import file_size, read_json
from evalharness.errors import CheckpointError, one_line, some

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth")
_NOT_WEIGHTS = {"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt"}
_MAX_HEADER_BYTES = 100_000_000
"""The safetensors library refuses longer ones."""
_SHARD = re.compile(r"-(\d{5,6})-of-(\d{5,6})\.safetensors$")
_BUFFER = re.compile(r"(^|\.)(rotary_emb\.inv_freq|masked_bias|position_ids)$")
"""Constants that older versions of transformers saved; newer ones compute them."""
_EXPERT = re.compile(r"^(.*\.experts)\.(\d{1,6})\.(.+)$")
_MAX_EXPERTS = 100_000
_MAX_DIMENSIONS = 16

DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
    "C64": 64,
}
"""Of every dtype of the safetensors format."""


class Tensor(NamedTuple):
    """One tensor as its header describes it; `offset` counts from the start of the file."""

    name: str
    dtype: str
    """safetensors' name: F32, BF16, F8_E4M3, I32, U8, ..."""
    shape: tuple[int, ...]
    num_bytes: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """One file of weights. `tensors` is empty for a pickle, which is never opened."""

    path: Path
    size: int
    header: bytes = b""
    tensors: tuple[Tensor, ...] = ()

    @property
    def is_pickle(self) -> bool:
        """Whether its tensors can't be listed without running it."""
        return not self.header


def read_safetensors(path: Path) -> WeightsFile:
    """The header of one safetensors file, checked against the format and the file's size.

    Raises:
        CheckpointError: the file isn't a regular one, is truncated or too long, or its header is invalid.
    """
    size = file_size(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or (length <= _MAX_HEADER_BYTES and 8 + length > size):
                raise _damaged(
                    path, f"is truncated: {size} bytes, its header alone is {8 + length}"
                )
            if length > _MAX_HEADER_BYTES:
                raise _damaged(path, f"is not a safetensors file: header of {length} bytes")
            header = file.read(length)
    except OSError as e:
        raise _damaged(path, f"can't be read ({e.strerror or one_line(e)})") from e
    try:
        tensors = _parse(header)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise _damaged(path, f"has a damaged header ({type(e).__name__}: {one_line(e)})") from e
    promised = max((tensor.offset + tensor.num_bytes for tensor in tensors), default=8 + length)
    if size < promised:
        raise _damaged(path, f"is truncated: {size} bytes, its header promises {promised}")
    if size > promised:
        raise _damaged(path, f"is too long: {size} bytes, its header promises {promised}")
    return WeightsFile(path=path, size=size, header=header, tensors=tensors)


def read_weights(folder: Path, *, allow_pickle: bool = False) -> tuple[WeightsFile, ...]:
    """The files that an engine would load from `folder`, by name.

    Raises:
        CheckpointError: there are none, one is damaged or missing, pickles aren't allowed, or files and index disagree.
    """
    paths = _safetensors(folder)
    if paths:
        files = tuple(read_safetensors(path) for path in paths)
        _check_index(folder, files)
        _check_once(folder, files)
        _check_experts(folder, files)
        return files
    pickles = sorted(
        {path for pattern in _PICKLES for path in folder.glob(pattern)}
        - {folder / name for name in _NOT_WEIGHTS}
    )
    if pickles and not allow_pickle:
        raise CheckpointError(
            f"checkpoint {folder}: only pickled weights ({pickles[0].name}), which can run code when they are "
            "loaded; convert them to safetensors, or set model.allow_pickle=true if you trust their origin."
        )
    if not pickles:
        kind = "only GGUF weights" if any(folder.glob("*.gguf")) else "no weights"
        raise CheckpointError(
            f"checkpoint {folder}: {kind}; a folder with config.json and *.safetensors is needed."
        )
    return tuple(WeightsFile(path=path, size=file_size(path)) for path in pickles)


def has_weights(folder: Path) -> bool:
    """Whether the folder holds any file that could be weights, of whatever format, or names some."""
    patterns = ("*.safetensors", "*.gguf", "*.index.json", *_PICKLES)
    return any(path.name not in _NOT_WEIGHTS for p in patterns for path in folder.glob(p))


def unused_files(folder: Path, files: Iterable[WeightsFile]) -> list[str]:
    """Names of the safetensors files in `folder` that no engine loads as this checkpoint."""
    used = {file.path.name for file in files}
    return [path.name for path in sorted(folder.glob("*.safetensors")) if path.name not in used]


def tensor_blocks(file: WeightsFile, tensor: Tensor, size: int = 2**24) -> Iterator[bytes]:
    """The bytes of one tensor in blocks of `size`; the last may be shorter."""
    left = tensor.num_bytes
    with file.path.open("rb") as content:
        content.seek(tensor.offset)
        while left:
            block = content.read(min(size, left))
            if not block:
                raise _damaged(file.path, "changed while it was read")
            left -= len(block)
            yield block


def _safetensors(folder: Path) -> list[Path]:
    index = folder / INDEX
    if index.is_symlink() or index.exists():
        names = sorted(set(_weight_map(folder).values()))
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise CheckpointError(
                f"checkpoint {folder}: {missing[0]} is missing ({len(missing)} of the {len(names)} files that "
                f"{INDEX} names); fetch it again."
            )
        if (folder / SINGLE).exists() and names != [SINGLE]:
            raise CheckpointError(
                f"checkpoint {folder}: {SINGLE} and {INDEX}, which names other files ({some(names)}), are both there, "
                "and engines differ in which they load; remove the older of the two."
            )
        _check_shards_listed(folder, names)
        return [folder / name for name in names]
    found = sorted(folder.glob("*.safetensors"))
    found = [path for path in found if path.name != ADAPTER_WEIGHTS]
    # Mistral's repositories hold the same weights twice: their own format and transformers'.
    own = [path for path in found if path.name.startswith("consolidated")]
    found = [path for path in found if path not in own] or own
    if folder / SINGLE in found and len(found) > 1:
        others = some(path.name for path in found if path.name != SINGLE)
        raise CheckpointError(
            f"checkpoint {folder}: {SINGLE} and, without an index, {others} are there, and engines differ in which "
            "they load; remove what doesn't belong to the model."
        )
    _check_all_shards(folder, found)
    return found


def _check_shards_listed(folder: Path, names: list[str]) -> None:
    unlisted = [
        path.name
        for path in sorted(folder.glob("*.safetensors"))
        if path.name not in names and _SHARD.search(path.name)
    ]
    if unlisted:
        raise CheckpointError(
            f"checkpoint {folder}: {some(unlisted)} isn't named by {INDEX}; the files are from different downloads: "
            "fetch them again, or remove what doesn't belong to the model."
        )


def _check_all_shards(folder: Path, paths: list[Path]) -> None:
    for path in paths:
        if match := _SHARD.search(path.name):
            num_there = sum(other.name.endswith(f"-of-{match[2]}.safetensors") for other in paths)
            if num_there != int(match[2]) or num_there != len(paths):
                raise CheckpointError(
                    f"checkpoint {folder}: {path.name} is one of {int(match[2])} shards, {len(paths)} safetensors "
                    f"files are there and no {INDEX}; fetch it again."
                )


def _weight_map(folder: Path) -> dict[str, str]:
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"checkpoint {folder}: {INDEX} has no weight_map; fetch it again.")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name or "\0" in name:
            raise CheckpointError(
                f"checkpoint {folder}: {INDEX} names {name!r}, which isn't a file in this folder."
            )
        if not name.endswith(".safetensors"):
            raise CheckpointError(
                f"checkpoint {folder}: {INDEX} names {name!r}, which isn't a safetensors file."
            )
    return weight_map


def _check_index(folder: Path, files: tuple[WeightsFile, ...]) -> None:
    """Check that every tensor is where the index says, and that the index lists every tensor."""
    if not (folder / INDEX).exists():
        return
    weight_map = _weight_map(folder)
    there = {(file.path.name, tensor.name) for file in files for tensor in file.tensors}
    for name, shard in weight_map.items():
        if (shard, name) not in there:
            raise CheckpointError(
                f"checkpoint {folder}: {shard} lacks the tensor {name!r} that {INDEX} places there; "
                "the shards are from different downloads: fetch them again."
            )
    for shard, name in sorted(there):
        if weight_map.get(name, shard) != shard:
            raise CheckpointError(
                f"checkpoint {folder}: {shard} holds the tensor {name!r} that {INDEX} places in "
                f"{weight_map[name]}; the shards are from different downloads: fetch them again."
            )
        if name not in weight_map and not _BUFFER.search(name):
            raise CheckpointError(
                f"checkpoint {folder}: {shard} holds the tensor {name!r} that {INDEX} doesn't name; "
                "the files are from different downloads: fetch them again."
            )


def _check_once(folder: Path, files: tuple[WeightsFile, ...]) -> None:
    first: dict[str, str] = {}
    for file in files:
        for tensor in file.tensors:
            if tensor.name in first and not _BUFFER.search(tensor.name):
                raise CheckpointError(
                    f"checkpoint {folder}: the tensor {tensor.name!r} is in {first[tensor.name]} and in "
                    f"{file.path.name}; engines differ in which they use: fetch the checkpoint again."
                )
            first[tensor.name] = file.path.name


def _check_experts(folder: Path, files: tuple[WeightsFile, ...]) -> None:
    """Check that separate experts are numbered from 0 without a gap, and have the same modules."""
    groups: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for file in files:
        for tensor in file.tensors:
            if match := _EXPERT.match(tensor.name):
                groups[match[1]][int(match[2])].add(match[3].rpartition(".")[0])
    for group, experts in groups.items():
        modules = set[str]().union(*experts.values())
        for number in range(min(max(experts) + 1, _MAX_EXPERTS)):
            missing = modules - experts.get(number, set())
            if missing:
                raise CheckpointError(
                    f"checkpoint {folder}: {group}.{number} lacks {some(sorted(missing))}, which other experts have; "
                    "fetch it again."
                )


def _parse(header: bytes) -> tuple[Tensor, ...]:
    start = 8 + len(header)
    content = json.loads(header.decode("utf-8"), object_pairs_hook=_without_duplicates)
    tensors = []
    for name, entry in content.items():
        if name == "__metadata__":
            if not all(isinstance(value, str) for value in entry.values()):
                raise ValueError("__metadata__ holds something else than text")
            continue
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        numbers = (*shape, begin, end)
        is_sane = all(type(size) is int and 0 <= size < 2**63 for size in numbers)
        if not is_sane or len(shape) > _MAX_DIMENSIONS:
            raise ValueError(f"tensor {name!r} at {begin}..{end} with shape {str(shape)[:100]}")
        bits = DTYPE_BITS.get(entry["dtype"])
        if bits is None:
            raise ValueError(f"tensor {name!r} has the unknown dtype {entry['dtype']!r}")
        if (end - begin) * 8 != math.prod(shape) * bits:
            raise ValueError(
                f"tensor {name!r} has {end - begin} bytes, {entry['dtype']} of shape {list(shape)} would be "
                f"{math.prod(shape) * bits // 8}"
            )
        tensors.append(Tensor(name, entry["dtype"], shape, end - begin, start + begin))
    _check_gapless(tensors, start)
    return tuple(tensors)


def _check_gapless(tensors: list[Tensor], start: int) -> None:
    end, before = start, "the header"
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.num_bytes)):
        if tensor.offset != end:
            how = "overlaps" if tensor.offset < end else "leaves a gap behind"
            raise ValueError(f"tensor {tensor.name!r} {how} {before}")
        end, before = tensor.offset + tensor.num_bytes, repr(tensor.name)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return content


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"checkpoint {path.parent}: {path.name} {what}; fetch it again.")
