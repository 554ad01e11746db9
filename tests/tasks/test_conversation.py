import asyncio
from typing import Any

import pytest

from evalharness.config.schema import (
    ModelConfig,
    SamplingConfig,
)
from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
    Request,
    Response,
)
from evalharness.tasks.conversation import (
    TurnError,
    together,
)
from scripted_model import ScriptedModel, dialogue


def say(text: str) -> Any:
    return lambda prompt, request: text


def asked(
    byte_tokenizer: Any, *, sampling: SamplingConfig | None = None, **turn: Any
) -> GenerateRequest:
    model = ScriptedModel(byte_tokenizer, say("4"))
    doc_id, first_draw = turn.pop("doc_id", 0), turn.pop("first_draw", 0)
    talk = dialogue(model, byte_tokenizer, sampling=sampling, doc_id=doc_id, first_draw=first_draw)
    asyncio.run(talk.generate(**turn))
    return model.requests[0]


def test_the_first_turn_is_the_request_that_the_task_makes_by_itself(byte_tokenizer: Any) -> None:
    from lm_eval.api.instance import Instance

    from evalharness.tasks.lm_adapter import EngineLM

    for sampling in (None, SamplingConfig(temperature=0.5)):
        instance = Instance(
            request_type="generate_until",
            doc={},
            arguments=("Q: 2+2?\nA:", {"until": ["\n"], "max_gen_toks": 64}),
            idx=0,
            metadata=("task", 0, 1),
        )
        lm = EngineLM(byte_tokenizer, 4096, sampling=sampling)
        (single,) = lm.plan([instance], run_seed=1234).requests
        assert asked(byte_tokenizer, sampling=sampling) == single


def test_draws_have_a_temperature_and_differ_in_their_seeds(byte_tokenizer: Any) -> None:
    draws = [asked(byte_tokenizer, draw=i) for i in range(3)]
    assert all(draw.sampling.temperature == 0.7 for draw in draws)
    assert len({draw.sampling.seed for draw in draws}) == 3


def test_the_runs_temperature_wins_over_that_of_draws(byte_tokenizer: Any) -> None:
    draw = asked(byte_tokenizer, draw=0, sampling=SamplingConfig(temperature=1.1))
    assert draw.sampling.temperature == 1.1


def test_a_docs_draw_is_the_same_in_every_arm(byte_tokenizer: Any) -> None:
    one = asked(byte_tokenizer, draw=3, arm="vote", step=3)
    other = asked(byte_tokenizer, draw=0, first_draw=3, arm="sample", step=0)
    assert one == other


def test_follow_ups_of_different_arms_draw_differently(byte_tokenizer: Any) -> None:
    hot = SamplingConfig(temperature=1.0)
    one = asked(byte_tokenizer, prompt="x", arm="a", sampling=hot)
    other = asked(byte_tokenizer, prompt="x", arm="b", sampling=hot)
    assert one.sampling.seed != other.sampling.seed


def test_docs_draw_differently(byte_tokenizer: Any) -> None:
    one, other = (asked(byte_tokenizer, draw=0, doc_id=i) for i in range(2))
    assert one.sampling.seed != other.sampling.seed


def test_p_yes_is_the_share_of_the_first_of_two_answers(byte_tokenizer: Any) -> None:
    talk = dialogue(ScriptedModel(byte_tokenizer, say(""), p_yes=lambda _: 0.8), byte_tokenizer)
    turn = asyncio.run(talk.choose("Right?", (" Yes", " No")))
    assert turn.p_yes == pytest.approx(0.8)


def test_a_question_behind_an_opened_thinking_closes_it_first(byte_tokenizer: Any) -> None:
    seen = []

    def p_yes(prompt: str) -> float:
        seen.append(prompt)
        return 0.5

    thinker = ModelConfig(name="t", think_start="<think>", think_end="</think>")
    model = ScriptedModel(byte_tokenizer, say(""), p_yes=p_yes)
    talk = dialogue(model, byte_tokenizer, config=thinker)
    asyncio.run(talk.choose("Right?<think>\n", ("Yes", "No")))
    assert seen[0].rstrip().endswith("</think>")


def test_an_answer_cut_behind_its_thinking_stays_as_far_as_it_came(byte_tokenizer: Any) -> None:
    thinker = ModelConfig(name="t", think_start="<think>", think_end="</think>")
    model = ScriptedModel(byte_tokenizer, say("<think>hm</think>" + "4" * 100))
    turn = asyncio.run(dialogue(model, byte_tokenizer, config=thinker).generate())
    assert turn.text
    assert not turn.text.strip("4")
    assert turn.generation is not None
    assert (turn.generation.thinking, turn.generation.finish_reason) == ("hm", "length")


def test_stop_strings_do_not_end_the_thinking_but_the_answer(byte_tokenizer: Any) -> None:
    thinker = ModelConfig(name="t", think_start="<think>", think_end="</think>")
    model = ScriptedModel(byte_tokenizer, say("<think>a\nb</think>4\nQ:"))
    turn = asyncio.run(dialogue(model, byte_tokenizer, config=thinker).generate())
    assert turn.text == "4"
    assert turn.generation is not None
    assert turn.generation.thinking == "a\nb"


def test_a_failed_request_ends_the_conversation(byte_tokenizer: Any) -> None:
    async def fail(request: Request | Failure) -> Response:
        return Failure(kind="request", message="no")

    with pytest.raises(TurnError, match="request: no"):
        asyncio.run(dialogue(fail, byte_tokenizer).generate())


def test_when_one_turn_fails_the_others_beside_it_end() -> None:
    ended = []

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        asyncio.run(_both(waits, fails))
    assert ended


async def _both(waits: Any, fails: Any) -> None:
    await together(waits(), fails())


@pytest.mark.parametrize("asks", ["generate", "choose"])
def test_a_follow_ups_message_is_recorded_by_itself(byte_tokenizer: Any, asks: str) -> None:
    talk = dialogue(ScriptedModel(byte_tokenizer, say("4"), p_yes=lambda _: 0.8), byte_tokenizer)
    more = ((" Yes", " No"),) if asks == "choose" else ()
    sure, right = (talk.follow_up(talk.prompt, "4", said) for said in ("Sure?", "Right?"))
    ask = getattr(talk, asks)
    for prompt in (sure, right, "Q: another", sure):
        asyncio.run(ask(prompt, *more))
    asyncio.run(ask(sure, *more, message="as the task calls it"))
    messages = ["Sure?", "Right?", "", "Sure?", "as the task calls it"]
    assert [turn.message for turn in talk.turns] == messages


def test_the_tasks_own_prompt_is_no_message(byte_tokenizer: Any) -> None:
    talk = dialogue(ScriptedModel(byte_tokenizer, say("4")), byte_tokenizer)
    talk.follow_up(talk.prompt, "4", "Sure?")
    asyncio.run(talk.generate())
    assert [turn.message for turn in talk.turns] == [""]
