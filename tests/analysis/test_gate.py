import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evalharness.analysis.compare import Comparison, TaskComparison
from evalharness.analysis.gate import Gate, GateRow, Unmatched, judge, one_sided
from evalharness.analysis.gate_policy import Policy, parse_policy
from evalharness.analysis.paired import (
    PairedResult,
    from_normal,
    paired_binary_interval,
    paired_test,
)
from evalharness.records import Manifest
from stores import _summary


def rng(seed: int = 0) -> np.random.Generator:
    """A generator of its own for each use: a test's numbers don't depend on those before it."""
    return np.random.default_rng(seed)


def policy(text: str = "") -> Policy:
    tiers = (
        "tiers: {critical: {margin: 0.05}, supporting: {margin: 0.05}, advisory: {margin: 0.05}}\n"
    )
    return parse_policy((tiers + (text or "default: critical\n")).encode(), "policy.yaml")


def binary(wins: int, losses: int, n: int) -> PairedResult:
    a = [0.0] * wins + [1.0] * losses + [1.0, 0.0] * n
    b = [1.0] * wins + [0.0] * losses + [1.0, 0.0] * n
    return paired_test(a[:n], b[:n], rng())


def row(
    task: str, result: PairedResult, *, higher: bool = True, members: int = 1
) -> TaskComparison:
    return TaskComparison(
        task=task, num_members=members, metric="acc", filter="none", higher_is_better=higher, result=result,
        p_adjusted=result.p_value, verdict="no difference resolved",
    )  # fmt: skip


def run(
    name: str, tasks: Mapping[str, str], suite: str = "s", domain: str = "capability"
) -> Manifest:
    return Manifest(
        run_id=name, status="complete", model=name, suite=suite, suite_version="1", started_at="",
        config={"suite": {"domain": domain}},
        tasks=tuple(_summary(task, group, [1.0]) for task, group in tasks.items()),
    )  # fmt: skip


def comparison(*rows: TaskComparison, **changes: Any) -> Comparison:
    members = changes.pop("members", ())
    groups = changes.pop("groups", {})
    names = [r.task for r in (*rows, *members) if r.num_members == 1] + list(
        changes.get("left_out", {})
    )
    tasks = {name: groups.get(name, name) for name in names}
    a, b = (run(name, tasks, domain=changes.get("domain", "capability")) for name in "ab")
    changes.pop("domain", None)
    base = Comparison(
        a=a, b=b, margin=0.01, tasks=rows, members=tuple(members), overall=None, left_out={}, notes=()
    )  # fmt: skip
    return replace(base, **changes)


def judged(result: PairedResult, text: str = "", **options: Any) -> GateRow:
    (found,) = judge(policy(text), [comparison(row("x", result, **options))]).rows
    return found


def outcome(found: GateRow) -> tuple[str, str]:
    return found.outcome, found.cause


def test_a_bound_above_the_margin_passes() -> None:
    found = judged(binary(10, 10, 1000))
    assert outcome(found) == ("pass", "kept")
    assert found.worst == found.row.result.ci90_low > -0.05  # type: ignore[union-attr]


def test_an_interval_below_the_margin_fails() -> None:
    found = judged(binary(0, 100, 1000))
    assert outcome(found) == ("fail", "beyond")
    assert found.best < -0.05


def test_a_significant_loss_whose_estimate_is_beyond_the_margin_fails() -> None:
    found = judged(binary(10, 65, 1000))
    assert outcome(found) == ("fail", "significant")
    assert found.best > -0.05


def test_a_significant_loss_within_the_margin_passes() -> None:
    found = judged(binary(0, 20, 1000))
    assert outcome(found) == ("pass", "kept")
    assert found.p_adjusted < 0.05


def test_too_few_docs_for_the_margin_are_inconclusive_and_say_how_many_would_do() -> None:
    found = judged(binary(15, 15, 100))
    assert outcome(found) == ("inconclusive", "underpowered")
    # (z_.95 + z_.80)^2 * variance / margin^2, with the variance that the MDE is from: (15 + 15 + 2) / (100 + 2).
    assert found.docs_needed == pytest.approx(6.1826 * 32 / 102 / 0.05**2, rel=1e-3)


def test_a_loss_near_the_margin_is_inconclusive_though_the_docs_would_do() -> None:
    found = judged(binary(15, 60, 1000))
    assert outcome(found) == ("inconclusive", "close")
    assert found.docs_needed is not None
    assert found.docs_needed > 1000


@pytest.mark.parametrize("n", [1, 2, 9])
def test_tiny_n_is_inconclusive_whatever_it_shows(n: int) -> None:
    assert outcome(judged(binary(0, n, n))) == ("inconclusive", "few pairs")
    assert outcome(judged(binary(0, 0, n), "default: critical\nmin_pairs: 10\n")) == (
        "inconclusive",
        "few pairs",
    )


def test_sources_count_and_not_docs() -> None:
    scores, more = rng().random((2, 100))
    result = paired_test(scores, scores + 1e-3 * more, rng(), np.repeat(np.arange(5), 20))
    assert outcome(judged(result)) == ("inconclusive", "few pairs")


def test_no_interval_is_inconclusive() -> None:
    found = judged(from_normal(0.5, 0.6, 0.0, 50))
    assert outcome(found) == ("inconclusive", "no interval")
    assert math.isnan(found.worst)


def test_a_share_of_a_base_of_zero_is_no_margin() -> None:
    result = paired_test([0.0] * 100, [1.0] + [0.0] * 99, rng())
    found = judged(result, "default: {tier: critical, relative: 0.1}\n")
    assert (found.margin, found.cause, found.docs_needed) == (0, "no margin", None)


def test_lower_is_better_turns_everything_round() -> None:
    assert outcome(judged(binary(0, 100, 1000), higher=False)) == ("pass", "kept")
    found = judged(binary(100, 0, 1000), higher=False)
    assert outcome(found) == ("fail", "beyond")
    assert found.gain == pytest.approx(-0.1)


def test_a_policy_can_say_that_lower_is_better() -> None:
    text = "default: critical\ntasks: {x: {tier: critical, margin: 0.05, better: lower}}\n"
    assert outcome(judged(binary(100, 0, 1000), text)) == ("fail", "beyond")


def test_where_lower_is_better_a_gain_is_a_loss() -> None:
    assert outcome(judged(binary(100, 0, 1000), higher=False)) == ("fail", "beyond")


@pytest.mark.parametrize(("missing", "cause"), [(0, "kept"), (10, "kept"), (100, "docs missing")])
def test_docs_that_the_candidate_lacks_count_as_lost(missing: int, cause: str) -> None:
    kept = replace(row("x", binary(50, 0, 1000)), num_only_a=missing)
    (found,) = judge(policy(), [comparison(kept)]).rows
    assert found.cause == cause
    assert (found.outcome == "pass") == (cause == "kept")


def test_the_relative_margin_is_of_the_bases_score() -> None:
    result = binary(10, 10, 1000)
    found = judged(result, "default: {tier: critical, margin: 0.05, relative: 0.01}\n")
    assert found.margin == pytest.approx(0.01 * result.value_a)
    assert outcome(found) == ("inconclusive", "underpowered")


WORDS = [
    ("critical", "fail", "BLOCK", 1),
    ("critical", "inconclusive", "INCONCLUSIVE", 2),
    ("critical", "pass", "PASS", 0),
    ("supporting", "fail", "WARN", 0),
    ("supporting", "inconclusive", "WARN", 0),
    ("supporting", "pass", "PASS", 0),
    ("advisory", "fail", "PASS", 0),
    ("advisory", "inconclusive", "PASS", 0),
]
RESULTS = {"pass": (10, 10, 1000), "fail": (0, 100, 1000), "inconclusive": (15, 15, 100)}


@pytest.mark.parametrize(("tier", "what", "word", "code"), WORDS)
def test_the_tier_of_a_task_decides_what_its_outcome_means(
    tier: str, what: str, word: str, code: int
) -> None:
    rows = row("x", binary(*RESULTS[what])), row("y", binary(*RESULTS["pass"]))
    found = judge(policy(f"tasks: {{x: {tier}}}\ndefault: critical\n"), [comparison(*rows)])
    assert (found.word, found.exit_code) == (word, code)


def test_a_critical_fail_outranks_all_else() -> None:
    rows = [row(what, binary(*counts)) for what, counts in RESULTS.items()]
    assert judge(policy(), [comparison(*rows)]).word == "BLOCK"


def words(found: Gate) -> dict[str, tuple[str, str, str]]:
    return {r.task: (r.tier, r.cause, r.why) for r in found.rows}


def test_what_cant_be_compared_never_passes() -> None:
    ok = row("y", binary(10, 10, 1000))
    left_out = {"x": "task version 1.0 against 2.0"}
    found = judge(policy(), [comparison(ok, left_out=left_out)])
    assert words(found)["x"] == ("critical", "not compared", left_out["x"])
    assert found.word == "INCONCLUSIVE"


def test_a_task_that_the_policy_names_and_nobody_ran_is_inconclusive() -> None:
    text = "tasks: {gsm8k: critical, mmlu_*: supporting, y: critical}\n"
    found = judge(policy(text), [comparison(row("y", binary(10, 10, 1000)))])
    assert found.word == "INCONCLUSIVE"
    assert words(found)["gsm8k"] == ("critical", "not compared", "in neither run")
    assert words(found)["mmlu_*"] == ("supporting", "not compared", "in neither run")


def test_a_pattern_behind_a_name_isnt_missed() -> None:
    found = judge(
        policy("tasks: {yy: critical, y*: supporting}\n"),
        [comparison(row("yy", binary(10, 10, 1000)))],
    )
    assert list(words(found)) == ["yy"]


def test_a_suite_that_only_one_has_is_no_pass_for_its_domain() -> None:
    found = comparison(row("y", binary(10, 10, 1000)))
    alone = Unmatched(
        run("a", {"toxigen": "toxigen"}, "safe", "safety"), "b has no run of suite safe"
    )
    text = "domains: {safety: critical}\n"
    assert judge(policy(text), [found]).word == "PASS"
    gate = judge(policy(text), [found], [alone])
    assert gate.word == "INCONCLUSIVE"
    assert words(gate)["domain safety"] == ("critical", "not compared", alone.why)
    named = judge(policy("tasks: {toxigen: critical}\n"), [found], [alone])
    assert words(named)["toxigen"] == ("critical", "not compared", alone.why)


def test_nothing_compared_is_inconclusive_even_when_all_is_advisory() -> None:
    found = judge(policy("default: advisory\n"), [comparison(left_out={"x": "only in a"})])
    assert found.word == "INCONCLUSIVE"


def test_domains_decide_over_whole_suites() -> None:
    text = "domains: {safety: critical, capability: supporting}\n"
    fails = row("x", binary(0, 100, 1000))
    assert judge(policy(text), [comparison(fails)]).word == "WARN"
    assert judge(policy(text), [comparison(fails, domain="safety")]).word == "BLOCK"


def test_a_group_is_judged_as_a_whole_unless_its_tasks_are_named() -> None:
    result = binary(10, 10, 1000)
    found = comparison(
        row("mmlu", result, members=2),
        members=[row("mmlu_law", result), row("mmlu_art", result)],
        groups={"mmlu_law": "mmlu", "mmlu_art": "mmlu"},
    )
    for text, names in (
        ("tasks: {mmlu*: critical}\n", ["mmlu"]),
        ("tasks: {mmlu: critical}\n", ["mmlu"]),
        ("tasks: {mmlu_law: critical}\n", ["mmlu_law", "mmlu"]),
        ("tasks: {mmlu: supporting, mmlu_a*: critical}\n", ["mmlu_art", "mmlu"]),
    ):
        assert [r.task for r in judge(policy(text), [found]).rows] == names


def test_critical_rows_come_first() -> None:
    rows = [row(name, binary(10, 10, 1000)) for name in "xyz"]
    found = judge(policy("tasks: {x: advisory, y: supporting, z: critical}\n"), [comparison(*rows)])
    assert [r.task for r in found.rows] == ["z", "y", "x"]


def test_p_is_adjusted_over_all_suites() -> None:
    one = comparison(row("x", binary(5, 70, 1000)))
    other = comparison(row("y", binary(10, 10, 1000)))
    alone, both = judge(policy(), [one]), judge(policy(), [one, other])
    assert both.rows[0].p_adjusted == pytest.approx(2 * alone.rows[0].p_adjusted)


@pytest.mark.parametrize("alpha", [0.01, 0.025, 0.05, 0.1])
def test_bounds_of_another_alpha_are_those_of_its_interval(alpha: float) -> None:
    found = one_sided(binary(20, 40, 500), alpha)
    assert found == pytest.approx(paired_binary_interval(20, 40, 500, 1 - 2 * alpha))
    normal = one_sided(from_normal(0.5, 0.4, 0.03, 100), alpha)
    z = {0.01: 2.3263, 0.025: 1.95996, 0.05: 1.64485, 0.1: 1.28155}[alpha]
    assert normal == pytest.approx((-0.1 - z * 0.03, -0.1 + z * 0.03), abs=1e-5)


def test_bounds_at_a_fortieth_are_the_95_percent_interval() -> None:
    a, b = rng().random((2, 30))
    for second in (b, a):
        result = paired_test(a, second, rng())
        assert one_sided(result, 0.025) == pytest.approx((result.ci_low, result.ci_high))


def drawn(n: int, lose: float, win: float, draw: np.random.Generator) -> PairedResult:
    a = (draw.random(n) < 0.6).astype(float)
    change = draw.random(n)
    # Of docs the base gets right it may lose, of those it gets wrong it may win.
    b = np.where(a == 1, change >= lose / 0.6, change < win / 0.4).astype(float)
    return paired_test(a, b, draw)


def pass_rate(n: int, lose: float, win: float, num: int) -> float:
    draw = rng(7)
    return float(np.mean([judged(drawn(n, lose, win, draw)).outcome == "pass" for _ in range(num)]))


def test_a_true_loss_at_the_margin_passes_one_time_in_twenty() -> None:
    assert pass_rate(400, 0.12, 0.07, 2000) == pytest.approx(0.05, abs=0.015)


def test_a_true_loss_at_the_margin_of_scores_that_are_shares_passes_one_time_in_twenty() -> None:
    draw = rng(3)
    passed = []
    for _ in range(400):
        a = draw.beta(4, 3, 60)
        b = a - 0.05 * a / (4 / 7) + 0.1 * a * (1 - a) * draw.standard_normal(60)
        result = paired_test(a, b.clip(0, 1), draw, permutations=200)
        passed.append(judged(result).outcome == "pass")
    assert np.mean(passed) == pytest.approx(0.05, abs=0.03)


def test_with_the_docs_that_are_asked_for_no_loss_passes_4_times_of_5() -> None:
    result = binary(19, 19, 200)
    needed = judged(result).docs_needed
    assert needed is not None
    share = 20 / 202
    assert pass_rate(needed, share, share, 1000) == pytest.approx(0.8, abs=0.04)


def test_the_policys_alpha_is_the_level_of_the_bounds_and_of_the_tests() -> None:
    result = binary(20, 40, 1000)  # a loss of 2 points: p 0.013
    at_5, at_1 = judged(result), judged(result, "default: critical\nalpha: 0.01\n")
    assert (at_5.worst, at_5.best) == pytest.approx(paired_binary_interval(20, 40, 1000, 0.90))
    assert (at_1.worst, at_1.best) == pytest.approx(paired_binary_interval(20, 40, 1000, 0.98))
    assert at_1.worst < at_5.worst


def test_a_smaller_alpha_changes_the_verdict_of_a_bound() -> None:
    result = binary(50, 81, 1000)
    assert outcome(judged(result)) == ("pass", "kept")
    assert outcome(judged(result, "default: critical\nalpha: 0.01\n"))[0] == "inconclusive"


def test_a_smaller_alpha_changes_the_verdict_of_a_significant_loss() -> None:
    result = binary(60, 115, 1000)
    text = "default: {tier: critical, margin: 0.054}\n"
    assert outcome(judged(result, text)) == ("fail", "significant")
    assert outcome(judged(result, text + "alpha: 0.00001\n"))[0] == "inconclusive"


def test_docs_needed_follow_from_the_policys_alpha() -> None:
    at_5 = judged(binary(15, 15, 100)).docs_needed
    at_1 = judged(binary(15, 15, 100), "default: critical\nalpha: 0.01\n").docs_needed
    assert at_5 is not None
    assert at_1 is not None
    # (z_.99 + z_.80)^2 / (z_.95 + z_.80)^2
    assert at_1 / at_5 == pytest.approx((2.32635 + 0.84162) ** 2 / 6.18256, rel=1e-3)


def test_docs_needed_near_the_margin_are_for_the_distance_to_it() -> None:
    found = judged(binary(15, 60, 1000))  # loses 4.5 points of the 5 allowed
    assert found.docs_needed == pytest.approx(6.18256 * 77 / 1002 / 0.005**2, rel=1e-3)


def test_a_member_that_is_left_out_is_judged_by_its_groups_rule() -> None:
    found = comparison(
        row("mmlu", binary(10, 10, 1000), members=2),
        members=[row("mmlu_law", binary(10, 10, 1000))],
        groups={"mmlu_law": "mmlu", "mmlu_art": "mmlu"},
        left_out={"mmlu_art": "failed in b"},
    )
    gate = judge(policy("tasks: {mmlu: critical}\ndefault: advisory\n"), [found])
    assert words(gate)["mmlu_art"] == ("critical", "not compared", "failed in b")
    assert gate.word == "INCONCLUSIVE"


def test_rules_of_a_domain_hold_for_what_is_left_out_too() -> None:
    found = comparison(row("y", binary(10, 10, 1000)), left_out={"x": "only in a"}, domain="safety")
    gate = judge(policy("domains: {safety: critical}\ndefault: advisory\n"), [found])
    assert words(gate)["x"] == ("critical", "not compared", "only in a")


def test_a_task_named_beside_its_group_keeps_the_groups_pattern() -> None:
    found = comparison(row("mmlu", binary(10, 10, 1000), members=1), groups={"mmlu": "mmlu"})
    gate = judge(policy("tasks: {mmlu: supporting}\ndefault: critical\n"), [found])
    assert [(r.task, r.tier) for r in gate.rows] == [("mmlu", "supporting")]


def test_bounds_of_scores_that_all_agree_follow_from_their_number() -> None:
    result = paired_test([0.25] * 30, [0.5] * 30, rng())
    low, high = one_sided(result, 0.01)
    unseen = 1 - 0.01 ** (1 / 30)
    assert (low, high) == pytest.approx((0.25 - unseen * 1.25, 0.25 + unseen * 0.75))


def test_bounds_of_sources_count_the_sources() -> None:
    a, b = 10 * rng(1).random((2, 60))
    result = paired_test(a, b, rng(), np.repeat(np.arange(12), 5))
    low, high = one_sided(result, 0.01)
    factor = stats.t.ppf(0.99, 11) / stats.t.ppf(0.95, 11)
    ready = result.ci90_low - result.difference, result.ci90_high - result.difference
    assert (low - result.difference, high - result.difference) == pytest.approx(
        (factor * ready[0], factor * ready[1])
    )


def test_missing_docs_count_only_on_a_scale_of_shares() -> None:
    first, more = rng(2).random((2, 400))
    a = 50 + 10 * first
    result = paired_test(a, a + 0.5 * more, rng(), permutations=100)
    kept = replace(row("x", result), num_only_a=300)
    (found,) = judge(policy(), [comparison(kept)]).rows
    assert outcome(found) == ("pass", "kept")


def test_missing_docs_turn_a_pass_at_the_margin() -> None:
    result = binary(10, 10, 1000)
    bound = result.ci90_low
    # (bound n - m) / (n + m) = -0.05 at m = n (bound + 0.05) / 0.95
    limit = 1000 * (bound + 0.05) / 0.95
    for missing, expected in ((math.floor(limit), "kept"), (math.ceil(limit), "docs missing")):
        kept = replace(row("x", result), num_only_a=missing)
        assert judge(policy(), [comparison(kept)]).rows[0].cause == expected
