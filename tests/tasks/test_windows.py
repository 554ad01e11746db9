"""Log-likelihoods of a real model, ours against lm-eval's own hf backend: greedy or not, long texts, full windows."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from evalharness.config.schema import (
    Device,
    EngineConfig,
    EngineKind,
)
from evalharness.engines import Weights, open_engine
from lm_eval_model import LmEvalModel
from tokenizer_styles import save_llama

LENGTH = 32
TEXT = "The quick brown fox jumps over the lazy dog. " * 6


class Both(NamedTuple):
    """Two ways to the same model."""

    ours: LmEvalModel
    theirs: HFLM


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Both]]:
    loop = asyncio.new_event_loop()
    folder = tmp_path_factory.mktemp("windows")

    def make(style: str, **settings: Any) -> Both:
        path = folder / style
        if not path.exists():
            save_llama(style, path, max_position_embeddings=LENGTH)
        theirs = HFLM(pretrained=str(path), device="cpu", dtype="float32", batch_size=1)
        return Both(_ours(path, theirs.tokenizer, loop, **settings), theirs)

    yield make
    loop.close()


def _ours(path: Path, tokenizer: Any, loop: Any, **settings: Any) -> LmEvalModel:
    config = EngineConfig(kind=EngineKind.hf, device=Device.cpu)
    engine = loop.run_until_complete(open_engine(config, Weights(path=path)))
    room = {"max_model_len": engine.info.max_model_len, "min_room": engine.info.min_room}
    return LmEvalModel(tokenizer, **room, engine=engine, loop=loop, **settings)


def rolling(lm: Any, text: str) -> float:
    (total,) = lm.loglikelihood_rolling([_instance("loglikelihood_rolling", text)])
    return float(total)


def pair(lm: Any, context: str, choice: str) -> tuple[float, bool]:
    ((logprob, is_greedy),) = lm.loglikelihood([_instance("loglikelihood", context, choice)])
    return float(logprob), bool(is_greedy)


def _instance(kind: str, *args: str) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=args, idx=0)  # type: ignore[arg-type]


def test_a_text_of_several_windows_has_lm_evals_total(both: Callable[..., Both]) -> None:
    ours, theirs = both("qwen")
    assert len(ours.tok_encode(TEXT)) > 2 * LENGTH
    assert rolling(ours, TEXT) == pytest.approx(rolling(theirs, TEXT), abs=1e-3)


def test_with_lm_evals_way_its_total_holds_for_a_tokenizer_that_adds_bos_too(
    both: Callable[..., Both],
) -> None:
    ours, theirs = both("gemma", rolling_as_lm_eval=True)
    assert rolling(ours, TEXT) == pytest.approx(rolling(theirs, TEXT), abs=1e-3)


def test_without_it_the_bos_after_the_bos_isnt_scored(both: Callable[..., Both]) -> None:
    ours, theirs = both("gemma")
    text = "The quick brown fox"  # one window
    assert len(theirs.tok_encode(text)) < LENGTH
    bos, *rest = theirs.tok_encode(text)
    ((doubled, _),) = theirs._loglikelihood_tokens([(None, [bos], [bos])], disable_tqdm=True)
    ((right, _),) = theirs._loglikelihood_tokens([(None, [bos], rest)], disable_tqdm=True)
    assert rolling(ours, text) == pytest.approx(right, abs=1e-3)
    assert rolling(theirs, text) != pytest.approx(right, abs=1e-3)
    assert doubled < 0


def test_a_text_without_tokens_scores_nothing(both: Callable[..., Both]) -> None:
    assert rolling(both("gemma").ours, "") == 0.0


def test_every_choice_is_greedy_or_not_as_for_lm_eval(both: Callable[..., Both]) -> None:
    ours, theirs = both("qwen")
    context = "Answer:"
    tokens = [theirs.tokenizer.decode([i]) for i in range(len(theirs.tokenizer))]
    words = [t for t in tokens if t.startswith(" ") and len(t) > 1 and t.isascii()]
    found = [pair(ours, context, word) for word in words]
    assert found == [
        (pytest.approx(logprob, abs=1e-3), greedy)
        for logprob, greedy in (pair(theirs, context, word) for word in words)
    ]
    best = _greedy(theirs, context)
    assert pair(ours, context, best) == (pair(theirs, context, best)[0], True)
    assert not all(greedy for _, greedy in found)


def _greedy(theirs: HFLM, context: str) -> str:
    """The continuation that the model itself would give."""
    import torch

    ids = torch.tensor([theirs.tok_encode(context)])
    with torch.inference_mode():
        return str(theirs.tokenizer.decode([int(theirs.model(ids).logits[0, -1].argmax())]))


@pytest.mark.parametrize("num_over", [0, 1])
def test_what_fills_the_window_exactly_is_scored_as_by_lm_eval(
    both: Callable[..., Both], num_over: int
) -> None:
    """The model reads all but the last token: context and choice may be one longer than the window."""
    ours, theirs = both("qwen")
    choice = " dog"
    room = LENGTH + num_over - len(theirs.tok_encode(choice))
    context = theirs.tokenizer.decode(theirs.tok_encode(TEXT)[:room])
    assert len(theirs.tok_encode(context)) == room
    logprob, _ = pair(ours, context, choice)
    assert logprob == pytest.approx(pair(theirs, context, choice)[0], abs=1e-3)
