"""How a text table is laid out: delimiter, where it starts, whether the first row holds names.

Only a sample from the top is looked at; records are taken apart by Python's `csv`, so quoted line breaks count as text.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from mtl_core.data.limits import MAX_COLUMNS, MAX_ROWS
from mtl_core.data.names import listed, shown
from mtl_core.data.raw import check_shape
from mtl_core.data.top import NUMBER, Record, check_top, holds_units, looks_like_data, name_columns
from mtl_core.errors import TableError

DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "pipe", ",": "comma"}  # first wins where two divide all rows alike
NUMBERED = (
    "The first row looks like data, so the columns were numbered; to name them, put a line of names above it "
    "(if the row does hold names: say header: true in an experiment file)."
)
_SAMPLE, _RECORDS = 2_000_000, 200
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_SEP = re.compile(r"\"?sep=([\t;|,])\"?(?:\r\n?|\n)", re.IGNORECASE)
_MORE = 10_000  # records looked at where the first ones are no table


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
    skipped = said.end() if said else 0
    body = text[skipped : skipped + _SAMPLE]
    whole = len(text) - skipped <= _SAMPLE
    delimiter, count = (said.group(1), _RECORDS) if said else _delimiter(body, name, whole=whole)
    sample = _sample(body, delimiter, whole=whole, count=count)
    warnings: tuple[str, ...] = ()
    if said and max(len(record.fields) for record in sample) < 2:
        warnings = (f"The line {shown(said.group().strip())} on top is wrong and was not followed.",)
        delimiter, count = _delimiter(body, name, whole=whole)
        sample = _sample(body, delimiter, whole=whole, count=count)
    _check_columns(max(len(record.fields) for record in sample), name)
    layout = _layout(sample, delimiter, skipped, name, header=header)
    return replace(layout, warnings=(*warnings, *layout.warnings))


def bad_line(text: str, layout: Layout) -> tuple[int, int, int]:
    """(line, its fields, how many lines are like it) of the first record whose width is not the table's; zeros: none found.

    No fields: the field that starts there has no end.
    """
    before = len(_LINE.findall(text[: layout.start])) - 1 if layout.start else 0
    wrong: list[tuple[int, int]] = []
    end = 0
    try:
        for record in islice(records(text[layout.start :], layout.delimiter), MAX_ROWS):
            end = record.end
            if len(record.fields) != layout.width:
                wrong.append((record.line + before, len(record.fields)))
    except csv.Error:  # a field of over 131,072 letters
        wrong.append((len(_LINE.findall(text[: layout.start + end])), 0))
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


def divide_blanks(text: str, name: str) -> tuple[bool, str]:
    """(true, the text) with tabs where columns of numbers are divided by blanks, as in NASA's C-MAPSS files; else as it is."""
    lines = [line.split() for line in text[:100_000].splitlines()[:_RECORDS][:-1] if line.strip()]
    if not lines or any(sign in text[:100_000] for sign in DELIMITERS) or len(lines[0]) < 3:
        return False, text
    cells = [cell for line in lines[1:] for cell in line]
    even = all(len(line) == len(lines[0]) for line in lines)
    if not even or sum(bool(NUMBER.fullmatch(cell)) for cell in cells) < 0.8 * len(cells) or not cells:
        return False, text
    check_shape(text.count("\n"), len(lines[0]), name)
    return True, re.sub(r"(?m)^\t+|\t+(?=\r?$)", "", re.sub(r" +", "\t", text))


def strip_blank_ends(text: str) -> str:
    """Without blank lines at the end (a line of delimiters is not blank)."""
    return text.rstrip(" \r\n")


def _delimiter(text: str, name: str, *, whole: bool) -> tuple[str, int]:
    """(the delimiter that divides most records into as many fields, how many records one must look at to see it)."""
    for count in (_RECORDS, _MORE):
        best, best_share = "", 0.0
        for delimiter in DELIMITERS:
            widths = [len(record.fields) for record in _sample(text, delimiter, whole=whole, count=count)]
            times = Counter(width for width in widths if width > 1).most_common(1)
            share = times[0][1] / len(widths) if times else 0.0
            if share > best_share:
                best, best_share = delimiter, share
        if best:
            return best, count
    raise _one_column(text, name)


def _one_column(text: str, name: str) -> TableError:
    first = text.lstrip().split("\n", 1)[0]
    if len(first) >= _SAMPLE // 2:
        return TableError(f"{shown(name)} has a first line of over {_SAMPLE // 2:,} letters and is no table that can be read.")
    if first.count('"') % 2:
        return TableError(f'{shown(name)}, line 1: a quotation mark (") is opened and not closed; close it or take it out.')
    return TableError(
        f"{shown(name)} has one column only ({shown(first.strip())}): at least one feature and one target are needed, "
        "divided by commas, semicolons, tabs or |."
    )


def _sample(text: str, delimiter: str, *, whole: bool, count: int) -> list[Record]:
    found: list[Record] = []
    try:
        found.extend(islice(records(text, delimiter), count + 1))
    except csv.Error:  # a field of over 131,072 letters: what stands above it tells the layout
        return found[:count]
    if not whole and len(found) <= count:
        found = found[:-1]  # cut in the middle
    return found[:count]


def _check_columns(count: int, name: str) -> None:
    if count > MAX_COLUMNS:
        raise TableError(
            f"{shown(name)} has {count:,} columns and at most {MAX_COLUMNS:,} are read: leave out the ones you do not need."
        )


def _layout(sample: list[Record], delimiter: str, skipped: int, name: str, *, header: bool | None) -> Layout:
    widths = Counter(len(record.fields) for record in sample if len(record.fields) > 1)
    if not widths:
        raise TableError(f"{shown(name)} has one column only: at least one feature and one target are needed.")
    width, first = widths.most_common(1)[0][0], sample[0]
    if header is None:
        check_top(sample, width, name)
    if header is False or (
        header is None and len(first.fields) == width and looks_like_data(first.fields, [r.fields for r in sample[1:]])
    ):
        warning = () if header is False else (NUMBERED,)
        return Layout(delimiter, width, None, skipped, warning)
    names, said = name_columns(sample, width, name)
    start = first
    if header is None and len(names) == width and holds_units(sample, width):
        start = sample[1]
        said = (*said, f"The line below the names ({listed(start.fields, 3)}) holds units or types and no data, and was dropped.")
    return Layout(delimiter, max(width, len(names)), tuple(names), skipped + start.end, said)
