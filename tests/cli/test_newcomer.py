"""A newcomer's clocks: from a clone, a checkpoint, a task's name or a CSV to a table, by the README's own commands.

pytest -s -m "slow and not network" tests/cli/test_newcomer.py      prints commands and seconds, with the real engine
pytest -s -m network tests/cli/test_newcomer.py                     from a clone, which installs everything
"""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blocks_of_docs import ROOT, blocks
from command_line import Cli

FAKE = ("engine=fake",)
REAL = ("engine=vllm_cpu", "engine.max_model_len=1024")
QUESTIONS = 12
SPLITS = ("train", "validation", "test")


def line(start: str, **instead: str) -> list[str]:
    """The README's command that starts like this, with other values for some of its keys.

    Args:
        start: the beginning of exactly one command.
        instead: key -> what is given for it.
    """
    commands = [
        text
        for block in blocks(ROOT / "README.md")
        if block.language == "bash"
        for text in block.text.splitlines()
    ]
    (found,) = [text for text in commands if text.startswith(start)]
    words = shlex.split(found, comments=True)[1:]
    keys = [word.partition("=")[0] for word in words]
    assert set(instead) <= set(keys), found
    return [
        f"{key}={instead[key]}" if key in instead else word
        for key, word in zip(keys, words, strict=True)
    ]


def own_checkpoint(*engine: str) -> list[list[str]]:
    """A folder that no entry names."""
    run = line("evalharness run model=checkpoints/step-4000", tasks="weekday_arithmetic", limit="4")
    return [[*run, *engine]]


def a_task_of_lm_eval(*engine: str) -> list[list[str]]:
    """Its data are in a mirror, as on a machine without network."""
    run = line("evalharness run model=Qwen/", model="checkpoints/step-4000", tasks="arc_challenge")
    return [[*run, "data.mirror=mirror", *engine]]


def own_quiz(*engine: str) -> list[list[str]]:
    """Twelve questions in a CSV."""
    return [
        line("evalharness task new my_quiz"),
        [*line("evalharness task check my_task")[:2], "my_quiz"],
        [*line("evalharness run model=smollm2-135m tasks=my_task", model="checkpoints/step-4000", tasks="my_quiz"), *engine],
    ]  # fmt: skip


WAYS = {
    "own checkpoint": (own_checkpoint, 1, 4),
    "a task of lm-eval": (a_task_of_lm_eval, 1, 3),
    "own quiz": (own_quiz, 3, QUESTIONS),
}
"""Name -> its commands, how many at most, and the docs that are scored."""


def lay_out(folder: Path, checkpoint: Path) -> None:
    """What a newcomer brings: a checkpoint, a CSV; and a mirror of a dataset that lm-eval asks for."""
    (folder / "checkpoints" / "step-4000").mkdir(parents=True)
    for file in checkpoint.iterdir():
        (folder / "checkpoints" / "step-4000" / file.name).symlink_to(file)
    with (folder / "questions.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("question", "A", "B", "C", "answer"))
        for number in range(QUESTIONS):
            place = number % 3
            choices = (number + 1 - place + other for other in range(3))
            rows.writerow((f"{number} + 1 = ?", *choices, "ABC"[place]))
    data = folder / "mirror" / "allenai" / "ai2_arc" / "ARC-Challenge"
    data.mkdir(parents=True)
    splits = [{"split": name, "path": f"{data.name}/{name}.parquet"} for name in SPLITS]
    configs = {"configs": [{"config_name": data.name, "data_files": splits}]}
    (data.parent / "README.md").write_text(f"---\n{json.dumps(configs)}\n---\n")
    docs = [
        {
            "id": f"d{number}",
            "question": f"What comes after {number}?",
            "choices": {"text": [str(number + 1), str(number + 2)], "label": ["A", "B"]},
            "answerKey": "A",
        }
        for number in range(3)
    ]
    for split in SPLITS:
        pq.write_table(pa.Table.from_pylist(docs), data / f"{split}.parquet")


@pytest.mark.parametrize("name", WAYS)
def test_readme_leads_to_a_table(name: str, evalharness: Cli, home: Path, tiny_llama: Path) -> None:
    commands, most, num_docs = WAYS[name]
    lay_out(home, tiny_llama)
    asked = commands(*FAKE)
    assert len(asked) <= most
    for words in asked:
        done = evalharness(*words)
        assert done.code == 0, done.err
    assert "score [95 % CI]" in done.out
    (result,) = json.loads(evalharness("results", "--json").out)
    assert (result["status"], result["num_samples"]) == ("complete", num_docs)


@pytest.mark.slow
@pytest.mark.vllm
def test_clocks_with_the_real_engine(demo: Path, tmp_path: Path) -> None:
    lay_out(tmp_path, demo)
    for name, (commands, _, _) in WAYS.items():
        begun = time.monotonic()
        asked = commands(*REAL)
        for words in asked:
            done = program([sys.executable, "-m", "evalharness", *words], tmp_path)
        assert "score [95 % CI]" in done.stdout
        print(f"{name}: {len(asked)} commands, {time.monotonic() - begun:.0f} s")


@pytest.mark.slow
@pytest.mark.network
def test_clock_from_a_clone(tmp_path: Path) -> None:
    begun = time.monotonic()
    subprocess.run(["git", "clone", "-q", str(ROOT), "clone"], cwd=tmp_path, check=True)
    done = program(["scripts/quickstart"], tmp_path / "clone")
    assert "score [95 % CI]" in done.stdout
    assert (tmp_path / "clone" / "results" / "report" / "index.html").is_file()
    print(f"from a clone: {time.monotonic() - begun:.0f} s")
    shutil.rmtree(tmp_path / "clone" / ".venv")


def program(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The output of a program that ends well."""
    environment = os.environ | {"COLUMNS": "120"}
    environment.pop("EVALHARNESS_RESULTS_DIR", None)
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done
