"""Multimodal checkpoints (Llama 4, Gemma 3) read as text on a CPU: vLLM imports their image processor all the same.

That needs torchvision, whose wheels hold operators for CUDA builds of torch only. Beside CPU torch they don't load, and
then torchvision can't be imported, because it names two of them unguarded. So one is kept apart, in a folder that only
such a checkpoint's run looks into, with both operators declared in it:

    pip install --no-deps --target FOLDER torchvision==0.28.0
    python -m evalharness.engines.vllm.text_only FOLDER

`scripts/install` does both. torch 2.13 goes with torchvision 0.28.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

FOLDER = Path(sys.prefix) / "torchvision-without-operators"

_MARK = "# Declared by evalharness:"
_OPERATORS = f"""

{_MARK} the module _meta_registrations names both, also where the library that has them can't be loaded.
if not _has_ops():
    for _name in ("nms", "qnms"):
        torch.library.define(
            "torchvision::" + _name, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
"""


def declare_operators(folder: Path) -> None:
    """Make the torchvision in a folder importable where its operators can't be loaded; again does nothing.

    Raises:
        OSError: there is no torchvision in it.
    """
    path = folder / "torchvision" / "extension.py"
    text = path.read_text()
    if _MARK not in text:
        path.write_text(text + _OPERATORS)


def find_torchvision(folder: Path = FOLDER) -> None:
    """Let this process and those that it starts find the torchvision that is kept apart, unless there is another."""
    if importlib.util.find_spec("torchvision") or not (folder / "torchvision").is_dir():
        return
    sys.path.append(str(folder))
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{known}{os.pathsep}{folder}" if known else str(folder)
    # transformers has asked before, and remembers that there was none.
    from transformers.utils import import_utils

    import_utils.is_torchvision_available.cache_clear()


if __name__ == "__main__":
    declare_operators(Path(sys.argv[1]))
