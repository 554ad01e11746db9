"""Models and tasks named directly: entries made from a checkpoint's files, suites named after their tasks."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from command_line import Cli
from evalharness.cli import direct
from evalharness.errors import EvalHarnessError
from evalharness.store.read import list_runs
from evalharness.tasks.authoring import list_tasks
from stores import make_run

FAKE = ("engine=fake", "limit=1")


@pytest.fixture
def checkpoint(home: Path, tiny_llama: Path) -> Path:
    """A checkpoint that no entry names."""
    return Path(shutil.copytree(tiny_llama, home / "my-Llama-3-ft"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_llama: Path) -> Path:
    """A cache of the Hub with one repository."""
    repository = tmp_path / "cache" / "models--Lab--Tiny-7B-Base"
    snapshot = repository / "snapshots" / "0123456789abcdef"
    shutil.copytree(tiny_llama, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123456789abcdef")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return snapshot


def adapter(folder: Path) -> Path:
    folder.mkdir()
    content = {"peft_type": "LORA", "base_model_name_or_path": "lab/base", "r": 8}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    return folder


def composed(*arguments: str) -> dict[str, object]:
    """The configuration of a run, as a mapping."""
    from dataclasses import asdict

    from evalharness.config.compose import run_hydra

    found: list[dict[str, object]] = []
    meant = direct.understand(arguments)
    run_hydra(meant.arguments, lambda config: found.append(asdict(config)))
    return found[0]


def own_tasks(*names: str) -> None:
    """Definitions in ./tasks, as far as their names are read."""
    for number, name in enumerate(names):
        folder = Path("tasks") / f"folder{number}"
        folder.mkdir(parents=True)
        (folder / "task.yaml").write_text(f"task: {name}\ntag: [own_tag]\n", encoding="utf-8")


def message(*arguments: str, is_sure: bool = False) -> str:
    with pytest.raises(EvalHarnessError) as caught:
        direct.understand(arguments, is_sure=is_sure)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_checkpoint_and_a_task_run_by_their_names(
    evalharness: Cli, home: Path, checkpoint: Path
) -> None:
    done = evalharness("run", f"model={checkpoint}", "tasks=weekday_arithmetic", *FAKE)
    assert done.code == 0, done.err
    assert "model my-Llama-3-ft: made from" in done.err
    assert f"`evalharness model add {checkpoint}` keeps it" in done.err
    (run,) = list_runs(home / "results")
    assert (run.model, run.suite) == ("my-Llama-3-ft", "weekday_arithmetic")
    model = run.config["model"]
    assert model["path"] == str(checkpoint)
    assert model["variant"] == "instruct"
    assert (model["parent"], model["release_date"], model["license"]) == (None, None, None)
    assert run.config["suite"]["modified"] == []


def test_a_folder_that_an_entry_names_is_that_entry(home: Path, tiny_llama: Path) -> None:
    meant = direct.understand([f"model={tiny_llama}"])
    assert meant.arguments == ["model=mine"]
    assert meant.remarks == [f"model mine: the entry of {tiny_llama}"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("runs/dpo-v2/checkpoint-500", "dpo-v2-checkpoint-500"),
        ("runs/dpo-v2/final", "dpo-v2-final"),
        ("runs/dpo-v2", "dpo-v2"),
        ("runs/null", "runs-null"),
        ("a b/ü c", "u-c"),
        ("runs/Übung-v2", "Ubung-v2"),
        ("elsewhere/mine", "elsewhere-mine"),  # there is an entry `mine`
        ("x/models--Lab--Tiny-7B/snapshots/0123456789abcdef", "tiny-7b-01234567"),
    ],
)
def test_the_name_is_the_folders_with_the_one_above_where_it_says_nothing(
    home: Path, tiny_llama: Path, folder: str, name: str
) -> None:
    shutil.copytree(tiny_llama, home / folder)
    first = composed(f"model={home / folder}", "tasks=weekday_arithmetic")
    assert first["model"]["name"] == name  # type: ignore[index]
    assert direct.understand([f"model={home / folder}"]).arguments == [f"model={name}"]


def test_the_folder_above_has_its_own_name(
    home: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint.rename(checkpoint.with_name("Llama-3.1-8B-base"))
    (folder / "inner").mkdir()
    for inside, asked in (("inner", ".."), (".", ".")):
        monkeypatch.chdir(folder / inside)
        model = composed(f"model={asked}", "tasks=weekday_arithmetic")["model"]
        assert isinstance(model, dict)
        assert (model["name"], model["path"]) == (folder.name, str(folder.resolve()))
        assert (model["family"], model["variant"].value) == ("Llama 3.1", "base")


def test_variant_family_and_thinking_are_read_from_the_files(home: Path, checkpoint: Path) -> None:
    (checkpoint / "chat_template.jinja").write_text("{{ messages }}<think>x</think>")
    model = composed(f"model={checkpoint}", "tasks=weekday_arithmetic")["model"]
    assert isinstance(model, dict)
    assert (model["think_start"], model["think_end"]) == ("<think>", "</think>")
    for file in checkpoint.glob("*.jinja"):
        file.unlink()
    base = home / "SmolLM2-135M"
    shutil.copytree(checkpoint, base)
    tokenizer = json.loads((base / "tokenizer_config.json").read_text())
    tokenizer.pop("chat_template", None)
    (base / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    model = composed(f"model={base}", "tasks=weekday_arithmetic")["model"]
    assert isinstance(model, dict)
    assert (model["family"], model["variant"].value) == ("SmolLM2", "base")
    assert model["think_end"] is None


def test_a_folder_that_says_nothing_is_read_by_the_one_above(home: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, home / "SmolLM2-135M-base" / "step-4000")  # with a chat template
    model = composed("model=SmolLM2-135M-base/step-4000", "tasks=weekday_arithmetic")["model"]
    assert isinstance(model, dict)
    assert (model["family"], model["variant"].value) == ("SmolLM2", "base")


def test_a_hub_id_on_this_machine_makes_an_entry_without_network(home: Path, hub: Path) -> None:
    model = composed("model=Lab/Tiny-7B-Base", "tasks=weekday_arithmetic", "data.offline=true")
    found = model["model"]
    assert isinstance(found, dict)
    assert (found["name"], found["hub_id"]) == ("tiny-7b-base", "Lab/Tiny-7B-Base")
    assert found["variant"].value == "base"  # the name says so, whatever the template


def test_a_hub_id_that_an_entry_has_is_that_entry(home: Path) -> None:
    meant = direct.understand(["model=meta-llama/llama-3.1-8b-Instruct"])
    assert meant.arguments == ["model=llama-3.1-8b-instruct"]


def test_a_revision_is_part_of_the_name(home: Path, hub: Path) -> None:
    (hub.parents[1] / "refs" / "step-2000-long").write_text(hub.name)
    asked = ["model=Lab/Tiny-7B-Base@step-2000-long", "data.offline=true"]
    found = composed(*asked, "tasks=weekday_arithmetic")["model"]
    assert isinstance(found, dict)
    assert (found["name"], found["revision"]) == ("tiny-7b-base-step-200", "step-2000-long")


def test_an_adapter_is_an_entry_over_its_base(home: Path, checkpoint: Path) -> None:
    lora = adapter(home / "lora-a")
    found = composed(f"adapter={lora}", "model=mine", "tasks=weekday_arithmetic")["model"]
    assert isinstance(found, dict)
    assert (found["name"], found["parent"], found["adapter"]) == ("mine-lora-a", "mine", str(lora))
    assert found["variant"].value == "instruct"
    over = composed(f"adapter={lora}", f"model={checkpoint}", "tasks=weekday_arithmetic")["model"]
    assert isinstance(over, dict)
    assert (over["name"], over["path"]) == ("my-Llama-3-ft-lora-a", str(checkpoint))


def test_borrowing_an_entry_for_other_weights_is_said(home: Path, checkpoint: Path) -> None:
    asked = ["model=llama-3.1-8b-instruct", f"model.path={checkpoint}"]
    (line,) = direct.understand(asked).remarks
    assert "this entry's name and its release_date, parent, license" in line
    assert f"model={checkpoint} makes an entry of its own" in line
    assert direct.understand([*asked, "model.name=own"]).remarks == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model=/no/such"], "model=/no/such: no such folder"),
        (["model=a/b/c"], "model=a/b/c: no such folder, and no Hub id"),
        (["model=https://huggingface.co/a/b"], "no such folder, and no Hub id"),
        (["model=lora/adapter_config.json"], "a file; a checkpoint is the folder"),
        (["model=./lora/adapter_config.json"], "a file; a checkpoint is the folder"),
        (["model=mine", "adapter=./no"], "adapter=./no: no such folder"),
        (["model=./empty"], "config.json is missing"),
        (["model=./out"], "is in its folders checkpoint-1, checkpoint-2, checkpoint-3 and 1 more"),
        (["model=./gguf"], "GGUF weights (x.Q4_0.gguf), which no engine here reads"),
        (["model=./meta"], "its maker's own format (params.json: Meta's, Mistral's)"),
        (["model=./zero"], "a DeepSpeed training state"),
        (["model=./fsdp"], "a sharded training state of PyTorch (__0_0.distcp)"),
        (["model=./lora"], "`model=lab/base adapter=lora` runs it"),
        (["adapter=./lora"], "over which model?"),
        (
            ["model=Lab/Other", "data.offline=true"],
            "no such folder here, and Lab/Other isn't on this machine and data.offline=true",
        ),
        (["model=mine", "model=other"], "model=mine is given already"),
        (["model="], "model=: nothing is given"),  # not the folder one is in
        (["model=mine", "adapter="], "adapter=: nothing is given"),
        (["tasks=,"], "tasks=,: nothing is given"),
        (["tasks=gsm8k", "suite=quick"], "give one of them"),
        (["suite=gsm8k_sample"], "gsm8k_sample is a task: tasks=gsm8k_sample"),
        (["limit=2", "run.limit=1"], "limit=2 and run.limit=1: give one of them"),
        (["tasks=no_such_thing_*"], "no task matches"),
        (["tasks=gsm8k:5,gsm8k:0"], "gsm8k is there twice, with other shots"),
    ],
)
def test_what_cannot_be_meant_is_refused(home: Path, arguments: list[str], said: str) -> None:
    (home / "empty").mkdir()
    for name in (
        *(f"out/checkpoint-{step}/config.json" for step in (1, 2, 3, 4)),
        "gguf/x.Q4_0.gguf",
        "meta/params.json",
        "zero/zero_to_fp32.py",
        "fsdp/__0_0.distcp",
    ):
        (home / name).parent.mkdir(parents=True)
        (home / name).touch()
    adapter(home / "lora")
    assert said in message(*arguments)


def test_two_orders_of_the_same_tasks_are_one_suite(home: Path) -> None:
    own_tasks("a", "b")
    one, other = (direct.understand([f"tasks={names}"]) for names in ("b,a:5", "a:5,b"))
    assert one.arguments == other.arguments == ["suite=_a-5shot+b"]
    assert direct.understand(["tasks=a:3,b"]).arguments != one.arguments


def test_an_unknown_task_is_refused_before_anything_is_read(home: Path) -> None:
    list_tasks.stock_list()  # so that lm-eval's names are in the cache
    own_tasks("mine_too")
    assert "tasks=gsm8kk: no such task; did you mean 'gsm8k'?" in message("tasks=gsm8kk")
    assert "tasks=mine_to: no such task; did you mean 'mine_too'?" in message("tasks=mine_to:5")
    assert "quick is a suite: suite=quick" in message("tasks=quick,gsm8k")
    for names in ("mine_too:3", "own_tag", "mmlu", "ai2_arc"):
        assert direct.understand([f"tasks={names}"]).arguments


def test_what_a_name_says_holds_before_what_a_glob_says(home: Path) -> None:
    one, other = (
        direct.understand([f"tasks={names}"]).arguments
        for names in ("arc_easy_sample:5,arc_easy_s*", "arc_easy_s*,arc_easy_sample:5")
    )
    assert one == other == ["suite=_arc_easy_sample-5shot"]


def test_shots_and_limit_reach_the_configuration(home: Path) -> None:
    config = composed("model=mine", "tasks=weekday_arithmetic:2,arc_easy_sample", "limit=7")
    suite, run = config["suite"], config["run"]
    assert isinstance(suite, dict)
    assert isinstance(run, dict)
    assert {name: task["num_fewshot"] for name, task in suite["tasks"].items()} == {
        "weekday_arithmetic": 2,
        "arc_easy_sample": None,
    }
    assert run["limit"] == 7


def test_a_glob_takes_tasks_and_asks_where_they_are_many(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        list_tasks.TaskRow(f"many_{number}", "multiple_choice", None, None, "lm-eval", False)
        for number in range(60)
    ]
    rows.append(list_tasks.TaskRow("many_group", "group", None, None, "lm-eval", False))
    monkeypatch.setattr(list_tasks, "stock_list", lambda: rows)
    assert "60 tasks; --yes runs them all" in message("tasks=many_*")
    sure = direct.understand(["tasks=many_*"], is_sure=True)
    few = direct.understand(["tasks=many_1?"])
    assert sure.arguments != few.arguments
    assert few.arguments[0].startswith("suite=_many_10+9-more-")


def test_a_task_of_any_letters_has_a_suite(home: Path) -> None:
    own_tasks("aufgäbe")
    suite = composed("model=mine", "tasks=aufgäbe")["suite"]
    assert isinstance(suite, dict)
    assert (suite["name"], list(suite["tasks"])) == ("aufgäbe", ["aufgäbe"])


def test_tasks_are_not_called_like_a_suite_of_other_tasks(home: Path) -> None:
    own_tasks("quick", "one")
    name = [composed("model=mine", f"tasks={task}")["suite"]["name"] for task in ("quick", "one")]  # type: ignore[index]
    assert name == ["quick-tasks", "one"]
    folder = home / "configs" / "suite"
    folder.mkdir(exist_ok=True)
    (folder / "one.yaml").write_text("name: one\ntasks: {one: {}}\n")
    assert composed("model=mine", "tasks=one")["suite"]["name"] == "one"  # type: ignore[index]


def test_suites_with_commas_are_a_run_of_each(evalharness: Cli, home: Path) -> None:
    for name in ("one", "two"):
        text = f"name: {name}\ntasks: {{weekday_arithmetic: {{}}}}\n"
        (home / "configs" / "suite").mkdir(exist_ok=True)
        (home / "configs" / "suite" / f"{name}.yaml").write_text(text)
    assert evalharness("run", "model=mine", "suite=one,two", *FAKE).code == 0
    assert {run.suite for run in list_runs(home / "results")} == {"one", "two"}


def test_preview_and_check_take_a_folder(evalharness: Cli, home: Path, checkpoint: Path) -> None:
    asked = ["weekday_arithmetic", f"model={checkpoint}"]
    shown = evalharness("task", "preview", *asked, "--json")
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["prompt"]
    assert "model my-Llama-3-ft: made from" in shown.err
    checked = evalharness("task", "check", *asked)
    assert "made from" in checked.err
    assert "no such model" not in checked.err


def test_selfcheck_takes_the_same_words(evalharness: Cli, home: Path) -> None:
    asked = ["model=mine", "tasks=weekday_arithmetic", "limit=2", "engine=fake"]
    assert evalharness("selfcheck", *asked, "--yes").code == 0
    runs = list_runs(home / "results" / ".selfcheck")
    assert {run.config["run"]["limit"] for run in runs} == {2}


def test_one_configuration_is_shown_at_a_time(evalharness: Cli, home: Path) -> None:
    for asked in (["suite=quick,safety"], ["-m", "suite=quick", "run.limit=1,2"]):
        done = evalharness("run", "model=mine", *asked, "--cfg", "job")
        assert (done.code, done.out) == (2, "")
        assert "--cfg shows one configuration" in done.err


def test_nothing_to_run_says_what_there_is(evalharness: Cli) -> None:
    done = evalharness("run", "engine=fake")
    assert done.code == 2
    assert "add model=<name, path or Hub id>" in done.err
    assert "quick" in done.err
    assert "tasks=<name>" in evalharness("run", "model=mine").err
    assert evalharness("run", "model=mine", "--cfg", "job").code == 0


def test_model_add_writes_an_entry_once(evalharness: Cli, home: Path, checkpoint: Path) -> None:
    done = evalharness("model", "add", str(checkpoint), "--name", "kept")
    assert done.code == 0, done.err
    assert "evalharness run model=kept" in done.out
    values = yaml.safe_load((home / "configs" / "model" / "kept.yaml").read_text())
    assert values["path"] == str(checkpoint)
    assert direct.understand([f"model={checkpoint}"]).arguments == ["model=kept"]
    again = evalharness("model", "add", str(checkpoint), "--name", "kept")
    assert (again.code, "is the model kept already" in again.err) == (2, True)
    assert evalharness("model", "add", str(checkpoint)).code == 2
    assert evalharness("model", "add", "no/where/else").code == 2
    assert "kept is a model already" in evalharness("model", "add", "kept").err


def test_model_add_names_the_entry_that_runs_the_folder(
    evalharness: Cli, home: Path, checkpoint: Path
) -> None:
    for name, more in (("a-variant", "chat: false\n"), ("kept", "")):
        entry = home / "configs" / "model" / f"{name}.yaml"
        entry.write_text(f"name: {name}\npath: {checkpoint}\n{more}")
    assert "is the model kept already" in evalharness("model", "add", str(checkpoint)).err


def test_task_names_complete_after_the_last_comma(home: Path) -> None:
    assert "tasks=a,weekday_arithmetic" in direct.complete_task("tasks=a,weekday")


def test_a_table_of_questions_becomes_a_task_in_two_commands(evalharness: Cli, home: Path) -> None:
    rows = "".join(f"What is {n} + 1?,{n},{n + 1},{n + 2},B\n" for n in range(12))
    (home / "q.csv").write_text("question,A,B,C,answer\n" + rows)
    made = evalharness("task", "new", "plus_one", "--data", "q.csv")
    assert made.code == 0, made.err
    assert "tasks=plus_one" in made.out
    done = evalharness("run", "model=mine", "engine=fake", "tasks=plus_one", "tasks.trust=true")
    assert done.code == 0, done.err
    (run,) = list_runs(home / "results")
    (task,) = run.tasks
    assert (task.num_docs, task.num_fewshot) == (12, 0)
    readme = (home / "tasks" / "plus_one" / "README.md").read_text()
    assert "| Docs (n) | 12 |" in readme
    assert "0.33" in readme


def test_a_table_that_cannot_be_used_leaves_nothing(evalharness: Cli, home: Path) -> None:
    (home / "q.csv").write_text("question,A,B\nq?,x,y\n")
    done = evalharness("task", "new", "mine", "--data", "q.csv")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert not (home / "tasks").exists()
    assert evalharness("task", "new", "x", "--kind", "python", "--data", "q.csv").code == 2


def test_a_prompt_is_previewed_with_a_checkpoint_by_its_path(
    evalharness: Cli, checkpoint: Path
) -> None:
    shown = evalharness("task", "preview", "weekday_arithmetic", f"model={checkpoint}")
    assert shown.code == 0, shown.err
    assert "my-Llama-3-ft" in shown.err
    checked = evalharness("task", "check", "weekday_arithmetic", f"model={checkpoint}")
    assert checked.code == 0, checked.out


def test_two_checkpoints_never_share_a_name_made_from_a_folder(
    evalharness: Cli, home: Path, checkpoint: Path
) -> None:
    make_run(home / "results", "a-run", checkpoint.name, "s", {"t": [1.0, 0.0]})
    asked = ("run", f"model={checkpoint}", "tasks=weekday_arithmetic", *FAKE)
    refused = evalharness(*asked)
    assert refused.code == 2
    assert "is another checkpoint in 'results'" in refused.err
    assert "run a-run" in refused.err
    assert evalharness(*asked, "model.name=own").code == 0
    assert {run.model for run in list_runs(home / "results")} == {checkpoint.name, "own"}
    manifest = home / "results" / "a-run" / "manifest.json"
    served = json.loads(manifest.read_text())
    served["checkpoint"]["weights_fingerprint"] = "unverified"  # a server's: it may be the same
    manifest.write_text(json.dumps(served))
    assert evalharness(*asked).code == 0
