"""Which sign divides the decimals of a file, and which of its columns leave that in doubt."""

from __future__ import annotations

from typing import NamedTuple

from mtl_core.data.names import listed, shown
from mtl_core.data.numbers import MISSING_NUMBER, decimal_evidence
from mtl_core.data.raw import RawColumn

_LOOK = 200  # spellings a column that are asked for their decimal sign
_MANY = 20  # spellings with a point that make thousands of it
_FEW = 5
_POINTED = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"
_BELOW = r"^[+-]?(0|[1-9]\d{0,2})$"


class _Pointed(NamedTuple):
    """A column of 945, 1.035 and 12.400: whole below a thousand, three digits behind every point."""

    name: str
    example: str
    below: str  # a number without a point
    thousands: bool  # no writer of decimals leaves both: 12.400 with its zeros, 945 without


def decimal_sign(columns: tuple[RawColumn, ...], delimiter: str) -> tuple[str, list[str]]:
    """(the decimal sign of the file: what most cells that can tell say; a warning where none can)."""
    comma = point = either = 0
    for column in columns:
        sure, dots, open_ = decimal_evidence(column.spellings[:_LOOK].to_pylist())
        comma, point, either = comma + sure, point + dots, either + open_
    if comma > point:
        return ",", []
    pointed = [found for column in columns if (found := _pointed(column)) is not None]
    if point == 0 and either == 0 and delimiter != "," and any(one.thousands for one in pointed):
        return ",", [_as_thousands(pointed)]
    doubt = [_as_decimals(pointed)] if pointed else []
    if point or not either or delimiter == ",":
        return ".", doubt
    return ",", ["Commas were read as decimal commas (1,234 is 1.234): take them out if they divide thousands."]


def _pointed(column: RawColumn) -> _Pointed | None:
    """What a column's points may divide if not decimals; None where they cannot, or where there is nothing to doubt."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def like(texts: pa.StringArray, pattern: str) -> pa.StringArray:
        return texts.filter(pc.match_substring_regex(texts, pattern))

    for texts in (column.spellings[:_LOOK], column.spellings):  # most columns are told by their first cells
        filled = texts.filter(pc.invert(pc.is_in(pc.utf8_lower(texts), value_set=pa.array(sorted(MISSING_NUMBER)))))
        points, below = like(filled, _POINTED), like(filled, _BELOW)
        if not len(points) or len(points) + len(below) < len(filled):
            return None
    below = like(below, r"[1-9]")  # a bare 0 is written among decimals, too
    if len(points) < _FEW or not len(below):
        return None
    zeros = like(points, r"0$")
    example = (zeros if len(zeros) else points)[0].as_py()
    return _Pointed(column.name, example, below[0].as_py(), len(points) >= _MANY and len(zeros) > 0)


def _as_thousands(found: list[_Pointed]) -> str:
    one = next(one for one in found if one.thousands)
    return (
        f"Points were read as dividing thousands in {listed(one.name for one in found)} "
        f"({one.example} is {one.example.replace('.', '')}): whole numbers such as {one.below} stand beside them and each "
        f"point has three digits behind it; if they are decimal points, write {one.below} as {one.below}.000."
    )


def _as_decimals(found: list[_Pointed]) -> str:
    one = found[0]
    return (
        f"Points were read as decimal points in {listed(one.name for one in found)} "
        f"({shown(one.example)} is {float(one.example):.15g}), and may divide thousands, "
        f"for whole numbers such as {one.below} stand beside them: take them out if they do."
    )
