"""A page as one HTML file that includes plotly's script, styles and figures, so that nothing is fetched.

All text is cleaned and escaped by the template; figures are JSON in which no tag can begin or end.
"""

from __future__ import annotations

import json
from typing import Any

from evalharness.errors import UserError
from evalharness.paths import install_command
from evalharness.report.page.blocks import Page, charts_in
from evalharness.report.terminal.format import plain
from evalharness.store.json_codec import as_json


def require_extra() -> None:
    """Fail before anything is computed.

    Raises:
        UserError: plotly or jinja2 isn't installed.
    """
    try:
        import jinja2  # noqa: F401
        import plotly.offline  # noqa: F401
    except ImportError as e:
        raise UserError(
            f"report needs plotly and jinja2 ({e}); `{install_command('report')}` installs them"
        ) from e


def render(page: Page) -> str:
    """The file's text.

    Raises:
        UserError: plotly or jinja2 isn't installed.
    """
    require_extra()
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evalharness.report.page", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = [chart for section in page.sections for chart in charts_in(section.blocks)]
    return environment.get_template("page.html").render(
        page=page,
        figures=Markup(script_json({chart.key: chart.figure for chart in charts})),
        plotly=Markup(_script(get_plotlyjs())),
    )


def script_json(value: Any) -> str:
    """JSON for a script element: `<`, `>` and `&` are escaped, so that text in it can't be markup."""
    text = json.dumps(as_json(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _script(source: str) -> str:
    assert "</script" not in source.lower(), "plotly's script would end its element"
    return source


def _cleaned(value: Any) -> Any:
    """Remove control characters and direction marks from all text not made here; a number keeps its unit."""
    return plain(value).plain.replace(" %", "\u00a0%") if type(value) is str else value
