import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("reasoning_gym")


from evalharness.errors import TaskError
from evalharness.tasks.procedural import generators
from evalharness.tasks.procedural.generators import (
    REFUSED,
    Generator,
    generator_names,
    is_plain_formula,
)

NAMES = generator_names()
FAST = NAMES[::7]
"""Every seventh, in the fast run; all of them in the slow one."""
WITHOUT_GOLD = {"boxnet", "rush_hour"}
"""They have a verifier and no solution: no right answer can be shown or checked."""
LEVELS_THAT_DONT_WORK = {
    "acre": "no curriculum",
    "gsm_symbolic": "no curriculum",
    "list_functions": "no curriculum",
    "knight_swap": "its curriculum's boards have fewer nodes than it takes",
}


def generator(name: str, *, size: int = 3, seed: int = 42, **difficulty: Any) -> Generator:
    return Generator(name, size=size, seed=seed, difficulty=difficulty)


def slow_beyond(names: list[str]) -> list[Any]:
    return [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in names]


def test_a_hundred_generators_can_be_used() -> None:
    assert len(NAMES) == 104
    assert set(REFUSED) == {"codeio", "composite"}


@pytest.mark.parametrize("name", slow_beyond([n for n in NAMES if n not in WITHOUT_GOLD]))
def test_the_right_answer_scores_1(name: str) -> None:
    made = generator(name)
    assert [made.score(i, made.problem(i).gold) for i in range(3)] == [1.0] * 3


@pytest.mark.parametrize("name", slow_beyond(NAMES))
def test_no_answer_and_talk_score_less_than_1(name: str) -> None:
    made = generator(name)
    for i in range(3):
        assert made.score(i, "") == 0.0
        assert made.score(i, "no such answer") < 1


ANY_OF_MANY = {"graph_color", "jugs", "n_queens", "propositional_logic"}
"""Puzzles with several right answers, so that the answer to one may be right for another."""


@pytest.mark.parametrize(
    "name", slow_beyond([n for n in NAMES if n not in WITHOUT_GOLD | ANY_OF_MANY])
)
def test_the_right_answer_to_another_problem_is_wrong(name: str) -> None:
    made = generator(name, size=12)
    own = made.problem(0).gold
    others = {made.problem(i).gold for i in range(1, 12)} - {own}
    assert others
    assert max(made.score(0, other) for other in others) < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if n not in WITHOUT_GOLD])
def test_a_verifier_judges_answers_of_any_form(name: str) -> None:
    made = generator(name)
    answers = [
        "-1",
        "1/2",
        "1e400",
        "[[1, 2], [3]]",
        '{"a": 1}',
        "a\nb 2",
        "nan",
        "(1+2",
        "9" * 5000,
    ]
    answers += [made.problem(i).gold for i in (1, 2)]
    assert all(0 <= made.score(0, answer) <= 1 for answer in answers)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if n not in LEVELS_THAT_DONT_WORK])
def test_the_first_level_works(name: str) -> None:
    assert generator(name, level=0).problem(0).question


@pytest.mark.parametrize("name", sorted(LEVELS_THAT_DONT_WORK))
def test_a_level_that_doesnt_work_is_refused(name: str) -> None:
    with pytest.raises(TaskError, match=f"^generator '{name}' refuses size 3, difficulty"):
        generator(name, level=0)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_generator_says_why(name: str) -> None:
    with pytest.raises(TaskError, match=f"^generator '{name}' can't be used: "):
        generator(name)


@pytest.mark.parametrize("name", sorted(generators._EVALUATES))
def test_no_verifier_evaluates_an_answer(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    answer = f"__import__('pathlib').Path({str(mark)!r}).touch() or 'x'"
    assert generator(name).score(0, answer) < 1
    assert not mark.exists()


@pytest.mark.parametrize("name", sorted(generators._SYMBOLIC))
def test_no_verifiers_parser_evaluates_an_answer(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    answer = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    assert generator(name).score(0, answer) == 0.0
    assert not mark.exists()


def test_a_literal_still_gets_its_partial_credit() -> None:
    made = generator("binary_matrix")
    rows = [row.split() for row in made.problem(0).gold.splitlines()]
    assert made.score(0, str(rows)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "text",
    ["4*(3 + 3)", "-x**3/2 + C", "exp(2*x)*sin(x)", " 24 ", "2**-3", "1140*z**5 - 7410*z**4"],
)
def test_a_plain_formula(text: str) -> None:
    assert is_plain_formula(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "9**9**9**9",
            "(((9**999)**999)**999)",
            "2**(3**99*x)",
            "x.y",
            "[1]",
            "f(2)",
            "open('x')",
        ),
        *("__import__('os')", "lambda: 1", "'text'", "x = 1", "a b", "", "1 if x else 2", "True"),
        *("exp(x, 2)", "2 @ 3", "x[0]", "(" * 10_000, "-" * 100_000 + "1", "_x"),
    ],
)
def test_no_plain_formula(text: str) -> None:
    assert not is_plain_formula(text)


@given(st.text(alphabet="0129x*/+-() e.", max_size=40))
@settings(max_examples=300, deadline=None)
def test_a_formula_that_passes_is_computed_at_once(text: str) -> None:
    from sympy.parsing.sympy_parser import parse_expr

    if is_plain_formula(text):
        start = time.perf_counter()
        try:
            parse_expr(text)
        except Exception:
            return
        assert time.perf_counter() - start < 5


def test_not_a_number_is_no_complex_number() -> None:
    assert generator("complex_arithmetic").score(0, "nan") == 0.0


def test_halting_is_answered_by_true_or_false() -> None:
    made = generator("game_of_life_halting")
    assert made.score(0, "it depends") == 0.0
    assert {made.score(0, "True"), made.score(0, "false")} == {0.0, 1.0}


def test_24_is_made_of_the_numbers_given() -> None:
    assert generator("puzzle24").score(0, "4 + 4 + 8 + 8") == 0.0


def test_text_in_the_place_of_numbers_is_wrong() -> None:
    assert generator("prime_factorization").score(0, "two times three") == 0.0


def test_a_verifier_that_raises_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    made = generator("gcd")
    monkeypatch.setattr(made._dataset, "score_answer", lambda answer, entry: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made.score(0, "1")


def test_a_verifier_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    made = generator("gcd")
    monkeypatch.setattr(generators, "SCORING_LIMIT_S", 0.05)
    monkeypatch.setattr(made._dataset, "score_answer", lambda answer, entry: time.sleep(5))
    with pytest.raises(TimeoutError, match=r"more than 0\.05 s"):
        made.score(0, "1")


def test_difficulty_is_the_generators_own() -> None:
    question = generator("shortest_path", min_rows=9, max_rows=9).problem(0).question
    assert len(question.split("grid:\n")[-1].splitlines()) == 9


def test_a_field_wins_over_its_level() -> None:
    made = generator("shortest_path", level=3, min_rows=2, max_rows=2)
    assert len(made.problem(0).question.split("grid:\n")[-1].splitlines()) == 2


def test_levels_differ() -> None:
    assert generator("gcd", level=0).problem(0) != generator("gcd", level=3).problem(0)
