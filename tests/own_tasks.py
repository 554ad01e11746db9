"""Small tasks in a ./tasks of their own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness.config.schema import (
    Config,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.tasks.suite import (
    LoadedSuite,
    load_suite,
)

GENERATE = """\
task: {name}
output_type: generate_until
custom_dataset: !function evalharness.tasks.local_rows.load
test_split: test
doc_to_text: "{{{{q}}}}\\nAnswer:"
doc_to_target: "{{{{a}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 8}}
filter_list:
  - name: number
    filter:
      - {{function: regex, regex_pattern: "([0-9]+)"}}
      - {{function: take_first}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
CHOICE = """\
task: {name}
output_type: multiple_choice
custom_dataset: !function evalharness.tasks.local_rows.load
test_split: test
doc_to_text: "{{{{q}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: a
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
Rows = Sequence[dict[str, Any]]
SUMS: Rows = [{"id": str(i), "q": f"What is {i} plus {i}?", "a": str(2 * i)} for i in range(1, 9)]
PICKS: Rows = [
    {"id": str(i), "q": f"Which is {i % 4}?", "choices": [f"{i}{c}" for c in "abcd"], "a": i % 4}
    for i in range(8)
]


def write(here: Path, name: str, yaml: str = GENERATE, rows: Rows = SUMS, **splits: Rows) -> Path:
    """A task in ./tasks; returns its YAML."""
    folder = here / "tasks" / name
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, docs in {"test": rows, **splits}.items():
        text = "".join(json.dumps(row) + "\n" for row in docs)
        (folder / "data" / f"{split}.jsonl").write_text(text)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.format(name=name))
    return path


def load(*names: str, **overrides: Any) -> LoadedSuite:
    """A suite of these tasks."""
    tasks = {name: TaskConfig(**overrides) for name in names}
    return load_suite(Config(model=ModelConfig(name="x"), suite=SuiteConfig(name="s", tasks=tasks)))
