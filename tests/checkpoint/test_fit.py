"""Memory arithmetic against hand calculations."""

from dataclasses import replace

import pytest

from evalharness.checkpoint import check_fit, measure, memory_needed
from evalharness.checkpoint.fit import GIB
from evalharness.errors import CheckpointError

LLAMA_70B = replace(
    measure(
        {
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": 8192,
            "num_hidden_layers": 80,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
        },
        [],
    ),
    params_total=70_553_706_496,
    params_embedding=2 * 128256 * 8192,
)
GPU = 80 * GIB


def test_weights_are_two_bytes_each_and_shared_by_devices() -> None:
    alone = memory_needed(LLAMA_70B, max_model_len=1)
    shared = memory_needed(LLAMA_70B, max_model_len=1, tensor_parallel_size=4)
    assert alone.weights == 2 * 70_553_706_496
    assert shared.weights == alone.weights / 4


def test_kv_cache_is_two_vectors_per_layer_head_and_token() -> None:
    assert memory_needed(LLAMA_70B, max_model_len=1000).kv_cache == 1000 * 80 * 2 * 8 * 128 * 2


def test_kv_heads_are_copied_beyond_their_number() -> None:
    eight = memory_needed(LLAMA_70B, max_model_len=1000, tensor_parallel_size=8)
    sixteen = memory_needed(LLAMA_70B, max_model_len=1000, tensor_parallel_size=16)
    assert eight.kv_cache == sixteen.kv_cache


def test_float32_doubles_weights_and_cache() -> None:
    half = memory_needed(LLAMA_70B, max_model_len=1000)
    full = memory_needed(LLAMA_70B, max_model_len=1000, dtype="float32")
    assert (full.weights, full.kv_cache) == (2 * half.weights, 2 * half.kv_cache)


def test_windowed_layers_stop_growing() -> None:
    windowed = replace(
        LLAMA_70B, num_full_attention_layers=20, num_windowed_layers=60, attention_window=100
    )
    per_token_layer = 2 * 8 * 128 * 2
    needed = memory_needed(windowed, max_model_len=1000)
    assert needed.kv_cache == (20 * 1000 + 60 * 100) * per_token_layer


def test_packed_weights_count_by_their_bits() -> None:
    packed = replace(LLAMA_70B, quantization="gptq", quantization_bits=4)
    kept = packed.params_embedding
    expected = 2 * kept + 0.5 * (70_553_706_496 - kept)
    assert memory_needed(packed, max_model_len=1).weights == expected


def test_70b_fits_on_four_gpus_of_80_gib_at_full_context() -> None:
    assert check_fit(LLAMA_70B, memory_bytes_per_device=GPU, tensor_parallel_size=4).is_ok


def test_too_large_says_the_arithmetic_and_what_fits() -> None:
    fit = check_fit(LLAMA_70B, memory_bytes_per_device=GPU, max_model_len=131072)
    assert not fit.is_ok
    assert fit.problem is not None
    assert "weights 131.4 GiB + KV cache of one sequence of 131072 tokens 40.0 GiB" in fit.problem
    assert "72.0 GiB there (0.9 of 80.0 GiB)" in fit.problem
    assert "engine.tensor_parallel_size=4" in fit.problem or "=2 with" in fit.problem
    with pytest.raises(CheckpointError, match="what fits"):
        fit.require()


@pytest.mark.parametrize("max_model_len", [4096, 131072])
def test_every_way_out_really_fits(max_model_len: int) -> None:
    fit = check_fit(LLAMA_70B, memory_bytes_per_device=GPU, max_model_len=max_model_len)
    assert fit.problem is not None
    ways = fit.problem.split("what fits: ")[1].rstrip(".").split(", or ")
    for way in ways:
        changes: dict[str, object] = {"max_model_len": max_model_len}
        for setting in way.split(" with "):
            key, value = setting.removeprefix("engine.").split("=")
            changes[key] = value if key == "quantization" else int(value)
        assert check_fit(LLAMA_70B, memory_bytes_per_device=GPU, **changes).is_ok, way  # type: ignore[arg-type]


def test_open_context_shrinks_to_what_memory_allows() -> None:
    fit = check_fit(LLAMA_70B, memory_bytes_per_device=GPU, tensor_parallel_size=2)
    assert fit.is_ok
    assert 0 < fit.max_model_len < 131072
    longer = check_fit(
        LLAMA_70B,
        memory_bytes_per_device=GPU,
        tensor_parallel_size=2,
        max_model_len=fit.max_model_len + 1,
    )
    assert not longer.is_ok


def test_tensor_parallel_size_must_divide_the_heads() -> None:
    fit = check_fit(LLAMA_70B, memory_bytes_per_device=GPU, tensor_parallel_size=3)
    assert fit.problem is not None
    assert "possible: 1, 2, 4, 8, 16" in fit.problem


def test_nothing_fits_into_a_tiny_gpu_and_it_says_so() -> None:
    fit = check_fit(LLAMA_70B, memory_bytes_per_device=GIB)
    assert fit.problem is not None
    assert "nothing tried fits" in fit.problem
