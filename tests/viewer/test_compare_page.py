import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from evalharness.comparison.compare import compare_runs
from evalharness.report.terminal.compare import NOTHING_IN_COMMON, remarks
from evalharness.report.terminal.paired_table import difference, p_value
from evalharness.store.read import find_run
from evalharness.viewer import flips
from stores import make_run
from viewer.pages import assert_harmless, client_of, page, text
from viewer.viewer_store import EVIL, FIRST, SECOND, rewrite

A, B = "one-run", "other-run"
BOTH = {"a": A, "b": B}
GROUPS = {"subjects": ["law", "art"]}


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs A and B: a task, a group, a task of shares, tasks that only one has or that differ, and docs in one only."""
    folder = tmp_path_factory.mktemp("compared")
    sums = [float(i % 2 == 0) for i in range(70)]
    tasks = {"sums": sums, "law": [1.0] * 9, "art": [0.0] * 9, "share": [0.25, 0.5, 1.0]}
    more = {"only": [1.0], "asked": [1.0, 0.0]}
    make_run(folder, A, "alpha", "small", {**tasks, **more}, groups=GROUPS)
    sums = [1.0] * 60 + [None] + sums[61:68] + [0.0, 0.0]  # type: ignore[list-item]
    tasks = {"sums": sums, "law": [1.0] * 9, "art": [1.0] * 9, "share": [0.5, 0.5, 0.25]}
    other = {"asked": {"request_hash": "other"}}
    asked = {"asked": [1.0, 1.0]}
    make_run(folder, B, "beta", "small", {**tasks, **asked}, groups=GROUPS, on_task=other)
    return folder


@pytest.fixture(scope="module")
def client(results_dir: Path) -> Iterator[TestClient]:
    with client_of(results_dir) as client:
        yield client


def flipped(client: TestClient, **query: object) -> list[int]:
    """Docs in the list of flips, in order."""
    found = page(client, "/compare", **{**BOTH, **query})
    listed = found[found.index('id="flips"') :]
    return [int(doc) for doc in re.findall(r'<th scope="row"><a href="[^"]*">(\d+)', listed)]


@pytest.mark.parametrize("any_prompt", [False, True])
def test_a_page_says_what_the_verb_says(
    client: TestClient, results_dir: Path, any_prompt: bool
) -> None:
    runs = [find_run(results_dir, name) for name in (A, B)]
    found = compare_runs(results_dir, *runs, any_prompt=any_prompt)
    shown = text(page(client, "/compare", **BOTH, any_prompt=any_prompt))
    rows = [*found.tasks, found.overall]
    assert len(rows) == 4 + any_prompt
    for row in rows:
        assert row is not None
        assert f"{difference(row.result)}" in shown
        assert f"{p_value(row.p_adjusted)} " in shown
        assert row.verdict in shown
        assert all(note in shown for note in row.notes)
    assert remarks(found)
    assert all(line in shown for line in remarks(found))
    assert ("left out: asked" in shown) is not any_prompt
    assert f"left out: only: only in {A}" in shown


def test_the_tasks_of_groups_are_shown_on_demand(client: TestClient) -> None:
    folded = page(client, "/compare", **BOTH)
    assert "subjects (2 tasks)" in folded
    assert "class=member" not in folded
    link = re.search(r'href="(/compare[^"]*show_all=true[^"]*)"', folded)
    assert link
    assert page(client, html.unescape(link.group(1))).count("class=member") == 2


def test_flips_are_listed_in_both_directions(client: TestClient) -> None:
    assert flipped(client, task="sums", way="better") == list(range(1, 60, 2))
    assert flipped(client, task="sums", way="worse") == [68]
    assert flipped(client, task="sums") == [*range(1, 60, 2), 68]
    shown = text(page(client, "/compare", **BOTH, task="sums"))
    assert "30 wrong in the first and right in the second · 1 right in the first" in shown
    assert flipped(client, task="art", way="better") == list(range(9))
    assert flipped(client, task="art", way="worse") == []
    assert "in this direction" in text(page(client, "/compare", **BOTH, task="art", way="worse"))


def test_without_a_task_the_first_one_with_flips_is_shown(client: TestClient) -> None:
    assert flipped(client) == flipped(client, task="sums")


def test_scores_between_0_and_1_are_better_or_worse_the_largest_change_first(
    client: TestClient,
) -> None:
    assert flipped(client, task="share") == [2, 0]
    shown = text(page(client, "/compare", **BOTH, task="share"))
    assert "1 better in the second · 1 worse in the second · 1 the same" in shown
    assert "0.250" in shown


def test_flips_come_in_pages(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flips, "FLIPS_A_PAGE", 20)
    assert flipped(client, task="sums", way="better", page=2) == list(range(41, 60, 2))
    first = page(client, "/compare", **BOTH, task="sums", way="better")
    link = re.search(r'href="([^"]*page=2)" rel="next"', first)
    assert link
    assert "21–30 of 30 flips" in text(page(client, html.unescape(link.group(1))))


@pytest.mark.parametrize("way", ["any", "better", "worse"])
def test_a_flip_leads_to_its_sample_in_both_runs_within_its_list(
    client: TestClient, way: str
) -> None:
    found = page(client, "/compare", **BOTH, task="share", way=way)
    links = re.findall(r'<th scope="row"><a href="(/runs[^"]*)"', found)
    assert links
    for link in links:
        sample = page(client, html.unescape(link))
        assert sample.count('class="side"') == 2
        assert f"1 of {len(links)}" in text(sample) or f"2 of {len(links)}" in text(sample)


def test_docs_that_are_not_in_both_runs_are_named(client: TestClient, tmp_path: Path) -> None:
    assert f"1 without a score in {B}: doc 60" in text(
        page(client, "/compare", **BOTH, task="sums")
    )
    make_run(tmp_path, A, "alpha", "s", {"t": [1.0] * 30})
    shifted = {"t": {"dataset_fingerprint": "other"}}
    make_run(tmp_path, B, "beta", "s", {"t": [0.0] * 3}, first_doc=2, on_task=shifted)
    refused = text(page(client_of(tmp_path), "/compare", 409, **BOTH))
    assert "--any-prompt compares the 3 in common" in refused
    found = text(page(client_of(tmp_path), "/compare", **BOTH, any_prompt=True))
    assert f"27 only in {A}: docs 0, 1, 5, 6, 7" in found
    assert "22, …" in found


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"tasks": {"t": [1.0]}, "engine": {"kind": "fake"}}, "the fake engine's answers against"),
        ({"tasks": {"else": [1.0]}}, f"left out: t: only in {A}"),
        ({"tasks": {"t": [1.0]}, "on_task": {"t": {"version": "2"}}}, "task version 1.0 against 2"),
        ({"tasks": {"t": [1.0]}, "on_task": {"t": {"status": "failed"}}}, f"failed in {B}"),
        ({"tasks": {}, "status": "failed"}, f"`evalharness resume {B}` continues it"),
    ],
    ids=["fake", "tasks", "version", "failed", "unfinished"],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(
    tmp_path: Path, other: dict[str, object], why: str
) -> None:
    make_run(tmp_path, A, "alpha", "s", {"t": [1.0]})
    make_run(tmp_path, B, "beta", "s", **other)  # type: ignore[arg-type]
    found = text(page(client_of(tmp_path), "/compare", 409, **BOTH))
    assert NOTHING_IN_COMMON in found
    assert why in found
    assert "Flips" not in found


def test_runs_are_chosen_by_a_form(store: Path) -> None:
    client = client_of(store)
    for path in ("/", "/compare", f"/runs/{FIRST}"):
        found = page(client, path)
        form = found[found.index('action="/compare"') :]
        assert f'<option value="{SECOND}"' in form
    empty = page(client, "/compare", a=FIRST)
    assert f'<option value="{FIRST}" selected' in empty
    assert "Choose the baseline first" in empty
    assert "beta against alpha" in text(page(client, "/compare", a="first", b="beta"))


def test_one_run_alone_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    make_run(tmp_path, A, "alpha", "s", {"t": [1.0]})
    client = client_of(tmp_path)
    assert 'action="/compare"' not in page(client, "/") + page(client, f"/runs/{A}")
    assert "fewer than two runs" in page(client, "/compare")


def test_text_of_models_and_files_is_only_shown(store: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(store, tmp_path / "evil"))
    evil = "<img src=x onerror=alert(1)>"
    for run, score in ((A, 1.0), (B, 0.0)):
        make_run(folder, run, evil, evil, {evil: [score], "texts": [score]})
        said = {"prompt": EVIL, "response": EVIL, "answer": EVIL, "target": EVIL}
        rewrite(folder / run, "texts", [said])
    client = client_of(folder)
    for query in ({"task": "texts"}, {"task": evil}):
        found = page(client, "/compare", **BOTH, **query)
        assert_harmless(found)
        assert "&lt;img src=x" in found
    assert "&lt;script&gt;" in page(client, "/compare", **BOTH, task="texts")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"a": "none", "b": B}, 404),
        ({"a": A, "b": "../x"}, 404),
        ({"a": A, "b": "\0"}, 404),
        ({**BOTH, "task": "none"}, 404),
        ({**BOTH, "task": "only"}, 404),
        ({**BOTH, "way": "sideways"}, 422),
        ({**BOTH, "page": 0}, 422),
        ({**BOTH, "any_prompt": "perhaps"}, 422),
        ({"a": "x" * 501, "b": B}, 422),
    ],
    ids=str,
)
def test_a_wrong_address_is_a_page_with_one_line(
    client: TestClient, query: dict[str, object], code: int
) -> None:
    found = page(client, "/compare", code, **query)
    assert found.count('class="problem"') == 1


def test_damaged_samples_are_left_out_as_the_verb_does(results_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(results_dir, tmp_path / "damaged"))
    client = client_of(folder)
    assert "sums" in flipped_tasks(page(client, "/compare", **BOTH))
    path = folder / B / "samples" / "sums.parquet"
    path.write_bytes(path.read_bytes()[:200])
    found = page(client, "/compare", **BOTH)
    assert f"left out: sums: damaged samples in {B}" in text(found)
    assert "sums" not in flipped_tasks(found)
    (folder / B / "metrics.parquet").write_bytes(b"PAR1 nothing PAR1")
    assert "is damaged" in text(page(client, "/compare", 404, **BOTH))


def flipped_tasks(found: str) -> list[str]:
    """Tasks whose flips can be chosen."""
    select = re.search(r'<select name="task">(.*?)</select>', found)
    assert select
    return re.findall(r'value="([^"]*)"', select.group(1))


def test_a_run_of_schema_1_is_compared(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "data" / "schema-1"
    run_id = json.loads((old / "manifest.json").read_text("utf-8"))["run_id"]
    shutil.copytree(old, tmp_path / run_id)
    found = text(page(client_of(tmp_path), "/compare", a=run_id, b=run_id))
    assert "the same run: there is no difference" in found
    assert "0 worse in the second" in found or "0 right in the first and wrong" in found
