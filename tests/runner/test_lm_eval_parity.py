"""Same model, same numbers: our runner against lm-eval's own `simple_evaluate`.

The model is a function of texts. lm-eval asks it through an LM of the test's own, our runner through an engine that
decodes the tokens it gets: nothing of ours has a part in lm-eval's numbers.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.api.model import LM

from evalharness import engines, paths
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    LimitFrom,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.engines.fake import FakeEngine
from evalharness.engines.requests import (
    ContinuationScore,
    GenerateRequest,
    Generation,
    ScoreRequest,
    Scores,
)
from evalharness.runner.run import run
from evalharness.tasks.suite import task_manager

GROUP = """
group: two_tasks
task: [arc_easy_sample, bbh_boolean_sample]
aggregate_metric_list:
  - {metric: acc, weight_by_size: %s}
"""
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def fraction(*parts: str) -> float:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def likelihood(context: str, continuation: str) -> tuple[float, bool]:
    """Log-likelihood and whether it is greedy: anything, the same for the same texts."""
    found = fraction(context, continuation)
    return -30 * found, found < 0.1


def gsm8k_answers() -> dict[str, str]:
    lines = (paths.shipped("tasks") / "gsm8k_sample" / "data" / "test.jsonl").read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    return {row["question"]: row["answer"].rsplit("#### ", 1)[1] for row in rows}


def reply(answers: dict[str, str]) -> Callable[[str], str]:
    """A text that ends right for about half the gsm8k questions, in either form that the task's filters want."""

    def write(prompt: str) -> str:
        asked = next((q for q in answers if prompt.rstrip().endswith(f"{q}\nAnswer:") or f"{q}\nAnswer:<|im_end|>" in prompt), None)  # fmt: skip
        if asked is None:
            return f" Counting on. The answer is {DAYS[int(7 * fraction(prompt))]}."
        number = answers[asked] if fraction(asked) < 0.6 else "77"
        return f" So it is #### {number}" if fraction(asked, "form") < 0.5 else f" I get {number}."

    return write


def _moved(context: str, continuation: str) -> tuple[str, str]:
    """Spaces at the context's end belong to the continuation, as in lm-eval's own models (`TemplateLM`)."""
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation


class TextLM(LM):
    """What lm-eval asks."""

    def __init__(self, tokenizer: Any, write: Callable[[str], str]) -> None:
        super().__init__()
        self.tokenizer, self.write = tokenizer, write
        self.contexts: set[str] = set()

    @property
    def tokenizer_name(self) -> str:
        return "bytes"

    def chat_template(self, chat_template: bool | str = False) -> str:
        return str(self.tokenizer.chat_template)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        )

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        pairs = [_moved(*request.args) for request in requests]
        self.contexts |= {context for context, _ in pairs}
        return [likelihood(*pair) for pair in pairs]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        raise AssertionError("none of the tasks asks for it")

    def generate_until(self, requests: list[Any]) -> list[str]:
        self.contexts |= {request.args[0] for request in requests}
        return [self.write(request.args[0]) for request in requests]


def install_engine(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any, write: Callable[[str], str]
) -> set[str]:
    """The engine `fake` answers as the texts' function; returns the contexts that it will have been asked."""
    contexts: set[str] = set()

    def decode(token_ids: Any) -> str:
        return str(tokenizer.decode(list(token_ids), skip_special_tokens=False))

    class TextEngine(FakeEngine):
        async def generate(self, request: GenerateRequest) -> Generation:
            prompt = decode(request.prompt_token_ids)
            contexts.add(prompt)
            text = write(prompt)
            tokens = tokenizer.encode(text, add_special_tokens=False)
            return Generation(text=text, token_ids=tuple(tokens), finish_reason="stop")

        async def score(self, request: ScoreRequest) -> Scores:
            context = decode(request.context_token_ids)
            contexts.add(context)
            found = [likelihood(context, decode(tokens)) for tokens in request.continuations]
            return Scores(
                continuations=tuple(
                    ContinuationScore(logprob=logprob, is_greedy=is_greedy, num_tokens=len(tokens))
                    for (logprob, is_greedy), tokens in zip(
                        found, request.continuations, strict=True
                    )
                )
            )

    monkeypatch.setattr(engines.fake, "FakeEngine", TextEngine)
    return contexts


@pytest.mark.parametrize("is_chat", [False, True])
def test_metrics_equal_those_of_simple_evaluate(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_chat: bool
) -> None:
    from transformers import AutoTokenizer

    tasks = ["arc_easy_sample", "truthfulqa_mc2_sample", "gsm8k_sample", "weekday_arithmetic"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    write = reply(gsm8k_answers())
    lm = TextLM(tokenizer, write)
    theirs = lm_eval.simple_evaluate(
        model=lm,
        tasks=tasks,
        limit=30,
        bootstrap_iters=0,
        task_manager=task_manager(),
        apply_chat_template=is_chat,
        fewshot_as_multiturn=is_chat,
    )
    contexts = install_engine(monkeypatch, tokenizer, write)
    ours = run(
        Config(
            model=ModelConfig(
                name="tiny", path=str(tiny_llama), variant=Variant.instruct, chat=is_chat
            ),
            engine=EngineConfig(kind=EngineKind.fake, max_model_len=100_000),
            suite=SuiteConfig(name="parity", tasks={name: TaskConfig() for name in tasks}),
            run=RunConfig(limit=30, limit_from=LimitFrom.first),
            results_dir=str(tmp_path),
        )
    )
    assert theirs is not None
    expected = {
        (task, *key.split(",")): value
        for task, metrics in theirs["results"].items()
        for key, value in metrics.items()
        if "," in key and "_stderr" not in key
    }
    assert contexts >= lm.contexts  # and those of the probe that every run starts with
    assert len(expected) == 7
    assert all(0 < value < 1 for value in expected.values()), expected
    assert {(m.task, m.metric, m.filter): m.value for m in ours.metrics} == pytest.approx(expected)


def test_groups_equal_those_of_simple_evaluate_and_their_weights_matter(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    (tmp_path / "tasks").mkdir()
    folders = [tmp_path / "tasks", paths.shipped("tasks")]
    monkeypatch.setattr(paths, "search", lambda name: folders if name == "tasks" else [])
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    lm = TextLM(tokenizer, str)
    install_engine(monkeypatch, tokenizer, str)
    values = []
    for by_size in ("true", "false"):
        (tmp_path / "tasks" / "two_tasks.yaml").write_text(GROUP % by_size)
        # 160 and 100 docs.
        theirs = lm_eval.simple_evaluate(
            model=lm, tasks=["two_tasks"], limit=160, bootstrap_iters=0, task_manager=task_manager()
        )
        ours = run(
            Config(
                model=ModelConfig(name="tiny", path=str(tiny_llama)),
                engine=EngineConfig(kind=EngineKind.fake, max_model_len=100_000),
                suite=SuiteConfig(name="parity", tasks={"two_tasks": TaskConfig(metric="acc")}),
                run=RunConfig(limit=160, limit_from=LimitFrom.first),
                results_dir=str(tmp_path / "results"),
            )
        )
        assert theirs is not None
        (group,) = [m for m in ours.metrics if m.task == "two_tasks"]
        assert group.value == pytest.approx(theirs["results"]["two_tasks"]["acc,none"])
        assert group.n == 260
        assert group.ci_low < group.value < group.ci_high
        assert group.is_main
        values.append(group.value)
    assert abs(values[0] - values[1]) > 0.005
