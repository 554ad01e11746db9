"""A lineage that really learns: a tiny Llama is trained on sums of two numbers, and saved along the way.

    scripts/train_lineage [--minutes 6] [--models models]

Writes models/adder/<step>/ (checkpoints), models/adder/configs/model/*.yaml (an entry each, the one before as its
parent) and models/adder/configs/suite/sums.yaml. The pairs of tasks/number_sums are never trained on.
"""

import argparse
import importlib.util
import math
import random
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = Path(__file__).parents[1]
BATCH = 256
LEARNING_RATE = 2e-3
SAVES = 6
IGNORED = -100
SPECIAL = ("<|pad|>", "<|begin|>", "<|end|>")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A token per byte, so that digits stand by themselves."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        model_max_length=128,
    )


def make_model(vocab_size: int) -> LlamaForCausalLM:
    """0.8 M parameters; heads of 32, the least that vLLM takes on a CPU."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def make_table(tokenizer: PreTrainedTokenizerFast) -> tuple[torch.Tensor, torch.Tensor]:
    """All sums that may be trained on as (rows, length) token ids and labels; only answers are learnt."""
    held_out = set(_task().held_out())
    rows = []
    for a in range(100):
        for b in range(100):
            if (a, b) not in held_out:
                question = tokenizer(f"{a}+{b}=", add_special_tokens=False)["input_ids"]
                rows.append(
                    (question, tokenizer(f"{a + b}\n", add_special_tokens=False)["input_ids"])
                )
    length = max(len(q) + len(r) for q, r in rows)
    ids, labels = (torch.full((len(rows), length), fill) for fill in (0, IGNORED))
    for place, (question, reply) in enumerate(rows):
        end = len(question) + len(reply)
        ids[place, :end] = torch.tensor(question + reply)
        labels[place, len(question) : end] = torch.tensor(reply)
    return ids, labels


def train(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor, minutes: float) -> Any:
    """Train for so long; yields (step, loss) at the times of saving, geometrically spaced."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    started, end = time.monotonic(), 60 * minutes
    saves = [end * 2.0 ** (i + 1 - SAVES) for i in range(SAVES)]
    yield 0, math.nan
    step = 0
    while saves:
        passed = time.monotonic() - started
        share = min(passed / end, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 100) * (0.05 + 0.95 * (1 - share))
        chosen = torch.randint(len(ids), (BATCH,))
        loss = model(input_ids=ids[chosen], labels=labels[chosen]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if passed >= saves[0]:
            saves.pop(0)
            yield step, loss.item()


def write_entry(folder: Path, name: str, path: Path, step: int, parent: str | None) -> None:
    """The model entry of one checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(
        f"name: {name}\npath: {path}\nfamily: adder\nvariant: base\n"
        f"parent: {parent or 'null'}\nlicense: Apache-2.0\nnotes: {step} training steps\n"
    )


def _task() -> Any:
    spec = importlib.util.spec_from_file_location("sums", ROOT / "tasks/number_sums/utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--models", type=Path, default=Path("models"))
    given = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    ids, labels = make_table(tokenizer)
    home = given.models / "adder"
    suite = home / "configs" / "suite" / "sums.yaml"
    suite.parent.mkdir(parents=True, exist_ok=True)
    suite.write_text(
        'name: sums\nversion: "1"\ntasks:\n  number_sums: {num_fewshot: 0, metric: exact_match}\n'
    )
    parent = None
    for step, loss in train(model, ids, labels, given.minutes):
        name = f"adder-{step:05d}"
        model.save_pretrained(home / name)
        tokenizer.save_pretrained(home / name)
        write_entry(home / "configs" / "model", name, home / name, step, parent)
        print(f"{home / name}: {step} steps, loss {loss:.3f}", flush=True)
        parent = name


if __name__ == "__main__":
    main()
