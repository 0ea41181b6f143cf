"""A table as read, before anything is understood of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from mtl_core.data.limits import MAX_CELL, MAX_CELLS, MAX_COLUMNS, MAX_ROWS, MIN_ROWS
from mtl_core.data.names import shown
from mtl_core.errors import TableError


class Recognised(NamedTuple):
    """How the file was read; None where the format has no such thing."""

    format: str
    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    header: bool = True


@dataclass(frozen=True)
class RawColumn:
    """One column: spellings (text), numbers (typed files), or the kind and reason of one that is not read."""

    name: str
    codes: Int32[np.ndarray, " rows"] | None = None  # index into `spellings`
    spellings: Any = None  # pyarrow.StringArray of distinct, trimmed texts
    numbers: Float[np.ndarray, " rows"] | None = None  # NaN: missing; infinities still inside
    barred: tuple[str, str] | None = None


@dataclass(frozen=True)
class RawTable:
    """All columns under distinct names."""

    rows: int
    columns: tuple[RawColumn, ...]
    recognised: Recognised
    warnings: tuple[str, ...]


def check_shape(rows: int, columns: int, name: str) -> None:
    """Raises TableError for a table that is too large, from its shape alone."""
    if rows > MAX_ROWS:
        raise TableError(f"{shown(name)} has {rows:,} rows and at most {MAX_ROWS:,} are read: take a sample of the rows.")
    if columns > MAX_COLUMNS:
        raise TableError(
            f"{shown(name)} has {columns:,} columns and at most {MAX_COLUMNS:,} are read: leave out the ones you do not need."
        )
    if rows * columns > MAX_CELLS:
        raise TableError(
            f"{shown(name)} has {rows:,} rows x {columns:,} columns = {rows * columns:,} cells "
            f"and at most {MAX_CELLS:,} are read: "
            "take a sample of the rows or leave out columns."
        )


def no_rows(name: str) -> TableError:
    """What is said of a table that ends with its column names."""
    return TableError(f"{shown(name)} has column names and no rows under them: at least {MIN_ROWS} rows of data are needed.")


def check_enough(rows: int, columns: int, name: str) -> None:
    """Raises TableError for a table with too little in it."""
    if rows == 0:
        raise no_rows(name)
    if columns < 2:
        raise TableError(f"{shown(name)} has one column only: at least one feature and one target are needed.")
    if rows < MIN_ROWS:
        word = "row" if rows == 1 else "rows"
        turned = f" (with {columns:,} columns it may lie on its side: rows must be examples)" if columns > 5 * rows else ""
        raise TableError(f"{shown(name)} has {rows} {word}: at least {MIN_ROWS} are needed to train, validate and test{turned}.")


def encode_text(name: str, texts: Any) -> RawColumn:
    """A column from an Arrow array of strings; nulls become empty spellings, long ones are cut and may then look alike."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(pc.fill_null(texts, ""))
    encoded = trimmed.combine_chunks() if isinstance(trimmed, pa.ChunkedArray) else trimmed
    encoded = encoded.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    spellings = encoded.dictionary
    if (pc.max(pc.binary_length(spellings)).as_py() or 0) > MAX_CELL:  # cut only now, so that what differs further on stays apart
        spellings = pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(spellings, 0, MAX_CELL))
    return RawColumn(name, codes, spellings)
