"""Tiny random checkpoints: valid for transformers and vLLM (head_dim 32), meaningless in what they say.

Each `make_tiny_*` writes config, safetensors and a byte-level tokenizer with a chat template into `path` and returns
it. `write_safetensors` needs neither torch nor transformers.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

VOCAB_SIZE = 320
_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 1024,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_ITEM_BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "I32": 4, "I64": 8, "U8": 1, "I8": 1}


class TinyTensor(NamedTuple):
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]


def write_safetensors(path: Path, tensors: Mapping[str, TinyTensor], *, fill: int = 1) -> Path:
    """A valid safetensors file with every byte of every tensor set to `fill`."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        offsets = [offset, offset + tensor.num_bytes]
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets}
        offset += tensor.num_bytes
    encoded = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + bytes([fill]) * offset)
    return path


def make_tiny_tokenizer(path: Path) -> Path:
    """All bytes as tokens, three special tokens, a chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=special[1],
        eos_token=special[2],
        pad_token=special[0],
        model_max_length=_COMMON["max_position_embeddings"],
    )
    fast.chat_template = _TEMPLATE
    fast.save_pretrained(path)
    return path


def make_tiny_llama(path: Path, **config: Any) -> Path:
    """Dense LlamaForCausalLM; `config` overrides, e.g. tie_word_embeddings=True."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return _save(
        LlamaForCausalLM(LlamaConfig(**(_COMMON | {"intermediate_size": 96} | config))), path
    )


def make_tiny_mixtral(path: Path) -> Path:
    """MixtralForCausalLM, 4 experts, 2 per token."""
    from transformers import MixtralConfig, MixtralForCausalLM

    experts = {"intermediate_size": 96, "num_local_experts": 4, "num_experts_per_tok": 2}
    return _save(MixtralForCausalLM(MixtralConfig(**_COMMON, **experts)), path)


def make_tiny_qwen3_moe(path: Path) -> Path:
    """Qwen3MoeForCausalLM, 4 experts, 2 per token."""
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    experts = {"moe_intermediate_size": 48, "num_experts": 4, "num_experts_per_tok": 2}
    return _save(
        Qwen3MoeForCausalLM(Qwen3MoeConfig(**_COMMON, intermediate_size=96, **experts)), path
    )


def make_tiny_llama4(path: Path) -> Path:
    """Llama4ForCausalLM (text only): 4 experts, 1 per token, one shared, in every second layer."""
    from transformers import Llama4ForCausalLM

    return _save(Llama4ForCausalLM(_llama4_text()), path)


def make_tiny_llama4_vision(path: Path) -> Path:
    """Llama4ForConditionalGeneration: the same with a one-layer vision tower (no image processor)."""
    from transformers import Llama4Config, Llama4ForConditionalGeneration, Llama4VisionConfig

    vision = Llama4VisionConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        vision_output_dim=32,
        image_size=28,
        patch_size=14,
        projector_input_dim=32,
        projector_output_dim=32,
    )
    config = Llama4Config(vision_config=vision, text_config=_llama4_text())
    return _save(Llama4ForConditionalGeneration(config), path)


def _llama4_text() -> Any:
    from transformers import Llama4TextConfig

    return Llama4TextConfig(
        **_COMMON,
        intermediate_size=48,
        intermediate_size_mlp=96,
        num_local_experts=4,
        num_experts_per_tok=1,
        interleave_moe_layer_step=2,
        attention_chunk_size=256,
    )


def _save(model: Any, path: Path) -> Path:
    model.save_pretrained(path)
    return make_tiny_tokenizer(path)


def make_chains(
    path: Path,
    chains: Mapping[str, Sequence[str]],
    *,
    special: Sequence[str] = (),
    generation_config: Mapping[str, Any] | None = None,
) -> Path:
    """A model whose next token follows from the one before alone, so that every word of what it says is known.

    Args:
        path: where it goes.
        chains: the last token of a prompt -> the tokens that follow, one after the other. A token that is in two
            chains continues as in the last of them; one that comes twice in a chain repeats for ever.
        special: those that are special tokens. The tokenizer's own are <|endoftext|> (padding), <|im_start|> (BOS) and
            <|im_end|> (EOS).
        generation_config: the checkpoint's generation_config.json, where it has one.
    """
    import torch
    from tokenizers import AddedToken
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(make_tiny_tokenizer(path))
    words = dict.fromkeys(token for start, said in chains.items() for token in (start, *said))
    new = [token for token in words if token not in tokenizer.get_vocab()]
    tokenizer.add_tokens([AddedToken(t, special=t in special, normalized=False) for t in new])
    tokenizer.save_pretrained(path)
    size, hidden = len(tokenizer), 384
    shape = {"vocab_size": size, "hidden_size": hidden, "num_hidden_layers": 1, "head_dim": 64}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 6, "intermediate_size": 32}
    model = LlamaForCausalLM(LlamaConfig(**(_COMMON | shape | heads)))
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
        model.model.norm.weight.fill_(1.0)
        model.model.embed_tokens.weight[:, :size] = torch.eye(size)
        for start, said in chains.items():
            ids = tokenizer.convert_tokens_to_ids([start, *said])
            for now, then in itertools.pairwise(ids):
                model.lm_head.weight[:, now] = 0
                model.lm_head.weight[then, now] = 20 / math.sqrt(hidden)
    model.save_pretrained(path)
    if generation_config is not None:
        (path / "generation_config.json").write_text(json.dumps(generation_config))
    return path
