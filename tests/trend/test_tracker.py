import inspect
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from evalharness.cli.report import report as report_verb
from evalharness.cli.trend import trend as trend_verb
from evalharness.errors import UserError
from evalharness.report.page import texts
from evalharness.report.page.collect import SEED
from evalharness.report.terminal.tracker import (
    BEGIN,
    END,
    updated,
)
from evalharness.report.terminal.trend import lag_words
from evalharness.trend.build import Trend, build_trend
from evalharness.trend.hub.watch import Release
from evalharness.trend.observe import EFFORT_POLICIES
from evalharness.trend.scores.records import ReportedScore
from evalharness.trend.scores.seed_scores import seed_readings
from evalharness.trend.tracker import (
    Watched,
    watched_metrics,
)

CMR = Watched(
    key="cmr", name="CMR", value=41.0, ci_low=38.0, ci_high=44.0, unit="%", date="2026-01-01",
    subject="m", run_id="r1",
)  # fmt: skip
NOTHING = Watched(key="adoption", name="adoption")


def cmr(model: str, score: float, subset: str = "", n: int = 480) -> ReportedScore:
    return ReportedScore(
        origin="measured", collection="store", model=model, benchmark="cmr", task="cmr", score=score,
        ci_low=score - 1, ci_high=score + 1, subset=subset, n=n, run_id=f"run-{model}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def shipped() -> Trend:
    """The trend of the scores that ship."""
    return build_trend(seed_readings()[0].scores, np.random.default_rng(0), num_draws=20)


def test_what_was_not_measured_is_said_to_be() -> None:
    rows = watched_metrics(None, [], {}, [], [], today=date(2026, 9, 1))
    assert [row.key for row in rows] == [
        "cmr", "velocity open weights", "velocity Llama family", "lag", "scale", "drift", "adoption",
    ]  # fmt: skip
    assert not any(row.is_measured for row in rows)
    assert updated("", rows, []).count("not measured") == 7


@pytest.mark.parametrize(
    ("today", "is_old"), [(date(2026, 11, 28), False), (date(2026, 11, 29), True)]
)
def test_a_velocity_says_how_new_its_scores_are(shipped: Trend, today: date, is_old: bool) -> None:
    rows = {row.key: row for row in watched_metrics(shipped, [], {}, [], [], today=today)}
    remark = rows["velocity open weights"].remark
    assert "reported scores up to 2026-07-31" in remark
    assert ("older than 120 days: stale" in remark) is is_old


def test_numbers_and_words_are_those_of_the_page(shipped: Trend) -> None:
    rows = {r.key: r for r in watched_metrics(shipped, [], {}, [], [], today=date(2026, 9, 1))}
    by_name = {v.name: v for v in shipped.velocities}
    for name in ("open weights", "Llama family"):
        row, slope = rows[f"velocity {name}"], by_name[name].slope
        assert texts.slope(slope) == f"{row.value:+.1f} [{row.ci_low:+.1f}, {row.ci_high:+.1f}]"
    lag = rows["lag"]
    assert f"{lag.value:.1f} months [{lag.ci_low:.1f} to {lag.ci_high:.1f}]" in lag_words(shipped)
    assert f"{shipped.last_gap.months:.1f} over the last year" in lag.remark


def test_tracker_and_page_draw_alike() -> None:
    """Their numbers are the same only if both take as many draws from the same seed."""
    of_trend, of_report = (
        inspect.signature(verb).parameters["draws"].default for verb in (trend_verb, report_verb)
    )
    assert of_trend == of_report
    assert inspect.signature(trend_verb).parameters["seed"].default == SEED


def test_another_effort_policy_is_named(shipped: Trend) -> None:
    left_out = shipped.left_out._replace(effort_policy=EFFORT_POLICIES["lowest"])
    other = replace(shipped, left_out=left_out)
    for trend, is_named in ((other, True), (shipped, False)):
        rows = {r.key: r for r in watched_metrics(trend, [], {}, [], [], today=date(2026, 9, 1))}
        assert ("lowest reported effort" in rows["lag"].remark) is is_named


def test_the_best_whole_cmr_run_counts() -> None:
    scores = [cmr("a", 30.0), cmr("b", 50.0), cmr("c", 99.0, subset="first 4 docs", n=4)]
    scores.append(cmr("b", 90.0, subset="first 4 docs", n=4))
    row = watched_metrics(
        None, scores, {"run-b": "2026-02-03T04:05:06+00:00"}, [], [], today=date(2026, 9, 1)
    )[0]
    assert (row.subject, row.value, row.date, row.run_id) == ("b", 50.0, "2026-02-03", "run-b")
    assert "no public benchmark of this name" in row.remark


def test_nothing_outside_the_markers_changes() -> None:
    before = f"# Ours\n\ntext {BEGIN}\nold\n{END} more | text\n"
    after = updated(before, [CMR, NOTHING], [])
    assert after.startswith("# Ours\n\ntext <!--")
    assert after.endswith("--> more | text\n")
    assert "old\n" not in after
    assert "| CMR | 41.00 [38.00, 44.00] % | m | 2026-01-01 | first | `r1` |" in after
    assert "| adoption | not measured | | | | |" in after


@pytest.mark.parametrize("document", ["", "# T", "# T\n", "# T\n\n"])
def test_a_document_without_the_markers_gets_the_block_at_its_end(document: str) -> None:
    after = updated(document, [CMR], [])
    assert after.startswith(document.rstrip("\n"))
    assert after.rstrip().endswith(END)


def test_the_same_numbers_make_the_same_document() -> None:
    once = updated("# T\n", [CMR, NOTHING], [Release("org/new", "2026-01-01T00:00:00")])
    assert updated(once, [CMR, NOTHING], [Release("org/new", "2026-01-01T00:00:00")]) == once
    assert "- org/new, 2026-01-01" in once


def test_a_change_is_reported_and_kept_until_the_next() -> None:
    first = updated("", [CMR], [])
    later = replace(CMR, value=45.5, date="2026-03-01", subject="n")
    second = updated(first, [later], [])
    assert "| +4.500 since 2026-01-01, was m |" in second
    assert updated(second, [later], []) == second
    third = updated(second, [replace(later, value=45.0, date="2026-04-01")], [])
    assert "| -0.500 since 2026-03-01 |" in third


@pytest.mark.parametrize("document", [BEGIN, END, BEGIN * 2 + END, END + BEGIN])
def test_broken_markers_are_refused(document: str) -> None:
    with pytest.raises(UserError, match="one of each"):
        updated(document, [CMR], [])


def test_a_state_that_was_edited_is_forgotten() -> None:
    once = updated("", [CMR], [])
    start = once.index("evalharness:state ") + len("evalharness:state ")
    broken = once[:start] + "oops " + once[start:]
    assert "first" in updated(broken, [CMR], [])


def test_names_cannot_end_a_comment_or_open_a_cell() -> None:
    evil = replace(CMR, subject="a --> | b <script>")
    text = updated("", [evil], [])
    assert text.count(END) == 1
    state = text[text.index("evalharness:state") : text.index(END)]
    assert state.count("-->") == 1
    assert "\\| b \\<script\\>" in text
    assert updated(text, [evil], []) == text
