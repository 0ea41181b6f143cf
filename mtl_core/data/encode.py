"""Columns to feature numbers, with everything that is learned from data learned on the training split only.

number     as it is; missing cells get the training median, and a column of their own where they are not too few
category   one 0/1 column a level; rare levels are merged into "other", missing is a level; two levels are one column
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from mtl_core.data.columns import Column
from mtl_core.data.limits import FEW_LEVELS, MAX_CELLS, MAX_LEVELS
from mtl_core.data.names import listed
from mtl_core.errors import TableError

_FEW = 5  # rows below which a level, or being missing, is nothing to learn from


class Encoded(NamedTuple):
    """The feature matrix, its column names and what the user should know."""

    features: Float[np.ndarray, "rows features"]
    names: tuple[str, ...]
    warnings: tuple[str, ...]


def encode(columns: Sequence[Column], training: Bool[np.ndarray, " rows"]) -> Encoded:
    """All columns as numbers without gaps. Raises TableError where nothing is left to learn from."""
    names: list[str] = []
    parts: list[Float[np.ndarray, " rows"]] = []
    merged: list[str] = []
    most = _most_levels(columns, training.size)
    for column in columns:
        encoded, few = _number(column, training) if column.kind == "number" else _category(column, training, most)
        varied = {name: values for name, values in encoded.items() if np.ptp(values[training]) > 0}
        names += varied
        parts += varied.values()
        merged += [column.name] if few else []
        if len(parts) * len(training) > MAX_CELLS:
            raise TableError(
                f"The encoded features would have over {MAX_CELLS:,} cells: "
                "ignore categorical columns with many values, or take fewer rows."
            )
    if not parts:
        raise TableError("No feature is left that varies over the training rows: use more columns as features.")
    said = [f"Levels of {listed(merged)} with few rows were merged into one."] if merged else []
    return Encoded(np.stack(parts, axis=1), _distinct(names), tuple(said))


def _number(column: Column, training: Bool[np.ndarray, " rows"]) -> tuple[dict[str, Float[np.ndarray, " rows"]], bool]:
    assert column.numbers is not None
    gone = np.isnan(column.numbers)
    known = column.numbers[training & ~gone]
    filled = np.where(gone, np.median(known) if known.size else 0.0, column.numbers)
    encoded = {column.name: filled}
    if _enough(gone[training]):
        encoded[f"{column.name} is missing"] = gone.astype(float)
    return encoded, False


def _most_levels(columns: Sequence[Column], rows: int) -> int:
    """0/1 columns a category may take: as many as all can have in a quarter of the allowed cells, within limits."""
    categories = sum(column.kind != "number" for column in columns)
    return int(np.clip(MAX_CELLS // 4 // max(1, rows * categories), FEW_LEVELS, MAX_LEVELS))


def _category(
    column: Column, training: Bool[np.ndarray, " rows"], most: int
) -> tuple[dict[str, Float[np.ndarray, " rows"]], bool]:
    codes, levels = column.labels()
    counts = np.bincount(codes[training & (codes >= 0)], minlength=len(levels))
    common = np.sort(np.argsort(-counts, kind="stable")[:most])
    kept = [int(level) for level in common if counts[level] >= _FEW]
    encoded = {f"{column.name}={levels[level]}": (codes == level).astype(float) for level in kept}
    other = (codes >= 0) & ~np.isin(codes, kept)
    if other[training].any():
        encoded[f"{column.name}=other"] = other.astype(float)
    if _enough(codes[training] < 0):
        encoded[f"{column.name} is missing"] = (codes < 0).astype(float)
    elif len(encoded) == 2:  # the first column says it all
        encoded.popitem() if other[training].any() else encoded.pop(next(iter(encoded)))
    return encoded, bool(other[training].any())


def _enough(marks: Bool[np.ndarray, " rows"]) -> bool:
    return bool(marks.sum() >= max(_FEW, 0.005 * marks.size))


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(result)
