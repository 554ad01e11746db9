"""What changes a fingerprint and what doesn't."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.checkpoint import has_chat_template, inspect, inspect_adapter, with_adapter
from evalharness.checkpoint.identity import BLOCK_BYTES, hash_weights, sampled_ranges
from evalharness.checkpoint.weights import WeightsFile, read_safetensors
from tiny_checkpoints import TinyTensor, write_safetensors

LARGE = {"a": TinyTensor("U8", (3_000_000,)), "b": TinyTensor("F32", (100_000,))}


def make(folder: Path, name: str = "model.safetensors", *, fill: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / name, {"w": TinyTensor("F32", (8, 4))}, fill=fill)
    return folder


def flip(file: WeightsFile, at: int) -> WeightsFile:
    """The same file with one byte changed; its header isn't parsed again, which a flip may have broken."""
    content = bytearray(file.path.read_bytes())
    content[at] ^= 0xFF
    file.path.write_bytes(content)
    return file


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_flip_in_header_or_sample_changes_the_fast_fingerprint(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        file = read_safetensors(write_safetensors(Path(folder) / "m.safetensors", LARGE))
        offset, num_bytes = data.draw(st.sampled_from(sampled_ranges(file)))
        at = offset + data.draw(st.integers(0, num_bytes - 1))
        before = hash_weights((file,))
        assert hash_weights((flip(file, at),)) != before


@settings(max_examples=40, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True))
def test_every_flip_changes_the_full_fingerprint(where: float) -> None:
    with TemporaryDirectory() as folder:
        file = read_safetensors(write_safetensors(Path(folder) / "m.safetensors", LARGE))
        before = hash_weights((file,), full=True)
        assert hash_weights((flip(file, int(where * file.size)),), full=True) != before


def test_samples_cover_both_ends_and_every_tensor(tmp_path: Path) -> None:
    file = read_safetensors(write_safetensors(tmp_path / "m.safetensors", LARGE))
    ranges = sampled_ranges(file)
    assert (0, BLOCK_BYTES) in ranges
    assert (file.size - BLOCK_BYTES, BLOCK_BYTES) in ranges
    for tensor in file.tensors:
        end = tensor.offset + tensor.num_bytes
        assert any(tensor.offset <= start and start + size <= end for start, size in ranges)


def test_fast_and_full_are_distinguished(tmp_path: Path) -> None:
    make(tmp_path)
    assert inspect(tmp_path).weights_fingerprint.startswith("fast:")
    assert inspect(tmp_path, full=True).weights_fingerprint.startswith("full:")


def test_file_name_does_not_count(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two", "weights-00001-of-00001.safetensors")
    assert inspect(one).fingerprint == inspect(two).fingerprint


def test_weights_count(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two", fill=2)
    assert inspect(one).fingerprint != inspect(two).fingerprint


def test_config_counts_but_not_who_wrote_it(tmp_path: Path) -> None:
    before = inspect(make(tmp_path)).fingerprint
    config = {"architectures": ["LlamaForCausalLM"], "transformers_version": "5.0"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert inspect(tmp_path).fingerprint == before
    (tmp_path / "config.json").write_text(json.dumps(config | {"rope_theta": 1e6}))
    assert inspect(tmp_path).fingerprint != before


def test_end_token_counts_but_not_the_published_temperature(tmp_path: Path) -> None:
    make(tmp_path)
    hashes = []
    for settings_ in (
        {"eos_token_id": 2},
        {"eos_token_id": 2, "temperature": 0.6},
        {"eos_token_id": 3},
    ):
        (tmp_path / "generation_config.json").write_text(json.dumps(settings_))
        hashes.append(inspect(tmp_path).fingerprint)
    assert hashes[0] == hashes[1] != hashes[2]


def test_tokenizer_counts_and_may_be_absent(tmp_path: Path) -> None:
    before = inspect(make(tmp_path))
    (tmp_path / "tokenizer.json").write_text('{"model": 1}')
    assert inspect(tmp_path).tokenizer_hash != before.tokenizer_hash
    assert inspect(tmp_path).fingerprint != before.fingerprint
    (tmp_path / "tokenizer.json").unlink()
    assert inspect(tmp_path).tokenizer_hash is None


def test_special_tokens_are_part_of_the_tokenizer(tmp_path: Path) -> None:
    before = inspect(make(tmp_path)).tokenizer_hash
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": True}))
    assert inspect(tmp_path).tokenizer_hash != before


def test_chat_template_is_found_in_all_its_places(tmp_path: Path) -> None:
    assert not has_chat_template(make(tmp_path))
    assert inspect(tmp_path).chat_template_hash is None
    templates = [{"name": "tool_use", "template": "B"}, {"name": "default", "template": "A"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    listed = inspect(tmp_path).chat_template_hash
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "A"}))
    inline = inspect(tmp_path).chat_template_hash
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "chat_template.jinja").write_text("A")
    assert listed == inline == inspect(tmp_path).chat_template_hash is not None


def test_chat_template_does_not_count_for_the_fingerprint(tmp_path: Path) -> None:
    """It shows in the token ids of each request."""
    before = inspect(make(tmp_path)).fingerprint
    (tmp_path / "chat_template.jinja").write_text("A")
    assert inspect(tmp_path).fingerprint == before


def make_adapter(folder: Path, *, fill: int = 1, alpha: int = 16) -> Path:
    config = {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": alpha,
        "base_model_name_or_path": "org/base",
    }
    tensors = {
        "l.lora_A.weight": TinyTensor("F32", (4, 8)),
        "l.lora_B.weight": TinyTensor("F32", (8, 4)),
    }
    write_safetensors(folder / "adapter_model.safetensors", tensors, fill=fill)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_adapter_changes_the_fingerprint_of_its_base(tmp_path: Path) -> None:
    base = inspect(make(tmp_path / "base"))
    adapter = inspect_adapter(make_adapter(tmp_path / "adapter"))
    both = with_adapter(base, adapter)
    assert both.fingerprint not in (base.fingerprint, adapter.fingerprint)
    assert both.weights_fingerprint == base.weights_fingerprint
    assert (both.adapter_base, both.adapter_rank) == ("org/base", 4)
    assert base.params_total is not None
    assert both.params_total == base.params_total + 64


def test_adapter_weights_and_scale_count(tmp_path: Path) -> None:
    adapters = [
        make_adapter(tmp_path / "a"),
        make_adapter(tmp_path / "b", fill=2),
        make_adapter(tmp_path / "c", alpha=32),
    ]
    assert len({inspect_adapter(path).fingerprint for path in adapters}) == 3
