"""A checkpoint or adapter as `model inspect` shows it: a line for each fact that is known."""

from rich.table import Table

from evalharness.checkpoint import AdapterInfo, CheckpointInfo, memory_needed
from evalharness.report.terminal.format import params


def checkpoint_view(info: CheckpointInfo | AdapterInfo) -> Table:
    """Facts below the folder's name."""
    table = Table(show_header=False, box=None, title=info.path, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    lines = _adapter_lines(info) if isinstance(info, AdapterInfo) else _checkpoint_lines(info)
    for name, value in lines:
        if value:
            table.add_row(name, value)
    return table


def _adapter_lines(info: AdapterInfo) -> list[tuple[str, str | None]]:
    return [
        ("adapter over", info.base),
        ("rank", str(info.rank)),
        ("parameters", f"{info.params / 1e6:.1f} M"),
        ("on disk", _gib(info.disk_bytes)),
        ("fingerprint", info.fingerprint),
    ]


def _checkpoint_lines(info: CheckpointInfo) -> list[tuple[str, str | None]]:
    experts = (
        f"{info.num_experts} routed, {info.experts_per_token or '?'} per token, "
        f"{info.num_shared_experts} shared"
    )
    windowed = (
        f", {info.num_windowed_layers} of them with a window of {info.attention_window}"
        if info.num_windowed_layers
        else ""
    )
    bits = f" ({info.quantization_bits} bit)" if info.quantization_bits else ""
    return [
        ("architecture", f"{info.architecture} ({info.model_type})"),
        (
            "parameters",
            f"{params(info.params_total)} total, {params(info.params_active)} active per token",
        ),
        ("experts", experts if info.num_experts else None),
        ("vision part", params(info.params_vision) if info.params_vision else None),
        ("dtype", info.dtype),
        ("quantization", f"{info.quantization}{bits}" if info.quantization else None),
        ("context", f"{info.context_length} tokens" if info.context_length else None),
        ("layers", f"{info.num_layers}{windowed}"),
        (
            "attention",
            f"{info.num_attention_heads} heads of {info.head_dim}, {info.num_kv_heads} KV heads",
        ),
        ("hidden size", str(info.hidden_size)),
        ("vocabulary", str(info.vocab_size) if info.vocab_size else None),
        ("weights on disk", f"{_gib(info.disk_bytes)} in {info.num_files} file(s)"),
        ("memory needed", _memory(info)),
        ("adapter over", info.adapter_base),
        ("fits", info.fits_architecture),
        ("remarks", " ".join(info.remarks)),
        ("values", _values(info)),
        ("fingerprint", info.fingerprint),
        ("weights", info.weights_fingerprint),
        ("tokenizer", info.tokenizer_hash or "none"),
        ("chat template", info.chat_template_hash or "none"),
    ]


def _values(info: CheckpointInfo) -> str | None:
    """What --full found; None without it."""
    if info.non_finite is None:
        return None
    return " ".join(info.non_finite) or "all finite"


def _memory(info: CheckpointInfo) -> str | None:
    """Memory on one GPU, in the checkpoint's own precision, for one sequence as long as the context."""
    if not info.context_length:
        return None
    needed = memory_needed(info, max_model_len=info.context_length, disk_bytes=info.disk_bytes)
    return (
        f"{_gib(needed.total)} on one GPU: weights {_gib(needed.weights)}, KV cache of one sequence of "
        f"{info.context_length} tokens {_gib(needed.kv_cache)}, overhead {_gib(needed.overhead)}"
    )


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:.2f} GiB"
