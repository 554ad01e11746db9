"""From a model entry to a folder, and what the user reads when there is none."""

from pathlib import Path

import pytest

from evalharness.checkpoint import resolve, resolve_adapter
from evalharness.checkpoint.locate import hub_problem
from evalharness.config.schema import ModelConfig
from evalharness.errors import CheckpointError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot folder of org/known in an otherwise empty Hub cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    repository = tmp_path / "cache" / "models--org--known"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return snapshot


def test_folder_wins_over_the_hub(tmp_path: Path) -> None:
    assert resolve(ModelConfig(name="m", path=str(tmp_path), hub_id="org/known")) == tmp_path


def test_path_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve(ModelConfig(name="m", path="weights")).is_dir()


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    assert resolve(ModelConfig(name="m", path="~/weights")) == tmp_path / "weights"


def test_missing_demo_names_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="`evalharness model demo` makes it"):
        resolve(ModelConfig(name="m", path="models/smollm2-135m-instruct"))


def test_missing_folder_names_the_hub_when_there_is_an_id(tmp_path: Path) -> None:
    model = ModelConfig(name="m", path=str(tmp_path / "nowhere"), hub_id="org/known")
    with pytest.raises(CheckpointError, match=r"model\.path=null to take org/known"):
        resolve(model)


def test_entry_without_weights_says_which_keys() -> None:
    with pytest.raises(CheckpointError, match=r"neither model\.path nor model\.hub_id"):
        resolve(ModelConfig(name="m"))


def test_snapshot_on_this_machine_is_used_offline(hub: Path) -> None:
    assert resolve(ModelConfig(name="m", hub_id="org/known"), offline=True) == hub


@pytest.mark.usefixtures("hub")
def test_offline_without_a_snapshot_says_how_to_fetch() -> None:
    with pytest.raises(CheckpointError, match="`hf download org/other`"):
        resolve(ModelConfig(name="m", hub_id="org/other"), offline=True)


@pytest.mark.usefixtures("hub")
def test_malformed_hub_id_is_named() -> None:
    with pytest.raises(CheckpointError, match="is not a Hub id"):
        resolve(ModelConfig(name="m", hub_id="a/b/c"), offline=True)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("GatedRepoError", "is gated: accept its licence"),
        ("RepositoryNotFoundError", "doesn't exist or is private"),
        ("RevisionNotFoundError", "has no revision 'v2'"),
        ("LocalEntryNotFoundError", "couldn't be reached"),
        ("HfHubHTTPError", "couldn't be fetched"),
    ],
)
def test_each_hub_failure_has_its_own_line(kind: str, expected: str) -> None:
    errors = pytest.importorskip("huggingface_hub.errors")
    error_type = getattr(errors, kind)
    error = error_type.__new__(error_type)  # their constructors want an HTTP response
    error.args = ("first line\nsecond line",)
    line = hub_problem(error, "org/name", "v2", False)
    assert expected in line
    assert "org/name" in line
    assert "\n" not in line


def test_no_adapter_is_none() -> None:
    assert resolve_adapter(ModelConfig(name="m")) is None


def test_adapter_folder_is_found(tmp_path: Path) -> None:
    assert resolve_adapter(ModelConfig(name="m", adapter=str(tmp_path))) == tmp_path


def test_adapter_that_is_neither_folder_nor_id_is_refused() -> None:
    with pytest.raises(CheckpointError, match="neither a folder nor a Hub id"):
        resolve_adapter(ModelConfig(name="m", adapter="./nowhere"))


def test_adapter_comes_from_the_hub_too(hub: Path) -> None:
    assert resolve_adapter(ModelConfig(name="m", adapter="org/known"), offline=True) == hub
