"""A suite as its tasks: what is found, set and refused before any weights are loaded."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval.config.task
import lm_eval.utils
import numpy as np
import pytest

import own_tasks as own
from evalharness.config.schema import (
    Config,
    LimitFrom,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.errors import TaskError
from evalharness.tasks import trust
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.suite import (
    LoadedSuite,
    _compile_templates_once,
    _read_temperatures_late,
    _why,
    load_suite,
    task_manager,
)
from evalharness.tasks.user_code import Bounds

LOCAL = "custom_dataset: !function evalharness.tasks.local_rows.load"
CODE = """
import random
import numpy
from evalharness.tasks.rows import Rows

def drawn(**kwargs):
    return {"test": Rows([{"q": "?", "a": str([random.random(), float(numpy.random.rand())])}])}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With some tasks in it that no test changes."""
    made = tmp_path_factory.mktemp("loading")
    own.write(made, "sums")
    own.write(made, "picks", own.CHOICE, own.PICKS)
    own.write(made, "two", own.GENERATE + "fewshot_split: few\nnum_fewshot: 2\n", few=own.SUMS[:2])
    own.write(made, "itself", own.GENERATE + "fewshot_split: test\n")
    shown = "fewshot_config: {{sampler: first_n, samples: [{{q: 1, a: 1}}, {{q: 2, a: 2}}]}}\n"
    own.write(made, "shown", own.GENERATE + shown)
    own.write(made, "unsafe", own.GENERATE + "unsafe_code: true\n")
    own.write(made, "seeing", own.GENERATE + "doc_to_image: q\n")
    own.write(made, "odd", own.GENERATE.replace("1.0", '1.0, stratify: "{{{{1/(a|int-4)}}}}"'))
    own.write(made, "drawing", own.GENERATE.replace(LOCAL, "custom_dataset: !function u.drawn"))
    (made / "tasks" / "drawing" / "u.py").write_text(CODE)
    metrics = "aggregate_metric_list: [{metric: acc}]\n"
    (made / "tasks" / "both.yaml").write_text(f"group: both\ntask: [sums, picks]\n{metrics}")
    (made / "tasks" / "none.yaml").write_text("group: none\ntask: []\n")
    return made


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def load(*names: str, run: RunConfig | None = None, **overrides: Any) -> LoadedSuite:
    suite = SuiteConfig(name="s", tasks={name: TaskConfig(**overrides) for name in names})
    return load_suite(Config(model=ModelConfig(name="x"), suite=suite, run=run or RunConfig()))


def one(name: str, **changes: Any) -> LoadedTask:
    (task,) = load(name, **changes).tasks
    return task


# a suite


def test_tasks_come_in_the_suites_order_with_the_name_that_brought_them(here: Path) -> None:
    suite = load("two", "both")
    assert [(t.name, t.group) for t in suite.tasks] == [("two", "two"), ("sums", "both"), ("picks", "both")]  # fmt: skip
    assert (list(suite.groups), suite.broken) == (["both"], [])


def test_a_task_that_comes_twice_is_refused(here: Path) -> None:
    with pytest.raises(
        TaskError, match="task 'sums' comes with both 'sums' and 'both'; name it once"
    ):
        load("sums", "both")


def test_an_empty_suite_is_refused(here: Path) -> None:
    with pytest.raises(TaskError, match="suite 's' has no tasks"):
        load()


def test_what_cant_be_loaded_is_reported_and_the_rest_is_there(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    suite = load("none", "odd", "sums", run=RunConfig(limit=4))
    assert [task.name for task in suite.tasks] == ["sums"]
    assert [broken.name for broken in suite.broken] == ["none", "odd"]
    assert suite.broken[0].message == "tasks/none.yaml: task: no task in it"
    assert suite.broken[1].message == "task 'odd': ZeroDivisionError: division by zero"
    for name, message in suite.broken:
        assert f"{name} is left out: {message}" in caplog.text


def test_where_nothing_can_be_loaded_the_first_reason_is_the_error(here: Path) -> None:
    with pytest.raises(TaskError, match=r"^tasks/none.yaml: task: no task in it$"):
        load("none")
    with pytest.raises(TaskError, match=r"no task in it \(and 1 more that can't be loaded\)$"):
        load("none", "odd", run=RunConfig(limit=4))


def test_nothing_of_others_is_loaded_untrusted(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(trust.VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(TaskError, match="the folder isn't trusted yet"):
        load("sums")


def test_what_the_code_of_a_task_draws_is_lm_evals_own_and_the_runs(here: Path) -> None:
    for seed in (1234, 7):
        expected = [random.Random(0).random(), float(np.random.RandomState(seed).rand())]
        (doc,) = one("drawing", run=RunConfig(seed=seed)).docs
        assert doc["a"] == str(expected)


def test_code_that_has_changed_is_loaded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = own.write(tmp_path, "made", own.GENERATE.replace(LOCAL, "custom_dataset: !function u.f"))
    helper = "from helper import A\nfrom evalharness.tasks.rows import Rows\n"
    code = helper + 'def f(**_): return {"test": Rows([{"q": "?", "a": A}])}\n'
    (path.parent / "u.py").write_text(code)
    monkeypatch.syspath_prepend(str(path.parent))
    for answer in "123":  # within a second, at the same size
        (path.parent / "helper.py").write_text(f'A = "{answer}"\n')
        assert [doc["a"] for doc in one("made").docs] == [answer]


# one task


def test_few_shots_are_the_tasks_or_else_none_and_the_suites_over_them(here: Path) -> None:
    shots = [one(name).task.config.num_fewshot for name in ("sums", "two")]
    assert shots == [0, 2]
    assert [one("two", num_fewshot=num).task.config.num_fewshot for num in (0, 1)] == [0, 1]


@pytest.mark.parametrize(
    ("name", "most", "where"),
    [("two", 2, " in the split 'few'"), ("itself", 7, " in the split 'test'"), ("shown", 2, "")],
)
def test_more_few_shots_than_there_are_are_refused(
    here: Path, name: str, most: int, where: str
) -> None:
    assert one(name, num_fewshot=most).task.config.num_fewshot == most
    says = f"'{name}': num_fewshot: {most + 1} wanted, {most} there{where}$"
    with pytest.raises(TaskError, match=says):
        load(name, num_fewshot=most + 1)


def test_few_shots_are_drawn_by_the_runs_seed(here: Path) -> None:
    for seed in (1, 2):
        task = one("itself", run=RunConfig(seed=seed)).task
        assert task.sampler.rnd.random() == random.Random(seed).random()


@pytest.mark.parametrize(
    ("of_run", "of_task", "limit"), [(None, None, None), (3, None, 3), (None, 3, 3), (3, 5, 3), (5, 3, 3)]
)  # fmt: skip
def test_the_smaller_limit_holds(
    here: Path, of_run: int | None, of_task: int | None, limit: int | None
) -> None:
    task = one("sums", run=RunConfig(limit=of_run), limit=of_task)
    assert (task.limit, task.num_docs) == (limit, limit or 8)


def test_random_docs_are_those_of_the_runs_seed(here: Path) -> None:
    for source, seed in ((LimitFrom.random, 5), (LimitFrom.first, None)):
        run = RunConfig(limit=3, limit_from=source, limit_seed=5)
        assert one("sums", run=run).limit_seed == seed


@pytest.mark.parametrize(
    ("rate", "repeats", "limit", "num"),
    [(0.3, None, None, 2), (0.3, 2, None, 4), (0.3, 2, 5, 3), (1.0, 3, None, 24), (0.01, 1, None, 0)],
)  # fmt: skip
def test_code_may_overrun_as_often_as_samples_may_fail(
    here: Path, rate: float, repeats: int | None, limit: int | None, num: int
) -> None:
    run = RunConfig(max_error_rate=rate, scorer_timeout_s=2.5)
    task = one("sums", run=run, repeats=repeats, limit=limit)
    assert task.bounds == Bounds(limit_s=2.5, max_overruns=num)
    assert task.repeats == (repeats or 1)


def test_settings_of_the_suite_are_over_the_tasks_own(here: Path) -> None:
    task = one("sums", gen_kwargs={"max_gen_toks": 5, "temperature": None})
    expected = {"until": ["\n"], "max_gen_toks": 5, "temperature": None}
    assert task.task.config.generation_kwargs == expected
    says = r"task 'sums': suite\.tasks\.both\.gen_kwargs\.top_p: got 2"
    with pytest.raises(TaskError, match=says):
        load("both", gen_kwargs={"top_p": 2})


def test_settings_need_a_task_that_generates(here: Path) -> None:
    sums, picks = load("both", gen_kwargs={"top_p": 0.5}).tasks
    assert sums.task.config.generation_kwargs["top_p"] == 0.5
    assert not (picks.task.config.generation_kwargs or {}).get("top_p")
    says = r"suite\.tasks\.picks\.gen_kwargs: 'picks' generates nothing that top_p, min_p could"
    with pytest.raises(TaskError, match=says):
        load("picks", gen_kwargs={"top_p": 0.5, "min_p": 0.5})
    assert load("picks").tasks


def test_code_of_a_model_isnt_run_unasked(here: Path) -> None:
    with pytest.raises(TaskError, match="task 'unsafe' runs model-written code in this process"):
        load("unsafe")
    allowed = RunConfig(allow_unsafe_code=True)
    assert [task.name for task in load("unsafe", "sums", run=allowed).tasks] == ["unsafe", "sums"]


def test_a_task_with_images_is_refused(here: Path) -> None:
    with pytest.raises(TaskError, match="task 'seeing' needs images or audio"):
        load("seeing")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"metric": "f9"}, "has no metric 'f9'"),
        ({"cluster": "{{nothing}}"}, "cluster '{{nothing}}' gives nothing for the first doc"),
        ({"stratify": "nothing", "limit": 2}, "stratify 'nothing' gives nothing for the first doc"),
    ],
)
def test_what_the_suite_names_has_to_be_there(
    here: Path, overrides: dict[str, Any], says: str
) -> None:
    with pytest.raises(TaskError) as refused:
        load("sums", **overrides)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (TaskError("no data"), "task 't': no data"),
        (OSError("no file"), "task 't' can't be loaded: no file. Get the data, or set data.mirror to a folder that has it."),
        (ValueError("\n why? \nmore"), "task 't' can't be loaded: why? Get the data, or set data.mirror to a folder that has it."),
        (ImportError("No module x"), "task 't' can't be loaded: No module x. Install what it needs."),
        (KeyError(), "task 't' can't be loaded: KeyError. Get the data, or set data.mirror to a folder that has it."),
    ],
)  # fmt: skip
def test_what_is_said_of_one_of_lm_evals_that_cant_be_loaded(
    error: BaseException, says: str
) -> None:
    assert _why("t", None, error) == says


@pytest.mark.parametrize(("kind", "hint"), [("OSError", True), ("ValueError", False)])
def test_data_that_isnt_there_can_be_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, hint: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    yaml = own.GENERATE.replace(LOCAL, "custom_dataset: !function u.none")
    path = own.write(tmp_path, "mine", yaml)
    (path.parent / "u.py").write_text(f"def none(**_): raise {kind}('gone')\n")
    more = "; get the data, or set data.mirror" if hint else ""
    with pytest.raises(TaskError, match=rf"custom_dataset: {kind}: gone{more}$"):
        load("mine")


# what lm-eval does otherwise


@pytest.fixture
def read_config(here: Path) -> Callable[[Any], Any]:
    task_manager()

    def read(kwargs: Any) -> Any:
        config = lm_eval.config.task.TaskConfig(
            task="t", output_type="generate_until", generation_kwargs=kwargs
        )
        return config.generation_kwargs

    return read


def test_a_temperature_is_read_with_the_other_settings(
    read_config: Callable[[Any], Any],
) -> None:
    for temperature in ("0.5", 0.5, "warm", [1]):
        kwargs = {"until": ["x"], "temperature": temperature}
        assert read_config(dict(kwargs)) == kwargs
    assert read_config({"until": ["x"], "temperature": None}) == {"until": ["x"]}
    assert read_config({"top_p": 1}) == {"top_p": 1, "until": ["\n\n"]}  # lm-eval's default
    assert read_config(None)["until"] == ["\n\n"]
    assert read_config({})["until"] == ["\n\n"]
    for kwargs in ([5], "greedy", 0):
        with pytest.raises(
            TaskError, match=r"generation_kwargs: got .*; expected names with values"
        ):
            read_config(kwargs)


def test_lm_eval_is_changed_once(here: Path) -> None:
    task_manager()
    read, environment = lm_eval.config.task.TaskConfig.__post_init__, lm_eval.utils.env.from_string
    _read_temperatures_late()
    _compile_templates_once()
    assert lm_eval.config.task.TaskConfig.__post_init__ is read
    assert lm_eval.utils.env.from_string is environment
    assert not hasattr(read.__wrapped__, "__wrapped__")


def test_a_template_is_compiled_once(here: Path) -> None:
    task_manager()
    compiled = lm_eval.utils.env.from_string("{{a}} once")
    assert lm_eval.utils.env.from_string("{{a}} once") is compiled
    assert compiled.render(a=1) == "1 once"


def test_a_docs_templates_are_rendered_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, rendered = one("sums").task, []
    render = lm_eval.utils.apply_template
    monkeypatch.setattr(
        lm_eval.utils, "apply_template", lambda *given: rendered.append(1) or render(*given)
    )
    doc = own.SUMS[0]
    assert {task.doc_to_text(doc) for _ in range(3)} == {"What is 1 plus 1?\nAnswer:"}
    assert len(rendered) == 1
