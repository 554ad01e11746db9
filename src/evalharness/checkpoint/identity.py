"""Fingerprints: the same content has the same fingerprint, whatever its location and file names.

`fast:` reads headers, sizes and samples of the weights (seconds, also for 400 GB); `full:` reads every byte.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from evalharness.checkpoint.json_files import (
    as_dict,
    read_bytes,
    read_json_if_there,
    read_text,
)
from evalharness.checkpoint.weights import WeightsFile
from evalharness.errors import CheckpointError

NUM_BLOCKS = 16
BLOCK_BYTES = 64 * 1024
TENSOR_BYTES = 4 * 1024
"""Bytes read from the middle of every tensor, so that a change to a single matrix is detected."""

_CONFIG_NOISE = {"_commit_hash", "_name_or_path", "_model_name_or_path", "transformers_version"}
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tiktoken.model",
    "tekken.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)
_TOKENIZER_KEYS = (
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "added_tokens_decoder",
    "bos_token",
    "clean_up_tokenization_spaces",
    "eos_token",
    "legacy",
    "pad_token",
    "unk_token",
)
"""Settings that change tokens or text; the rest of tokenizer_config.json doesn't matter."""


def combine(*parts: str | None) -> str:
    """sha256 over the parts, in order."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def hash_weights(files: tuple[WeightsFile, ...], *, full: bool = False) -> str:
    """`fast:<sha256>` or `full:<sha256>` over the contents of the files; their names don't count."""
    hash_one = _hash_all if full else _hash_samples
    digests = sorted(hash_one(file) for file in files)
    return f"{'full' if full else 'fast'}:{combine(*digests)}"


def sampled_ranges(file: WeightsFile) -> list[tuple[int, int]]:
    """(offset, bytes) of everything the fast fingerprint reads: header, blocks, the middle of each tensor."""
    last = max(file.size - BLOCK_BYTES, 0)
    starts = sorted({last * i // (NUM_BLOCKS - 1) for i in range(NUM_BLOCKS)})
    header = [(0, 8 + len(file.header))] if file.header else []
    middles = [
        (
            tensor.offset + max(tensor.num_bytes - TENSOR_BYTES, 0) // 2,
            min(tensor.num_bytes, TENSOR_BYTES),
        )
        for tensor in file.tensors
    ]
    return header + [(start, min(BLOCK_BYTES, file.size)) for start in starts] + middles


def hash_config(folder: Path) -> str:
    """sha256 of what config.json and generation_config.json say about outputs (end tokens; not sampling)."""
    config = read_json_if_there(folder / "config.json")
    generation = read_json_if_there(folder / "generation_config.json")
    content = {key: value for key, value in config.items() if key not in _CONFIG_NOISE}
    return hash_json([content, generation.get("eos_token_id")])


def hash_tokenizer(folder: Path) -> str | None:
    """sha256 of the tokenizer's files and special tokens; None when the folder has no tokenizer."""
    files = [folder / name for name in _TOKENIZER_FILES if os.path.lexists(folder / name)]
    if not files:
        return None
    config = read_json_if_there(folder / "tokenizer_config.json")
    digests = [combine(path.name, hashlib.sha256(read_bytes(path)).hexdigest()) for path in files]
    return combine(*digests, hash_json({key: config.get(key) for key in _TOKENIZER_KEYS}))


def chat_template(folder: Path) -> str | None:
    """The checkpoint's chat template (Jinja), the `default` one where it has several; None when it has none."""
    jinja = folder / "chat_template.jinja"
    if os.path.lexists(jinja):
        return read_text(jinja)
    for name in ("chat_template.json", "tokenizer_config.json"):
        template = read_json_if_there(folder / name).get("chat_template")
        if isinstance(template, list):
            entries = [as_dict(entry) for entry in reversed(template)]
            template = next(
                (e.get("template") for e in entries if e.get("name") == "default"), None
            )
        if isinstance(template, str):
            return template
    return None


def has_chat_template(folder: Path) -> bool:
    """Whether the checkpoint in `folder` can be asked as a chat."""
    return chat_template(folder) is not None


def hash_template(folder: Path) -> str | None:
    """sha256 of the chat template; None when there is none."""
    template = chat_template(folder)
    return None if template is None else hashlib.sha256(template.encode()).hexdigest()


def _hash_samples(file: WeightsFile) -> str:
    digest = hashlib.sha256(f"{file.size}:".encode())
    with file.path.open("rb") as content:
        for offset, num_bytes in sampled_ranges(file):
            content.seek(offset)
            digest.update(_read(content, num_bytes, file.path))
    return digest.hexdigest()


def _hash_all(file: WeightsFile) -> str:
    with file.path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _read(content: BinaryIO, num_bytes: int, path: Path) -> bytes:
    data = content.read(num_bytes)
    if len(data) != num_bytes:
        raise CheckpointError(f"checkpoint {path.parent}: {path.name} changed while it was read.")
    return data


def hash_json(content: Any) -> str:
    """sha256 over JSON; the order of keys doesn't count."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
