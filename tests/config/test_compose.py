"""Configurations compose, and what is wrong with one is reported by name."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from evalharness.config.completion import complete
from evalharness.config.compose import run_hydra
from evalharness.config.errors import explain
from evalharness.config.keys import (
    GROUPS,
    options,
)
from evalharness.config.schema import (
    Config,
    EngineKind,
)
from evalharness.errors import ConfigError

ROOT = Path(__file__).parents[2]
FILES = [(group, f.stem) for group in GROUPS for f in (ROOT / "configs" / group).glob("*.yaml")]


def compose(*arguments: str) -> list[Config]:
    configs: list[Config] = []
    run_hydra(arguments, configs.append)
    return configs


@pytest.fixture
def own_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """./configs of a user's own, with empty groups."""
    for group in GROUPS:
        (tmp_path / "configs" / group).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "configs"


@pytest.mark.parametrize(("group", "name"), sorted(FILES), ids="=".join)
def test_every_shipped_file_composes(group: str, name: str) -> None:
    fits = "deepseek-r1-distill-llama-8b" if name == "budget" else "smollm2-135m"
    model = [] if group == "model" else [f"model={fits}"]
    (config,) = compose(*model, f"{group}={name}")
    if group in ("model", "suite"):
        assert getattr(config, group).name == name
    assert config.suite.tasks


def test_every_group_of_the_folder_is_known() -> None:
    assert {f.name for f in (ROOT / "configs").iterdir() if f.is_dir()} == {*GROUPS, "gate"}


def test_a_multirun_composes_each_combination() -> None:
    arguments = ("model=smollm2-135m", "-m", "engine=fake,hf", "sampling.seed=1,2")
    found = [(c.engine.kind.value, c.sampling.seed) for c in compose(*arguments)]
    assert found == [("fake", 1), ("fake", 2), ("hf", 1), ("hf", 2)]


@pytest.fixture(autouse=True)
def _sweeps_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALHARNESS_RESULTS_DIR", str(tmp_path / "results"))


def test_results_dir_comes_from_the_environment(tmp_path: Path) -> None:
    assert compose("model=smollm2-135m")[0].results_dir == str(tmp_path / "results")


def test_own_configs_come_first_and_config_dir_before_them(
    own_configs: Path, tmp_path: Path
) -> None:
    (own_configs / "model" / "smollm2-135m.yaml").write_text("name: own\n")
    (tmp_path / "more" / "model").mkdir(parents=True)
    (tmp_path / "more" / "model" / "smollm2-135m.yaml").write_text("name: more\n")
    assert compose("model=smollm2-135m")[0].model.name == "own"
    assert compose("--config-dir", "more", "model=smollm2-135m")[0].model.name == "more"
    assert compose("model=llama-3.2-1b")[0].model.name == "llama-3.2-1b"


def test_a_plus_is_allowed_before_a_group_and_not_needed_in_a_free_mapping() -> None:
    arguments = ("model=smollm2-135m", "+experiment=smoke", "engine.extra.latency_s=1")
    (config,) = compose(*arguments, "model.chat_template_args.enable_thinking=true")
    assert config.run.limit == 4
    assert config.engine.extra == {"latency_s": 1}
    assert config.model.chat_template_args == {"enable_thinking": True}


@pytest.mark.parametrize(
    "spelling",
    [
        "model.chat_template_args={enable_thinking: true}",
        "+model.chat_template_args={enable_thinking: true}",
        "++model.chat_template_args={enable_thinking: true}",
        "model.chat_template_args.enable_thinking=true",
        "+model.chat_template_args.enable_thinking=true",
    ],
)
def test_an_argument_of_the_template_can_be_spelt_in_every_way(spelling: str) -> None:
    (config,) = compose("model=smollm2-135m", spelling)
    assert config.model.chat_template_args == {"enable_thinking": True}


def test_a_free_mapping_given_as_a_whole_adds_to_what_the_file_has(own_configs: Path) -> None:
    (own_configs / "model" / "mine.yaml").write_text("name: m\nchat_template_args: {a: 1, b: 1}\n")
    (config,) = compose("model=mine", "model.chat_template_args={b: 2, c: 3}")
    assert config.model.chat_template_args == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("day", ["2026-02-30", "today", "1", "31.12.2025"])
def test_a_template_date_that_is_none_is_refused(day: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.template_date: got .*expected a date such as"):
        compose("model=smollm2-135m", f"model.template_date='{day}'")


def test_tasks_are_added_with_their_overrides_also_in_a_multirun() -> None:
    one, two = compose(
        *("-m", "model=smollm2-135m", "+suite.tasks.arc_easy.limit=1,2"),
        *("+suite.tasks.hellaswag.num_fewshot=5", "+suite.tasks.arc_easy_sample.limit=7"),
    )
    assert (one.suite.tasks["arc_easy"].limit, two.suite.tasks["arc_easy"].limit) == (1, 2)
    assert two.suite.tasks["hellaswag"].num_fewshot == 5
    kept = two.suite.tasks["arc_easy_sample"]
    assert (kept.limit, kept.metric) == (7, "acc_norm")


IN_FILES = [
    ("model", "nam: x\n", "configs/model/mine.yaml: model.nam: no such key; did you mean"),
    (
        "model",
        "name: x\nallow_pickle: 3x\n",
        "model.allow_pickle: got '3x'; expected true or false",
    ),
    ("model", "name: [x\n", "configs/model/mine.yaml, line 2: not YAML"),
    ("model", "- x\n", "configs/model/mine.yaml: a list where keys belong"),
    ("suite", "tasks: {a: {limt: 3}}\n", "did you mean 'suite.tasks.a.limit'?"),
    (
        "suite",
        "tasks: {a: {limit: few}}\n",
        "suite.tasks.a.limit: got 'few'; expected a whole number",
    ),
    ("suite", "tasks:\n  a:\n", "suite.tasks.a: got null; expected a mapping"),
    (
        "suite",
        "defaults: [quik]\n",
        "its defaults name 'quik', which isn't there; did you mean 'quick'?",
    ),
    ("experiment", "# @package _global_\nrun: {limt: 3}\n", "did you mean 'run.limit'?"),
]


@pytest.mark.parametrize(("group", "text", "message"), IN_FILES)
def test_what_is_wrong_in_a_file_is_reported_with_its_name(
    own_configs: Path, group: str, text: str, message: str
) -> None:
    (own_configs / group / "mine.yaml").write_text(text)
    model = [] if group == "model" else ["model=smollm2-135m"]
    with pytest.raises(ConfigError) as error:
        compose(*model, f"{group}=mine")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_schema_is_the_only_source_of_keys() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'engine\.dtype'"):
        compose("model=smollm2-135m", "engine.dtyp=x")
    assert "engine.dtype=" in complete("engine.dty")


def test_an_error_that_is_not_known_is_still_one_line() -> None:
    assert str(explain(ValueError("one\n\n  two\nthree"))) == "one two"


@pytest.mark.parametrize(
    ("before", "incomplete", "expected"),
    [
        ([], "mod", "model=smollm2-135m"),
        ([], "model=smollm2-135m", "model=smollm2-135m-instruct"),
        (["model", "="], "smollm2-135m", "smollm2-135m-instruct"),  # as bash cuts it
        (["model"], "", "smollm2-135m"),  # bash, nothing after the =
        (["model=smollm2-135m"], "suite=q", "suite=quick"),
        ([], "engine.kind=", "engine.kind=fake"),
        (["run.truncation", "="], "l", "left"),
        ([], "run.lim", "run.limit="),
        ([], "", "suite="),
    ],
)
def test_completion(before: list[str], incomplete: str, expected: str) -> None:
    assert expected in complete(incomplete, before)


def test_a_finished_pair_is_not_completed_further() -> None:
    assert complete("sui", ["model", "=", "smollm2-135m"]) == [
        f"suite={name}" for name in options("suite")
    ]


def test_shipped_values_equal_the_schemas_defaults_where_a_run_says_nothing() -> None:
    (config,) = compose("model=smollm2-135m")
    assert config.engine.kind is EngineKind.vllm
    schema = OmegaConf.structured(Config)
    assert config.run == OmegaConf.to_object(schema.run)


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ([], []),
        (["run.limit=3", "sampling.seed=1"], []),
        (["+suite.tasks.arc_easy.limit=50"], ["+arc_easy"]),
        (["suite.tasks.gsm8k_sample.limit=5"], ["gsm8k_sample.limit"]),
        (["~suite.tasks.gsm8k_sample"], ["-gsm8k_sample"]),
        (["+suite.tasks.arc_easy={}", "suite.name=mine"], []),
    ],
)
def test_a_suite_that_isnt_as_its_file_has_it_is_marked(
    arguments: list[str], changes: list[str]
) -> None:
    (config,) = compose("model=smollm2-135m", "suite=quick", *arguments)
    assert config.suite.modified == changes


def test_a_suite_over_another_is_as_its_files_have_it(own_configs: Path) -> None:
    text = "defaults: [quick, _self_]\nname: more\ntasks: {arc_easy: {limit: 3}}\n"
    (own_configs / "suite" / "more.yaml").write_text(text)
    (config,) = compose("model=smollm2-135m", "suite=more")
    assert (len(config.suite.tasks), config.suite.modified) == (6, [])
    (config,) = compose("model=smollm2-135m", "suite=more", "suite.tasks.arc_easy.limit=4")
    assert config.suite.modified == ["arc_easy.limit"]
