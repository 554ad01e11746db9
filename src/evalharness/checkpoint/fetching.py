"""How much of a download from the Hub has arrived, for whoever waits for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

GB = 1e9


class _Download:
    """One that is going on."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.bars: list[Any] = []


_now: _Download | None = None


@contextlib.contextmanager
def watched(what: str) -> Iterator[type]:
    """A bar class for the Hub client's `tqdm_class`, whose bars `how_far` reads; the client sums all files in one.

    Args:
        what: the repository.
    """
    from huggingface_hub.utils import tqdm

    global _now
    download = _now = _Download(what)

    class Counted(tqdm):  # type: ignore[misc]
        """Counts bytes also where no bar is drawn, which tqdm itself doesn't."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.num_arrived = 0.0
            super().__init__(*args, **kwargs)
            if kwargs.get("unit") == "B":
                download.bars.append(self)

        def update(self, n: float | None = 1) -> Any:
            self.num_arrived += n or 0
            return super().update(n)

    try:
        yield Counted
    finally:
        _now = None


def how_far() -> str | None:
    """Words for the download that is going on; None if there is none."""
    download = _now
    if download is None:
        return None
    # Bytes from the network and bytes written to disk have a bar each; with some servers only one of them moves.
    bars = list(download.bars)
    arrived = max((bar.num_arrived for bar in bars), default=0.0)
    total = max((bar.total or 0 for bar in bars), default=0)
    if not total:
        return f"fetching {download.what}"
    return f"fetching {download.what}, {arrived / GB:.2f} of {total / GB:.2f} GB"
