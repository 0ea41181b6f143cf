"""Bytes to text: which encoding, and a warning where it is a guess."""

from __future__ import annotations

import codecs

from mtl_core.data.names import shown
from mtl_core.errors import TableError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its first two bytes are the same
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MULTIBYTE = frozenset({"shift_jis", "cp932", "shift_jis_2004", "euc_jp", "gb18030", "gb2312", "gbk", "big5", "euc_kr", "cp949"})
_SAMPLE = 100_000


def decode(data: bytes, name: str) -> tuple[str, str, list[str]]:
    """(text, encoding, warnings). Raises TableError for what is not text."""
    encoding, warnings = _encoding(data)
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        raise TableError(f"{shown(name)} is not readable as text: save it as CSV in UTF-8, or as Parquet.") from None
    text = text.removeprefix("\ufeff")
    if "\x00" in text:
        raise TableError(f"{shown(name)} holds zero bytes and is not a text table: save it as CSV in UTF-8, or as Parquet.")
    return text, encoding.removesuffix("-sig"), warnings


def _encoding(data: bytes) -> tuple[str, list[str]]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            said = (
                []
                if encoding == "utf-8-sig"
                else [f"The text is in {encoding.upper()} and was read as such; UTF-8 is safer for exchange."]
            )
            return encoding, said
    zeros = data[:_SAMPLE].count(0)
    if zeros > len(data[:_SAMPLE]) // 4:  # mostly Latin letters in two bytes each
        little = data[1:_SAMPLE:2].count(0) > data[0:_SAMPLE:2].count(0)
        encoding = "utf-16-le" if little else "utf-16-be"
        return encoding, [
            f"The text looks like {encoding.upper()} without a byte-order mark and was read as such; save it as UTF-8 to be sure."
        ]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        encoding = _guess(data)
        return encoding, [
            f"The text is not UTF-8 and was read as {encoding}: "
            "look at the names and classes, and save it as UTF-8 if they look wrong."
        ]
    return "utf-8", []


def _guess(data: bytes) -> str:
    """An East Asian encoding where the detector is sure of one, else Windows-1252, else whatever decodes."""
    from charset_normalizer import from_bytes

    foreign = [line for line in data[: 10 * _SAMPLE].splitlines() if not line.isascii()]
    best = from_bytes(b"\n".join(foreign)[:_SAMPLE] or data[:_SAMPLE]).best()
    guess = best.encoding if best is not None else "latin_1"
    for encoding in ([guess] if guess in _MULTIBYTE else []) + ["cp1252", guess]:
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin_1"  # decodes anything
