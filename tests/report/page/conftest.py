"""Two reports into one folder, made once: of no store at all and after a damaged one, then of one in which every section has something."""

import json
import shutil

import pytest

from evalharness.report.page.changes import SCHEMA_VERSION
from report_made import Made, make_report
from report_store import write_store


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    folder = tmp_path_factory.mktemp("reports")
    store, out = folder / "store", folder / "out"
    out.mkdir()
    damaged = {"schema_version": SCHEMA_VERSION, "state": {"made_at": 3}}
    (out / "report.json").write_text(json.dumps(damaged))
    first = make_report(store, out, "--json")
    assert first.returncode == 0, first.stderr
    shutil.copytree(out, folder / "first")
    store.mkdir()
    write_store(store)
    second = make_report(store, out, "--title", "Ours <i>")
    assert second.returncode == 0, second.stderr
    return Made(folder / "first", first.stdout), Made(out, second.stdout)


@pytest.fixture(scope="session")
def empty(reports: tuple[Made, Made]) -> Made:
    return reports[0]


@pytest.fixture(scope="session")
def full(reports: tuple[Made, Made]) -> Made:
    return reports[1]
