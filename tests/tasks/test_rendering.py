"""A doc's templates are rendered once, and give what lm-eval's own methods give."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval.utils
import pytest
from lm_eval.api.task import ConfigurableTask

from evalharness.tasks.rendering import KEPT, render_once

DOC = {"question": "2 + 2?", "choices": ["3", "4"], "answer": 1}


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The templates that were rendered so far."""
    found: list[str] = []
    render = lm_eval.utils.apply_template

    def apply_template(template: str, doc: dict[str, Any]) -> str:
        found.append(template)
        return render(template, doc)

    monkeypatch.setattr(lm_eval.utils, "apply_template", apply_template)
    return found


@pytest.fixture
def make(tmp_path: Path, rendered: list[str]) -> Callable[..., Any]:
    """A task of two docs with some fields of its own."""

    def make(**fields: Any) -> Any:
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"question": "2 + 2?", "choices": ["3", "4"], "answer": 1}\n' * 2)
        config = {
            "task": "sums",
            "dataset_path": "json",
            "dataset_kwargs": {
                "data_files": {"test": str(rows)},
                "cache_dir": str(tmp_path / "cache"),
            },
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{answer}}",
            "doc_to_choice": "{{choices}}",
            "metric_list": [{"metric": "acc"}],
        }
        task = ConfigurableTask(config=config | fields)
        render_once(task)
        rendered.clear()
        return task

    return make


@pytest.mark.parametrize("name", ["doc_to_text", "doc_to_target", "doc_to_choice"])
@pytest.mark.parametrize(
    "template", ["{{answer}}", "{{choices}}", "[[1, {{answer}}]]", "answer", "[{{answer}}", None]
)
def test_a_field_is_what_lm_eval_makes_of_it(
    make: Callable[..., Any], name: str, template: str | None
) -> None:
    task = make()
    plain = getattr(ConfigurableTask, name)

    def given(method: Callable[..., Any]) -> Any:
        try:
            return method(DOC, template)
        except (ValueError, SyntaxError) as e:
            return type(e)

    expected = given(plain.__get__(task))
    assert [given(getattr(task, name)) for _ in range(2)] == [expected, expected]


def test_a_template_is_rendered_once_a_doc(make: Callable[..., Any], rendered: list[str]) -> None:
    task = make()
    for doc in (DOC, dict(DOC), DOC):
        assert (task.doc_to_text(doc), task.doc_to_target(doc)) == ("2 + 2?", 1)
        assert task.doc_to_choice(doc) == ["3", "4"]
    assert sorted(rendered) == sorted(2 * ["{{question}}", "{{answer}}", "{{choices}}"])
    task.doc_to_target(DOC, "{{question}}")
    assert rendered[6:] == ["{{question}}"]


def test_a_list_that_somebody_changes_is_nobody_elses(make: Callable[..., Any]) -> None:
    task = make(doc_to_target="[[{{answer}}], [2]]")
    task.doc_to_choice(DOC).append("5")
    task.doc_to_target(DOC)[0].append(7)
    assert (task.doc_to_choice(DOC), task.doc_to_target(DOC)) == (["3", "4"], [[1], [2]])


def test_what_may_differ_from_call_to_call_is_asked_each_time(
    make: Callable[..., Any], rendered: list[str]
) -> None:
    task = make(doc_to_text="{{choices | random}}", doc_to_target=lambda doc: len(rendered))
    assert {str(task.doc_to_text(DOC)) for _ in range(3)} <= {"3", "4"}
    assert len(rendered) == 3
    assert task.doc_to_target(DOC) == 3
    rendered.append("")
    assert task.doc_to_target(DOC) == 4


def test_an_own_method_stays(make: Callable[..., Any]) -> None:
    class Own(ConfigurableTask):  # type: ignore[misc]
        def doc_to_text(self, doc: Any, doc_to_text: Any = None) -> str:
            return "mine"

    task = make()
    task.__class__ = Own
    del task.doc_to_text
    render_once(task)
    assert "doc_to_text" not in vars(task)
    assert task.doc_to_text(DOC) == "mine"


def test_old_docs_are_forgotten(make: Callable[..., Any], rendered: list[str]) -> None:
    task = make()
    task.doc_to_text(DOC)
    for _ in range(KEPT - 1):
        task.doc_to_text(dict(DOC))
    task.doc_to_text(DOC)
    assert len(rendered) == KEPT
    for _ in range(KEPT):
        task.doc_to_text(dict(DOC))
    task.doc_to_text(DOC)
    assert len(rendered) == 2 * KEPT + 1
