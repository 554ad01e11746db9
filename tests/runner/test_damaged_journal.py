"""A whole run goes on from a damaged journal: with every whole record, with nothing else, to the same numbers."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.runner.journal_lines import parse_line
from evalharness.runner.run import (
    Outcome,
    run,
)
from killing import numbers

SEED = 20260102
NUM_SAMPLES = 16


def config(checkpoint: Path, results_dir: Path) -> Config:
    tasks = {
        "arc_easy_sample": TaskConfig(limit=8),
        "weekday_arithmetic": TaskConfig(limit=8, num_fewshot=0),
    }
    return Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
        engine=EngineConfig(kind=EngineKind.fake, max_in_flight=4),
        suite=SuiteConfig(name="test", tasks=tasks),
        results_dir=str(results_dir),
    )


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def cut_and_noise(content: bytes, rng: random.Random) -> bytes:
    return cut(content, rng) + rng.randbytes(rng.randrange(200))


def flip_bits(content: bytes, rng: random.Random) -> bytes:
    flipped = bytearray(content)
    for _ in range(5):
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def change_a_digit(content: bytes, rng: random.Random) -> bytes:
    """What stays valid JSON, and would change a score."""
    places = [i for i in range(len(content)) if content[i : i + 10] == b'"logprob":']
    place = rng.choice(places) + len(b'"logprob":-')
    return content[:place] + b"9" + content[place + 1 :]


def zero_a_block(content: bytes, rng: random.Random) -> bytes:
    """What a file system may leave of the last blocks after a power failure."""
    start = rng.randrange(len(content))
    return content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [
    cut,
    cut_and_noise,
    flip_bits,
    change_a_digit,
    zero_a_block,
]


@pytest.fixture(scope="module")
def whole(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(config(tiny_llama, tmp_path_factory.mktemp("whole")))


def interrupted(whole: Outcome, results_dir: Path, journal: bytes) -> None:
    """The run as it was before its end, with another journal."""
    run_dir = results_dir / whole.run_dir.name
    for name in ("journal", "samples"):
        (run_dir / name).mkdir(parents=True)
    content = json.loads((whole.run_dir / "manifest.json").read_text())
    (run_dir / "manifest.json").write_text(json.dumps(content | {"status": "running"}))
    (run_dir / "journal" / "0000.jsonl").write_bytes(journal)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_continues_from_a_damaged_journal(
    damage: Callable[[bytes, random.Random], bytes],
    seed: int,
    whole: Outcome,
    tiny_llama: Path,
    tmp_path: Path,
) -> None:
    content = (whole.run_dir / "journal" / "0000.jsonl").read_bytes()
    damaged = damage(content, random.Random(SEED + seed))
    interrupted(whole, tmp_path, damaged)
    again = run(config(tiny_llama, tmp_path))
    assert again.manifest.run_id == whole.manifest.run_id
    assert numbers(again.run_dir) == numbers(whole.run_dir)
    untouched = set(content.splitlines(keepends=True)) & set(damaged.splitlines(keepends=True))
    assert len(untouched) < NUM_SAMPLES or damaged.startswith(content)
    assert sum(task.num_reused for task in again.manifest.tasks) == len(untouched)
    new = (again.run_dir / "journal" / "0001.jsonl").read_bytes().splitlines(keepends=True)
    assert len(new) == NUM_SAMPLES - len(untouched)
    assert all(parse_line(line) for line in new)
    assert (again.run_dir / "journal" / "0000.jsonl").read_bytes() == damaged  # never rewritten
