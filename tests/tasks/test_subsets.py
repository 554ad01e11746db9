"""Which docs a limited run takes."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import own_tasks as own
from evalharness.config.schema import (
    Config,
    LimitFrom,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.errors import TaskError
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.subsets import Subset, allocate, category, category_field, draw, first
from evalharness.tasks.suite import load_suite


def hashes_of(texts: Sequence[str]) -> bytes:
    return b"".join(hashlib.sha256(text.encode()).digest() for text in texts)


def drawn(texts: Sequence[str], limit: int, seed: int = 0, kinds: Sequence[str] = ()) -> list[int]:
    return list(draw(hashes_of(texts), kinds or [""] * len(texts), limit, seed).doc_ids)


def load(name: str, run: RunConfig, **overrides: Any) -> LoadedTask:
    suite = SuiteConfig(name="s", tasks={name: TaskConfig(**overrides)})
    return load_suite(Config(model=ModelConfig(name="x"), suite=suite, run=run)).tasks[0]


DOCS = [f"doc {i}" for i in range(100)]


def test_seed_0_draws_these_docs() -> None:
    """They are those of every limited run there is: other ones would be other experiments."""
    assert drawn(DOCS, 8) == [6, 34, 37, 49, 57, 62, 88, 93]
    expected = {
        "arc_easy_sample": [24, 26, 40, 62, 80, 119, 129, 134],
        "graph_paths": [26, 43, 55, 56, 71, 73, 97, 99],  # generated docs
    }
    for name, doc_ids in expected.items():
        assert list(load(name, RunConfig(limit=8)).subset.doc_ids) == doc_ids


def test_another_seed_draws_others() -> None:
    assert drawn(DOCS, 8, seed=1) != drawn(DOCS, 8)


def test_shuffled_docs_give_the_same_docs() -> None:
    shuffled = DOCS[::-3] + [text for text in DOCS if text not in DOCS[::-3]]
    kinds = [text[-1] for text in DOCS]
    taken = {DOCS[i] for i in drawn(DOCS, 25, kinds=kinds)}
    again = drawn(shuffled, 25, kinds=[text[-1] for text in shuffled])
    assert {shuffled[i] for i in again} == taken


def test_more_docs_hold_those_of_fewer() -> None:
    assert set(drawn(DOCS, 10)) < set(drawn(DOCS, 50))


def test_of_equal_docs_the_first_are_taken() -> None:
    assert drawn(["same"] * 10, 3) == [0, 1, 2]


UNEQUAL = [str(math.isqrt(6 * i)) for i in range(len(DOCS))]


@pytest.mark.parametrize("kinds", [[""] * len(DOCS), UNEQUAL])
def test_each_doc_is_as_likely_as_any_other(kinds: Sequence[str]) -> None:
    """Also where there are more categories, some of one doc and some of eight, than docs to take."""
    assert len(set(kinds)) in (1, 24)
    num_seeds = 400
    times = [0] * len(DOCS)
    for seed in range(num_seeds):
        for doc_id in drawn(DOCS, 20, seed, kinds):
            times[doc_id] += 1
    chi2 = sum((n - 0.2 * num_seeds) ** 2 / (0.2 * 0.8 * num_seeds) for n in times)
    assert 60 < chi2 < 150  # 99 degrees of freedom: .0005 to .9993


Counts = st.dictionaries(st.text(max_size=3), st.integers(0, 40), min_size=1, max_size=8)


@given(Counts.filter(lambda counts: sum(counts.values()) > 0), st.data())
def test_shares_are_proportional_whole_and_of_no_order(counts: dict[str, int], data: Any) -> None:
    total = sum(counts.values())
    filled = [name for name, count in counts.items() if count]
    num = data.draw(st.integers(len(filled), total))
    seats = allocate(counts, num)
    assert sum(seats.values()) == num
    assert all(0 <= seats[name] <= counts[name] for name in counts)
    assert all(seats[name] for name in filled)
    if not any(seats[name] == 1 > num * counts[name] / total for name in filled):
        assert all(abs(seats[name] - num * counts[name] / total) < 1 for name in counts)
    assert allocate(dict(reversed(counts.items())), num) == seats


@pytest.mark.parametrize(
    ("counts", "num", "seats"),
    [
        ({"a": 50, "b": 30, "c": 20}, 10, {"a": 5, "b": 3, "c": 2}),
        ({"a": 47, "b": 33, "c": 20}, 10, {"a": 5, "b": 3, "c": 2}),  # 4.7, 3.3, 2
        ({"a": 96, "b": 2, "c": 2}, 10, {"a": 8, "b": 1, "c": 1}),  # 9.6, .2, .2: each has one
        ({"a": 9, "none": 0}, 3, {"a": 3, "none": 0}),
    ],
)
def test_shares(counts: dict[str, int], num: int, seats: dict[str, int]) -> None:
    assert allocate(counts, num) == seats


def test_a_draw_gives_each_category_its_share() -> None:
    kinds = ["often"] * 90 + ["seldom"] * 8 + ["once"] * 2
    subset = draw(hashes_of(DOCS), kinds, 20, 0)
    assert subset.seats == {"often": 18, "seldom": 1, "once": 1}
    taken = [kinds[i] for i in subset.doc_ids]
    assert {kind: taken.count(kind) for kind in set(kinds)} == dict(subset.seats)
    assert subset.num_raised == 1  # once: 1 of 20 where its share is .4
    twice = draw(hashes_of(DOCS), ["often"] * 95 + ["seldom"] * 5, 10, 0)
    assert (twice.seats["seldom"], twice.num_raised) == (1, 1)  # its share is .5


def test_fewer_docs_than_categories_are_drawn_without_regard_to_them() -> None:
    kinds = ["often"] * 90 + ["seldom"] * 8 + ["once"] * 2
    subset = draw(hashes_of(DOCS), kinds, 2, 0)
    assert list(subset.doc_ids) == drawn(DOCS, 2)
    assert sum(subset.seats.values()) == 2
    assert subset.num_empty >= 1
    assert not subset.is_stratified
    assert subset.num_raised == 0


def test_categories_of_equal_claim_are_chosen_by_the_seed_not_by_name() -> None:
    kinds = [f"kind {i % 50}" for i in range(100)]
    found = set()
    for seed in range(20):
        seats = draw(hashes_of(DOCS), kinds, 55, seed).seats
        found.add(frozenset(kind for kind in seats if seats[kind] == 2))
    assert len(found) > 15


@pytest.mark.parametrize(
    ("doc", "by", "expected"),
    [
        ({"kind": "a"}, "kind", '"a"'),
        ({"kind": ["b", {"a": 1}]}, "kind", '["b", {"a": 1}]'),  # no dict has such a key
        ({"kind": 1}, "kind", "1"),
        ({"kind": ""}, "kind", '""'),
        ({"kind": None}, "kind", "null"),
        ({}, "kind", "null"),
        ({"kind": "a\ud800"}, "kind", '"a\\ud800"'),
        ({"kind": "a", "n": 3}, "{{kind}}-{{n % 2}}", "a-1"),
    ],
)
def test_category(doc: dict[str, Any], by: str, expected: str) -> None:
    assert category(doc, by) == expected


def test_which_field_says_the_category() -> None:
    assert category_field({"q": 1, "category": 2, "group": 3}) == "group"
    assert category_field({"q": 1, "subject": 2}) == "subject"
    assert category_field({"q": 1}) == category_field("a text") == ""


def test_first_docs() -> None:
    assert first(10, 4) == Subset(range(4), 10)
    assert (first(10, 4).is_random, draw(hashes_of(DOCS), [""] * 100, 4, 0).is_random) == (
        False,
        True,
    )
    assert first(10, 40).doc_ids == first(10, None).doc_ids == range(10)


ROWS = [{"q": f"{i}?", "a": str(i), "category": "abc"[i // 20]} for i in range(45)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_task_with_categories_is_stratified(here: Path) -> None:
    own.write(here, "mine", rows=ROWS)
    loaded = load("mine", RunConfig(limit=9))
    assert loaded.stratified_by == "category"
    taken = [doc["category"] for _, doc in loaded.scored_docs()]
    assert [taken.count(c) for c in "abc"] == [4, 4, 1]
    assert loaded.num_docs == 9
    assert loaded.num_docs_available == 45
    assert [doc["a"] for _, doc in loaded.scored_docs()] == [str(i) for i in loaded.subset.doc_ids]


def test_other_categories_and_none(here: Path) -> None:
    yaml = own.GENERATE.replace("version: 1.0", 'version: 1.0, stratify: "{{{{a|int % 2}}}}"')
    own.write(here, "mine", yaml, rows=ROWS)
    run = RunConfig(limit=10)
    assert dict(load("mine", run).subset.seats) == {"0": 5, "1": 5}
    assert dict(load("mine", run, stratify="category").subset.seats) == {
        '"a"': 5, '"b"': 4, '"c"': 1,
    }  # fmt: skip
    assert dict(load("mine", run, stratify="").subset.seats) == {"": 10}


def test_how_a_limit_is_stratified_is_no_part_of_the_task(here: Path) -> None:
    own.write(here, "mine", rows=ROWS)
    before = load("mine", RunConfig()).task_hash()
    yaml = own.GENERATE.replace("version: 1.0", "version: 1.0, stratify: category")
    own.write(here, "mine", yaml, rows=ROWS)
    assert load("mine", RunConfig()).task_hash() == before


@pytest.mark.parametrize("by", ["kind", "{{kind}}", "{{category", "{{1/0}}"])
def test_a_category_that_is_none_is_refused(here: Path, by: str) -> None:
    own.write(here, "mine", rows=ROWS)
    with pytest.raises(TaskError, match=r"stratify .* gives nothing for the first doc"):
        load("mine", RunConfig(limit=9), stratify=by)
    load("mine", RunConfig(), stratify=by)  # nothing is drawn


@pytest.mark.parametrize("limit", [45, 46, None])
def test_a_limit_of_all_docs_is_none(here: Path, limit: int | None) -> None:
    own.write(here, "mine", rows=ROWS)
    whole, loaded = load("mine", RunConfig()), load("mine", RunConfig(limit=limit))
    assert loaded.subset == whole.subset == Subset(range(45), 45)
    assert loaded.docs_fingerprint() == whole.docs_fingerprint()


def test_the_first_docs_are_lm_evals(here: Path) -> None:
    own.write(here, "mine", rows=ROWS)
    loaded = load("mine", RunConfig(limit=9, limit_from=LimitFrom.first))
    assert loaded.subset == Subset(range(9), 45)
    assert [i for i, _ in loaded.scored_docs()] == list(range(9))


def test_a_tasks_own_limit_draws_as_the_runs(here: Path) -> None:
    own.write(here, "mine", rows=ROWS)
    whole = load("mine", RunConfig(limit=9)).subset
    assert load("mine", RunConfig(), limit=9).subset == whole
    assert load("mine", RunConfig(limit=20), limit=9).subset == whole
    assert load("mine", RunConfig(limit=9, limit_seed=1)).subset != whole


def test_a_docs_hash_is_that_of_its_place(here: Path) -> None:
    own.write(here, "mine", rows=ROWS)
    whole, loaded = load("mine", RunConfig()), load("mine", RunConfig(limit=9))
    for doc_id in loaded.subset.doc_ids:
        assert loaded.doc_hash(doc_id) == whole.doc_hash(doc_id)
    assert loaded.docs_fingerprint() != whole.docs_fingerprint()
    assert (
        loaded.docs_fingerprint()
        != load("mine", RunConfig(limit=9, limit_seed=1)).docs_fingerprint()
    )
