"""The help: every verb has one, every option and argument is explained in a sentence, and no line is cut."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from command_line import Cli
from evalharness.cli import app
from evalharness.cli.verbs import VERBS as GROUPED

ROOT: Any = typer.main.get_command(app.app)
NOT_OURS = ("install_completion", "show_completion")
"""Options that Typer adds."""
SENTENCE = re.compile(r"[A-Z0-9`]\S*( \S+){2,}(?<!\.\.)\.")


def _commands(command: Any = ROOT, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and command of the program, its groups and its verbs."""
    yield path.strip(), command
    for name, sub in getattr(command, "commands", {}).items():
        # A group's own command is a hidden one of it.
        yield from _commands(sub, path if sub.hidden else f"{path}{name} ")


COMMANDS = list(_commands())
GROUPS = [path for path, command in COMMANDS if hasattr(command, "commands")]
VERBS = [path for path, command in COMMANDS if not hasattr(command, "commands")]
PARAMETERS = {
    f"{path} {parameter.name}".strip(): parameter
    for path, command in COMMANDS
    for parameter in command.params
    if parameter.name not in NOT_OURS
}


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(evalharness: Cli, wide: None, verb: str) -> None:
    printed = evalharness(*verb.split(), "--help")
    assert (printed.code, printed.err) == (0, "")
    assert f"evalharness {verb}" in printed.out
    assert len(printed.out.splitlines()) > 5
    assert max(map(len, printed.out.splitlines())) <= 100


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_help_of_every_option_and_argument_is_a_sentence(parameter: str) -> None:
    text = getattr(PARAMETERS[parameter], "help", None) or ""
    assert SENTENCE.fullmatch(text), text


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_begins_with_a_sentence(verb: str) -> None:
    text = dict(COMMANDS)[verb].help
    assert SENTENCE.fullmatch(" ".join(text.split("\n\n")[0].split())), text


def test_help_lists_every_verb_once_in_groups_and_cuts_none(evalharness: Cli, wide: None) -> None:
    printed = evalharness("--help").out
    listed = [verb for verbs in GROUPED.values() for verb in verbs]
    assert sorted(listed) == sorted({verb.split()[0] for verb in VERBS})
    for title, verbs in GROUPED.items():
        assert f"\n{title}:\n" in printed
        for verb, text in verbs.items():
            assert SENTENCE.fullmatch(text)
            assert f"  {verb.ljust(11)}  {text}\n" in printed


@pytest.mark.parametrize("group", [group for group in GROUPS if group])
def test_help_of_a_group_cuts_no_line(evalharness: Cli, wide: None, group: str) -> None:
    listed = evalharness(group, "--help").out.split("\nCommands:\n")[1]
    verbs = [verb.split()[1] for verb in VERBS if verb.startswith(f"{group} ")]
    assert [line.split()[0] for line in listed.splitlines()] == verbs
    for line in listed.splitlines():
        assert SENTENCE.fullmatch(" ".join(line.split()[1:])), line
