"""Docs as plain Python dicts, with as much of `datasets.Dataset` as lm-eval and tasks' `process_docs` use.

`datasets` keeps rows as Arrow tables, in which all rows have the same fields and all values of a field one type: fields
that the first rows lack are dropped or null, 5 beside 0.5 becomes 5.0, and dicts get each other's keys. Here rows are
unchanged.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

Row = dict[str, Any]

_WITHOUT_EFFECT = frozenset(
    {
        *("num_proc", "desc", "load_from_cache_file", "cache_file_name", "keep_in_memory"),
        *("writer_batch_size", "new_fingerprint", "suffix_template", "indices_cache_file_name"),
        *("disable_nullable", "features"),
    }
)
"""Arguments of `map`, `filter` and `shuffle` that affect how `datasets` works, not the result."""


class Rows(Sequence[Any]):
    """Immutable rows: each access gives a new dict.

    As in `datasets`, `rows[0]` is a row, `rows["name"]` a column, and `rows[:3]` a dict of columns.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Make them from rows, whose fields need not be the same."""
        names: dict[str, None] = {}
        self._rows: list[bytes | Row] = []
        for row in rows:
            names |= dict.fromkeys(row)
            self._rows.append(_packed(dict(row)))
        self._names = list(names)

    @property
    def column_names(self) -> list[str]:
        """Every field of any row, in the order in which they first come."""
        return list(self._names)

    @property
    def features(self) -> dict[str, Any]:
        """The same names, for lm-eval; without types, because values keep their own."""
        return dict.fromkeys(self._names)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return map(_unpacked, self._rows)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self._names:
                raise KeyError(key)
            return [row.get(key) for row in self]
        if isinstance(key, slice | Sequence | np.ndarray):
            chosen = self.select(range(*key.indices(len(self))) if isinstance(key, slice) else key)
            return {name: chosen[name] for name in self._names}
        return _unpacked(self._rows[key])

    def __repr__(self) -> str:
        return f"Rows({len(self)} rows; {', '.join(self._names)})"

    def __getattr__(self, name: str) -> NoReturn:
        # Copying and pickling ask for dunders before there are attributes.
        own = "" if name.startswith("__") else "; `datasets.Dataset.from_list(list(docs))` may have"
        raise AttributeError(f"docs beside a task are plain rows, without {name!r}{own}")

    def map(
        self,
        function: Callable[..., Any] | None = None,
        with_indices: bool = False,
        input_columns: str | list[str] | None = None,
        batched: bool = False,
        batch_size: int | None = 1000,
        remove_columns: str | list[str] | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
        **other: Any,
    ) -> Rows:
        """Rows with the results of a function, like `datasets.Dataset.map`, with values unchanged."""
        _check_arguments("map", other)
        call = _Call(function or (lambda row: row), with_indices, input_columns, fn_kwargs or {})
        removed = set(_listed(remove_columns))
        if unknown := removed - set(self._names):
            raise ValueError(f"remove_columns: no {', '.join(sorted(unknown))} in the docs")
        if batched:
            return self._map_batches(call, batch_size or len(self), removed)
        rows = []
        for place, (given, kept) in enumerate(zip(self, self, strict=True)):
            made = call(given, place)
            if made is None:
                rows.append(kept)
                continue
            rows.append(_merged(kept, made, removed))
        return Rows(rows)

    def filter(
        self,
        function: Callable[..., Any],
        with_indices: bool = False,
        input_columns: str | list[str] | None = None,
        batched: bool = False,
        batch_size: int | None = 1000,
        fn_kwargs: Mapping[str, Any] | None = None,
        **other: Any,
    ) -> Rows:
        """The rows for which a function is true."""
        _check_arguments("filter", other)
        call = _Call(function, with_indices, input_columns, fn_kwargs or {})
        if not batched:
            return self.select([i for i, row in enumerate(self) if call(row, i)])
        answers = [
            answer for places in self._batches(batch_size) for answer in call(self[places], places)
        ]
        return self.select([i for i, answer in enumerate(answers) if answer])

    def select(self, indices: Iterable[int], **other: Any) -> Rows:
        """The rows at these positions."""
        _check_arguments("select", other)
        chosen = Rows(())
        chosen._names = self._names
        chosen._rows = [self._rows[int(i)] for i in indices]
        return chosen

    def take(self, n: int) -> Rows:
        """The first rows."""
        return self.select(range(min(n, len(self))))

    def skip(self, n: int) -> Rows:
        """All but the first rows."""
        return self.select(range(min(n, len(self)), len(self)))

    def shuffle(self, seed: int | None = None, generator: Any = None, **other: Any) -> Rows:
        """Shuffled as `datasets` does for this seed; without one by numpy's global state."""
        _check_arguments("shuffle", other)
        if generator is None:
            if seed is None:
                state: Any = np.random.get_state(legacy=True)
                seed = int(state[1][state[2] if state[2] < 624 else 0])
                np.random.random()
            generator = np.random.default_rng(seed)
        return self.select(generator.permutation(len(self)))

    def sort(self, column_names: str | Sequence[str], reverse: bool = False) -> Rows:
        """Sorted by the values of these fields."""
        names = _listed(column_names)
        rows = list(self)
        order = sorted(
            range(len(rows)), key=lambda i: tuple(rows[i][name] for name in names), reverse=reverse
        )
        return self.select(order)

    def rename_column(self, original_column_name: str, new_column_name: str) -> Rows:
        """A field under another name."""
        return self.rename_columns({original_column_name: new_column_name})

    def rename_columns(self, column_mapping: Mapping[str, str]) -> Rows:
        """Fields under other names."""
        if unknown := set(column_mapping) - set(self._names):
            raise ValueError(f"rename_columns: no {', '.join(sorted(unknown))} in the docs")
        return Rows(
            {column_mapping.get(name, name): value for name, value in row.items()} for row in self
        )

    def remove_columns(self, column_names: str | list[str]) -> Rows:
        """Without these fields."""
        return self.map(lambda _: {}, remove_columns=column_names)

    def select_columns(self, column_names: str | list[str]) -> Rows:
        """With these fields only."""
        kept = _listed(column_names)
        return Rows({name: row[name] for name in kept if name in row} for row in self)

    def add_column(self, name: str, column: Sequence[Any], **other: Any) -> Rows:
        """With one more field."""
        _check_arguments("add_column", other)
        return Rows({**row, name: value} for row, value in zip(self, column, strict=True))

    def unique(self, column: str) -> list[Any]:
        """The distinct values of a field."""
        found: list[Any] = []
        for value in self[column]:
            if value not in found:
                found.append(value)
        return found

    def to_list(self) -> list[Row]:
        """All rows."""
        return list(self)

    def to_dict(self) -> dict[str, list[Any]]:
        """All columns, with None if a row lacks the field."""
        return {name: self[name] for name in self._names}

    def _batches(self, size: int | None) -> Iterator[range]:
        size = size or max(len(self), 1)
        return (range(start, min(start + size, len(self))) for start in range(0, len(self), size))

    def _map_batches(self, call: _Call, size: int, removed: set[str]) -> Rows:
        rows: list[Row] = []
        for places in self._batches(size):
            given, made = self[places], call(self[places], places)
            if made is None:
                made = given
            columns = _merged(given, made, removed)
            if lengths := {name: len(values) for name, values in columns.items()}:
                if len(set(lengths.values())) > 1:
                    raise ValueError(f"map: columns of different lengths: {lengths}")
                rows += [
                    dict(zip(columns, values, strict=True))
                    for values in zip(*columns.values(), strict=True)
                ]
        return Rows(rows)


class _Call:
    """A function of `map` or `filter`, with the arguments that it expects."""

    def __init__(
        self,
        function: Callable[..., Any],
        with_indices: bool,
        input_columns: str | list[str] | None,
        kwargs: Mapping[str, Any],
    ) -> None:
        self._function, self._with_indices, self._kwargs = function, with_indices, kwargs
        self._columns = None if input_columns is None else _listed(input_columns)

    def __call__(self, given: Mapping[str, Any], place: Any) -> Any:
        chosen = [given] if self._columns is None else [given.get(name) for name in self._columns]
        where = [list(place) if isinstance(place, range) else place] if self._with_indices else []
        return self._function(*chosen, *where, **self._kwargs)


def _merged(given: Mapping[str, Any], made: Mapping[str, Any], removed: set[str]) -> Row:
    """Merge results into a row; a field that is removed and made again keeps its position."""
    kept = {name: value for name, value in given.items() if name not in removed - set(made)}
    return {**kept, **made}


def _packed(row: Row) -> bytes | Row:
    try:
        return pickle.dumps(row, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        return row  # something that only Python can hold; returned as it is


def _unpacked(row: bytes | Row) -> Row:
    return pickle.loads(row) if isinstance(row, bytes) else row  # our own bytes


def _listed(names: str | Sequence[str] | None) -> list[str]:
    return [] if names is None else [names] if isinstance(names, str) else list(names)


def _check_arguments(method: str, given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in _WITHOUT_EFFECT:
            raise TypeError(f"docs beside a task are plain rows, whose {method} takes no {name!r}")
