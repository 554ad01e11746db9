"""What gpu_check found, as a table and as a page without names of hosts, users or folders."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

from evalharness.runner.environment import hardware, package_versions


def machine(is_cpu: bool) -> dict[str, Any]:
    """What figures depend on; nothing that names the machine."""
    found = {k: v for k, v in hardware().items() if k not in ("host", "pid")}
    return {
        "engine": "cpu" if is_cpu else "gpu",
        **found,
        "driver": None if is_cpu else _driver(),
        "system": f"{platform.system()} {platform.release()}",
        "packages": package_versions(),
    }


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(lines.splitlines()), None)


def scrub(text: str, folder: Path) -> str:
    """A message without what names the machine or its user: folders, hosts, addresses, tokens."""
    for path, word in ((folder, "TMP"), (Path.cwd(), "."), (Path.home(), "~")):
        if len(str(path)) > 1:
            text = text.replace(str(path), word)
    text = re.sub(r"(?<![\w.])/(?:[\w.@+-]+/)+", "/.../", text)
    text = re.sub(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "ADDRESS", text)
    text = re.sub(r"\bhf_\w{8,}", "TOKEN", text)
    names = {socket.gethostname(), os.environ.get("USER", ""), _user()}
    for name in sorted((n for n in names if len(n) > 3), key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(name)}\b", "NAME", text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def show(report: dict[str, Any]) -> None:
    """The table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"gpu_check: {report['model']}, {report['wall_s']:.0f} s", title_justify="left")  # fmt: skip
    table.add_column("step")
    table.add_column("")
    table.add_column("s", justify="right")
    table.add_column("found", overflow="fold")
    styles = {"ok": "green", "failed": "bold red", "skipped": "dim"}
    for step in report["steps"]:
        verdict = f"[{styles[step['verdict']]}]{step['verdict']}[/]"
        table.add_row(step["name"], verdict, f"{step['wall_s']:.0f}", step["said"].replace("[", "\\["))  # fmt: skip
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


def as_markdown(report: dict[str, Any]) -> str:
    """The page that a user sends back."""
    found = report["machine"]
    gpus = ", ".join(found["gpus"]) or "none"
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    lines = [
        f"# gpu_check: {report['model']}, {report['wall_s']:.0f} s",
        "",
        f"- GPUs: {gpus}; driver {found['driver'] or 'none'}",
        f"- {found['cpu']}, {found['num_cores']} cores, {found['memory_gib']} GiB, {found['system']}",
        f"- {packages}",
        "",
        "| step | | s | found |",
        "|---|---|--:|---|",
    ]
    for step in report["steps"]:
        name, said = (
            one.replace("|", "\\|").replace("\n", " ") for one in (step["name"], step["said"])
        )
        lines.append(f"| {name} | {step['verdict']} | {step['wall_s']:.0f} | {said} |")
    figures = {step["name"]: step["figures"] for step in report["steps"] if step["figures"]}
    lines += ["", "```json", json.dumps(figures, indent=1), "```", ""]
    return "\n".join(lines)
