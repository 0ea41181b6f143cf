"""Bytes to text: which encoding, and a warning where it is a guess."""

from __future__ import annotations

import codecs
import re
from itertools import islice

from mtl_core.data.encodings import guess_single_byte
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
_CONTROLS = re.compile(r"[\x02-\x08\x0e-\x19\x7f]")
_FOREIGN = re.compile(r"[^\W\d_\x00-\x7f]")
_TWICE = re.compile("[ÃÂ][\u0080-\u00bf]")
_HALF_WIDTH = re.compile("[\uff61-\uff9f]")
_NEARLY = "The text is UTF-8 but for"
_BAD_BYTES = "".join(chr(0xDC00 + byte) for byte in range(0x80, 0x100))  # what surrogateescape makes of them
_BAD = re.compile(f"[{_BAD_BYTES[0]}-{_BAD_BYTES[-1]}]")
_BREAK = re.compile(r"\r\n?|\n")
_LOST = "\ufffd"
_BINARY = "and is not a text table: save it as CSV in UTF-8, or as Parquet."


def decode(data: bytes, name: str) -> tuple[str, str, list[str]]:
    """(text, encoding, warnings). Raises TableError for what is not text."""
    encoding, warning = _encoding(data)
    try:
        text = data.decode(encoding, "surrogateescape" if warning == _NEARLY else "strict")
    except UnicodeDecodeError:
        raise TableError(f"{shown(name)} is not readable as text: save it as CSV in UTF-8, or as Parquet.") from None
    if warning == _NEARLY:
        text, warning = _without_bad_bytes(text)
    if "\x00" in text:
        raise TableError(f"{shown(name)} holds zero bytes {_BINARY}")
    head = text[:_SAMPLE]
    if len(_CONTROLS.findall(head)) > max(2, 0.01 * len(head)):
        raise TableError(f"{shown(name)} holds binary data {_BINARY}")
    text = text.replace("\ufeff", "").rstrip("\x1a")  # marks that joined files leave inside, and DOS at the end
    said = _said(text, encoding, warning)
    return text, encoding.removesuffix("-sig"), said if warning.startswith(_NEARLY) else [*said, *_damage(text)]


def _encoding(data: bytes) -> tuple[str, str]:
    """(encoding, warning; empty where there is nothing to say)."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            said = f"The text is in {encoding.upper()} and was read as such; UTF-8 is safer for exchange."
            return encoding, (said if encoding != "utf-8-sig" else "" if _is_utf8(data) else _NEARLY)
    wide = _without_mark(data[:_SAMPLE])
    if wide:
        return wide, (
            f"The text looks like {wide.upper()} without a byte-order mark and was read as such; save it as UTF-8 to be sure."
        )
    if not _is_utf8(data):
        return ("utf-8", _NEARLY) if _is_nearly_utf8(data) else (_guess(data), "guess")
    return ("iso2022_jp", "guess") if b"\x1b$B" in data[:_SAMPLE] else ("utf-8", "")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_nearly_utf8(data: bytes) -> bool:
    """Whether letters of several bytes outnumber the bytes that are none, or only the last letter is cut.

    Two letters of another encoding rarely make one of UTF-8, so a few that do say more than one that does not.
    """
    text = data.decode("utf-8", "surrogateescape")
    bad = len(_BAD.findall(text))
    good = len(_FOREIGN.findall(_BAD.sub("", text)))
    cut = len(text) - len(text.rstrip(_BAD_BYTES)) == bad
    return good >= (1 if cut and bad < 4 else max(3, 5 * bad))


def _without_bad_bytes(text: str) -> tuple[str, str]:
    """(the text with a replacement sign for each byte that is not UTF-8, what is said of them)."""
    first = _BAD.search(text)
    assert first is not None
    count, line = len(_BAD.findall(text)), len(_BREAK.findall(text, 0, first.start())) + 1
    what = "1 byte" if count == 1 else f"{count:,} bytes"
    such = f" ({shown(_BAD.sub(_LOST, _around(text, first.start())), 30)})"
    return _BAD.sub(_LOST, text), (
        f"{_NEARLY} {what}, first on line {line}{such}, and was read as such: in place of each stands {_LOST}; correct it there."
    )


def _without_mark(head: bytes) -> str:
    """UTF-16 or UTF-32 by the zero bytes beside mostly Latin letters; empty for others."""
    zeros = [head[place::4].count(0) for place in range(4)]
    most = max(1, len(head) // 4)
    if sum(zeros) <= len(head) // 4:
        return ""
    if min(zeros[1:]) > 0.9 * most or min(zeros[:3]) > 0.9 * most:
        return "utf-32-le" if zeros[3] > zeros[0] else "utf-32-be"
    return "utf-16-le" if zeros[1] + zeros[3] > zeros[0] + zeros[2] else "utf-16-be"


def _guess(data: bytes) -> str:
    """An East Asian encoding where the detector is sure of one, else the single-byte one whose words look right."""
    from charset_normalizer import from_bytes

    lines = [line for line in data[: 10 * _SAMPLE].splitlines() if not line.isascii()]
    sample = b"\n".join(lines)[:_SAMPLE] or data[:_SAMPLE]
    best = from_bytes(sample).best()
    east = best.encoding if best is not None and best.encoding in _MULTIBYTE else None
    single, strange = guess_single_byte(sample[:20_000])
    for encoding in ([east] if east and strange else []) + [single, "cp1252"]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != east or len(_HALF_WIDTH.findall(text[:_SAMPLE])) < 0.02 * len(text[:_SAMPLE]):
            return encoding
    return "latin_1"  # decodes anything


def _said(text: str, encoding: str, warning: str) -> list[str]:
    if warning != "guess":
        return [warning] if warning else []
    word = _FOREIGN.search(text[: 10 * _SAMPLE])
    such = f" (one of its words: {shown(_around(text, word.start()), 30)})" if word else ""
    return [
        f"The text is not UTF-8 and was read as {encoding}{such}: "
        "look at the names and classes, and save it as UTF-8 if they look wrong."
    ]


def _damage(text: str) -> list[str]:
    """What an earlier conversion has done to the text."""
    lost = text.count(_LOST)
    if lost:
        return [
            f"The text holds {lost:,} replacement signs ({_LOST}): letters were lost when it was saved; export it again as UTF-8."
        ]
    for match in islice(_TWICE.finditer(text[: 10 * _SAMPLE]), 100):
        word = _around(text, match.start())
        try:
            meant = word.encode("latin_1").decode("utf-8")
        except UnicodeError:
            continue
        return [
            f"Words such as {shown(word)} seem to be UTF-8 that was read as something else ({shown(meant)}?): export it again."
        ]
    return []


def _around(text: str, place: int) -> str:
    """The word around a place, thirty letters to either side at most."""
    before, after = text[max(0, place - 30) : place], text[place : place + 30]
    return re.split(r"[\s,;|\"]", before)[-1] + re.split(r"[\s,;|\"]", after)[0]
