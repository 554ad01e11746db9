from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evalharness.comparison.compare import compare_runs
from evalharness.comparison.gate import (
    Gate,
    judge,
)
from evalharness.comparison.gate_policy import parse_policy
from evalharness.report.terminal.gate import (
    gate_as_json,
    gate_view,
    markdown,
)
from stores import make_run

POLICY = b"""
tiers: {critical: {margin: 0.05}, supporting: {margin: 0.05}, advisory: {margin: 0.05}}
tasks: {lost: critical, few: supporting, rare: supporting, "gone*": advisory}
default: critical
"""
SCORES = [1.0, 0.0] * 200
TASKS = {"same": SCORES, "lost": SCORES, "few": SCORES[:6], "rare": SCORES[:40], "new": SCORES[:20]}
NAMES = ("base", "tuned")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    folder = tmp_path_factory.mktemp("results")
    b = {**TASKS, "lost": [0.0] * 400}
    first = make_run(folder, "1", "base", "s", TASKS)
    second = make_run(folder, "2", "tuned", "s", b, on_task={"new": {"version": "2"}})
    return judge(parse_policy(POLICY, "my/policy.yaml"), [compare_runs(folder, first, second)])


def shown(renderable: Any, width: int) -> str:
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_the_word_comes_before_the_table_and_the_table_before_the_reasons(gate: Gate) -> None:
    text = shown(gate_view(gate, NAMES, width=200), 200)
    places = [text.index(part) for part in ("BLOCK", "my/policy.yaml", "verdict", "fail lost")]
    assert places == sorted(places)


def test_every_outcome_has_its_reason(gate: Gate) -> None:
    text = shown(gate_view(gate, NAMES, width=300), 300)
    for line in (
        "fail lost (critical): loses more than 0.050: -0.500, at best -0.4",
        "inconclusive few (supporting): too few: 6 pairs; about 620 docs would hold 0.050",
        "inconclusive rare (supporting): at worst -0.055: 40 pairs can't tell a loss of 0.050 (MDE 0.155); "
        "about 120 docs would do if nothing is lost",
        "inconclusive new (critical): not compared: task version 1.0 against 2",
        "inconclusive gone* (advisory): not compared: in neither run",
    ):
        assert line in text
    assert "same (critical)" not in text


@pytest.mark.parametrize("width", [60, 80, 110, 160])
def test_no_number_is_cut_on_any_width(gate: Gate, width: int) -> None:
    text = shown(gate_view(gate, NAMES, width=width), width)
    assert "-0.500 [-0.5" in text
    assert max(map(len, text.splitlines())) <= width


def test_json_has_every_number_and_reason(gate: Gate) -> None:
    content = gate_as_json(gate, NAMES)
    rows = {row["task"]: row for row in content["rows"]}
    assert (rows["lost"]["outcome"], rows["lost"]["losses"], rows["lost"]["margin"]) == (
        "fail",
        200,
        0.05,
    )
    assert rows["new"]["worst"] is None
    assert rows["new"]["reason"] == "not compared: task version 1.0 against 2"
    assert content["policy"]["path"] == "my/policy.yaml"


def test_markdown_has_a_row_per_task_and_the_reasons(gate: Gate) -> None:
    text = markdown(gate, NAMES)
    assert text.startswith("**BLOCK**: tuned against base: ")
    assert "| lost | critical | 400 | 0.500 | 0.000 | -0.500 [" in text
    assert "| gone\\* | advisory | - | - |" in text
    assert "- fail: lost (critical): loses more than" in text


def test_markdown_says_below_the_table_what_the_rows_say(tmp_path: Path) -> None:
    half = {"same": {"status": "partial"}}
    runs = [
        make_run(tmp_path, name, name, "s", {"same": SCORES}, on_task=on_task)
        for name, on_task in (("a", {}), ("b", half))
    ]
    text = markdown(judge(parse_policy(POLICY, "p"), [compare_runs(tmp_path, *runs)]), NAMES)
    assert "\n- same: partial in the second run\n" in text


def test_names_of_others_cannot_reach_the_terminal_or_a_table(tmp_path: Path) -> None:
    evil = "\x1b[31mx|<b>[bold]\u202e"
    runs = [make_run(tmp_path, name, evil + name, "s", {evil: SCORES}) for name in "ab"]
    found = judge(parse_policy(POLICY, evil), [compare_runs(tmp_path, *runs)])
    names = (evil + "a", evil + "b")
    text = shown(gate_view(found, names, width=160), 160) + markdown(found, names)
    assert not {"\x1b", "\u202e"} & set(text)
    assert "x\\|\\<b\\>" in text


def test_a_task_of_two_suites_is_distinguished(tmp_path: Path) -> None:
    found = []
    for suite in ("one", "two"):
        runs = [make_run(tmp_path, f"{suite}-{name}", name, suite, {"x": SCORES}) for name in "ab"]
        found.append(compare_runs(tmp_path, *runs))
    text = shown(gate_view(judge(parse_policy(POLICY, "p"), found), NAMES, width=160), 160)
    assert "x one" in text
    assert "x two" in text


def test_missing_scores_that_decide_are_the_reason(tmp_path: Path) -> None:
    right = [1.0] * 400
    runs = [make_run(tmp_path, n, n, "s", {"x": s}) for n, s in (("a", right), ("b", [*right[:300], *[None] * 100]))]  # fmt: skip
    found = judge(parse_policy(POLICY, "p"), [compare_runs(tmp_path, *runs)])
    text = " ".join(shown(gate_view(found, NAMES, width=160), 160).split())
    assert found.word == "INCONCLUSIVE"
    assert "inconclusive x (critical): the missing scores decide it: at worst -0.28" in text
    assert "x: scores are missing: 25 % of the second's (100 of 400 docs)" in text
    (row, *_) = gate_as_json(found, NAMES)["rows"]
    assert (row["cause"], row["missing_b"], row["difference_low"]) == ("docs missing", 0.25, -0.25)
    assert "all docs: -0.250 to 0.000" in markdown(found, NAMES)


def test_a_gate_without_a_critical_task_says_so(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, n, n, "s", {"few": SCORES}) for n in "ab"]
    policy = parse_policy(POLICY.replace(b"lost: critical, ", b""), "p")
    found = judge(policy, [compare_runs(tmp_path, *runs)])
    text = shown(gate_view(found, NAMES, width=160), 160)
    assert text.startswith(" INCONCLUSIVE   tuned against base: no critical task was judged")
