"""How strong the tests are on what computes or carries a number: one change at a time, and does a test notice?

    PYTHONPATH=src .venv/bin/python scripts/mutants.py                      every module of the list, 12 changes each
    ... scripts/mutants.py --per-module 0 analysis/estimates.py             all changes of one module
    ... scripts/mutants.py --seed 3 --show                                  others; survivors with their place

A change is made in the syntax tree (another comparison, arithmetic or boolean operator, a constant, a condition turned
round, a keyword or a statement left out, two arguments or fields exchanged). Each runs the module's tests in a fork of
one interpreter that has numpy, lm-eval and the like loaded already, so that a change costs what its tests cost; nothing
on disk changes. mutmut and cosmic-ray start an interpreter for every change, 10 s here for the modules that need
lm-eval, and neither leaves out messages and annotations.

Prints a table and one line of JSON: noticed, survived, equivalent and score (noticed / (noticed + survived)) per module.
Equivalent changes are listed, with the reason, in `mutants_equivalent.yaml`.
"""

import argparse
import ast
import copy
import importlib
import importlib.machinery
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "evalharness"
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.yaml")

MODULES = {
    "stats/calibration.py": ["stats/test_calibration.py"],
    "comparison/comparability.py": ["comparison/test_comparability.py"],
    "comparison/compare.py": ["comparison/test_compare_verdicts.py", "comparison/test_compare.py"],
    "comparison/compare_rows.py": [
        "comparison/test_compare_verdicts.py",
        "stats/test_paired_metrics.py",
        "comparison/test_compare.py",
    ],
    "stats/composite.py": ["stats/test_composite.py"],
    "stats/strategy_curves.py": ["stats/test_strategy_curves.py"],
    "stats/estimates.py": ["stats/test_estimates.py"],
    "stats/finite.py": ["stats/test_finite.py"],
    "stats/flips.py": ["stats/test_flips.py"],
    "comparison/gate.py": ["comparison/test_gate.py"],
    "comparison/missing.py": ["comparison/test_missing_bounds.py", "comparison/test_missing.py"],
    "stats/multiple_tests.py": ["stats/test_multiple_tests.py"],
    "stats/noise.py": ["stats/test_noise.py"],
    "stats/paired.py": ["stats/test_paired.py"],
    "stats/paired_metrics.py": ["stats/test_paired_metrics.py"],
    "stats/repeats.py": ["stats/test_repeats.py"],
    "stats/resampling.py": ["stats/test_resampling.py"],
    "stats/sign_flips.py": ["stats/test_sign_flips.py", "stats/test_paired.py"],
    "stats/sources.py": ["stats/test_sources.py", "stats/test_estimates.py"],
    "stats/weighted_mean.py": ["stats/test_weighted_mean.py"],
    "checkpoint/scale.py": ["checkpoint/test_scale_fields.py", "checkpoint/test_scale.py"],
    "checkpoint/weights.py": ["checkpoint/test_weights.py", "checkpoint/test_weights_bounds.py"],
    "engines/soundness.py": ["engines/test_soundness.py"],
    "engines/prefix_trie.py": ["engines/test_prefix_trie.py"],
    "engines/vllm/logprobs.py": ["engines/vllm/test_logprobs.py"],
    "runner/execute.py": ["runner/test_execute.py"],
    "runner/group_scores.py": ["runner/test_group_records.py"],
    "runner/journal.py": ["runner/test_journal.py", "runner/test_journal_lines.py"],
    "runner/journal_lines.py": ["runner/test_journal_lines.py"],
    "runner/metric_values.py": ["runner/test_metric_values.py"],
    "runner/record.py": ["runner/test_record.py"],
    "runner/rescore.py": ["runner/test_rescore.py"],
    "runner/resume.py": ["runner/test_resume.py", "runner/test_prompts.py"],
    "runner/sample_values.py": ["runner/test_score.py", "runner/test_likelihoods.py"],
    "runner/score.py": ["runner/test_score.py", "runner/test_likelihoods.py"],
    "runner/manifest.py": ["runner/test_manifest.py"],
    "store/pairs.py": ["store/test_possible_scores.py", "store/test_pairs.py"],
    "tasks/context_window.py": ["tasks/test_context_window.py"],
    "tasks/lm_adapter.py": ["tasks/test_lm_adapter_plans.py", "tasks/test_lm_adapter.py"],
    "tasks/loaded_task.py": [
        "tasks/test_loaded_task.py",
        "tasks/test_identities.py",
        "tasks/test_fixed_docs.py",
    ],
    "tasks/suite.py": ["tasks/test_suite.py", "tasks/yaml/test_validate.py"],
    "tasks/rendering.py": ["tasks/test_rendering.py"],
    "tasks/sampling.py": ["tasks/test_sampling.py"],
    "tasks/subsets.py": ["tasks/test_subsets.py"],
    "../../tasks/math500_boxed/utils.py": ["custom_tasks/test_math500_boxed.py"],
}
"""Module of the package -> its tests (those that are there). In-process tests only: a program that a test starts has no
part in the change."""

_WARM = (
    "pytest",
    "hypothesis",
    "numpy",
    "scipy.stats",
    "duckdb",
    "pyarrow.parquet",
    "yaml",
    "rich.console",
)
_WARM_HEAVY = (
    "lm_eval",
    "lm_eval.evaluator",
    "transformers",
    "datasets",
    "omegaconf",
    "math_verify",
)
_WARM_FOR = {"engines/vllm/logprobs.py": ("vllm.sampling_params",)}
"""What only one module's tests load, and slowly."""
_COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
}  # fmt: skip
_EXCHANGED = [
    ("min", "max"), ("any", "all"), ("floor", "ceil"), ("low", "high"), ("ci_low", "ci_high"), ("ci90_low", "ci90_high"),
    ("value_a", "value_b"), ("num_only_a", "num_only_b"), ("mean_a", "mean_b"), ("wins", "losses"), ("metrics_a", "metrics_b"),
    ("append", "extend"), ("logprob", "num_tokens"),
]  # fmt: skip
_OTHER_NAME = {a: b for pair in _EXCHANGED for a, b in (pair, pair[::-1])}


class Mutant(NamedTuple):
    """One change."""

    line: int
    where: str
    """The function it is in."""
    change: str
    """`old -> new`, as code."""
    source: str
    """The whole module."""
    place: int = 1
    """Among the equal changes of one function."""

    @property
    def key(self) -> str:
        """What a known equivalent is known by: no line numbers, which move."""
        again = f" ({self.place})" if self.place > 1 else ""
        return f"{self.where}: {self.change}{again}"


class _Site(NamedTuple):
    node: ast.AST
    where: str


def sites(tree: ast.Module) -> Iterator[_Site]:
    """Nodes that compute: no annotations, decorators, messages of errors, logging, asserts or docstrings."""

    def walk(node: ast.AST, where: str) -> Iterator[_Site]:
        if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)):
            return
        if isinstance(node, ast.keyword) and node.arg == "strict":
            return  # an assertion of ours, not a result
        if isinstance(node, ast.Expr) and (
            isinstance(node.value, ast.Constant) or _is_log(node.value)
        ):
            return
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            where = node.name if where == "module" else f"{where}.{node.name}"
            for default in getattr(getattr(node, "args", None), "defaults", []):
                yield from walk(default, where)
            for child in node.body:
                yield from walk(child, where)
            return
        yield _Site(node, where)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns") or isinstance(node, ast.JoinedStr):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from walk(child, where)

    yield from walk(tree, "module")


def _is_log(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith(
        ("logger.", "warnings.")
    )


def changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """(field of the node, its new value), or ("", the node that takes its place)."""
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            ops = list(node.ops)
            ops[place] = _COMPARE[type(op)]()
            yield "ops", ops
    if (
        isinstance(node, (ast.BinOp, ast.AugAssign))
        and type(node.op) in _ARITHMETIC
        and not _is_text(node)
    ):
        yield "op", _ARITHMETIC[type(node.op)]()
    if isinstance(node, ast.BoolOp):
        yield "op", ast.Or() if isinstance(node.op, ast.And) else ast.And()
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "", node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "value", not node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield "value", node.value + 1
        yield "value", node.value - 1
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield "value", node.value * 2 if node.value else 1.0
    if isinstance(node, (ast.If, ast.IfExp)):
        yield "test", ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.Call):
        for place, keyword in enumerate(node.keywords):
            if keyword.arg != "strict":  # an assertion of ours, not a result
                yield "keywords", node.keywords[:place] + node.keywords[place + 1 :]
        is_symmetric = isinstance(node.func, ast.Name) and node.func.id in ("min", "max")
        is_starred = any(isinstance(a, ast.Starred) for a in node.args[:2])
        if len(node.args) > 1 and not is_starred and not is_symmetric:
            yield "args", [node.args[1], node.args[0], *node.args[2:]]
    if isinstance(node, ast.Name) and node.id in ("min", "max", "any", "all"):
        yield "id", _OTHER_NAME[node.id]
    if (
        isinstance(node, ast.Attribute)
        and node.attr in _OTHER_NAME
        and isinstance(node.ctx, ast.Load)
    ):
        yield "attr", _OTHER_NAME[node.attr]
    if isinstance(node, (ast.Expr, ast.AugAssign)):
        yield "", ast.Pass()
    if (
        isinstance(node, ast.Return)
        and isinstance(node.value, ast.Tuple)
        and len(node.value.elts) > 1
    ):
        yield (
            "value",
            ast.Tuple([node.value.elts[1], node.value.elts[0], *node.value.elts[2:]], ast.Load()),
        )


def _is_text(node: ast.AST) -> bool:
    """Joined strings and formatted ones: messages, as a rule."""
    parts = [getattr(node, name, None) for name in ("left", "right", "value")]
    return any(
        isinstance(p, ast.JoinedStr) or (isinstance(p, ast.Constant) and isinstance(p.value, str))
        for p in parts
    )


def mutants(source: str) -> list[Mutant]:
    """All changes of a module that still compile, in the order of the source."""
    tree = ast.parse(source)
    found, seen, places = [], {ast.unparse(tree)}, Counter[str]()
    for site in sites(tree):
        for field, new in changes(site.node):
            old_text = _short(site.node)
            changed = _replaced(tree, site.node, field, new)
            ast.fix_missing_locations(changed)
            text = ast.unparse(changed)
            new_text = _short(_apply(copy.copy(site.node), field, new))
            if text in seen:
                continue
            seen.add(text)
            line = getattr(site.node, "lineno", 0)
            mutant = Mutant(line, site.where, f"{old_text} -> {new_text}", text)
            places[mutant.key] += 1
            found.append(mutant._replace(place=places[mutant.key]))
    return found


def _short(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split("\n")[0]


def _apply(node: ast.AST, field: str, new: object) -> ast.AST:
    if not field:
        assert isinstance(new, ast.AST)
        return new
    setattr(node, field, new)
    return node


def _replaced(tree: ast.Module, target: ast.AST, field: str, new: object) -> ast.Module:
    """A copy of the tree with the change; found by its place in a walk, because copies have other identities."""
    place = next(i for i, node in enumerate(ast.walk(tree)) if node is target)
    copied = copy.deepcopy(tree)
    twin = next(node for i, node in enumerate(ast.walk(copied)) if i == place)
    if field:
        setattr(twin, field, new)
        return copied
    for parent in ast.walk(copied):
        for name, value in ast.iter_fields(parent):
            if value is twin:
                setattr(parent, name, new)
            elif isinstance(value, list) and any(item is twin for item in value):
                setattr(parent, name, [new if item is twin else item for item in value])
    return copied


def run_tests(path: Path, source: str | None, tests: Sequence[str], limit_s: float) -> str:
    """`passed`, `failed` or `timeout` of the tests, with the module's source replaced, in a fork."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            _silence()
            if source is not None:
                _replace(path, source)
            import pytest

            code = pytest.main(
                [*tests, "-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "--hypothesis-seed=0", "-W", "ignore::pytest.PytestAssertRewriteWarning",
                 "-m", "not slow and not vllm and not gpu and not network"]
            )  # fmt: skip
            sys.stdout.flush()
            os._exit(0 if code == 0 else 1)
        except BaseException as e:
            print(repr(e), file=sys.stderr, flush=True)
            os._exit(1)
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return "passed" if status == 0 else "failed"
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "timeout"


def _silence() -> None:
    sink = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(sink, descriptor)


def _replace(path: Path, source: str) -> None:
    loader = importlib.machinery.SourceFileLoader
    original = loader.get_code

    def get_code(self: importlib.machinery.SourceFileLoader, fullname: str) -> object:
        if Path(self.get_filename(fullname)).resolve() == path:
            return compile(source, str(path), "exec", dont_inherit=True)
        return original(self, fullname)

    loader.get_code = get_code  # type: ignore[assignment,method-assign]


def _warm(names: Sequence[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            print(f"not loaded before: {name}", file=sys.stderr)


def known_equivalents() -> dict[str, dict[str, str]]:
    """Module -> key of a change -> why it changes nothing that can be seen."""
    return yaml.safe_load(EQUIVALENT.read_text()) or {} if EQUIVALENT.is_file() else {}


def measure(name: str, args: argparse.Namespace, equivalent: dict[str, str]) -> dict[str, object]:
    path = (PACKAGE / name).resolve()
    tests = [f"tests/{test}" for test in MODULES[name] if (ROOT / "tests" / test).is_file()]
    if not path.is_file() or not tests:
        return {"module": name, "problem": "no such module" if not path.is_file() else "no tests"}
    _warm(_WARM_FOR.get(name, ()))
    started = time.monotonic()
    if run_tests(path, None, tests, 600) != "passed":
        return {"module": name, "problem": "its tests fail without a change"}
    limit_s = 10 + 4 * (time.monotonic() - started)
    found = mutants(path.read_text(encoding="utf-8"))
    if stale := equivalent.keys() - {m.key for m in found}:
        return {"module": name, "problem": f"equivalents that are no change of it: {stale}"}
    same = [m for m in found if m.key in equivalent]
    rest = [m for m in found if m.key not in equivalent]
    num_all = len(rest)
    if args.per_module and len(rest) > args.per_module:
        rest = random.Random(f"{args.seed} {name}").sample(rest, args.per_module)
    survived = [m for m in rest if run_tests(path, m.source, tests, limit_s) == "passed"]
    noticed = len(rest) - len(survived)
    return {
        "module": name, "changes": num_all, "noticed": noticed, "survived": len(survived), "equivalent": len(same),
        "score": round(noticed / len(rest), 3) if rest else None, "wall_s": round(time.monotonic() - started, 1),
        "survivors": [f"{m.line}: {m.key}" for m in sorted(survived)],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE",
        help="of the list, below src/evalharness; all without any",
    )
    parser.add_argument(
        "--per-module", type=int, default=12, help="changes drawn for each module; 0 for all"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--show", action="store_true", help="survivors with line, function and change"
    )
    parser.add_argument("--keys", action="store_true", help="only list the changes of the modules")
    args = parser.parse_args()
    names = args.modules or list(MODULES)
    if unknown := [name for name in names if name not in MODULES]:
        parser.error(f"unknown module {unknown[0]!r}; known: {', '.join(MODULES)}")
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT / "src"))
    os.environ["PYTHONPATH"] = str(ROOT / "src")
    if args.keys:
        for name in names:
            for mutant in mutants((PACKAGE / name).read_text(encoding="utf-8")):
                print(f"{name}:{mutant.line}: {mutant.key}")
        return
    _warm((*_WARM, *_WARM_HEAVY))
    equivalent = known_equivalents()
    with ThreadPoolExecutor(args.workers) as pool:
        results = pool.map(lambda name: measure(name, args, equivalent.get(name, {})), names)
        found = [_printed(result, args.show) for result in results]
    measured = [r for r in found if "problem" not in r]
    total = {
        key: sum(int(str(r[key])) for r in measured)
        for key in ("noticed", "survived", "equivalent")
    }
    tried = total["noticed"] + total["survived"]
    score = round(total["noticed"] / tried, 3) if tried else None
    print(
        json.dumps(
            {"bench": "mutants", "seed": args.seed, **total, "score": score, "modules": found}
        )
    )


def _printed(result: dict[str, object], show: bool) -> dict[str, object]:
    if "problem" in result:
        print(f"{result['module']:40} {result['problem']}", flush=True)
        return result
    print(
        f"{result['module']:40} {result['noticed']:>4} noticed {result['survived']:>4} survived "
        f"{result['equivalent']:>4} equivalent  of {result['changes']:>4}  score {result['score']}  {result['wall_s']} s",
        flush=True,
    )
    for survivor in result["survivors"] if show else ():  # type: ignore[attr-defined]
        print(f"    {survivor}", flush=True)
    return result


if __name__ == "__main__":
    main()
