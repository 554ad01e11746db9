"""One model under its many names: 40 groups checked by hand, the rules, and what stays apart."""

import csv
from collections import Counter
from dataclasses import replace

import pytest

from evalharness.trend.scores.identity import (
    FILE,
    effort,
    groups,
    identify,
    identity_of,
    key_of,
    known_models,
)
from evalharness.trend.scores.records import ReportedScore
from evalharness.trend.scores.seed_scores import seed_readings

SCORE = ReportedScore(origin="imported", collection="x", model="m", benchmark="MMLU", score=50.0)
API_ALIASES = {"deepseek-chat", "deepseek-reasoner", "gpt-4-turbo"}
"""Names that a provider has moved from one model to another; they are no model's spelling."""

CHECKED = {
    "gpt-oss-120b": ["gpt-oss-120b_high", "chutes/gpt-oss-120b", "openai/gpt-oss-120b_high", "GPT-OSS-120B"],
    "Kimi K2 Thinking": ["moonshotai/Kimi-K2-Thinking", "kimi-k2-thinking-turbo", "kimi-k2-thinking"],
    "Kimi K2 (Jul 2025)": ["Kimi-K2-Instruct", "moonshotai/Kimi-K2-Instruct"],
    "Kimi K2.5": ["fireworks/kimi-k2p5", "kimi-k2.5"],
    "Kimi K3": ["kimi-k3_max", "kimi-k3_unknown"],
    "Qwen3-235B-A22B": ["chutes/Qwen3-235B-A22B", "qwen3-235b-a22b", "Qwen/Qwen3-235B-A22B-FP8"],
    "Qwen3-235B-A22B-Thinking-2507": ["Qwen/Qwen3-235B-A22B-Thinking-2507", "chutes/Qwen3-235B-A22B-Thinking-2507"],
    "Qwen3-235B-A22B-Instruct-2507": ["parasail-qwen3-235b-a22b-instruct-2507", "Qwen3-235B-A22B-Instruct-2507"],
    "Llama 4 Maverick": ["Llama-4-Maverick-17B-128E-Instruct-FP8", "meta-llama/Llama-4-Maverick-17B-128E-Instruct"],
    "Llama 4 Scout": ["chutes/Llama-4-Scout-17B-16E Instruct", "Llama-4-Scout-17B-16E-Instruct"],
    "Llama 3.1 8B": ["meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B-Instruct"],
    "Llama 3.1 405B": ["meta-llama/Meta-Llama-3.1-405B-FP8", "Llama-3.1-405B-Instruct"],
    "Llama 3 70B": ["Meta-Llama-3-70B-Instruct", "meta-llama/Meta-Llama-3-70B", "Llama 3 70B Instruct"],
    "Llama 2 70B": ["meta-llama/Llama-2-70b-hf", "Llama-2-70b-chat-hf", "Llama 2-70B"],
    "Llama 2 7B": ["Llama-2-7b", "meta-llama/Llama-2-7b-hf", "Llama 2-7B"],
    "LLaMA 33B": ["LLaMA-33B", "huggyllama/llama-30b", "Llama 1 33B"],
    "Llama 3.3 70B": ["Llama-3.3-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"],
    "DeepSeek-R1-0528": ["chutes/DeepSeek-R1-0528", "DeepSeek-R1 (May 2025)", "deepseek-ai/DeepSeek-R1-0528"],
    "DeepSeek-R1": ["deepseek-ai/DeepSeek-R1", "deepseek-r1"],
    "DeepSeek-V3": ["DeepSeek-V3-Base", "deepseek-ai/DeepSeek-V3"],
    "DeepSeek-V3-0324": ["chutes/DeepSeek-V3-0324", "DeepSeek-V3 (Mar 2025)"],
    "DeepSeek-V3.2": ["deepseek/deepseek-v3.2", "fireworks/deepseek-v3p2"],
    "DeepSeek-V3.2-Exp": ["DeepSeek-V3.2-Exp_thinking", "DeepSeek-V3.2-Exp_high"],
    "GLM-4.7": ["zai-org/GLM-4.7", "glm-4.7", "zai-org/glm-4.7"],
    "GLM-4.6": ["zai-org/GLM-4.6", "glm-4.6"],
    "GPT-5": ["gpt-5-2025-08-07_high", "gpt-5-2025-08-07_medium", "gpt-5_minimal", "gpt-5-high"],
    "GPT-5 mini": ["gpt-5-mini-2025-08-07_medium", "openai/gpt-5-mini"],
    "o3": ["o3-2025-04-16_high", "o3-high", "openai/o3"],
    "o4-mini": ["o4-mini-2025-04-16_low", "o4-mini-high"],
    "o1": ["o1-2024-12-17_medium", "o1_high"],
    "Claude 3.7 Sonnet": ["claude-3-7-sonnet-20250219_64K", "claude-3-7-sonnet", "anthropic/claude-3.7-sonnet"],
    "Claude 3.5 Sonnet": ["claude-3-5-sonnet-20240620", "Claude 3.5 Sonnet"],
    "Claude 3.5 Sonnet (Oct 2024)": ["claude-3-5-sonnet-20241022", "Claude 3.5 Sonnet (October 2024)"],
    "Claude Opus 4.5": ["claude-opus-4-5-20251101_32K", "claude-opus-4-5", "anthropic/claude-opus-4.5"],
    "Gemini 2.5 Pro (Jun 2025)": ["gemini-2.5-pro-preview-06-05_32K", "gemini-2.5-pro_16K", "google/gemini-2.5-pro"],
    "Gemini 2.5 Flash (May 2025)": ["gemini-2.5-flash-preview-05-20_23K", "gemini-2.5-flash-preview-05-20"],
    "Gemma 3 27B": ["chutes/Gemma-3-27b-It", "google/gemma-3-27b-it"],
    "Mistral NeMo": ["mistralai/Mistral-Nemo-Base-2407", "open-mistral-nemo-2407"],
    "Phi-1.5": ["microsoft/phi-1_5", "phi-1.5"],
    "Qwen2.5 72B": ["Qwen2.5-72B", "qwen2.5-72b-instruct", "Qwen/Qwen2.5-72B-Instruct-AWQ"],
    "Mixtral 8x7B": ["mistralai/Mixtral-8x7B-v0.1", "Mixtral-8x7B-Instruct-v0.1"],
    "Grok 3 mini": ["grok-3-mini-beta_high", "grok-3-mini_low"],
}  # fmt: skip


@pytest.mark.parametrize("model", CHECKED)
def test_a_group_checked_by_hand_is_one_model(model: str) -> None:
    assert {identify(name).model for name in [model, *CHECKED[model]]} == {model}


def test_there_are_forty_groups() -> None:
    assert len(CHECKED) >= 40


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cerebras-GPT-1.3B", "Cerebras-GPT-13B"), ("opt-1.3b", "opt-13b"), ("GPT-4o (May 2024)", "GPT-4o (Nov 2024)"),
        ("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022"), ("DeepSeek-R1", "DeepSeek-R1-Distill-Llama-8B"),
        ("Qwen3-235B-A22B", "Qwen3-235B-A22B-Thinking-2507"), ("Kimi-K2-Instruct", "Kimi-K2-Instruct-0905"),
        ("Llama 2 7B", "Llama 2 7B Chat"), ("GPT-5.1", "gpt-5.1-codex-max"), ("Yi-34B", "01-ai/Yi-34B-200K"),
        ("DeepSeek-V3", "DeepSeek-V3.1"), ("gpt-5", "gpt-5-chat"), ("Mistral Large", "mistral-medium-2505"),
    ],
)  # fmt: skip
def test_two_models_stay_two(one: str, other: str) -> None:
    assert identify(one).model != identify(other).model


def test_no_spelling_belongs_to_two_models() -> None:
    keys = Counter(
        key
        for known in known_models().values()
        for key in {key_of(name) for name in (known.model, *known.spellings)}
    )
    assert [key for key, count in keys.items() if count > 1] == []


def test_no_model_of_the_seed_has_two_names() -> None:
    seed = seed_readings()[0].scores
    assert {score.model for score in seed} == set(known_models())
    for score in seed:
        assert identify(score.model).model == score.model
        version = score.notes.rpartition("/")[2]
        if version not in API_ALIASES:
            assert identify(score.notes).model == score.model, score.notes


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-4-turbo", "GPT-3.5 Turbo"])
def test_a_name_of_several_versions_is_none_of_them(name: str) -> None:
    found = identify(name)
    assert (found.model, found.is_known) == (name, False)
    assert found.doubt.startswith("any of ")


def test_a_date_is_taken_off_only_where_there_is_one_version() -> None:
    assert identify("Claude Opus 4.6-20260205") == ("Claude Opus 4.6", "", ("date",), True, "")
    assert not identify("gpt-4o-2024-02-30").is_known


def test_what_may_be_another_model_says_so() -> None:
    assert identify("Llama 2 13B Chat").doubt == "Llama 2 13B with more words"
    assert identify("DeepSeek-V3.1").doubt == ""
    assert "base and instruct" in identify("Llama 3 8B").doubt


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("gpt-5-2025-08-07_high", "high"), ("claude-3-7-sonnet-20250219_16k", "16K"), ("gpt-5.5_unknown", ""),
        ("gemini-2.5-flash-preview-04-17 (24K thinking)", "24K"), ("o3-low", "low"), ("GPT-5", ""),
        ("somebody_xhigh", "xhigh"), ("chutes/gpt-oss-120b_high", "high"),
    ],
)  # fmt: skip
def test_a_setting_is_read_and_kept(name: str, setting: str) -> None:
    assert identify(name).setting == setting


def test_settings_have_an_order() -> None:
    ordered = ["", "none", "minimal", "low", "thinking", "medium", "2K", "16K", "128K", "high", "xhigh", "max"]  # fmt: skip
    ranks = [effort(setting) for setting in ordered]
    assert ranks == sorted(set(ranks))


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("a-team/ckpt-7b", "b-team/ckpt-7b", False), ("a-team/ckpt-7b", "ckpt-7b", False),
        ("chutes/New-7B", "together/new-7b", True), ("accounts/fireworks/models/New-7B", "New-7B_high", True),
        ("/data/a/step", "/data/b/step", False), ("<b>x</b>", "<i>x</b>", False),
    ],
)  # fmt: skip
def test_an_unknown_models_owner_is_part_of_its_name_and_its_host_isnt(
    one: str, other: str, is_one: bool
) -> None:
    assert (key_of(identify(one).model) == key_of(identify(other).model)) is is_one


def test_a_hyphen_is_no_setting_in_an_unknown_name() -> None:
    assert identify("acme-medium").model == "acme-medium"


def test_a_users_model_joins_by_what_its_entry_says() -> None:
    own = replace(SCORE, origin="measured", model="ours")
    assert identity_of(replace(own, reported_as="Llama-3.1-8B-Instruct")).model == "Llama 3.1 8B"
    assert identity_of(replace(own, source_repo="meta-llama/Llama-3.1-8B-Instruct")).is_known
    assert not identity_of(replace(SCORE, source_repo="meta-llama/Llama-3.1-8B-Instruct")).is_known


def test_groups_name_every_spelling_with_its_rules() -> None:
    names = ["gpt-oss-120b", "chutes/gpt-oss-120b_high", "Foo-7B", "foo 7b", "gpt-4o"]
    found = {g.model: g for g in groups([replace(SCORE, model=name) for name in names])}
    assert list(found) == ["Foo-7B", "gpt-4o", "gpt-oss-120b"]
    assert found["gpt-oss-120b"].spellings["chutes/gpt-oss-120b_high"] == ("provider", "setting")
    assert (found["Foo-7B"].num_scores, found["gpt-oss-120b"].settings) == (2, ("high",))
    assert found["gpt-4o"].doubts


def test_every_fact_of_the_table_has_a_source() -> None:
    with FILE.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 222
    for row in rows:
        assert row["family"]
        assert row["date_source"]
        assert row["open_weight"] in ("yes", "no", "unknown")
        assert (row["open_basis"] == "unknown") == (row["open_weight"] == "unknown")
        assert (row["params_source"] == "unknown") == (row["total_params_b"] == "")
        assert float(row["active_params_b"] or 0) <= float(row["total_params_b"] or 0)
