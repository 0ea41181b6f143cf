"""Cells to numbers: decimal comma, thousands, percent, currency, units, infinities. Works on each different spelling once."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from mtl_core.data.limits import MAX_MAGNITUDE
from mtl_core.data.units import common_unit, without

_SHEET_ERRORS = frozenset(
    ("#value!", "#div/0!", "#ref!", "#name?", "#num!", "#null!", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan")
)
MISSING = _SHEET_ERRORS | frozenset(  # spellings of a missing value in any column, in small letters
    (
        *("", "na", "n/a", "n.a.", "n. a.", "n\\a", "#n/a", "#na", "<na>", "nan", "-nan", "nan(ind)", "-nan(ind)", "nat", "null"),
        *("(null)", "<null>", "[null]", "nil", "undefined", "(blank)", "\\n", "?", "-", "--", "---", "–", "—", "…", ".", ".."),
        *('""', "''"),
    )
)
MISSING_NUMBER = MISSING | {  # these may be classes elsewhere
    *("none", "missing", "unknown", "unk", "n.d.", "nd", "n/v", "k.a.", "not available", "not applicable", "no data", "no value"),
    *("blank", "empty", "tbd", "*", "**"),
}
_INFINITE = frozenset({"inf", "infinity", "+inf", "+infinity", "-inf", "-infinity", "1.#inf", "-1.#inf", "∞", "-∞", "+∞"})
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED = {  # digits in threes, or in India's threes and twos
    ".": re.compile(r"[+-]?(\d{1,3}([,' ])\d{3}(\2\d{3})*|\d{1,2}(,\d{2})+,\d{3})(\.\d+)?"),
    ",": re.compile(r"[+-]?(\d{1,3}([.' ])\d{3}(\2\d{3})*)(,\d+)?"),
}
_SIGN = r"\s?[%€$£]?"
_COMMA = re.compile(
    rf"[+-]?(\d*,(\d{{1,2}}|\d{{4,}})|\d*,\d+[eE][+-]?\d+|0,\d+|\d{{4,}},\d+|\d{{1,3}}((\.\d{{3}})+,\d+|(\.\d{{3}}){{2,}})){_SIGN}"
)
_POINT = re.compile(
    rf"[+-]?(\d*\.(\d{{1,2}}|\d{{4,}})|\d*\.\d+[eE][+-]?\d+|0\.\d+|\d{{4,}}\.\d+|\d{{1,3}}((,\d{{2,3}})+\.\d+|(,\d{{3}}){{2,}})){_SIGN}"
)
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_LOOSE_GROUP = re.compile(r"(?<=\d)[' ](?=\d{3}(?!\d))")  # blanks and apostrophes can only divide thousands
_CURRENCY = re.compile(r"(?:USD|EUR|GBP|CHF|[$€£¥₹])\s?|\s?(?:USD|EUR|GBP|CHF|[$€£¥₹])", re.IGNORECASE)
_BRACKETS = re.compile(r"\(([^()+-]+)\)")  # an accountant's negative number
_BEHIND = re.compile(r"\d[\d.,' ]*-")
_QUOTED = re.compile(r"=\"(.*)\"|'(.*?)'?")  # a number that a spreadsheet was made to keep as text
_FORTRAN = re.compile(r"([+-]?\d*\.\d+)[dD]([+-]?\d+)")
_SAMPLE = 1_000
_LONGEST = 100  # letters of a number; longer cells are none, and would take the patterns below long
_PLAIN_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u202f\u2009\u2007\u2002\u2003", " "),
        **dict.fromkeys("−\uff0d", "-"),
        **dict.fromkeys("’‘\u02bc", "'"),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        **{"\uff0e": ".", "\uff0c": ",", "\uff0b": "+", "\uff05": "%", "٪": "%"},
    }
)


@dataclass(frozen=True)
class Numbers:
    """What the different spellings of a column mean as numbers."""

    values: Float[np.ndarray, " spellings"]  # NaN where missing, not a number or infinite
    bad: Bool[np.ndarray, " spellings"]  # neither missing nor a number
    infinite: Bool[np.ndarray, " spellings"]
    percent: Bool[np.ndarray, " spellings"] | None = None  # which had a percent sign, where some had
    example: int | None = None  # first spelling from which signs were taken off
    currencies: tuple[str, ...] = ()
    unit: str | None = None


def decimal_evidence(spellings: list[str]) -> tuple[int, int, int]:
    """How many spellings can only be decimal commas, only be decimal points, or either a comma or a thousand."""
    texts = [_LOOSE_GROUP.sub("", text.translate(_PLAIN_SIGNS)) for text in spellings if len(text) <= _LONGEST]
    sure = sum(bool(_COMMA.fullmatch(text)) for text in texts)
    point = sum(bool(_POINT.fullmatch(text)) for text in texts)
    either = sum(bool(_EITHER.fullmatch(text)) for text in texts)
    return sure, point, either


def parse(spellings: Any, absent: Bool[np.ndarray, " spellings"], decimal: str) -> Numbers:
    """Numbers of an Arrow array of distinct, trimmed spellings; `absent` marks the missing ones."""
    fast = _fast(spellings, absent, decimal)
    if fast is not None:
        infinite = ~absent & ~(np.abs(fast) <= MAX_MAGNITUDE)
        return Numbers(np.where(infinite, np.nan, fast), np.zeros(len(fast), bool), infinite)
    sample = [text for text, gone in zip(spellings[:_SAMPLE].to_pylist(), absent[:_SAMPLE], strict=True) if not gone]
    if decimal == ",":
        comma, point, _ = decimal_evidence(sample)
        decimal = "." if point > comma else ","
    unit = common_unit(sample)
    bare = without(spellings, unit) if unit else spellings
    values = _fast(bare, absent, decimal) if unit else None
    if values is None:
        texts = bare.to_pylist()
        values = np.array(
            [np.nan if gone else _number(text, decimal) for text, gone in zip(texts, absent, strict=True)], dtype=float
        )
    bad = ~absent & np.isnan(values)
    infinite = ~absent & ~bad & ~(np.abs(values) <= MAX_MAGNITUDE)
    return _told(Numbers(np.where(infinite, np.nan, values), bad, infinite, unit=unit), spellings, absent, decimal)


def _told(numbers: Numbers, spellings: Any, absent: Bool[np.ndarray, " spellings"], decimal: str) -> Numbers:
    """With what was taken off the spellings to make numbers of them."""
    import pyarrow.compute as pc

    read = ~absent & ~numbers.bad
    percent = np.asarray(pc.match_substring(spellings, "%").to_numpy(zero_copy_only=False), dtype=bool) & read
    texts = [(i, spellings[int(i)].as_py()) for i in np.flatnonzero(read)[:_SAMPLE]]
    example = next((int(i) for i, text in texts if "%" not in text and not _is_plain(text, decimal)), None)
    found = {match.group().strip() for _, text in texts if (match := _CURRENCY.search(text))}
    return replace(numbers, percent=percent if percent.any() else None, example=example, currencies=tuple(sorted(found)))


def _is_plain(text: str, decimal: str) -> bool:
    return bool(_PLAIN.fullmatch(text.replace(",", ".") if decimal == "," else text)) or text.lower() in _INFINITE


def _fast(spellings: Any, absent: Bool[np.ndarray, " spellings"], decimal: str) -> Float[np.ndarray, " spellings"] | None:
    """Arrow's own cast, for columns of plain numbers only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    given = pc.if_else(pa.array(absent), None, spellings)
    if decimal == ",":
        if pc.any(pc.match_substring(given, ".")).as_py():
            return None
        given = pc.replace_substring(given, ",", ".")
    try:
        return np.asarray(pc.cast(given, pa.float64()).to_numpy(zero_copy_only=False), dtype=float)
    except pa.ArrowInvalid:
        return None


def _number(text: str, decimal: str) -> float:
    """NaN for what is not a number; infinities stay infinite."""
    if len(text) > _LONGEST:
        return np.nan
    if text.lower() in _INFINITE:
        return -np.inf if text.startswith("-") else np.inf
    text = _undressed(text.translate(_PLAIN_SIGNS).replace("٫", decimal).replace("٬", ""))
    if _GROUPED[decimal].fullmatch(text):
        text = re.sub(r"[.' ]" if decimal == "," else r"[,' ]", "", text)
    text = text.replace(",", ".") if decimal == "," else text
    if fortran := _FORTRAN.fullmatch(text):
        text = f"{fortran.group(1)}E{fortran.group(2)}"
    return float(text) if _PLAIN.fullmatch(text) else np.nan


def _undressed(text: str) -> str:
    """Without the signs that accountants and spreadsheets put around a number."""
    if quoted := _QUOTED.fullmatch(text):
        text = (quoted.group(1) or quoted.group(2) or "").strip()
    if not text[-1:].isdigit() or not text[:1].isdigit():
        text = _CURRENCY.sub("", text, count=1)
    text = text.removesuffix("%").strip()
    if brackets := _BRACKETS.fullmatch(text):
        return f"-{brackets.group(1).strip()}"
    return f"-{text[:-1]}" if _BEHIND.fullmatch(text) else text


def plain(text: str) -> float:
    """The number a text is, infinity for any other text: for sorting, and for -999 and -999.0 being one."""
    return float(text) if len(text) <= _LONGEST and _PLAIN.fullmatch(text) else np.inf
