import json
import math
from datetime import date

import pytest

from evalharness.report.page import charts
from evalharness.report.page.charts import Look, Point
from evalharness.report.page.render import script_json

STYLE = Look("@1")


def test_plotly_gets_no_tags_and_no_control_characters() -> None:
    assert charts.text("<b>a</b>&\u202e\n") == "&lt;b&gt;a&lt;/b&gt;&amp; "


def test_only_the_lines_of_a_label_are_broken() -> None:
    trace = charts.marks("m", [Point(1, 2, "a<br>b\nc")], STYLE)
    assert trace["hovertext"] == ["a&lt;br&gt;b<br>c"]


def test_an_end_without_bound_is_not_drawn() -> None:
    errors = charts.marks("m", [Point(1, 2, "", low=-math.inf, high=3)], STYLE)["error_y"]
    assert (errors["array"], errors["arrayminus"]) == ([1], [0.0])


def test_points_without_interval_have_no_bars() -> None:
    assert "error_y" not in charts.marks("m", [Point(1, 2, "")], STYLE)


def test_a_gap_keeps_parts_apart() -> None:
    trace = charts.gapped("m", [[Point(1, 2, "")], [Point(3, 4, "")]], STYLE)
    assert [x if x == x else None for x in trace["y"]] == [2, None, 4]


def test_traces_together_have_one_entry_in_the_legend() -> None:
    lines = [charts.line(name, [1], [2], STYLE) for name in ("a", "", "")]
    assert [trace["showlegend"] for trace in charts.together(*lines)] == [True, False, False]


@pytest.mark.parametrize(
    ("days", "span"), [((1,), 14), ((1, 3), 14), ((1, 31), 32)]
)  # fmt: skip
def test_an_axis_of_days_is_never_short(days: tuple[int, ...], span: int) -> None:
    first, last = charts.date_range([date(2026, 1, day) for day in days])
    assert (date.fromisoformat(last) - date.fromisoformat(first)).days == span


def test_series_differ_in_shape_as_in_colour() -> None:
    looks = [charts.look(place) for place in range(12)]
    assert len({(item.colour, item.dash) for item in looks}) == 12
    assert len({item.shape for item in looks[:6]}) == 6


def test_no_text_in_a_script_ends_it() -> None:
    written = script_json({"</script><!--": ["<", math.nan, "&\u2028"]})
    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == {"</script><!--": ["<", None, "&\u2028"]}
