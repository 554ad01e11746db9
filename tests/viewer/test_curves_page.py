import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from evalharness.report.terminal.ascii_curves import why_no_curve
from evalharness.store.read import load_manifest
from evalharness.store.records import CurvePoint
from evalharness.store.write import RunWriter
from stores import make_run
from viewer.pages import assert_harmless, client_of, page, text
from viewer.viewer_store import EVIL

POINT = CurvePoint(
    task="sums", strategy="repeats", arm="pass", x=1, x_name="samples", value=0.25, ci_low=0.125, ci_high=0.5, n=8,
    num_tokens=1234.0,
)  # fmt: skip


def with_curves(results_dir: Path, points: list[CurvePoint], **manifest: object) -> None:
    """A run `r` with these curves."""
    run = make_run(results_dir, "r", "m", "s", {"sums": [1.0]}, **manifest)  # type: ignore[arg-type]
    RunWriter(results_dir / run.run_id, load_manifest(results_dir / "r")).write_curves(points)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("curves")
    arms = [replace(POINT, x=x, value=0.25 * x) for x in (1, 2, 4)]
    arms += [replace(POINT, arm="majority", x=x, value=0.25, ci_low=math.nan) for x in (1, 2, 4)]
    with_curves(folder, arms)
    client = client_of(folder)
    assert 'href="/runs/r/curves"' in page(client, "/runs/r")
    return page(client, "/runs/r/curves")


def test_the_figures_stand_below_the_drawing(drawn: str) -> None:
    found = text(drawn)
    assert drawn.index("</svg>") < drawn.index("<table")
    assert "pass 1 0.250 [0.125, 0.500] 1,234 8 pass 2 0.500 [0.125, 0.500]" in found
    assert "majority 1 0.250 [no CI]" in found


def test_a_drawing_is_said_in_words(drawn: str) -> None:
    words = re.search(r"<desc[^>]*>(.*?)</desc>", drawn)
    assert words
    assert "pass: 0.250 at 1 samples, 1.000 at 4; majority: 0.250 at 1" in words.group(1)
    assert 'role="img" aria-labelledby="plot-1-title plot-1-words"' in drawn


def test_marks_are_where_the_values_are(drawn: str) -> None:
    points = re.findall(r'<polyline points="([^"]*)"', drawn)
    rising, flat = [[tuple(map(float, p.split(","))) for p in line.split()] for line in points]
    xs, ys = zip(*rising, strict=True)
    assert xs[2] - xs[1] == pytest.approx(xs[1] - xs[0], abs=0.2)
    assert ys[0] > ys[1] > ys[2]
    assert {y for _, y in flat} == {ys[0]}
    labels = re.findall(r'y="([\d.]+)" text-anchor="end">([\d.]+)<', drawn)
    at = {label: float(y) - 4 for y, label in labels}
    assert at["1"] == pytest.approx(ys[2], abs=0.2)
    assert drawn.count('class="interval"') == 3  # none where there is no interval


def test_flips_are_shown_where_a_curve_has_them(tmp_path: Path, drawn: str) -> None:
    assert "right → wrong" not in text(drawn)
    with_curves(tmp_path, [POINT, replace(POINT, x=2, gained=3, lost=1, p_value=0.625)])
    found = text(page(client_of(tmp_path), "/runs/r/curves"))
    assert "wrong → right right → wrong p pass 1 0.250 [0.125, 0.500] 1,234 8 – – –" in found
    assert "pass 2 0.250 [0.125, 0.500] 1,234 8 3 1 0.625" in found


@pytest.mark.parametrize("value", [math.nan, 0.0, 1.0, 12.5])
def test_any_value_can_be_drawn(tmp_path: Path, value: float) -> None:
    with_curves(tmp_path, [replace(POINT, value=value, ci_low=math.nan, ci_high=math.nan)])
    found = page(client_of(tmp_path), "/runs/r/curves")
    assert "<svg" in found
    assert "nan" not in found.lower()


def test_a_long_axis_has_few_labels(tmp_path: Path) -> None:
    with_curves(tmp_path, [replace(POINT, x=x) for x in range(1, 101)])
    found = page(client_of(tmp_path), "/runs/r/curves")
    assert found.count('text-anchor="middle"') <= 10


def test_names_from_a_file_are_escaped(tmp_path: Path) -> None:
    with_curves(tmp_path, [replace(POINT, task=EVIL, arm=EVIL, x_name=EVIL)])
    found = page(client_of(tmp_path), "/runs/r/curves")
    assert_harmless(found)
    assert "&lt;script&gt;" in found


def test_a_run_without_a_curve_says_how_to_get_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, "r", "m", "s", {"sums": [1.0]})
    client = client_of(tmp_path)
    assert "/curves" not in page(client, "/runs/r")
    found = text(page(client, "/runs/r/curves", 404))
    assert why_no_curve(run) in found
    assert "strategy=repeats" in found
    assert page(client, "/runs/none/curves", 404)


def test_a_damaged_file_is_a_line(tmp_path: Path) -> None:
    with_curves(tmp_path, [POINT])
    (tmp_path / "r" / "curves.parquet").write_bytes(b"PAR1 nothing PAR1")
    assert "is damaged" in text(page(client_of(tmp_path), "/runs/r/curves", 404))
