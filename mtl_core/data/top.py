"""The first lines of a text table: names, data, units, or something that stands above the table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from mtl_core.data.names import shown
from mtl_core.errors import TableError

NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s?%?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?|\d{1,2}[./]\d{1,2}[./]\d{4}.*")
_BLANK = frozenset({"", "na", "nan", "n/a", "null", "none", "?", "-"})
_MOSTLY = 0.8
_TOP = 20  # lines of the table's width that are asked whether they hold the names
_SIGN_NAMES = {"\t": "tabs", ";": "semicolons", "|": "|", ",": "commas"}


class Record(NamedTuple):
    """One record: its fields, the line it starts on (from 1) and the offset just behind it."""

    fields: list[str]
    line: int
    end: int


def check_top(sample: Sequence[Record], width: int, name: str) -> None:
    """Raises TableError where something else stands above the names, or where names and rows do not go together."""
    first = sample[0].fields
    filled = [cell for cell in first if cell.strip()]
    start, names_below = _start(sample, width)
    few_names = len(filled) <= max(1, len(first) // 2) and len(first) - len(filled) > 1
    if len(first) == width:
        if names_below and (few_names or _is_labelled(first)):
            raise _preamble(start, name)
        return
    signs = [sign for sign in "\t;|," if len(first) == 1 and first[0].count(sign) == width - 1 > 1]
    if signs:
        raise TableError(
            f"{shown(name)}: the names are divided by {_SIGN_NAMES[signs[0]]} and the rows are not: divide all alike."
        )
    if names_below or len(first) == 1:
        raise _preamble(start, name)


def name_columns(sample: Sequence[Record], width: int, name: str) -> tuple[list[str], tuple[str, ...]]:
    """(a name for each column, blank where it has none; warnings). Raises TableError where names and rows do not go together."""
    names = list(sample[0].fields)
    rows = [record.fields for record in sample[1:] if len(record.fields) == width]
    while len(names) > width and not names[-1].strip():
        names.pop()
    lacking = width - len(names)
    if lacking > 0 and rows and not all(not cell.strip() for row in rows for cell in row[-lacking:]):
        if lacking == 1 and _counts([row[0] for row in rows]):
            said = "The first line has one name fewer than the rows have fields: the first column was taken for row names."
            return ["", *names], (said,)
        raise _uneven(len(names), width, name)
    if lacking < 0 and sample[1:] and rows:
        raise _uneven(len(names), width, name)
    return names + [""] * lacking, ()


def holds_units(sample: Sequence[Record], width: int) -> bool:
    """Whether the second line holds words where at least two columns hold numbers, and a number in none of them."""
    if len(sample) < 5 or len(sample[1].fields) != width:
        return False
    below = [record.fields for record in sample[2:] if len(record.fields) == width]
    if sample[1].fields == sample[0].fields:
        return False
    numeric = [sample[1].fields[j].strip() for j in range(width) if _is_numeric(row[j] for row in below)]
    words = [cell for cell in numeric if cell.lower() not in _BLANK and not NUMBER.fullmatch(cell)]
    return len(words) >= 2 and not any(NUMBER.fullmatch(cell) for cell in numeric)


def _start(sample: Sequence[Record], width: int) -> tuple[Record, bool]:
    """(where the table seems to start below the first line, whether names stand there).

    Of several lines that could be names the last one behind a blank line or one of another width is taken.
    """
    first = next((place for place, record in enumerate(sample) if place and len(record.fields) == width), 0)
    if not first:
        return sample[0], False
    names, behind_a_break = [], []
    for place in range(first, min(first + _TOP, len(sample))):
        record, above = sample[place], sample[place - 1]
        if len(record.fields) != width:
            continue
        if _are_names(record.fields, [one.fields for one in sample[place + 1 :] if len(one.fields) == width]):
            names.append(record)
            end = above.line + sum(cell.count("\n") for cell in above.fields)
            behind_a_break += [record] if len(above.fields) != width or record.line > end + 1 else []
    return (behind_a_break or names[:1] or [sample[first]])[-1], bool(names)


def _is_labelled(fields: Sequence[str]) -> bool:
    """Whether a line says something of the table (Station:, Zurich)."""
    return len(fields) > 1 and fields[0].strip().endswith(":")


def _are_names(fields: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a line is filled, holds no number, and columns below it hold numbers."""
    if _is_labelled(fields) or any(cell.strip().lower() in _BLANK or NUMBER.fullmatch(cell.strip()) for cell in fields):
        return False
    return any(_is_numeric(row[j] for row in below) for j in range(len(fields)))


def _is_numeric(cells: Iterable[str]) -> bool:
    filled = [cell.strip() for cell in cells if cell.strip().lower() not in _BLANK]
    return bool(filled) and sum(bool(NUMBER.fullmatch(cell)) for cell in filled) >= _MOSTLY * len(filled)


def _counts(cells: Sequence[str]) -> bool:
    """Whether cells count 0, 1, 2, ... or 1, 2, 3, ..."""
    return len(cells) > 2 and cells[0].strip() in ("0", "1") and _is_series(cells)


def _preamble(start: Record, name: str) -> TableError:
    return TableError(
        f"{shown(name)} has other lines above the table, which seems to start on line {start.line}: "
        "remove the lines before it, so that the first line holds the column names."
    )


def _uneven(names: int, width: int, name: str) -> TableError:
    less = names < width
    return TableError(
        f"{shown(name)}: the first line has {names} {'name' if names == 1 else 'names'} and most rows have {width} fields; "
        f"{'name every column' if less else 'take out the names without a column'}, and divide names and rows by the same sign."
    )


def looks_like_data(first: list[str], below: list[list[str]]) -> bool:
    """Whether each column of numbers has a number on top, too; in a table of words, whether all on top recurs below."""
    on_top, numeric, recurring = [], 0, 0
    for column, cell in enumerate(first):
        value = cell.strip()
        cells = [row[column].strip() for row in below if len(row) == len(first)]
        filled = [one for one in cells if one.lower() not in _BLANK]
        recurring += value in filled
        if filled and _DATE.fullmatch(value) and all(_DATE.fullmatch(one) for one in filled[:20]):
            return True
        if not _is_numeric(cells):
            continue
        numeric += 1
        if NUMBER.fullmatch(value):
            on_top.append(value)
        elif not value or value.lower() not in _BLANK:
            return False
    if not numeric:
        return bool(below) and recurring == len(first)
    return bool(on_top) and not _is_series(on_top) and not _is_series(first)


def _is_series(cells: Sequence[str]) -> bool:
    """Years, or 0, 1, 2, ...: such numbers are names."""
    if len(cells) < 3 or not all(cell.strip().isdecimal() for cell in cells):
        return False
    steps = {int(b) - int(a) for a, b in pairwise(cells)}
    return len(steps) == 1 and steps != {0}
