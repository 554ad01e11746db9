"""Small tokenizers in the styles of known models, trained on a few lines: what they add to a text, and what merges.

`llama2`, `llama3`, `qwen`, `gemma` and `smollm2` behave as theirs do; `appends_eos`, `merges_words` and
`merges_words_llama2` are the odd ones that people train themselves.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

CORPUS = [
    "Question: What is the capital of France?\nAnswer: Paris",
    "The answer is 5.\n\nQuestion: How many apples?\nAnswer: 12",
    "A. one\nB. two\nC. three\nD. four\nAnswer: A",
    *["Answer: B", "Answer: C", "Answer: C", "Answer: C", "Answer: C\n\n", "Answer: D"],
    "The quick brown fox jumps over the lazy dog",
    "true or false? true",
    "naïve café über straße 日本語 テスト 🙂",
    "x = y + 12345.67; $5,000.00",
] * 20

CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)
DATED = "{{ 'Today: ' + strftime_now('%Y-%m-%d') + '\n' }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
"""Writes the day, as gpt-oss's and Llama 3.1's do."""
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim"
    " + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% for m in messages %}{% set c = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n'"
    "+ m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set c = bos_token + c %}{% endif %}"
    "{{ c }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def byte_level(
    eos: str,
    *,
    bos: str | None = None,
    others: Sequence[str] = (),
    adds: str | None = None,
    chat: str | None = None,
    merges_words: bool = False,
) -> Any:
    """GPT-2's kind: bytes, merged inside words.

    Args:
        eos: its text.
        bos: its text.
        others: further special tokens.
        adds: what is put around every text, `$A`.
        chat: the template.
        merges_words: tokens may span words, as nothing splits a text before.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=not merges_words
    )
    backend.decoder = decoders.ByteLevel()
    special = [*([bos] if bos else []), eos, *others]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=460, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    if adds:
        added = [(text, backend.token_to_id(text)) for text in special if text in adds]
        backend.post_processor = processors.TemplateProcessing(single=adds, special_tokens=added)
    names = {"bos_token": bos} if bos else {}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=eos, **names)
    tokenizer.chat_template = chat
    return tokenizer


def _llama2(*, merges_words: bool = False) -> Any:
    """SentencePiece's kind: a space before every text, bytes for what is unknown."""
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    spaces = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if merges_words:
        backend.normalizer = spaces
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=[*special, *(f"<0x{i:02X}>" for i in range(256))],
        limit_alphabet=80,
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.normalizer, backend.pre_tokenizer = spaces, None
    content = json.loads(backend.to_str())
    content["added_tokens"] = [a for a in content["added_tokens"] if a["content"] in special]
    backend = Tokenizer.from_str(json.dumps(content))
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = LLAMA2
    return tokenizer


_TURNS = ["<|im_start|>", "<|im_end|>"]
_MAKE: dict[str, Callable[[], Any]] = {
    "smollm2": lambda: byte_level("<|im_end|>", bos="<|im_start|>", chat=CHATML),
    "llama2": _llama2,
    "llama3": lambda: byte_level(
        "<|end_of_text|>",
        bos="<|begin_of_text|>",
        others=["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        adds="<|begin_of_text|> $A",
        chat=LLAMA3,
    ),
    "qwen": lambda: byte_level("<|endoftext|>", others=_TURNS, chat=CHATML),
    "gemma": lambda: byte_level(
        "<eos>",
        bos="<bos>",
        others=["<start_of_turn>", "<end_of_turn>"],
        adds="<bos> $A",
        chat=GEMMA,
    ),
    "appends_eos": lambda: byte_level("</s>", bos="<s>", adds="<s> $A </s>"),
    "merges_words": lambda: byte_level(
        "<|endoftext|>", others=_TURNS, chat=CHATML, merges_words=True
    ),
    "merges_words_llama2": lambda: _llama2(merges_words=True),
}
KNOWN = ("smollm2", "llama2", "llama3", "qwen", "gemma")
"""Styles of models that many people have."""
ALL = tuple(_MAKE)


@cache
def tokenizer(style: str) -> Any:
    """The tokenizer of that style."""
    return _MAKE[style]()


def save_llama(style: str, path: Any, *, max_position_embeddings: int = 512) -> Any:
    """A random two-layer Llama behind the tokenizer, always the same one."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    its = tokenizer(style)
    its.save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(its),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=max_position_embeddings,
        bos_token_id=its.bos_token_id,
        eos_token_id=its.eos_token_id,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    return path
