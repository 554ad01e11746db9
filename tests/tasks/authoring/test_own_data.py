"""Questions from a table of one's own: what is read of it, and what can't be meant."""

import json
from pathlib import Path

import pytest

from evalharness.errors import TaskError
from evalharness.tasks.authoring.own_answers import Answers
from evalharness.tasks.authoring.own_data import answer_docs, choice_docs

ROWS = "Which is a metal?,iron,salt,wood,A\nWhich is a fruit?,stone,apple,glass,apple\n"


def table(folder: Path, text: str | bytes, name: str = "q.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "question,A,B,C,answer\n" + ROWS,
        "Question,Choice1,Choice2,Choice3,Correct\n" + ROWS,
        "prompt,option_a,option_b,option_c,label\n" + ROWS,
        "Question,Option A,Option B,Option C,Correct Answer\n" + ROWS,
        # As Excel writes it where commas stand in numbers: ; between cells, a byte order mark, \r\n.
        b"\xef\xbb\xbf" + ("question,A,B,C,answer\n" + ROWS).replace(",", ";").replace("\n", "\r\n").encode(),
        "question\tA\tB\tC\tanswer\n" + ROWS.replace(",", "\t"),
        'question,choices,answer\nWhich is a metal?,iron|salt|wood,0\nWhich is a fruit?,"[""stone"", ""apple"", ""glass""]",1\n',
        "question,choices,answer\nWhich is a metal?,iron|salt|wood,1\nWhich is a fruit?,stone|apple|glass,2\n"
        "Which is last?,x|y|z,3\n",
    ],
    ids=["letters", "numbered", "options", "words", "excel", "tabs", "lists", "from 1"],
)  # fmt: skip
def test_columns_are_found_by_their_names(tmp_path: Path, text: str | bytes) -> None:
    first, second, *_ = choice_docs(table(tmp_path, text)).rows
    assert (first["question"], first["choices"]) == ("Which is a metal?", ["iron", "salt", "wood"])
    assert (first["answer"], second["answer"]) == (0, 1)
    assert [first["id"], second["id"]] == ["1", "2"]


def test_other_columns_stay_and_are_no_choices(tmp_path: Path) -> None:
    text = "question,A,B,n,category,answer\nq?,x,y,7,chemistry,B\n"
    (doc,) = choice_docs(table(tmp_path, text)).rows
    assert doc == {
        "id": "1", "question": "q?", "choices": ["x", "y"], "answer": 1, "n": "7", "category": "chemistry",
    }  # fmt: skip


def test_a_row_may_have_fewer_choices(tmp_path: Path) -> None:
    docs = choice_docs(table(tmp_path, "question,A,B,C,answer\nq?,x,y,,B\nr?,1,2,3,C\n")).rows
    assert [len(doc["choices"]) for doc in docs] == [2, 3]


def test_json_lines_keep_their_lists(tmp_path: Path) -> None:
    line = json.dumps({"question": "q?", "choices": ["x", "y"], "answer": "y"})
    (doc,) = choice_docs(table(tmp_path, line, "q.jsonl")).rows
    assert (doc["choices"], doc["answer"]) == (["x", "y"], 1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"question": None}, "row 1: the question is empty"),
        ({"question": {"stem": "q?"}}, "row 1: the question is a dict, not a text"),
        ({"choices": None}, "row 1: 0 choices with a text"),
        ({"choices": ["x", None]}, "row 1: 1 choices with a text"),
        ({"choices": {"text": ["x", "y"]}}, "row 1: the choice is a dict, not a text"),
        ({"answer": None}, "row 1: the answer is empty"),
        ({"answer": ["y"]}, "row 1: the answer is a list, not a text"),
    ],
)
def test_null_is_no_text_and_a_mapping_no_choice(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    good = {"question": "q?", "choices": ["x", "y"], "answer": "y"}
    lines = [json.dumps({**good, **changed}), json.dumps(good)]
    with pytest.raises(TaskError, match=said):
        choice_docs(table(tmp_path, "\n".join(lines), "q.jsonl"))
    without = [json.dumps(good), json.dumps({k: v for k, v in good.items() if k not in changed})]
    with pytest.raises(TaskError, match="row 2: "):
        choice_docs(table(tmp_path, "\n".join(without), "q.jsonl"))


def test_answers_that_are_all_texts_are_texts(tmp_path: Path) -> None:
    text = "question,A,B,C,answer\nWhich grade?,C,B,A,A\nWhich metal?,iron,salt,wood,iron\n"
    assert [doc["answer"] for doc in choice_docs(table(tmp_path, text)).rows] == [2, 0]


NUMBERS = [
    {"question": "2 + 1?", "choices": [1, 2, 3, 4], "answer": 3},
    {"question": "1 + 1?", "choices": [2, 1, 4, 3], "answer": 2},
]


def numbers_file(folder: Path) -> Path:
    return table(folder, json.dumps(NUMBERS, indent=1), "q.json")


def test_a_number_that_may_be_an_index_or_a_choice_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as caught:
        choice_docs(numbers_file(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path / 'q.json'}, row 1: the answer '3' is the text of one choice and the number (from 0) of another, and "
        "every line can be read both ways; say which with --answers texts, from-0 or from-1"
    )


@pytest.mark.parametrize(
    ("answers", "places"),
    [(Answers.texts, [2, 0]), (Answers.from_0, [3, 2]), (Answers.from_1, [2, 1])],
)
def test_it_is_what_the_user_says_it_is(
    tmp_path: Path, answers: Answers, places: list[int]
) -> None:
    docs = choice_docs(numbers_file(tmp_path), answers).rows
    assert [doc["answer"] for doc in docs] == places


def test_numbers_that_can_only_be_texts_are_texts(tmp_path: Path) -> None:
    rows = [{"question": "15 + 15?", "choices": [10, 20, 30, 40], "answer": 30}, NUMBERS[0]]
    docs = choice_docs(table(tmp_path, json.dumps(rows), "q.json")).rows
    assert [doc["answer"] for doc in docs] == [2, 2]


def test_letters_that_may_be_texts_are_refused(tmp_path: Path) -> None:
    file = table(tmp_path, "question,A,B,C,answer\nWhich grade?,C,B,A,A\n")
    with pytest.raises(TaskError, match="--answers texts or letters"):
        choice_docs(file)
    assert choice_docs(file, Answers.letters).rows[0]["answer"] == 0


def test_an_answer_that_isnt_what_the_user_says_is_named(tmp_path: Path) -> None:
    file = table(tmp_path, "question,A,B,answer\nq?,x,y,A\nr?,x,y,y\n")
    assert [doc["answer"] for doc in choice_docs(file).rows] == [0, 1]
    with pytest.raises(TaskError, match=r"line 3: the answer 'y' is the letter of none of its 2"):
        choice_docs(file, Answers.letters)


def test_a_choice_between_two_others_must_not_be_missing(tmp_path: Path) -> None:
    text = "question,A,B,D,answer\nq?,x,y,z,A\n"
    with pytest.raises(TaskError, match="a column 'D' after 'B', and none between them"):
        choice_docs(table(tmp_path, text))


def test_own_ids_stay(tmp_path: Path) -> None:
    text = "ID,question,answer\n7,q?,x\n,r?,y\n"
    assert [d["id"] for d in answer_docs(table(tmp_path, text.replace("ID", "id"))).rows] == [
        "7",
        "2",
    ]
    docs = answer_docs(table(tmp_path, text)).rows
    assert [(d["id"], d["ID"]) for d in docs] == [("1", "7"), ("2", "")]


def test_what_was_read_is_one_line(tmp_path: Path) -> None:
    file = table(tmp_path, "Prompt,A,B,Gold\nq?,x,y,A\n")
    assert choice_docs(file).source == (
        f"1 docs from {file}: question from 'Prompt', choices from 'A', 'B', answer from 'Gold'"
    )


def test_free_answers_need_no_choices(tmp_path: Path) -> None:
    (doc,) = answer_docs(table(tmp_path, "question,answer,topic\nWhat is 2+2?,4,sums\n")).rows
    assert doc == {"id": "1", "question": "What is 2+2?", "answer": "4", "topic": "sums"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question,A,B\nq?,x,y\n", "no column for the answer: it has question, A, B"),
        ("what,A,B,answer\nq?,x,y,A\n", "no column for the question"),
        ("question,first,second,answer\nq?,x,y,x\n", "no column for the choices: it has question, first, second, answer; name it choices, or one each A, B"),
        ("question,A,B,answer\nq?,x,y,C\n", "line 2: the answer 'C' is none of its 2 choices"),
        ("question,A,B,answer\nq?,x,y,\n", "line 2: the answer is empty"),
        ("question,A,B,answer\nq?,x,y,A\nWhich?,B,A,B\n", "line 3: the answer 'B' is the text of one choice and the letter"),
        ("question,A,B,C,answer\nq?,x,y,z,3\nr?,2,1,0,1\n", "line 3: the answer '1' is the text of one"),
        ("question,A,B,C,answer\nq?,x,y,z,1\n", "may count from 0 or from 1"),
        ("question,A,B,answer\nq?,x,y,0\nr?,x,y,2\n", "from 0 in one line and from 1 in another"),
        ("question,A,B,answer\nq?,x,x,A\n", "two choices are the same: 'x'"),
        ("question,A,B,C,answer\nq?,x,,z,A\n", "without gaps"),
        ("question,A,B,answer\n,x,y,A\n", "line 2: the question is empty"),
        ("question,A,B,answer\nq?,x,y\n", "line 2: 3 cells under 4 names"),
        ('question,choices,answer\nq?,"[1, ",1\n', "line 2: choices is no JSON list"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_place(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    with pytest.raises(TaskError, match=r"q\.csv") as caught:
        choice_docs(table(tmp_path, text))
    assert said in str(caught.value)
