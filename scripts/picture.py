"""The picture of the README, docs/report.png: a part of the page that `evalharness report` makes, as Chromium draws it.

    python scripts/picture.py [--results-dir DIR]

Without runs the page shows the published scores that ship with the package: real ones, and the same everywhere. Needs
the extra `report` and `chromium` on the path.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "docs" / "report.png"
SHOWN = ("headline", "trend")
SIZE = "1080,1220"
"""Of the window, in CSS pixels."""
MOST_BYTES = 300_000


def main() -> None:
    """Make the report, and photograph it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results-dir", type=Path, help="Take the runs of this folder.")
    results_dir = parser.parse_args().results_dir
    browser = shutil.which("chromium") or sys.exit("no chromium on the path")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        verb = [sys.executable, "-m", "evalharness", "report", "--out", str(folder / "page")]
        verb += ["--results-dir", str(results_dir or folder / "none")]
        subprocess.run(verb, check=True)
        page = folder / "page" / "index.html"
        page.write_text(_only(page.read_text(encoding="utf-8"), SHOWN), encoding="utf-8")
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={folder / 'profile'}",
                f"--window-size={SIZE}",
                f"--screenshot={OUT}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
        )
    size = OUT.stat().st_size
    print(f"{OUT}: {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(f"more than {MOST_BYTES:,} bytes")


def _only(page: str, sections: tuple[str, ...]) -> str:
    shown = ", ".join(f"section#{section}" for section in sections)
    style = f"<style>main > section, nav {{ display: none }} {shown} {{ display: block }}</style>"
    return page.replace("</head>", f"{style}</head>", 1)


if __name__ == "__main__":
    main()
