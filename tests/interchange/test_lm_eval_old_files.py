"""Result files of lm-eval 0.3 to 0.4.2, which don't say over how many docs; odd names, odd values, bad files among good."""

import json
import math
import os
import random
from pathlib import Path
from typing import Any

import pytest

from evalharness.errors import EvalHarnessError, StoreError, UserError
from evalharness.interchange.lm_eval_files import Reported, num_docs_behind
from evalharness.interchange.lm_eval_import import Imported, import_path
from evalharness.report.export import run_as_json
from evalharness.report.terminal.run import run_table
from evalharness.store.read import iter_samples, load_manifest, load_metrics


def share(num_right: int, n: int) -> tuple[float, float]:
    """Value and standard error as lm-eval's `mean` and `mean_stderr` give them."""
    mean = num_right / n
    variance = sum((x - mean) ** 2 for x in [1.0] * num_right + [0.0] * (n - num_right)) / (n - 1)
    return mean, math.sqrt(variance) / math.sqrt(n)


def v03(**scores: tuple[float, float]) -> dict[str, Any]:
    return {
        "results": {t: {"acc": value, "acc_stderr": error} for t, (value, error) in scores.items()},
        "versions": dict.fromkeys(scores, 0),
        "config": {"model": "hf-causal", "model_args": "pretrained=/models/Tiny-7B,dtype=x", "num_fewshot": 3, "limit": None},
    }  # fmt: skip


def v040() -> dict[str, Any]:
    """With groups by indentation, as 0.4.0 and 0.4.1 have them, and a task whose only score is no share."""
    results = {
        "glue": {"acc,none": 0.55, "acc_stderr,none": 0.041, "alias": "glue"},
        "inner": {"acc,none": 0.6, "acc_stderr,none": 0.05, "alias": " - inner"},
        "rte": dict(zip(("acc,none", "acc_stderr,none"), share(120, 200), strict=True)) | {"alias": "  - rte"},
        "wnli": dict(zip(("acc,none", "acc_stderr,none"), share(43, 71), strict=True)) | {"alias": "  - wnli"},
        "sst2": dict(zip(("acc,none", "acc_stderr,none"), share(500, 872), strict=True)) | {"alias": " - sst2"},
        "wikitext": {"word_perplexity,none": 12.5, "word_perplexity_stderr,none": "N/A", "alias": "wikitext"},
    }  # fmt: skip
    return {
        "results": results,
        "versions": {},
        "n-shot": {"rte": 2},
        "config": {"model_args": "pretrained=org/m"},
    }


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def import_one(path: Path, store: Path, **options: Any) -> Imported:
    (run,) = import_path(path, store, **options).runs
    return run


@pytest.mark.parametrize(("num_right", "n"), [(1, 2), (1, 50_000), (322, 900), (20_001, 40_430)])
def test_n_follows_from_a_share_and_its_standard_error(num_right: int, n: int) -> None:
    assert num_docs_behind([Reported(*share(num_right, n))]) == n


@pytest.mark.parametrize(
    "reported",
    [
        [(0.0, 0.0)], [(1.0, 0.0)], [(0.5, math.nan)], [(0.5, 0.0)], [(12.5, 0.1)], [(math.inf, math.nan)],
        [(0.41234, 0.01234)], [share(1, 4), share(1, 5)],
    ],
)  # fmt: skip
def test_nothing_else_tells_n(reported: list[tuple[float, float]]) -> None:
    assert num_docs_behind([Reported(*pair) for pair in reported]) is None


def test_scores_that_are_no_shares_give_no_n() -> None:
    draw = random.Random(1)
    found = 0
    for _ in range(2000):
        scores = [draw.random() for _ in range(draw.randrange(5, 200))]
        mean = sum(scores) / len(scores)
        error = math.sqrt(sum((x - mean) ** 2 for x in scores) / (len(scores) - 1) / len(scores))
        found += num_docs_behind([Reported(mean, error)]) is not None
    assert found == 0


def test_a_file_of_version_03_is_imported_and_its_n_marked(tmp_path: Path) -> None:
    path = write(
        tmp_path / "Tiny-7B_bbh_3-shot.json", v03(dates=share(12, 50), snarks=share(9, 30))
    )
    run = import_one(path, tmp_path / "store")
    assert {m.task: (m.metric, m.filter, m.value, m.n) for m in run.metrics} == {
        "dates": ("acc", "none", 0.24, 50),
        "snarks": ("acc", "none", 0.3, 30),
    }
    assert {task.num_fewshot for task in run.manifest.tasks} == {3}
    assert (run.manifest.model, run.manifest.status) == ("Tiny-7B", "complete")
    mark = "n is derived from value and standard error, the file doesn't give it: dates, snarks"
    stored = load_manifest(tmp_path / "store" / run.manifest.run_id)
    assert stored.remarks == (mark,)
    assert stored.config["import"]["n_derived"] == ["dates", "snarks"]
    assert run_as_json(stored, run.metrics)["remarks"] == [mark]
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as capture:
        console.print(run_table(stored, run.metrics, run_dir="", width=200))
    assert mark in capture.get()


def test_groups_of_version_040_are_seen_by_their_indentation(tmp_path: Path) -> None:
    run = import_one(write(tmp_path / "results.json", v040()), tmp_path / "store")
    assert {t.task: (t.group, t.num_docs, t.num_fewshot) for t in run.manifest.tasks} == {
        "rte": ("glue", 200, 2),
        "wnli": ("glue", 71, 0),
        "sst2": ("glue", 872, 0),
    }
    assert {(m.task, m.n) for m in run.metrics if m.is_main} >= {("glue", 1143), ("inner", 271)}
    assert run.manifest.groups == {"inner": ["rte", "wnli"]}
    assert run.manifest.status == "partial"
    assert list(run.manifest.left_out) == ["wikitext"]


def test_samples_of_version_040_are_one_list_named_by_the_models_arguments(tmp_path: Path) -> None:
    samples = [
        {"doc_id": i, "doc": {"id": i}, "target": "1", "arguments": [["2+2?", " 3"], ["2+2?", " 4"]],
         "resps": [[["-1.0", "False"]], [["-0.5", "True"]]], "filtered_resps": [["-1.0", "False"], ["-0.5", "True"]],
         "acc": float(i < 120)}
        for i in range(200)
    ]  # fmt: skip
    path = write(tmp_path / "in" / "results.json", v040())
    write(path.with_name("pretrained__org__m_rte.jsonl"), samples)
    run = import_one(path, tmp_path / "store")
    stored = list(iter_samples(tmp_path / "store" / run.manifest.run_id, "rte"))
    assert [s.scores["acc"] for s in stored] == [s["acc"] for s in samples]
    assert run.manifest.config["import"]["n_derived"] == ["wnli", "sst2"]
    assert not [note for note in run.notes if note.startswith("rte")]


def test_a_limit_of_unknown_docs_is_said(tmp_path: Path) -> None:
    content = v03(dates=share(12, 50))
    content["config"]["limit"] = 50
    run = import_one(write(tmp_path / "results.json", content), tmp_path / "store")
    assert "first docs only (limit 50)" in run.manifest.remarks[1]


def test_a_perplexity_is_better_when_lower_though_the_file_does_not_say(tmp_path: Path) -> None:
    content = v03(a=share(5, 9))
    content["results"]["a"] |= {"word_perplexity": 12.5, "ppl": 2.0}
    run = import_one(write(tmp_path / "results.json", content), tmp_path / "store")
    assert {m.metric: m.higher_is_better for m in run.metrics} == {
        "acc": True,
        "word_perplexity": False,
        "ppl": False,
    }


def test_an_infinite_score_stays_one(tmp_path: Path) -> None:
    content = v03(a=share(5, 9))
    content["results"]["a"] |= {"mae": math.inf, "mae_stderr": math.nan, "gain": -math.inf}
    run = import_one(write(tmp_path / "results.json", content), tmp_path / "store")
    stored = {m.metric: m for m in load_metrics(tmp_path / "store" / run.manifest.run_id)}
    assert (stored["mae"].value, stored["gain"].value) == (math.inf, -math.inf)
    assert math.isnan(stored["mae"].ci_low)
    assert not stored["mae"].higher_is_better


def test_one_bad_file_stops_no_other_and_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write(folder / "a" / "results_2025-03-05T00-33-06.json", {"results": {"x": {"f1,none": 0.5}}})
    write(folder / "b" / "results_2025-03-06T00-00-00.json", v03(x=share(3, 8)))
    write(folder / "results_torn.json", {})
    outcome = import_path(folder, tmp_path / "store")
    assert [run.metrics[0].n for run in outcome.runs] == [8]
    assert sorted(Path(line.split("'")[1]).name for line in outcome.unreadable) == [
        "results_2025-03-05T00-33-06.json",
        "results_torn.json",
    ]


NAMES = [b"bad\xff.json", b"new\nline.json", "é [x]*?.json".encode(), b"x" * 240 + b".json", b"results\x1b[31m.json", b"-.json"]  # fmt: skip


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        content = json.dumps(v03(x=share(3, 8)) | {"git_hash": number})
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_text(content)
    write(folder / "tokenizer.json", {"results": {"x": {}}})
    write(folder / "list.json", [1])
    outcome = import_path(folder, tmp_path / "store")
    assert (len(outcome.runs), outcome.unreadable) == (len(NAMES), [])
    for run in outcome.runs:
        assert load_manifest(tmp_path / "store" / run.manifest.run_id).status == "complete"


def test_an_error_is_one_line_of_at_most_300_characters(tmp_path: Path) -> None:
    tasks = {f"bigbench_a_long_name_{i}": {"f1,none": 0.5} for i in range(60)}
    path = write(tmp_path / ("x" * 200) / ("y" * 200) / "results.json", {"results": tasks})
    with pytest.raises(StoreError) as caught:
        import_path(path, tmp_path / "store")
    line = f"error: {caught.value}"
    assert "bigbench_a_long_name_0" in line or "..." in line
    assert "\n" not in line
    assert len(line) <= 300
    folder_error = import_path_error(tmp_path, tmp_path / "store")
    assert len(folder_error) <= 293


def import_path_error(path: Path, store: Path) -> str:
    with pytest.raises(StoreError) as caught:
        import_path(path, store)
    return str(caught.value)


ENTRY = "hub_id: Lab/Tiny-7B\nrelease_date: 2024-01-02\npath: w\n"


NAMED = [
    ("lab/tiny-7b", None), ("Lab/Tiny-7B", None), ("tiny", None), ("/models/TINY", None),
    ("/root/.cache/huggingface/hub/models--Lab--Tiny-7B/snapshots/0123abc", None),
    ("other", "Tiny"), ("other", "lab/Tiny-7B"),
]  # fmt: skip


@pytest.mark.parametrize(("in_file", "given"), NAMED)
def test_a_model_has_its_entrys_name_however_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_file: str, given: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "configs" / "model" / "tiny.yaml").write_text(ENTRY)
    content = v03(x=share(3, 8))
    content["config"]["model_args"] = f"pretrained={in_file}"
    run = import_one(write(tmp_path / "results.json", content), tmp_path / "store", model=given)
    assert run.manifest.model == "tiny"
    assert str(run.manifest.config["model"]["release_date"]) == "2024-01-02"


@pytest.mark.parametrize("limit", [10, 10.0, "10", " 10.0"])
def test_a_derived_n_beyond_the_runs_limit_is_no_n(tmp_path: Path, limit: Any) -> None:
    content = v03(x=share(100, 200), y=share(3, 8))
    content["config"]["limit"] = limit
    run = import_one(write(tmp_path / "limited.json", content), tmp_path / "store")
    assert [metric.task for metric in run.metrics] == ["y"]
    (why,) = run.manifest.left_out.values()
    assert (
        why == "value and standard error give 200 docs, but the run was limited to 10 of each task"
    )
    assert any(remark.startswith("first docs only (limit 10), ") for remark in run.manifest.remarks)
    content["config"]["limit"] = 0.5  # a share of the docs
    run = import_one(write(tmp_path / "half.json", content), tmp_path / "store")
    assert [metric.n for metric in run.metrics] == [200, 8]


def perplexities(**config: Any) -> dict[str, Any]:
    content = v03(x=share(3, 8))
    scores = {"word_perplexity": 12.5, "byte_perplexity": 1.7, "bits_per_byte": 0.8}
    return content | {"results": {"wikitext": scores}, "config": content["config"] | config}


def test_of_perplexities_alone_the_user_says_n(tmp_path: Path) -> None:
    path = write(tmp_path / "old.json", perplexities())
    with pytest.raises(StoreError, match=r"--num-docs TASK=N$"):
        import_path(path, tmp_path / "store")
    run = import_one(path, tmp_path / "store", num_docs={"wikitext": 62})
    assert {metric.n for metric in run.metrics} == {62}
    assert run.manifest.tasks[0].num_docs == 62
    assert run.manifest.remarks == (
        "n was given with --num-docs, the file doesn't give it: wikitext",
    )
    assert run.manifest.config["import"]["n_given"] == ["wikitext"]
    with pytest.raises(UserError, match="remove that folder to import it with --num-docs"):
        import_path(path, tmp_path / "store", num_docs={"wikitext": 63})


@pytest.mark.parametrize(
    ("content", "num_docs", "why"),
    [
        (perplexities(), {"wikitxt": 62}, "no task 'wikitxt' in what is imported; did you mean 'wikitext'?"),
        (perplexities(limit="10"), {"wikitext": 62}, "--num-docs says 62 docs, but the run was limited to 10 of each task"),
        (v03(x=share(3, 8)), {"x": 9}, "--num-docs says 9 docs, the file (or its samples) 8"),
    ],
)  # fmt: skip
def test_an_n_that_cant_be_is_refused(
    tmp_path: Path, content: dict[str, Any], num_docs: dict[str, int], why: str
) -> None:
    with pytest.raises(EvalHarnessError) as error:
        import_path(write(tmp_path / "old.json", content), tmp_path / "store", num_docs=num_docs)
    assert why in str(error.value)


@pytest.mark.parametrize("limit", [None, True, "None", "", [10], 10**400])
def test_what_is_no_limit_is_none(tmp_path: Path, limit: Any) -> None:
    content = v03(x=share(100, 200))
    content["config"]["limit"] = limit
    run = import_one(write(tmp_path / "odd.json", content), tmp_path / "store")
    assert [metric.n for metric in run.metrics] == [200]
    assert not any("limit" in remark for remark in run.manifest.remarks)


def test_answers_of_lm_evals_dummy_model_are_made_up(tmp_path: Path) -> None:
    content = v03(x=share(3, 8))
    content["config"]["model"] = "dummy"
    assert import_one(write(tmp_path / "dummy.json", content), tmp_path / "store").manifest.is_fake
