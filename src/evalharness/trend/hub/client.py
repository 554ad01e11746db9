"""The Hub's client: imported when called, waits for rate limits, and gives one line for every error.

HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN mean what they mean to `huggingface_hub`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from evalharness.errors import ConfigError, UserError, one_line
from evalharness.paths import install_command

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_S = 30.0
_HUB = "https://huggingface.co"
_YES = ("1", "ON", "YES", "TRUE")
_PASSING = (429, 500, 502, 503, 504)
"""Status codes that a retry may change."""
_WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Pause between tries, if the Hub doesn't say how long."""
_MOST_NETWORK_WAITS = 2
"""Pauses without any answer, kept short because hundreds of models might wait one after the other."""
_LONGEST_WAIT_S = 600.0
"""Longest wait; the Hub's windows are 5 minutes, so a request for more means that it won't answer today."""


class HubError(UserError):
    """The Hub can't be reached, or refuses the request."""


def endpoint() -> str:
    """The Hub's address, HF_ENDPOINT or huggingface.co, without a slash at its end.

    Raises:
        ConfigError: HF_ENDPOINT is not an address.
    """
    address = os.environ.get("HF_ENDPOINT", "").rstrip("/") or _HUB
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ConfigError(f"HF_ENDPOINT={address!r}: expected an address like {_HUB}")
    return address


def is_offline() -> bool:
    """Whether the user forbade the network; works without the client."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in _YES


def connect(verb: str) -> HfApi:
    """The client of a Hub that answers.

    Raises:
        ConfigError: `huggingface_hub` isn't installed, or HF_ENDPOINT is not an address.
        HubError: offline, or there is no Hub at the address.
    """
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as e:
        if e.name != "huggingface_hub":
            raise
        raise ConfigError(
            f"{verb}: huggingface_hub isn't installed; `{install_command('eval')}` installs it"
        ) from e
    api = HfApi(endpoint=endpoint())
    reach(api, verb)
    return api


def reach(api: HfApi, verb: str) -> None:
    """Check that the Hub answers.

    Raises:
        HubError: it doesn't answer.
    """
    with as_hub_error(f"{verb}: {api.endpoint}"):
        patiently(lambda: _knock(api), is_network_retried=False)


def patiently(ask: Callable[[], T], *, is_network_retried: bool = True) -> T:
    """The answer, with retries while the Hub is busy, after the pause that it gives (Retry-After) or a few seconds.

    Only calls that the client doesn't retry itself need this; it does so for lists.
    """
    from huggingface_hub import errors

    for place, wait in enumerate(_WAITS_S):
        try:
            return ask()
        except errors.HTTPError as e:
            status = _status(e)
            pause = max(_asked_wait(e) or 0.0, wait) if status else wait
            is_retried = is_network_retried and place < _MOST_NETWORK_WAITS
            is_passing = status in _PASSING if status else is_retried
            if not is_passing or pause > _LONGEST_WAIT_S:
                raise
            logger.warning("the Hub is busy (%s): waiting %.0f s", status or "no answer", pause)
            time.sleep(pause)
    return ask()


@contextmanager
def as_hub_error(what: str) -> Iterator[None]:
    """Every error of the client becomes a HubError whose line begins with `what`."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise HubError(f"{what}: {_problem(e)}") from e


def _knock(api: HfApi) -> None:
    """Make one small request, so that a missing network is reported at once; lists would be retried again and again."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    answer = get_session().get(
        f"{api.endpoint}/api/models",
        params={"limit": 1},
        headers=build_hf_headers(token=api.token),
        timeout=TIMEOUT_S,
    )
    hf_raise_for_status(answer)
    if not isinstance(answer.json(), list):
        raise ValueError("not a list of models")


def _problem(error: Exception) -> str:
    from huggingface_hub import errors

    match error:
        case errors.OfflineModeIsEnabled():
            return "offline (HF_HUB_OFFLINE is set); unset it where there is network"
        case errors.GatedRepoError():
            return "gated; accept its licence on the Hub, then `hf auth login` (or set HF_TOKEN)"
        case errors.RepositoryNotFoundError():
            return "doesn't exist, is private or was renamed; `hf auth login` gives access to yours"
        case errors.HFValidationError():
            return "not a Hub id (organisation/name)"
        case errors.HfHubHTTPError():
            return f"the Hub answered {_status(error)} ({_first_line(error)})"
        case errors.HTTPError() | OSError():
            return (
                f"couldn't be reached ({_first_line(error)}); check network, proxy and HF_ENDPOINT"
            )
    return (
        f"the answer isn't that of a Hub ({type(error).__name__}: {_first_line(error)}); "
        "check HF_ENDPOINT"
    )


def _status(error: Exception) -> int | None:
    """Status of the answer; None if there was none."""
    code: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return code


def _asked_wait(error: Any) -> float | None:
    """Seconds that the Hub asks to wait; None if it doesn't say, or gives a date."""
    from huggingface_hub.utils import parse_ratelimit_headers

    headers = error.response.headers
    limits = parse_ratelimit_headers(headers)
    if limits is not None and limits.remaining == 0:
        return float(limits.reset_in_seconds)
    value = headers.get("Retry-After", "").strip()
    return float(value) if value.isdecimal() else None


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return one_line(Exception(lines[0])).rstrip(".")
