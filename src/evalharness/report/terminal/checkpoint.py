"""A checkpoint or adapter as `model inspect` shows it: a line for each fact that is known."""

from rich.table import Table

from evalharness.checkpoint import AdapterInfo, CheckpointInfo, memory_needed
from evalharness.report.terminal.format import UNKNOWN, params


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
    bits = f" ({info.quantization_bits} bit)" if info.quantization_bits else ""
    return [
        ("architecture", f"{info.architecture} ({info.model_type})"),
        ("parameters", _parameters(info)),
        ("experts", _experts(info)),
        ("vision part", params(info.params_vision) if info.params_vision else None),
        ("dtype", info.dtype),
        ("quantization", f"{info.quantization}{bits}" if info.quantization else None),
        ("context", f"{info.context_length} tokens" if info.context_length else UNKNOWN),
        ("layers", _layers(info)),
        ("attention", _attention(info)),
        ("hidden size", str(info.hidden_size or UNKNOWN)),
        ("vocabulary", str(info.vocab_size) if info.vocab_size else None),
        ("weights on disk", _on_disk(info)),
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


def _parameters(info: CheckpointInfo) -> str:
    """Total and active, both ways of counting where they differ."""
    total, active = info.params_total, info.params_active
    if total is None:
        return UNKNOWN
    words = f"{params(total)} total, {params(active) or UNKNOWN} active per token"
    if active and info.params_active_without_input != active:
        words += f" ({params(info.params_active_without_input)} without the input embedding)"
    if info.params_next_tokens:
        words += f"; {params(info.params_next_tokens)} more for multi-token prediction"
    return words


def _experts(info: CheckpointInfo) -> str | None:
    if info.num_experts == 0:
        return None
    if info.num_experts is None:
        return UNKNOWN
    return (
        f"{info.num_experts} routed, {info.experts_per_token or UNKNOWN} per token, "
        f"{info.num_shared_experts} shared"
    )


def _layers(info: CheckpointInfo) -> str:
    if not info.num_layers:
        return UNKNOWN
    full, windowed = info.num_full_attention_layers, info.num_windowed_layers
    parts = [f"{full} see the whole sequence"] if full != info.num_layers else []
    if windowed:
        parts.append(f"{windowed} a window of {info.attention_window} tokens")
    if rest := info.num_layers - full - windowed:
        parts.append(f"{rest} keep no KV cache")
    return f"{info.num_layers}{': ' * bool(parts)}{', '.join(parts)}"


def _attention(info: CheckpointInfo) -> str:
    if not info.num_attention_heads:
        return UNKNOWN
    if info.latent_dim:
        return f"{info.num_attention_heads} heads over a latent of {info.latent_dim} values"
    words = f"{info.num_attention_heads} heads of {info.head_dim}, {info.num_kv_heads} KV heads"
    own = (info.num_global_kv_heads, info.global_head_dim)
    if own != (info.num_kv_heads, info.head_dim):
        words += f"; {own[0]} KV heads of {own[1]} in layers that see the whole sequence"
    return words


def _on_disk(info: CheckpointInfo) -> str:
    return f"{_gib(info.disk_bytes)} in {info.num_files} file(s)" if info.num_files else "none"


def _values(info: CheckpointInfo) -> str | None:
    """What --full found; None without it."""
    if info.non_finite is None:
        return None
    return " ".join(info.non_finite) or "all finite"


def _memory(info: CheckpointInfo) -> str | None:
    """Memory on one GPU, in the checkpoint's own precision, for one sequence as long as the context."""
    if not info.context_length or not info.num_layers:
        return UNKNOWN
    if info.params_total is None and not info.disk_bytes:
        return UNKNOWN
    needed = memory_needed(info, max_model_len=info.context_length, disk_bytes=info.disk_bytes)
    return (
        f"{_gib(needed.total)} on one GPU: weights {_gib(needed.weights)}, KV cache of one sequence of "
        f"{info.context_length} tokens {_gib(needed.kv_cache)}, overhead {_gib(needed.overhead)}"
    )


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:.2f} GiB"
