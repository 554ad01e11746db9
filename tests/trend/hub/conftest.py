"""The real client, let out to a Hub on 127.0.0.1."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi

from local_hub import LocalHub, serving

LLAMA = "meta-llama/Llama-3.1-8B"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A Hub to which HF_ENDPOINT points, with network for it alone."""
    with serving(LocalHub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        # Read from the environment when the client was imported.
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        huggingface_hub.close_session()
        yield hub
        huggingface_hub.close_session()


@pytest.fixture
def api(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.address, token=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an entry that is on the Hub and one that isn't."""
    folder = tmp_path / "configs" / "model"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("name: mine\nhub_id: me/mine\nfamily: Own\n")
    (folder / "local.yaml").write_text("name: local\npath: /somewhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALHARNESS_RESULTS_DIR", raising=False)
    return tmp_path
