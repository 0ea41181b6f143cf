"""Rows that repeat other rows and columns that repeat other columns: worth saying, as a copy in the test rows is no test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from mtl_core.data.columns import Column
from mtl_core.data.names import listed, shown
from mtl_core.data.raw import RawColumn

_SHARE = 0.01  # of the rows that must be copies to be said
_VARIED = 20  # different values a column must have, or copies are to be expected


def repeated_rows(raw: Sequence[RawColumn], columns: Sequence[Column]) -> list[str]:
    """A sentence on rows that are copies, where columns vary so much that they are no chance."""
    if sum(column.usable and column.distinct > _VARIED for column in columns) < 2:
        return []
    rng = np.random.default_rng(0)
    mixed: np.ndarray | None = None
    for one, column in zip(raw, columns, strict=True):
        values = _as_integers(one)
        if values is not None and column.usable:
            term = (values ^ (values >> np.uint64(31))) * np.uint64(rng.integers(2**62) * 2 + 1)
            mixed = term if mixed is None else mixed + term
    if mixed is None:
        return []
    copies = len(mixed) - len(np.unique(mixed))
    if copies < max(3, _SHARE * len(mixed)):
        return []
    return [
        f"{copies:,} of {len(mixed):,} rows repeat another row: copies may stand in the training and the test rows at once; "
        "take them out, or say with group which rows belong together."
    ]


def repeated_columns(raw: Sequence[RawColumn], columns: Sequence[Column], targets: Sequence[str]) -> list[str]:
    """Sentences on features, and on targets, that hold the same in every row as another one."""
    seen: dict[tuple[bool, bytes], str] = {}
    same: dict[str, list[str]] = {}
    for one, column in zip(raw, columns, strict=True):
        is_target = column.name in targets
        if not (column.usable or is_target):
            continue
        first = seen.setdefault((is_target, _digest(one)), column.name)
        if first != column.name:
            same.setdefault(first, []).append(column.name)
    said = []
    for first, others in same.items():
        what = "Targets" if first in targets else "Columns"
        said.append(f"{what} {shown(first)} and {listed(others, 3)} are the same in every row: one of them says it all.")
    return said[:5]


def _as_integers(column: RawColumn) -> np.ndarray | None:
    if column.codes is not None:
        return column.codes.astype(np.uint64)
    return None if column.numbers is None else np.ascontiguousarray(column.numbers).view(np.uint64)


def _digest(column: RawColumn) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    values = column.codes if column.codes is not None else column.numbers
    if values is not None:
        found.update(np.ascontiguousarray(values).data)
    if column.spellings is not None:
        for text in column.spellings[:100].to_pylist():
            found.update(text.encode() + b"\0")
    return found.digest()
