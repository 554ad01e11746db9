"""Every command of README and docs: what needs neither network, GPU, weights nor minutes is run, the rest is parsed.

A parsed command's verb and options exist, and the overrides of `run` and `selfcheck` compose. Commands are lines of `bash`
blocks, lines after `$ ` in blocks of output, and `evalharness ...` in the text.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml

from blocks_of_docs import PAGES, ROOT, blocks, prose
from evalharness.cli import app
from evalharness.cli.direct import understand
from evalharness.config.compose import run_hydra
from evalharness.config.schema import Config
from stores import make_run

NOT_RUN = {
    "run": "needs an engine; its configuration is composed",
    "resume": "needs an engine",
    "selfcheck": "needs an engine; its configuration is composed",
    "rescore": "needs a run of a real task",
    "adoption snapshot": "needs the Hub",
    "watch": "needs the Hub",
    "trend": "takes seconds; tests/test_golden.py runs it",
    "report": "takes seconds; tests/report runs it",
    "view": "a server; tests/viewer runs it",
    "import": "needs files of lm-eval; tests/interchange runs it",
    "model demo": "takes a minute",
    "model merge": "needs an adapter; tests/checkpoint runs it",
    "model add": "writes an entry; tests/cli/test_direct.py runs it",
    "model inspect": "needs weights; tests/cli/test_model.py runs it",
    "scores import": "needs a CSV; tests/cli/test_scores.py runs it",
    "export": "needs a run with samples; tests/interchange runs it",
    "task preview": "needs the demo checkpoint; tests/cli/test_task.py runs it",
}
"""Verb -> why its commands aren't run here."""
IN_OTHER_TESTS = {
    "results latest --task arc_easy_sample --samples 1": "tests/runner/test_choices.py runs it",
    "task check plurals": "tests/docs/test_extending.py runs it",
    "results latest --curve": "needs a run with a strategy; tests/test_golden.py runs it",
}
OTHER_PROGRAMS = ("scripts/", "python scripts/", "pip install", "source ", "export ")
ADDED_BY_EXTENDING = {"lines"}
_ROOT_COMMAND: Any = typer.main.get_command(app.app)


class Command(NamedTuple):
    """A command, and where it stands."""

    place: str
    text: str

    @property
    def words(self) -> list[str]:
        """After `evalharness`, comments left out."""
        return shlex.split(self.text, comments=True)[1:]


def in_blocks() -> Iterator[Command]:
    """Lines of bash blocks and lines that a block of output begins with `$ `."""
    for page in PAGES:
        for block in blocks(page):
            for line in block.text.replace("\\\n", "").splitlines():
                if block.language == "bash" and line.strip() and not line.startswith("#"):
                    yield Command(block.place, line)
                elif line.startswith("$ "):
                    yield Command(block.place, line[2:])


def in_text() -> Iterator[Command]:
    """`evalharness ...` between backticks."""
    for page in PAGES:
        for found in re.findall(r"`(evalharness [a-z][^`]*)`", prose(page)):
            yield Command(page.relative_to(ROOT).as_posix(), " ".join(found.split()))


COMMANDS = list(in_blocks())
OURS = [command for command in COMMANDS if command.text.startswith("evalharness ")]
OTHERS = [command for command in COMMANDS if command not in OURS]
TEXT = sorted(set(in_text()))


def verb(words: list[str]) -> tuple[str, Any, list[str]]:
    """(name, its command, what is left of the words)."""
    command, name, rest = _ROOT_COMMAND, [], list(words)
    while hasattr(command, "commands") and rest and rest[0] in command.commands:
        name.append(rest[0])
        command = command.commands[rest.pop(0)]
    return " ".join(name), command, rest


def is_run(command: Command) -> bool:
    name, _, rest = verb(command.words)
    is_elsewhere = " ".join(command.words) in IN_OTHER_TESTS
    return (name not in NOT_RUN or "--cfg" in rest) and not is_elsewhere


def once(commands: Iterable[Command]) -> list[Command]:
    """The first of all commands that are the same but for their comments."""
    return list({tuple(c.words): c for c in reversed(list(commands))}.values())[::-1]


def with_new_words(commands: Iterable[Command]) -> list[Command]:
    """Those that say something which none before them says: composing takes half a second."""
    seen: set[str] = set()
    kept = []
    for command in commands:
        if set(command.words) - seen:
            kept.append(command)
            seen |= set(command.words)
    return kept


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A working directory with what the documents name: entries, checkpoints, a store with the models that they compare."""
    here = tmp_path_factory.mktemp("home")
    snapshot = here / "hub" / "models--Qwen--Qwen3-8B" / "snapshots" / "0123456789abcdef"
    for folder in (here / "checkpoints" / "step-4000", snapshot):
        shutil.copytree(tiny_llama, folder)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(snapshot.name)
    (here / "questions.csv").write_text("question,A,B,answer\nWhich is first?,a,b,A\n")
    (here / "out" / "lora").mkdir(parents=True)
    (here / "out" / "lora" / "adapter_config.json").write_text("{}")
    for page in PAGES:
        for block in blocks(page):
            named = re.match(r"# (configs/\S+\.yaml)\n", block.text)
            if (
                file := named[1]
                if named
                else block.rest
                if block.rest.startswith("configs/")
                else ""
            ):
                (here / file).parent.mkdir(parents=True, exist_ok=True)
                (here / file).write_text(block.text)
    (here / "configs/gate").mkdir()
    (here / "block.yaml").write_text((ROOT / "configs/gate/default.yaml").read_text())
    models = ("smollm2-135m", "smollm2-135m-4bit", "smollm2-135m-pruned")
    for place, model in enumerate(models):
        right = [float((7 * doc + place * doc // 3) % 10 < 6) for doc in range(60)]
        for number, suite in enumerate(("more", "quick", "mine")):
            run_id = f"20260101-0{number}000{place}-{model}-{suite}"
            tasks = {"arc_easy": right, "gsm8k_sample": right[:30]}
            make_run(
                here / "results", run_id, model, suite, tasks,
                config={"model": {"name": model, "parent": models[place - 1] if place else None}},
                engine={"kind": "vllm", "version": "0", "dtype": "float32", "quantization": None},
            )  # fmt: skip
    return here


@pytest.fixture
def _here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.delenv("EVALHARNESS_RESULTS_DIR", raising=False)


def called(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["evalharness", *words])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    "command", once(filter(is_run, OURS)), ids=lambda c: f"{c.place} {c.text}"[:90]
)
def test_a_command_runs(
    command: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name, _, _ = verb(command.words)
    # A gate may say no, and a new task has its README still to be filled in: both are what the verb is for.
    fine = {"gate": (0, 1, 2), "task check": (0, 1)}.get(name, (0,))
    if name.startswith("task ") and name not in ("task new", "task list"):
        called(["task", "new", "my_task"], monkeypatch)
    code = called(command.words, monkeypatch)
    printed = capfd.readouterr()
    assert code in fine, printed.err
    assert "Traceback" not in printed.err
    assert "error: no such" not in printed.err


@pytest.mark.parametrize("command", once(OURS), ids=lambda c: f"{c.place} {c.text}"[:90])
def test_a_command_parses(command: Command) -> None:
    name, found, rest = verb(command.words)
    assert name, f"no such verb: {command.text}"
    words = [word if word not in ADDED_BY_EXTENDING else "csv" for word in rest]
    with found.make_context(name, words):
        pass


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    "command",
    with_new_words(c for c in OURS if verb(c.words)[0] in ("run", "selfcheck")),
    ids=lambda c: f"{c.place} {c.text}"[:90],
)
def test_overrides_compose(command: Command, home: Path) -> None:
    models = home / "configs" / "model"
    for word in command.words:
        if found := re.fullmatch(r"model=([\w-]+)", word):
            own = models / f"{found[1]}.yaml"
            if not own.exists() and not (ROOT / "configs" / "model" / own.name).exists():
                assert found[1] in NAMED_IN_OUTPUT, f"{command.place}: no entry {found[1]!r}"
                own.write_text(f"name: {found[1]}\npath: nowhere\n")
        if found := re.fullmatch(r"suite=([\w-]+)", word.split(",")[0]):
            own = home / "configs" / "suite" / f"{found[1]}.yaml"
            if not own.exists() and not (ROOT / "configs" / "suite" / own.name).exists():
                assert found[1] in NAMED_IN_OUTPUT, f"{command.place}: no suite {found[1]!r}"
                own.write_text(f"name: {found[1]}\ntasks: {{arc_easy_sample: {{}}}}\n")
    composed: list[Config] = []
    words = [word for word in command.words[1:] if word not in ("--cfg", "job")]
    run_hydra(understand([*words, "data.offline=true"]).arguments, composed.append)
    assert composed


NAMED_IN_OUTPUT = {"nan_row", "missing_tensor", "ga"}
"""Checkpoints and a suite of examples whose output is shown, not their files."""


@pytest.mark.parametrize("command", TEXT, ids=lambda c: f"{c.place} {c.text}"[:90])
def test_a_command_in_the_text_has_a_verb_and_its_options(command: Command) -> None:
    words = re.sub(r"[\[\]]", " ", command.text).split()[1:]
    name, found, rest = verb(words)
    assert name, f"no such verb: {command.text}"
    options = {option for parameter in found.params for option in parameter.opts}
    if name in ("run", "selfcheck"):
        options |= {"-m", "--cfg", "--config-dir", "--info"}
    assert [w for w in rest if w.startswith("--") and w.split("=")[0] not in options] == []


@pytest.mark.parametrize("command", OTHERS, ids=lambda c: f"{c.place} {c.text}"[:90])
def test_another_program_and_its_files_are_there(command: Command) -> None:
    assert command.text.startswith(OTHER_PROGRAMS), command.text
    words = shlex.split(command.text, comments=True)
    scripts = [word for word in words if word.startswith("scripts/")]
    assert all((ROOT / script).is_file() for script in scripts)


def test_the_extras_that_the_documents_name_exist() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = re.findall(r"(?:evalharness|-e \.)\[([\w,]+)\]", text)
    assert {extra for group in named for extra in group.split(",")} - set(extras) == set()
    assert named


def test_yaml_and_python_blocks_parse() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.language == "python":
                compile(block.text, block.place, "exec", flags=0x2000)
            elif block.language == "yaml" and "!function" not in block.text:
                assert isinstance(yaml.safe_load(block.text), dict), block.place


def test_every_verb_stands_in_a_document() -> None:
    named = {verb(command.words)[0] for command in OURS}
    named |= {verb(command.text.split()[1:])[0] for command in TEXT}
    assert set(_verbs(_ROOT_COMMAND)) - named == set()


def _verbs(command: Any, path: str = "") -> Iterator[str]:
    for name, sub in command.commands.items():
        if hasattr(sub, "commands"):
            yield from _verbs(sub, f"{path}{name} ")
        elif not sub.hidden:
            yield path + name


def test_a_command_that_is_wrong_is_noticed() -> None:
    with pytest.raises(Exception, match=r"No such option|no such option"):
        test_a_command_parses(Command("x", "evalharness compare a b --nope"))
    with pytest.raises(AssertionError, match="no such verb"):
        test_a_command_parses(Command("x", "evalharness compere a b"))
