"""Tables of the Hub's counts and of what is new there."""

import json
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from evalharness.report.terminal.adoption import (
    RECOUNT,
    adoption_as_json,
    adoption_rows,
    adoption_view,
    snapshot_view,
)
from evalharness.report.terminal.watch import (
    entries_view,
    watch_as_json,
    watch_view,
)
from evalharness.trend.adoption import adoptions
from evalharness.trend.hub.draft_entries import drafts
from evalharness.trend.hub.records import (
    Checkpoint,
    Look,
    Sighting,
    Snapshot,
)

SEEN = Sighting(
    model="llama-3.1-8b", hub_id="meta-llama/Llama-3.1-8B", downloads=1_234_567, downloads_all_time=98_765_432,
    likes=4321, num_adapters=5, num_finetunes=4, num_merges=3, num_quantized=2, num_derivatives=14,
    num_spaces=100, gated="manual", params_total=8_030_261_248, created_at="2024-07-14T22:20:15+00:00",
)  # fmt: skip
LATER = replace(SEEN, downloads_all_time=98_800_000, likes=4300, num_derivatives=21)
CHECKPOINT = Checkpoint(hub_id="meta-llama/Llama-5-8B", created_at="2026-07-30T10:00:00+00:00")
LOOK = Look(
    source="org:meta-llama",
    since="2026-08-01T09:30:00.000Z",
    found=(CHECKPOINT,),
    new=(CHECKPOINT,),
)


def snapshot(day: int, *models: Sighting) -> Snapshot:
    return Snapshot(
        taken_at=f"2026-08-{day:02}T12:00:00.000Z", endpoint="https://hub", models=models
    )


def text(shown: RenderableType, width: int = 160) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def report(*taken: Snapshot, width: int = 160, is_offline: bool = False) -> str:
    found = adoptions(taken)
    view = adoption_view(found, num_snapshots=len(taken), is_offline=is_offline, width=width)
    return text(view, width)


def test_flows_are_signed_and_a_recount_is_marked() -> None:
    shown = report(snapshot(1, SEEN), snapshot(8, LATER))
    row = next(line for line in shown.splitlines() if "llama-3.1-8b" in line)
    assert row.split() == [
        "llama-3.1-8b", "1.2M", "98.8M", "+4.9k", "4.3k", "-3*", "21", "+7", "2026-08-01",
    ]  # fmt: skip
    assert RECOUNT in shown


def test_a_single_snapshot_has_no_flow_and_no_recount() -> None:
    shown = report(snapshot(1, SEEN))
    row = next(line for line in shown.splitlines() if "llama-3.1-8b" in line)
    assert row.split().count("n/a") == 3
    assert RECOUNT not in shown


def test_the_report_says_what_the_numbers_are_not_and_of_when_they_are() -> None:
    shown = report(snapshot(1, SEEN), snapshot(8, LATER))
    assert "rolling window" in shown
    assert "HEAD requests" in shown
    assert "lower bound" in shown
    assert "as of 2026-08-08 12:00 UTC; 2 snapshot(s) in all" in shown


@pytest.mark.parametrize("width", [80, 110, 130, 160])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width: int) -> None:
    long = replace(SEEN, model="an-organisation-with-a-name/" + "x" * 60, hub_id="o/x")
    shown = report(snapshot(1, SEEN, long), snapshot(8, LATER, long), width=width)
    taken = text(snapshot_view(snapshot(8, SEEN, long), path="p", width=width), width)
    assert max(len(line) for line in (shown + taken).splitlines()) <= width
    assert "98.8M" in shown
    assert "98.8M" in taken
    assert ("created" in taken) == ("2024-07-14" in taken) == (width == 160)


def test_who_could_not_be_seen_and_who_was_renamed_is_said() -> None:
    gone = Sighting(model="gone", hub_id="o/gone", error="o/gone: doesn't exist")
    moved = replace(SEEN, renamed_to="meta-llama/New")
    shown = report(snapshot(1, SEEN, gone), snapshot(8, moved, gone))
    assert "gone (2026-08-08): o/gone: doesn't exist" in shown
    assert "meta-llama/Llama-3.1-8B is called meta-llama/New now" in shown


def test_a_snapshot_shows_relations_and_that_spaces_end_at_100() -> None:
    shown = text(snapshot_view(snapshot(1, SEEN), path="p/x.json", width=160))
    assert "100+" in shown
    assert "8.03 B" in shown
    assert "written to\np/x.json\n" in shown


def test_words_from_the_hub_cannot_drive_the_terminal() -> None:
    bad = replace(SEEN, model="\x1b[31m[bold]x", error="\x1b[2J[red]y")
    for shown in (report(snapshot(1, bad)), text(snapshot_view(snapshot(1, bad), path="p"))):
        assert "\x1b" not in shown
        assert "[bold]x" in shown
        assert "[red]y" in shown


def test_json_has_null_where_nothing_is_known() -> None:
    found = adoptions([snapshot(1, SEEN), snapshot(8, replace(LATER, likes=None))])
    (model,) = json.loads(json.dumps(adoption_as_json(found, 2), allow_nan=False))["models"]
    assert model["flows"]["likes_per_day"]["rate"] is None
    assert len(model["steps"]) == 1


def test_every_csv_row_has_every_column() -> None:
    found = adoptions([snapshot(1, SEEN), snapshot(8, LATER, replace(SEEN, hub_id="o/b"))])
    columns, rows = adoption_rows(found)
    assert {len(row) for row in rows} == {len(columns)}
    assert len(set(columns)) == len(columns)
    row = dict(zip(columns, rows[0], strict=True))
    assert row["likes_per_day"] == -3
    assert row["likes_per_day_is_recount"]
    assert (row["since"], row["days"]) == ("2026-08-01T12:00:00.000Z", 7)


def test_a_new_checkpoint_is_reported_with_its_entry() -> None:
    (draft,) = drafts([CHECKPOINT], [], "https://hub")
    shown = text(watch_view([LOOK], [draft]))
    assert "org:meta-llama: 1 checkpoints, 1 new since 2026-08-01 09:30 UTC" in shown
    assert (
        entries_view([draft]).plain == f"\n# configs/model/llama-5-8b.yaml\n{draft.text}".rstrip()
    )


def test_an_entry_that_is_known_or_written_is_not_shown_again() -> None:
    (draft,) = drafts([CHECKPOINT], [], "https://hub")
    there = replace(draft, path="d/llama-5-8b.yaml")
    written, known = replace(there, is_written=True), replace(draft, is_known=True)
    assert not entries_view([there, written, known])
    shown = text(watch_view([LOOK], [there, written, known]))
    assert "d/llama-5-8b.yaml exists and was not changed" in shown
    assert "d/llama-5-8b.yaml: written" in shown
    assert "meta-llama/Llama-5-8B is model=llama-5-8b already" in shown


def test_a_first_look_shows_the_newest_and_nothing_as_new() -> None:
    many = tuple(
        replace(CHECKPOINT, hub_id=f"o/m{place:02}", created_at=f"2026-07-{place + 1:02}")
        for place in range(15)
    )
    first = replace(LOOK, since=None, found=many, new=())
    shown = text(watch_view([first], []))
    assert "o/m14" in shown
    assert "o/m04" not in shown
    found = watch_as_json([first], [], looked_at="t", endpoint="e")
    assert (found["num_new"], len(found["newest_of_first_look"])) == (0, 10)


def test_a_source_with_nothing_in_it_may_be_misspelt() -> None:
    assert "is the name spelt correctly?" in text(watch_view([replace(LOOK, found=(), new=())], []))
