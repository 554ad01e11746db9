"""Code of others in ./tasks runs only after somebody said so; a question is asked once, and never of what is ours."""

import io
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evalharness import paths
from evalharness.cli.app import app as cli
from evalharness.cli.run import stored_config
from evalharness.config.schema import (
    Config,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
    TasksConfig,
)
from evalharness.errors import ConfigError, TaskError
from evalharness.tasks import trust
from evalharness.tasks.suite import load_suite
from own_tasks import GENERATE, write

GROUP = "group: both\ntask:\n  - arc_easy_sample\n  - {task: sums, num_fewshot: 0}\n"
SPY = 'from pathlib import Path\nPath("ran").touch()\ndef load(**_): raise OSError("no data")\n'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody else with the task `sums` in it; nothing is trusted yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(trust.VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(trust, "_trusted_now", set())
    write(tmp_path, "sums", GENERATE)
    return tmp_path


def config(*names: str, is_given: bool = False) -> Config:
    suite = SuiteConfig(name="s", tasks={name: TaskConfig() for name in names})
    return Config(model=ModelConfig(name="m"), suite=suite, tasks=TasksConfig(trust=is_given))


def ask(monkeypatch: pytest.MonkeyPatch, answer: str, *names: str) -> str:
    asked = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", asked)
    trust.ask(config(*names))
    return asked.getvalue()


def test_a_task_from_elsewhere_is_refused_in_one_line_that_says_the_way_out(here: Path) -> None:
    with pytest.raises(TaskError) as refused:
        load_suite(config("sums"))
    line = str(refused.value)
    assert f"task 'sums' in {str(here / 'tasks')!r}" in line
    assert "tasks.trust=true" in line
    assert "set EVALHARNESS_TASKS_TRUST=true (`run` and `task` take " in line
    assert "\n" not in line


def test_nothing_of_it_runs_before(here: Path) -> None:
    path = write(here, "spy", GENERATE.replace("evalharness.tasks.local_rows.load", "spy.load"))
    (path.parent / "spy.py").write_text(SPY)
    with pytest.raises(TaskError, match="isn't trusted"):
        load_suite(config("spy"))
    assert not (here / "ran").exists()
    with pytest.raises(TaskError, match="no data"):
        load_suite(config("spy", is_given=True))
    assert (here / "ran").exists()


def test_it_runs_where_it_was_vouched_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_suite(config("sums", is_given=True)).tasks[0].name == "sums"
    monkeypatch.setenv(trust.VARIABLE, "True")
    assert load_suite(config("sums")).tasks[0].name == "sums"
    monkeypatch.setenv(trust.VARIABLE, "no")
    with pytest.raises(TaskError, match="isn't trusted"):
        load_suite(config("sums"))


def test_a_word_that_is_neither_yes_nor_no_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust.VARIABLE, "banana")
    for refused in (lambda: trust.ask(config("sums")), lambda: load_suite(config("sums"))):
        with pytest.raises(ConfigError, match=r"^EVALHARNESS_TASKS_TRUST='banana': true or false$"):
            refused()


def test_what_ships_with_us_is_trusted_beside_it(here: Path) -> None:
    assert load_suite(config("arc_easy_sample")).tasks[0].name == "arc_easy_sample"


def test_in_the_checkout_nothing_is_asked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(paths.shipped("tasks").parent)
    assert ask(monkeypatch, "", "arc_easy_sample") == ""
    assert load_suite(config("arc_easy_sample")).tasks


@pytest.mark.parametrize("text", [GROUP, GROUP.replace("{task: sums, num_fewshot: 0}", "sums")])
def test_a_task_within_a_group_counts(here: Path, text: str) -> None:
    (here / "tasks" / "both.yaml").write_text(text)
    with pytest.raises(TaskError, match=r"task 'both', 'sums' in "):
        load_suite(config("both"))


def test_a_task_that_hides_a_stock_one_counts(here: Path) -> None:
    write(here, "gsm8k", GENERATE)
    with pytest.raises(TaskError, match="task 'gsm8k' in "):
        load_suite(config("gsm8k"))


def test_a_yes_is_remembered_for_the_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, "other", GENERATE)
    asked = ask(monkeypatch, "y\n", "sums", "arc_easy_sample")
    assert asked.count(f"task 'sums' in {str(here / 'tasks')!r}") == 1
    assert load_suite(config("sums")).tasks
    assert load_suite(config("other")).tasks
    assert ask(monkeypatch, "", "sums") == ""


def test_a_yes_that_cant_be_written_down_holds_for_this_time_and_says_so(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "home").write_text("a file where the folder has to be")
    asked = ask(monkeypatch, "y\n", "sums")
    kept = "warning: trusted this time only, as the answer can't be stored: "
    assert asked.splitlines()[0].split("[y/N] ")[1].startswith(kept)
    assert "trusted_tasks" in asked
    assert load_suite(config("sums")).tasks
    monkeypatch.setattr(trust, "_trusted_now", set())  # another process
    with pytest.raises(TaskError, match="isn't trusted"):
        load_suite(config("sums"))


def test_the_same_names_in_another_folder_are_asked_about_again(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(monkeypatch, "yes\n", "sums")
    (here / "b").mkdir()
    write(here / "b", "sums", GENERATE)
    monkeypatch.chdir(here / "b")
    with pytest.raises(TaskError, match="isn't trusted"):
        load_suite(config("sums"))


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "maybe\n"])
def test_all_else_is_a_no(here: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    assert "[y/N]" in ask(monkeypatch, answer, "sums")
    with pytest.raises(TaskError, match="isn't trusted"):
        load_suite(config("sums"))


def test_without_a_terminal_nobody_is_asked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    monkeypatch.setattr("sys.stderr", asked)
    trust.ask(config("sums"))
    assert asked.getvalue() == ""
    assert not (here / "home").exists()


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(cli, [*arguments])


@pytest.mark.slow
def test_every_verb_that_runs_tasks_asks(here: Path, tiny_llama: Path) -> None:
    checked = invoke("task", "check", "sums")
    assert checked.exit_code == 2
    assert "isn't trusted" in checked.output
    model = ("model=smollm2-135m", f"model.path={tiny_llama}")
    assert "isn't trusted" in str(invoke("task", "preview", "sums", *model).exception)
    ran = invoke("run", "+suite.tasks.sums={}", *model, "engine=fake")
    assert ran.exit_code == 2
    assert "isn't trusted" in ran.output
    assert "isn't trusted" not in invoke("task", "check", "sums", "tasks.trust=true").output


def test_a_stored_yes_is_nobodys_word(here: Path) -> None:
    (here / "run").mkdir()
    (here / "run" / "config.yaml").write_text("tasks: {trust: true}\nmodel: {name: m}\nsuite: {name: s}\n")  # fmt: skip
    assert stored_config(here / "run").tasks.trust is False


def test_a_folder_with_a_line_break_in_its_name_vouches_for_no_other(
    here: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    trust.remember(Path(f"{tmp_path}/odd\n{other}"))
    assert trust._is_asked_about(other, config())
    assert not trust._is_asked_about(Path(f"{tmp_path}/odd\n{other}"), config())
