"""How two runs of a task differ besides their scores: two manifests in, words for the reader out."""

from evalharness.records import Manifest, TaskSummary


def other_questions(first: TaskSummary, second: TaskSummary) -> str | None:
    """Why one task's prompts aren't the same in both runs; None where they are, or where it isn't known."""
    if first.num_fewshot != second.num_fewshot:
        return f"{first.num_fewshot} shots against {second.num_fewshot}"
    if first.request_hash and second.request_hash and first.request_hash != second.request_hash:
        return "another prompt or other generation settings"
    return None


def task_notes(first: TaskSummary, second: TaskSummary) -> tuple[str, ...]:
    """What a reader has to know of a task that is compared all the same."""
    notes = []
    for run, task in (("a", first), ("b", second)):
        if task.status != "complete":
            notes.append(f"{task.status} in {run}")
    if first.strategy != second.strategy:
        notes.append(f"strategy {first.strategy} against {second.strategy}")
    if first.repeats != second.repeats:
        notes.append(f"{first.repeats} repeats against {second.repeats}")
    if not (first.request_hash and second.request_hash):
        notes.append("prompts unverified")
    return tuple(notes)


def run_notes(a: Manifest, b: Manifest) -> tuple[str, ...]:
    """What else differs between the two runs."""
    if a.run_id == b.run_id:
        return ("the same run: there is no difference",)
    notes = []
    chat = [run.checkpoint.get("is_chat") for run in (a, b)]
    if chat[0] != chat[1] and None not in chat:
        words = ["with a chat template" if is_chat else "as plain text" for is_chat in chat]
        notes.append(f"prompted {words[0]} against {words[1]}")
    prints = [run.checkpoint.get("fingerprint") for run in (a, b)]
    if prints[0] == prints[1] and prints[0]:
        notes.append("the same weights")
    if a.template_date != b.template_date:
        days = [run.template_date or "no date" for run in (a, b)]
        notes.append(f"the chat template writes {days[0]} against {days[1]} as today's date")
    if a.suite_version != b.suite_version and a.suite == b.suite:
        notes.append(f"suite version {a.suite_version} against {b.suite_version}")
    for what in ("kind", "dtype", "quantization"):
        first, second = (run.engine.get(what) for run in (a, b))
        if first != second and a.engine and b.engine:
            notes.append(f"engine {what} {first} against {second}")
    return tuple(notes)
