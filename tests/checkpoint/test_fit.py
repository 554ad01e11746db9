"""Memory arithmetic against hand calculations."""

from dataclasses import replace

import pytest

from evalharness.checkpoint import check_fit, measure, memory_needed
from evalharness.checkpoint.fit import GIB, Headroom, Placement, is_safe, kv_cache_bytes
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


def test_layers_without_a_cache_cost_nothing() -> None:
    hybrid = replace(LLAMA_70B, num_full_attention_layers=6)
    assert memory_needed(hybrid, max_model_len=1000).kv_cache == 6 * 1000 * 2 * 8 * 128 * 2


def test_layers_that_see_everything_may_have_heads_of_their_own() -> None:
    mixed = replace(
        LLAMA_70B, num_full_attention_layers=20, num_windowed_layers=60, attention_window=100,
        num_global_kv_heads=2, global_head_dim=512,
    )  # fmt: skip
    needed = memory_needed(mixed, max_model_len=1000, tensor_parallel_size=4)
    assert needed.kv_cache == 2 * 2 * (20 * 1000 * 1 * 512 + 60 * 100 * 2 * 128)


@pytest.mark.parametrize(
    ("full", "windowed", "kept"),
    [(10, 52, (10, 60)), (12, 36, (12, 36)), (13, 12, (13, 13)), (21, 21, (21, 21)), (6, 0, (6, 0))],
)  # fmt: skip
def test_vllm_allots_groups_of_one_size_and_keeps_what_is_in_flight(
    full: int, windowed: int, kept: tuple[int, int]
) -> None:
    """Of two steps of 1,000 tokens; vLLM 0.32's own classes give the same for each layer."""
    hybrid = replace(
        LLAMA_70B, num_full_attention_layers=full, num_windowed_layers=windowed,
        attention_window=100 if windowed else None,
    )  # fmt: skip
    found = kv_cache_bytes(hybrid, Placement(max_model_len=9000), Headroom(batched_tokens=1000))
    assert found == (kept[0] * 9000 + kept[1] * 2100) * 2 * 8 * 128 * 2


def test_what_is_safe_leaves_room_for_graphs_sampler_and_communication() -> None:
    """8 of 80 layers: weights 131.4 GiB / 2 + 1 token + 1 + 2 (batch) + 1.5 (sampler) + 1 + .5 GiB."""
    one = Placement(max_model_len=1, tensor_parallel_size=2)
    large = Headroom(batched_tokens=16384, num_seqs=1024)
    needed = 65.71 + 1 + 2 + 1.47 + 1 + 0.5
    scale = replace(LLAMA_70B, vocab_size=128256)
    assert is_safe(scale, one, available_bytes=(needed + 0.05) * GIB, headroom=large)
    assert not is_safe(scale, one, available_bytes=(needed - 0.05) * GIB, headroom=large)
    eager = large._replace(has_graphs=False)
    assert is_safe(scale, one, available_bytes=(needed - 0.95) * GIB, headroom=eager)
    single = replace(one, tensor_parallel_size=1)
    assert is_safe(scale, single, available_bytes=(needed + 65.71 - 0.4) * GIB, headroom=large)


def test_weights_quantized_on_disk_take_what_they_take_there() -> None:
    packed = replace(LLAMA_70B, quantization="gptq", quantization_bits=4, weight_bytes=40 * GIB)
    assert memory_needed(packed, max_model_len=1).weights == 40 * GIB


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
