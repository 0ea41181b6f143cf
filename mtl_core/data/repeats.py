"""Columns that repeat other columns: two features that are one, two tasks that are one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from mtl_core.data.columns import Column
from mtl_core.data.names import listed, shown
from mtl_core.data.raw import RawColumn


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


def _digest(column: RawColumn) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    values = column.codes if column.codes is not None else column.numbers
    if values is not None:
        found.update(np.ascontiguousarray(values).data)
    if column.spellings is not None:
        for text in column.spellings[:100].to_pylist():
            found.update(text.encode() + b"\0")
    return found.digest()
