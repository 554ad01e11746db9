import itertools
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evalharness.errors import UserError
from evalharness.report.page.write import write_report
from evalharness.report.terminal.format import plain
from report_made import Made
from report_store import HOSTILE

SECTIONS = (
    "ours", "headline", "leaderboard", "trend", "velocity", "sizes", "scale", "effort", "lineages", "drift", "cmr", "adoption", "unmeasured", "methods",
)  # fmt: skip


class Outline(HTMLParser):
    """Tags of a page with their attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module")
def outline(full: Made) -> Outline:
    return Outline(full.own)


def section(made: Made, key: str) -> str:
    begin = made.own.index(f'<section id="{key}"')
    rest = made.own[begin:]
    return rest[: rest.index("</main>") if key == SECTIONS[-1] else rest.index('<section id="', 1)]


def words(part: str) -> str:
    """As a reader sees them."""
    text = unescape(re.sub(r"<[^>]+>", "", part)).replace("\u00a0", " ")
    return re.sub(r"\s+", " ", text)


def test_the_page_is_one_file_below_6_mb(full: Made) -> None:
    assert (full.folder / "index.html").stat().st_size < 6e6
    assert sorted(path.name for path in full.folder.iterdir()) == ["index.html", "report.json"]


def test_nothing_is_fetched(full: Made, outline: Outline) -> None:
    policy = next(
        tag["content"]
        for tag in outline.of("meta")
        if tag.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert outline.of("link", "img", "iframe", "object", "embed", "base", "form") == []
    assert not any("src" in tag for tag in outline.of("script"))
    assert "@import" not in full.own
    assert "url(" not in full.own


def test_all_sections_stand_in_their_order(outline: Outline) -> None:
    found = [tag["id"] for tag in outline.of("section") if tag.get("id")]
    assert found == list(SECTIONS)
    linked = [tag["href"] for tag in outline.of("a") if str(tag["href"]).startswith("#")]
    assert linked[1 : 1 + len(SECTIONS)] == [f"#{key}" for key in SECTIONS]


def test_a_hostile_name_is_text_everywhere(full: Made, outline: Outline) -> None:
    assert "<script>alert" not in full.own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in section(full, "trend")
    assert len(outline.of("script")) == 2
    assert "<h1>Ours &lt;i&gt;</h1>" in full.own


def test_control_characters_and_direction_marks_are_gone(full: Made) -> None:
    assert "gpt4" in full.own
    for char in ("\u202e", "\u0007", "\\u202e", "\\u0007"):
        assert char not in full.own


def test_a_figure_says_a_hostile_name_as_entities(full: Made) -> None:
    hovers = [
        text for trace in full.figures["chart-trend"]["data"] for text in trace.get("hovertext", ())
    ]
    named = [text for text in hovers if "alert(1)" in text]
    assert len(named) == 1
    assert named[0].startswith(
        "&lt;script&gt;alert(1)&lt;/script&gt;<br>2025-01-15, open weights<br>index "
    )
    assert "5 benchmarks; &lt;b&gt;us&lt;/b&gt;" in named[0]


def test_every_chart_has_its_figure_a_label_and_its_numbers(full: Made, outline: Outline) -> None:
    plots = [tag for tag in outline.of("div") if tag.get("class") == "plot"]
    assert [tag["id"] for tag in plots] == list(full.figures)
    assert len(plots) == 15
    assert all(tag.get("role") == "img" and tag.get("aria-label") for tag in plots)
    assert full.own.count("<figure>") == full.own.count("</details>\n</figure>") == 15


def test_tables_have_captions_and_scopes(outline: Outline) -> None:
    assert len(outline.of("table")) == len(outline.of("caption")) > 9
    assert all(tag.get("scope") in ("col", "row") for tag in outline.of("th"))
    regions = [tag for tag in outline.of("div") if tag.get("class") == "scroll"]
    assert all(tag["tabindex"] == "0" and tag["aria-label"] for tag in regions)


def test_headings_go_down_one_step_at_a_time(outline: Outline) -> None:
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_ids_are_unique_and_labels_point_at_one(outline: Outline) -> None:
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a in outline.tags if "aria-labelledby" in a} <= set(ids)


def test_the_numbers_are_json_with_all_parts(full: Made) -> None:
    numbers = full.numbers
    assert len(numbers["runs"]) == 13
    assert len(numbers["trend"]["models"]) > 180
    assert [item["value"] for item in numbers["cmr"]] == [0.4, 0.6, 0.7, 0.96]
    assert len(numbers["lineages"][0]["steps"]) == 3
    assert numbers["adoption"]["num_snapshots"] == 3


def test_an_empty_store_still_has_a_trend_and_says_what_fills_the_rest(empty: Made) -> None:
    assert "Kimi K3" in section(empty, "headline")
    assert "newest score 2026-07-31" in section(empty, "headline")
    lines = re.findall("<li>(.*?)</li>", section(empty, "unmeasured"), re.DOTALL)
    for title, command in (
        ("Our checkpoints", "evalharness run model=... suite=leaderboard"),
        ("Capability over time", "evalharness run model=... suite=leaderboard"),
        ("Scale", "evalharness run"),
        ("Leaderboard", "evalharness run model=... suite=quick"),
        ("Within one checkpoint", "evalharness run model=... suite=quick strategy=self_correct"),
        ("Lineages", "evalharness run -m model=PARENT,CHILD suite=..."),
        ("Safety under modification", "evalharness run -m model=PARENT,CHILD suite=safety"),
        ("Cross-Meta Reasoning", "evalharness run model=... suite=cmr"),
        ("Adoption", "evalharness adoption snapshot"),
    ):
        assert any(line.strip().startswith(title) and f"<code>{command}</code>" in line for line in lines), title  # fmt: skip
    shown = [tag["id"] for tag in Outline(empty.own).of("section") if "fact" not in str(tag)]
    assert shown == ["headline", "trend", "velocity", "sizes", "scale", "unmeasured", "methods"]
    assert "first report here" in section(empty, "headline")
    assert empty.numbers["changes"] is None


def test_the_newest_checkpoints_come_first_each_beside_its_parent(full: Made) -> None:
    text = section(full, "ours")
    facts = [words(part) for part in text.split("<section aria-labelledby")[1:]]
    assert "base, cmr 96.0 % [91.0, 100.0]" in facts[0]
    assert "beside its parent: not compared, its entry names no parent" in facts[0]
    assert "gpt4, sums 80.0 % [71.1, 86.7]" in facts[1]
    assert f"beside its parent, {HOSTILE}: capability better, +30.0 [" in facts[1]
    assert "safety worse, -40.0 [" in facts[1]
    assert "beside the nearest open model of its size: not compared, as it has no index" in facts[1]
    assert "no index: measured here on 0 of the index's benchmarks (none); 3 are needed" in facts[1]
    assert "since the last report: new" in facts[1]


def test_the_velocity_is_one_number_with_its_interval_and_method(full: Made) -> None:
    text = section(full, "headline")
    assert "λ" not in text
    tile = text[text.index("Velocity") :].split("</section>")[0]
    assert len(re.findall(r"[+-]\d+\.\d \[", tile)) == 1
    (target,) = re.findall('href="#(.*?)"', tile)
    assert f'id="{target}"' in section(full, "methods")


def test_models_in_no_class_of_size_are_named_with_their_number(full: Made) -> None:
    text = words(section(full, "sizes"))
    (counted,) = re.findall(r"(\d+) open, parameters not known", text)
    named = re.findall(r"Open, parameters not known: (.*?)\.  ?Open", text + " Open")[0]
    assert len(named.split(", ")) == int(counted) > 5
    assert "Kimi K3" in named


def test_a_board_has_scores_with_intervals_and_the_ranks_they_allow(full: Made) -> None:
    board = section(full, "leaderboard").split("sums, version 1: 3 models")[-1].split("</table>")[0]
    rows = board.split("<tr>")[2:]
    cells = [
        [words(cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows
    ]
    assert [row[1:3] for row in cells] == [
        ["1", "80.0 [71.1, 86.7]"],
        ["2", "50.0 [40.4, 59.6]"],
        ["3", "20.0 [13.3, 28.9]"],
    ]
    assert cells[1][0] == "<script>alert(1)</script>"


def test_a_board_of_safety_has_no_mean_and_no_ranks(full: Made) -> None:
    text = section(full, "leaderboard")
    board = text[text.index("safety, version 1: 3 models") :].split("</table>")[0]
    assert re.findall("<th scope=.col.*?>(.*?)</th>", board) == [
        "model",
        "refusals",
        "docs",
        "run of (UTC)",
    ]


def test_the_next_report_says_what_changed(full: Made) -> None:
    changes = full.numbers["changes"]
    assert "CMR: first value, 96.0 % (base)" in changes
    assert "13 new runs" in " ".join(changes)
    assert "drift, base → <script>alert(1)</script>: safety down (new)" in changes
    assert any(line.startswith("reported scores: ") for line in changes)
    assert f"{len(changes)} changes" in section(full, "headline")
    shown = words(section(full, "methods"))
    assert [line for line in changes if plain(line).plain not in shown] == []
    assert f"changes since the last: {len(changes)}" in full.said


def test_velocity_is_said_at_both_ridges_with_its_bias_and_no_acceleration(full: Made) -> None:
    text = words(section(full, "velocity"))
    for part in (
        "at λ 0.1",
        "at λ 0.001",
        "order bias",
        "Kaplan-Meier",
        "matched",
        "censored",
        "no change of pace resolved, p ",
    ):
        assert part in text, part
    for name in ("all models", "open weights", "Llama family", "open, 6-9 B", "open, 65-75 B"):
        assert name in text, name


def test_the_extrapolation_stands_beside_its_skill(full: Made) -> None:
    notes = full.figures["chart-trend"]["layout"]["annotations"]
    assert any(
        re.search(
            r"extrapolated, no forecast:<br>a year ago it missed by \d+\.\d on average, R² -?\d",
            n["text"],
        )
        for n in notes
    )
    assert "fitted to what was known on " in words(section(full, "trend"))


def test_the_frontier_never_falls(full: Made) -> None:
    traces = {trace["name"]: trace for trace in full.figures["chart-trend"]["data"]}
    for name in ("frontier, open", "frontier, all"):
        heights = traces[name]["y"]
        assert heights == sorted(heights)
        assert len(heights) > 5
    assert max(traces["open"]["y"]) == traces["frontier, open"]["y"][-1]


def test_a_definition_that_changes_breaks_the_line(full: Made) -> None:
    trace = full.figures["chart-cmr"]["data"][0]
    assert trace["y"] == [40.0, 60.0, None, 70.0, 96.0]
    assert trace["connectgaps"] is False
    shapes = full.figures["chart-cmr"]["layout"]["shapes"]
    assert {shape["y0"] for shape in shapes} >= {95.0}
    assert {shape["x0"] for shape in shapes} >= {"2026-01-10T08:00:00"}
    assert "different quantities" in section(full, "cmr")


def test_the_best_value_stands_beside_target_and_definition(full: Made) -> None:
    text = words(section(full, "headline"))
    assert "96.0 % [91.0, 100.0]" in text
    assert "target 95 %: reached by the value, but not by its whole interval" in text
    assert "evalharness definition v2; no public benchmark of this name" in text


def test_a_lineage_is_drawn_from_parent_to_child(full: Made) -> None:
    traces = {trace["name"]: trace for trace in full.figures["chart-lineage-0"]["data"]}
    assert traces["sums"]["y"] == pytest.approx([20, 50, 80])
    assert traces["refusals"]["y"] == pytest.approx([95, 55, 15])
    assert full.figures["chart-lineage-0"]["layout"]["xaxis"]["ticktext"][0] == "base"


def test_costs_are_per_gpu_second_and_per_joule(full: Made) -> None:
    row = next(row for row in section(full, "scale").split("<tr>") if "timed" in row)
    assert [words(cell) for cell in re.findall("<td.*?</td>", row)][2:] == [
        "30",
        "20",
        "1.5",
        "1,000",
        "0.03",
    ]


def test_a_frozen_checkpoint_is_said_not_to_modify_itself(full: Made) -> None:
    text = words(section(full, "effort"))
    assert "a frozen checkpoint does not modify itself" in text
    assert "re-answer asks again without a critique" in text


def test_a_last_report_that_is_damaged_is_said_and_replaced(empty: Made) -> None:
    assert "The last report's numbers can't be read, so nothing is compared." in words(
        section(empty, "headline")
    )
    assert empty.numbers["state"]["open_leader"]


def test_json_on_stdout_is_what_the_file_holds(empty: Made) -> None:
    assert json.loads(empty.said) == empty.numbers


def test_a_file_in_the_place_of_the_folder_is_refused_before_anything_is_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match=r"--out '.*' is a file; name a folder"):
        write_report(tmp_path, tmp_path / "out", "", num_draws=10)
