"""`evalharness model`: what it prints, and from where."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evalharness.cli.model import app
from evalharness.errors import CheckpointError, ConfigError
from tiny_checkpoints import TinyTensor, write_safetensors

ADAPTER = {
    "l.lora_A.weight": TinyTensor("F32", (4, 8)),
    "l.lora_B.weight": TinyTensor("F32", (8, 4)),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with one checkpoint, one adapter and entries for both."""
    write_safetensors(
        tmp_path / "w" / "model.safetensors", {"t": TinyTensor("BF16", (10_000, 1000))}
    )
    (tmp_path / "w" / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    write_safetensors(tmp_path / "a" / "adapter_model.safetensors", ADAPTER)
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps({"r": 4}))
    entries = tmp_path / "configs" / "model"
    entries.mkdir(parents=True)
    (entries / "mine.yaml").write_text(
        "name: mine\npath: w\nfamily: Own\nrelease_date: '2025-01-02'\n"
    )
    (entries / "tuned.yaml").write_text("defaults: [mine, _self_]\npath: w\nadapter: ./a\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output(*args: str) -> str:
    result = CliRunner().invoke(app, args, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.usefixtures("home")
def test_inspect_shows_parameters_and_gib() -> None:
    shown = output("inspect", "w")
    assert "10 M total, 10 M active per token" in shown
    assert "0.02 GiB in 1 file(s)" in shown
    assert "fast:" in shown


@pytest.mark.usefixtures("home")
def test_inspect_takes_a_name_and_gives_the_same() -> None:
    by_name = json.loads(output("inspect", "mine", "--json"))
    assert by_name == json.loads(output("inspect", "w", "--json"))
    assert by_name["params_total"] == 10_000_000


@pytest.mark.usefixtures("home")
def test_full_fingerprint_on_request() -> None:
    assert (
        json.loads(output("inspect", "w", "--full", "--json"))["weights_fingerprint"][:5] == "full:"
    )


@pytest.mark.usefixtures("home")
def test_entry_with_an_adapter_is_another_checkpoint() -> None:
    base, tuned = (json.loads(output("inspect", name, "--json")) for name in ("mine", "tuned"))
    assert base["fingerprint"] != tuned["fingerprint"]


@pytest.mark.usefixtures("home")
def test_adapter_folder_can_be_inspected() -> None:
    assert json.loads(output("inspect", "a", "--json"))["rank"] == 4


@pytest.mark.usefixtures("home")
def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(CheckpointError, match="did you mean 'mine'"):
        output("inspect", "mien")


@pytest.mark.usefixtures("home")
def test_list_has_own_entries_with_their_scale_and_shipped_ones() -> None:
    rows = {row["name"]: row for row in json.loads(output("list", "--json"))}
    assert rows["mine"]["on_disk"] == "yes"
    assert rows["mine"]["params_total"] == 10_000_000
    assert rows["mine"]["release_date"] == "2025-01-02"
    assert len(rows) > 2
    assert "mine" in output("list")


def test_list_shows_damage_and_continues(home: Path) -> None:
    (home / "w" / "config.json").write_text("{broken")
    rows = {row["name"]: row for row in json.loads(output("list", "--json"))}
    assert "config.json can't be read" in rows["mine"]["on_disk"]


@pytest.mark.parametrize("content", ["nmae: x\n", "variant: chat\n", "- a\n", "a: [\n"])
def test_broken_entry_is_named(home: Path, content: str) -> None:
    (home / "configs" / "model" / "bad.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        output("inspect", "bad")


def make_whole(folder: Path) -> Path:
    """A base and an adapter over its only layer, as far as merging needs them."""
    layer = "model.layers.0.self_attn.q_proj"
    write_safetensors(
        folder / "base" / "model.safetensors", {f"{layer}.weight": TinyTensor("F32", (8, 8))}
    )
    (folder / "base" / "config.json").write_text(json.dumps({"model_type": "frobnicate"}))
    tensors = {
        f"base_model.model.{layer}.lora_A.weight": TinyTensor("F32", (4, 8)),
        f"base_model.model.{layer}.lora_B.weight": TinyTensor("F32", (8, 4)),
    }
    write_safetensors(folder / "tuning" / "adapter_model.safetensors", tensors)
    config = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (folder / "tuning" / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_merge_makes_a_checkpoint_and_prints_its_fingerprint(home: Path) -> None:
    pytest.importorskip("torch")
    make_whole(home)
    shown = output("merge", "base", "tuning", "out")
    fingerprint = json.loads(output("inspect", "out", "--json"))["fingerprint"]
    assert shown == f"out: fingerprint {fingerprint}. Give it as model.path.\n"
    assert fingerprint != json.loads(output("inspect", "base", "--json"))["fingerprint"]


def test_merge_over_something_is_refused(home: Path) -> None:
    make_whole(home)
    (home / "out").mkdir()
    with pytest.raises(CheckpointError, match="out exists"):
        output("merge", "base", "tuning", "out")


@pytest.mark.usefixtures("home")
def test_merge_into_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(CheckpointError, match="did you mean 'mine'"):
        output("merge", "mien", "a", "out")


def test_full_inspection_names_values_that_are_no_numbers(home: Path) -> None:
    path = write_safetensors(home / "w" / "model.safetensors", {"t": TinyTensor("F32", (2, 2))})
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\xc0\x7f")
    assert "t: 1 NaN or infinite values in 1 of 2 rows." in output("inspect", "w", "--full")
    assert "all finite" not in output("inspect", "w", "--full")


@pytest.mark.usefixtures("home")
def test_full_inspection_says_that_all_values_are_finite() -> None:
    assert "all finite" in output("inspect", "w", "--full")


def test_inspect_says_that_an_unknown_architecture_was_not_checked(home: Path) -> None:
    make_whole(home)
    assert "Weights unchecked" in output("inspect", "base")
