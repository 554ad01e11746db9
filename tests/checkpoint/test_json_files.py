"""Config files from strangers: whatever is in them, one line says what is wrong, and nothing hangs."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.checkpoint import inspect, inspect_adapter
from evalharness.checkpoint.json_files import read_json, read_text
from evalharness.errors import CheckpointError
from tiny_checkpoints import TinyTensor, write_safetensors

CONFIG: dict[str, Any] = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 320,
    "max_position_embeddings": 1024,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "layer_types": ["full_attention", "sliding_attention"],
    "sliding_window": 128,
    "tie_word_embeddings": False,
    "dtype": "float32",
    "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
    "text_config": {"kv_lora_rank": 16, "qk_rope_head_dim": 8},
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "bits": 4,
        "config_groups": {"group_0": {"weights": {"num_bits": 4}}},
    },
}
TOKENIZER: dict[str, Any] = {
    "model_max_length": 512,
    "eos_token": "</s>",
    "added_tokens_decoder": {"0": {"content": "<s>"}},
    "chat_template": [{"name": "default", "template": "{{ messages }}"}],
}
GENERATION: dict[str, Any] = {"eos_token_id": [1, 2], "temperature": 0.6}
INDEX: dict[str, Any] = {
    "metadata": {"total_size": 128},
    "weight_map": {"model.layers.0.mlp.experts.0.w": "a.safetensors", "b": "b.safetensors"},
}
ADAPTER: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 4,
    "lora_alpha": 8,
    "use_rslora": False,
    "use_dora": False,
    "bias": "none",
    "target_modules": ["q_proj"],
    "exclude_modules": None,
    "modules_to_save": None,
    "rank_pattern": {"q_proj": 4},
    "alpha_pattern": {"q_proj": 8},
    "layers_to_transform": [0],
    "layers_pattern": "layers",
    "init_lora_weights": True,
    "base_model_name_or_path": "base",
}
ODD = [
    None,
    True,
    0,
    -1,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../x",
    "\0",
    "(",
    "a\nb",
    [],
    [[]],
    [None],
    {},
    {"x": None},
    [1, "x"],
    {"weights": 5},
]


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def make_checkpoint(folder: Path) -> Path:
    for name in INDEX["weight_map"]:
        file = INDEX["weight_map"][name]
        write_safetensors(folder / file, {name: TinyTensor("F32", (4, 4))})
    write(folder / "model.safetensors.index.json", INDEX)
    write(folder / "config.json", CONFIG)
    write(folder / "tokenizer_config.json", TOKENIZER)
    write(folder / "generation_config.json", GENERATION)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def make_adapter(folder: Path) -> Path:
    at = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {
        f"{at}.lora_A.weight": TinyTensor("F32", (4, 8)),
        f"{at}.lora_B.weight": TinyTensor("F32", (8, 4)),
    }
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    write(folder / "adapter_config.json", ADAPTER)
    return folder


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of a JSON document are, the whole one first."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [at, *(path for key, part in inner for path in paths(part, (*at, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


FILES = [
    ("config.json", CONFIG),
    ("tokenizer_config.json", TOKENIZER),
    ("generation_config.json", GENERATION),
    ("model.safetensors.index.json", INDEX),
    ("adapter_config.json", ADAPTER),
]


def assert_one_line(folder: Path) -> None:
    """The folder is inspected, or refused in one line."""
    look = inspect_adapter if (folder / "adapter_config.json").exists() else inspect
    said = ""
    try:
        look(folder)
    except CheckpointError as e:
        said = str(e)
    assert "\n" not in said


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_value_in_any_field_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    name, content = data.draw(st.sampled_from(FILES))
    odd = content
    for _ in range(data.draw(st.integers(1, 3))):
        odd = replaced(odd, data.draw(st.sampled_from(paths(odd))), data.draw(st.sampled_from(ODD)))
    with TemporaryDirectory() as at:
        make = make_adapter if name.startswith("adapter") else make_checkpoint
        folder = make(Path(at))
        write(folder / name, odd)
        assert_one_line(folder)


@pytest.mark.parametrize("name", [name for name, _ in FILES])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\\ud800"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": NaN',
        b"null",
    ],
)
def test_what_is_no_json_object_is_refused_with_its_name(
    tmp_path: Path, name: str, content: bytes
) -> None:
    folder = (make_adapter if name.startswith("adapter") else make_checkpoint)(tmp_path)
    (folder / name).write_bytes(content)
    look = inspect_adapter if name.startswith("adapter") else inspect
    with pytest.raises(CheckpointError, match=name) as caught:
        look(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "folder", "circle", "nowhere"])
@pytest.mark.parametrize(
    "name",
    [*(name for name, _ in FILES), "a.safetensors", "tokenizer.json", "chat_template.jinja"],
)
def test_what_is_no_file_is_refused_and_not_waited_for(
    tmp_path: Path, name: str, kind: str
) -> None:
    folder = (make_adapter if name.startswith("adapter") else make_checkpoint)(tmp_path)
    (folder / name).unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(folder / name)
        case "folder":
            (folder / name).mkdir()
        case "circle":
            (folder / name).symlink_to(name)
        case _:
            (folder / name).symlink_to("nowhere")
    look = inspect_adapter if name.startswith("adapter") else inspect
    with pytest.raises(CheckpointError, match=name):
        look(folder)


@pytest.mark.parametrize("name", ["special_tokens_map.json", "vocab.txt", "modeling.py"])
def test_a_pipe_that_only_loaders_would_read_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(make_checkpoint(tmp_path) / name)
    with pytest.raises(CheckpointError, match=f"{name} is a pipe"):
        inspect(tmp_path)


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    write(tmp_path / "real.json", {"a": 1})
    (tmp_path / "config.json").symlink_to("real.json")
    assert read_json(tmp_path / "config.json") == {"a": 1}


def test_64_levels_are_too_deep_and_63_are_not(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a":' * 62 + "1" + "}" * 62)
    assert read_json(path)
    path.write_text('{"a":' * 64 + "1" + "}" * 64)
    with pytest.raises(CheckpointError, match="nests deeper than 64 levels"):
        read_json(path)


def test_lines_of_a_template_end_in_a_line_feed(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"a\r\nb\rc")
    assert read_text(tmp_path / "chat_template.jinja") == "a\nb\nc"
