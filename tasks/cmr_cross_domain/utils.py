"""Docs and score of cmr_cross_domain: one problem, two domains, and the answer of the first is an input of the second.

Six domains. Each can come first, where its question has a whole number as its answer, and second, where its question
needs that number, N. A doc is an ordered pair of different domains at one of two levels. Docs are made from a seed and
are the same in every Python version; the answers are computed beside the questions, not written by hand.

Score: `exact_match` is 1 when `normalised(answer line) == normalised(target)`, else 0.
"""

import itertools
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import datasets

SEED = 20261101
NUM_TEST = 120
"""30 ordered pairs of domains x 2 levels x 2; in every 30 consecutive docs each pair once and each level 15 times."""
NUM_FEWSHOT = 2
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = {
    "March": 31,
    "April": 30,
    "May": 31,
    "June": 30,
    "July": 31,
    "August": 31,
    "September": 30,
}
NAMES = ("Ann", "Ben", "Cleo", "Dan", "Eve", "Finn")
SHORT_WORDS = (
    "boat",
    "garden",
    "planet",
    "silver",
    "window",
    "market",
    "rocket",
    "candle",
    "forest",
    "bridge",
)
LONG_WORDS = ("telephone", "elephant", "mississippi", "committee", "parallel", "assassin", "bookkeeper", "tomorrow")  # fmt: skip
THREE_LETTERS = ("cat", "sun", "map", "box", "key", "jam", "owl", "fig", "hut", "pen")

Item = TypeVar("Item")


class Stage(NamedTuple):
    """Half of a problem."""

    question: str
    working: str
    answer: str | int


class Draw:
    """Random choices out of `random.random`, which alone gives the same numbers in every Python version."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.whole(0, len(items) - 1)]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in random order."""
        rest = list(items)
        return [rest.pop(self.whole(0, len(rest) - 1)) for _ in items]


def load(**_: Any) -> datasets.DatasetDict:
    """Splits `test` and `fewshot`, made from two seeds."""
    return datasets.DatasetDict(
        fewshot=datasets.Dataset.from_list(make_docs(SEED - 1, NUM_FEWSHOT)),
        test=datasets.Dataset.from_list(make_docs(SEED, NUM_TEST)),
    )


def make_docs(seed: int, num_docs: int) -> list[dict[str, Any]]:
    """Distinct problems, in an order that keeps pairs and levels balanced."""
    draw = Draw(seed)
    pairs = [(first, second) for first in FIRST for second in SECOND if first != second]
    docs: dict[str, dict[str, Any]] = {}
    while len(docs) < num_docs:
        i = len(docs)
        first, second = pairs[7 * i % len(pairs)]  # 7 and 30 share no factor: every pair once in 30
        level = (i + i // len(pairs)) % 2 + 1
        doc = make_doc(draw, first, second, level)
        docs.setdefault(doc["question"], {"id": f"{seed}-{i:03d}", **doc})
    return list(docs.values())


def make_doc(draw: Draw, first: str, second: str, level: int) -> dict[str, Any]:
    """One problem with its working and its answer."""
    begin = FIRST[first](draw, level)
    number = int(begin.answer)
    end = SECOND[second](draw, level, number)
    return {
        "first": first,
        "second": second,
        "level": level,
        "number": number,
        "question": f"{begin.question} Call this number N. {end.question}",
        "working": f"{begin.working} So N = {number}. {end.working}",
        "answer": str(end.answer),
    }


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """{"exact_match": 1.0 or 0.0}."""
    return {"exact_match": float(normalised(results[0]) == normalised(doc["answer"]))}


def normalised(answer: str) -> str:
    """What counts of an answer: its first number without thousands separators, or else its last word in lower case.

    Only what follows the last "=" and comes before a comma or a full stop is looked at: "1,250 euros." is "1250",
    "54 + 6 = 60" is "60", "It is **Thursday**, as 4 is left." is "thursday", "" is "".
    """
    text = re.split(r"[.,;](?!\d)", answer.rsplit("=", 1)[-1].lower())[0]
    if number := re.search(r"-?\d[\d,]*(?:\.\d+)?", text):
        return f"{float(number[0].replace(',', '')):g}"
    words = re.findall(r"[a-z]+", text)
    return words[-1] if words else ""


def calendar_first(draw: Draw, level: int) -> Stage:
    """Days between two weekdays, or between two dates."""
    if level == 1:
        start, days = draw.whole(0, 6), draw.whole(2, 6)
        one, other = DAYS[start], DAYS[(start + days) % 7]
        return Stage(
            f"How many days after a {one} comes the next {other}?",
            f"From {one} to {other} it is {days} days.",
            days,
        )
    months = list(MONTHS)
    month = draw.whole(0, len(months) - 2)
    start, end = draw.whole(10, 28), draw.whole(2, 25)
    one, other, left = months[month], months[month + 1], MONTHS[months[month]] - start
    return Stage(
        f"How many days after {start} {one} is {end} {other}?",
        f"{left} days are left in {one}, and {left} + {end} = {left + end}.",
        left + end,
    )


def calendar_second(draw: Draw, level: int, number: int) -> Stage:
    """The weekday so many days later."""
    start = draw.whole(0, 6)
    if level == 1:
        question, days = f"Which day of the week is N days after a {DAYS[start]}?", number
    else:
        question = (
            f"A ship comes every N days, for the first time on a {DAYS[start]}. "
            "On which day of the week does it come for the fourth time?"
        )
        days = 3 * number
    product = "" if level == 1 else f"3 * {number} = {days}. "
    weeks, rest = divmod(days, 7)
    answer = DAYS[(start + rest) % 7]
    working = f"{product}{days} = {weeks} * 7 + {rest}, and {DAYS[start]} + {rest} is {answer}."
    return Stage(question, working, answer)


def money_first(draw: Draw, level: int) -> Stage:
    """What a sum buys, or a reduced price."""
    if level == 1:
        price, number = draw.whole(3, 9), draw.whole(2, 12)
        total = price * number + draw.whole(0, price - 1)
        return Stage(
            f"A pen costs {price} euros. How many pens can be bought for {total} euros?",
            f"{number} * {price} = {number * price} is at most {total}.",
            number,
        )
    price, percent, voucher = 20 * draw.whole(2, 4), 5 * draw.whole(2, 9), draw.whole(3, 15)
    reduced = price * (100 - percent) // 100
    return Stage(
        f"A jacket of {price} euros is reduced by {percent} percent, and a voucher takes another {voucher} euros off. "
        "How many euros does it cost then?",
        f"{percent} percent of {price} is {price - reduced}, and {price} - {price - reduced} - {voucher} = {reduced - voucher}.",
        reduced - voucher,
    )


def money_second(draw: Draw, level: int, number: int) -> Stage:
    """What N things cost."""
    if level == 1:
        price, fee = draw.whole(3, 12), draw.whole(2, 9)
        total = number * price + fee
        return Stage(
            f"N tickets cost {price} euros each, and the order a fee of {fee} euros. How many euros is that together?",
            f"{number} * {price} = {number * price}, and {number * price} + {fee} = {total}.",
            total,
        )
    price, percent = 20 * draw.whole(1, 3), 5 * draw.whole(1, 9)
    full = number * price
    return Stage(
        f"N tickets of {price} euros each are sold with {percent} percent off. How many euros do they cost together?",
        f"{number} * {price} = {full}, {percent} percent of it is {full * percent // 100}, "
        f"and the rest is {full * (100 - percent) // 100}.",
        full * (100 - percent) // 100,
    )


def sets_first(draw: Draw, level: int) -> Stage:
    """Members of one set and not the other, or of neither."""
    both, swim_only, run_only = draw.whole(3, 9), draw.whole(2, 15), draw.whole(4, 15)
    swim, run = both + swim_only, both + run_only
    if level == 1:
        return Stage(
            f"In a club {swim} people swim, and {both} of them also run. How many swim but do not run?",
            f"{swim} - {both} = {swim_only}.",
            swim_only,
        )
    neither = draw.whole(2, 20)
    any_of = swim + run - both
    return Stage(
        f"Of {any_of + neither} people {swim} swim, {run} run and {both} do both. How many do neither?",
        f"{swim} + {run} - {both} = {any_of} do at least one, and {any_of + neither} - {any_of} = {neither}.",
        neither,
    )


def order_second(draw: Draw, level: int, number: int) -> Stage:
    """Who stands where in an order that follows from comparisons."""
    size = 4 if level == 1 else 6
    names = draw.shuffled(NAMES[:size])  # the youngest first
    facts = [
        f"{older} is older than {younger}." if draw.whole(0, 1) else f"{younger} is younger than {older}."
        for younger, older in itertools.pairwise(names)
    ]  # fmt: skip
    rest = number % size
    return Stage(
        f"{' '.join(draw.shuffled(facts))} Divide N by {size} and call the remainder R. "
        f"Which of the {size} is older than exactly R of the others?",
        f"R = {rest}. From young to old: {', '.join(names)}.",
        names[rest],
    )


def letters_first(draw: Draw, level: int) -> Stage:
    """Letters of a word, all or the different ones."""
    if level == 1:
        word = draw.pick(SHORT_WORDS + LONG_WORDS)
        return Stage(
            f'How many letters has the word "{word}"?',
            f"{'-'.join(word)}: {len(word)} letters.",
            len(word),
        )
    word = draw.pick(LONG_WORDS)
    different = list(dict.fromkeys(word))
    return Stage(
        f'How many different letters has the word "{word}"?',
        f"{', '.join(different)}: {len(different)} letters.",
        len(different),
    )


def letters_second(draw: Draw, level: int, number: int) -> Stage:
    """A letter of a word written again and again, or a word in Caesar's cipher."""
    if level == 1:
        word = draw.pick(SHORT_WORDS)
        place = (number - 1) % len(word)
        return Stage(
            f'The word "{word}" is written again and again without spaces. Which letter is the one at place N?',
            f"The word has {len(word)} letters, so place {number} has its letter {place + 1}.",
            word[place],
        )
    word = draw.pick(THREE_LETTERS)
    shifted = "".join(chr((ord(letter) - 97 + number) % 26 + 97) for letter in word)
    moves = ", ".join(f"{a} to {b}" for a, b in zip(word, shifted, strict=True))
    return Stage(
        f'Every letter of the word "{word}" moves N places on in the alphabet, with a after z. What does it become?',
        f"{moves}.",
        shifted,
    )


def roads_first(draw: Draw, level: int) -> Stage:
    """The shortest way over a few roads."""
    ab, bc, ac = draw.whole(2, 9), draw.whole(2, 9), draw.whole(4, 15)
    if level == 1:
        return Stage(
            f"Roads: A to B {ab} km, B to C {bc} km, A to C {ac} km. How many km is the shortest way from A to C?",
            f"Over B it is {ab} + {bc} = {ab + bc}, straight {ac}.",
            min(ab + bc, ac),
        )
    bd, cd = draw.whole(4, 15), draw.whole(2, 9)
    return Stage(_roads(ab, ac, bc, bd, cd).replace("N", str(ab)), *_shortest(ab, ac, bc, bd, cd))


def roads_second(draw: Draw, level: int, number: int) -> Stage:
    """How far a robot is from its start, or the shortest way where one road is N km long."""
    if level == 1:
        north, west = draw.whole(2, 9), draw.whole(2, 20)
        return Stage(
            f"A robot goes N steps east, {north} steps north and {west} steps west. "
            "How many steps east, west, north or south take it back to its start?",
            f"|{number} - {west}| = {abs(number - west)}, and {abs(number - west)} + {north} = {abs(number - west) + north}.",
            abs(number - west) + north,
        )
    ac, bc = max(2, number + draw.whole(-4, 6)), draw.whole(2, 6)
    bd, cd = draw.whole(2, 12), draw.whole(2, 12)
    return Stage(_roads(number, ac, bc, bd, cd), *_shortest(number, ac, bc, bd, cd))


def _roads(_ab: int, ac: int, bc: int, bd: int, cd: int) -> str:
    return (
        f"Roads, open both ways: A to B N km, A to C {ac} km, B to C {bc} km, B to D {bd} km, C to D {cd} km. "
        "How many km is the shortest way from A to D?"
    )


def _shortest(ab: int, ac: int, bc: int, bd: int, cd: int) -> tuple[str, int]:
    ways = {"A-B-D": ab + bd, "A-C-D": ac + cd, "A-B-C-D": ab + bc + cd, "A-C-B-D": ac + bc + bd}
    return ", ".join(f"{way}: {km}" for way, km in ways.items()) + ".", min(ways.values())


def units_first(draw: Draw, level: int) -> Stage:
    """Minutes as hours, or how far a train goes in some minutes."""
    if level == 1:
        hours = draw.whole(2, 12)
        return Stage(
            f"How many hours are {60 * hours} minutes?", f"{60 * hours} / 60 = {hours}.", hours
        )
    speed, minutes = 30 * draw.whole(1, 5), 2 * draw.whole(2, 12)
    return Stage(
        f"A train goes {speed} km an hour. How many km does it go in {minutes} minutes?",
        f"{speed} * {minutes} / 60 = {speed * minutes // 60}.",
        speed * minutes // 60,
    )


def units_second(draw: Draw, level: int, number: int) -> Stage:
    """Hours as minutes, or bottles as litres."""
    if level == 1:
        minutes = draw.whole(5, 55)
        return Stage(
            f"How many minutes are N hours and {minutes} minutes?",
            f"60 * {number} = {60 * number}, and {60 * number} + {minutes} = {60 * number + minutes}.",
            60 * number + minutes,
        )
    millilitres, minutes = 250 * draw.whole(1, 3), 4 * draw.whole(2, 9)
    return Stage(
        f"A machine fills N bottles of {millilitres} ml a minute. How many litres does it fill in {minutes} minutes?",
        f"{millilitres} ml * {minutes} = {millilitres * minutes // 1000} litres for each bottle a minute, "
        f"and {number} * {millilitres * minutes // 1000} = {number * millilitres * minutes // 1000}.",
        number * millilitres * minutes // 1000,
    )


FIRST: dict[str, Callable[[Draw, int], Stage]] = {
    "calendar": calendar_first,
    "money": money_first,
    "logic": sets_first,
    "strings": letters_first,
    "routes": roads_first,
    "units": units_first,
}
SECOND: dict[str, Callable[[Draw, int, int], Stage]] = {
    "calendar": calendar_second,
    "money": money_second,
    "logic": order_second,
    "strings": letters_second,
    "routes": roads_second,
    "units": units_second,
}
