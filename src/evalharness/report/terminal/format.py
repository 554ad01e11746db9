"""Formats of values. All rounding happens here, and all untrusted text goes through `plain`."""

import math
import unicodedata

from rich.text import Text


def plain(text: str, *, keep_lines: bool = False) -> Text:
    """Untrusted text, safe for a terminal: no control characters, line separators, direction marks or markup."""
    return Text("".join(_safe(char, keep_lines) for char in text))


def styled(text: str, style: str) -> Text:
    """The same text in a style."""
    found = plain(text)
    found.stylize(style)
    return found


def number(value: float) -> str:
    """Three decimals for scores, fewer for large numbers, n/a for NaN."""
    if math.isnan(value):
        return "n/a"
    for limit, decimals in ((10, 3), (100, 2), (10_000, 1), (10_000_000, 0)):
        if abs(value) < limit - 0.5 * 10**-decimals:
            return f"{value:.{decimals}f}"
    return f"{value:.3g}"


def signed(value: float) -> str:
    """A difference with its sign; 0.000 if it rounds to zero."""
    text = number(value)
    if math.isnan(value) or not text.strip("-0."):
        return text.lstrip("-")
    return text if value < 0 else f"+{text}"


def duration(value: float | None) -> str:
    """Seconds as 7.2s, 43s, 6m52s or 1h08m; - when unknown."""
    if value is None or math.isnan(value):
        return "-"
    if value < 9.95:
        return f"{value:.1f}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def rate(value: float) -> str:
    """Tokens per second; - if nothing ran."""
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if value < 1000 else f"{value / 1000:.1f}k"


def amount(count: int) -> str:
    """A count as 950, 12.0k or 3.4M."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 999_950 else f"{count / 1e6:.1f}M"


def energy(joules: float) -> str:
    """Joules as 850 J, 12.3 kJ, or from a tenth of a kWh on as 0.34 kWh."""
    if joules < 1000:
        return f"{joules:.0f} J"
    return f"{joules / 1000:.1f} kJ" if joules < 360_000 else f"{joules / 3.6e6:.2f} kWh"


def dollars(usd: float) -> str:
    """$12.34; four decimals below ten cents."""
    return f"${usd:.2f}" if usd >= 0.1 else f"${usd:.4f}"


UNKNOWN = "unknown"


def active_params(total: object, active: object) -> str:
    """The active parameters of a model beside its total, for a mixture of experts: "12.9 B active"; else empty.

    Unknown ones are said to be unknown.
    """
    if not params(total) or active == total:
        return ""
    return f"{params(active)} active" if params(active) else f"active {UNKNOWN}"


def params(count: object) -> str:
    """A number of parameters as 135 M, 46.7 B or 1.03 T; empty when unknown."""
    if not isinstance(count, int) or count <= 0:
        return ""
    if count >= 999.5e9:
        return f"{count / 1e12:.3g} T"
    return f"{count / 1e9:.3g} B" if count >= 1e9 else f"{count / 1e6:.3g} M"


def _safe(char: str, keep_lines: bool) -> str:
    if char == "\n" and keep_lines:
        return char
    if char in "\n\t":
        return " "
    category = unicodedata.category(char)
    return "�" if category == "Cs" else "" if category in ("Cc", "Cf", "Zl", "Zp") else char
