"""Scoring that takes long must not keep requests from being sent."""

from pathlib import Path

import pytest

from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.runner.run import run
from evalharness.store.read import iter_samples

NUM_DOCS = 6
YAML = """
task: slow
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/docs.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{question}}}}"
generation_kwargs: {{until: ["."], max_gen_toks: 8}}
process_results: !function slow_utils.process_results
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1, scores_in_thread: {ahead}}}
"""
CODE = """
import threading
from functools import lru_cache

@lru_cache(maxsize=None)
def judge(answer):
    return threading.current_thread() is threading.main_thread()

def process_results(doc, results):
    return {"acc": float(judge(results[0]))}
"""


@pytest.mark.parametrize("ahead", [True, False])
def test_slow_scoring_runs_beside_the_event_loop_when_the_task_says_so(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    folder = tmp_path / "tasks" / "slow"
    folder.mkdir(parents=True)
    (folder / "slow.yaml").write_text(YAML.format(folder=folder, ahead=str(ahead).lower()))
    (folder / "slow_utils.py").write_text(CODE)
    rows = [f'{{"question": "question {i}"}}\n' for i in range(NUM_DOCS)]
    (folder / "docs.jsonl").write_text("".join(rows))
    monkeypatch.chdir(tmp_path)
    outcome = run(
        Config(
            model=ModelConfig(name="tiny", path=str(tiny_llama)),
            engine=EngineConfig(kind=EngineKind.fake),
            suite=SuiteConfig(name="s", tasks={"slow": TaskConfig()}),
            run=RunConfig(max_error_rate=0.0),
            results_dir=str(tmp_path / "results"),
        )
    )
    # The score says which thread judged: 1 on the event loop's own.
    scores = [row.scores["acc"] for row in iter_samples(outcome.run_dir, "slow")]
    assert scores == [float(not ahead)] * NUM_DOCS
