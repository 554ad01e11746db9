"""A report that was made by the verb, as tests look at it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_VERB = "import typer; from evalharness.cli.report import report; typer.run(report)"
"""In a process of its own: the fits are slow where numpy was loaded with threads."""


def make_report(results_dir: Path, out: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _VERB, "--results-dir", str(results_dir), "--out", str(out)]
    return subprocess.run(
        [*command, "--draws", "10", *more], capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A report on disk."""

    folder: Path
    said: str

    @property
    def html(self) -> str:
        return (self.folder / "index.html").read_text(encoding="utf-8")

    @property
    def own(self) -> str:
        """The page without plotly's script."""
        begin = self.html.index("<script>/**")
        return self.html[:begin] + self.html[self.html.index("</script>", begin) :]

    @property
    def numbers(self) -> dict[str, Any]:
        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is no JSON")

        text = (self.folder / "report.json").read_text(encoding="utf-8")
        return json.loads(text, parse_constant=refuse)  # type: ignore[no-any-return]

    @property
    def figures(self) -> dict[str, Any]:
        begin = self.own.index('id="figures">') + len('id="figures">')
        return json.loads(self.own[begin : self.own.index("</script>", begin)])  # type: ignore[no-any-return]
