"""`task check --fix` fills in what a README can know from its task, and leaves alone what is right."""

from pathlib import Path

import pytest

import own_tasks as own
from evalharness.tasks.authoring.fix_readme import fix_readme
from evalharness.tasks.authoring.readme import blanks, prompt_shown, set_prompt, set_row

README = """\
# one: a test

| | |
|---|---|
| Source | here |
| Docs (n) | 8 (a sample) |
| Chance score | 0.25, by guessing |

## Prompt

The first doc:

```text
Which is 0?
Answer:
```

Its choices: ...

## Changelog
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return own.write(tmp_path, "one", own.CHOICE, own.PICKS).parent


def fixed(folder: Path, text: str) -> tuple[list[str], str]:
    """The changes and the README after them; the second time there is none."""
    readme = folder / "README.md"
    readme.write_bytes(text.encode())
    changes = fix_readme(own.load("one").tasks[0], folder, 1234)
    after = readme.read_bytes()
    assert fix_readme(own.load("one").tasks[0], folder, 1234) == []
    assert readme.read_bytes() == after
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    return changes, after.decode()


@pytest.mark.parametrize(
    "text",
    [
        README,
        README.replace("\n", "\r\n"),
        README.replace("| Chance score | 0.25, by", "| Chance score | 0.26, by"),
        README.replace("Which is 0?", "Which is 3?"),
        README.replace("Which is 0?\n", "...\n"),
        README.replace("```text\nWhich", "````text\nWhich").replace(
            "Answer:\n```", "Answer:\n````"
        ),
        README.split("## Prompt", maxsplit=1)[0],
        "# one\n",
        README.replace("8 (a sample)", "a few").replace("0.25, by guessing", "not known"),
    ],
    ids=[
        "all",
        "crlf",
        "rounded",
        "another doc",
        "shortened",
        "long fence",
        "no prompt",
        "no table",
        "words",
    ],
)
def test_what_is_right_stays(folder: Path, text: str) -> None:
    assert fixed(folder, text) == ([], text)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_is_untrue_or_blank_is_replaced_and_nothing_else(folder: Path, end: str) -> None:
    wrong = README.replace("8 (a", "1,007 (a").replace("0.25, by guessing", "FILL IN")
    wrong = wrong.replace("Which is 0?", "Which was 0?").replace("\n", end)
    right = README.replace("0.25, by guessing", "0.25 (guessing among the choices)")
    assert fixed(folder, wrong) == (
        [
            "Docs (n): '1,007 (a sample)' -> '8 (a sample)'",
            "Chance score: 'FILL IN' -> '0.25 (guessing among the choices)'",
            "prompt: 'Which was 0? Answer:' -> 'Which is 0? Answer:'",
        ],
        right.replace("\n", end),
    )


@pytest.mark.parametrize(
    "old",
    ["", "FILL IN\n", "Which is\n...\nnot there:\n", "Which is\n...\nnot there\n...\nAnswer:\n"],
)
def test_a_prompt_that_shows_no_doc_is_replaced(folder: Path, old: str) -> None:
    changes, after = fixed(folder, README.replace("Which is 0?\nAnswer:\n", old))
    assert after == README
    assert len(changes) == 1


def test_missing_rows_and_a_missing_prompt_are_added(folder: Path) -> None:
    bare = "# one\n\n| | |\n|---|---|\n| Source | here |\n\n## Prompt\n\n## Changelog\n\n- 1.0: first.\n"
    changes, after = fixed(folder, bare)
    assert [change.split(":")[0] for change in changes] == ["Docs (n)", "Chance score", "prompt"]
    rows = "| Source | here |\n| Docs (n) | 8 |\n| Chance score | 0.25 (guessing among the choices) |\n"
    prompt = "## Prompt\n\n```text\nWhich is 0?\nAnswer:\n```\n"
    assert after == bare.replace("| Source | here |\n", rows).replace("## Prompt\n", prompt)


def test_a_prompt_without_a_fence_stays(folder: Path) -> None:
    text = README.replace("```text\n", "").replace("```\n", "")
    assert fixed(folder, text) == ([], text)


def test_a_chance_level_that_is_not_known_stays(folder: Path) -> None:
    own.write(folder.parents[1], "one", own.GENERATE)
    text = README.split("## Prompt", maxsplit=1)[0]
    assert fixed(folder, text) == ([], text)


def test_a_prompt_with_few_shots_is_that_of_a_run(folder: Path) -> None:
    yaml = own.GENERATE + "num_fewshot: 2\nfewshot_split: few\n"
    few = [{"id": str(i), "q": f"Few {i}?", "a": str(i)} for i in range(50)]
    own.write(folder.parents[1], "one", yaml, few=few)
    _, after = fixed(folder, README)
    loaded = own.load("one").tasks[0]
    prompt = loaded.task.fewshot_context(loaded.docs[0], num_fewshot=2)
    assert prompt_shown(after) == prompt
    assert fix_readme(loaded, folder, 1234) == []  # though few-shots were drawn before


def test_a_prompt_with_fences_has_a_longer_one_around_it(folder: Path) -> None:
    rows = [row | {"q": "Run:\n```\nx\n```\n"} for row in own.PICKS]
    own.write(folder.parents[1], "one", own.CHOICE, rows)
    _, after = fixed(folder, README)
    assert "````text\nRun:\n```\nx\n```\n\nAnswer:\n````\n\nIts choices" in after
    assert prompt_shown(after) == "Run:\n```\nx\n```\n\nAnswer:"


def test_a_linked_readme_stays_a_link(folder: Path) -> None:
    (folder / "docs.md").write_text(README.replace("8 (a", "7 (a"))
    (folder / "README.md").symlink_to("docs.md")
    assert len(fix_readme(own.load("one").tasks[0], folder, 1234)) == 1
    assert (folder / "README.md").is_symlink()
    assert (folder / "docs.md").read_text() == README


def test_without_a_readme_none_is_made(folder: Path) -> None:
    assert fix_readme(own.load("one").tasks[0], folder, 1234) == []
    assert not (folder / "README.md").exists()


def test_blanks_are_rows_and_lines() -> None:
    assert blanks("# FILL IN\n| A | FILL IN: x |\n|B|y|\nFILL IN") == ["A", "lines 1 4"]
    assert blanks("| A | b |") == []


def test_other_rows_and_blocks_are_left() -> None:
    text = "| A | 1 |\n| B | 2 |\n\n## Limits\n\n```text\nx\n```\n"
    assert set_row(text, "A", "3") == text.replace("1", "3")
    assert set_prompt(text, "new") == text
