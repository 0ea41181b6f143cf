"""Small tables for tests: the plain set that most of them are made from, as bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from mtl_core.data.table import Understanding

HEADER = ("x1", "x2", "x3", "x4", "price", "kind", "visits")
TARGETS = {"price": "regression", "kind": "binary", "visits": "count"}


def plain(rows: int = 120, seed: int = 0) -> list[list[str]]:
    """Rows of four features and three targets that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    price = 2 * x[:, 0] - x[:, 1] + 0.1 * rng.normal(size=rows)
    kind = x[:, 2] + 0.5 * rng.normal(size=rows)
    visits = rng.poisson(1.5, size=rows)
    return [
        [*(f"{value:.4f}" for value in x[i]), f"{price[i]:.4f}", "a" if kind[i] > 0 else "b", str(visits[i])] for i in range(rows)
    ]


def with_column(rows: Iterable[Sequence[str]], values: Iterable[object], at: int = 4) -> list[list[str]]:
    """The rows with one more column at a place, before the targets where nothing is said."""
    return [[*row[:at], str(value), *row[at:]] for row, value in zip(rows, values, strict=True)]


def replaced(rows: Iterable[Sequence[str]], column: int, values: Iterable[object]) -> list[list[str]]:
    """The rows with one column's values replaced."""
    return [[*row[:column], str(value), *row[column + 1 :]] for row, value in zip(rows, values, strict=True)]


def to_csv(rows: Iterable[Sequence[str]], header: Sequence[str] | None = HEADER, delimiter: str = ",") -> bytes:
    """CSV in UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    if header is not None:
        writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def with_header(*names: str, at: int = 4) -> tuple[str, ...]:
    """The plain header with more names before the targets."""
    return (*HEADER[:at], *names, *HEADER[at:])


def kinds(seen: Understanding) -> dict[str, str]:
    """Kind of each column that is no target."""
    return {feature.name: feature.kind for feature in seen.features}


def used(seen: Understanding) -> list[str]:
    """Names of the features that are used."""
    return [feature.name for feature in seen.features if feature.used]


def target_kinds(seen: Understanding) -> dict[str, str]:
    """Kind of each target."""
    return {target.name: target.kind for target in seen.targets}


def warned(seen: Understanding, *words: str) -> bool:
    """Whether one warning holds all the words."""
    return any(all(word in warning for word in words) for warning in seen.warnings)
