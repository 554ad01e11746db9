"""A whole run against a hostile server: what it answers rightly is scored, all else is counted by its reason."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import own_tasks
from engines.openai.test_engine_hostile import BAD_ANSWERS, BAD_TRANSPORT
from scripted_endpoint import Mishap, running

FINE_HERE = {
    "more tokens than asked for",
    "more tokens counted than asked for",
    "more cached than read",
}
"""Numbers that are too large for the short requests of the other tests."""
HOSTILE = [
    *(Mishap(edit=edit) for name, (edit, _) in BAD_ANSWERS.items() if name not in FINE_HERE),
    *BAD_TRANSPORT.values(),
    Mishap(429, headers={"Retry-After": "1e9"}),
    Mishap(drip_s=0.2),
    Mishap(is_endless=True),
    Mishap(307, headers={"Location": "http://192.0.2.1/v1/completions"}),
]
NUM = 2 * len(HOSTILE)
"""Docs of each task: every second one meets a mishap, each mishap once."""


def evalharness(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"EVALHARNESS_RESULTS_DIR": str(here / "results"), "COLUMNS": "140"}
    return subprocess.run(
        [sys.executable, "-m", "evalharness", *arguments],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def mishap_of(tokenizer: Any) -> Callable[[dict[str, Any]], Mishap | None]:
    """Decided by the doc's number, which its prompt holds; the opening's own prompt holds none."""

    def mishap(body: dict[str, Any]) -> Mishap | None:
        digits = [
            c for c in tokenizer.decode(body["prompt"]).partition("doc ")[2][:4] if c.isdigit()
        ]
        number = int("".join(digits) or 0)
        return HOSTILE[number // 2 % len(HOSTILE)] if number % 2 else None

    return mishap


def test_a_run_against_a_hostile_server_scores_what_is_sound_and_counts_the_rest(
    tiny_llama: Path, byte_tokenizer: Any, tmp_path: Path
) -> None:
    texts = [f"This is doc {i:03}." for i in range(NUM)]
    sums = [{"id": str(i), "q": text, "a": "1"} for i, text in enumerate(texts)]
    own_tasks.write(tmp_path, "sums", rows=sums)
    picks = [row | {"choices": ["ab", "cd"], "a": 0} for row in sums]
    own_tasks.write(tmp_path, "picks", own_tasks.CHOICE, rows=picks)
    for kind, name, text in (
        ("model", "mine", f"name: mine\npath: {tiny_llama}\nvariant: base\n"),
        ("suite", "both", "name: both\ntasks: {sums: {num_fewshot: 0}, picks: {num_fewshot: 0}}\n"),
    ):
        (tmp_path / "configs" / kind).mkdir(parents=True, exist_ok=True)
        (tmp_path / "configs" / kind / f"{name}.yaml").write_text(text)
    settings = ("num_retries=0", "timeout_s=2", "max_in_flight=4")
    with running() as end:
        end.edit = lambda content: content | {"model": "tiny"}
        end.mishap_of = mishap_of(byte_tokenizer)
        done = evalharness(
            tmp_path,
            *("run", "model=mine", "suite=both", "engine=openai", f"engine.base_url={end.url}"),
            *(f"engine.{setting}" for setting in settings),
        )
    shown = done.stdout + done.stderr
    assert done.returncode == 3, shown
    assert "Traceback" not in shown
    listed = evalharness(tmp_path, "results", "latest", "--json")
    manifest = json.loads(listed.stdout)
    assert manifest["status"] in ("partial", "failed"), shown
    tasks = {task["task"]: task for task in manifest["tasks"]}
    # Each mishap is an error in both tasks, but that a score needs no text (null) and no end (unknown, none).
    num_unread = {"sums": 0, "picks": 3}
    for name, task in tasks.items():
        assert task["num_docs"] == NUM
        assert task["num_errors"] == NUM // 2 - num_unread[name], (name, shown)
        assert 0 < sum(task["reasons"].values()) <= task["num_errors"]  # the most frequent
        assert 0 <= task["num_cached_tokens"] <= task["num_prompt_tokens"]
