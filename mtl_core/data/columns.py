"""What each column is: numbers, categories, or something to leave out, with the reason.

number     most cells are numbers; the others count as missing and are named
category   a limited number of different texts
constant, empty, date, id, text, nested     left out as features unless the user says how to read them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from mtl_core.data.kinds import ColumnKind, is_code, number_reason, text_reason
from mtl_core.data.limits import MAX_MAGNITUDE
from mtl_core.data.names import shown, tidy
from mtl_core.data.numbers import MISSING, MISSING_NUMBER, Numbers, parse, plain
from mtl_core.data.raw import RawColumn, RawTable
from mtl_core.data.remarks import infinite_note, remarks_on_numbers, remarks_on_spellings, why_no_number

_MOSTLY = 0.8  # share of cells that must be numbers for a column of numbers


@dataclass(frozen=True)
class Column:
    """A column that is understood. `numbers` is there where most cells are numbers, whatever the kind."""

    name: str
    kind: ColumnKind
    present: int  # rows with a value
    distinct: int  # different values
    reason: str = ""  # why it is left out
    numbers: Float[np.ndarray, " rows"] | None = None  # NaN: missing
    codes: Int32[np.ndarray, " rows"] | None = None  # index into `spellings`; -1: missing
    spellings: Any = None  # pyarrow.StringArray
    notes: tuple[str, ...] = ()  # sentences for the user

    @property
    def usable(self) -> bool:
        """Whether it can be a feature."""
        return self.kind in ("number", "category")

    def labels(self) -> tuple[Int32[np.ndarray, " rows"], tuple[str, ...]]:
        """(code of each row, -1 where missing; the values' names in order: numbers by size, then texts by letters)."""
        if self.numbers is not None and (self.kind != "category" or self.codes is None):
            values, inverse = np.unique(self.numbers, return_inverse=True)
            codes = np.where(np.isnan(self.numbers), -1, inverse).astype(np.int32)
            return codes, tuple(f"{value:.15g}" for value in values[np.isfinite(values)])
        assert self.codes is not None
        used = np.unique(self.codes[self.codes >= 0])
        names = self.spellings.take(used).to_pylist()
        order = sorted(range(len(used)), key=lambda i: (plain(names[i]), names[i].casefold(), names[i]))
        new = np.full(len(self.spellings) + 1, -1, np.int32)  # the last one is for code -1
        new[used[order]] = np.arange(len(used))
        return new[self.codes], tidy([names[i] for i in order])


def understand(table: RawTable, missing: tuple[str, ...], wishes: Mapping[str, str]) -> list[Column]:
    """Every column with its kind; `wishes` are the user's words on how to read some of them."""
    words = frozenset(text.strip().lower() for text in missing)
    decimal = table.recognised.decimal or "."
    return [_understand(raw, table.rows, words, decimal, wishes.get(raw.name)) for raw in table.columns]


def _understand(raw: RawColumn, rows: int, words: frozenset[str], decimal: str, wish: str | None) -> Column:
    if raw.barred is not None:
        kind: Any = raw.barred[0]
        return Column(raw.name, kind, rows, rows, raw.barred[1])
    if raw.numbers is not None:
        return _settle_number(_typed(raw.name, raw.numbers, words), wish)
    assert raw.codes is not None
    counts = np.bincount(raw.codes, minlength=len(raw.spellings))
    absent = _absent(raw.spellings, MISSING_NUMBER | words, words)
    parsed = parse(raw.spellings, absent, decimal)
    read = counts[~absent & ~parsed.bad].sum()
    mostly = read > 0 and read >= _MOSTLY * counts[~absent].sum() and not is_code(raw.spellings.filter(~absent))
    if wish == "number" or (wish is None and mostly):
        return _settle_number(_numeric(raw, absent, parsed, counts), wish)
    column = _settle_text(raw, _absent(raw.spellings, MISSING | words, words), counts, wish)
    return (
        replace(column, reason=why_no_number(raw, absent | parsed.bad, parsed, counts) or column.reason)
        if column.reason
        else column
    )


def _absent(spellings: Any, words: frozenset[str], extra: frozenset[str]) -> Bool[np.ndarray, " spellings"]:
    """Which spellings mean missing; a number among the user's own words is meant in any spelling (-999 and -999.0)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lower = pc.utf8_lower(spellings)
    absent = np.array(pc.is_in(lower, value_set=pa.array(sorted(words))).to_numpy(zero_copy_only=False), dtype=bool)
    if len(spellings) <= 3 and {"+", "-"} <= set(spellings.to_pylist()) <= {"+", "-", ""}:
        absent &= np.array([text != "-" for text in spellings.to_pylist()])  # the outcomes of a test
    sizes = {plain(word) for word in extra} - {np.inf}
    if sizes:
        absent |= np.array([plain(text) in sizes for text in spellings.to_pylist()], dtype=bool)
    return absent


def _typed(name: str, numbers: Float[np.ndarray, " rows"], words: frozenset[str]) -> Column:
    """A column that came as numbers."""
    gone = np.isin(numbers, sorted({plain(word) for word in words} - {np.inf}))
    infinite = ~np.isnan(numbers) & ~(np.abs(numbers) <= MAX_MAGNITUDE)
    numbers = np.where(gone | infinite, np.nan, numbers)
    return _column_of_numbers(name, numbers, tuple(infinite_note(name, int(infinite.sum()))))


def _numeric(
    raw: RawColumn, absent: Bool[np.ndarray, " spellings"], parsed: Numbers, counts: Int[np.ndarray, " spellings"]
) -> Column:
    """A column of text that holds numbers."""
    assert raw.codes is not None
    notes = remarks_on_spellings(raw, parsed, counts)
    column = _column_of_numbers(raw.name, parsed.values[raw.codes], tuple(notes))
    return replace(column, codes=np.where(absent[raw.codes], -1, raw.codes).astype(np.int32), spellings=raw.spellings)


def _column_of_numbers(name: str, numbers: Float[np.ndarray, " rows"], notes: tuple[str, ...]) -> Column:
    finite = numbers[np.isfinite(numbers)]
    return Column(name, "number", finite.size, np.unique(finite).size, numbers=numbers, notes=notes)


def _settle_number(column: Column, wish: str | None) -> Column:
    """The final kind of a column of numbers."""
    assert column.numbers is not None
    if column.distinct <= 1 or wish == "category":
        return _settle_flat(replace(column, kind="category") if wish == "category" else column)
    if wish is None:
        kind, reason = number_reason(column.name, column.numbers, column.distinct)
        if kind != "number":
            return replace(column, kind=kind, reason=reason)
    return replace(column, notes=(*column.notes, *remarks_on_numbers(column.name, column.numbers)))


def _settle_text(
    raw: RawColumn, absent: Bool[np.ndarray, " spellings"], counts: Int[np.ndarray, " spellings"], wish: str | None
) -> Column:
    """The final kind of a column of words."""
    assert raw.codes is not None
    codes = np.where(absent[raw.codes], -1, raw.codes).astype(np.int32)
    texts, present = raw.spellings.filter(~absent), int(counts[~absent].sum())
    column = Column(raw.name, "category", present, len(texts), codes=codes, spellings=raw.spellings)
    if column.distinct <= 1 or wish == "category":
        return _settle_flat(column)
    kind, reason = text_reason(raw.name, texts, present)
    return replace(column, kind=kind, reason=reason)


def _settle_flat(column: Column) -> Column:
    """Columns without a value, or with the same one in every row; one value and gaps make two categories."""
    rows = len(column.codes) if column.codes is not None else len(column.numbers) if column.numbers is not None else 0
    if column.distinct == 0:
        return replace(column, kind="empty", reason="it has no value and can be neither feature nor target")
    if column.distinct == 1 and column.present > 0.99 * rows:
        return replace(column, kind="constant", reason=f"it has the same value in every row ({shown(column.labels()[1][0], 30)})")
    return replace(column, kind="category") if column.distinct == 1 else column
