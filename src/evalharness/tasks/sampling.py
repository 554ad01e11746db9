"""How an answer is drawn: lm-eval's generation_kwargs, overridden by the run's sampling, and the seed of each sample.

    generation_kwargs of a task  <  gen_kwargs of the suite (`merge_settings`)  <  sampling.* of the run (`sampling_params`)

`SETTINGS` is all that a task may set. Each is applied, the same in every engine, or refused before any weights are
loaded: an unknown name, or an invalid value. `null` leaves a setting out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from evalharness.config.schema import SamplingConfig
from evalharness.engines.requests import SamplingParams
from evalharness.errors import TaskError, did_you_mean

DEFAULT_MAX_GEN_TOKS = 256
"""lm-eval's own default for tasks that name none."""

ALIASES: Mapping[str, str] = {
    "max_new_tokens": "max_gen_toks",
    "max_tokens": "max_gen_toks",
    "max_completion_tokens": "max_gen_toks",
    "min_new_tokens": "min_tokens",
    "stop": "until",
}
"""transformers', vLLM's and OpenAI's names for lm-eval's."""


class SettingError(Exception):
    """A setting that can't be applied."""

    def __init__(self, key: str, why: str) -> None:
        """Keep the setting's name, and the reason."""
        super().__init__(why)
        self.key = key


def _number(low: float, high: float, *, is_low_out: bool = False) -> Callable[[Any], float]:
    """A reader of finite numbers from low to high, also given as text."""

    def read(value: Any) -> float:
        expected = f"a number {'above' if is_low_out else 'from'} {low:g}"
        if math.isfinite(high):
            expected += f", at most {high:g}" if is_low_out else f" to {high:g}"
        elif not is_low_out:
            expected += " on"
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not low <= number <= high or not math.isfinite(number) or (is_low_out and number == low):
            raise ValueError(expected)
        return number

    return read


def _whole(low: int) -> Callable[[Any], int]:
    """A reader of whole numbers from low on, also given as text."""

    def read(value: Any) -> int:
        try:
            number = float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not (math.isfinite(number) and number == int(number) and number >= low):
            raise ValueError(f"a whole number, {low} or more")
        return int(number) if isinstance(value, float | str) else int(value)

    return read


def _truth(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _strings(value: Any) -> tuple[str, ...]:
    """Empty ones end nothing and are left out, as in lm-eval."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
        raise ValueError("a text or a list of texts (numbers in quotes)")
    return tuple(dict.fromkeys(v for v in values if v))


def _token_ids(value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    try:
        return tuple(dict.fromkeys(_whole(0)(v) for v in values))
    except ValueError:
        raise ValueError("a list of token ids") from None


def _biases(value: Any) -> tuple[tuple[int, float], ...]:
    expected = "token ids with numbers from -100 to 100, e.g. {42: -100}"
    if not isinstance(value, Mapping):
        raise ValueError(expected)
    try:
        biases = {_whole(0)(token): _number(-100, 100)(bias) for token, bias in value.items()}
    except ValueError:
        raise ValueError(expected) from None
    return tuple(sorted(biases.items()))


SETTINGS: Mapping[str, Callable[[Any], Any]] = {
    "until": _strings,
    "max_gen_toks": _whole(1),
    "min_tokens": _whole(0),
    "do_sample": _truth,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1, is_low_out=True),
    "top_k": _whole(-1),
    "min_p": _number(0, 1),
    "repetition_penalty": _number(0, math.inf, is_low_out=True),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "logit_bias": _biases,
    "stop_token_ids": _token_ids,
    "ignore_eos": _truth,
    "skip_special_tokens": _truth,
    "seed": _whole(-1),
}
"""Name -> reader of its value (ValueError: what was expected). Bounds are vLLM's."""

_ANY = object()

WITHOUT_EFFECT: Mapping[str, object] = {
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences", "n", "best_of"), 1),
    **dict.fromkeys(("early_stopping", "length_penalty", "use_cache", "low_memory"), _ANY),
    **dict.fromkeys(("guidance_scale", "typical_p", "encoder_repetition_penalty"), 1),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length"), 0),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff", "penalty_alpha", "diversity_penalty"), 0),
    **dict.fromkeys(("include_stop_str_in_output", "spaces_between_special_tokens", "echo"), False),
    **dict.fromkeys(("renormalize_logits", "remove_invalid_values", "stream"), False),
    **dict.fromkeys(("return_dict_in_generate", "output_scores", "output_logits"), False),
    "detokenize": True,
    "bad_words": [],
    "suppress_tokens": [],
    "begin_suppress_tokens": [],
}
"""Settings of transformers and vLLM that no engine here has -> the value with which they have no effect. Those that
only affect beams or speed may have any."""


_PLAIN = (str, int, float, bool, type(None))
_KEPT = 256
_read: dict[Any, dict[str, Any]] = {}
"""What has been read of plain settings: each sample of a task has the same ones."""


def read_settings(gen_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under lm-eval's names, with their values as used; those that are null are left out.

    Raises:
        SettingError: the first one that can't be applied.
    """
    key = _plain_key(gen_kwargs)
    found = _read.get(key)
    if found is None:
        found = _read_settings(gen_kwargs)
        if len(_read) >= _KEPT:
            _read.clear()
        if key is not None:
            _read[key] = found
    return dict(found)


def _plain_key(gen_kwargs: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The settings with their types, as 1 isn't true; None unless they are plain values and lists of texts."""
    key: list[Any] = []
    for name, value in gen_kwargs.items():
        if type(value) is list and set(map(type, value)) <= {str}:
            key += (name, list, tuple(value))
        elif type(value) in _PLAIN:
            key += (name, type(value), value)
        else:
            return None
    return tuple(key)


def _read_settings(gen_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in gen_kwargs.items():
        name = ALIASES.get(key, key)
        if value is None:
            continue
        if name not in SETTINGS:
            _check_without_effect(key, value)
            continue
        try:
            read = SETTINGS[name](value)
        except ValueError as e:
            raise SettingError(key, f"got {_shown(value)}; expected {e}") from None
        if found.get(name, read) != read:
            raise SettingError(key, f"got {_shown(value)}; another of its names says {found[name]}")
        found[name] = read
    return found


def check_settings(
    task: str, group: str, own: object, of_suite: Mapping[str, Any]
) -> dict[str, Any]:
    """A task's settings, overridden by the suite's, all of which can be applied.

    Args:
        task: its name.
        group: its name in the suite.
        own: the task's generation_kwargs.
        of_suite: the suite's gen_kwargs.

    Raises:
        TaskError: the first that can't be applied, with the nearest name or what was expected.
    """
    own = {} if own is None else own
    if not isinstance(own, Mapping):
        raise TaskError(
            f"task {task!r}: generation_kwargs: got {_shown(own)}; expected names with values"
        )
    place = f"suite.tasks.{group}.gen_kwargs"
    try:
        for key, value in of_suite.items():
            if value is None and key not in own:  # so that a misspelt name isn't hidden
                _check_name(key)
            read_settings({key: value})
        place = "generation_kwargs"
        merged = merge_settings(own, of_suite)
        found = read_settings(merged)
        least, most = found.get("min_tokens", 0), found.get("max_gen_toks", DEFAULT_MAX_GEN_TOKS)
        if least > most:
            raise SettingError("min_tokens", f"got {least}; max_gen_toks is {most}")
    except SettingError as e:
        without = f"suite.tasks.{group}.gen_kwargs.{e.key}=null leaves it out"
        raise TaskError(f"task {task!r}: {place}.{e.key}: {e}; {without}") from e
    return merged


def merge_settings(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The task's settings, overridden by the suite's under any of their names.

    A temperature above 0 samples even if the task has `do_sample: false`; `do_sample: true` does even if it has
    `temperature: 0`.
    """
    names = {ALIASES.get(key, key) for key in over}
    kept = {k: v for k, v in base.items() if ALIASES.get(k, k) not in names}
    if "do_sample" not in names and _is_positive(over.get("temperature")):
        kept.pop("do_sample", None)
    must_draw = "temperature" not in names and str(over.get("do_sample")).lower() == "true"
    if must_draw and not _is_positive(kept.get("temperature")):
        kept.pop("temperature", None)
    return kept | dict(over)


def sampling_params(gen_kwargs: Mapping[str, Any], own: SamplingConfig) -> SamplingParams:
    """lm-eval's generation_kwargs, overridden by the run's sampling.

    `seed` is a task's own, from which its samples' seeds are derived together with the run's.

    Raises:
        TaskError: a setting that can't be applied; `check_settings` says so before the run.
    """
    try:
        read = read_settings(gen_kwargs)
    except SettingError as e:
        raise TaskError(f"generation_kwargs.{e.key}: {e}") from e
    is_drawn = read.get("do_sample", read.get("temperature", 0.0) > 0)
    read["temperature"] = read.get("temperature", 1.0) if is_drawn else 0.0
    if read.get("seed") == -1:  # vLLM's word for none
        del read["seed"]
    read["stop"] = read.pop("until", ())
    for name in ("do_sample", "skip_special_tokens"):
        read.pop(name, None)
    of_run = {
        "temperature": own.temperature,
        "top_p": own.top_p,
        "top_k": own.top_k,
        "min_p": own.min_p,
        "repetition_penalty": own.repetition_penalty,
        "max_gen_toks": own.max_gen_toks,
    }
    read |= {name: value for name, value in of_run.items() if value is not None}
    read["top_k"] = max(read.get("top_k", 0), 0)
    read.setdefault("max_gen_toks", DEFAULT_MAX_GEN_TOKS)
    read["min_tokens"] = min(read.get("min_tokens", 0), read["max_gen_toks"])
    return SamplingParams(**read)


_OF_DRAWS = ("temperature", "top_p", "top_k", "min_p")


def sampling_words(params: SamplingParams, draw_temperature: float = 0.0) -> str:
    """The sampling settings that a score depends on, such as `temperature 0.6, top_p 0.95, max_gen_toks 256`.

    Args:
        params: of a task and the run.
        draw_temperature: of a strategy's draws if they are greedy; 0 if it doesn't draw.
    """
    params = replace(params, temperature=params.temperature or draw_temperature)
    neutral = SamplingParams()
    names = (*(_OF_DRAWS if params.temperature else ()), "repetition_penalty")
    parts = [
        f"{name} {getattr(params, name):g}"
        for name in names
        if getattr(params, name) != getattr(neutral, name)
    ]
    return ", ".join(
        [
            *(() if params.temperature else ("greedy",)),
            *parts,
            f"max_gen_toks {params.max_gen_toks}",
        ]
    )


def skips_special_tokens(gen_kwargs: Mapping[str, Any]) -> bool:
    """Whether a task expects answers without any special tokens."""
    return bool(read_settings(gen_kwargs).get("skip_special_tokens", False))


def drawn(sampling: SamplingParams, *sample: object) -> SamplingParams:
    """The sampling with the seed of one sample, if it draws.

    Args:
        sampling: of the task and the run.
        sample: the identity of the sample and the run's seeds.
    """
    if sampling.temperature == 0:
        return replace(sampling, seed=None)
    of_task = () if sampling.seed is None else (sampling.seed,)
    return replace(sampling, seed=sampling_seed(*sample, *of_task))


def sampling_seed(*parts: object) -> int:
    """A sampling seed (31 bits) from the identity of a sample."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1


def _check_name(key: str) -> None:
    if ALIASES.get(key, key) not in SETTINGS and key not in WITHOUT_EFFECT:
        near = did_you_mean(key, (*SETTINGS, *ALIASES)).rstrip("?")
        raise SettingError(key, f"there is no such setting{near}")


def _check_without_effect(key: str, value: Any) -> None:
    _check_name(key)
    neutral = WITHOUT_EFFECT[key]
    is_neutral = value == neutral and isinstance(value, bool) == isinstance(neutral, bool)
    if neutral is not _ANY and not is_neutral:
        raise SettingError(key, f"got {_shown(value)}; no engine here does that")


def _is_positive(value: Any) -> bool:
    try:
        return float(value) > 0
    except (TypeError, ValueError):
        return False


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
