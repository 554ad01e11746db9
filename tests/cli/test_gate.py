import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from evalharness.cli.gate import gate
from stores import make_run

app = typer.Typer()
app.command()(gate)

BASE = [1.0, 0.0] * 250
SAFE: dict[str, Any] = {"config": {"suite": {"domain": "safety"}}}
POLICY = """
tiers: {critical: {margin: 0.03}, supporting: {margin: 0.03}, advisory: {margin: 0.03}}
domains: {safety: critical, capability: supporting}
"""


def lost(num: int) -> list[float]:
    """The first `num` right ones wrong."""
    return [0.0] * (2 * num) + BASE[2 * num :]


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("results")
    (tmp_path / "policy.yaml").write_text(POLICY)
    for name, maths, refusal in (
        ("base", BASE, BASE),
        ("same", BASE, BASE),
        ("dull", lost(60), BASE),
        ("unsafe", BASE, lost(60)),
        ("unsure", BASE, lost(12)),
    ):
        make_run(tmp_path, f"{name}-cap", name, "cap", {"maths": maths})
        make_run(tmp_path, f"{name}-safe", name, "safe", {"refusal": refusal}, **SAFE)
    make_run(tmp_path, "untested-cap", "untested", "cap", {"maths": BASE})
    changed = {"maths": {"request_hash": "other"}}
    make_run(tmp_path, "reworded-cap", "reworded", "cap", {"maths": BASE}, on_task=changed)
    make_run(tmp_path, "other-run", "other", "t", {"z": BASE})
    return tmp_path


def call(results_dir: Path, *arguments: str, policy: str | None = "policy.yaml") -> Result:
    own = ["--policy", str(results_dir / policy)] if policy else []
    return CliRunner().invoke(app, [*arguments, *own, "--results-dir", str(results_dir)])


@pytest.mark.parametrize(
    ("candidate", "word", "code"),
    [
        ("same", "PASS", 0),
        ("dull", "WARN", 0),
        ("unsafe", "BLOCK", 1),
        ("unsure", "INCONCLUSIVE", 2),
        ("untested", "INCONCLUSIVE", 2),
    ],
)
def test_the_verdict_stands_first_and_is_the_exit_code(
    results_dir: Path, candidate: str, word: str, code: int
) -> None:
    result = call(results_dir, "base", candidate)
    assert result.exit_code == code
    assert result.stdout.split()[0] == word
    assert call(results_dir, "base", candidate, "--md").stdout.startswith(f"**{word}**")
    content = json.loads(call(results_dir, "base", candidate, "--json").stdout)
    assert (content["verdict"], content["exit_code"]) == (word, code)


def test_two_models_are_compared_over_every_suite_that_both_have(results_dir: Path) -> None:
    content = json.loads(call(results_dir, "base", "same", "--json").stdout)
    assert [(r["suite"], r["task"], r["tier"]) for r in content["rows"]] == [
        ("safe", "refusal", "critical"),
        ("cap", "maths", "supporting"),
    ]
    assert content["rows"][0]["rule"] == "domains.safety"


def test_a_suite_narrows_it(results_dir: Path) -> None:
    content = json.loads(call(results_dir, "base", "unsafe", "--suite", "cap", "--json").stdout)
    assert (content["verdict"], content["rows"][0]["outcome"]) == ("INCONCLUSIVE", "pass")
    assert content["meaning"] == "no critical task was judged (the policy's needs_critical)"
    assert content["notes"] == ["no safety suite was run"]
    (results_dir / "free.yaml").write_text(POLICY + "needs_critical: false\n")
    free = call(results_dir, "base", "unsafe", "--suite", "cap", policy="free.yaml")
    assert (free.exit_code, free.stdout.split()[0]) == (0, "PASS")


def test_runs_that_are_named_are_compared_alone(results_dir: Path) -> None:
    content = json.loads(call(results_dir, "base-cap", "unsafe-cap", "--json").stdout)
    assert [r["task"] for r in content["rows"]] == ["maths"]
    mixed = json.loads(call(results_dir, "base", "unsafe-safe", "--json").stdout)
    assert [r["task"] for r in mixed["rows"]] == ["refusal"]


def test_another_prompt_is_compared_only_when_asked_for(results_dir: Path) -> None:
    names = ("base-cap", "reworded-cap", "--json")
    content = json.loads(call(results_dir, *names).stdout)
    assert content["verdict"] == "INCONCLUSIVE"
    assert "another prompt" in content["rows"][0]["reason"]
    (row,) = json.loads(call(results_dir, *names, "--any-prompt").stdout)["rows"]
    assert row["outcome"] == "pass"
    assert row["notes"] == ["another prompt or other generation settings"]


def test_what_the_candidate_hasnt_run_is_named(results_dir: Path) -> None:
    text = " ".join(call(results_dir, "base", "untested").stdout.split())
    assert "domain safety (critical): not compared: untested has no run of suite safe" in text


def test_the_policy_is_named_with_its_hash(results_dir: Path) -> None:
    content = json.loads(call(results_dir, "base", "same", "--json").stdout)
    text = call(results_dir, "base", "same").stdout
    assert f"sha256 {content['policy']['sha256'][:12]}" in text
    assert "policy.yaml" in text


def test_without_a_policy_the_default_holds(results_dir: Path) -> None:
    content = json.loads(call(results_dir, "base", "unsafe", "--json", policy=None).stdout)
    assert content["policy"]["path"].endswith("configs/gate/default.yaml")
    assert content["verdict"] == "BLOCK"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base", "nobody"], "no run or model 'nobody'"),
        (["base", "same", "--suite", "saf"], "has no run of suite 'saf'; did you mean 'safe'?"),
        (["base-cap", "same", "--suite", "safe"], "run 'base-cap' is of suite 'cap', not 'safe'"),
        (
            ["base", "other"],
            "'base' and 'other' have no suite in common (base: cap, safe; other: t)",
        ),
        (["base", "same", "--json", "--md"], "--json and --md: only one of them"),
    ],
)
def test_wrong_input_is_one_line_that_helps(
    results_dir: Path, arguments: list[str], message: str
) -> None:
    result = call(results_dir, *arguments)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2


def test_a_policy_that_isnt_there_is_reported(results_dir: Path) -> None:
    assert "can't read" in str(call(results_dir, "base", "same", policy="none.yaml").exception)


def test_a_store_without_the_engine_is_enough(results_dir: Path) -> None:
    code = (
        "import sys\nfrom evalharness.cli.gate import gate\n"
        "import typer\napp = typer.Typer()\napp.command()(gate)\n"
        f"app(['base', 'same', '--results-dir', {str(results_dir)!r}], standalone_mode=False)\n"
        "assert not {'torch', 'vllm', 'lm_eval', 'transformers', 'datasets', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
