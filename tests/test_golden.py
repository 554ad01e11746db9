"""The output of the verbs that show tables for one small store, compared with files: as a table, Markdown, CSV and JSON.

`EVALHARNESS_GOLDEN=write pytest tests/test_golden.py` writes the files again; check the changes before you commit them.
Numbers are held to six digits, since the last ones depend on the processor; of the trend, which is fitted, only the words are.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from command_line import called
from report_store import run, write_store

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "data" / "golden"
_NUMBER = re.compile(r"-?\d+\.\d{7,}(?:e[+-]?\d+)?|-?\d\.\d+e[+-]?\d+")
_TREND_LINES = 60
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)")

VERBS = {
    "compare": ["compare", "first", "second", "--suite", "wide", "--margin", "0.05"],
    "compare-three": ["compare", "first", "second", "third", "--suite", "wide", "--all"],
    "compare-flips": ["compare", "first", "second", "--suite", "wide", "--flips", "--samples", "2"],
    "gate": ["gate", "first", "second", "--policy", "policy.yaml"],
    "drift": ["drift", "first", "second", "third"],
    "leaderboard": ["leaderboard", "--suite", "wide"],
    "leaderboard-all": ["leaderboard", "--all"],
    "results": ["results"],
    "results-run": ["results", "20260120-080013", "--all"],
    "results-curve": ["results", "20260106-080007", "--curve"],
    "scores": ["scores", "list", "--source", "measured"],
    "scores-sources": ["scores", "sources"],
    "trend": ["trend", "--draws", "10"],
}
FORMS = {"txt": [], "md": ["--md"], "csv": ["--csv"], "json": ["--json"]}
NOT_OFFERED = {
    *((verb, "md") for verb in VERBS if verb.startswith(("results", "scores", "trend"))),
    *((verb, "csv") for verb in ("gate", "compare-flips")),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    (folder / "results").mkdir()
    shutil.copy(ROOT / "configs" / "gate" / "default.yaml", folder / "policy.yaml")
    write_store(folder / "results")
    for place, model in enumerate(("first", "second", "third")):
        right = [float((7 * doc + place * doc // 3) % 10 < 6 - place) for doc in range(120)]
        tasks = {
            "maths": right,
            "physics": [None if doc % 40 == place else value for doc, value in enumerate(right)],
            "chess": [1.0 - value for value in right[:40]],
        }
        run(
            folder / "results", 20 + place, model, "wide", tasks,
            groups={"science": ["maths", "physics"]},
            clusters={"chess": [f"game {doc // 4}" for doc in range(40)]},
        )  # fmt: skip
        run(folder / "results", 20 + place, model, "kind", {"refusal": right}, domain="safety")
    return folder


def _printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    printed = called(tuple(arguments), capsys)
    text = f"exit {printed.code}\n{printed.out}"
    text = _NUMBER.sub(lambda number: f"{float(number[0]):.6g}", text)
    text = _TIME.sub("TIME", text)
    if arguments[0] == "trend":  # a fit and its bootstrap: only what is said of them
        text = re.sub(r"[-+]?\d[\d.]*(e-?\d+)?", "N", "\n".join(text.splitlines()[:_TREND_LINES]))
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


@pytest.mark.parametrize(
    ("verb", "form"),
    [(verb, form) for verb in VERBS for form in FORMS if (verb, form) not in NOT_OFFERED],
)
def test_a_table_is_what_it_was(
    verb: str,
    form: str,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(store)
    monkeypatch.setenv("COLUMNS", "120")
    found = _printed([*VERBS[verb], *FORMS[form]], capsys)
    file = GOLDEN / f"{verb}.{form}"
    if os.environ.get("EVALHARNESS_GOLDEN") == "write":
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")
