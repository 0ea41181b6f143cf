"""Parquet: the footer is checked before anything is unpacked, nested columns are never read."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtl_core.data.limits import MAX_EXACT, MAX_UNPACKED
from mtl_core.data.names import settle, shown
from mtl_core.data.raw import RawColumn, RawTable, Recognised, check_enough, check_shape, encode_text
from mtl_core.errors import TableError

_DAMAGED = (OSError, ValueError, KeyError, IndexError, NotImplementedError, OverflowError, MemoryError)  # pyarrow's on bad bytes


def read_parquet(data: bytes, name: str) -> RawTable:
    """All flat columns. Raises TableError for a damaged or too large file."""
    damaged = TableError(f"{shown(name)} is a damaged or incomplete Parquet file: export or download it again.")
    if data[-4:] == b"PARE":
        raise TableError(f"{shown(name)} is an encrypted Parquet file: save it without encryption.")
    if len(data) < 12 or data[-4:] != b"PAR1":
        raise damaged
    try:
        file, fields = _open(data)
    except _DAMAGED:
        raise damaged from None
    rows, columns = file.metadata.num_rows, len(fields)
    check_shape(rows, max(columns, file.metadata.num_columns), name)
    _check_unpacked(file.metadata, name)
    check_enough(rows, columns, name)
    distinct, warnings = settle([field.name for field in fields])
    try:
        read = _read(file, fields)
        raw = tuple(
            _column(new, read[i], _barred(field.type), rows) for i, (new, field) in enumerate(zip(distinct, fields, strict=True))
        )
    except _DAMAGED:
        raise damaged from None
    return RawTable(rows, raw, Recognised("parquet"), tuple(warnings))


def _open(data: bytes) -> tuple[Any, list[Any]]:
    """The file with its text columns kept as dictionaries, so that one long text repeated stays one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.ParquetFile(pa.BufferReader(data)).schema_arrow
    texts = [field.name for field in schema if _is_text(field.type)]
    return pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts), list(schema)


def _check_unpacked(metadata: Any, name: str) -> None:
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if size > MAX_UNPACKED:
        raise TableError(
            f"{shown(name)} unpacks to {size / 2**20:,.0f} MB and at most {MAX_UNPACKED // 2**20} MB are read: "
            "leave out long text columns or rows."
        )


def _read(file: Any, fields: list[Any]) -> dict[int, Any]:
    """Columns by position; those that are barred are not decoded."""
    flat = [i for i, field in enumerate(fields) if _barred(field.type) is None]
    barred_names = {field.name for field in fields if _barred(field.type)}
    table = file.read(columns=[fields[i].name for i in flat], use_threads=False) if barred_names else file.read(use_threads=False)
    columns = [column for column, field in zip(table.columns, table.schema, strict=True) if _barred(field.type) is None]
    return dict.fromkeys(range(len(fields))) | dict(zip(flat, columns, strict=True))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _barred(kind: Any) -> tuple[str, str] | None:
    """(kind, reason) of a column that is not read."""
    from pyarrow import types

    if types.is_temporal(kind):
        return "date", "it holds dates or times; turn them into numbers (days since the first one, hour, month) to use them"
    value = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_nested(value):
        return "nested", f"lists, structs and maps are left out (it holds {str(kind)[:40]})"
    known = (
        types.is_boolean(value)
        or types.is_integer(value)
        or types.is_floating(value)
        or types.is_decimal(value)
        or types.is_null(value)
    )
    return None if known or _is_text(value) else ("nested", f"values of type {str(kind)[:40]} are left out")


def _column(name: str, column: Any, barred: tuple[str, str] | None, rows: int) -> RawColumn:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if barred:
        return RawColumn(name, barred=barred)
    if types.is_dictionary(column.type):
        if _is_text(column.type.value_type):
            return _from_dictionary(name, column)
        column = pc.cast(column, column.type.value_type)
    if _is_text(column.type) or types.is_boolean(column.type):
        return encode_text(name, pc.cast(column, pa.string()))
    if types.is_null(column.type):
        return RawColumn(name, numbers=np.full(rows, np.nan))
    if types.is_integer(column.type) and _too_long(column):
        return encode_text(name, pc.cast(column, pa.string()))  # as in CSV: groups and categories keep every digit
    numbers = pc.cast(column, pa.float64(), safe=False).to_numpy()
    return RawColumn(name, numbers=np.array(numbers, dtype=float))


def _too_long(column: Any) -> bool:
    """Whether some whole number has more digits than a float64 holds."""
    import pyarrow.compute as pc

    return any(abs(end or 0) > MAX_EXACT for end in pc.min_max(column).as_py().values())


def _from_dictionary(name: str, column: Any) -> RawColumn:
    """Trim and re-encode the dictionary, not the rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = column.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    texts = pa.concat_arrays([pc.cast(whole.dictionary, pa.string()), pa.array([""])])  # the last one stands for null
    distinct = encode_text(name, texts)
    assert distinct.codes is not None
    indices = pc.fill_null(whole.indices, len(texts) - 1).to_numpy(zero_copy_only=False)
    return RawColumn(name, distinct.codes[indices], distinct.spellings)
