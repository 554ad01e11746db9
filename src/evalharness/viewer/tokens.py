"""A stored prompt as the tokens that were sent, if the run's tokenizer is on this machine."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evalharness.config.schema import ModelConfig
from evalharness.errors import CheckpointError, one_line
from evalharness.paths import install_command
from evalharness.store.records import Manifest
from evalharness.tasks.encoding import Encoder
from evalharness.tasks.templates import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token of a prompt."""

    id: int
    text: str
    is_special: bool


def prompt_tokens(results_dir: Path, run: Manifest, prompt: str) -> list[Token]:
    """The tokens of a prompt.

    Raises:
        CheckpointError: the reason why they aren't available.
    """
    tokenizer = _load(_folder(results_dir, run), run.checkpoint.get("tokenizer_hash"))
    opening = Template(tokenizer, ModelConfig(name=run.model)).opening
    ids = Encoder(tokenizer, opening).encode(prompt)
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    texts = tokenizer.batch_decode([[number] for number in ids], clean_up_tokenization_spaces=False)
    return [
        Token(id=number, text=text, is_special=number in special)
        for number, text in zip(ids, texts, strict=True)
    ]


def _folder(results_dir: Path, run: Manifest) -> Path:
    """The checkpoint's folder; a relative one is searched for here and beside the results."""
    stored = run.checkpoint.get("path")
    if not isinstance(stored, str) or not stored:
        raise CheckpointError(f"run {run.run_id!r} doesn't say where its checkpoint is")
    tried = [Path.cwd() / stored, results_dir.resolve().parent / stored]
    for folder in tried:
        if folder.is_dir():
            return folder
    raise CheckpointError(f"the run's checkpoint {stored!r} isn't on this machine")


@lru_cache(maxsize=2)
def _load(folder: Path, tokenizer_hash: str | None) -> Any:
    from evalharness.checkpoint.identity import hash_tokenizer

    found = hash_tokenizer(folder)
    if found is None:
        raise CheckpointError(f"there is no tokenizer in {str(folder)!r}")
    if tokenizer_hash and found != tokenizer_hash:
        raise CheckpointError(
            f"the tokenizer in {str(folder)!r} is no longer the one that the run used"
        )
    try:
        from transformers import AutoTokenizer
    except ImportError as e:
        raise CheckpointError(
            f"transformers isn't installed; `{install_command('eval')}` installs it"
        ) from e
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as e:  # transformers may raise anything on a damaged tokenizer
        raise CheckpointError(f"tokenizer in {str(folder)!r}: {one_line(e)}") from e
