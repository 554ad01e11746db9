"""Which files of a folder hold the weights, and what their safetensors headers say.

A safetensors file is 8 bytes (little-endian length of the header), the header (JSON: tensor name -> dtype, shape,
data_offsets) and the tensors' bytes. Everything that can be known without reading weights is checked here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.errors import CheckpointError

_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth")
_NOT_WEIGHTS = {"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt"}
_MAX_HEADER_BYTES = 100_000_000
"""The safetensors library refuses longer ones."""


class Tensor(NamedTuple):
    """One tensor as its header describes it; `offset` counts from the start of the file."""

    name: str
    dtype: str
    """safetensors' name: F32, BF16, F8_E4M3, I32, U8, ..."""
    shape: tuple[int, ...]
    num_bytes: int
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """One file of weights. `tensors` is empty for a pickle, which is never opened."""

    path: Path
    size: int
    header: bytes = b""
    tensors: tuple[Tensor, ...] = ()

    @property
    def is_pickle(self) -> bool:
        """Its tensors can't be listed without running it."""
        return not self.header


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        CheckpointError: not there, not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as e:
        raise CheckpointError(f"checkpoint {path.parent}: {path.name} is missing.") from e
    except (ValueError, OSError) as e:
        raise CheckpointError(
            f"checkpoint {path.parent}: {path.name} can't be read ({e}); fetch it again."
        ) from e
    if not isinstance(content, dict):
        raise CheckpointError(
            f"checkpoint {path.parent}: {path.name} holds a {type(content).__name__}, not an object."
        )
    return content


def read_json_if_there(path: Path) -> dict[str, Any]:
    """Like `read_json`, but {} when there is no such file."""
    return read_json(path) if path.is_file() else {}


def read_safetensors(path: Path) -> WeightsFile:
    """The header of one safetensors file, checked against the file's size.

    Raises:
        CheckpointError: the file is cut, too long, or its header isn't one.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or (length <= _MAX_HEADER_BYTES and 8 + length > size):
            raise _damaged(path, f"is truncated: {size} bytes, its header alone is {8 + length}")
        if length > _MAX_HEADER_BYTES:
            raise _damaged(path, f"is no safetensors file: header of {length} bytes")
        header = file.read(length)
    try:
        tensors = _parse(header)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise _damaged(path, f"has a damaged header ({type(e).__name__}: {e})") from e
    promised = max((tensor.offset + tensor.num_bytes for tensor in tensors), default=8 + length)
    if size < promised:
        raise _damaged(path, f"is truncated: {size} bytes, its header promises {promised}")
    if size > promised:
        raise _damaged(path, f"is too long: {size} bytes, its header promises {promised}")
    return WeightsFile(path=path, size=size, header=header, tensors=tensors)


def read_weights(folder: Path, *, allow_pickle: bool = False) -> tuple[WeightsFile, ...]:
    """The files an engine would load from `folder`, in order of name.

    Raises:
        CheckpointError: none there, one damaged or missing, or pickles that weren't allowed.
    """
    paths = _safetensors(folder)
    if paths:
        files = tuple(read_safetensors(path) for path in paths)
        _check_index(folder, files)
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
    return tuple(WeightsFile(path=path, size=path.stat().st_size) for path in pickles)


def _safetensors(folder: Path) -> list[Path]:
    if (folder / _INDEX).is_file():
        names = sorted(set(_weight_map(folder).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(
                f"checkpoint {folder}: {missing[0]} is missing ({len(missing)} of the {len(names)} files that "
                f"{_INDEX} names); fetch it again."
            )
        return [folder / name for name in names]
    found = sorted(folder.glob("*.safetensors"))
    found = [path for path in found if path.name != "adapter_model.safetensors"]
    # Mistral's repositories hold the same weights twice: their own format and transformers'.
    own = [path for path in found if path.name.startswith("consolidated")]
    return [path for path in found if path not in own] or own


def _weight_map(folder: Path) -> dict[str, str]:
    weight_map = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"checkpoint {folder}: {_INDEX} has no weight_map; fetch it again.")
    outside = [name for name in weight_map.values() if Path(str(name)).name != name]
    if outside:
        raise CheckpointError(
            f"checkpoint {folder}: {_INDEX} names {outside[0]!r}, which isn't a file in this folder."
        )
    return weight_map


def _check_index(folder: Path, files: tuple[WeightsFile, ...]) -> None:
    if not (folder / _INDEX).is_file():
        return
    there = {(file.path.name, tensor.name) for file in files for tensor in file.tensors}
    for name, shard in _weight_map(folder).items():
        if (shard, name) not in there:
            raise CheckpointError(
                f"checkpoint {folder}: {shard} lacks the tensor {name!r} that {_INDEX} places there; "
                "the shards are from different downloads: fetch them again."
            )


def _parse(header: bytes) -> tuple[Tensor, ...]:
    start = 8 + len(header)
    tensors = []
    for name, entry in json.loads(header).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        shape = tuple(int(size) for size in entry["shape"])
        if not 0 <= begin <= end or any(size < 0 for size in shape):
            raise ValueError(f"tensor {name!r} at {begin}..{end} with shape {shape}")
        tensors.append(Tensor(name, str(entry["dtype"]), shape, end - begin, start + begin))
    return tuple(tensors)


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"checkpoint {path.parent}: {path.name} {what}; fetch it again.")
