"""What happens to prompts between a task and a model is counted, said, and seen in a preview."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import own_tasks
from evalharness.comparison.comparability import (
    FAKE,
    run_notes,
)
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    Resume,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    Truncation,
    Variant,
)
from evalharness.runner.preview import Previewer
from evalharness.runner.resume import run_identity
from evalharness.runner.run import (
    Outcome,
    run,
)
from evalharness.store.read import iter_samples, load_manifest
from evalharness.store.records import TaskSummary
from evalharness.tasks import templates
from evalharness.tasks.authoring.prompt_lengths import check_sizes
from tokenizer_styles import DATED, GEMMA, save_llama

DESCRIBED = own_tasks.CHOICE + 'description: "Pick one.\\n\\n"\n'
ROLLING = """\
task: {name}
output_type: loglikelihood_rolling
custom_dataset: !function evalharness.tasks.local_rows.load
test_split: test
doc_to_text: ""
doc_to_target: "{{{{q}}}}"
metric_list: [{{metric: word_perplexity}}]
metadata: {{version: 1.0}}
"""

Make = Callable[..., Config]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("checkpoints")

    def checkpoint(style: str) -> Path:
        path = folder / style
        return path if path.exists() else save_llama(style, path)

    return checkpoint


@pytest.fixture
def make(
    checkpoints: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Make:
    """Writes a task of four docs and the configuration of a run of it on the fake engine."""
    monkeypatch.chdir(tmp_path)

    def config(
        style: str,
        yaml: str = own_tasks.CHOICE,
        *,
        rows: own_tasks.Rows = own_tasks.PICKS[:4],
        template: str | None = None,
        model: dict[str, Any] | None = None,
        engine: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Config:
        own_tasks.write(tmp_path, "asked", yaml, rows)
        entry: dict[str, Any] = {"name": style, "path": str(checkpoints(style))}
        entry["variant"] = Variant.instruct if template or style == "gemma" else Variant.base
        if template:
            (tmp_path / "template.jinja").write_text(template)
            entry["chat_template"] = "template.jinja"
        return Config(
            model=ModelConfig(**entry | (model or {})),
            engine=EngineConfig(kind=EngineKind.fake, **(engine or {})),
            suite=SuiteConfig(name="test", tasks={"asked": TaskConfig()}),
            run=RunConfig(**settings),
            results_dir=str(tmp_path / "results"),
        )

    return config


def summary(outcome: Outcome) -> TaskSummary:
    (task,) = outcome.manifest.tasks
    return task


def prompts(outcome: Outcome) -> list[str]:
    return [row.prompt for row in iter_samples(outcome.run_dir, "asked")]


def loaded(config: Config) -> Any:
    (task,) = own_tasks.load("asked").tasks
    return task


def test_a_description_that_the_template_takes_no_system_role_for_is_left_out_and_said(
    make: Make,
) -> None:
    outcome = run(make("gemma", DESCRIBED))
    assert outcome.manifest.status == "complete"
    assert summary(outcome).num_without_system == 4
    (remark,) = summary(outcome).remarks
    assert "no system text, so it is left out in 4 of 4 samples" in remark
    assert not any("Pick one" in prompt for prompt in prompts(outcome))


def test_a_system_instruction_is_left_out_the_same_way(make: Make) -> None:
    outcome = run(make("gemma", model={"system_instruction": "Be brief."}))
    assert summary(outcome).num_without_system == 4


def test_nothing_is_said_of_a_task_without_system_text(make: Make) -> None:
    outcome = run(make("gemma"))
    assert summary(outcome).num_without_system == 0
    assert summary(outcome).remarks == ()


def test_the_summary_names_the_reason_of_a_template_that_refuses_every_sample(make: Make) -> None:
    refuses = "{% if messages[-1]['content'] != 'Hello' %}{{ raise_exception('never') }}{% endif %}"
    outcome = run(make("qwen", template=refuses + "{{ messages[-1]['content'] }}"))
    assert summary(outcome).reasons == {"prompt: TemplateError: never": 4}


def test_choices_that_one_token_joins_to_the_context_are_counted(make: Make) -> None:
    rows = [{"q": "Answer", "choices": ["A", "B", "C", "D"], "a": 0}] * 2
    outcome = run(make("merges_words", rows=rows))
    assert outcome.manifest.status == "complete"
    assert summary(outcome).num_split_tokens > 0
    (remark,) = summary(outcome).remarks
    assert remark.startswith(f"{summary(outcome).num_split_tokens} choices are encoded separately")


def test_a_tokenizer_that_appends_eos_gives_every_choice_its_own_score(make: Make) -> None:
    import json

    outcome = run(make("appends_eos"))
    for row in iter_samples(outcome.run_dir, "asked"):
        assert len({logprob for logprob, _ in json.loads(row.response)}) == 4


def test_cut_prompts_are_counted(make: Make) -> None:
    outcome = run(make("gemma", engine={"max_model_len": 24}, truncation=Truncation.left))
    assert summary(outcome).num_cut_prompts == 4
    assert "a BOS is kept" in summary(outcome).remarks[0]


def test_a_second_bos_is_counted(make: Make) -> None:
    rows = [{"q": q, "choices": ["a", "b"], "a": 0} for q in ("What is <bos>?", "What is it?")]
    outcome = run(make("gemma", rows=rows))
    assert summary(outcome).num_doubled_bos == 1
    assert "more than one BOS in the prompts of 1 of 2 samples" in summary(outcome).remarks[0]


def test_a_text_without_tokens_is_scored_as_nothing_also_where_it_comes_first(make: Make) -> None:
    outcome = run(make("gemma", ROLLING, rows=[{"q": ""}, {"q": "fox"}], model={"chat": False}))
    assert outcome.manifest.status == "complete"
    assert next(row.response for row in iter_samples(outcome.run_dir, "asked")) == "[0.0]"


@pytest.mark.parametrize(
    ("style", "settings", "words"),
    [
        ("gemma", {}, "only the text's own tokens are scored"),
        ("gemma", {"rolling_as_lm_eval": True}, "scored too, as in lm-eval"),
        ("qwen", {}, None),
    ],
)
def test_whole_texts_are_scored_differently_than_by_lm_eval_only_with_a_word(
    make: Make, style: str, settings: dict[str, Any], words: str | None
) -> None:
    config = make(style, ROLLING, rows=[{"q": "fox"}], model={"chat": False}, **settings)
    remarks = summary(run(config)).remarks
    assert [words in remark for remark in remarks] == ([True] if words else [])  # type: ignore[operator]


def test_an_argument_that_the_template_never_reads_is_a_remark_on_the_run(make: Make) -> None:
    outcome = run(make("gemma", model={"chat_template_args": {"enable_thinking": True}}))
    (remark,) = load_manifest(outcome.run_dir).remarks
    assert "never reads 'enable_thinking'" in remark


def test_the_day_that_a_template_writes_is_in_the_manifest_and_the_prompts(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "today", lambda: "2025-12-31")
    outcome = run(make("qwen", template=DATED))
    assert load_manifest(outcome.run_dir).template_date == "2025-12-31"
    assert all(prompt.startswith("Today: 2025-12-31") for prompt in prompts(outcome))


def test_a_template_that_writes_no_date_leaves_none_in_the_manifest(make: Make) -> None:
    assert run(make("gemma")).manifest.template_date is None


def test_a_run_that_is_continued_on_another_day_keeps_the_day_of_its_start(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalharness.runner import resume

    # The fault is an engine argument here, which a real fault isn't.
    monkeypatch.setattr(resume, "_NUMBERS_DONT_DEPEND_ON", ("extra",))
    monkeypatch.setattr(templates, "today", lambda: "2025-12-31")
    died = run(make("qwen", template=DATED, engine={"extra": {"die_after": 2}}))
    assert died.manifest.status == "partial"
    monkeypatch.setattr(templates, "today", lambda: "2026-01-01")
    again = run(make("qwen", template=DATED, resume=Resume.must))
    assert again.manifest.run_id == died.manifest.run_id
    assert again.manifest.template_date == "2025-12-31"
    assert all(prompt.startswith("Today: 2025-12-31") for prompt in prompts(again))
    assert summary(again).num_reused == 2
    assert again.manifest.identity == died.manifest.identity


def test_of_several_days_the_latest_run_is_continued(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalharness.runner import (
        manifest,
        resume,
    )

    monkeypatch.setattr(resume, "_NUMBERS_DONT_DEPEND_ON", ("extra",))
    died = []
    for day, after in (("2025-12-30", 1), ("2025-12-31", 2)):
        monkeypatch.setattr(manifest, "now", lambda day=day: f"{day}T12:00:00+00:00")
        set_day = {"template_date": day}
        died.append(
            run(make("qwen", template=DATED, model=set_day, engine={"extra": {"die_after": after}}))
        )
    assert [one.manifest.template_date for one in died] == ["2025-12-30", "2025-12-31"]
    first, second = (one.manifest for one in died)
    assert first.run_id != second.run_id
    monkeypatch.setattr(templates, "today", lambda: "2026-01-01")
    again = run(make("qwen", template=DATED, resume=Resume.must))
    assert again.manifest.run_id == second.run_id


def test_a_day_that_is_set_is_another_experiment_than_a_run_of_another_day(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalharness.runner import resume

    monkeypatch.setattr(resume, "_NUMBERS_DONT_DEPEND_ON", ("extra",))
    monkeypatch.setattr(templates, "today", lambda: "2025-12-31")
    died = run(make("qwen", template=DATED, engine={"extra": {"die_after": 2}}))
    other = run(make("qwen", template=DATED, model={"template_date": "2026-01-01"}))
    assert other.manifest.run_id != died.manifest.run_id


def test_what_was_answered_on_one_day_is_reused_on_the_next_under_its_date(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "today", lambda: "2025-12-31")
    first = run(make("qwen", template=DATED))
    monkeypatch.setattr(templates, "today", lambda: "2026-01-01")
    again = run(make("qwen", template=DATED, model={"template_date": "2025-12-31"}))
    other = run(make("qwen", template=DATED))
    assert (summary(again).num_reused, summary(other).num_reused) == (4, 0)
    assert run_notes(again.manifest, first.manifest) == (FAKE, "the same weights")
    assert "the chat template writes 2025-12-31 against 2026-01-01 as today's date" in run_notes(
        first.manifest, other.manifest
    )


def prepared(**changes: Any) -> Any:
    task = SimpleNamespace(
        name="t",
        group="g",
        repeats=1,
        task_hash=lambda: "hash",
        docs_fingerprint=lambda: "docs",
        main_metric=lambda: ("acc", "none"),
    )
    values: dict[str, Any] = {"template": "T", "is_chat": True, "multiturn": True} | changes
    return SimpleNamespace(
        config=Config(),
        info=SimpleNamespace(fingerprint="fast:1"),
        tokenizer=SimpleNamespace(chat_template=values["template"]),
        prompting=SimpleNamespace(
            is_chat=values["is_chat"], fewshot_as_multiturn=values["multiturn"]
        ),
        suite=SimpleNamespace(tasks=[task]),
    )


def identity(day: str | None = None, run: dict[str, Any] | None = None, **changes: Any) -> str:
    model = ("chat_template_args", "system_instruction", "think_start", "think_end")
    settings = {"seed": 1, "truncation": "none", "max_error_rate": 0.01}
    config = {
        "engine": {"kind": "vllm", "dtype": "auto"},
        "model": dict.fromkeys(model),
        "sampling": {},
        "strategy": {},
        "suite": {"name": "s", "version": "1"},
        "run": settings | {"rolling_as_lm_eval": False} | (run or {}),
    }
    return run_identity(prepared(**changes), config, day)


def test_an_identity_is_the_same_in_every_version() -> None:
    """Or no run that an older version began is ever continued."""
    assert identity() == GOLDEN


GOLDEN = "9db0072f7ba5c22975c04a3cb381b604115a337c83bbe98d23846bc28f16237b"


@pytest.mark.parametrize(
    "changes",
    [
        {"template": "another"},
        {"is_chat": False},
        {"multiturn": False},
        {"day": "2026-01-01"},
        {"run": {"rolling_as_lm_eval": True}},
        {"run": {"truncation": "left"}},
        {"run": {"seed": 2}},
    ],
)
def test_what_prompts_depend_on_is_part_of_the_identity(changes: dict[str, Any]) -> None:
    assert identity(**changes) != identity()


def test_the_template_of_a_model_that_gets_none_isnt_part_of_the_identity() -> None:
    assert identity(is_chat=False, template="another") == identity(is_chat=False)


def test_a_preview_says_that_system_text_is_left_out(make: Make) -> None:
    config = make("gemma", DESCRIBED)
    assert Previewer.of(config).preview(loaded(config), 0).is_without_system


def test_a_preview_says_which_choices_are_encoded_apart(make: Make) -> None:
    rows = [{"q": "Answer", "choices": ["C", "D, or so"], "a": 0}]
    config = make("merges_words", rows=rows)
    shown = Previewer.of(config).preview(loaded(config), 0)
    assert [choice.is_split for choice in shown.choices] == [True, True]
    assert all(choice.num_tokens for choice in shown.choices)


def test_a_preview_shows_a_second_bos_and_the_date(make: Make) -> None:
    rows = [{"q": "What is <bos>?", "choices": ["a"], "a": 0}]
    config = make("gemma", rows=rows, template=DATED, model={"template_date": "2025-12-31"})
    shown = Previewer.of(config).preview(loaded(config), 0)
    assert shown.has_doubled_bos
    assert shown.template_date == "2025-12-31"


def test_a_preview_of_a_cut_prompt_says_so(make: Make) -> None:
    config = make("gemma", engine={"max_model_len": 24}, truncation=Truncation.left)
    shown = Previewer.of(config).preview(loaded(config), 0)
    assert shown.is_cut
    assert shown.bos_places == (0,)


def test_a_preview_of_a_whole_text_shows_its_tokens_behind_one_bos(make: Make) -> None:
    config = make("gemma", ROLLING, rows=[{"q": "fox"}], model={"chat": False})
    shown = Previewer.of(config).preview(loaded(config), 0)
    assert "".join(token.text for token in shown.tokens) == "<bos>fox"
    assert "lm-eval also scores the BOS" in shown.remarks[0]


def test_a_preview_of_a_text_without_tokens_shows_none(make: Make) -> None:
    config = make("gemma", ROLLING, rows=[{"q": ""}], model={"chat": False})
    assert Previewer.of(config).preview(loaded(config), 0).problem == "nothing is asked"


@pytest.mark.parametrize(
    ("style", "changes", "words"),
    [
        ("gemma", {"yaml": DESCRIBED}, "takes no system text, so it is left out in doc 0 and 3"),
        (
            "merges_words",
            {"rows": [{"q": "Answer", "choices": ["C", "D"], "a": 0}]},
            "one token would span context and choice in doc 0",
        ),
        (
            "gemma",
            {"rows": [{"q": "What is <bos>?", "choices": ["C", "D"], "a": 0}]},
            "more than one BOS token in the prompt of doc 0",
        ),
        (
            "gemma",
            {"engine": {"max_model_len": 24}, "truncation": Truncation.left},
            "the oldest tokens are cut off the prompt of doc 0 and 3 more",
        ),
        (
            "qwen",
            {
                "template": "{% if messages[-1]['content'] != 'Hello' %}{{ raise_exception('never') }}"
                "{% endif %}{{ messages[-1]['content'] }}"
            },
            "can't be asked: prompt: TemplateError: never",
        ),
    ],
)
def test_a_check_with_a_model_finds_what_happens_to_prompts(
    make: Make, style: str, changes: dict[str, Any], words: str
) -> None:
    config = make(style, **changes)
    previewer = Previewer.of(config)
    found = check_sizes(previewer.sizes(loaded(config), 10), previewer.lm.max_model_len)
    assert any(words in defect.what for defect in found), found


def test_the_gemma_template_of_the_tests_refuses_a_system_role() -> None:
    assert "System role not supported" in GEMMA
