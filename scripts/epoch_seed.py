"""Make the table of scores that ships with the package from Epoch's published file.

`python scripts/epoch_seed.py eci_benchmarks.csv` (from https://epoch.ai/data, CC BY 4.0) writes
src/evalharness/trend/scores/seed/epoch_index.csv: our names of models and benchmarks, scores to 0.01, the setting of each.
A model or benchmark that isn't known yet is named and nothing is written: add it to models.csv or benchmarks.yaml, with its
source, as names can't be guessed. Put the day and the sha256 that are printed into `trend/scores/seed_scores.py`.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from evalharness.errors import UserError
from evalharness.trend.scores.read_epoch import as_table, read_epoch
from evalharness.trend.scores.seed_scores import FOLDER


def main(arguments: list[str]) -> int:
    """Exit code: 0 written, 2 not."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    source = Path(arguments[0])
    try:
        reading = read_epoch(source)
        text = as_table(reading.scores)
    except UserError as e:
        print(e, file=sys.stderr)
        return 2
    for problem in reading.skipped:
        print(f"left out: {problem}", file=sys.stderr)
    path = FOLDER / "epoch_index.csv"
    path.write_text(text, encoding="utf-8")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    newest = max(str(score.release_date) for score in reading.scores)
    print(
        f"{path}: {len(reading.scores)} scores, models to {newest}; sha256 of the source {digest[:12]}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
