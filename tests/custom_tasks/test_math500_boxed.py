"""The scorer of math500_boxed."""

import importlib.util
import logging
import threading
from pathlib import Path

import pytest

pytest.importorskip("math_verify")

_PATH = Path(__file__).parents[2] / "tasks" / "math500_boxed" / "utils.py"
_SPEC = importlib.util.spec_from_file_location("math500_boxed_utils", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
utils = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(utils)


@pytest.mark.parametrize(
    ("answer", "response"),
    [
        ("\\frac{1}{2}", "So it is $\\boxed{0.5}$."),
        ("\\frac{1}{2}", "\\boxed{\\dfrac12}"),
        ("2\\sqrt{3}", "$\\boxed{\\sqrt{12}}$"),
        ("\\text{Evelyn}", "The fastest is $\\boxed{\\text{Evelyn}}$."),
        ("(3,4]", "$\\boxed{(3, 4]}$"),
        ("5", "Hence the answer is 5."),
    ],
)
def test_equal_mathematics_scores_1(answer: str, response: str) -> None:
    assert utils.is_same(answer, response)


@pytest.mark.parametrize("response", ["", "I don't know.", "\\boxed{}", "\\boxed{6}", "\\boxed{"])
def test_anything_else_scores_0(response: str) -> None:
    assert not utils.is_same("5", response)


def test_last_box_counts() -> None:
    assert utils.is_same("5", "First I thought $\\boxed{6}$, but it is $\\boxed{5}$.")
    assert not utils.is_same("6", "First I thought $\\boxed{6}$, but it is $\\boxed{5}$.")


def test_scores_outside_the_main_thread(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(utils.is_same("5", "\\boxed{5}")))
    thread.start()
    thread.join()
    assert found == [True]
