"""adapter_config.json of a LoRA adapter in PEFT's format: its settings, and those that aren't supported.

Read before anything is loaded, so that settings an engine would refuse or get wrong are detected in time. Names and rules are
PEFT's (`peft.LoraConfig`, 0.21): the patterns of ranks and alphas match as in its `get_pattern_key`, the targets as in
its `check_target_module_exists`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from evalharness.checkpoint.json_files import as_number, read_json
from evalharness.errors import CheckpointError

Number = TypeVar("Number", int, float)

ADAPTER_CONFIG = "adapter_config.json"
BY_PEFT = "merge it with peft (merge_and_unload) and set model.path to the result"
_CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq")
"""Ways to initialize that change the base's weights whenever PEFT loads the adapter."""
_NOT_FOLLOWED = {
    "layer_replication": "repeats layers of the base",
    "alora_invocation_tokens": "is only active after certain tokens (aLoRA)",
    "trainable_token_indices": "trains single rows of the embedding",
    "target_parameters": "adapts parameters that are not modules",
    "use_qalora": "pools its inputs (QALoRA)",
    "use_bdlora": "is block-diagonal (BD-LoRA)",
    "arrow_config": "routes between adapters (Arrow)",
    "kasa_config": "truncates the base (KaSA)",
    "monteclora_config": "draws its weights at random (MonteCLoRA)",
    "megatron_config": "is made for Megatron's layers",
}
_FOLLOWED = {
    "peft_type",
    "r",
    "lora_alpha",
    "use_rslora",
    "use_dora",
    "bias",
    "lora_bias",
    "rank_pattern",
    "alpha_pattern",
    "target_modules",
    "exclude_modules",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "init_lora_weights",
    "ensure_weight_tying",
    "base_model_name_or_path",
}
_ONLY_FOR_TRAINING = {
    "auto_mapping",
    "corda_config",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "parent_library",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "velora_config",
}
"""`fan_in_fan_out` follows from the base; PEFT itself corrects it if it is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """The settings of adapter_config.json that determine the adapter's numbers."""

    rank: int
    alpha: float
    use_rslora: bool = False
    use_dora: bool = False
    rank_pattern: dict[str, int]
    alpha_pattern: dict[str, float]
    target_modules: tuple[str, ...] | str | None
    """Names of modules, a pattern for whole names, or None."""
    exclude_modules: tuple[str, ...] | str | None
    modules_to_save: tuple[str, ...]
    layers_to_transform: tuple[int, ...]
    layers_pattern: tuple[str, ...]
    bias: str
    ensure_weight_tying: bool
    base: str | None
    unknown: tuple[str, ...]
    """Unknown settings that are set."""

    def rank_of(self, module: str) -> int:
        """The rank of a module's matrices."""
        return _by_pattern(self.rank_pattern, module) or self.rank

    def scaling_of(self, module: str) -> float:
        """The factor of the product of a module's matrices."""
        found = _by_pattern(self.alpha_pattern, module)
        alpha, rank = self.alpha if found is None else found, self.rank_of(module)
        return alpha / math.sqrt(rank) if self.use_rslora else alpha / rank

    @property
    def largest_rank(self) -> int:
        """Of any module."""
        return max([self.rank, *self.rank_pattern.values()])

    def is_target(self, module: str) -> bool:
        """Whether the adapter is for this module of the base."""
        if _is_named(self.exclude_modules, module) or any(
            re.match(rf"(^|.*\.){name}($|\..*)", module) for name in self.modules_to_save
        ):
            return False
        if not _is_named(self.target_modules, module):
            return False
        return not self.layers_to_transform or _layer(module, self.layers_pattern) in (
            self.layers_to_transform
        )


def read_lora_config(folder: Path) -> LoraConfig:
    """The settings of the adapter in `folder`.

    Raises:
        CheckpointError: not a LoRA adapter, an invalid value, or an unsupported setting; the message gives the way out.
    """
    return _Reader(folder).read()


class _Reader:
    """Reads typed values, and reports the field of a wrong one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._content = read_json(folder / ADAPTER_CONFIG)

    def read(self) -> LoraConfig:
        content = self._content
        kind, rank = content.get("peft_type", "LORA"), content.get("r")
        if kind != "LORA" or type(rank) is not int or not 0 < rank < 2**20:
            raise self._error(
                f"says peft_type={kind!r}, r={str(rank)[:20]!r}; only LoRA adapters can be loaded: {BY_PEFT}"
            )
        self._check_followed()
        patterns = (*self._names("modules_to_save"), *self._names("layers_pattern"))
        ranks, alphas = self._numbers("rank_pattern"), self._numbers("alpha_pattern")
        if not all(value == int(value) and value > 0 for value in ranks.values()):
            raise self._error("has a rank_pattern whose ranks are not whole numbers above 0")
        for pattern in (*patterns, *ranks, *alphas):
            self._check_pattern(pattern)
        targets, excluded = self._targets("target_modules"), self._targets("exclude_modules")
        alpha = as_number(content.get("lora_alpha", 8))
        if alpha is None:
            raise self._error(f"has lora_alpha={str(content['lora_alpha'])[:20]!r}, not a number")
        base = content.get("base_model_name_or_path")
        known = _FOLLOWED | _ONLY_FOR_TRAINING | _NOT_FOLLOWED.keys()
        return LoraConfig(
            rank=rank,
            alpha=alpha,
            use_rslora=self._flag("use_rslora"),
            use_dora=self._flag("use_dora"),
            rank_pattern={name: int(value) for name, value in ranks.items()},
            alpha_pattern=alphas,
            target_modules=targets,
            exclude_modules=excluded,
            modules_to_save=self._names("modules_to_save"),
            layers_to_transform=self._layers(),
            layers_pattern=self._names("layers_pattern"),
            bias=str(content.get("bias") or "none"),
            ensure_weight_tying=self._flag("ensure_weight_tying"),
            base=base if isinstance(base, str) and base else None,
            unknown=tuple(name for name, value in content.items() if value and name not in known),
        )

    def _check_followed(self) -> None:
        for name, what in _NOT_FOLLOWED.items():
            if self._content.get(name):
                raise self._error(
                    f"sets {name}: the adapter {what}, which isn't supported; {BY_PEFT}"
                )
        init = self._content.get("init_lora_weights", True)
        if isinstance(init, str) and init.lower().startswith(_CHANGES_THE_BASE):
            raise self._error(
                f"has init_lora_weights={init!r}, with which peft changes the base's weights too; convert the adapter with "
                "peft's path_initial_model_for_weight_conversion, or set init_lora_weights=true if model.path has those "
                "weights already"
            )

    def _flag(self, name: str) -> bool:
        value = self._content.get(name) or False
        if not isinstance(value, bool):
            raise self._error(f"has {name}={str(value)[:20]!r}, not true or false")
        return value

    def _names(self, name: str) -> tuple[str, ...]:
        value = self._content.get(name)
        value = [value] if isinstance(value, str) and value else value or []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self._error(f"has {name}={str(value)[:40]!r}, not a list of names")
        return tuple(value)

    def _targets(self, name: str) -> tuple[str, ...] | str | None:
        value = self._content.get(name)
        if isinstance(value, str) and value:
            if value != "all-linear":
                self._check_pattern(value)
            return value
        return self._names(name) or None

    def _numbers(self, name: str) -> dict[str, float]:
        value = self._content.get(name) or {}
        numbers = (
            {key: as_number(one) for key, one in value.items()} if isinstance(value, dict) else {}
        )
        if not isinstance(value, dict) or None in numbers.values():
            raise self._error(f"has {name}={str(value)[:40]!r}, not names with numbers")
        return {key: number for key, number in numbers.items() if number is not None}

    def _layers(self) -> tuple[int, ...]:
        value = self._content.get("layers_to_transform")
        value = [] if value is None else value if isinstance(value, list) else [value]
        if not all(type(one) is int for one in value):
            raise self._error(f"has layers_to_transform={str(value)[:40]!r}, not numbers of layers")
        return tuple(value)

    def _check_pattern(self, pattern: str) -> None:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as e:
            raise self._error(f"has {pattern[:40]!r}, which is not a pattern ({e})") from e

    def _error(self, what: str) -> CheckpointError:
        return CheckpointError(f"adapter {self._folder}: {ADAPTER_CONFIG} {what}.")


def _by_pattern(pattern: Mapping[str, Number], module: str) -> Number | None:
    """The value of the first pattern that matches the end of the module's name after a dot."""
    for name, value in pattern.items():
        if re.match(rf"(.*\.)?({name})$", module):
            return value
    return None


def _is_named(names: tuple[str, ...] | str | None, module: str) -> bool:
    if names is None:
        return False
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return module in names or any(module.endswith(f".{name}") for name in names)


def _layer(module: str, patterns: tuple[str, ...]) -> int | None:
    """The number of the layer that a module is in."""
    if not patterns:
        found = re.match(r".*?\.[^.]*\.(?P<idx>\d+)\.", module)
        return int(found["idx"]) if found else None
    for pattern in patterns:
        if found := re.match(rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", module):
            return int(found["idx"])
    return None
