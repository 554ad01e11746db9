"""Procedural tasks: problems that reasoning-gym makes from a seed, judged by its own verifiers. One YAML is one task.

    task: graph_paths
    class: !function evalharness.tasks.procedural.task.ProceduralTask
    procedural:
      generator: shortest_path              # or `generators: {shortest_path: {max_rows: 6}, gcd: {}}`, taking turns
      size: 100
      seed: 42                              # or `fresh`
      difficulty: {max_rows: 6}             # the generator's own fields, and `level: n` of its curriculum
      instruction: "..."                    # after each question, instead of the usual one
      docs_sha256: 6ad1...                  # refuse to run on any other docs
    description: ""                         # system message
    generation_kwargs: {max_gen_toks: 1024}
    metadata: {version: 1.0}

The same seed gives the same docs on every machine; their sha256 is in every run's manifest as `dataset_fingerprint`,
and that of a run without a limit can be pinned as `docs_sha256`. `seed: fresh` is the seed of the day (UTC): no earlier
corpus contains the set, all models evaluated on one day get the same docs, and a run that is resumed on the same day
continues. The manifest shows the seed beside the generator's name. EVALHARNESS_FRESH_SEED replaces it, to continue a
run of another day or to keep the set secret.

Metrics: `acc`, 1 if the verifier gives the full score, and `score`, the verifier's score with partial credit. The
answer is the content of the last <answer>...</answer> of the response (its end may be missing), else in the last line
that isn't empty, without a leading "Answer:".
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.errors import TaskError, did_you_mean
from evalharness.tasks.loaded_task import doc_hash
from evalharness.tasks.procedural import generators
from evalharness.tasks.procedural.generators import Generator
from evalharness.tasks.python.adapter import ServedTask
from evalharness.tasks.python_task import Doc, PythonTask

FRESH_SEED = "EVALHARNESS_FRESH_SEED"
INSTRUCTION = (
    "Give the final answer between <answer> and </answer>, in the form that the question asks for."
)

_FIELDS = ("task", "class", "procedural", "description", "generation_kwargs", "metadata")
_LABEL = re.compile(r"^\W*(the )?(final )?answer( is\b|\s*:)[\s:*]*", re.IGNORECASE)
_START, _END = "<answer>", "</answer>"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProceduralSpec:
    """The `procedural:` block of a task."""

    size: int
    seed: int | str
    generator: str | None = None
    difficulty: Mapping[str, Any] = field(default_factory=dict)
    generators: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """Generator -> its difficulty, if there are several."""
    instruction: str = INSTRUCTION
    docs_sha256: str | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            TaskError: a field is wrong; the message names it.
        """
        for name, kind in (("difficulty", Mapping), ("generators", Mapping), ("instruction", str)):
            if not isinstance(getattr(self, name), kind):
                raise TaskError(f"procedural.{name}: got {getattr(self, name)!r}")
        if not isinstance(self.size, int) or self.size < 1:
            raise TaskError(f"procedural.size: got {self.size!r}; give a number from 1")
        is_number = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        if self.seed != "fresh" and not (is_number and 0 <= int(self.seed) < 2**31):
            raise TaskError(
                f"procedural.seed: got {self.seed!r}; give a number from 0 to 2^31 - 1, or fresh"
            )
        if bool(self.generator) == bool(self.generators) or (self.generators and self.difficulty):
            raise TaskError(
                "procedural: give either `generator` with its `difficulty`, or `generators`, each with its own"
            )

    def parts(self) -> dict[str, Mapping[str, Any]]:
        """Generator -> difficulty."""
        if self.generator:
            return {self.generator: self.difficulty}
        return {name: difficulty or {} for name, difficulty in self.generators.items()}


class ProceduralTask(ServedTask):
    """The class that `class:` in a procedural task's YAML names."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Make the docs.

        Raises:
            TaskError: a field is wrong, reasoning-gym isn't installed, or the docs aren't those pinned.
        """
        for name in config:
            if name not in _FIELDS:
                raise TaskError(
                    f"field {name!r} doesn't apply to a procedural task{did_you_mean(name, _FIELDS)} "
                    f"It has: {', '.join(_FIELDS)}."
                )
        spec = read_spec(config.get("procedural"))
        seed = fresh_seed() if spec.seed == "fresh" else int(spec.seed)
        metadata = dict(config.get("metadata") or {})
        place = str(metadata.pop("config_source", "inline"))
        source = Procedural(spec, seed)
        source.name, source.folder = str(config["task"]), Path(place).parent
        source.version = str(metadata.pop("version", source.version))
        source.description = str(config.get("description") or "")
        super().__init__(
            source,
            generation_kwargs=config.get("generation_kwargs"),
            identity={
                **metadata,
                "reasoning_gym": generators.VERSION,
                "seed": seed,
                "generators": {name: dict(value) for name, value in spec.parts().items()},
            },
            place=place,
        )
        self.DATASET_PATH = "reasoning_gym"
        self.DATASET_NAME = f"{'+'.join(spec.parts())} seed {seed}"
        if spec.docs_sha256 and spec.docs_sha256 != self.docs_sha256():
            raise TaskError(
                f"procedural.docs_sha256: the docs made here have {self.docs_sha256()}, not {spec.docs_sha256}; "
                "scores of the two can't be compared"
            )

    def docs_sha256(self) -> str:
        """The `dataset_fingerprint` of a run without a limit."""
        hashes = [doc_hash(doc) for doc in self.eval_docs]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()


class Procedural(PythonTask):
    """Generators taking turns."""

    metrics = ("acc", "score")
    max_gen_toks = 1024

    def __init__(self, spec: ProceduralSpec, seed: int) -> None:
        """Set the generators up.

        Raises:
            TaskError: one doesn't exist or refuses its difficulty.
        """
        self._spec, self._seed = spec, seed
        parts = spec.parts()
        self._generators = {
            name: Generator(
                name, size=-(-spec.size // len(parts)), seed=seed, difficulty=difficulty
            )
            for name, difficulty in parts.items()
        }

    def docs(self) -> Iterator[dict[str, Any]]:
        """Question and answer, without the verifier's other data, which is made again from the seed."""
        names = list(self._generators)
        for number in range(self._spec.size):
            index, turn = divmod(number, len(names))
            name = names[turn]
            problem = self._generators[name].problem(index)
            doc = {"id": f"{name}-{self._seed}-{index}", "generator": name, "index": index}
            answer = problem.gold if problem.is_gold_stable else ""
            yield {**doc, "question": problem.question, "answer": answer}

    def prompt(self, doc: Doc) -> str:
        """The question, with instructions for marking the answer."""
        return f"{doc['question'].rstrip()}\n\n{self._spec.instruction}"

    def target(self, doc: Doc) -> str:
        """A right answer; often there are more, and for a few generators none is known."""
        return self._generators[doc["generator"]].problem(doc["index"]).gold

    def gold(self, doc: Doc) -> str:
        """The answer in its tags."""
        return f"<answer>{self.target(doc)}</answer>"

    def extract(self, response: str) -> str:
        """The answer in its tags, else the last line."""
        return extract_answer(response)

    def score(self, doc: Doc, answer: str) -> dict[str, float]:
        """The score of the generator's verifier."""
        score = self._generators[doc["generator"]].score(doc["index"], answer)
        return {"acc": float(score >= 1), "score": score}


def read_spec(block: Any) -> ProceduralSpec:
    """The `procedural:` block of a task's YAML.

    Raises:
        TaskError: a field is unknown, missing or wrong.
    """
    known = list(ProceduralSpec.__dataclass_fields__)
    if not isinstance(block, Mapping):
        raise TaskError(f"procedural: got {block!r}; give a block with {', '.join(known)}")
    for name in block:
        if name not in known:
            raise TaskError(f"procedural: unknown field {name!r}{did_you_mean(str(name), known)}")
    missing = [name for name in ("size", "seed") if name not in block]
    if missing:
        raise TaskError(f"procedural.{missing[0]} is missing")
    return ProceduralSpec(**block)


def extract_answer(response: str) -> str:
    """The last <answer>, else the last line that isn't empty, without a label; '' for an empty response."""
    end = response.rfind(_END)
    end = len(response) if end < 0 else end
    start = response.rfind(_START, 0, end)
    if start >= 0:
        return response[start + len(_START) : end].strip()
    lines = [line.strip() for line in response.splitlines() if line.strip()]
    return _LABEL.sub("", lines[-1]) if lines else ""


def fresh_seed() -> int:
    """The seed of the day (UTC), or that of the environment.

    Raises:
        TaskError: EVALHARNESS_FRESH_SEED isn't a number.
    """
    given = os.environ.get(FRESH_SEED)
    if given is None:
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        return int(hashlib.sha256(f"evalharness {day}".encode()).hexdigest()[:8], 16) % 2**31
    if not given.isdecimal() or int(given) >= 2**31:
        raise TaskError(f"{FRESH_SEED}: got {given!r}; give a number from 0 to 2^31 - 1")
    return int(given)
