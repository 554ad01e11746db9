"""The loss that a candidate is allowed compared with its base: a gate's policy, read from YAML.

    configs/gate/default.yaml  ->  Policy(tasks, domains and default, each as a Rule: a tier and its margins)

The shipped file documents the format.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import yaml

from evalharness.config.schema import Domain
from evalharness.errors import ConfigError, did_you_mean, then
from evalharness.paths import search

Tier = Literal["critical", "supporting", "advisory"]
Better = Literal["higher", "lower"]

ALPHA = 0.05
MIN_PAIRS = 10
TIERS: tuple[Tier, ...] = get_args(Tier)
_BETTER: tuple[Better, ...] = get_args(Better)
_DOMAINS = tuple(domain.value for domain in Domain)
_FIELDS = ("alpha", "min_pairs", "needs_critical", "tiers", "tasks", "domains", "default")
_MARGINS = ("margin", "relative")
_DEPTH = 3
_LEAST_PAIRS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A tier and the loss that its tasks are allowed; at least one of the margins is set."""

    tier: Tier
    margin: float | None = None
    """Absolute margin, in the metric's unit."""
    relative: float | None = None
    """Margin as a share of the base's score."""
    better: Better | None = None
    """Direction; None: as the metric says."""
    source: str
    """The entry of the policy."""

    def allowed(self, baseline: float) -> float:
        """The largest loss that passes at this score of the base: the stricter margin."""
        relative = None if self.relative is None else self.relative * abs(baseline)
        return min(margin for margin in (self.margin, relative) if margin is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules, and the gate's confidence level."""

    path: str
    sha256: str
    """Of the file."""
    alpha: float
    """One-sided alpha."""
    min_pairs: int
    """Least docs (or sources); with fewer a task is inconclusive."""
    needs_critical: bool
    """Whether a gate without a judged critical task is inconclusive; if not, the supporting ones decide."""
    tasks: Mapping[str, Rule]
    """Task, group or pattern -> its rule, in the file's order."""
    domains: Mapping[str, Rule]
    default: Rule

    def rule(self, task: str, group: str, domain: str) -> Rule:
        """The rule of a task: by its name or the first pattern that matches it, by its group, by its domain, or the default."""
        key = self.key(task)
        key = self.key(group) if key is None else key
        return self.tasks[key] if key is not None else self.domains.get(domain, self.default)

    def key(self, name: str) -> str | None:
        """The entry of `tasks` for a name: the name itself, or the first pattern that matches; None for none."""
        if name in self.tasks:
            return name
        return next((key for key in self.tasks if fits(key, name)), None)


def fits(key: str, *names: str) -> bool:
    """Whether an entry (a name or a pattern) matches one of the names."""
    return any(key == name or fnmatchcase(name, key) for name in names)


def default_path() -> Path:
    """The default policy: the user's configs/gate/default.yaml, or the shipped one.

    Raises:
        ConfigError: there is none.
    """
    for folder in search("configs"):
        if (path := folder / "gate" / "default.yaml").is_file():
            return path
    raise ConfigError("no configs/gate/default.yaml; name a policy with --policy FILE")


def load_policy(path: Path) -> Policy:
    """Read a policy.

    Raises:
        ConfigError: the first thing that is wrong in it, with its line and field.
    """
    try:
        content = path.read_bytes()
    except OSError as e:
        raise ConfigError(
            f"policy {str(path)!r}: can't read: {e.strerror}; configs/gate/default.yaml is an example"
        ) from e
    here, there = Path.cwd(), path.absolute()
    return parse_policy(content, str(there.relative_to(here) if here in there.parents else path))


def parse_policy(content: bytes, name: str) -> Policy:
    """The policy in a file's content; `name` is the file's name in messages.

    Raises:
        ConfigError: the first thing that is wrong in it.
    """
    file = _File(name, content)
    file.known((), _FIELDS)
    tiers = {key: file.margins(("tiers", key)) for key in file.mapping(("tiers",), TIERS)}
    tasks = {key: file.rule(("tasks", key), tiers) for key in file.mapping(("tasks",))}
    domains = {
        key: file.rule(("domains", key), tiers) for key in file.mapping(("domains",), _DOMAINS)
    }
    return Policy(
        path=name,
        sha256=hashlib.sha256(content).hexdigest(),
        alpha=file.number(("alpha",), below=0.5, default=ALPHA),
        min_pairs=file.count(("min_pairs",), _LEAST_PAIRS, MIN_PAIRS),
        needs_critical=file.flag(("needs_critical",), default=True),
        tasks=tasks,
        domains=domains,
        default=replace(file.rule(("default",), tiers), source="default"),
    )


class _File:
    """A YAML file with the line of each of its fields."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.lines: dict[tuple[str, ...], int] = {}
        loader: yaml.SafeLoader | None = None
        try:
            loader = yaml.SafeLoader(content)
            node = loader.get_single_node()
            for where, line in _places(node, ()):
                if where in self.lines:
                    self.lines[where] = line
                    self.fail(where, "is given twice; keep one")
                self.lines[where] = line
            self.values: Any = loader.construct_document(node) if node is not None else {}
        except yaml.MarkedYAMLError as e:
            line = e.problem_mark.line + 1 if e.problem_mark else 1
            raise ConfigError(f"{name}, line {line}: not YAML: {e.problem}") from e
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as e:
            raise ConfigError(f"{name}: not YAML: {(str(e) or 'empty').splitlines()[0]}") from e
        finally:
            if loader is not None:
                loader.dispose()
        if not isinstance(self.values, dict):
            raise ConfigError(f"{name}: expected `tiers:`, `tasks:`, ... as fields; {_EXAMPLE}")

    def fail(self, where: tuple[str, ...], message: str) -> NoReturn:
        """The error, with the line of the field or of its parent."""
        lines = (self.lines.get(where[:end]) for end in range(len(where), 0, -1))
        line = next((f", line {line}" for line in lines if line), "")
        raise ConfigError(f"{self.name}{line}: {'.'.join(where)}: {message}")

    def get(self, where: tuple[str, ...]) -> Any:
        value = self.values
        for key in where:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def known(self, where: tuple[str, ...], names: tuple[str, ...]) -> None:
        for key in self.get(where):
            if key not in names:
                hint = then(did_you_mean(str(key), names), f"one of {', '.join(names)}")
                self.fail((*where, str(key)), f"no such field{hint}")

    def mapping(self, where: tuple[str, ...], names: tuple[str, ...] = ()) -> list[str]:
        """The keys of a mapping; none if it isn't given."""
        value = self.get(where)
        if value is None:
            return []
        if not isinstance(value, dict):
            self.fail(where, f"got {value!r}; expected `name: value` in each line")
        if names:
            self.known(where, names)
        for key in value:
            if not isinstance(key, str):
                self.fail((*where, str(key)), f"got {key!r}; a name is text: put it in quotes")
        return list(value)

    def number(
        self, where: tuple[str, ...], *, below: float = math.inf, default: float | None = None
    ) -> float:
        value = self.get(where)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < below:
            limit = "" if below == math.inf else f" and below {below:g}"
            self.fail(where, f"got {value!r}; expected a number above 0{limit}, such as 0.02")
        return float(value)

    def count(self, where: tuple[str, ...], least: int, default: int) -> int:
        value = self.get(where)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.fail(where, f"got {value!r}; expected a whole number of {least} or more")
        return value

    def flag(self, where: tuple[str, ...], *, default: bool) -> bool:
        value = self.get(where)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(where, f"got {value!r}; expected true or false")
        return value

    def word(self, where: tuple[str, ...], words: tuple[str, ...]) -> Any:
        value = self.get(where)
        if value not in words:
            near = did_you_mean(value, words) if isinstance(value, str) else ""
            self.fail(where, f"got {value!r}{near}; expected one of {', '.join(words)}")
        return value

    def margins(self, where: tuple[str, ...]) -> dict[str, float]:
        """`margin` and `relative` as far as they are given."""
        if not isinstance(self.get(where), dict):
            self.fail(where, f"got {self.get(where)!r}; expected {{margin: 0.02}}")
        if len(where) > 1 and where[0] == "tiers":
            self.known(where, _MARGINS)
        found = {}
        for key, below in (("margin", math.inf), ("relative", 1.0)):
            if self.get((*where, key)) is not None:
                found[key] = self.number((*where, key), below=below)
        return found

    def rule(self, where: tuple[str, ...], tiers: Mapping[str, dict[str, float]]) -> Rule:
        """A tier's name, or {tier: ..., margin: ..., relative: ..., better: ...}."""
        own: dict[str, float] = {}
        better = None
        if isinstance(self.get(where), dict):
            self.known(where, ("tier", *_MARGINS, "better"))
            own = self.margins(where)
            if self.get((*where, "better")) is not None:
                better = self.word((*where, "better"), _BETTER)
            tier = self.word((*where, "tier"), TIERS)
        elif where == ("default",) and self.get(where) is None:
            tier = "advisory"
        else:
            tier = self.word(where, TIERS)
        margins = own or tiers.get(tier)
        if not margins:
            self.fail(where, f"tier {tier} has no margin; add tiers: {{{tier}: {{margin: 0.02}}}}")
        return Rule(tier=tier, better=better, source=".".join(where), **margins)


_EXAMPLE = "configs/gate/default.yaml is an example"


def _places(
    node: yaml.Node | None, where: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], int]]:
    """(field, its line), down to the depth that a policy has."""
    if isinstance(node, yaml.MappingNode) and len(where) < _DEPTH:
        for key, value in node.value:
            inner = (*where, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _places(value, inner)
