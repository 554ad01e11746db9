"""The scorer of math500_boxed."""

import importlib.util
import logging
import signal
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("math_verify")

_PATH = Path(__file__).parents[2] / "tasks" / "math500_boxed" / "utils.py"
_SPEC = importlib.util.spec_from_file_location("math500_boxed_utils", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
utils = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(utils)

EQUAL = [
    ("1, 2", r"First x = \boxed{1}. The other root comes from the second factor: y = \boxed{2}."),
    ("5", "So $\\boxed{5}$. I put it in \\boxed{}."),
    ("5", "$\\boxed{5}$. Done as asked, in \\boxed"),
    ("5", "\\boxed{5} as in \\boxed {}"),
    ("5", "\\boxed 5"),
    ("5", "\\boxed5"),
    ("5", "\\boxed{5}\n\n(see \\boxed"),
    ("50", "\\boxed{50\\%}"),
    ("50\\%", "\\boxed{50}"),
    ("50\\%", "\\boxed{50\\%}"),
    ("50\\%", "\\boxed{50%}"),
    ("0.5", "\\boxed{50\\%}"),
    ("1,2", "\\boxed{1} and \\boxed{2}"),
    ("1, 2", "The answers are $\\boxed{1}$ and $\\boxed{2}$."),
    ("1,2", "\\boxed{2}, \\boxed{1}"),
    ("1,2", "\\boxed{1, 2}"),
    ("1,2", "\\boxed{x=1, x=2}"),
    ("1,2", "\\boxed{\\{1,2\\}}"),
    ("1,2", "\\boxed{1 \\text{ and } 2}"),
    ("1,2,3", "\\boxed{1}, \\boxed{2}, and \\boxed{3}"),
    ("1,-2", "$x=\\boxed{1}$ or $x=\\boxed{-2}$"),
    ("5", "\\boxed{x=5}"),
    ("x=5", "\\boxed{5}"),
    ("10,000", "\\boxed{10000}"),
    ("10,\\!000", "\\boxed{10,000}"),
    ("10000", "\\boxed{10{,}000}"),
    ("10,\\!000", "\\boxed{10\\,000}"),
    ("1\\frac{1}{2}", "\\boxed{\\frac32}"),
    ("\\frac{3}{2}", "\\boxed{1\\frac{1}{2}}"),
    ("90^\\circ", "\\boxed{90}"),
    ("90", "\\boxed{90^\\circ}"),
    ("90", "\\boxed{90^{\\circ}}"),
    ("90", "\\boxed{90\\text{ degrees}}"),
    ("5", "\\boxed{$5$}"),
    ("5", "\\boxed{\\$5}"),
    ("\\$5", "\\boxed{5}"),
    ("5", "\\boxed{5 \\text{ cm}}"),
    ("5 \\text{ cm}", "\\boxed{5}"),
    ("5\\text{ cm}^2", "\\boxed{5\\text{ cm}^2}"),
    ("12\\text{ cm}^2", "\\boxed{12}"),
    ("\\frac{1}{2}", "\\boxed{\\dfrac{1}{2}}"),
    ("\\frac{1}{2}", "\\boxed{\\tfrac12}"),
    ("\\frac12", "\\boxed{1/2}"),
    ("\\text{Evelyn}", "\\boxed{Evelyn}"),
    ("\\text{(C)}", "\\boxed{C}"),
    ("\\text{(C)}", "\\boxed{\\text{(C)}}"),
    ("\\text{Navin}", "\\boxed{\\textbf{Navin}}"),
    ("\\text{Navin}", "\\boxed{\\mathrm{Navin}}"),
    ("(3,4]", "\\boxed{(3,4]}"),
    ("(-\\infty,2)\\cup(3,\\infty)", "\\boxed{(-\\infty, 2) \\cup (3, \\infty)}"),
    ("[-2,7]", "\\boxed{x \\in [-2,7]}"),
    ("[-2,7]", "\\boxed{-2 \\le x \\le 7}"),
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "\\boxed{(3, \\pi/2)}"),
    ("(3,4)", "\\boxed{\\left(3,4\\right)}"),
    ("y=2x+3", "\\boxed{y = 3+2x}"),
    ("2x+3", "\\boxed{y = 2x+3}"),
    ("y=2x+3", "\\boxed{2x+3}"),
    (
        "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}",
        "\\boxed{\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}}",
    ),
    ("5", "\\fbox{5}"),
    ("5", "\\boxed{\\boxed{5}}"),
    ("5", "\\boxed{\\text{5}}"),
    ("5", "\\boxed{5.}"),
    ("5", "\\boxed{5.0}"),
    ("p-q", "\\boxed{p - q}"),
    ("6+9i", "\\boxed{6 + 9i}"),
    ("4210_5", "\\boxed{4210_5}"),
    ("4210_{5}", "\\boxed{4210_5}"),
    ("11111111100", "\\boxed{11,\\!111,\\!111,\\!100}"),
    ("3", "Thus \\boxed{\\frac{6}{2}} = \\boxed{3}"),
    ("3", "$\\boxed{4}$? No, check: $\\boxed{3}$."),
    ("5", "<think>\\boxed{7}</think> \\boxed{5}"),
    ("5", "The answer is \\boxed{5}, since \\boxed{\\text{answer}} was asked."),
    ("5", "\\boxed{5} \\boxed{5}"),
    ("\\sqrt{51}", "\\boxed{\\sqrt{51}\\approx 7.14}"),
    ("5", "$$\\boxed{\\text{The answer is } 5}$$"),
    ("5", "\\boxed{\\$5\\text{ million}}"),
    ("-5", "\\boxed{−5}"),
    ("\\frac{9}{7}", "\\boxed{\\frac{9}{7}}."),
    ("2k", "\\boxed{2k}"),
    ("\\text{even}", "\\boxed{\\text{even}}"),
    ("\\text{even}", "\\boxed{even}"),
    ("(6,31,-1)", "\\boxed{(6, 31, -1)}"),
    ("x^3+3x-6", "\\boxed{x^{3}+3x-6}"),
    ("5", "\\boxed{\n5\n}"),
    ("1.25", "\\boxed{\\frac{5}{4}}"),
    ("5", "\\boxed{|5|}"),
    ("8", "\\boxed{2^3}"),
    ("6 - 5i", "\\boxed{6-5i}"),
    ("3, 5, 7", "\\boxed{3,5,7}"),
    ("3, 5, 7", "\\boxed{7,5,3}"),
    ("\\text{Friday}", "\\boxed{\\text{friday}}"),
    ("10", "\\boxed{10\\text{ inches}}"),
    ("11\\text{ a.m.}", "\\boxed{11}"),
]
OTHER = [
    ("5", ""),
    ("5", "\\boxed{}"),
    ("5", "\\boxed{6} not \\boxed{}"),
    ("5", "\\boxed"),
    ("1,2", "\\boxed{1} and then \\boxed{3}"),
    ("1,2", "\\boxed{1}"),
    ("2", "\\boxed{1} and \\boxed{2}"),
    ("1", "\\boxed{1} and \\boxed{2}"),
    ("50", "\\boxed{0.5}"),
    ("(3,4]", "\\boxed{(3,4)}"),
    ("(3,4)", "\\boxed{(4,3)}"),
    ("5", "\\boxed{x=6}"),
    ("\\text{(C)}", "\\boxed{(D)}"),
    ("\\text{Evelyn}", "\\boxed{Carla}"),
    ("4210_5", "\\boxed{4210_6}"),
    ("10,000", "\\boxed{10}"),
    ("6", "I first had \\boxed{6}, and then \\boxed{5}."),
    ("5", "5 is wrong; \\boxed{6}"),
    ("5", "\\boxed{5,6}"),
    ("90", "\\boxed{90\\pi}"),
    ("\\text{even}", "\\boxed{odd}"),
    ("5", "\\boxed{\\frac{1}{0}}"),
    ("5", "\\boxed{\\text{I don't know}}"),
]


@pytest.mark.parametrize(("answer", "response"), EQUAL)
def test_equal_mathematics_scores_1(answer: str, response: str) -> None:
    assert utils.process_results({"answer": answer}, [response]) == {"exact_match": 1.0}


@pytest.mark.parametrize(("answer", "response"), OTHER)
def test_anything_else_scores_0(answer: str, response: str) -> None:
    assert utils.process_results({"answer": answer}, [response]) == {"exact_match": 0.0}


@pytest.mark.parametrize(
    ("answer", "response"),
    [("5", "Hence the answer is 5."), ("50", "It is 50%."), ("\\frac{1}{2}", "So $x = 0.5$.")],
)
def test_without_a_box_the_last_expression_counts(answer: str, response: str) -> None:
    assert utils.is_same(answer, response)


def test_deep_braces_and_an_endless_power_end_in_time() -> None:
    started = time.monotonic()
    assert not utils.is_same("5", "\\boxed{" + "(" * 3000)
    assert not utils.is_same("5", "\\boxed{9^{9^{9^9}}}")
    assert time.monotonic() - started < 30


def test_an_alarm_around_the_scorer_still_rings() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 60)
        assert utils.is_same("5", "\\boxed{5.0}")
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 1 < left < 60
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not rung


def test_scores_outside_the_main_thread(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(utils.is_same("5", "\\boxed{5}")))
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.parametrize(
    ("answer", "num"),
    [("7", 1), ("1, 2", 2), ("[1, 2]", 1), ("(1, 2)", 1), ("\\{1, 2\\}", 1), ("1{,}000", 1), ("1,000", 1), ("(1, 2), (3, 4)", 2)],
)  # fmt: skip
def test_values_of_an_answer_are_parted_by_commas_outside_of_brackets(
    answer: str, num: int
) -> None:
    assert utils._num_values(answer) == num
