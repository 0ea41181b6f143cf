"""How a text table is laid out: delimiter, where it starts, whether the first row holds names.

Only a sample from the top is looked at; records are taken apart by Python's `csv`, so quoted line breaks count as text.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple

from mtl_core.data.limits import MAX_COLUMNS, MAX_ROWS
from mtl_core.data.names import shown
from mtl_core.data.raw import no_rows
from mtl_core.errors import TableError

DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "pipe", ",": "comma"}  # first wins where two divide all rows alike
NUMBERED = (
    "The first row looks like data, so the columns were numbered; to name them, put a line of names above it "
    "(if the row does hold names: say header: true in an experiment file)."
)
_SAMPLE, _RECORDS = 2_000_000, 200
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_SEP = re.compile(r"sep=([\t;|,])(?:\r\n?|\n)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s?%?")
_BLANK = frozenset({"", "na", "nan", "n/a", "null", "none", "?", "-"})


class Record(NamedTuple):
    """One record: its fields, the line it starts on (from 1) and the offset just behind it."""

    fields: list[str]
    line: int
    end: int


@dataclass(frozen=True)
class Layout:
    """Where the data is in the text and what its columns are called (None: no names)."""

    delimiter: str
    width: int
    names: tuple[str, ...] | None
    start: int  # offset of the first data record
    warnings: tuple[str, ...] = ()


def records(text: str, delimiter: str) -> Iterator[Record]:
    """The records that are not blank, in order."""
    at = 0

    def lines() -> Iterator[str]:
        nonlocal at
        for match in _LINE.finditer(text):
            at = match.end()
            yield match.group()

    reader = csv.reader(lines(), delimiter=delimiter)
    line = 1
    for fields in reader:
        if fields:
            yield Record(fields, line, at)
        line = reader.line_num + 1


def lay_out(text: str, name: str, *, header: bool | None) -> Layout:
    """Find the layout; `header` says whether the first row holds names (None: look). Raises TableError."""
    said = _SEP.match(text)
    delimiter = said.group(1) if said else _delimiter(text, name)
    skipped = said.end() if said else 0
    sample = _sample(text[skipped : skipped + _SAMPLE], delimiter, whole=len(text) - skipped <= _SAMPLE)
    _check_columns(max(len(record.fields) for record in sample), name)
    return _layout(sample, delimiter, skipped, name, header=header)


def bad_line(text: str, layout: Layout) -> tuple[int, int, int]:
    """(line, its fields, how many lines are like it) of the first record whose width is not the table's; zeros: none found."""
    before = len(_LINE.findall(text[: layout.start])) - 1 if layout.start else 0
    wrong: list[tuple[int, int]] = []
    with suppress(csv.Error):
        found = islice(records(text[layout.start :], layout.delimiter), MAX_ROWS)
        wrong.extend((record.line + before, len(record.fields)) for record in found if len(record.fields) != layout.width)
    return (*wrong[0], len(wrong)) if wrong else (0, 0, 0)


def open_quote(text: str, layout: Layout) -> int:
    """The line on which a quoted field starts that ends in the middle of another field; zero: none found."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, strict=True)
    line = 1
    while True:
        try:
            next(reader)
        except StopIteration:
            return 0
        except csv.Error as error:
            if "expected after" not in str(error):
                return 0
            if reader.line_num > line:
                return line
        line = reader.line_num + 1


def divide_blanks(text: str) -> str:
    """Columns of numbers that are divided by blanks (as in NASA's C-MAPSS files), divided by tabs; other text as it is."""
    lines = [line.split() for line in text[:100_000].splitlines()[:_RECORDS][:-1] if line.strip()]
    if not lines or any(sign in text[:100_000] for sign in DELIMITERS) or len(lines[0]) < 3:
        return text
    cells = [cell for line in lines[1:] for cell in line]
    even = all(len(line) == len(lines[0]) for line in lines)
    if not even or sum(bool(_NUMBER.fullmatch(cell)) for cell in cells) < 0.8 * len(cells) or not cells:
        return text
    return "\n".join("\t".join(line.split()) for line in text.splitlines())


def strip_blank_ends(text: str) -> str:
    """Without blank lines at the end (a line of delimiters is not blank)."""
    return text.rstrip(" \r\n")


def _delimiter(text: str, name: str) -> str:
    best, best_share, widest = "", 0.0, 1
    for delimiter in DELIMITERS:
        counts = [len(record.fields) for record in _sample(text[:_SAMPLE], delimiter, whole=len(text) <= _SAMPLE)]
        width, times = Counter(count for count in counts if count > 1).most_common(1)[0] if any(c > 1 for c in counts) else (1, 0)
        share = times / len(counts) if counts else 0.0
        if share > best_share:
            best, best_share, widest = delimiter, share, width
    if widest < 2:
        first = text[:_SAMPLE].lstrip().split("\n", 1)[0]
        if len(first) >= _SAMPLE // 2:
            raise TableError(f"{shown(name)} has a first line of over {_SAMPLE // 2:,} letters and is no table that can be read.")
        raise TableError(
            f"{shown(name)} has one column only ({shown(first.strip())}): at least one feature and one target are needed, "
            "divided by commas, semicolons, tabs or |."
        )
    return best


def _sample(text: str, delimiter: str, *, whole: bool) -> list[Record]:
    found: list[Record] = []
    with suppress(csv.Error):  # a field of over 131,072 letters: what stands above it tells the layout
        found.extend(islice(records(text, delimiter), _RECORDS + 1))
    if not whole and len(found) <= _RECORDS:
        found = found[:-1]  # cut in the middle
    return found[:_RECORDS]


def _check_columns(count: int, name: str) -> None:
    if count > MAX_COLUMNS:
        raise TableError(
            f"{shown(name)} has {count:,} columns and at most {MAX_COLUMNS:,} are read: leave out the ones you do not need."
        )


def _layout(sample: list[Record], delimiter: str, skipped: int, name: str, *, header: bool | None) -> Layout:
    widths = [len(record.fields) for record in sample]
    width = Counter(count for count in widths if count > 1).most_common(1)[0][0]
    first = sample[0]
    if header is None and _is_preamble(widths, width, sample):
        start = next(record for record in sample if len(record.fields) == width)
        raise TableError(
            f"{shown(name)} has other lines above the table, which seems to start on line {start.line}: "
            "remove the lines before it, so that the first line holds the column names."
        )
    if header is False or (
        header is None and len(first.fields) == width and _looks_like_data(first.fields, [r.fields for r in sample[1:]])
    ):
        warning = () if header is False else (NUMBERED,)
        return Layout(delimiter, width, None, skipped, warning)
    names = list(first.fields)
    while len(names) > width and not names[-1].strip():
        names.pop()
    names += [""] * (width - len(names))
    if len(sample) == 1:
        raise no_rows(name)
    return Layout(delimiter, max(width, len(names)), tuple(names), skipped + first.end)


def _is_preamble(widths: list[int], width: int, sample: list[Record]) -> bool:
    if widths[0] >= width:
        return False
    one_short = widths[0] == width - 1 and all(not r.fields[-1].strip() for r in sample[1:] if len(r.fields) == width)
    return not one_short


def _looks_like_data(first: list[str], below: list[list[str]]) -> bool:
    """Whether each column of numbers has a number on top, too; in a table of words, whether all on top recurs below."""
    on_top, numeric, recurring = [], 0, 0
    for column, cell in enumerate(first):
        value = cell.strip()
        cells = [row[column].strip() for row in below if len(row) == len(first)]
        filled = [one for one in cells if one.lower() not in _BLANK]
        recurring += value in filled
        if not filled or sum(bool(_NUMBER.fullmatch(one)) for one in filled) < 0.8 * len(filled):
            continue
        numeric += 1
        if _NUMBER.fullmatch(value):
            on_top.append(value)
        elif not value or value.lower() not in _BLANK:
            return False
    if not numeric:
        return bool(below) and recurring == len(first)
    return bool(on_top) and not _is_series(on_top) and not _is_series(first)


def _is_series(cells: list[str]) -> bool:
    """Years, or 0, 1, 2, ...: such numbers are names."""
    if len(cells) < 3 or not all(cell.strip().isdecimal() for cell in cells):
        return False
    steps = {int(b) - int(a) for a, b in pairwise(cells)}
    return len(steps) == 1 and steps != {0}
