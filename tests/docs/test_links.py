"""Every relative link and anchor of README and docs resolves, and the files that they name are there."""

import re
from functools import cache
from pathlib import Path

import pytest

from blocks_of_docs import PAGES, ROOT, blocks, prose

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.M)
_MODULE = re.compile(r"`((?:[\w-]+/)+[\w-]+\.(?:py|yaml|md))\b`?")
_PLACES = ("", "src/evalharness", "docs")
MOST_README_LINES = 250
MOST_PICTURE_BYTES = 200_000
PAGE_NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def anchors(page: Path) -> set[str]:
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        name, number = slug(heading), 0
        while (unique := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(unique)
    return found


def broken(page: Path, links: list[str]) -> list[str]:
    """Links that lead nowhere."""
    bad = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        to = (page.parent / file).resolve() if file else page
        if not to.exists() or (anchor and anchor not in anchors(to)):
            bad.append(link)
    return bad


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_links_and_anchors_resolve(name: str) -> None:
    page = ROOT / name
    assert broken(page, _LINK.findall(prose(page))) == []


def test_a_link_to_nowhere_and_a_missing_anchor_are_noticed() -> None:
    page = ROOT / "docs" / "measured.md"
    assert broken(
        page, ["nope.md", "measured.md#nope", "#measured", "statistics.md#intervals"]
    ) == [
        "nope.md",
        "measured.md#nope",
    ]


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_files_that_a_page_names_are_there(name: str) -> None:
    examples = {block.rest for page in PAGES for block in blocks(page)}
    missing = [
        file
        for file in _MODULE.findall(prose(ROOT / name))
        if not any((ROOT / place / file).exists() for place in _PLACES)
        and file not in examples
        and not re.search(r"NAME|results/|checkpoints/|configs/model/mine", file)
    ]
    assert missing == []


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_every_page_is_reached_from_the_readme(name: str) -> None:
    reached, waiting = {ROOT / "README.md"}, [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        links = [link.partition("#")[0] for link in _LINK.findall(prose(page))]
        to = {(page.parent / link).resolve() for link in links if link.endswith(".md")} - reached
        reached |= to
        waiting += [page for page in to if page in PAGES]
    assert ROOT / name in reached


def test_the_readme_is_short_and_its_picture_small() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= MOST_README_LINES
    [picture] = re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme)
    assert 0 < (ROOT / picture).stat().st_size < MOST_PICTURE_BYTES
