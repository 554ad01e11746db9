"""The result of `selfcheck`: a row per task and, in plain words, its meaning for comparing checkpoints."""

import math
from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from evalharness.report.terminal.format import (
    number,
    plain,
)
from evalharness.report.terminal.table_layout import (
    WIDE,
    Col,
    fitted_table,
)
from evalharness.stats.noise import (
    NoiseFloor,
    TaskNoise,
)

_COLUMNS = (
    Col("task", least=10),
    Col("metric", least=8),
    Col("n", justify="right"),
    Col("scores", justify="right"),
    Col("flips", justify="right"),
    Col("texts", justify="right"),
    Col("argmax", justify="right"),
    Col("logprob max", justify="right"),
    Col("median", justify="right"),
)


def noise_view(
    tasks: Sequence[TaskNoise],
    floor: NoiseFloor,
    *,
    title: str,
    batch_sizes: tuple[int, int],
    is_deterministic: bool,
    folders: Sequence[str],
    width: int = 80,
) -> Group:
    """Heading, a row per task, the verdict and the folders of the two runs.

    Args:
        tasks: what differs, task by task.
        floor: over all of them.
        title: model and suite.
        batch_sizes: most sequences in a batch, for each run.
        is_deterministic: whether the engine should give the same answers at all batch sizes.
        folders: of the two runs.
        width: of the terminal.
    """
    heading = plain(title)
    heading.stylize("bold")
    heading += Text(f"  in batches of up to {batch_sizes[0]}, and of {batch_sizes[1]}")
    columns = _COLUMNS if width >= WIDE else _COLUMNS[:-1]
    lines = verdict(floor, is_deterministic=is_deterministic)
    style = "green" if floor.is_exact else "yellow"
    return Group(
        heading,
        Text(),
        fitted_table(columns, [_cells(task)[: len(columns)] for task in tasks], width),
        Text(),
        *(Text(line, style=style) for line in lines),
        Text("folders ", style="dim") + plain(", ".join(folders)),
    )


def verdict(floor: NoiseFloor, *, is_deterministic: bool) -> list[str]:
    """The meaning of the noise floor, in sentences."""
    if not (floor.n or floor.num_texts or floor.num_continuations):
        return ["Nothing was answered in both runs: there is no noise floor to show."]
    lines = [*_scores(floor), *_texts(floor), *_logprobs(floor)]
    if floor.is_exact:
        lines = [
            f"Equal to the last bit: {floor.n} scores, {floor.num_texts} texts, "
            f"{floor.num_continuations} log-likelihoods. Batching added no noise."
        ]
    elif is_deterministic:
        lines.append("engine.deterministic=true promises equal answers, and they are not.")
    if floor.num_unpaired:
        lines.append(f"{floor.num_unpaired} samples without an answer in both runs are left out.")
    return lines


def _scores(floor: NoiseFloor) -> list[str]:
    if not floor.n:
        return []
    if not floor.num_flips:
        return [
            f"No score of {floor.n} changed with the batch size: differences between checkpoints on this box of "
            f"more than {100 * floor.flip_share_high:.1f} points are not noise of batching (95 %; more docs, "
            "run.limit=N, narrow it)."
        ]
    return [
        f"{floor.num_flips} of {floor.n} scores changed with the batch size alone: differences between "
        f"checkpoints smaller than {100 * floor.flip_share:.1f} points on this box are noise "
        f"(95 %: up to {100 * floor.flip_share_high:.1f})."
    ]


def _texts(floor: NoiseFloor) -> list[str]:
    if not floor.num_text_changes:
        return []
    return [f"{floor.num_text_changes} of {floor.num_texts} generated texts differ."]


def _logprobs(floor: NoiseFloor) -> list[str]:
    if not floor.max_logprob_difference > 0.0:
        return []
    return [
        f"Log-likelihoods moved by up to {_small(floor.max_logprob_difference)}: a decision by "
        "less is a coin toss."
    ]


def _cells(task: TaskNoise) -> list[Text]:
    both = number(task.first_value)
    if not _same(task.first_value, task.second_value):
        both += f" / {number(task.second_value)}"
    return [
        plain(task.task),
        plain(task.metric),
        Text(str(task.n)),
        Text(both),
        Text(str(task.num_flips) if task.n else "-"),
        Text(f"{task.num_text_changes}/{task.num_texts}" if task.num_texts else "-"),
        Text(str(task.num_argmax_changes) if task.num_continuations else "-"),
        Text(_small(task.max_logprob_difference)),
        Text(_small(task.median_logprob_difference)),
    ]


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or number(a) == number(b)


def _small(value: float) -> str:
    return "-" if math.isnan(value) else "0" if value == 0 else f"{value:.1e}"
