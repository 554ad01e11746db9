from pathlib import Path

import pytest

from evalharness.comparison.gate_policy import (
    Policy,
    default_path,
    load_policy,
    parse_policy,
)
from evalharness.errors import ConfigError

POLICY = b"""
tiers:
  critical: {margin: 0.01, relative: 0.02}
  advisory: {margin: 0.05}
tasks:
  gsm8k: critical
  mmlu_*: {tier: supporting, margin: 0.03}
  m*: critical
  leaks: {tier: critical, relative: 0.1, better: lower}
domains:
  safety: critical
"""


@pytest.fixture
def policy() -> Policy:
    return parse_policy(POLICY, "policy.yaml")


@pytest.mark.parametrize(
    ("task", "group", "domain", "source"),
    [
        ("gsm8k", "gsm8k", "safety", "tasks.gsm8k"),
        ("a_task", "gsm8k", "capability", "tasks.gsm8k"),
        ("mmlu_law", "mmlu", "capability", "tasks.mmlu_*"),
        ("mbpp", "gsm8k", "capability", "tasks.m*"),
        ("toxigen", "toxigen", "safety", "domains.safety"),
        ("toxigen", "toxigen", "capability", "default"),
    ],
)
def test_a_name_comes_before_a_pattern_a_task_before_its_group_before_its_domain(
    policy: Policy, task: str, group: str, domain: str, source: str
) -> None:
    assert policy.rule(task, group, domain).source == source


@pytest.mark.parametrize(("baseline", "margin"), [(0.8, 0.01), (0.3, 0.006), (-0.3, 0.006), (0, 0)])
def test_the_stricter_margin_holds(policy: Policy, baseline: float, margin: float) -> None:
    assert policy.rule("gsm8k", "gsm8k", "").allowed(baseline) == pytest.approx(margin)


def test_a_tasks_margins_replace_those_of_its_tier(policy: Policy) -> None:
    rule = policy.rule("leaks", "leaks", "")
    assert (rule.margin, rule.relative, rule.better) == (None, 0.1, "lower")


def test_what_isnt_given_is_the_documented_default(policy: Policy) -> None:
    assert (policy.alpha, policy.min_pairs, policy.default.tier) == (0.05, 10, "advisory")


def test_the_shipped_policy_reads() -> None:
    policy = load_policy(default_path())
    assert policy.rule("toxigen", "toxigen", "safety").tier == "critical"
    assert policy.rule("gsm8k", "gsm8k", "capability").tier == "supporting"
    assert len(policy.sha256) == 64


def test_an_own_default_comes_before_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs" / "gate").mkdir(parents=True)
    (tmp_path / "configs" / "gate" / "default.yaml").write_bytes(POLICY)
    monkeypatch.chdir(tmp_path)
    assert load_policy(default_path()).path == "configs/gate/default.yaml"


TIERS = "tiers: {critical: {margin: 0.02}, advisory: {margin: 0.05}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tires: {}\n", "p.yaml, line 1: tires: no such field; did you mean 'tiers'?"),
        (TIERS + "tasks:\n  x: critcal\n", "line 3: tasks.x: got 'critcal'; did you mean 'critical'?"),
        (TIERS + "tasks:\n  x: supporting\n", "line 3: tasks.x: tier supporting has no margin; add"),
        (TIERS + "tasks:\n  x: {margin: 0.1}\n", "line 3: tasks.x.tier: got None; expected one of"),
        (TIERS + "tasks:\n  x:\n    tier: critical\n    margn: 1\n", "line 5: tasks.x.margn: no such field"),
        (TIERS + "tasks:\n  x: {tier: critical, better: up}\n", "tasks.x.better: got 'up'; expected"),
        (TIERS + "tasks:\n  x: critical\n  x: critical\n", "line 4: tasks.x: is given twice; keep one"),
        (TIERS + "tasks:\n  12: critical\n", "line 3: tasks.12: got 12; a name is text"),
        (TIERS + "tasks: [x]\n", "line 2: tasks: got ['x']; expected `name: value`"),
        (TIERS + "domains: {safty: critical}\n", "domains.safty: no such field; did you mean 'safety'?"),
        (TIERS + "alpha: 0.7\n", "line 2: alpha: got 0.7; expected a number above 0 and below 0.5"),
        (TIERS + "alpha: 1e-2\n", "line 2: alpha: got '1e-2'; expected a number"),
        (TIERS + "min_pairs: 1\n", "line 2: min_pairs: got 1; expected a whole number of 2 or more"),
        (TIERS + "min_pairs: true\n", "min_pairs: got True"),
        (TIERS + "needs_critical: 0\n", "line 2: needs_critical: got 0; expected true or false"),
        ("tiers: {critical: 0.02}\n", "line 1: tiers.critical: got 0.02; expected {margin: 0.02}"),
        ("tiers:\n  critical: {margin: 0}\n", "line 2: tiers.critical.margin: got 0; expected a number above 0"),
        ("tiers:\n  critical: {margin: .nan}\n", "tiers.critical.margin: got nan; expected"),
        ("tiers:\n  critical: {relative: 2}\n", "above 0 and below 1"),
        ("tiers:\n  critical: {tier: 2}\n", "tiers.critical.tier: no such field; did you mean 'relative'? one of margin, relative"),
        ("tiers: {critical: {margin: 0.02}}\n", "default: tier advisory has no margin"),
        ("tiers: {critical: {margin: 0.02}}\ntasks: &a {x: *a}\n", "p.yaml"),
        ("", "default: tier advisory has no margin"),
        ("- x\n", "expected `tiers:`, `tasks:`, ... as fields"),
        ("a: [\n", "line 2: not YAML"),
        ("a: \x00\n", "not YAML"),
        ("? [a]\n: b\n", "line 1: not YAML"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_policy(text.encode(), "p.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("p.yaml")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ConfigError, match="not YAML"):
        parse_policy(b"tiers: \xff", "p.yaml")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read: No such file.*is an example"):
        load_policy(tmp_path / "none.yaml")
