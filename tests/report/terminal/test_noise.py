"""The noise floor in a table and in plain words."""

import math
from dataclasses import replace

from rich.console import Console

from evalharness.report.terminal.noise import (
    noise_view,
    verdict,
)
from evalharness.stats.noise import (
    NoiseFloor,
    TaskNoise,
)

EXACT = NoiseFloor(
    n=50,
    num_unpaired=0,
    num_flips=0,
    flip_share=0.0,
    flip_share_high=0.0713,
    num_texts=20,
    num_text_changes=0,
    num_continuations=100,
    num_argmax_changes=0,
    max_logprob_difference=0.0,
)
TASK = TaskNoise(
    task="arc",
    metric="acc",
    filter="none",
    first_value=0.5,
    second_value=0.6,
    n=10,
    num_unpaired=0,
    num_flips=1,
    num_texts=0,
    num_text_changes=0,
    num_continuations=40,
    num_argmax_changes=1,
    max_logprob_difference=2.34e-5,
    median_logprob_difference=0.0,
)


def shown(width: int) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        view = noise_view(
            [TASK],
            replace(EXACT, num_flips=1, flip_share=0.02),
            title="m, suite s",
            batch_sizes=(256, 1),
            is_deterministic=False,
            folders=["a", "b"],
            width=width,
        )
        console.print(view)
    return capture.get()


def test_the_table_shows_both_scores_flips_and_log_likelihoods() -> None:
    text = shown(120)
    row = next(line for line in text.splitlines() if line.startswith("arc"))
    assert row.split() == ["arc", "acc", "10", "0.500", "/", "0.600", "1", "-", "1", "2.3e-05", "0"]
    assert "m, suite s  in batches of up to 256, and of 1" in text
    assert "folders a, b" in text


def test_the_table_fits_a_narrow_terminal() -> None:
    assert max(map(len, shown(80).splitlines())) <= 80


def test_equal_runs_say_so() -> None:
    (line,) = verdict(EXACT, is_deterministic=False)
    assert line.startswith("Equal to the last bit: 50 scores, 20 texts, 100 log-likelihoods.")


def test_no_flip_comes_with_what_it_can_exclude() -> None:
    lines = verdict(replace(EXACT, max_logprob_difference=2.9e-5), is_deterministic=False)
    assert lines[0].startswith("No score of 50 changed with the batch size")
    assert "of more than 7.1 points are not noise of batching (95 %" in lines[0]
    assert "up to 2.9e-05" in lines[1]


def test_flips_say_which_differences_are_noise() -> None:
    floor = replace(EXACT, num_flips=2, flip_share=0.04, flip_share_high=0.135)
    (line,) = verdict(floor, is_deterministic=False)
    assert "2 of 50 scores changed" in line
    assert "smaller than 4.0 points on this box are noise (95 %: up to 13.5)" in line


def test_a_broken_promise_is_reported() -> None:
    floor = replace(EXACT, num_text_changes=1)
    assert "promises equal answers" in verdict(floor, is_deterministic=True)[-1]
    assert len(verdict(EXACT, is_deterministic=True)) == 1


def test_samples_left_out_are_reported() -> None:
    assert "3 samples" in verdict(replace(EXACT, num_unpaired=3), is_deterministic=False)[-1]


def test_without_samples_there_is_no_floor() -> None:
    nothing = replace(EXACT, n=0, num_texts=0, num_continuations=0, max_logprob_difference=math.nan)
    assert verdict(nothing, is_deterministic=False) == [
        "Nothing was answered in both runs: there is no noise floor to show."
    ]


def test_texts_alone_make_a_floor_without_scores() -> None:
    floor = replace(EXACT, n=0, flip_share=math.nan, flip_share_high=math.nan, num_text_changes=2)
    assert verdict(floor, is_deterministic=False) == ["2 of 20 generated texts differ."]
