"""Choices as readers see them, of new runs and old ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.report.choices import MOST_LIKELY, choice_line, shown_choices
from evalharness.store.records import ScoredChoice

STORED = (ScoredChoice("no", -1.5, 1), ScoredChoice(" a long yes", -2.0, 4))


def test_stored_choices_say_what_takes_them_and_what_is_right() -> None:
    no, yes = shown_choices("", STORED, {"acc": 0, "acc_norm": 1}, (1,))
    assert (no.chosen_by, no.is_gold, no.num_tokens) == (("acc",), False, 1)
    assert (yes.chosen_by, yes.is_gold, yes.text) == (("acc_norm",), True, " a long yes")


def test_a_line_names_the_choice_of_the_metric() -> None:
    shown = shown_choices("", STORED, {"acc": 0, "acc_norm": 1}, (1,))
    assert choice_line(shown, "acc") == "0: no (of 2, -1.50)"
    assert choice_line(shown, "acc_norm") == "1: a long yes (of 2, -2.00)"
    assert choice_line(shown, "mcc") == "0: no (of 2, -1.50)"
    assert choice_line([]) == ""


def test_of_an_old_run_the_most_likely_is_all_that_is_known() -> None:
    first, second, third = shown_choices("[[-3.5, false], [-0.5, true], [-2, false]]")
    assert [c.chosen_by for c in (first, second, third)] == [(), (MOST_LIKELY,), ()]
    assert (second.text, second.num_tokens, second.is_gold) == ("", None, False)
    assert choice_line([first, second, third]) == "choice 1 (of 3, -0.50)"


@pytest.mark.parametrize(
    "text", ["", "[[", "[[1]]", "[[1, true, 2]]", '[["a", true]]', "[]", "[[" * 100_000]
)
def test_what_is_no_choice_is_none(text: str) -> None:
    assert shown_choices(text) == []


@given(st.text())
def test_any_response_can_be_looked_at(text: str) -> None:
    shown_choices("[[" + text)
