import math

import pytest

from evalharness.report.terminal.format import (
    active_params,
    amount,
    dollars,
    duration,
    energy,
    number,
    params,
    plain,
    rate,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8421, "0.842"),
        (1.0, "1.000"),
        (9.9996, "10.00"),
        (23.456, "23.46"),
        (512.34, "512.3"),
        (33123.7, "33124"),
        (1.5e9, "1.5e+09"),
        (-0.25, "-0.250"),
        (math.nan, "n/a"),
        (math.inf, "inf"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (math.nan, "-"),
        (0.04, "0.0s"),
        (7.24, "7.2s"),
        (9.96, "10s"),
        (59.6, "1m00s"),
        (412.3, "6m52s"),
        (3599.7, "1h00m"),
        (4080, "1h08m"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert duration(value) == text


def test_amounts() -> None:
    assert [amount(0), amount(950), amount(12_000)] == ["0", "950", "12.0k"]
    assert [amount(999_949), amount(999_950)] == ["999.9k", "1.0M"]


def test_energy_and_cost() -> None:
    assert [energy(850.2), energy(12_300), energy(1_224_000)] == ["850 J", "12.3 kJ", "0.34 kWh"]
    assert [dollars(12.3), dollars(0.0123)] == ["$12.30", "$0.0123"]


def test_rates() -> None:
    assert [rate(math.nan), rate(302.4), rate(9123)] == ["-", "302", "9.1k"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (134_515_008, "135 M"), (46_702_792_704, "46.7 B"), (999_400_000_000, "999 B"), (999_500_000_000, "1 T"),
        (1_026_884_000_000, "1.03 T"), (None, ""), ("x", ""), (0, ""),
    ],
)  # fmt: skip
def test_parameter_counts(count: object, text: str) -> None:
    assert params(count) == text


def test_active_parameters_are_said_where_they_differ_and_unknown_where_they_are() -> None:
    billion = 10**9
    assert active_params(47 * billion, 13 * billion) == "13 B active"
    assert active_params(47 * billion, 47 * billion) == active_params(None, None) == ""
    assert active_params(47 * billion, None) == "active unknown"


def test_untrusted_text_loses_what_a_terminal_obeys() -> None:
    text = plain("a\x1b[31m\x07\x9b\u202e[red]b[/red]\nc\td\ud800")
    assert text.plain == "a[31m[red]b[/red] c d\ufffd"
    assert text.spans == []


def test_lines_are_kept_on_request() -> None:
    assert plain("a\r\nb", keep_lines=True).plain == "a\nb"
