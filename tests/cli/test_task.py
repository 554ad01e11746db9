"""The verbs of `evalharness task`, as a user calls them in a folder of their own."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import own_tasks as own
from command_line import Cli
from evalharness.cli import (
    task,
)
from evalharness.paths import install_command
from evalharness.tasks import lm_eval_index
from evalharness.tasks.lm_eval_index import StockRow


def fill_in(folder: Path) -> None:
    for name in ("README.md", "SOURCE.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(
            text.replace("FILL IN: SPDX name", "MIT").replace("FILL IN", "x")
        )


KINDS = ["multiple_choice", "generate", "python", "procedural"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_task_filled_in_passes_its_check(evalharness: Cli, home: Path, kind: str) -> None:
    if kind == "procedural":
        pytest.importorskip("reasoning_gym")
    made = evalharness("task", "new", "mine", "--kind", kind)
    assert made.code == 0
    assert "evalharness task check mine" in made.out
    assert "without a terminal, set EVALHARNESS_TASKS_TRUST=true" in made.out
    fill_in(home / "tasks" / "mine")
    checked = evalharness("task", "check", "mine", "--strict")
    assert (checked.code, checked.out.startswith("mine: ok")) == (0, True), checked


def test_a_new_task_runs_at_once(evalharness: Cli, home: Path) -> None:
    evalharness("task", "new", "mine", "--kind", "generate")
    done = evalharness("run", "model=mine", "engine=fake", "suite=mine", "--json")
    assert done.code == 0, done.err
    assert {row["task"] for row in json.loads(done.out)[0]["metrics"]} == {"mine"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_tasks_readme_shows_the_prompt_as_it_is(
    evalharness: Cli, home: Path, kind: str
) -> None:
    if kind == "procedural":
        pytest.importorskip("reasoning_gym")
    evalharness("task", "new", "mine", "--kind", kind)
    prompt = preview(evalharness, "mine", "model.chat=false")["prompt"].rstrip("\n")
    assert f"```text\n{prompt}\n```" in (home / "tasks" / "mine" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["../x"], "letters, digits and _ make a name"),
        (["gsm8k"], "lm-eval has a task of this name"),
        (["quick"], "a suite has this name"),
        (["arc_easy_sample"], "has this name; choose another"),
        (["mine", "--kind", "choice"], "did you mean 'multiple_choice'?"),
        (["mine", "--data", "q.csv", "--answers", "text"], "did you mean 'texts'?"),
        (["mine", "--answers", "texts"], "--answers texts: for --data with --kind multiple_choice"),
        (
            ["mine", "--kind", "python", "--data", "q.csv"],
            "for --kind multiple_choice and generate",
        ),
        (["mine", "--data", "q.csv"], "q.csv: can't be read: No such file"),
        (["there"], "tasks/there exists already"),
    ],
)
def test_a_bad_name_is_refused_in_one_line(
    evalharness: Cli, home: Path, arguments: list[str], said: str
) -> None:
    (home / "tasks" / "there").mkdir(parents=True)
    printed = evalharness("task", "new", *arguments)
    assert (printed.code, printed.out) == (2, "")
    assert said in printed.err
    assert len(printed.err.splitlines()) == 1


def test_procedural_without_reasoning_gym_says_how_to_install_it_and_writes_nothing(
    evalharness: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    printed = evalharness("task", "new", "mine", "--kind", "procedural")
    assert (printed.code, printed.out) == (2, "")
    (line,) = printed.err.splitlines()
    assert line.endswith(
        f"task new --kind procedural: needs reasoning-gym; {install_command('procedural')}"
    )
    assert not (home / "tasks").exists()


def test_a_table_of_ones_own_is_a_task_and_says_what_was_read(evalharness: Cli, home: Path) -> None:
    table = "Frage;A;B;answer\nWie heißt das?;groß;klein;A\nUnd das?;0,5;1,5;B\n"
    (home / "q.csv").write_bytes(b"\xef\xbb\xbf" + table.replace("Frage", "question").encode())
    made = evalharness("task", "new", "mine", "--data", "q.csv")
    assert made.code == 0, made.err
    assert made.out.splitlines()[0] == (
        "2 docs from q.csv: question from 'question', choices from 'A', 'B', answer from 'answer'"
    )
    first, second = (home / "tasks" / "mine" / "data" / "test.jsonl").read_text().splitlines()
    assert '"choices": ["groß", "klein"], "answer": 0' in first
    assert '"choices": ["0,5", "1,5"], "answer": 1' in second
    (home / "q.csv").write_text(table)
    refused = evalharness("task", "new", "other", "--data", "q.csv")
    assert refused.code == 2
    assert "no column for the question: it has Frage, A, B, answer; name it one of" in refused.err
    assert not (home / "tasks" / "other").exists()


def test_check_prints_one_line_a_defect(evalharness: Cli, home: Path) -> None:
    own.write(home, "one", rows=[own.SUMS[0], *own.SUMS])
    printed = evalharness("task", "check", "one")
    assert printed.code == 1
    assert "one: error: docs: id '1' is that of docs 0 and 1" in printed.out.splitlines()
    assert "one: note: README.md: there is none" in printed.out.splitlines()


def test_check_as_json(evalharness: Cli, home: Path) -> None:
    own.write(home, "one")
    (found,) = json.loads(evalharness("task", "check", "one", "--json").out)
    assert (found["task"], found["num_docs"], found["num_scored"]) == ("one", 8, 8)
    assert {"level": "note", "what": "there is none", "where": "SOURCE.json"} in found["defects"]


def test_check_with_a_model_uses_its_context(evalharness: Cli, home: Path) -> None:
    own.write(home, "one", rows=[row | {"q": "long " * 300} for row in own.SUMS])
    printed = evalharness("task", "check", "one", "model=mine", "engine.max_model_len=500")
    assert "the context 500" in printed.out


def test_a_broken_task_is_one_line_and_the_others_are_checked(evalharness: Cli, home: Path) -> None:
    own.write(home, "bad", own.GENERATE.replace("doc_to_text", "doc_to_txt"))
    own.write(home, "good")
    printed = evalharness("task", "check", "--all")
    assert printed.code == 2
    said = "bad: error: tasks/bad/bad.yaml, line 5: doc_to_txt: no such field; did you mean 'doc_to_text'?"
    assert printed.out.splitlines()[0] == said
    assert "good: note: README.md: there is none" in printed.out


def preview(evalharness: Cli, *arguments: str) -> dict[str, Any]:
    printed = evalharness("task", "preview", *arguments, "model=mine", "--json")
    assert printed.code == 0, printed.err
    found: dict[str, Any] = json.loads(printed.out)
    return found


def test_preview_shows_what_a_run_sends(evalharness: Cli, home: Path) -> None:
    yaml = own.GENERATE + "num_fewshot: 1\nfewshot_split: few\n"
    few = [{"id": str(i), "q": f"Few {i}?", "a": str(i)} for i in range(50)]
    own.write(home, "one", yaml, few=few)
    suite = home / "configs" / "suite" / "one.yaml"
    suite.parent.mkdir()
    suite.write_text("name: one\ntasks: {one: {}}\n")
    run = evalharness("run", "model=mine", "engine=fake", "suite=one", "run.id=r")
    assert run.code == 0, run.err
    samples = evalharness("results", "r", "--task", "one", "--samples", "8", "--json")
    for sample in json.loads(samples.out):
        shown = preview(evalharness, "one", "--doc", str(sample["doc_id"]))
        assert shown["prompt"] == sample["prompt"]
        assert shown["num_prompt_tokens"] == sample["num_prompt_tokens"]
        assert shown["fewshots"][0]["q"] in shown["prompt"]


def test_preview_of_a_limited_run_shows_its_docs(evalharness: Cli, home: Path) -> None:
    own.write(home, "one", own.GENERATE + "num_fewshot: 1\nfewshot_split: test\n")
    limit = "+suite.tasks.one.limit=3"
    taken = []
    for doc in range(8):
        printed = evalharness(
            "task", "preview", "one", "--doc", str(doc), "model=mine", "--json", limit
        )
        if printed.code == 0:
            taken.append(doc)
            assert (
                json.loads(printed.out)["prompt"]
                == preview(evalharness, "one", "--doc", str(doc))["prompt"]
            )
        else:
            assert f"doc {doc} isn't one of the 3 that the limit takes: " in printed.err
    assert len(taken) == 3


def test_preview_names_stops_sampling_and_target(evalharness: Cli, home: Path) -> None:
    own.write(home, "one")
    shown = preview(evalharness, "one", "--doc", "3")
    assert (shown["target"], shown["doc_id"]) == ("8", 3)
    assert (shown["sampling"]["stop"], shown["sampling"]["max_gen_toks"]) == (["\n"], 8)


def test_preview_names_choices(evalharness: Cli, home: Path) -> None:
    own.write(home, "one", own.CHOICE, own.PICKS)
    shown = preview(evalharness, "one", "model.chat=false")
    assert [choice["text"] for choice in shown["choices"]] == [" 0a", " 0b", " 0c", " 0d"]
    assert all(choice["num_tokens"] > 0 for choice in shown["choices"])


def test_preview_marks_special_tokens(evalharness: Cli, home: Path) -> None:
    own.write(home, "one")
    shown = preview(evalharness, "one")
    special = [token["text"] for token in shown["tokens"] if token["is_special"]]
    printed = evalharness("task", "preview", "one", "model=mine", "--tokens")
    assert special
    assert f"[{special[0]}]" in printed.out
    assert "tokens    " in printed.out
    assert len(re.findall(r"^ +\d+ +\d+  ", printed.out, re.MULTILINE)) == len(shown["tokens"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one"], "a model is missing"),
        (["one", "model=mine", "--doc", "99"], "no doc 99; there are 8, from 0 on"),
        (["oen", "model=mine"], "did you mean 'one'?"),
        (["one", "model=mein"], "did you mean 'mine'?"),
    ],
)
def test_preview_of_nothing_is_one_line(
    evalharness: Cli, home: Path, arguments: list[str], said: str
) -> None:
    own.write(home, "one")
    printed = evalharness("task", "preview", *arguments)
    assert (printed.code, printed.out) == (2, "")
    assert said in printed.err
    assert len(printed.err.splitlines()) == 1


def test_list_knows_own_tasks_with_kind_and_docs(evalharness: Cli, home: Path) -> None:
    own.write(home, "one")
    own.write(home, "broken").write_text("task: broken\nx: [")
    rows = {
        row["name"]: row
        for row in json.loads(evalharness("task", "list", "--custom", "--json").out)
    }
    assert (rows["one"]["kind"], rows["one"]["num_docs"]) == ("generate_until", 8)
    assert rows["broken"]["kind"] == "broken"
    assert rows["arc_easy_sample"]["num_docs"] == 200
    assert rows["number_guessing"]["kind"] == "python"


TAGGED = own.GENERATE.replace("output_type", "tag: [pair, all_of_it]\noutput_type", 1)
OLD = own.GENERATE.replace("output_type", "group: [oldies]\noutput_type", 1)


def listed(evalharness: Cli, *arguments: str) -> dict[str, dict[str, Any]]:
    return {
        row["name"]: row
        for row in json.loads(evalharness("task", "list", *arguments, "--json").out)
    }


def test_list_has_tags_and_groups_of_ones_own(evalharness: Cli, home: Path) -> None:
    own.write(home, "one", TAGGED)
    own.write(home, "two", TAGGED.replace(", all_of_it", ""))
    (home / "tasks" / "both.yaml").write_text("group: both\ntask: [one, two]\n")
    rows = listed(evalharness, "--custom")
    found = {
        name: (rows[name]["kind"], rows[name]["source"]) for name in ("pair", "all_of_it", "both")
    }
    assert found == {
        "pair": ("tag", "one, two"), "all_of_it": ("tag", "one"), "both": ("group", "one, two")
    }  # fmt: skip
    assert {rows[name]["cannot_run"] for name in ("one", "two", "pair", "both")} == {None}
    checked = evalharness("task", "check", "pair")
    assert {line.split(":")[0] for line in checked.out.splitlines()} == {"one", "two"}
    every = evalharness("task", "check", "--all").out.splitlines()
    assert [line for line in every if ": ok" in line] == [
        f"{name}: ok (8 docs, 8 scored with gold, empty and wrong answers)"
        for name in ("one", "two")
    ]


def test_list_marks_an_old_group_and_check_says_what_to_write(evalharness: Cli, home: Path) -> None:
    own.write(home, "one", OLD)
    own.write(home, "good")
    rows = listed(evalharness, "--custom")
    assert [rows[name]["cannot_run"] for name in ("one", "oldies", "good")] == [
        "no: broken", "no: broken", None
    ]  # fmt: skip
    said = "tasks/one/one.yaml, line 2: group: of an older lm-eval; write `tag: [oldies]` instead"
    for name in ("one", "oldies"):
        assert rows[name]["source"].startswith(said)
        checked = evalharness("task", "check", name)
        assert (checked.code, checked.out.startswith(f"{name}: error: {said}")) == (2, True)
    table = evalharness("task", "list", "--custom").out
    assert re.search(r"^one +broken +no: broken ", table, re.MULTILINE)
    assert re.search(r"^good +generate_until +yes ", table, re.MULTILINE)


def test_list_says_which_of_lm_evals_names_dont_run(evalharness: Cli) -> None:
    rows = listed(evalharness, "--stock")
    assert (rows["scrolls"]["kind"], rows["scrolls"]["cannot_run"]) == (
        "old group",
        "no: name its tasks",
    )
    assert "scrolls_qasper" in rows["scrolls"]["source"].split(", ")
    assert rows["scrolls_qasper"]["cannot_run"] is None
    assert rows["mmmu_val"]["cannot_run"] == "needs images or audio"
    assert rows["humaneval"]["cannot_run"] == "needs run.allow_unsafe_code=true"
    assert rows["mmlu"]["cannot_run"] is None


def test_list_finds_lm_evals_tasks_by_pattern(evalharness: Cli) -> None:
    rows = json.loads(evalharness("task", "list", "gsm8k", "--stock", "--json").out)
    assert {row["is_custom"] for row in rows} == {False}
    row = next(row for row in rows if row["name"] == "gsm8k")
    assert (row["kind"], row["source"], row["num_docs"]) == (
        "generate_until",
        "openai/gsm8k/main",
        None,
    )


def test_list_sums_lm_evals_tasks_up(evalharness: Cli, home: Path) -> None:
    own.write(home, "one")
    lines = evalharness("task", "list").out.splitlines()
    assert len(lines) < 80
    assert any(line.startswith("one ") for line in lines)


def test_names_of_tasks_are_completed(home: Path) -> None:
    own.write(home, "one")
    assert task._complete("on")[0] == "one"
    assert "gsm8k_sample" in task._complete("gsm8k_s")


def test_a_pattern_without_a_task_is_an_error(evalharness: Cli) -> None:
    assert evalharness("task", "list", "no_such_thing").code == 2


def test_the_second_list_parses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "gsm8k": StockRow(
            "generate_until", "openai/gsm8k/main", (), "TASK", "gsm8k/gsm8k.yaml", ("math",)
        )
    }
    monkeypatch.setattr(lm_eval_index, "_read", lambda _: rows)
    assert lm_eval_index.stock_rows(tmp_path) == rows
    monkeypatch.setattr(lm_eval_index, "_read", lambda _: pytest.fail("parsed again"))
    assert lm_eval_index.stock_rows(tmp_path) == rows
