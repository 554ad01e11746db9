"""Where configs and tasks are found: the user's working directory first, then what ships with us."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The folder `configs` or `tasks` that came with the package (wheel) or is in the checkout."""
    in_wheel = _PACKAGE / "_shipped" / name
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parents[1] / name


def install_command(extra: str) -> str:
    """The command that installs an extra of ours: from the checkout if this is one, since no package index has it."""
    checkout = _PACKAGE.parents[1]
    if not (checkout / "pyproject.toml").is_file():
        return f"pip install 'evalharness[{extra}]'"
    return f"pip install -e '{'.' if checkout == Path.cwd() else checkout}[{extra}]'"


def search(name: str) -> list[Path]:
    """Folders named `name` that apply, of which the first wins: `./name`, then the shipped one."""
    own = Path.cwd() / name
    found = [own.resolve()] if own.is_dir() else []
    return found + [path for path in [shipped(name)] if path not in found and path.is_dir()]


def config_folder() -> Path:
    """Folder of the user's decisions."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "evalharness"


def cache_folder() -> Path:
    """Cache of data that is slow to make; it can be deleted without loss."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evalharness"
