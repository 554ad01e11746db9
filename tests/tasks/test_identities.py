"""Identities have one value for ever: runs are joined, continued and compared by them. Golden values, made once."""

import hashlib
import json

import pytest

import own_tasks
from evalharness.tasks.loaded_task import (
    LoadedTask,
    doc_hash,
)

DOC = own_tasks.SUMS[0]
DOC_HASH = "25eba71746caef06ff6ef73c7b49dcf5277ca1be79a8d4cfbd6dc1dc86e42824"


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> LoadedTask:
    folder = tmp_path_factory.mktemp("identities")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        own_tasks.write(folder, "sums")
        (loaded,) = own_tasks.load("sums", repeats=2, limit=5).tasks
        loaded.docs_fingerprint()
    return loaded


def test_a_docs_hash_is_of_its_json_as_lm_eval_writes_it(sums: LoadedTask) -> None:
    text = '{\n  "id": "1",\n  "q": "What is 1 plus 1?",\n  "a": "2"\n}'
    assert json.loads(text) == DOC
    assert doc_hash(DOC) == sums.doc_hash(0) == DOC_HASH
    assert hashlib.sha256(text.encode()).hexdigest() == DOC_HASH


def test_a_doc_that_is_no_ascii_is_hashed_as_it_is() -> None:
    assert (
        doc_hash({"q": "Größe \u2028 \ud800"})
        == "44256e3c153557759650a54cee18ec3d03b8195328b6983dea83cc9c10346959"
    )


def test_the_fingerprint_of_docs_is_of_their_hashes_in_order(sums: LoadedTask) -> None:
    hashes = "".join(doc_hash(own_tasks.SUMS[i]) for i in sums.subset.doc_ids)
    expected = "a8fdf39d52a4d3c275fc6e8e1f138934a4f45319fed7c50b1d2d21ff44302ee0"
    assert sums.docs_fingerprint() == hashlib.sha256(hashes.encode()).hexdigest() == expected


def test_the_hashes_of_a_tasks_configuration_are_the_same_everywhere(sums: LoadedTask) -> None:
    assert sums.task_hash() == "aaa183631e3cb70656a6abd43d952afc6e51cf8f0c059e44ae34dbf3b2790811"
    assert sums.request_hash() == "f16647f5cca8ee2902c651daf2d53200b9bd5a25361470abd241966a20940fce"
