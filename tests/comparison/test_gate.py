import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evalharness.comparison.compare import Comparison
from evalharness.comparison.compare_rows import TaskComparison
from evalharness.comparison.gate import (
    Gate,
    GateRow,
    Unmatched,
    judge,
    one_sided,
)
from evalharness.comparison.gate_policy import (
    Policy,
    parse_policy,
)
from evalharness.comparison.missing import (
    Bounds,
    bounds_of,
)
from evalharness.stats.paired import (
    PairedResult,
    from_normal,
    paired_binary_interval,
    paired_test,
)
from evalharness.store.pairs import Possible
from evalharness.store.records import Manifest
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


def test_a_significant_loss_beyond_the_margin_is_no_fail_while_the_interval_reaches_it() -> None:
    found = judged(binary(10, 65, 1000))
    assert found.p_adjusted < 1e-9
    assert found.best > -0.05 > found.gain
    assert outcome(found) == ("inconclusive", "close")


def test_a_tasks_verdict_is_its_own_however_many_are_judged() -> None:
    counts = [(10, 65), (10, 10), (0, 100), (15, 60), (0, 20)]
    alone = [outcome(judged(binary(*wins, 1000))) for wins in counts]
    rows = [row(str(place), binary(*wins, 1000)) for place, wins in enumerate(counts)]
    rows += [row(f"more {place}", binary(20, 20, 1000)) for place in range(50)]
    among = {r.task: outcome(r) for r in judge(policy(), [comparison(*rows)]).rows}
    assert [among[str(place)] for place in range(len(counts))] == alone


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


def lacking(n: int, missing: int, *, in_a: bool = False) -> TaskComparison:
    """A row on which b wins 50 of n docs and has no score for `missing` more, half of which a gets right."""
    a, b = [0.0] * 50 + [1.0] * (n - 50), [1.0] * n
    more, least, most = [1.0, 0.0] * (missing // 2), [0.0] * missing, [1.0] * missing
    ends = [[*a, *more], [*a, *more], [*b, *least], [*b, *most]]
    ends = [ends[2], ends[3], ends[0], ends[1]] if in_a else ends
    low_a, high_a, low_b, high_b = map(np.array, ends)
    share = missing / (n + missing)
    return replace(
        row("x", paired_test(*((b, a) if in_a else (a, b)), rng())),
        num_only_a=0 if in_a else missing,
        num_only_b=missing if in_a else 0,
        missing_a=share if in_a else 0.0,
        missing_b=0.0 if in_a else share,
        bounds=bounds_of(Possible(low_a, high_a, low_b, high_b, None), [0]) if missing else None,
    )


def one(found: TaskComparison, text: str = "") -> GateRow:
    (judged_row,) = judge(policy(text), [comparison(found)]).rows
    return judged_row


@pytest.mark.parametrize(("missing", "cause"), [(0, "kept"), (40, "kept"), (400, "docs missing")])
def test_docs_that_the_candidate_lacks_count_as_lost(missing: int, cause: str) -> None:
    found = one(lacking(1000, missing))
    assert (found.cause, found.docs_needed) == (cause, None)
    assert (found.outcome == "pass") == (cause == "kept")


def test_docs_that_the_base_lacks_may_have_been_right() -> None:
    found = one(lacking(1000, 400, in_a=True))
    # The other way round: 50 docs lost of 1000, and the base may have all of 400, of which the candidate has half.
    assert outcome(found) == ("inconclusive", "docs missing")
    assert found.worst < -(50 + 200) / 1400


def test_a_loss_that_missing_docs_could_make_up_for_is_no_fail() -> None:
    lost = lacking(1000, 400, in_a=True)
    assert lost.result.ci_high < -0.03
    found = one(lost, "default: {tier: critical, margin: 0.03}\n")
    assert outcome(found) == ("inconclusive", "docs missing")
    assert found.best > -0.03
    few = one(lacking(1000, 10, in_a=True), "default: {tier: critical, margin: 0.03}\n")
    assert outcome(few) == ("fail", "beyond")


def test_a_share_of_the_bases_score_is_of_the_least_that_it_may_be() -> None:
    found = lacking(1000, 400, in_a=True)
    assert found.bounds is not None
    base = one(found, "default: {tier: critical, relative: 0.1}\n")
    assert base.margin == pytest.approx(0.1 * 1000 / 1400)
    assert found.result.value_a == 1.0


def test_a_fail_needs_the_loss_beyond_a_share_of_all_that_the_base_may_score() -> None:
    a, b = np.ones(1100), np.array([1.0] * 900 + [0.0] * 200)
    least = np.array([1.0] * 1000 + [0.0] * 100)
    lost = replace(
        row("x", paired_test(a[:1000], b[:1000], rng())),
        num_only_b=100, missing_a=100 / 1100, bounds=bounds_of(Possible(least, a, b, b, None), [0]),
    )  # fmt: skip
    found = one(lost, "default: {tier: critical, relative: 0.08}\n")
    assert -0.08 * 1.0 < found.best < -0.08 * 1000 / 1100
    assert outcome(found) == ("inconclusive", "docs missing")
    assert outcome(one(lost, "default: {tier: critical, relative: 0.07}\n")) == ("fail", "beyond")


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
    assert judge(policy(text + "needs_critical: false\n"), [found]).word == "PASS"
    gate = judge(policy(text), [found], [alone])
    assert gate.word == "INCONCLUSIVE"
    assert words(gate)["domain safety"] == ("critical", "not compared", alone.why)
    assert {r.task: r.suite for r in gate.rows} == {"y": "s", "domain safety": "safe"}
    named = judge(policy("tasks: {toxigen: critical}\n"), [found], [alone])
    assert words(named)["toxigen"] == ("critical", "not compared", alone.why)


def test_nothing_compared_is_inconclusive_even_when_all_is_advisory() -> None:
    found = judge(policy("default: advisory\n"), [comparison(left_out={"x": "only in a"})])
    assert found.word == "INCONCLUSIVE"


def test_domains_decide_over_whole_suites() -> None:
    text = "domains: {safety: critical, capability: supporting}\nneeds_critical: false\n"
    fails = row("x", binary(0, 100, 1000))
    assert judge(policy(text), [comparison(fails)]).word == "WARN"
    assert judge(policy(text), [comparison(fails, domain="safety")]).word == "BLOCK"


@pytest.mark.parametrize("what", ["pass", "fail", "inconclusive"])
@pytest.mark.parametrize("tier", ["supporting", "advisory"])
def test_without_a_critical_task_a_gate_is_inconclusive_unless_the_policy_says_otherwise(
    tier: str, what: str
) -> None:
    found = comparison(row("x", binary(*RESULTS[what])))
    gate = judge(policy(f"default: {tier}\n"), [found])
    assert (gate.word, gate.exit_code) == ("INCONCLUSIVE", 2)
    free = judge(policy(f"default: {tier}\nneeds_critical: false\n"), [found])
    assert free.exit_code == 0
    assert (free.word == "PASS") == (what == "pass" or tier == "advisory")


def test_made_up_answers_are_never_judged() -> None:
    found = comparison(row("x", binary(*RESULTS["pass"])))
    assert judge(policy(), [found]).word == "PASS"
    for side in ("a", "b"):
        fake = replace(getattr(found, side), engine={"kind": "fake"})
        gate = judge(policy(), [replace(found, **{side: fake})])
        assert gate.word == "INCONCLUSIVE"
        assert words(gate)["x"] == (
            "critical",
            "not compared",
            f"the fake engine made up the answers of {side}",
        )


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
        gate = judge(policy(text), [found])
        assert [r.task for r in gate.rows] == names
        assert gate.rows[0].tier == "critical"


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


def test_a_smaller_alpha_changes_the_verdict_of_a_loss() -> None:
    result = binary(10, 90, 1000)
    text = "default: {tier: critical, margin: 0.06}\n"
    assert outcome(judged(result, text)) == ("fail", "beyond")
    assert outcome(judged(result, text + "alpha: 0.001\n"))[0] == "inconclusive"


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
    assert {r.suite for r in gate.rows} == {"s"}


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


def test_missing_docs_on_an_open_scale_could_be_anything() -> None:
    first, more = rng(2).random((2, 400))
    a = 50 + 10 * first
    whole = row("x", paired_test(a, a + 0.5 * more, rng(), permutations=100))
    assert outcome(one(whole)) == ("pass", "kept")
    found = one(replace(whole, num_only_a=1, missing_b=1 / 401))
    assert outcome(found) == ("inconclusive", "docs missing")
    assert math.isnan(found.worst)


def test_missing_docs_turn_a_pass_at_the_margin() -> None:
    few, many = (one(lacking(1000, missing)) for missing in (110, 260))
    assert (few.cause, many.cause) == ("kept", "docs missing")
    assert few.worst > -0.05 >= many.worst
    # 50 docs are won, and of those missing the half that the base gets right lost.
    assert few.row is not None
    assert few.row.bounds is not None
    assert few.row.bounds.low.difference == pytest.approx((50 - 55) / 1110)


BEYOND = binary(10, 65, 1000)
"""5.5 points lost, p below 0.001; the interval reaches to less than the margin of 5."""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ci90_high": -0.0501}, ("fail", "beyond")),
        ({"ci90_high": -0.05}, ("inconclusive", "close")),
        ({"ci90_high": -0.05, "p_value": 0.0}, ("inconclusive", "close")),
        ({"ci90_high": -0.0499, "spread": 0.0201}, ("inconclusive", "close")),
        ({"ci90_high": -0.0499, "spread": 0.0202}, ("inconclusive", "underpowered")),
    ],
)
def test_a_loss_of_the_margin_itself_is_no_fail(
    changes: dict[str, float], expected: tuple[str, str]
) -> None:
    assert outcome(judged(replace(BEYOND, **changes))) == expected  # type: ignore[arg-type]


def test_a_bound_at_the_margin_itself_is_no_pass() -> None:
    kept = binary(10, 10, 1000)
    assert outcome(judged(replace(kept, ci90_low=-0.0499))) == ("pass", "kept")
    assert outcome(judged(replace(kept, ci90_low=-0.05))) == ("inconclusive", "close")


@pytest.mark.parametrize(("worst", "cause"), [(-0.0499, "kept"), (-0.05, "docs missing")])
@pytest.mark.parametrize("only", [{"num_only_a": 5}, {"num_only_b": 5}])
def test_docs_that_are_missing_may_cost_less_than_the_margin(
    worst: float, cause: str, only: dict[str, int]
) -> None:
    result = replace(binary(10, 5, 95), ci90_low=0.0)
    ends = Bounds(replace(result, ci90_low=worst), replace(result, ci90_low=0.1))
    lacks = replace(row("x", result), bounds=ends, **only)  # type: ignore[arg-type]
    assert one(lacks).cause == cause


@pytest.mark.parametrize(("n", "is_few"), [(9, True), (10, False)])
def test_ten_pairs_are_enough_to_be_judged(n: int, is_few: bool) -> None:
    found = judged(binary(1, 1, n))
    assert (found.cause == "few pairs") == is_few
    # (1 + 1 + 2) / (n + 2): the variance that the MDE is from
    assert found.docs_needed == pytest.approx(6.18256 * 4 / (n + 2) / 0.05**2, abs=1)


def test_a_single_doc_of_fractions_says_nothing_of_how_many_would_do() -> None:
    found = judged(paired_test([0.25], [0.5], rng()))
    assert (found.cause, found.docs_needed) == ("few pairs", None)


def test_a_relative_margin_is_of_the_base_and_not_of_the_candidate() -> None:
    result = binary(0, 100, 1000)
    assert (result.value_a, result.value_b) == pytest.approx((0.55, 0.45))
    found = judged(result, "default: {tier: critical, relative: 0.1}\n")
    assert found.margin == pytest.approx(0.055)


def test_a_policy_can_say_that_higher_is_better() -> None:
    text = "default: critical\ntasks: {x: {tier: critical, margin: 0.05, better: higher}}\n"
    assert outcome(judged(binary(100, 0, 1000), text, higher=False)) == ("pass", "kept")


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_without_an_interval_there_are_no_bounds_at_any_alpha(alpha: float) -> None:
    for result in (from_normal(0.5, 0.6, 0.0, 50), paired_test([0.25], [0.5], rng())):
        assert all(math.isnan(bound) for bound in one_sided(result, alpha))


def test_an_advisory_task_that_isnt_compared_doesnt_hold_up_the_others() -> None:
    found = comparison(row("y", binary(10, 10, 1000)), left_out={"x": "failed in b"})
    gate = judge(policy("tasks: {y: critical}\ndefault: advisory\n"), [found])
    assert (gate.word, gate.exit_code) == ("PASS", 0)


def test_what_is_left_out_of_a_group_may_have_a_rule_of_its_own() -> None:
    found = comparison(
        row("mmlu", binary(10, 10, 1000), members=2),
        members=[row("mmlu_law", binary(10, 10, 1000))],
        groups={"mmlu_law": "mmlu", "mmlu_art": "mmlu"},
        left_out={"mmlu_art": "failed in b"},
    )
    gate = judge(policy("tasks: {mmlu: supporting, mmlu_art: critical}\n"), [found])
    assert words(gate)["mmlu_art"] == ("critical", "not compared", "failed in b")


@pytest.mark.parametrize(
    ("key", "suite", "why"),
    [
        ("toxigen", "safe", "b has no run of suite safe"),
        ("tox*", "safe", "b has no run of suite safe"),
        ("mm*", "know", "a has no run of suite know"),
        ("mmlu", "know", "a has no run of suite know"),
        ("gsm8k", "", "in neither run"),
    ],
)
def test_what_the_policy_names_is_looked_for_in_the_runs_without_a_partner(
    key: str, suite: str, why: str
) -> None:
    alone = [
        Unmatched(run("a", {"bbq": "bbq", "toxigen": "toxigen"}, "safe"), "b has no run of suite safe"),
        Unmatched(run("b", {"mmlu_law": "mmlu"}, "know"), "a has no run of suite know"),
        Unmatched(run("c", {"toxigen": "toxigen", "mmlu": "mmlu"}, "more"), "b has no run of suite more"),
    ]  # fmt: skip
    gate = judge(
        policy(f"tasks: {{{key}: critical}}\n"),
        [comparison(row("y", binary(10, 10, 1000)))],
        alone,
    )
    assert words(gate)[key] == ("critical", "not compared", why)
    assert {r.task: r.suite for r in gate.rows} == {"y": "s", key: suite}


def test_a_domain_is_missed_once_and_only_where_nothing_of_it_was_compared() -> None:
    alone = [
        Unmatched(run(name, {"bbq": "bbq"}, suite, "safety"), f"b has no run of suite {suite}")
        for name, suite in (("a", "safe"), ("c", "safer"))
    ]
    text = policy("domains: {safety: critical}\n")
    capability = comparison(row("y", binary(10, 10, 1000)))
    gate = judge(text, [capability], alone)
    assert [(r.task, r.suite, r.why) for r in gate.rows if r.row is None] == [
        ("domain safety", "safe", "b has no run of suite safe")
    ]
    safety = comparison(row("z", binary(10, 10, 1000)), domain="safety")
    assert judge(text, [capability, safety], alone).word == "PASS"
