"""An adapter merged into its base: values in closed form, a checkpoint of its own, made once and whole.

PEFT's unmerged models gave the same logits as these merged ones to 5e-6 when this was written (peft 0.21.2, 24 kinds
of adapters over a base with and without tied embeddings); PEFT itself isn't needed here.
"""

import json
import math
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tiny_checkpoints as tiny
from evalharness.checkpoint import check_architecture, inspect, merge, merged
from evalharness.errors import CheckpointError, WriteError

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

Q = "model.layers.1.self_attn.q_proj"
K = "model.layers.1.self_attn.k_proj"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evalharness" / "merged"


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Two tiny checkpoints, with tied embeddings and without."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bases")
    yield {
        "untied": tiny.make_tiny_llama(folder / "untied", attention_bias=True),
        "tied": tiny.make_tiny_llama(folder / "tied", tie_word_embeddings=True),
    }
    logging.enable_progress_bar()


def random(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def lora(module: str, size_in: int, size_out: int, rank: int = 4) -> dict[str, Any]:
    at = f"base_model.model.{module}"
    return {
        f"{at}.lora_A.weight": random(rank, size_in),
        f"{at}.lora_B.weight": random(size_out, rank),
    }


def make_adapter(folder: Path, tensors: dict[str, Any], **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.save_file(tensors, folder / "adapter_model.safetensors")
    targets = sorted(
        {n.split(".lora_")[0].removeprefix("base_model.model.") for n in tensors if ".lora_" in n}
    )
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": targets}
    (folder / "adapter_config.json").write_text(json.dumps(settings | config))
    return folder


def weights(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= safetensors.load_file(path)
    return found


def product(tensors: dict[str, Any], module: str) -> Any:
    at = f"base_model.model.{module}"
    return tensors[f"{at}.lora_B.weight"] @ tensors[f"{at}.lora_A.weight"]


def close(one: Any, other: Any) -> bool:
    return bool(torch.allclose(one, other, atol=1e-5, rtol=0))


def changed(base: Path, out: Path) -> set[str]:
    before, after = weights(base), weights(out)
    return {n for n in after if n not in before or not torch.equal(before[n], after[n])}


@pytest.mark.parametrize(
    ("config", "scaling"),
    [
        ({}, 2.0),
        ({"use_rslora": True}, 4.0),
        ({"alpha_pattern": {"q_proj": 3}}, 0.75),
        ({"r": 2, "rank_pattern": {"q_proj": 4}}, 2.0),
    ],
)
def test_lora_adds_its_scaled_product_to_its_module_alone(
    bases: dict[str, Path], tmp_path: Path, config: dict[str, Any], scaling: float
) -> None:
    tensors, base = lora(Q, 64, 64), bases["untied"]
    out = merge(base, make_adapter(tmp_path / "a", tensors, **config), tmp_path / "out")
    assert changed(base, out) == {f"{Q}.weight"}
    wanted = weights(base)[f"{Q}.weight"] + scaling * product(tensors, Q)
    assert close(weights(out)[f"{Q}.weight"], wanted)


def test_dora_gives_each_row_its_learnt_length(bases: dict[str, Path], tmp_path: Path) -> None:
    magnitude = random(64).abs() + 1
    at = f"base_model.model.{Q}.lora_magnitude_vector"
    tensors, base = lora(Q, 64, 64) | {at: magnitude}, bases["untied"]
    adapter = make_adapter(tmp_path / "a", tensors, use_dora=True)
    row = weights(merge(base, adapter, tmp_path / "out"))[f"{Q}.weight"][7]
    direction = (weights(base)[f"{Q}.weight"] + 2 * product(tensors, Q))[7]
    length = math.sqrt(sum(float(value) ** 2 for value in direction))
    assert close(row, direction * float(magnitude[7]) / length)


def test_a_bias_of_the_product_is_scaled_too(bases: dict[str, Path], tmp_path: Path) -> None:
    tensors = lora(Q, 64, 64) | {f"base_model.model.{Q}.lora_B.bias": random(64)}
    base = bases["untied"]
    adapter = make_adapter(tmp_path / "a", tensors, lora_bias=True)
    out = weights(merge(base, adapter, tmp_path / "out"))
    wanted = weights(base)[f"{Q}.bias"] + 2 * tensors[f"base_model.model.{Q}.lora_B.bias"]
    assert close(out[f"{Q}.bias"], wanted)


def test_a_trained_bias_takes_the_place_of_the_bases(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    tensors = lora(Q, 64, 64) | {f"base_model.model.{K}.bias": random(32)}
    adapter = make_adapter(tmp_path / "a", tensors, bias="all")
    out = merge(bases["untied"], adapter, tmp_path / "out")
    assert torch.equal(weights(out)[f"{K}.bias"], tensors[f"base_model.model.{K}.bias"])


def embedding_lora() -> dict[str, Any]:
    at = "base_model.model.model.embed_tokens"
    return {f"{at}.lora_embedding_A": random(4, 320), f"{at}.lora_embedding_B": random(64, 4)}


@pytest.mark.parametrize("kind", ["untied", "tied"])
def test_an_adapter_of_the_input_embedding_leaves_the_output_as_it_was(
    bases: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    tensors, base = embedding_lora(), bases[kind]
    out = weights(merge(base, make_adapter(tmp_path / "a", tensors), tmp_path / "out"))
    b, a = (tensors[f"base_model.model.model.embed_tokens.lora_embedding_{p}"] for p in "BA")
    before = weights(base)
    assert close(out[EMBEDDING], before[EMBEDDING] + 2 * (b @ a).T)
    assert torch.equal(out[HEAD], before[HEAD if kind == "untied" else EMBEDDING])


def test_dora_of_an_embedding_scales_its_columns(bases: dict[str, Path], tmp_path: Path) -> None:
    magnitude = random(64).abs() + 1
    at = "base_model.model.model.embed_tokens"
    tensors = embedding_lora() | {f"{at}.lora_magnitude_vector": magnitude}
    adapter = make_adapter(tmp_path / "a", tensors, use_dora=True)
    out = weights(merge(bases["untied"], adapter, tmp_path / "out"))
    assert close(out[EMBEDDING].norm(dim=0), magnitude)


def test_an_adapter_of_a_tied_output_embedding_leaves_the_input_as_it_was(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    tensors, base = lora("lm_head", 64, 320), bases["tied"]
    out = merge(base, make_adapter(tmp_path / "a", tensors), tmp_path / "out")
    before = weights(base)[EMBEDDING]
    assert torch.equal(weights(out)[EMBEDDING], before)
    assert close(weights(out)[HEAD], before + 2 * product(tensors, "lm_head"))


@pytest.mark.parametrize("saved", ["lm_head", "embed_tokens"])
def test_a_saved_embedding_takes_the_place_of_one_of_two_tied_ones(
    bases: dict[str, Path], tmp_path: Path, saved: str
) -> None:
    name = HEAD if saved == "lm_head" else EMBEDDING
    tensors = lora(Q, 64, 64) | {f"base_model.model.{name}": random(320, 64)}
    adapter = make_adapter(tmp_path / "a", tensors, modules_to_save=[saved])
    out = merge(bases["tied"], adapter, tmp_path / "out")
    other = EMBEDDING if saved == "lm_head" else HEAD
    assert torch.equal(weights(out)[name], tensors[f"base_model.model.{name}"])
    assert torch.equal(weights(out)[other], weights(bases["tied"])[EMBEDDING])
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    assert check_architecture(out).remarks == ()


def test_a_base_that_was_saved_again_with_its_embedding_stays_tied(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    at = "base_model.model.model.embed_tokens.base_layer.weight"
    tensors = lora(Q, 64, 64) | {at: random(320, 64)}
    out = merge(bases["tied"], make_adapter(tmp_path / "a", tensors), tmp_path / "out")
    assert torch.equal(weights(out)[EMBEDDING], tensors[at])
    assert HEAD not in weights(out)


def test_embeddings_that_were_trained_tied_are_refused(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    tensors = lora(Q, 64, 64) | {f"base_model.model.{EMBEDDING}": random(320, 64)}
    adapter = make_adapter(
        tmp_path / "a", tensors, modules_to_save=["embed_tokens"], ensure_weight_tying=True
    )
    with pytest.raises(CheckpointError, match=r"ensure_weight_tying.*merge it with peft"):
        merge(bases["tied"], adapter, tmp_path / "out")


def test_single_experts_are_merged(tmp_path: Path) -> None:
    base = tiny.make_tiny_mixtral(tmp_path / "base")
    module = "model.layers.1.block_sparse_moe.experts.2.w1"
    tensors = lora(module, 64, 96)
    out = merge(base, make_adapter(tmp_path / "a", tensors), tmp_path / "out")
    assert changed(base, out) == {f"{module}.weight"}
    assert check_architecture(out).checked == "MixtralForCausalLM"


def test_weights_that_lie_the_other_way_round_get_the_transpose(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=64, n_layer=2, n_head=2, vocab_size=320, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    module = "transformer.h.1.mlp.c_fc"
    tensors = lora(module, 64, 256)
    out = merge(tmp_path / "base", make_adapter(tmp_path / "a", tensors), tmp_path / "out")
    wanted = weights(tmp_path / "base")[f"{module}.weight"] + 2 * product(tensors, module).T
    assert close(weights(out)[f"{module}.weight"], wanted)


def in_shards(base: Path, out: Path) -> Path:
    shutil.copytree(base, out)
    (out / "model.safetensors").unlink()
    names = sorted(weights(base))
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"part-{number}.safetensors"
        safetensors.save_file({n: weights(base)[n] for n in part}, out / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (out / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return out


def test_shards_give_the_same_weights_as_one_file(bases: dict[str, Path], tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "a", lora("lm_head", 64, 320) | lora(Q, 64, 64))
    one = merge(bases["tied"], adapter, tmp_path / "one")
    two = merge(in_shards(bases["tied"], tmp_path / "base"), adapter, tmp_path / "two")
    assert len(list(two.glob("*.safetensors"))) == 2
    assert weights(one).keys() == weights(two).keys()
    assert all(torch.equal(value, weights(two)[name]) for name, value in weights(one).items())
    assert check_architecture(two).checked


def in_bfloat16(base: Path, out: Path) -> Path:
    shutil.copytree(base, out)
    halves = {n: v.to(torch.bfloat16) for n, v in weights(base).items()}
    safetensors.save_file(halves, out / "model.safetensors", {"format": "pt"})
    return out


@pytest.mark.parametrize(("dtype", "stored"), [(None, "bfloat16"), ("float32", "float32")])
def test_only_what_changes_gets_another_dtype(
    bases: dict[str, Path], tmp_path: Path, dtype: str | None, stored: str
) -> None:
    base = in_bfloat16(bases["untied"], tmp_path / "base")
    adapter = make_adapter(tmp_path / "a", lora(Q, 64, 64))
    out = weights(merge(base, adapter, tmp_path / "out", dtype=dtype))
    assert out[f"{Q}.weight"].dtype == getattr(torch, stored)
    assert out[f"{K}.weight"].dtype == torch.bfloat16


def test_the_merged_checkpoint_has_its_own_fingerprint_and_the_bases_tokenizer(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    out = merge(bases["untied"], make_adapter(tmp_path / "a", lora(Q, 64, 64)), tmp_path / "out")
    before, after = inspect(bases["untied"]), inspect(out)
    assert after.weights_fingerprint != before.weights_fingerprint
    assert (after.tokenizer_hash, after.chat_template_hash, after.config_hash) == (
        before.tokenizer_hash,
        before.chat_template_hash,
        before.config_hash,
    )


def test_quantized_weights_are_refused_with_the_way_out(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(bases["untied"], base)
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8"}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        CheckpointError, match=r"quantized.*model.path to the base without quantization"
    ):
        merge(base, make_adapter(tmp_path / "a", lora(Q, 64, 64)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_that_is_there_is_written_over(bases: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    adapter = make_adapter(tmp_path / "a", lora(Q, 64, 64))
    with pytest.raises(CheckpointError, match="exists"):
        merge(bases["untied"], adapter, tmp_path / "out")


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: small)
    with pytest.raises(CheckpointError, match="merging it needs"):
        merge(bases["untied"], make_adapter(tmp_path / "a", lora(Q, 64, 64)), tmp_path / "out")


def test_what_can_not_be_written_leaves_nothing(bases: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    adapter = make_adapter(tmp_path / "a", lora(Q, 64, 64))
    with pytest.raises((WriteError, CheckpointError)):
        merge(bases["untied"], adapter, tmp_path / "file" / "out")


def test_the_cache_makes_each_checkpoint_once(
    bases: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    adapter = make_adapter(tmp_path / "a", lora(Q, 64, 64))
    folder = merged(bases["untied"], adapter)
    written = (folder / "model.safetensors").stat().st_ino
    assert merged(bases["untied"], adapter) == folder
    assert (folder / "model.safetensors").stat().st_ino == written
    assert folder.parent == cache


@pytest.mark.parametrize("change", ["adapter", "config", "dtype", "base"])
def test_other_parts_make_another_cached_checkpoint(
    bases: dict[str, Path], tmp_path: Path, change: str
) -> None:
    tensors, base = lora(Q, 64, 64), bases["untied"]
    first = merged(base, make_adapter(tmp_path / "a", tensors))
    match change:
        case "adapter":
            other = make_adapter(tmp_path / "b", {n: v + 1 for n, v in tensors.items()})
            assert merged(base, other) != first
        case "config":
            assert merged(base, make_adapter(tmp_path / "b", tensors, lora_alpha=9)) != first
        case "dtype":
            assert merged(base, tmp_path / "a", dtype="float32") != first
        case _:
            assert merged(in_bfloat16(base, tmp_path / "half"), tmp_path / "a") != first


def test_a_cached_checkpoint_that_was_damaged_is_made_again(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "a", lora(Q, 64, 64))
    folder = merged(bases["untied"], adapter)
    whole = {name: value.clone() for name, value in weights(folder).items()}
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-100:] = bytes(100)
    (folder / "model.safetensors").write_bytes(content)
    assert merged(bases["untied"], adapter) == folder
    assert all(torch.equal(value, whole[name]) for name, value in weights(folder).items())


def test_several_that_want_the_same_get_the_same(
    bases: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    adapter = make_adapter(tmp_path / "a", lora(Q, 64, 64))
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: merged(bases["untied"], adapter), range(4)))
    assert len(folders) == 1
    assert {path.name for path in cache.iterdir()} == {
        folders.pop().name,
        next(path.name for path in cache.glob("*.lock")),
    }


def test_names_of_the_model_are_found_in_files_that_have_others(tmp_path: Path) -> None:
    base = tiny.make_tiny_mixtral(tmp_path / "base")
    module, own = "model.layers.1.mlp.gate", "model.layers.1.block_sparse_moe.gate.weight"
    adapter = make_adapter(
        tmp_path / "a", lora(module, 64, 4), target_modules=r".*layers\.1\.mlp\.gate"
    )
    assert changed(base, merge(base, adapter, tmp_path / "out")) == {own}
