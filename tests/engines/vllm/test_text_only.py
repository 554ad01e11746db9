"""A torchvision without its operators, kept apart for multimodal checkpoints that are read as text."""

import os
import sys
from pathlib import Path

import pytest

from evalharness.engines.vllm.text_only import declare_operators, find_torchvision

EXTENSION = "import torch\n\n\ndef _has_ops():\n    return False\n"


def make(folder: Path) -> Path:
    (folder / "torchvision").mkdir(parents=True)
    (folder / "torchvision" / "__init__.py").write_text("")
    (folder / "torchvision" / "extension.py").write_text(EXTENSION)
    return folder


def test_operators_are_declared_once(tmp_path: Path) -> None:
    folder = make(tmp_path)
    declare_operators(folder)
    once = (folder / "torchvision" / "extension.py").read_text()
    declare_operators(folder)
    assert (folder / "torchvision" / "extension.py").read_text() == once
    assert once.startswith(EXTENSION)
    assert once.count("torch.library.define(") == 1


def test_declared_operators_can_be_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if "torchvision" in sys.modules:
        pytest.skip("a real one is loaded")
    folder = make(tmp_path)
    declare_operators(folder)
    exec((folder / "torchvision" / "extension.py").read_text(), {})
    torch.library.register_fake("torchvision::nms", lambda dets, scores, iou: dets)
    torch.library.register_fake("torchvision::qnms", lambda dets, scores, iou: dets)


def test_it_is_found_by_this_process_and_those_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "apart")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not (Path(p) / "torchvision").is_dir()])  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", "other")
    find_torchvision(tmp_path / "nothing")
    assert os.environ["PYTHONPATH"] == "other"
    find_torchvision(folder)
    find_torchvision(folder)
    assert os.environ["PYTHONPATH"] == f"other{os.pathsep}{folder}"
    assert sys.path.count(str(folder)) == 1
