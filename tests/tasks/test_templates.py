"""What a chat template takes, what it writes, and what of a model entry's settings it never sees."""

from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError

from evalharness.config.schema import ModelConfig
from evalharness.errors import CheckpointError, ConfigError
from evalharness.tasks import templates
from evalharness.tasks.templates import (
    Template,
    check_template,
    choose_template,
    template_remarks,
)
from tokenizer_styles import DATED, byte_level, tokenizer

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}

LLAMA31 = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}"
    "{{ 'Today Date: ' + date_string + '\\n' }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
)
PLAIN = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
THINKING = PLAIN + "{% if enable_thinking is defined and enable_thinking %}<think>{% endif %}"


def with_template(source: Any, **entry: Any) -> Template:
    its = byte_level("<|endoftext|>")
    its.chat_template = source
    return Template(its, ModelConfig(name="m", **entry))


def test_a_system_role_that_the_template_refuses_is_left_out_as_lm_eval_does() -> None:
    template = Template(tokenizer("gemma"), ModelConfig(name="gemma"))
    assert template.render([SYSTEM, USER]) == template.render([USER])
    assert template.num_without_system == 1


def test_a_system_role_that_the_template_takes_stays() -> None:
    template = Template(tokenizer("llama3"), ModelConfig(name="llama3"))
    assert "Be brief." in template.render([SYSTEM, USER])
    assert template.num_without_system == 0


def test_a_system_text_that_the_template_passes_over_is_counted_too() -> None:
    template = Template(tokenizer("llama2"), ModelConfig(name="llama2"))
    assert "Be brief." not in template.render([SYSTEM, USER])
    assert template.num_without_system == 1


def test_what_else_a_template_refuses_isnt_hidden_by_leaving_the_system_text_out() -> None:
    template = Template(tokenizer("gemma"), ModelConfig(name="gemma"))
    with pytest.raises(TemplateError, match="must alternate"):
        template.render([SYSTEM, USER, USER])


def test_an_error_of_a_template_that_takes_a_system_role_is_raised() -> None:
    template = with_template(
        "{% if messages[0]['content'] | length > 20 %}{{ raise_exception('too long') }}{% endif %}"
        + PLAIN
    )
    with pytest.raises(TemplateError, match="too long"):
        template.render([{"role": "system", "content": "x" * 21}, USER])


def test_an_error_without_a_system_text_is_raised() -> None:
    with pytest.raises(TemplateError, match="no way"):
        with_template("{{ raise_exception('no way') }}").render([USER])


def test_content_goes_in_parts_to_a_template_that_takes_nothing_else() -> None:
    template = with_template(
        "{% for m in messages %}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{% endfor %}"
    )
    assert template.wants_parts
    assert template.render([USER]) == "2+2?"


def test_content_is_text_for_a_template_that_takes_both() -> None:
    template = with_template(
        "{% for m in messages %}{% if m['content'] is string %}{{ m['content'] }}{% else %}"
        "{{ m['content'][0]['text'] }}, in parts{% endif %}{% endfor %}"
    )
    assert template.render([USER]) == "2+2?"


def test_an_answer_that_continues_isnt_ended() -> None:
    template = Template(tokenizer("qwen"), ModelConfig(name="qwen"))
    assert template.render([USER, ANSWER], opens_answer=False, continues_last=True).endswith(
        "assistant\n4"
    )


@pytest.mark.parametrize("source", [DATED, LLAMA31])
def test_the_date_that_a_template_writes_is_the_one_that_is_given(source: str) -> None:
    text = with_template(source, template_date="2024-02-29").render([USER])
    assert "2024-02-29" in text or "29 Feb 2024" in text


def test_without_a_date_of_its_own_a_template_writes_the_day_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(templates, "today", lambda: "2025-12-31")
    template = with_template(DATED)
    monkeypatch.setattr(templates, "today", lambda: "2026-01-01")  # midnight passes
    assert template.render([USER]).startswith("Today: 2025-12-31")


@pytest.mark.parametrize(
    ("source", "arguments", "writes_day"),
    [
        (DATED, {}, True),
        (LLAMA31, {}, True),
        (LLAMA31, {"date_string": "26 Jul 2024"}, False),
        (PLAIN, {}, False),
        (
            "{% if messages[0]['role'] == 'system' %}{{ strftime_now('%d') }}{% endif %}" + PLAIN,
            {},
            True,
        ),
        ("{% if tools %}{{ strftime_now('%d') }}{% endif %}" + PLAIN, {}, False),
    ],
)
def test_whether_a_template_writes_the_date_is_known_before(
    source: str, arguments: dict[str, Any], writes_day: bool
) -> None:
    assert with_template(source, chat_template_args=arguments).writes_day is writes_day


def test_an_argument_that_the_template_reads_is_used() -> None:
    template = with_template(THINKING, chat_template_args={"enable_thinking": True})
    assert template.unused_arguments == {}
    assert template.render([USER]).endswith("<think>")


def test_an_argument_that_the_template_never_reads_is_named_with_the_nearest() -> None:
    template = with_template(THINKING, chat_template_args={"enable_thinkin": True, "x": 1})
    assert template.unused_arguments == {"enable_thinkin": "enable_thinking", "x": None}
    (first, second) = template_remarks(template, ModelConfig(name="m"), is_chat=True)
    assert "'enable_thinkin'; did you mean 'enable_thinking'?" in first
    assert "'x'" in second


def test_arguments_of_plain_prompts_have_no_effect_and_that_is_said() -> None:
    model = ModelConfig(name="m", chat_template_args={"enable_thinking": True})
    (remark,) = template_remarks(with_template(THINKING), model, is_chat=False)
    assert "has no effect" in remark


@pytest.mark.parametrize("name", ["tokenize", "chat_template", "strftime_now", "messages"])
def test_an_argument_that_isnt_the_templates_is_refused(name: str) -> None:
    model = ModelConfig(name="m", chat_template_args={name: False})
    with pytest.raises(ConfigError, match=name):
        check_template(with_template(PLAIN), model)


def test_a_template_that_leaves_out_what_the_user_says_is_refused() -> None:
    with pytest.raises(CheckpointError, match="leaves out what the user says"):
        check_template(with_template("{{ messages | length }}"), ModelConfig(name="m"))


@pytest.mark.parametrize("source", ["{{ oops", "{{ 1 / 0 }}", "{{ raise_exception('no') }}"])
def test_a_template_that_fails_on_a_single_message_is_refused_in_one_line(source: str) -> None:
    with pytest.raises(CheckpointError, match=r"model\.chat=false") as refused:
        check_template(with_template(source), ModelConfig(name="m"))
    assert "\n" not in str(refused.value)


def test_one_of_several_templates_is_chosen_by_its_name() -> None:
    its = byte_level("<|endoftext|>")
    its.chat_template = {"default": PLAIN, "rag": THINKING}
    choose_template(its, ModelConfig(name="m", chat_template="rag"))
    assert its.chat_template == THINKING


def test_a_template_that_isnt_there_is_refused_with_those_that_are() -> None:
    its = byte_level("<|endoftext|>")
    its.chat_template = {"default": PLAIN, "rag": THINKING}
    with pytest.raises(CheckpointError, match="default, rag"):
        choose_template(its, ModelConfig(name="m", chat_template="tools"))


def test_a_template_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text(PLAIN)
    its = byte_level("<|endoftext|>")
    choose_template(its, ModelConfig(name="m", chat_template=str(tmp_path / "own.jinja")))
    assert its.chat_template == PLAIN


@pytest.mark.parametrize(
    ("style", "opening", "bos_begins_turns"),
    [
        ("llama3", "<|begin_of_text|>", False),
        ("gemma", "<bos>", False),
        ("llama2", "<s>", True),
        ("smollm2", "<|im_start|>", True),
        ("qwen", "", False),
        ("appends_eos", "", False),
    ],
)
def test_where_a_template_writes_its_bos_is_known(
    style: str, opening: str, bos_begins_turns: bool
) -> None:
    template = Template(tokenizer(style), ModelConfig(name=style))
    assert (template.opening, template.bos_begins_turns) == (opening, bos_begins_turns)


def test_what_a_template_writes_before_its_bos_is_known() -> None:
    its = tokenizer("llama3")
    model = ModelConfig(name="m")
    before, its.chat_template = its.chat_template, "\n# chat\n{{ bos_token }}" + PLAIN
    try:
        assert Template(its, model).opening.endswith("# chat\n<|begin_of_text|>")
    finally:
        its.chat_template = before
