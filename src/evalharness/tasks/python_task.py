r"""The base of Python tasks, for what YAML can't express, such as several turns, a verifier of your own or docs made by code.

One file, `tasks/<name>/<name>.py` or `tasks/<name>/task.py`, holds one class and is one task, named as its folder:

    from evalharness.tasks.python_task import PythonTask

    class Doubling(PythonTask):
        metrics = ("acc",)
        stop = ("\n",)

        def docs(self):
            return [{"id": str(n), "number": n} for n in range(100)]

        def prompt(self, doc):
            return f"What is two times {doc['number']}? Answer with the number only.\n"

        def target(self, doc):
            return str(2 * doc["number"])

        def score(self, doc, answer):
            return {"acc": float(answer.strip() == self.target(doc))}

Runner, journal, strategies and tables treat it like one of lm-eval's tasks. All `*.py` files of the folder belong to it
(`from .helper import table` works), and their sha256 is part of the task's identity; code elsewhere isn't, so a change
there needs a new `version`.

A task of several turns also has `solve`. It returns the response that `extract` and `score` get, a string. State that
`score` needs as well goes into it as JSON, and into `gold`, the response of a perfect model. With `import json` above, and
in the class:

        metrics = ("acc", "brier")
        lower_is_better = ("brier",)

        async def solve(self, doc, dialogue):
            first = await dialogue.generate()
            sure = await dialogue.choose(
                dialogue.follow_up(dialogue.prompt, first.text, "Is this right? Answer Yes or No."),
                ["Yes", "No"],
            )
            return json.dumps({"answer": first.text, "p_yes": sure.p_yes})

        def gold(self, doc):
            return json.dumps({"answer": self.target(doc), "p_yes": 1.0})

        def score(self, doc, answer):
            said = json.loads(answer)
            is_right = said["answer"].strip() == self.target(doc)
            return {"acc": float(is_right), "brier": (said["p_yes"] - is_right) ** 2}

An exception in `prompt`, `solve`, `extract` or `score` is an error of that sample: counted and shown, not scored as 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from evalharness.tasks.conversation import Dialogue

Doc = Mapping[str, Any]


class PythonTask(ABC):
    """The definition of a Python task; everything but `docs`, `prompt`, `target` and `score` has a default."""

    version: str = "1"
    """Version; raise it with every change of prompts, extraction or metrics."""
    description: str = ""
    """System message; plain text before the prompt without a chat template."""
    max_gen_toks: int = 256
    """Of each turn."""
    stop: Sequence[str] = ()
    """Strings that end a turn."""
    metrics: ClassVar[Sequence[str]] = ("acc",)
    """Metrics that `score` may return, the main one first, which it must return for every sample."""
    cluster: str | None = None
    """Jinja template over a doc, e.g. "{{passage}}": docs with the same text share a source."""
    lower_is_better: ClassVar[Sequence[str]] = ()
    """Those of `metrics` of which lower is better."""
    aggregations: ClassVar[Mapping[str, Callable[[list[Any]], float]]] = {}
    """Metric -> aggregation of its scores, if that isn't their mean."""

    name: str
    """Name of the folder; set before any method is called."""
    folder: Path
    """Folder of the file, for data beside it; set before any method is called."""

    @abstractmethod
    def docs(self) -> Iterable[Mapping[str, Any]]:
        """The docs, each a dict that JSON can hold, the same ones in every run."""

    @abstractmethod
    def prompt(self, doc: Doc) -> str:
        """The user's message, or the whole prompt of a base model."""

    @abstractmethod
    def target(self, doc: Doc) -> str:
        """The right answer, to be shown beside the model's."""

    @abstractmethod
    def score(self, doc: Doc, answer: str) -> Mapping[str, float]:
        """Metric -> score of one extracted answer."""

    def extract(self, response: str) -> str:
        """The answer in a response, which strategies compare and count, and `score` gets."""
        return response

    def gold(self, doc: Doc) -> str:
        """The response of a perfect model, which checks expect to score 1 (or 0 if lower is better)."""
        return self.target(doc)

    async def solve(self, doc: Doc, dialogue: Dialogue) -> str:
        """A conversation that returns the sample's response."""
        return (await dialogue.generate()).text
