"""What `rescore` prints of the samples that changed."""

from rich.console import Console

from evalharness.report.terminal.rescore import rescored_view
from evalharness.stats.rescore_changes import Change


def test_a_sample_that_two_filters_read_is_one_changed_sample() -> None:
    changes = [
        Change(
            task="t", doc_id=doc, repeat=0, filter=name, answer_before="1", answer_after="2",
            scores_before={"acc": 1.0}, scores_after={"acc": 0.0},
        )
        for doc in (3, 4)
        for name in ("old", "new")
    ]  # fmt: skip
    view = rescored_view([], [], changes, num_samples=6, ending="done", most=1, width=100)
    console = Console(width=100)
    with console.capture() as said:
        console.print(view)
    assert "2 of 6 scored samples changed" in said.get()
