"""A run stores what each metric chose, and scoring it again gives the same."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import own_tasks
from command_line import called
from evalharness.cli.run import stored_config
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
    TasksConfig,
    Variant,
)
from evalharness.runner.rescore import rescore
from evalharness.runner.run import run
from evalharness.store.pairs import Scored, load_changes
from evalharness.store.read import iter_samples, load_manifest
from evalharness.store.write import RunWriter

METRICS = "\n".join(
    f"  - {{{{metric: {m}, aggregation: mean, higher_is_better: true}}}}"
    for m in ("acc", "acc_norm")
)
TASK = own_tasks.CHOICE.replace(
    "  - {{metric: acc, aggregation: mean, higher_is_better: true}}", METRICS
)
ROWS: own_tasks.Rows = [
    {"q": f"q{i}", "choices": ["a", f"somewhat longer {i}", "x" * (i + 1)], "a": i % 3}
    for i in range(12)
]


@pytest.fixture
def run_dir(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    own_tasks.write(tmp_path, "picks", TASK, ROWS)
    config = Config(
        model=ModelConfig(name="m", path=str(tiny_llama), variant=Variant.base),
        engine=EngineConfig(kind=EngineKind.fake),
        suite=SuiteConfig(name="s", tasks={"picks": TaskConfig()}),
        tasks=TasksConfig(trust=True),
        results_dir=str(tmp_path / "results"),
    )
    return run(config).run_dir


def test_a_score_is_whether_the_choice_is_right(run_dir: Path) -> None:
    rows = list(iter_samples(run_dir, "picks"))
    for row in rows:
        doc = ROWS[row.doc_id]
        assert [c.text for c in row.choices] == doc["choices"]
        assert [c.logprob for c in row.choices] == [lp for lp, _ in json.loads(row.response)]
        assert all(c.num_tokens for c in row.choices)
        assert row.gold == (doc["a"],)
        assert row.scores == {m: float(place in row.gold) for m, place in row.chosen.items()}
    assert set(rows[0].chosen) == {"acc", "acc_norm"}
    assert any(row.chosen["acc"] != row.chosen["acc_norm"] for row in rows)


def test_scoring_again_keeps_the_choices(run_dir: Path, tmp_path: Path) -> None:
    before = list(iter_samples(run_dir, "picks"))
    own_tasks.write(tmp_path, "picks", own_tasks.CHOICE, ROWS)  # acc alone
    found = rescore(run_dir.parent, load_manifest(run_dir), stored_config(run_dir))
    assert found.run_dir is not None
    for row, was in zip(iter_samples(found.run_dir, "picks"), before, strict=True):
        assert (row.choices, row.gold) == (was.choices, was.gold)
        assert row.chosen == {"acc": was.chosen["acc"]}


def test_listings_show_the_texts(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row, *_) = iter_samples(run_dir, "picks")
    shown = " ".join(called(("results", "latest", "--samples", "1"), capsys).out.split())
    place = row.chosen["acc"]
    assert f"answer {place}: {row.choices[place].text}" in shown
    assert "somewhat longer 0" in shown
    (content,) = json.loads(called(("results", "latest", "--samples", "1", "--json"), capsys).out)
    assert content["choices"][0] == row.choices[0]._asdict()
    assert (content["chosen"], content["gold"]) == (row.chosen, list(row.gold))


def test_flips_show_what_each_run_chose(run_dir: Path) -> None:
    (before, *_) = rows = list(iter_samples(run_dir, "picks"))
    other = run_dir.parent / "other"
    shutil.copytree(run_dir, other)
    turned = replace(
        before,
        scores={name: 1 - score for name, score in before.scores.items()},
        chosen={name: (place + 1) % 3 for name, place in before.chosen.items()},
    )
    manifest = replace(load_manifest(run_dir), run_id="other")
    RunWriter(other, manifest).write_samples("picks", [turned, *rows[1:]])
    (change,) = load_changes(run_dir, other, "picks", Scored("acc", "none"), 5)
    assert (change.chosen_a, change.chosen_b) == (before.chosen, turned.chosen)
    assert (change.choices_a, change.choices_b) == (before.choices, before.choices)
    assert (change.gold, change.metric) == (before.gold, "acc")
