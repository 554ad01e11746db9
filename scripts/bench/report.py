"""The report: seconds to make it, size of the page, and milliseconds until a browser has drawn all of it.

    python scripts/bench/report.py

The store is written for it: 40 models in lineages of four, a suite of capability and one of safety each, beside the models
that the shipped scores place on the index. `drawn_ms` is null without chromium and selenium. Medians of several.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from stores import make_run

VERB = "import typer; from evalharness.cli.report import report; typer.run(report)"
DRAWN = "return Number(document.documentElement.dataset.drawn || 0)"


def write_store(results_dir: Path, num_models: int, num_docs: int) -> None:
    rng = np.random.default_rng(0)
    for place in range(num_models):
        model, parent = f"model-{place:03}", f"model-{place - 1:03}" if place % 4 else None
        for suite, domain in (("general", "capability"), ("safe", "safety")):
            tasks = {
                f"{suite}_{task}": (rng.random(num_docs) < 0.3 + 0.1 * (place % 4))
                .astype(float)
                .tolist()
                for task in range(4)
            }
            make_run(
                results_dir, f"20260101-{place:06}-{model}-{suite}", model, suite, tasks,
                config={"model": {"name": model, "parent": parent}, "suite": {"domain": domain}},
                engine={"kind": "vllm", "version": "0", "dtype": "float32", "quantization": None},
            )  # fmt: skip


def timed_report(results_dir: Path, out: Path) -> float:
    command = [sys.executable, "-c", VERB, "--results-dir", str(results_dir), "--out", str(out)]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def drawn_ms(page: Path, profile: Path, repeats: int) -> float | None:
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        return None
    if not browser or not driver:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-sync",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(flag)
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as started:
        taken = []
        for _ in range(repeats):
            started.get(page.as_uri())
            while not (found := started.execute_script(DRAWN)):
                time.sleep(0.05)
            taken.append(float(found))
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--docs", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, out = Path(folder, "store"), Path(folder, "out")
        write_store(store, options.models, options.docs)
        seconds = [timed_report(store, out) for _ in range(options.repeats)]
        numbers = json.loads((out / "report.json").read_text())
        page = out / "index.html"
        figures = {
            "models_on_index": len(numbers["trend"]["models"]),
            "models_in_store": options.models,
            "runs": len(numbers["runs"]),
            "lineages": len(numbers["lineages"]),
            "first_s": round(seconds[0], 2),
            "report_s": round(statistics.median(seconds), 2),
            "page_mb": round(page.stat().st_size / 1e6, 2),
            "drawn_ms": drawn_ms(page, Path(folder, "profile"), options.repeats),
        }
    print(json.dumps({"bench": "report", **figures}))


if __name__ == "__main__":
    main()
