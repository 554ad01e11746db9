"""The generated task, against a calendar."""

import datetime
import hashlib
import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[2] / "tasks" / "weekday_arithmetic" / "utils.py"
_SPEC = importlib.util.spec_from_file_location("weekday_arithmetic_utils", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
utils = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(utils)


def calendar_answer(question: str) -> str:
    found = re.fullmatch(r"Which day of the week is (\d+) days? (after|before) a (\w+)\?", question)
    assert found
    # 1 January 2024 was a Monday.
    start = datetime.date(2024, 1, 1) + datetime.timedelta(utils.WEEKDAYS.index(found[3]))
    days = int(found[1]) * (1 if found[2] == "after" else -1)
    return f"{start + datetime.timedelta(days):%A}"


def test_every_answer_agrees_with_the_calendar() -> None:
    for split in utils.load().values():
        for doc in split:
            assert doc["weekday"] == calendar_answer(doc["question"])


def test_no_python_version_changes_the_docs() -> None:
    dumped = json.dumps([list(split) for split in utils.load().values()], sort_keys=True)
    assert (
        hashlib.sha256(dumped.encode()).hexdigest()
        == "37fefe1dee024a869ef02882cb31534f638487bb8ca89786710b48516f61d6e4"
    )


@pytest.mark.parametrize("num_docs", [42, 84, 126])
def test_first_docs_are_balanced(num_docs: int) -> None:
    docs = list(utils.load()["test"])[:num_docs]
    assert set(Counter(doc["weekday"] for doc in docs).values()) == {num_docs // 7}
    assert set(Counter(doc["level"] for doc in docs).values()) == {num_docs // 3}
    assert sum(" after " in doc["question"] for doc in docs) == num_docs // 2


def test_distances_keep_to_their_level() -> None:
    for doc in utils.load()["test"]:
        low, high = utils.LEVELS[doc["level"] - 1]
        assert low <= int(re.findall(r"\d+", doc["question"])[0]) <= high


def test_working_ends_at_the_answer() -> None:
    for doc in utils.load()["test"]:
        assert doc["working"].endswith((f" is {doc['weekday']}.", "whole weeks change nothing."))


def test_another_seed_makes_other_questions() -> None:
    ours = {doc["question"] for doc in utils.make_docs(utils.SEED, 60)}
    assert len(ours & {doc["question"] for doc in utils.make_docs(utils.SEED + 1, 60)}) < 30
