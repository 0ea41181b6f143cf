"""Bytes to columns of spellings: format, encoding, layout, then one pass of Arrow's CSV or Parquet reader."""

from __future__ import annotations

import io
import re
from itertools import islice
from typing import Any

from mtl_core.data.decimals import decimal_sign
from mtl_core.data.dialect import DELIMITERS, Layout, bad_line, divide_blanks, lay_out, open_quote, strip_blank_ends
from mtl_core.data.dress import undress
from mtl_core.data.formats import check_content, check_format
from mtl_core.data.limits import MAX_CELLS, MAX_ROWS
from mtl_core.data.names import settle, shown
from mtl_core.data.parquet import read_parquet
from mtl_core.data.raw import RawTable, Recognised, check_enough, check_shape, encode_text, no_rows
from mtl_core.data.text import decode
from mtl_core.data.top import NUMBER
from mtl_core.errors import TableError

_TOTAL = re.compile(
    r"(grand |sub-?)?(totals?|sums?|averages?|means?|medians?|std|sd|min(imum)?|max(imum)?|gesamt|summe|somme|suma)\s*:?",
    re.IGNORECASE,
)
_LONGEST_FOOT = 500
_FEET = 5  # lines at the end that are looked at as footers


def read(data: bytes, name: str, *, header: bool | None = None) -> RawTable:
    """A table from the bytes of a CSV, TSV or Parquet file. Raises TableError with one sentence."""
    if check_format(data, name):
        return read_parquet(data, name)
    text, encoding, warnings = decode(data, name)
    text = strip_blank_ends(text)
    check_content(text, name)
    text, separator, undressed = undress(text)
    blanks, text = divide_blanks(text, name)
    layout = lay_out(text, name, header=header)
    _check_lines(text, layout, name)
    text, feet = _drop_feet(text, layout)
    columns = _parse(text, layout, name)
    columns, names, dropped = _drop_trailing(columns, layout)
    columns, repeated = _drop_headers(columns, layout)
    columns, totals = _drop_totals(columns)
    rows = len(columns[0]) if columns else 0
    check_shape(rows, len(columns), name)
    check_enough(rows, len(columns), name)
    distinct, renamed = settle(names)
    del text
    raw = tuple(encode_text(new, columns.pop(0)) for new in distinct)  # each column's text goes as its codes come
    decimal, doubt = decimal_sign(raw, layout.delimiter)
    divider = separator or ("blanks" if blanks else DELIMITERS[layout.delimiter])
    how = Recognised("csv", divider, encoding, decimal, layout.names is not None)
    return RawTable(
        rows, raw, how, (*warnings, *undressed, *layout.warnings, *feet, *dropped, *repeated, *totals, *renamed, *doubt)
    )


def _check_lines(text: str, layout: Layout, name: str) -> None:
    """Refuse by the number of lines before parsing; with quotes in it a line may be no row, so only parsing tells."""
    lines = max(text.count("\n"), text.count("\r"))
    quoted = '"' in text[layout.start : layout.start + 1_000_000]
    if not quoted or lines > 20 * MAX_ROWS or text.count(layout.delimiter) > 4 * MAX_CELLS:
        check_shape(lines, layout.width, name)


def _parse(text: str, layout: Layout, name: str) -> list[Any]:
    """Arrow string columns by position."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    body = text[layout.start :].encode()
    if not body.strip(b"\r\n "):
        raise no_rows(name)
    labels = [str(i) for i in range(layout.width)]
    try:
        table = csv.read_csv(
            io.BytesIO(body),
            csv.ReadOptions(use_threads=False, block_size=len(body) + 1, column_names=labels),
            csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(labels, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, pa.ArrowCapacityError) as error:
        raise _ragged(text, layout, name) from error
    last = table.columns[-1][-1].as_py() if table.num_rows else ""
    line = text.count("\n") - last.count("\n") + 1 if "\n" in last and text.count('"') % 2 else 0
    if not line and any(pc.any(pc.match_substring_regex(column, r"[\r\n]")).as_py() for column in table.columns):
        line = open_quote(text, layout)
    if line:
        raise TableError(f'{shown(name)}, line {line}: a quotation mark (") is opened and not closed; close it or take it out.')
    return list(table.columns)


def _ragged(text: str, layout: Layout, name: str) -> TableError:
    line, fields, like = bad_line(text, layout)
    if not line:
        return TableError(
            f'{shown(name)} cannot be divided into rows: look for a quotation mark (") that is opened and not closed.'
        )
    if not fields:
        return TableError(f'{shown(name)}, line {line}: a quotation mark (") is opened and not closed; close it or take it out.')
    more = f" ({like} lines in all do not fit)" if like > 1 else ""
    found = "1 field" if fields == 1 else f"{fields} fields"
    advice = "correct the line, or put quotation marks around text that holds the delimiter"
    if fields == 1 and re.match(r"\s*(#|%|//)", _line(text, line)):
        advice = "it looks like a comment, take it out"
    if text.count('"') % 2:
        advice = 'look there for a quotation mark (") that is opened and not closed'
    return TableError(f"{shown(name)}, line {line}: {found} where the table has {layout.width} columns{more}; {advice}.")


def _line(text: str, number: int) -> str:
    return next(islice(re.finditer(r"[^\r\n]*(?:\r\n?|\n|\Z)", text), number - 1, None)).group()


def _drop_trailing(columns: list[Any], layout: Layout) -> tuple[list[Any], list[str], list[str]]:
    """Without the nameless empty columns that a delimiter at the end of each line makes."""
    import pyarrow.compute as pc

    names = list(layout.names) if layout.names is not None else [f"column {i + 1}" for i in range(len(columns))]
    dropped = 0
    while columns and layout.names is not None and not names[-1].strip() and not pc.any(pc.not_equal(columns[-1], "")).as_py():
        columns, names, dropped = columns[:-1], names[:-1], dropped + 1
    said = ["Lines end with a delimiter: the empty column behind it was dropped."] if dropped else []
    return columns, names, said


def _drop_headers(columns: list[Any], layout: Layout) -> tuple[list[Any], list[str]]:
    """Without rows that repeat the column names, as in files that were joined end to end."""
    import pyarrow.compute as pc

    if layout.names is None or not columns:
        return columns, []
    again = pc.equal(columns[0], layout.names[0])
    for column, name in zip(columns[1:], layout.names[1:], strict=False):
        if not pc.any(again).as_py():
            return columns, []
        again = pc.and_(again, pc.equal(column, name))
    count = pc.sum(again).as_py() or 0
    if not count:
        return columns, []
    said = "1 row repeats the column names and was" if count == 1 else f"{count:,} rows repeat the column names and were"
    return [column.filter(pc.invert(again)) for column in columns], [f"{said} dropped."]


def _drop_feet(text: str, layout: Layout) -> tuple[str, list[str]]:
    """Without last lines of words that no delimiter divides (a source, a count of rows)."""
    said: list[str] = []
    while len(said) < _FEET:
        at = max(text.rfind("\n"), text.rfind("\r"))
        last = text[at + 1 :]
        if (
            at <= layout.start
            or len(last) > _LONGEST_FOOT
            or layout.delimiter in last
            or '"' in last
            or NUMBER.fullmatch(last.strip())
        ):
            break
        said.append(f"The last line ({shown(last)}) is no row of the table and was dropped.")
        text = strip_blank_ends(text[:at])
    return text, said


def _drop_totals(columns: list[Any]) -> tuple[list[Any], list[str]]:
    """Without last rows that sum up the others: a word like TOTAL that its column has nowhere else."""
    import pyarrow.compute as pc

    said: list[str] = []
    while len(said) < _FEET and columns and len(columns[0]):
        rows = len(columns[0])
        words = [(column, column[-1].as_py()) for column in columns]
        word = next((w for column, w in words if _TOTAL.fullmatch(w.strip()) and pc.sum(pc.equal(column, w)).as_py() == 1), None)
        if word is None:
            break
        columns = [each.slice(0, rows - 1) for each in columns]
        said.append(f"The last row (data row {rows}, {shown(word.strip())}) sums up the others and was dropped.")
    return columns, said
