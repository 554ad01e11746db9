"""How often 95 % intervals hold the truth, how often equals are found to differ, and the power at the printed MDE.

    python scripts/bench/coverage.py [--draws 1000] [--only repeats,sources,...] [--markdown]

Scores are simulated, estimates and comparisons are the program's own. One JSON line: per table its rows; `--markdown`
prints the least, mean and greatest of each table's cells instead. `docs/statistics.md`
shows them, and `tests/stats/test_coverage.py` holds them to their bounds.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from _strategies import OF_A_DOC, TRIALS, Docs, remembered
from scipy import stats

from evalharness.stats.estimates import (
    Estimate,
    bootstrap_estimate,
    estimate,
)
from evalharness.stats.flips import mcnemar_exact
from evalharness.stats.multiple_tests import alphas
from evalharness.stats.paired import (
    mde_at,
    paired_test,
)
from evalharness.stats.resampling import (
    Ratio,
    ratio,
)
from evalharness.stats.weighted_mean import (
    Member,
    weighted_mean,
)

Floats = npt.NDArray[np.float64]

SHARES = (0.03, 0.2, 0.5, 0.97)
CORRELATIONS = (0.1, 0.5)
"""Of a doc's answers, and of a source's docs."""
PER_SOURCE = 5
DISCORDANCE = 0.2
"""Share of docs on which equal models differ."""


class Row(NamedTuple):
    """One cell of a table."""

    what: str
    p: float
    n: int
    """Docs, or sources where docs share them."""
    value: float
    """Share of draws."""
    part: str = ""
    """Of the table: it has lines of its own."""


def abilities(rng: np.random.Generator, p: float, correlation: float, size: int) -> Floats:
    """Chances to be right, of mean p: beta, so that two answers of one doc (two docs of one source) correlate so."""
    spread = (1 - correlation) / correlation
    return rng.beta(p * spread, (1 - p) * spread, size=size)


def sizes(rng: np.random.Generator, kind: str, num: int) -> npt.NDArray[np.int64]:
    """Docs of each source: all 5, or geometric of mean 5."""
    return np.full(num, PER_SOURCE) if kind == "equal" else rng.geometric(1 / PER_SOURCE, size=num)


def covered(truth: float, estimates: Iterable[tuple[float, ...]]) -> float:
    """Share of estimates whose interval (second and third field) holds the truth."""
    return float(np.mean([low <= truth <= high for _, low, high, *_ in estimates]))


def repeats(draws: int) -> Iterator[Row]:
    """Mean over docs of k answers each."""
    for p, n, k, correlation in product(SHARES, (30, 100, 300), (2, 8, 32), CORRELATIONS):
        rng = np.random.default_rng([n, k, round(100 * p), round(100 * correlation)])
        answers = (rng.binomial(k, abilities(rng, p, correlation, n)) / k for _ in range(draws))
        found = covered(p, (estimate(values.tolist(), draws=k) for values in answers))
        yield Row(f"k {k}, correlation {correlation}", p, n, found)


def sources(draws: int) -> Iterator[Row]:
    """Mean over docs that share sources."""
    for kind, p, num, k, correlation in product(
        ("equal", "geometric"), SHARES, (30, 100), (1, 8), CORRELATIONS
    ):
        rng = np.random.default_rng([num, k, round(100 * p), round(100 * correlation)])
        found = covered(p, (_of_sources(rng, kind, p, num, k, correlation) for _ in range(draws)))
        yield Row(f"{kind}, k {k}, correlation {correlation}", p, num, found)


def _of_sources(
    rng: np.random.Generator, kind: str, p: float, num: int, k: int, correlation: float
) -> Estimate:
    codes = np.repeat(np.arange(num), sizes(rng, kind, num))
    values = rng.binomial(k, abilities(rng, p, correlation, num)[codes]) / k
    return estimate(values.tolist(), codes.tolist(), k)


def differences(draws: int) -> Iterator[Row]:
    """Difference of two equal models on docs that share sources, paired: its interval, and p >= 0.05."""
    for kind, p, num, correlation in product(
        ("equal", "geometric"), (0.2, 0.5), (30, 100), CORRELATIONS
    ):
        rng = np.random.default_rng([num, round(100 * p), round(100 * correlation)])
        hits = kept = 0
        for _ in range(draws):
            codes = np.repeat(np.arange(num), sizes(rng, kind, num))
            a, b = (
                (rng.random(len(codes)) < abilities(rng, p, correlation, num)[codes]).astype(float)
                for _ in range(2)
            )
            result = paired_test(a, b, rng, codes, permutations=999)
            hits += result.ci_low <= 0 <= result.ci_high
            kept += result.p_value >= 0.05
        what = f"{kind}, correlation {correlation}"
        yield Row(what, p, num, hits / draws)
        yield Row(f"{what}, test", p, num, kept / draws, "test")


def groups(draws: int) -> Iterator[Row]:
    """Mean of three tasks of n, n / 2 and n / 5 docs, with equal weight; 8 answers a doc, or one."""
    for p, n, k in product(SHARES, (30, 100, 300), (1, 8)):
        rng = np.random.default_rng([n, k, round(100 * p)])
        yield Row(f"k {k}", p, n, covered(p, (_of_group(rng, p, n, k) for _ in range(draws))))


def _of_group(rng: np.random.Generator, p: float, n: int, k: int) -> Estimate:
    members = []
    for size in (n, n // 2, n // 5):
        values = (rng.binomial(k, abilities(rng, p, 0.5, size)) / k).tolist()
        members.append(Member(estimate(values, draws=k), 1.0, values, None, k))
    return weighted_mean(members)


def perplexities(draws: int) -> Iterator[Row]:
    """Log-likelihood per word over docs of 10 to some hundred words, normal or skewed (p is its standard deviation)."""
    for law, n in product(("normal", "gamma"), (30, 100, 300)):
        rng = np.random.default_rng([n, len(law)])
        found = covered(2.0, (_of_words(rng, law, n) for _ in range(draws)))
        yield Row(law, 0.5 if law == "normal" else 1.0, n, found)


def _of_words(rng: np.random.Generator, law: str, n: int) -> Ratio:
    words = rng.lognormal(4, 0.5, size=n).round() + 10
    nats = rng.normal(2, 0.5, size=n) if law == "normal" else rng.gamma(4, 0.5, size=n)
    return ratio((words * nats).tolist(), words.tolist())


def f1s(draws: int) -> Iterator[Row]:
    """F1 of a class of share p of which 70 % are found; sets without one of the class are drawn again."""
    for p, n in product((0.03, 0.1, 0.4), (30, 100, 300)):
        rng = np.random.default_rng([n, round(100 * p)])
        truth = 2 * 0.7 * p / (p + 0.7 * p + 0.05 * (1 - p))
        num = max(1, draws // 5)
        yield Row("F1", p, n, covered(truth, (_of_labels(rng, p, n) for _ in range(num))))


def _of_labels(rng: np.random.Generator, p: float, n: int) -> Estimate:
    gold = np.zeros(n, dtype=int)
    while not gold.any():
        gold = (rng.random(n) < p).astype(int)
    predicted = (rng.random(n) < np.where(gold, 0.7, 0.05)).astype(int)
    pairs = list(zip(gold.tolist(), predicted.tolist(), strict=True))
    return bootstrap_estimate(pairs, _f1, rng, 300)


def _f1(pairs: list[tuple[int, int]]) -> float:
    table = np.asarray(pairs)
    return 2 * float((table[:, 0] & table[:, 1]).sum()) / max(1, int(table.sum()))


def curves(draws: int) -> Iterator[Row]:
    """Points of strategies that gain nothing, what is found to change ("test": nothing is), and verification gaps."""
    for (name, trial), kind, p, num, correlation in product(
        TRIALS.items(), ("equal", "geometric"), (0.03, 0.2), (30, 100), CORRELATIONS
    ):
        if name.endswith("repeats") and num > 30:
            continue  # as of 8 answers in `sources`
        rng = np.random.default_rng([num, round(100 * p), round(100 * correlation), len(kind)])
        found: dict[tuple[str, str], list[bool]] = defaultdict(list)
        with remembered():
            for _ in range(max(1, draws // 4)):
                for part, what, is_right in trial(rng, p, _docs(rng, kind, p, num, correlation)):
                    found[part, what].append(is_right)
        for (part, what), hits in found.items():
            cell = f"{name}, {what}, {kind}, correlation {correlation}"
            yield Row(cell, p, num, float(np.mean(hits)), part)


def _docs(rng: np.random.Generator, kind: str, p: float, num: int, correlation: float) -> Docs:
    codes = np.repeat(np.arange(num), sizes(rng, kind, num))
    is_copy = rng.random(len(codes)) < math.sqrt(correlation)
    shown = np.where(is_copy, codes, num + np.arange(len(codes)))
    clusters = {doc: str(source) for doc, source in enumerate(codes)}
    return Docs(clusters, shown, abilities(rng, p, OF_A_DOC, num + len(codes)))


def verdicts(draws: int, num_docs: int = 1000) -> Iterator[Row]:
    """Of several rows of right and wrong answers: any found to differ where all are equal, and one that differs by the MDE."""
    for num_rows in (1, 5, 20, 57):
        rng = np.random.default_rng(num_rows)
        rejected, least = 0, []
        for _ in range(draws):
            p_values = _equal(rng, num_rows, num_docs)
            rejected += min(stats.false_discovery_control(p_values)) < 0.05
            if len(least) < 100:
                least.append(_printed(rng, p_values, num_docs))
        mde = float(np.median(least))
        found = 0
        for _ in range(draws):
            differ = rng.binomial(num_docs, DISCORDANCE)
            wins = rng.binomial(differ, (1 + mde / DISCORDANCE) / 2)
            p_values = [mcnemar_exact(wins, differ - wins), *_equal(rng, num_rows - 1, num_docs)]
            found += stats.false_discovery_control(p_values)[0] < 0.05
        yield Row(part := "found to differ, equal", mde, num_rows, rejected / draws, part)
        yield Row(part := "found to differ, by the MDE", mde, num_rows, found / draws, part)


def _equal(rng: np.random.Generator, num_rows: int, num_docs: int) -> list[float]:
    differ = rng.binomial(num_docs, DISCORDANCE, size=num_rows)
    wins = rng.binomial(differ, 0.5)
    return [mcnemar_exact(int(w), int(d - w)) for w, d in zip(wins, differ, strict=True)]


def _printed(rng: np.random.Generator, p_values: list[float], num_docs: int) -> float:
    """The MDE of the first of equal rows."""
    a = (rng.random(num_docs) < 0.5).astype(float)
    b = np.where(rng.random(num_docs) < DISCORDANCE, 1 - a, a)
    result = paired_test(a, b, rng)
    return mde_at(result, alphas([result.p_value, *p_values[1:]], 0.05)[0])


TABLES = {
    table.__name__: table
    for table in (repeats, sources, differences, groups, perplexities, f1s, curves, verdicts)
}


def as_markdown(tables: dict[str, list[Row]]) -> str:
    """A line for each table and number of docs."""
    lines = [
        "| table | docs (sources, rows) | cells | least | mean | greatest |",
        "|---|---|---|---|---|---|",
    ]
    for name, rows in tables.items():
        parts: dict[tuple[str, int], list[float]] = {}
        for row in rows:
            parts.setdefault((f"{name} {row.part}".strip(), row.n), []).append(row.value)
        lines += [
            f"| {what} | {n} | {len(values)} | {min(values):.3f} | {np.mean(values):.3f} | {max(values):.3f} |"
            for (what, n), values in parts.items()
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", default=",".join(TABLES))
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    tables = {name: list(TABLES[name](options.draws)) for name in options.only.split(",")}
    if options.markdown:
        print(as_markdown(tables))
        return
    found = {name: [row._asdict() for row in rows] for name, rows in tables.items()}
    print(json.dumps({"draws": options.draws, **found}))


if __name__ == "__main__":
    main()
