"""What is said of a download while it goes on."""

import pytest

from evalharness.checkpoint import fetching

pytest.importorskip("huggingface_hub")


def test_the_bytes_that_have_arrived_are_said_even_where_no_bar_is_drawn() -> None:
    assert fetching.how_far() is None
    with fetching.watched("org/model") as bar_class:
        assert fetching.how_far() == "fetching org/model"
        files = bar_class(total=9, unit="it", disable=True)
        network = bar_class(total=0, unit="B", disable=True)
        disk = bar_class(total=0, unit="B", disable=True)
        disk.total = network.total = (
            16_100_000_000  # as the Hub client sets it when it knows a file
        )
        files.update(8)
        disk.update(1_250_000_000)
        assert fetching.how_far() == "fetching org/model, 1.25 of 16.10 GB"
    assert fetching.how_far() is None
