"""Lines of `samples_*.jsonl`, whatever is in them."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.interchange.lm_eval_files import Reported, TaskResult
from evalharness.interchange.lm_eval_samples import _ODD, SamplesRead, sample_record

CHOICE = TaskResult(name="t", metrics={("acc", "none"): Reported(0.5, 0.1)}, config={"output_type": "multiple_choice"})  # fmt: skip
ROLLING = TaskResult(name="t", metrics={}, config={"output_type": "loglikelihood_rolling"})
GENERATED = TaskResult(name="t", metrics={}, config={"output_type": "generate_until"})
LINE: dict[str, Any] = {
    "doc_id": 0, "doc_hash": "h", "target": "t", "arguments": {"gen_args_0": {"arg_0": "p"}}, "resps": [["r"]],
    "filtered_resps": ["a"], "filter": "none", "metrics": ["acc"], "acc": 1,
}  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from([CHOICE, ROLLING, GENERATED]), st.sampled_from(list(LINE)), ANY)
def test_a_line_with_anything_in_a_field_is_a_sample_or_odd(
    task: TaskResult, name: str, value: Any
) -> None:
    with contextlib.suppress(*_ODD):
        sample = sample_record(LINE | {name: value}, task, "none")
        assert isinstance(sample.doc_id, int)
        assert sample.doc_hash
        assert all(isinstance(score, float) for score in sample.scores.values())


def test_several_draws_of_a_generation_are_one_list() -> None:
    sample = sample_record(LINE | {"resps": [["x", "y"]]}, GENERATED, "none")
    assert sample.response == '[["x", "y"]]'


def test_a_rolling_loglikelihood_is_a_number() -> None:
    sample = sample_record(LINE | {"resps": [["-12.5"]]}, ROLLING, "none")
    assert sample.response == "[-12.5]"


def test_a_score_that_is_no_number_is_not_stored() -> None:
    line = LINE | {"metrics": ["acc", "f1"], "f1": [1, 0]}
    assert sample_record(line, GENERATED, "none").scores == {"acc": 1.0}


@pytest.mark.parametrize(("said", "num_empty"), [("", 1), (" \n", 1), ("0", 0)])
def test_an_empty_generation_is_counted_once_for_all_filters(said: str, num_empty: int) -> None:
    read = SamplesRead()
    for filter_ in ("strict", "loose"):
        line = LINE | {"resps": [[said]], "filter": filter_}
        read.add(sample_record(line, GENERATED, "strict"), GENERATED.kind)
    assert (read.num_empty, read.num_samples) == (num_empty, 1)
