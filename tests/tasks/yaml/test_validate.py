"""What is wrong with a task's YAML is one line with file and field."""

import re
from pathlib import Path

import pytest

import own_tasks as own
from evalharness.errors import TaskError
from evalharness.tasks.yaml.validate import validate


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message(here: Path, old: str, new: str) -> str:
    """What is said of the good task with one thing changed."""
    assert old in own.GENERATE
    own.write(here, "bad", own.GENERATE.replace(old, new))
    with pytest.raises(TaskError) as raised:
        own.load("bad")
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_a_good_task_loads(here: Path) -> None:
    own.write(here, "good")
    suite = own.load("good")
    assert (suite.tasks[0].num_docs, suite.broken) == (8, [])


WRONG = [
    ("doc_to_text", "doc_to_txt", "line 5: doc_to_txt: no such field; did you mean 'doc_to_text'?"),
    ("generate_until", "generate", "line 2: output_type: got 'generate'; one of loglikelihood"),
    (
        "([0-9]+)",
        "([0-9]+",
        "filter_list[0].filter[0].regex_pattern: bad regex '([0-9]+': missing )",
    ),
    ("function: regex", "function: regx", "no filter 'regx'; did you mean 'regex'?"),
    ("regex_pattern", "regex_patern", "no such field; did you mean 'regex_pattern'?"),
    ("exact_match", "exact_mach", "metric_list[0].metric: no metric 'exact_mach'; did you mean"),
    ("aggregation: mean", "aggregation: meen", "metric_list[0].aggregation: no aggregation 'meen'"),
    ("aggregation: mean", "aggregation: null", "metric_list[0].aggregation: empty; leave it out"),
    (
        "higher_is_better: true",
        "higher_is_better: 'false'",
        "metric_list[0].higher_is_better: got 'false'; expected true or false",
    ),
    (
        "metadata",
        "  - {{metric: exact_match, ignore_case: true}}\nmetadata",
        "metric_list[1].metric: 'exact_match' is given twice",
    ),
    ("metadata", "repeats: 0\nmetadata", "repeats: got 0; expected a whole number, 1 or more"),
    ("metadata", "num_fewshot: '2'\nmetadata", "num_fewshot: got '2'; expected a whole number"),
    ("{{{{q}}}}", "{{{{q", "line 5: doc_to_text: bad template: "),
    (
        "{{{{q}}}}",
        "{{{{question}}}}",
        "line 5: doc_to_text: UndefinedError: 'question' is undefined",
    ),
    ("test_split: test", "test_split: tset", "line 4: test_split: KeyError: 'tset'"),
    ("test_split: test", "test_split: test\ninclude: no.yaml", "include: no file 'no.yaml'"),
    ("task: {name}", "task: {name}\ntask: {name}", "line 2: task: is given twice"),
    (
        "local_rows.load",
        "local_rows.lod",
        "line 3: custom_dataset: !function evalharness.tasks.local",
    ),
    (
        "evalharness.tasks.local_rows",
        "utils",
        "line 3: custom_dataset: !function utils.load: Import",
    ),
    ("output_type:", "output_type: [", "bad.yaml, line 3: not YAML: "),
    (
        "custom_dataset: !function evalharness.tasks.local_rows.load",
        "dataset_path: json\ndataset_kwargs: {{data_files: {{test: nowhere.jsonl}}}}",
        "line 4: dataset_kwargs.data_files.test: no file 'nowhere.jsonl'",
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=[said[:40] for _, _, said in WRONG])
def test_one_line_names_file_and_field(here: Path, old: str, new: str, said: str) -> None:
    text = message(here, old, new)
    assert text.startswith("tasks/bad/bad.yaml")
    assert said in text


def test_a_data_file_may_be_named_by_an_absolute_path(here: Path) -> None:
    good = own.write(here, "good")
    data = good.parent / "data" / "test.jsonl"
    yaml = own.GENERATE.replace(
        "custom_dataset: !function evalharness.tasks.local_rows.load",
        f"dataset_path: json\ndataset_kwargs: {{{{data_files: {{{{test: {data}}}}}}}}}",
    )
    own.write(here, "absolute", yaml)
    assert own.load("absolute").tasks[0].num_docs == 8


def test_a_function_that_raises_is_named_with_its_field(here: Path) -> None:
    path = own.write(here, "bad", own.GENERATE.replace('"{{{{a}}}}"', "!function utils.target"))
    (path.parent / "utils.py").write_text("def target(doc):\n    return doc['b']\n")
    with pytest.raises(TaskError, match="line 6: doc_to_target: KeyError: 'b'"):
        own.load("bad")


def test_a_function_whose_module_raises_is_named_with_its_field(here: Path) -> None:
    path = own.write(here, "bad", own.GENERATE.replace('"{{{{a}}}}"', "!function utils.target"))
    (path.parent / "utils.py").write_text("raise ValueError('no luck')\n")
    with pytest.raises(TaskError, match=r"line 6: doc_to_target: .*ValueError: no luck"):
        own.load("bad")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "data/test.jsonl, line 1: not JSON"),
        ("[1]", "line 1: expected"),
        ("", "no docs in it"),
    ],
)
def test_data_that_cannot_be_read_is_named_with_its_line(
    here: Path, content: str, said: str
) -> None:
    path = own.write(here, "bad")
    (path.parent / "data" / "test.jsonl").write_text(content)
    with pytest.raises(TaskError, match=re.escape(said)):
        own.load("bad")


def test_missing_data_is_named(here: Path) -> None:
    path = own.write(here, "bad")
    (path.parent / "data" / "test.jsonl").unlink()
    with pytest.raises(TaskError, match=r"line 3: custom_dataset: no file data/<split>.jsonl"):
        own.load("bad")


def test_two_files_of_one_name_are_refused(here: Path) -> None:
    path = own.write(here, "twice")
    own.write(here, "other").write_text(path.read_text())
    with pytest.raises(TaskError, match=r"'twice' is in tasks/other/other.yaml and tasks/twice"):
        own.load("twice")


def test_own_task_wins_over_lm_evals_and_says_so(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own.write(here, "gsm8k")
    assert own.load("gsm8k").tasks[0].num_docs == 8
    assert "gsm8k: tasks/gsm8k/gsm8k.yaml is used, not lm-eval's own" in caplog.text


def test_too_few_fewshots_are_found_before_the_run(here: Path) -> None:
    yaml = own.GENERATE + "num_fewshot: 3\nfewshot_split: few\n"
    own.write(here, "bad", yaml, few=own.SUMS[:2])
    with pytest.raises(TaskError, match="num_fewshot: 3 wanted, 2 there in the split 'few'"):
        own.load("bad")


def test_other_tasks_are_loaded_beside_a_broken_one(here: Path) -> None:
    own.write(here, "good")
    own.write(here, "bad", own.GENERATE.replace("doc_to_text", "doc_to_txt"))
    suite = own.load("bad", "good")
    assert [task.name for task in suite.tasks] == ["good"]
    assert [task.name for task in suite.broken] == ["bad"]
    assert "doc_to_txt" in suite.broken[0].message


def test_nothing_but_broken_tasks_is_an_error(here: Path) -> None:
    for name in ("bad", "worse"):
        own.write(here, name, own.GENERATE.replace("doc_to_text", "doc_to_txt"))
    with pytest.raises(TaskError, match=r"tasks/bad/bad.yaml.*\(and 1 more that can't be loaded\)"):
        own.load("bad", "worse")


def test_a_misspelt_name_is_an_error_at_once(here: Path) -> None:
    own.write(here, "good_one")
    with pytest.raises(TaskError, match="unknown task 'good_oen'; did you mean 'good_one'"):
        own.load("good_one", "good_oen")


def test_a_group_with_a_broken_member_is_broken(here: Path) -> None:
    own.write(here, "bad", own.GENERATE.replace("doc_to_text", "doc_to_txt"))
    (here / "tasks" / "all.yaml").write_text("group: everything\ntask: [bad]\n")
    with pytest.raises(TaskError, match="doc_to_txt: no such field"):
        own.load("everything")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filter_list", "[3]"),
        ("filter_list", "[{name: x, filter: [regex]}]"),
        ("filter_list", "[{name: x, filter: null}]"),
        ("metric_list", "[acc]"),
        ("metric_list", "5"),
        ("dataset_kwargs", "5"),
        ("fewshot_config", "[1]"),
    ],
)
def test_a_value_of_another_form_is_one_line_with_its_field(
    tmp_path: Path, field: str, value: str
) -> None:
    path = tmp_path / "odd.yaml"
    lines = {
        "task": "odd",
        "dataset_path": "json",
        "test_split": "test",
        "doc_to_text": "x",
        field: value,
    }
    path.write_text("".join(f"{name}: {given}\n" for name, given in lines.items()))
    with pytest.raises(TaskError) as error:
        validate(path)
    assert field in str(error.value)
    assert "\n" not in str(error.value)
