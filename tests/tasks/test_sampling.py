"""Every generation setting arrives in the request, or is refused by its name."""

from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import (
    Config,
    ModelConfig,
    SamplingConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.engines.requests import SamplingParams
from evalharness.errors import TaskError
from evalharness.tasks.sampling import (
    ALIASES,
    SETTINGS,
    SettingError,
    check_settings,
    drawn,
    merge_settings,
    read_settings,
    sampling_params,
    sampling_seed,
    sampling_words,
)
from evalharness.tasks.suite import load_suite


def params(own: SamplingConfig | None = None, **gen_kwargs: Any) -> SamplingParams:
    return sampling_params(gen_kwargs, own or SamplingConfig())


ARRIVES: list[tuple[str, Any, str, Any]] = [
    ("until", ["a", "b"], "stop", ("a", "b")),
    ("until", "a", "stop", ("a",)),
    ("until", ["", "a", ""], "stop", ("a",)),
    ("until", None, "stop", ()),
    ("stop", ["a"], "stop", ("a",)),
    ("max_gen_toks", 7, "max_gen_toks", 7),
    ("max_gen_toks", "7", "max_gen_toks", 7),
    ("max_gen_toks", 7.0, "max_gen_toks", 7),
    ("max_gen_toks", None, "max_gen_toks", 256),
    ("max_new_tokens", 7, "max_gen_toks", 7),
    ("max_tokens", 7, "max_gen_toks", 7),
    ("max_completion_tokens", 7, "max_gen_toks", 7),
    ("min_tokens", 3, "min_tokens", 3),
    ("min_new_tokens", "3", "min_tokens", 3),
    ("temperature", 0.7, "temperature", 0.7),
    ("temperature", "0.7", "temperature", 0.7),
    ("temperature", None, "temperature", 0.0),
    ("top_p", 0.9, "top_p", 0.9),
    ("top_p", "0.9", "top_p", 0.9),
    ("top_k", 20, "top_k", 20),
    ("top_k", -1, "top_k", 0),
    ("min_p", 0.1, "min_p", 0.1),
    ("repetition_penalty", 1.1, "repetition_penalty", 1.1),
    ("presence_penalty", 1.5, "presence_penalty", 1.5),
    ("frequency_penalty", -0.5, "frequency_penalty", -0.5),
    ("stop_token_ids", [5, 6], "stop_token_ids", (5, 6)),
    ("stop_token_ids", 5, "stop_token_ids", (5,)),
    ("logit_bias", {"6": 1, 5: -100.0}, "logit_bias", ((5, -100.0), (6, 1.0))),
    ("ignore_eos", "true", "ignore_eos", True),
    ("seed", 3, "seed", 3),
    ("seed", -1, "seed", None),
]


@pytest.mark.parametrize(("key", "value", "field", "expected"), ARRIVES)
def test_a_setting_arrives_in_the_request(key: str, value: Any, field: str, expected: Any) -> None:
    assert getattr(params(**{key: value}), field) == expected


def test_no_setting_is_without_such_a_test() -> None:
    assert {key for key, *_ in ARRIVES} | {"do_sample", "skip_special_tokens"} == {
        *SETTINGS,
        *ALIASES,
    }


@pytest.mark.parametrize(
    ("gen_kwargs", "temperature"),
    [
        ({}, 0.0),
        ({"do_sample": True}, 1.0),
        ({"do_sample": True, "temperature": None}, 1.0),
        ({"do_sample": "true", "temperature": 0.7}, 0.7),
        ({"do_sample": None, "temperature": 0.7}, 0.7),
        ({"do_sample": False, "temperature": 0.7}, 0.0),
        ({"do_sample": "False", "temperature": "0.7"}, 0.0),
        ({"do_sample": True, "temperature": 0.0}, 0.0),
    ],
)
def test_when_an_answer_is_drawn(gen_kwargs: dict[str, Any], temperature: float) -> None:
    assert params(**gen_kwargs).temperature == temperature


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.6),
        ("temperature", 0.0),
        ("top_p", 0.8),
        ("top_k", 9),
        ("min_p", 0.2),
        ("repetition_penalty", 1.2),
        ("max_gen_toks", 5),
    ],
)
def test_the_runs_setting_counts_before_the_tasks(field: str, value: Any) -> None:
    of_task = {
        "temperature": 0.9,
        "top_p": 0.7,
        "top_k": 7,
        "min_p": 0.7,
        "repetition_penalty": 1.7,
        "max_gen_toks": 77,
    }
    assert getattr(params(**of_task), field) == of_task[field]
    assert getattr(params(SamplingConfig(**{field: value}), **of_task), field) == value


def test_a_top_k_of_minus_1_in_the_run_keeps_all_tokens() -> None:
    assert params(SamplingConfig(top_k=-1), top_k=7).top_k == 0


@pytest.mark.parametrize(
    ("gen_kwargs", "says"),
    [
        (
            {"top_pp": 0.3},
            r"generation_kwargs\.top_pp: there is no such setting; did you mean 'top_p'",
        ),
        ({"presence_penality": 1}, "did you mean 'presence_penalty'"),
        ({"max_gen_tokens": 1}, "did you mean 'max_gen_toks'"),
        ({"bad_words": ["x"]}, "no engine here does that"),
        ({"num_beams": 10}, r"num_beams: got 10; no engine here"),
        ({"num_beams": True}, "no engine here"),
        ({"no_repeat_ngram_size": 3}, "no engine here"),
        ({"suppress_tokens": [5]}, "no engine here"),
        ({"temperature": "hot"}, r"temperature: got 'hot'; expected a number from 0 to 2"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": [0.7]}, "temperature"),
        ({"top_p": 0}, "above 0, at most 1"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"top_k": 2.5}, "top_k"),
        ({"top_k": 10**400}, "top_k"),
        ({"top_k": float("inf")}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"max_gen_toks": 0}, "1 or more"),
        ({"max_gen_toks": "many"}, "max_gen_toks"),
        ({"max_gen_toks": True}, "max_gen_toks"),
        ({"max_gen_toks": 8, "max_new_tokens": 9}, "another of its names says 8"),
        ({"min_tokens": 9, "max_gen_toks": 8}, "max_gen_toks is 8"),
        ({"min_tokens": 257}, "max_gen_toks is 256"),
        ({"do_sample": "maybe"}, "true or false"),
        ({"do_sample": 1}, "true or false"),
        ({"until": [5]}, "a text or a list of texts"),
        ({"until": {"a": "b"}}, "a text or a list of texts"),
        ({"until": [None]}, "until"),
        ({"until": 5}, "until"),
        ({"stop_token_ids": ["x"]}, "a list of token ids"),
        ({"stop_token_ids": [-1]}, "a list of token ids"),
        ({"logit_bias": [5]}, "logit_bias"),
        ({"logit_bias": {5: 101}}, "logit_bias"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"skip_special_tokens": "some"}, "true or false"),
        ({"seed": "x"}, "seed"),
        ([5], "expected names with values"),
        ("greedy", "expected names with values"),
    ],
)
def test_what_cannot_be_applied_is_refused_in_one_line(gen_kwargs: Any, says: str) -> None:
    with pytest.raises(TaskError, match=says) as refused:
        check_settings("gen5", "gen5", gen_kwargs, {})
    assert str(refused.value).startswith("task 'gen5': generation_kwargs")
    assert "\n" not in str(refused.value)


def test_what_is_remembered_of_settings_is_never_another_value() -> None:
    for once in range(2):  # the second time from memory
        assert read_settings({"until": ["a", "a"], "do_sample": True}) == {
            "until": ("a",),
            "do_sample": True,
        }
        assert type(read_settings({"min_tokens": 1})["min_tokens"]) is int
        assert type(read_settings({"temperature": 1.0})["temperature"]) is float
        for wrong in ({"do_sample": 1}, {"min_tokens": True}, {"until": [1]}, {"until": ["a", 1]}):
            with pytest.raises(SettingError):
                read_settings(wrong)
        read_settings({"until": ["a", "a"], "do_sample": True})["until"] = once
    assert read_settings({"logit_bias": {"5": 1}}) == {"logit_bias": ((5, 1.0),)}
    assert read_settings({"logit_bias": {"5": 2}}) == {"logit_bias": ((5, 2.0),)}


def test_what_changes_nothing_is_taken() -> None:
    neutral = {"num_beams": 1, "no_repeat_ngram_size": 0, "early_stopping": True, "n": 1}
    assert params(**neutral, suppress_tokens=[], use_cache=False, bad_words=None) == params()


def test_equal_values_under_two_names_are_one() -> None:
    assert params(max_gen_toks=8, max_new_tokens="8").max_gen_toks == 8


def test_the_suites_settings_count_before_the_tasks_whatever_their_names() -> None:
    own = {"max_gen_toks": 8, "until": ["a"], "temperature": 0.5}
    merged = check_settings("t", "t", own, {"max_new_tokens": 9, "stop": "b", "top_p": 0.5})
    assert merged == {"max_new_tokens": 9, "stop": "b", "temperature": 0.5, "top_p": 0.5}


def test_null_in_the_suite_leaves_a_tasks_setting_out() -> None:
    merged = check_settings("t", "t", {"num_beams": 10, "temperature": 0.5}, {"num_beams": None})
    assert params(**merged).temperature == 0.5
    assert params(**merge_settings({"temperature": 0.5}, {"temperature": None})).temperature == 0


def test_a_misspelt_null_in_the_suite_is_refused() -> None:
    with pytest.raises(TaskError, match=r"suite\.tasks\.g\.gen_kwargs\.temprature.*'temperature'"):
        check_settings("t", "g", {"temperature": 0.5}, {"temprature": None})


@pytest.mark.parametrize(
    ("own", "of_suite", "temperature"),
    [
        ({"do_sample": False, "temperature": 0.0}, {"temperature": 0.7}, 0.7),
        ({"do_sample": False, "temperature": 0.0}, {"temperature": "0.7"}, 0.7),
        ({"do_sample": False, "temperature": 0.0}, {"do_sample": True}, 1.0),
        ({"do_sample": False, "temperature": 0.0}, {"do_sample": True, "temperature": 0.7}, 0.7),
        ({"do_sample": False, "temperature": 0.7}, {"do_sample": None}, 0.7),
        ({"do_sample": True, "temperature": 0.7}, {"do_sample": False}, 0.0),
        ({"do_sample": True, "temperature": 0.7}, {"temperature": 0.0}, 0.0),
        ({"do_sample": False}, {"top_p": 0.5}, 0.0),
    ],
)
def test_what_the_suite_says_of_drawing_is_done(
    own: dict[str, Any], of_suite: dict[str, Any], temperature: float
) -> None:
    assert params(**check_settings("t", "t", own, of_suite)).temperature == temperature


def test_an_answer_may_have_to_be_as_long_as_it_may_be() -> None:
    settings = {"min_tokens": 8, "max_gen_toks": 8}
    assert check_settings("t", "g", settings, {}) == settings
    with pytest.raises(TaskError, match="min_tokens: got 9; max_gen_toks is 8"):
        check_settings("t", "g", settings, {"min_tokens": 9})


def test_a_run_with_less_room_than_min_tokens_asks_for_no_more_than_there_is() -> None:
    sampling = params(SamplingConfig(max_gen_toks=4), min_tokens=9, max_gen_toks=10)
    assert (sampling.min_tokens, sampling.max_gen_toks) == (4, 4)


def test_a_greedy_answer_has_no_seed_and_a_drawn_one_its_own() -> None:
    assert drawn(SamplingParams(seed=3), "task", 0).seed is None
    seeds = {drawn(SamplingParams(temperature=1.0, seed=s), "task", 0).seed for s in (None, 1, 2)}
    assert len(seeds) == 3


def test_a_seed_is_the_same_in_every_version() -> None:
    assert sampling_seed(0, 1234, "task", 5, 0) == 605129846
    assert sampling_seed(0) == 1223360973


def test_seeds_of_ten_thousand_docs_are_hardly_ever_the_same() -> None:
    seeds = [sampling_seed(0, 1234, "task", doc_id, 0) for doc_id in range(10_000)]
    assert len(set(seeds)) >= 9_995
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30


TASK = """
task: {name}
custom_dataset: !function evalharness.tasks.local_rows.load
test_split: test
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
output_type: generate_until
generation_kwargs: {kwargs}
metric_list: [{{metric: exact_match}}]
metadata: {{version: 1.0}}
"""


def load(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kwargs: str, **of_suite: Any
) -> dict[str, Any]:
    """The settings that a task's YAML and the suite come to."""
    name = f"settings_{abs(hash(folder))}"
    (folder / "tasks" / name / "data").mkdir(parents=True)
    (folder / "tasks" / name / f"{name}.yaml").write_text(TASK.format(name=name, kwargs=kwargs))
    (folder / "tasks" / name / "data" / "test.jsonl").write_text('{"q": "1", "a": "1"}\n')
    monkeypatch.chdir(folder)
    suite = SuiteConfig(name="s", tasks={name: TaskConfig(gen_kwargs=of_suite)})
    (loaded,) = load_suite(Config(model=ModelConfig(name="m"), suite=suite)).tasks
    found: dict[str, Any] = loaded.task.config.generation_kwargs
    return found


def test_a_null_temperature_in_a_tasks_file_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load(tmp_path, monkeypatch, "{until: ['x'], temperature: null, do_sample: null}")
    assert params(**found).temperature == 0


def test_a_temperature_in_quotes_in_a_tasks_file_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load(tmp_path, monkeypatch, "{until: ['x'], temperature: '0.7'}")
    assert params(**found).temperature == 0.7


@pytest.mark.parametrize(
    ("kwargs", "of_suite", "says"),
    [
        ("{temperature: hot}", {}, r"generation_kwargs\.temperature: got 'hot'; expected a number"),
        ("greedy", {}, "generation_kwargs: got 'greedy'; expected names"),
        ("{top_pp: 0.3}", {}, r"generation_kwargs\.top_pp.*'top_p'"),
        (
            "{until: []}",
            {"top_pp": 0.3},
            r"suite\.tasks\.settings_\d+\.gen_kwargs\.top_pp.*'top_p'",
        ),
        ("{until: []}", {"max_gen_toks": "many"}, r"gen_kwargs\.max_gen_toks: got 'many'"),
    ],
)
def test_a_suite_with_a_setting_that_cannot_be_applied_is_not_loaded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kwargs: str,
    of_suite: dict[str, Any],
    says: str,
) -> None:
    with pytest.raises(TaskError, match=says):
        load(tmp_path, monkeypatch, kwargs, **of_suite)


def test_settings_for_what_generates_nothing_are_refused() -> None:
    suite = SuiteConfig(name="s", tasks={"arc_easy_sample": TaskConfig(gen_kwargs={"top_p": 0.5})})
    with pytest.raises(
        TaskError, match=r"arc_easy_sample.*generates nothing that top_p could change"
    ):
        load_suite(Config(model=ModelConfig(name="m"), suite=suite))


@pytest.mark.parametrize(
    ("key", "taken", "refused"),
    [
        ("max_gen_toks", [1], [0, -1]),
        ("min_tokens", [0], [-1]),
        ("temperature", [0, 2], [-0.01, 2.01]),
        ("top_p", [0.01, 1], [0, 1.01]),
        ("top_k", [-1, 0, 1], [-2]),
        ("min_p", [0, 1], [-0.01, 1.01]),
        ("repetition_penalty", [0.01, 2, 1000], [0, -1]),
        ("presence_penalty", [-2, 2], [-2.01, 2.01]),
        ("frequency_penalty", [-2, 2], [-2.01, 2.01]),
        ("logit_bias", [{0: -100}, {0: 100}], [{-1: 1}, {0: -100.1}, {0: 100.1}]),
        ("stop_token_ids", [0, [0]], [-1, [-1]]),
        ("seed", [-1, 0], [-2]),
        *((name, [1], [0, 2]) for name in ("num_beams", "num_return_sequences", "n", "best_of")),
        *((name, [1], [2]) for name in ("guidance_scale", "typical_p")),
        *((name, [0], [1]) for name in ("no_repeat_ngram_size", "min_length", "penalty_alpha")),
        *((name, [False], [True]) for name in ("include_stop_str_in_output", "echo", "stream")),
    ],
)
def test_the_last_value_that_is_taken_and_the_first_that_is_refused(
    key: str, taken: list[Any], refused: list[Any]
) -> None:
    for value in taken:
        check_settings("gen5", "gen5", {key: value}, {})
    for value in refused:
        with pytest.raises(TaskError, match=key):
            check_settings("gen5", "gen5", {key: value}, {})


def test_a_setting_of_the_tasks_own_that_no_engine_has_may_be_left_out_by_the_suite() -> None:
    merged = check_settings("t", "g", {"no_such_thing": 1}, {"no_such_thing": None})
    assert merged == {"no_such_thing": None}
    with pytest.raises(TaskError, match="there is no such setting"):
        check_settings("t", "g", {}, {"no_such_thing": None})


@pytest.mark.parametrize(("given", "top_k"), [({}, 0), ({"top_k": -1}, 0), ({"top_k": 1}, 1)])
def test_all_tokens_are_kept_where_nobody_says_how_many(given: dict[str, int], top_k: int) -> None:
    assert sampling_params({"temperature": 1.0} | given, SamplingConfig()).top_k == top_k


@pytest.mark.parametrize(("temperature", "drawn_at"), [(0, 0.0), (0.5, 0.5), (1, 1.0), (2, 2.0)])
def test_a_temperature_above_nothing_draws(temperature: float, drawn_at: float) -> None:
    found = sampling_params({"temperature": temperature}, SamplingConfig())
    assert found.temperature == drawn_at
    assert sampling_params({}, SamplingConfig()).min_tokens == 0


def test_a_draws_seed_is_golden_and_greedy_has_none() -> None:
    sample = (0, 1234, "task", 5, 0)
    assert drawn(SamplingParams(temperature=1.0), *sample).seed == 605129846
    of_task = drawn(SamplingParams(temperature=1.0, seed=7), *sample)
    assert of_task.seed == sampling_seed(*sample, 7) != 605129846
    assert drawn(SamplingParams(seed=7), *sample).seed is None


@pytest.mark.parametrize(
    ("kwargs", "own", "draws", "words"),
    [
        ({}, {}, 0.0, "greedy, max_gen_toks 256"),
        ({"temperature": 0, "top_p": 0.9}, {}, 0.0, "greedy, max_gen_toks 256"),  # top_p says nothing then
        ({}, {"temperature": 0.0, "max_gen_toks": 9}, 0.0, "greedy, max_gen_toks 9"),
        ({}, {"temperature": 0.6, "top_p": 0.95, "seed": 7}, 0.7, "temperature 0.6, top_p 0.95, max_gen_toks 256"),
        ({"do_sample": True}, {}, 0.0, "temperature 1, max_gen_toks 256"),
        ({}, {}, 0.7, "temperature 0.7, max_gen_toks 256"),  # a strategy's draws
        ({}, {"repetition_penalty": 1.1}, 0.0, "greedy, repetition_penalty 1.1, max_gen_toks 256"),
    ],
)  # fmt: skip
def test_sampling_in_words_is_what_a_score_depends_on(
    kwargs: dict[str, Any], own: dict[str, Any], draws: float, words: str
) -> None:
    assert sampling_words(sampling_params(kwargs, SamplingConfig(**own)), draws) == words
