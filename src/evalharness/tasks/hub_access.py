"""The Hub is tried once per process: where it doesn't answer, datasets come from the cache or fail at once.

`datasets` tries it again for each dataset, and for each of a task's subtasks, some twenty seconds long every time.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalharness.tasks.dataset_mirror import BUILDERS

logger = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_PAUSE_S = 1.0
"""Before the second and last try."""


@contextlib.contextmanager
def tried_once() -> Iterator[None]:
    """While active, `datasets.load_dataset` reads Hub ids from the cache if the Hub didn't answer before.

    Raises:
        ConnectionError: from `load_dataset`, if a dataset isn't in the cache.
    """
    import datasets

    original = datasets.load_dataset

    def load_dataset(path: str, *args: Any, **kwargs: Any) -> Any:
        if path in BUILDERS or Path(path).exists() or _is_offline() or answers():
            return original(path, *args, **kwargs)
        try:
            with _offline():
                return original(path, *args, **kwargs)
        except ConnectionError as e:
            raise ConnectionError(
                f"Couldn't reach {path!r} on the Hub: {_endpoint()} doesn't answer (tried once), and it isn't in the cache"
            ) from e

    datasets.load_dataset = load_dataset
    try:
        yield
    finally:
        datasets.load_dataset = original


@functools.cache
def answers() -> bool:
    """Whether the Hub gives any answer, found out at the first call."""
    from huggingface_hub.utils import get_session

    for pause_s in (_PAUSE_S, 0.0):
        try:
            get_session().head(_endpoint(), timeout=_TIMEOUT_S)
            return True
        except Exception as e:  # of httpx or httpx2, as the Hub's client has it
            logger.info("%s doesn't answer: %s", _endpoint(), e)
            time.sleep(pause_s)
    return False


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _is_offline() -> bool:
    """Whether the user said so."""
    import datasets
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE or datasets.config.HF_HUB_OFFLINE)


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    import datasets
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = False
