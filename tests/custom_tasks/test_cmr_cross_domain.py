"""Problems over two domains: every answer is found again from the question's text, in another way than it was made."""

import datetime
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable

import pytest

from shipped_tasks import module

utils = module("cmr_cross_domain/utils.py")
DOCS = list(utils.load()["test"])

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def weekday_after(day: str, days: int) -> str:
    # 1 January 2024 was a Monday.
    return f"{datetime.date(2024, 1, 1) + datetime.timedelta(DAYS.index(day) + days):%A}"


def days_between(one: str, other: str) -> int:
    first, second = (datetime.datetime.strptime(f"{d} 2023", "%d %B %Y") for d in (one, other))
    return (second - first).days


def shortest(text: str, end: str) -> int:
    """Floyd's algorithm over all roads that the text names."""
    km = {(a, b): 10**6 for a in "ABCD" for b in "ABCD"}
    for a, b, length in re.findall(r"([A-D]) to ([A-D]) (\d+) km", text):
        km[a, b] = km[b, a] = int(length)
    for via, a, b in itertools.product("ABCD", repeat=3):
        km[a, b] = min(km[a, b], km[a, via] + km[via, b])
    return km["A", end]


def by_age(text: str) -> list[str]:
    """The only order of all names that keeps to every comparison, the youngest first."""
    facts = [
        (a, b) if word == "younger" else (b, a)
        for a, word, b in re.findall(r"(\w+) is (older|younger) than (\w+)\.", text)
    ]
    names = {name for fact in facts for name in fact}
    orders = [
        order
        for order in itertools.permutations(sorted(names))
        if all(order.index(young) < order.index(old) for young, old in facts)
    ]
    assert len(orders) == 1
    return list(orders[0])


def caesar(word: str, places: int) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return "".join((alphabet * 10)[alphabet.index(letter) + places] for letter in word)


SOLVERS: list[tuple[str, Callable[..., object]]] = [
    (r"How many days after a (\w+) comes the next (\w+)\?", lambda a, b: next(i for i in range(1, 8) if weekday_after(a, i) == b)),
    (r"How many days after (\d+ \w+) is (\d+ \w+)\?", days_between),
    (r"A pen costs (\d+) euros\. How many pens can be bought for (\d+) euros\?", lambda a, b: max(n for n in range(100) if n * int(a) <= int(b))),
    (r"A jacket of (\d+) euros is reduced by (\d+) percent, and a voucher takes another (\d+) euros off\. How many euros does it cost then\?", lambda p, c, v: round(int(p) * (1 - int(c) / 100) - int(v), 6)),
    (r"In a club (\d+) people swim, and (\d+) of them also run\. How many swim but do not run\?", lambda s, b: int(s) - int(b)),
    (r"Of (\d+) people (\d+) swim, (\d+) run and (\d+) do both\. How many do neither\?", lambda a, s, r, b: int(a) - (int(s) - int(b)) - (int(r) - int(b)) - int(b)),
    (r'How many letters has the word "(\w+)"\?', len),
    (r'How many different letters has the word "(\w+)"\?', lambda w: len(set(w))),
    (r"(Roads: .*) How many km is the shortest way from A to C\?", lambda t: shortest(t, "C")),
    (r"(Roads, open both ways: .*) How many km is the shortest way from A to D\?", lambda t: shortest(t, "D")),
    (r"How many hours are (\d+) minutes\?", lambda m: int(m) / 60),
    (r"A train goes (\d+) km an hour\. How many km does it go in (\d+) minutes\?", lambda v, m: round(int(v) * (int(m) / 60), 6)),
    (r"Which day of the week is (\d+) days after a (\w+)\?", lambda n, day: weekday_after(day, int(n))),
    (r"A ship comes every (\d+) days, for the first time on a (\w+)\. On which day of the week does it come for the fourth time\?", lambda n, day: weekday_after(weekday_after(weekday_after(day, int(n)), int(n)), int(n))),
    (r"(\d+) tickets cost (\d+) euros each, and the order a fee of (\d+) euros\. How many euros is that together\?", lambda n, p, f: sum([int(p)] * int(n)) + int(f)),
    (r"(\d+) tickets of (\d+) euros each are sold with (\d+) percent off\. How many euros do they cost together\?", lambda n, p, c: round(int(n) * int(p) * (1 - int(c) / 100), 6)),
    (r"(.*) Divide (\d+) by (\d) and call the remainder R\. Which of the \d is older than exactly R of the others\?", lambda t, n, size: by_age(t)[int(n) % int(size)]),
    (r'The word "(\w+)" is written again and again without spaces\. Which letter is the one at place (\d+)\?', lambda w, n: (w * 60)[int(n) - 1]),
    (r'Every letter of the word "(\w+)" moves (\d+) places on in the alphabet, with a after z\. What does it become\?', lambda w, n: caesar(w, int(n))),
    (r"A robot goes (\d+) steps east, (\d+) steps north and (\d+) steps west\. How many steps east, west, north or south take it back to its start\?", lambda e, n, w: abs(int(e) - int(w)) + int(n)),
    (r"How many minutes are (\d+) hours and (\d+) minutes\?", lambda h, m: datetime.timedelta(hours=int(h), minutes=int(m)).total_seconds() / 60),
    (r"A machine fills (\d+) bottles of (\d+) ml a minute\. How many litres does it fill in (\d+) minutes\?", lambda n, ml, m: int(n) * int(m) * int(ml) / 1000),
]  # fmt: skip
"""The whole of a question -> its answer."""


def solved(question: str) -> str:
    found = [
        solve(*match.groups()) for text, solve in SOLVERS if (match := re.fullmatch(text, question))
    ]
    assert len(found) == 1, question
    return str(found[0]) if isinstance(found[0], str) else f"{found[0]:g}"


def halves(doc: dict[str, str]) -> tuple[str, str]:
    first, second = doc["question"].split(" Call this number N. ")
    return first, re.sub(r"\bN\b", str(doc["number"]), second)


def test_every_first_answer_is_found_again() -> None:
    for doc in DOCS:
        assert solved(halves(doc)[0]) == str(doc["number"])


def test_every_answer_is_found_again_from_the_first_one() -> None:
    for doc in DOCS:
        assert solved(halves(doc)[1]) == doc["answer"]


def test_every_second_question_needs_the_number() -> None:
    assert all(
        re.search(r"\bN\b", doc["question"].split(" Call this number N. ")[1]) for doc in DOCS
    )


def test_no_python_version_changes_the_docs() -> None:
    dumped = json.dumps([list(split) for split in utils.load().values()], sort_keys=True)
    assert hashlib.sha256(dumped.encode()).hexdigest() == (
        "690d0b19236566f2488dbe180bb5926fc0d4cc82f57122ca349b507841c8b9c6"
    )


@pytest.mark.parametrize("num_docs", [30, 60, 90, 120])
def test_first_docs_are_balanced(num_docs: int) -> None:
    docs = DOCS[:num_docs]
    assert set(Counter((doc["first"], doc["second"]) for doc in docs).values()) == {num_docs // 30}
    assert set(Counter(doc["level"] for doc in docs).values()) == {num_docs // 2}


def test_every_pair_has_both_levels_equally_often() -> None:
    counts = Counter((doc["first"], doc["second"], doc["level"]) for doc in DOCS)
    assert set(counts.values()) == {2}
    assert len(counts) == 60


def test_always_giving_the_most_frequent_answer_scores_next_to_nothing() -> None:
    assert Counter(doc["answer"] for doc in DOCS).most_common(1)[0][1] / len(DOCS) < 0.07


def test_another_seed_makes_other_problems() -> None:
    ours = {doc["question"] for doc in DOCS}
    assert len(ours & {doc["question"] for doc in utils.make_docs(utils.SEED + 1, 120)}) < 12


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("35", "35"), ("35 euros.", "35"), ("**1,250**", "1250"), ("54 + 6 = 60", "60"), ("35.0", "35"),
        ("$35$", "35"), ("Thursday", "thursday"), ("It is **Thursday**.", "thursday"),
        ("Thursday, as 4 is left", "thursday"), ("ivu", "ivu"), (r"\boxed{60}", "60"), ("", ""), ("[invalid]", "invalid"),
    ],
)  # fmt: skip
def test_answer_is_normalised(answer: str, normal: str) -> None:
    assert utils.normalised(answer) == normal
