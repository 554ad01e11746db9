"""The verbs `adoption` and `watch`, against a Hub on 127.0.0.1."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from evalharness.cli import hub as hub_cli
from evalharness.errors import ConfigError, StoreError, UserError
from evalharness.trend.hub import snapshots_store
from evalharness.trend.hub.records import (
    Sighting,
    Snapshot,
)
from local_hub import LocalHub

app = typer.Typer()
app.add_typer(hub_cli.app, name="adoption")
app.command()(hub_cli.watch)

SNAPSHOT, REPORT = ("adoption", "snapshot"), ("adoption", "report")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})


def output(*arguments: str, code: int = 0) -> str:
    result = call(*arguments)
    assert result.exit_code == code, result.exception
    return result.stdout


def as_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(output(*arguments, "--json", code=code))


def error(*arguments: str) -> BaseException:
    result = call(*arguments)
    assert result.exception is not None
    return result.exception


def on_day(results: Path, day: int, **counts: Any) -> None:
    """A snapshot of me/mine on a day of August 2026."""
    model = Sighting(model="mine", hub_id="me/mine", **counts)
    at = f"2026-08-{day:02}T00:00:00.000Z"
    snapshots_store.write(results, Snapshot(taken_at=at, endpoint="https://hub", models=(model,)))


@pytest.mark.usefixtures("home")
def test_a_snapshot_is_shown_and_kept(hub: LocalHub) -> None:
    hub.add_checkpoint("me/mine", downloads=1234, downloadsAllTime=56_789, likes=7)
    hub.add_derivatives("me/mine", "adapter", 3)
    shown = output(*SNAPSHOT, "mine")
    assert "56.8k" in shown
    assert "\nresults/.adoption/" in shown
    (kept,) = snapshots_store.read_all(Path("results"))
    assert kept.models[0].num_adapters == 3
    assert kept.endpoint == hub.address


@pytest.mark.usefixtures("home")
def test_a_snapshot_with_one_model_missing_is_kept_and_said(hub: LocalHub) -> None:
    hub.add("me/mine", likes=1)
    found = as_json(*SNAPSHOT, "mine", "me/gone")
    assert [model["likes"] for model in found["models"]] == [1, None]
    assert "doesn't exist" in found["models"][1]["error"]
    assert Path(found["path"]).is_file()


@pytest.mark.usefixtures("home", "hub")
def test_a_snapshot_of_nothing_that_exists_is_wrong_input_but_recorded() -> None:
    wrong = error(*SNAPSHOT, "me/gone")
    assert isinstance(wrong, UserError)
    assert wrong.exit_code == 2
    assert len(snapshots_store.read_all(Path("results"))) == 1


@pytest.mark.usefixtures("home")
def test_all_takes_every_entry_with_a_hub_id(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalharness.paths.shipped", lambda name: Path("nowhere"))
    hub.add("me/mine", likes=1)
    assert [model["model"] for model in as_json(*SNAPSHOT, "--all")["models"]] == ["mine"]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("arguments", [(), ("mine", "--all"), ("mien",), ("local",)])
def test_a_snapshot_of_what_is_not_said_asks_nothing(
    hub: LocalHub, arguments: tuple[str, ...]
) -> None:
    assert isinstance(error(*SNAPSHOT, *arguments), UserError)
    assert hub.asked == []


@pytest.mark.usefixtures("home")
def test_the_report_says_how_counts_moved_and_since_when() -> None:
    on_day(Path("results"), 1, downloads=10, downloads_all_time=1000, likes=5, num_derivatives=10)
    on_day(Path("results"), 15, downloads=9, downloads_all_time=2400, likes=12, num_derivatives=14)
    (model,) = as_json(*REPORT)["models"]
    assert model["flows"]["downloads_per_day"]["rate"] == 100
    assert model["flows"]["likes_per_day"]["rate"] == 0.5
    assert model["flows"]["derivatives_per_week"]["rate"] == 2
    assert model["flows"]["since"] == "2026-08-01T00:00:00.000Z"
    (row,) = csv.DictReader(io.StringIO(output(*REPORT, "--csv")))
    assert (row["downloads_per_day"], row["since"]) == ("100.0", "2026-08-01T00:00:00.000Z")
    shown = output(*REPORT)
    assert "+100" in shown
    assert "2026-08-01" in shown
    assert "lower bound" in shown


@pytest.mark.usefixtures("home")
def test_the_report_without_network_shows_what_was_last_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_day(Path("results"), 1, downloads=10)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "Offline (HF_HUB_OFFLINE): the last stored counts, as of 2026-08-01" in output(*REPORT)


@pytest.mark.usefixtures("home")
def test_the_report_of_nothing_says_how_to_begin() -> None:
    assert "No snapshots in results yet" in output(*REPORT)
    assert as_json(*REPORT)["models"] == []


@pytest.mark.usefixtures("home")
def test_the_report_finds_a_model_by_name_or_hub_id_only() -> None:
    on_day(Path("results"), 1, likes=1)
    assert len(as_json(*REPORT, "mine", "ME/mine")["models"]) == 1
    wrong = error(*REPORT, "mien")
    assert isinstance(wrong, StoreError)
    assert "did you mean 'mine'" in str(wrong)


@pytest.mark.usefixtures("home")
def test_watch_is_quiet_until_something_is_new(hub: LocalHub) -> None:
    hub.add_checkpoint("meta-llama/Llama-4")
    assert "org:meta-llama: 1 checkpoints; first look" in output("watch")
    assert "0 new since" in output("watch")
    hub.add_checkpoint("meta-llama/Llama-5-8B", "license:llama5")
    shown = output("watch", code=1)
    assert "1 new" in shown
    entry = yaml.safe_load(shown.split("# configs/model/llama-5-8b.yaml")[1])
    assert entry["hub_id"] == "meta-llama/Llama-5-8B"
    assert (
        "  Drafted from the Hub: family and variant are guesses. The date is the day on which the"
        in shown
    )
    assert "0 new since" in output("watch")


@pytest.mark.usefixtures("home")
def test_a_source_that_is_added_later_has_a_first_look_of_its_own(hub: LocalHub) -> None:
    hub.add_checkpoint("meta-llama/Llama-4")
    hub.add_checkpoint("other/Model")
    output("watch", "--org", "meta-llama")
    found = as_json("watch", "--org", "meta-llama", "--org", "other")
    assert [source["is_first"] for source in found["sources"]] == [False, True]
    assert [item["hub_id"] for item in found["newest_of_first_look"]] == ["other/Model"]


@pytest.mark.usefixtures("home")
def test_watch_writes_entries_that_are_not_there(hub: LocalHub) -> None:
    output("watch", "--org", "meta-llama", "--write-entries", "new")
    hub.add_checkpoint("meta-llama/Llama-5-8B")
    hub.add_checkpoint("meta-llama/Llama-5-8B-Instruct", "base_model:meta-llama/Llama-5-8B")
    args = ("watch", "--org", "meta-llama", "--write-entries", "new")
    found = as_json(*args, code=1)
    assert all(item["entry"]["is_written"] for item in found["new"])
    entry = yaml.safe_load(Path("new/llama-5-8b-instruct.yaml").read_text())
    assert entry["parent"] == "llama-5-8b"
    assert entry["hub_id"] == "meta-llama/Llama-5-8B-Instruct"


@pytest.mark.usefixtures("home")
def test_what_could_not_be_written_is_new_again(hub: LocalHub) -> None:
    output("watch")
    hub.add_checkpoint("meta-llama/Llama-5-8B")
    Path("file").write_text("")
    assert call("watch", "--write-entries", "file").exit_code == 1
    assert as_json("watch", code=1)["num_new"] == 1


@pytest.mark.usefixtures("home")
def test_a_checkpoint_of_two_sources_is_reported_once(hub: LocalHub) -> None:
    args = ("watch", "--org", "meta-llama", "--family", "llama-5")
    output(*args)
    hub.add_checkpoint("meta-llama/Llama-5-8B")
    assert as_json(*args, code=1)["num_new"] == 1


@pytest.mark.usefixtures("home", "hub")
def test_a_wrong_name_is_refused_before_the_hub_is_asked() -> None:
    assert isinstance(error("watch", "--org", "meta-llama/Llama-5"), UserError)


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The verbs as a process of their own, with the client in its natural state."""
    verbs = "app.app.add_typer(hub.app, name='adoption'); app.app.command()(hub.watch)"
    script = f"{code}\nfrom evalharness.cli import app, hub\n{verbs}\napp.main()"
    return subprocess.run(
        [sys.executable, "-c", script, *environment.pop("ARGS").split()],
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("verb", ["adoption snapshot mine", "watch"])
def test_without_network_nothing_is_written(home: Path, verb: str) -> None:
    done = run("", home, ARGS=verb, HF_HUB_OFFLINE="1")
    (line,) = done.stderr.splitlines()
    assert "offline (HF_HUB_OFFLINE is set)" in line
    assert done.returncode == 2
    assert not (home / "results").exists()


def test_a_process_with_network_sees_the_hub(home: Path, hub: LocalHub) -> None:
    hub.add("me/mine", likes=4)
    done = run("", home, ARGS="adoption snapshot mine --json", HF_HUB_OFFLINE="0")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["models"][0]["likes"] == 4


NOT_INSTALLED = "import sys\nsys.modules['huggingface_hub'] = None"


@pytest.mark.parametrize("verb", ["adoption snapshot mine", "watch"])
def test_without_the_client_it_is_said_what_brings_it(home: Path, verb: str) -> None:
    done = run(NOT_INSTALLED, home, ARGS=verb)
    (line,) = done.stderr.splitlines()
    assert "huggingface_hub isn't installed; `pip install -e '" in line
    assert done.returncode == 2


def test_the_report_needs_no_client(home: Path) -> None:
    on_day(home / "results", 1, likes=1)
    done = run(NOT_INSTALLED, home, ARGS="adoption report --json")
    assert json.loads(done.stdout)["num_snapshots"] == 1


@pytest.mark.usefixtures("home")
def test_an_address_that_is_none_is_a_wrong_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "nowhere")
    assert isinstance(error("watch"), ConfigError)
