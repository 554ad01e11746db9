import html
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from evalharness.viewer import (
    app,
    run_pages,
)
from evalharness.viewer import (
    query as selecting,
)
from stores import make_run
from viewer.pages import assert_harmless, client_of, page, text
from viewer.viewer_store import EVIL, FIRST, NUM_COLOURS, ODD, SECOND, make_store, rewrite


@pytest.fixture(scope="module")
def client(store: Path) -> Iterator[TestClient]:
    with client_of(store) as client:
        yield client


def docs(client: TestClient, run: str = FIRST, task: str = "colours", **query: object) -> list[int]:
    """Docs in a list, in order."""
    found = page(client, f"/runs/{run}/samples", task=task, **query)
    return [int(doc) for doc in re.findall(r'<th scope="row"><a href="[^"]*">(\d+)', found)]


# -- runs ---------------------------------------------------------------------------------------


def test_all_runs_are_listed_with_what_to_filter_by(client: TestClient) -> None:
    found = page(client, "/")
    assert all(f'/runs/{run}"' in found for run in (FIRST, SECOND, ODD))
    assert all(f"<option>{model}</option>" in found for model in ("alpha", "beta", "gamma"))


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        ({"model": "beta"}, {SECOND}),
        ({"suite": "small"}, {FIRST, SECOND}),
        ({"status": "failed"}, set()),
        ({"suite": "small", "model": "gamma"}, set()),
    ],
)
def test_runs_are_filtered(client: TestClient, query: dict[str, str], runs: set[str]) -> None:
    found = page(client, "/", **query)
    assert {run for run in (FIRST, SECOND, ODD) if f'/runs/{run}"' in found} == runs


def test_long_names_break_after_their_marks_and_stay_harmless(tmp_path: Path) -> None:
    make_run(tmp_path, "r", "big_model-v1", "a+b<img src=x>", {"t": [1.0]})
    found = page(client_of(tmp_path), "/")
    assert "<td>big_<wbr>model-<wbr>v1</td><td>a+<wbr>b&lt;img src=x&gt;</td>" in found


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    found = text(page(client_of(tmp_path / "none"), "/"))
    assert "evalharness run model=smollm2-135m suite=quick" in found


def test_a_run_that_has_just_begun_has_no_engine_yet(tmp_path: Path) -> None:
    make_run(tmp_path, "r", "m", "s", {}, status="running", engine={}, checkpoint={})
    client = client_of(tmp_path)
    assert "running – single" in text(page(client, "/"))
    assert "No task is finished yet" in text(page(client, "/runs/r"))


def test_many_runs_come_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_pages, "RUNS_A_PAGE", 3)
    for number in range(4):
        make_run(tmp_path, f"run-{number}", "m", "s", {})
    client = client_of(tmp_path)
    assert page(client, "/").count('<th scope="row">') == 3
    assert page(client, "/", page=2).count('<th scope="row">') == 1
    assert page(client, "/", page=10**9).count('<th scope="row">') == 1


# -- a run --------------------------------------------------------------------------------------


def test_a_run_shows_scores_with_interval_n_and_errors(client: TestClient) -> None:
    found = text(page(client, f"/runs/{FIRST}"))
    assert re.search(r"colours 0\.336 \[0\.\d+, 0\.\d+\] acc 119 1 – –", found), found
    assert "errors: samples without an answer, not scored" in found
    assert "engine vllm 1, float32" in found


def test_first_docs_only_is_marked(tmp_path: Path) -> None:
    limited = {"t": {"num_docs_available": 1000}}
    make_run(tmp_path, "r", "m", "s", {"t": [1.0, 0.0]}, on_task=limited)
    found = text(page(client_of(tmp_path), "/runs/r"))
    assert "2/1,000" in found
    assert "not comparable with published scores" in found


def test_a_groups_own_score_stands_above_its_tasks(tmp_path: Path) -> None:
    tasks = {"t1": [1.0, 0.0], "t2": [1.0, 1.0]}
    make_run(tmp_path, "r", "m", "s", tasks, groups={"both": ["t1", "t2"]})
    found = text(page(client_of(tmp_path), "/runs/r"))
    assert re.search(r"both 0\.750 .* t1 0\.500 .* t2 1\.000", found)


def test_a_running_run_is_shown_with_what_is_there(tmp_path: Path) -> None:
    run = make_run(tmp_path, "r", "m", "s", {"t": [1.0, 0.0]}, status="running", reason="no word")
    (tmp_path / run.run_id / "metrics.parquet").unlink()
    client = client_of(tmp_path)
    assert "running" in text(page(client, "/"))
    assert "tasks appear when they are finished" in text(page(client, "/runs/r"))
    assert docs(client, "r", "t", show="wrong") == [1]  # by the first score that samples have


# -- samples ------------------------------------------------------------------------------------


def test_fifty_samples_a_page_in_the_order_of_docs(client: TestClient) -> None:
    assert docs(client) == list(range(50))
    assert docs(client, page=3) == list(range(100, NUM_COLOURS))
    assert docs(client, page=99) == list(range(100, NUM_COLOURS))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"show": "errors"}, [4]),
        ({"show": "truncated"}, [8]),
        ({"show": "empty"}, [9]),
        ({"contains": "the sky"}, [7]),
        ({"contains": "SKY?<|im_end|>"}, [7]),
        ({"contains": "100% no_such"}, []),
        ({"show": "flipped", "other": SECOND}, [5, 6]),
        ({"show": "better", "other": SECOND}, [6]),
        ({"show": "worse", "other": SECOND}, [5]),
        ({"show": ["truncated", "wrong"]}, [8]),
        ({"show": ["truncated", "right"]}, []),
        ({"show": "flipped"}, []),
        ({"order": "shortest", "show": "wrong", "page": 1}, [119, 118, 116]),
        ({"order": "longest"}, [0, 1, 2]),
        ({"order": "highest"}, [0, 3, 6]),
        ({"order": "lowest"}, [1, 2, 5]),
    ],
    ids=str,
)
def test_filters_and_orders(
    client: TestClient, query: dict[str, object], expected: list[int]
) -> None:
    found = docs(client, **query)
    assert found[:3] == expected
    assert "order" in query or found == expected


def test_right_and_wrong_leave_out_what_has_no_score(client: TestClient) -> None:
    right, wrong = docs(client, show="right"), docs(client, show="wrong")
    assert right == list(range(0, NUM_COLOURS, 3))
    assert len(wrong) == 50
    assert 4 not in wrong
    found = text(page(client, f"/runs/{FIRST}/samples", task="colours"))
    assert "wrong 79" in found
    assert "right 40" in found


def test_a_list_shows_question_answer_and_target(client: TestClient) -> None:
    found = text(page(client, f"/runs/{FIRST}/samples", task="colours", contains="sky"))
    assert "7 ✗ wrong 0.000 Question 7: what colour is the Sky? no yes 493 ended by itself" in found


def test_the_answer_in_a_long_target_stands_beside_the_models(client: TestClient) -> None:
    listed = text(page(client, f"/runs/{FIRST}/samples", task="colours"))
    assert "10 ✗ wrong 0.000 Question 10: what colour is the sea? no blue <script>" in listed
    found = page(client, f"/runs/{FIRST}/sample", task="colours", doc=10)
    assert "answer extracted no from the target blue <script>" in text(found)
    assert re.search(r"<summary>the whole target .*?</summary>.*?It mirrors the sky", found, re.S)
    assert_harmless(found)
    plain = text(page(client, f"/runs/{FIRST}/sample", task="colours", doc=11))
    assert "Answer target yes answer no" in plain


def test_choices_are_shown_by_their_texts(client: TestClient) -> None:
    found = text(page(client, f"/runs/{ODD}/samples", task="texts"))
    assert "1: yes <b> yes <b>" in found  # the answer, and the right choice's text for the target
    one = text(page(client, f"/runs/{ODD}/sample", task="texts", doc=2))
    assert "1 ✓ right yes <b> -0.250 3 acc" in one
    assert "0 no -1.500 1" in one


def test_a_search_says_that_it_reads_and_stops_in_time(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"task": "colours", "contains": "colour is"}
    assert "120 of 120 rows were searched" in text(page(client, f"/runs/{FIRST}/samples", **query))
    monkeypatch.setattr(selecting, "SEARCH_S", 0.0)
    selecting.search.cache_clear()
    stopped = page(client, f"/runs/{FIRST}/samples", **query)
    selecting.search.cache_clear()
    assert "0 of 120 rows" in text(stopped)
    assert "continue the search" in stopped


def test_a_score_that_is_no_share_has_no_right_and_wrong(tmp_path: Path) -> None:
    make_run(tmp_path, "r", "m", "s", {"t": [12.5, 0.5]}, lower_is_better=["t"])
    found = text(page(client_of(tmp_path), "/runs/r/samples", task="t"))
    assert "wrong" not in found
    assert "scored 12.50" in found


def test_where_less_is_better_zero_is_right(tmp_path: Path) -> None:
    make_run(tmp_path, "r", "m", "s", {"t": [0.0, 1.0]}, lower_is_better=["t"])
    make_run(tmp_path, "q", "m", "s", {"t": [1.0, 1.0]}, lower_is_better=["t"])
    client = client_of(tmp_path)
    assert docs(client, "r", "t", show="right") == [0]
    assert docs(client, "r", "t", show="better", other="q") == [0]


def test_runs_on_other_docs_are_joined_by_content(tmp_path: Path) -> None:
    make_run(tmp_path, "r", "m", "s", {"t": [1.0, 1.0, 0.0]}, first_doc=0)
    shifted = {"t": {"dataset_fingerprint": "other"}}
    make_run(tmp_path, "q", "m", "s", {"t": [0.0, 0.0]}, first_doc=1, on_task=shifted)
    # The same two docs, under other ids.
    rewrite(tmp_path / "q", "t", [{"doc_id": 7}, {"doc_id": 3}])
    client = client_of(tmp_path)
    assert docs(client, "r", "t", show="flipped", other="q") == [1]
    assert docs(client, "q", "t", show="flipped", other="r") == [7]


def test_docs_with_the_same_content_count_one_by_one(tmp_path: Path) -> None:
    same = {"on_sample": {"doc_hash": "same"}, "on_task": {"t": {"task_hash": ""}}}
    make_run(tmp_path, "r", "m", "s", {"t": [1.0, 1.0, 0.0]}, **same)  # type: ignore[arg-type]
    make_run(tmp_path, "q", "m", "s", {"t": [1.0, 0.0]}, **same)  # type: ignore[arg-type]
    assert docs(client_of(tmp_path), "r", "t", show="flipped", other="q") == [1]


# -- a sample -----------------------------------------------------------------------------------


def test_a_sample_shows_all_that_was_said(client: TestClient) -> None:
    found = text(page(client, f"/runs/{FIRST}/sample", task="colours", doc=7))
    assert "system Be brief. user Question 7: what colour is the Sky?" in found
    assert "Response I say 0.0." in found
    assert "target yes answer no acc 0.000" in found
    assert (
        "ended by itself · 10 prompt tokens · 493 generated tokens · answered after 0.1s" in found
    )


def test_previous_and_next_stay_in_the_list(client: TestClient) -> None:
    query = {"task": "colours", "show": "right", "order": "shortest", "doc": 6}
    found = page(client, f"/runs/{FIRST}/sample", **query)
    links = re.findall(r'<a href="([^"]*)" rel="(?:prev|next)"', found)
    assert [re.search(r"doc=(\d+)", link).group(1) for link in links] == ["9", "3"]  # type: ignore[union-attr]
    assert all("order=shortest" in link and "show=right" in link for link in links)
    assert "38 of 40" in text(found)


def test_a_sample_outside_the_list_has_no_neighbours(client: TestClient) -> None:
    found = page(client, f"/runs/{FIRST}/sample", task="colours", show="right", doc=1)
    assert "not in this list" in found
    assert 'rel="next"' not in found


def test_the_same_sample_of_another_run_stands_beside_it(client: TestClient) -> None:
    found = text(page(client, f"/runs/{FIRST}/sample", task="colours", doc=5, other=SECOND))
    assert found.count("Question 5:") == 2  # once as a turn, once as it was sent
    assert re.search(r"alpha ✗ wrong .* I say 0\.0\. .* beta ✓ right .* I say 1\.0\.", found)


def test_all_filters_are_shown_with_their_scores(client: TestClient) -> None:
    found = text(page(client, f"/runs/{ODD}/sample", task="texts", doc=2))
    assert "main score 1: yes <b> (of 2, -0.25) acc 1.000 strict [strict] acc 0.000" in found


def test_each_procedure_of_a_strategy_has_its_own_heading(client: TestClient) -> None:
    found = text(page(client, f"/runs/{ODD}/sample", task="texts", doc=0))
    headings = [
        "First answer",
        "Self-correction",
        "Control: asked again",
        "The response as it is stored",
    ]
    places = [found.index(heading) for heading in headings]
    assert places == sorted(places)
    first, critique, control = (found[start:end] for start, end in itertools.pairwise(places))
    assert "first try answer 1 · score 0.000 · 3 tokens, ended by itself" in first
    assert re.search(r"user Look again: .* assistant critique, round 1 it was", critique)
    assert "user Again? assistant answer, round 1 second try answer 2" in control


def test_long_texts_are_folded_until_asked_for(client: TestClient) -> None:
    folded = page(client, f"/runs/{ODD}/sample", task="texts", doc=1)
    assert len(folded) < 40_000
    assert "996,000 characters left out" in folded
    link = html.unescape(re.search(r'href="([^"]*whole=a-response)#', folded).group(1))  # type: ignore[union-attr]
    assert "x" * 1_000_000 in page(client, link)


def test_thinking_is_folded(client: TestClient) -> None:
    found = page(client, f"/runs/{ODD}/sample", task="texts", doc=1)
    assert '<details class="thinking" id="a-thinking-fold">' in found


def test_tokens_say_why_there_are_none(client: TestClient) -> None:
    found = text(page(client, f"/runs/{FIRST}/tokens", task="colours", doc=0))
    assert "doesn't say where its checkpoint is" in found


def test_tokens_of_a_prompt(tmp_path: Path, tiny_llama: Path) -> None:
    from evalharness.checkpoint.identity import hash_tokenizer

    facts = {"path": str(tiny_llama), "tokenizer_hash": hash_tokenizer(tiny_llama)}
    make_run(tmp_path, "r", "m", "s", {"t": [1.0]}, checkpoint=facts)
    make_run(tmp_path, "q", "m", "s", {"t": [1.0]}, checkpoint={**facts, "tokenizer_hash": "x"})
    client = client_of(tmp_path)
    found = page(client, "/runs/r/tokens", task="t", doc=0)
    letters = re.findall(r"<li><code>(.*?)</code>", found)
    assert "".join(letters) == "Question␣0?"
    assert "is no longer the one that the run used" in text(
        page(client, "/runs/q/tokens", task="t", doc=0)
    )


# -- untrusted text -----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["samples", "sample", "tokens"])
def test_text_of_models_is_only_shown(client: TestClient, what: str) -> None:
    found = page(client, f"/runs/{ODD}/{what}", task="texts", doc=0, contains="<script>")
    assert_harmless(found)
    assert "49" not in text(found)  # nothing evaluates {{ 7 * 7 }}


def test_hidden_characters_are_counted(client: TestClient) -> None:
    num = sum(EVIL.count(char) for char in "\x1b\x00\x07\u202e\u202c\u2066\u2069")
    found = text(page(client, f"/runs/{ODD}/sample", task="texts", doc=0))
    assert f"{num} invisible characters" in found


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    make_run(tmp_path, "r", evil, evil, {evil: [1.0, None]}, reason=evil, left_out={evil: evil})
    client = client_of(tmp_path)
    for path in (
        "/",
        "/runs/r",
        f"/runs/r/samples?task={quote(evil)}",
        f"/runs/r/sample?task={quote(evil)}&doc=1",
    ):
        found = page(client, path)
        assert "<img" not in found
        assert "&lt;img" in found


def test_a_task_of_any_name_can_be_opened(client: TestClient) -> None:
    found = page(client, f"/runs/{ODD}")
    link = html.unescape(re.search(r'href="(/runs/[^"]*task=a%2F[^"]*)"', found).group(1))  # type: ignore[union-attr]
    assert "1 of 1 samples" in text(page(client, link))


# -- what isn't there, and who asks ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/runs/none", 404),
        ("/runs/%2e%2e%2f%2e%2e%2fetc", 404),
        ("/runs/..%2F" + FIRST, 404),
        ("/runs/%00", 404),
        ("/runs/" + "x" * 5000, 404),
        (f"/runs/{FIRST}/samples", 422),
        (f"/runs/{FIRST}/samples?task=none", 404),
        (f"/runs/{FIRST}/samples?task=../../{SECOND}/samples/colours", 404),
        (f"/runs/{FIRST}/samples?task=colours&other=none", 404),
        (f"/runs/{FIRST}/samples?task=colours&other=../x", 404),
        (f"/runs/{FIRST}/samples?task=colours&other={ODD}", 404),
        (f"/runs/{FIRST}/samples?task=colours&show=all", 422),
        (f"/runs/{FIRST}/samples?task=colours&order=no", 422),
        (f"/runs/{FIRST}/samples?task=colours&page=0", 422),
        (f"/runs/{FIRST}/samples?task=colours&page=999999999999999999999999", 422),
        (f"/runs/{FIRST}/samples?task=colours&contains={'x' * 501}", 422),
        (f"/runs/{FIRST}/sample?task=colours", 422),
        (f"/runs/{FIRST}/sample?task=colours&doc=999", 404),
        (f"/runs/{FIRST}/sample?task=colours&doc=-1", 422),
        (f"/runs/{FIRST}/sample?task=colours&doc=0&repeat=1", 404),
        (f"/runs/{FIRST}/sample?task=colours&doc=1e3", 422),
        ("/static/..%2fapp.py", 404),
        ("/static/%2e%2e/templates/base.html", 404),
        ("/docs", 404),
        ("/openapi.json", 404),
    ],
)
def test_a_wrong_address_is_a_page_with_one_line(
    client: TestClient, path: str, status: int
) -> None:
    found = page(client, path, status)
    assert "This can’t be shown" in found
    assert len(text(found)) < 6000


@pytest.mark.parametrize(
    "query",
    [
        "contains=%00",
        "contains=%27%3B--",
        "contains=%25_%5C",
        "whole=%00%ff",
        "searched_from=99999999",
    ],
)
def test_an_odd_query_does_no_harm(client: TestClient, query: str) -> None:
    for what in ("samples", "sample"):
        page(client, f"/runs/{FIRST}/{what}?task=colours&doc=0&{query}")


def test_a_fault_of_ours_is_a_page_without_a_traceback(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(app._TEMPLATES.filters, "duration")
    monkeypatch.setattr(app._TEMPLATES, "cache", None)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "this page failed" in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")


def test_nothing_can_be_sent(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/").status_code == 405


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "0.0.0.0", ""]
)
def test_another_host_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 400
    assert FIRST not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9000", "localhost:8000"])
def test_this_machine_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/nothing", f"/runs/{FIRST}", "/static/viewer.css"])
def test_pages_may_load_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"(?:src|href|action)=\"?(?:https?:)?//", answer.text)


# -- damage -------------------------------------------------------------------------------------


@pytest.fixture
def damaged(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store, tmp_path / "damaged"))


def test_a_damaged_manifest_is_a_line_above_the_rest(damaged: Path) -> None:
    (damaged / SECOND / "manifest.json").write_text('{"schema_version": 99}')
    client = client_of(damaged)
    found = text(page(client, "/"))
    assert "schema_version 99" in found
    assert "2 of 2 runs" in found
    assert "schema_version 99" in text(page(client, f"/runs/{SECOND}", 404))


def test_damaged_metrics_are_a_line_and_samples_are_shown(damaged: Path) -> None:
    (damaged / FIRST / "metrics.parquet").write_bytes(b"PAR1 nothing PAR1")
    client = client_of(damaged)
    found = text(page(client, f"/runs/{FIRST}"))
    assert "is damaged" in found
    assert "colours – " in found
    assert docs(client)[:2] == [0, 1]


@pytest.mark.parametrize("keep", [0, 10, 2000])
def test_damaged_samples_are_a_line(damaged: Path, keep: int) -> None:
    path = damaged / FIRST / "samples" / "colours.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    client = client_of(damaged)
    found = page(client, f"/runs/{FIRST}/samples?task=colours", 404)
    assert "samples/colours.parquet can't be read" in html.unescape(found)
    assert docs(client, SECOND)[:2] == [0, 1]


def test_damaged_turns_are_a_line_and_the_sample_is_shown(damaged: Path) -> None:
    path = damaged / ODD / "turns" / "texts.parquet"
    path.write_bytes(path.read_bytes()[:100])
    found = text(page(client_of(damaged), f"/runs/{ODD}/sample", task="texts", doc=0))
    assert "turns/texts.parquet can't be read" in found
    assert "Response Thinking" in found


def test_a_file_that_is_written_anew_is_read_anew(damaged: Path) -> None:
    client = client_of(damaged)
    assert docs(client, show="truncated") == [8]
    rewrite(damaged / FIRST, "colours", [{"finish_reason": "length"}] * NUM_COLOURS)
    assert len(docs(client, show="truncated")) == 50


def test_a_run_of_schema_1_is_read(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "data" / "schema-1"
    run_id = json.loads((old / "manifest.json").read_text("utf-8"))["run_id"]
    shutil.copytree(old, tmp_path / run_id)
    client = client_of(tmp_path)
    links = re.findall(r'href="(/runs/[^"]*/samples[^"]*)"', page(client, f"/runs/{run_id}"))
    found = []
    for link in links:
        listed = page(client, html.unescape(link))
        sample = re.search(r'href="(/runs/[^"]*/sample\?[^"]*)"', listed)
        assert sample
        found.append(text(page(client, html.unescape(sample.group(1)))))
    assert len(found) > 1
    assert all(" Answer target " in shown for shown in found)
    assert any(" Response assistant answer, draw " in shown for shown in found)


def test_the_store_is_never_written(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    client = client_of(store)
    for path in (
        "/",
        f"/runs/{ODD}",
        f"/runs/{ODD}/samples?task=texts&contains=x",
        f"/runs/{ODD}/sample?task=texts&doc=0",
    ):
        page(client, path)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
