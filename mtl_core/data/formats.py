"""What a file is, by its first bytes: only text tables and Parquet go further. Nothing is unpacked or unpickled here."""

from __future__ import annotations

import re

from mtl_core.data.limits import MAX_BYTES
from mtl_core.data.names import shown
from mtl_core.errors import TableError

_AS_CSV = "export it as CSV (UTF-8) and choose that file"
_FROM_SHEET = "open it in its program, choose File, Save as (or Export), CSV UTF-8, and choose that file here"
_UNPACK = "unpack it and choose the CSV or Parquet file inside"
_PICKLE = "pickles can run code when they are opened and are never read; save the table as CSV or Parquet"

_MAGIC: tuple[tuple[bytes, int, str, str], ...] = (  # first bytes, at offset, what it is, what to do
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "an old Excel or Word file", _FROM_SHEET),
    (b"\x1f\x8b", 0, "a gzip archive", _UNPACK),
    (b"BZh", 0, "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", 0, "an xz archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", 0, "a RAR archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", 0, "a Zstandard archive", _UNPACK),
    (b"\x04\x22\x4d\x18", 0, "an LZ4 archive", _UNPACK),
    (b"ustar", 257, "a tar archive", _UNPACK),
    (b"SQLite format 3\x00", 0, "an SQLite database", _AS_CSV),
    (b"DUCK", 8, "a DuckDB database", _AS_CSV),
    (b"\x89HDF\r\n\x1a\n", 0, "an HDF5 file", _AS_CSV),
    (b"CDF\x01", 0, "a NetCDF file", _AS_CSV),
    (b"CDF\x02", 0, "a NetCDF file", _AS_CSV),
    (b"MATLAB 5.0 MAT-file", 0, "a MATLAB file", _AS_CSV),
    (b"\x93NUMPY", 0, "a NumPy array", _AS_CSV),
    (b"ARROW1\x00\x00", 0, "an Arrow or Feather file", "save it as Parquet"),
    (b"FEA1", 0, "a Feather file", "save it as Parquet"),
    (b"ORC", 0, "an ORC file", "save it as Parquet"),
    (b"Obj\x01", 0, "an Avro file", "save it as Parquet"),
    (b"PARE", 0, "an encrypted Parquet file", "save it without encryption"),
    (b"RDX2\n", 0, "an R data file", _AS_CSV),
    (b"RDX3\n", 0, "an R data file", _AS_CSV),
    (b"$FL2", 0, "an SPSS file", _AS_CSV),
    (b"$FL3", 0, "an SPSS file", _AS_CSV),
    (b"HEADER RECORD*******", 0, "a SAS file", _AS_CSV),
    (b"\xc2\xea\x81\x60", 12, "a SAS file", _AS_CSV),
    (b"<stata_dta>", 0, "a Stata file", _AS_CSV),
    (b"%PDF", 0, "a PDF", _AS_CSV),
    (b"{\\rtf", 0, "an RTF document", _AS_CSV),
    (b"\x89PNG\r\n\x1a\n", 0, "a PNG image", _AS_CSV),
    (b"\xff\xd8\xff", 0, "a JPEG image", _AS_CSV),
    (b"GIF8", 0, "a GIF image", _AS_CSV),
    (b"II*\x00", 0, "a TIFF image", _AS_CSV),
    (b"RIFF", 0, "a sound, film or image", _AS_CSV),
    (b"\x7fELF", 0, "a program", _AS_CSV),
    (b"version https://git-lfs", 0, "a Git LFS pointer", "fetch the file itself with git lfs pull"),
    (b"GGUF", 0, "a model file", _AS_CSV),
)
_HEAD = 4096
_EMPTY = " \t\r\n,;|\"'"
_MARKUP = re.compile(r"\s*<(!doctype|html|head|body|table|\?xml|svg)\b", re.IGNORECASE)
_TAG = re.compile(r"\s*<(!--|[a-z][\w:.-]*[\s>/])", re.IGNORECASE)
_OBJECT = re.compile(r"""\s*(\[\s*)?\{\s*("[^"\n]*"\s*:|'[^'\n]*'\s*:|\})""")
_LIST = re.compile(r"""\s*\[\s*(\[|"|'|-?\d)""")
_SQL = re.compile(r"\s*(--.*\n\s*)*(create table|insert into|drop table)\b", re.IGNORECASE)
_ARFF = re.compile(r"\s*(%.*\n\s*)*@relation\b", re.IGNORECASE)
_TEXT_PICKLE = re.compile(rb"(c[\w.]+\n\w+\n|\([ld]p\d+\n|[IFLVS][^\n]*\n(p\d+\n)?\.$|[(\]}ld(])", re.DOTALL)
_MEMO = re.compile(rb"\n[pg]\d+\n|[pq]\x00|\n\(.*R\.$|^[IFLVS][^\n]*\n\.$|^\([ld]p\d+\n", re.DOTALL)


def check_format(data: bytes, name: str) -> bool:
    """True for Parquet, False for text. Raises TableError for what is empty, too large or anything else."""
    if not data:
        raise TableError(f"{shown(name)} is empty (0 bytes): choose a table with column names and rows.")
    check_size(len(data), name)
    if data[:4] == b"PAR1":
        return True
    _refuse(_archive(data) or _pickle(data) or _known(data), name)
    return False


def check_content(text: str, name: str) -> None:
    """Raises TableError for text without a value in it and for text that is no table."""
    if not text.strip():
        raise TableError(f"{shown(name)} holds no text: choose a table with column names and rows.")
    if not text[:_HEAD].strip(_EMPTY) and not text.strip(_EMPTY):
        raise TableError(f"{shown(name)} holds separators and no value: choose a table with column names and rows.")
    _refuse(_text_format(text), name)


def _refuse(found: tuple[str, str] | None, name: str) -> None:
    if found:
        what, advice = found
        raise TableError(f"{shown(name)} is {what}, not a CSV, TSV or Parquet table: {advice}.")


def check_size(size: int, name: str) -> None:
    """Raises TableError for more bytes than are read."""
    if size > MAX_BYTES:
        most = MAX_BYTES // 2**20
        raise TableError(
            f"{shown(name)} has {size / 2**20:,.0f} MB and at most {most} MB are read: "
            "leave out rows or columns, or save it as Parquet."
        )


def _archive(data: bytes) -> tuple[str, str] | None:
    if data[:4] not in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return None
    names = data[:65_536] + data[-65_536:]  # entry names stand in clear in local headers and in the directory at the end
    if b"xl/" in names:
        return "an Excel workbook", _FROM_SHEET
    if b"opendocument.spreadsheet" in names:
        return "an OpenDocument spreadsheet", _FROM_SHEET
    if b".iwa" in names:
        return "a Numbers spreadsheet", _FROM_SHEET
    if b"word/" in names or b"ppt/" in names:
        return "a Word or PowerPoint document", _AS_CSV
    if b"data.pkl" in names:
        return "a PyTorch file", _PICKLE
    if b".npy" in names:
        return "a NumPy archive", _AS_CSV
    return "a ZIP archive", _UNPACK


def _pickle(data: bytes) -> tuple[str, str] | None:
    binary = data[0] == 0x80 and len(data) > 1 and data[1] in (2, 3, 4, 5)
    old = (
        data[-80:].rstrip()[-1:] == b"." and _TEXT_PICKLE.match(data[:400]) is not None and _MEMO.search(data[:4000]) is not None
    )
    return ("a Python pickle", _PICKLE) if binary or old else None


def _known(data: bytes) -> tuple[str, str] | None:
    if data[:4] == b"\xff\xff\xff\xff" and data[8:12] == b"\x10\x00\x00\x00":
        return "an Arrow stream", "save it as Parquet"
    for magic, at, what, advice in _MAGIC:
        if data[at : at + len(magic)] == magic:
            return what, advice
    return None


def _text_format(text: str) -> tuple[str, str] | None:
    head, end = text[:4096], text[-80:].rstrip()
    if _MARKUP.match(head) or (_TAG.match(head) and end.endswith(">")):
        return "a web page or XML", _AS_CSV
    if _OBJECT.match(head) or (_LIST.match(head) and end.endswith("]")):
        return "JSON", _AS_CSV
    if _SQL.match(head):
        return "an SQL script", _AS_CSV
    return ("a Weka ARFF file", _AS_CSV) if _ARFF.match(head) else None
