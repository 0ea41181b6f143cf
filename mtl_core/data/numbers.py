"""Cells to numbers: decimal comma, thousands, percent, currency, infinities. Works on each different spelling once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from mtl_core.data.limits import MAX_MAGNITUDE

_SHEET_ERRORS = frozenset(
    ("#value!", "#div/0!", "#ref!", "#name?", "#num!", "#null!", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan")
)
MISSING = _SHEET_ERRORS | frozenset(  # spellings of a missing value in any column, in small letters
    (
        "",
        "na",
        "n/a",
        "n.a.",
        "#n/a",
        "#na",
        "<na>",
        "nan",
        "-nan",
        "nat",
        "null",
        "(null)",
        "nil",
        "\\n",
        "?",
        "-",
        "--",
        "---",
        ".",
        "..",
    )
)
MISSING_NUMBER = MISSING | {"none", "missing", "unknown", "n.d.", "nd", "not available"}  # these may be classes elsewhere
_INFINITE = frozenset({"inf", "infinity", "+inf", "+infinity", "-inf", "-infinity", "1.#inf", "-1.#inf", "∞", "-∞", "+∞"})
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED = {
    ".": re.compile(r"[+-]?\d{1,3}([,'’ ])\d{3}(\1\d{3})*(\.\d+)?"),
    ",": re.compile(r"[+-]?\d{1,3}([.'’ ])\d{3}(\1\d{3})*(,\d+)?"),
}
_COMMA = re.compile(
    r"[+-]?(\d*,(\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+|\d{1,3}((\.\d{3})+,\d+|(\.\d{3}){2,}))([eE][+-]?\d+)?\s?[%€$£]?"
)
_POINT = re.compile(
    r"[+-]?(\d*\.(\d{1,2}|\d{4,})|0\.\d+|\d{4,}\.\d+|\d{1,3}((,\d{3})+\.\d+|(,\d{3}){2,}))([eE][+-]?\d+)?\s?[%€$£]?"
)
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_CURRENCY = re.compile(r"(?:USD|EUR|GBP|[$€£¥])\s?|\s?(?:USD|EUR|GBP|[$€£¥])", re.IGNORECASE)


@dataclass(frozen=True)
class Numbers:
    """What the different spellings of a column mean as numbers."""

    values: Float[np.ndarray, " spellings"]  # NaN where missing, not a number or infinite
    bad: Bool[np.ndarray, " spellings"]  # neither missing nor a number
    infinite: Bool[np.ndarray, " spellings"]
    percent: bool = False
    dressed: bool = False  # currency signs or thousands separators were taken off


def decimal_evidence(spellings: list[str]) -> tuple[int, int, int]:
    """How many spellings can only be decimal commas, only be decimal points, or either a comma or a thousand."""
    sure = sum(bool(_COMMA.fullmatch(text)) for text in spellings)
    point = sum(bool(_POINT.fullmatch(text)) for text in spellings)
    either = sum(bool(_EITHER.fullmatch(text)) for text in spellings)
    return sure, point, either


def parse(spellings: Any, absent: Bool[np.ndarray, " spellings"], decimal: str) -> Numbers:
    """Numbers of an Arrow array of distinct, trimmed spellings; `absent` marks the missing ones."""
    fast = _fast(spellings, absent, decimal)
    if fast is not None:
        infinite = ~absent & ~(np.abs(fast) <= MAX_MAGNITUDE)
        return Numbers(np.where(infinite, np.nan, fast), np.zeros(len(fast), bool), infinite)
    texts = spellings.to_pylist()
    if decimal == ",":
        comma, point, _ = decimal_evidence(texts[:1000])
        decimal = "." if point > comma else ","
    values = np.array([np.nan if gone else _number(text, decimal) for text, gone in zip(texts, absent, strict=True)], dtype=float)
    bad = ~absent & np.isnan(values)
    infinite = ~absent & ~bad & ~(np.abs(values) <= MAX_MAGNITUDE)
    read = [text for text, ok in zip(texts, ~absent & ~bad, strict=True) if ok]
    return Numbers(
        values=np.where(infinite, np.nan, values),
        bad=bad,
        infinite=infinite,
        percent=any("%" in text for text in read),
        dressed=any(_CURRENCY.search(text) or _GROUPED[decimal].fullmatch(text) for text in read),
    )


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
    if text.lower() in _INFINITE:
        return -np.inf if text.startswith("-") else np.inf
    text = text.replace("−", "-").replace("\u00a0", " ").replace("\u202f", " ")
    text = _CURRENCY.sub("", text, count=1) if not text[-1:].isdigit() or not text[:1].isdigit() else text
    text = text.removesuffix("%").strip()
    if _GROUPED[decimal].fullmatch(text):
        text = re.sub(r"[.'’ ]" if decimal == "," else r"[,'’ ]", "", text)
    text = text.replace(",", ".") if decimal == "," else text
    return float(text) if _PLAIN.fullmatch(text) else np.nan


def plain(text: str) -> float:
    """The number a text is, infinity for any other text: for sorting, and for -999 and -999.0 being one."""
    return float(text) if _PLAIN.fullmatch(text) else np.inf


def spike(values: Float[np.ndarray, " rows"]) -> tuple[float, int] | None:
    """(value, times) of a repeated lowest or highest value that lies far away from all others: perhaps a missing value."""
    finite = values[np.isfinite(values)]
    for end in (finite.min(), finite.max()) if finite.size else ():
        times = int((finite == end).sum())
        rest = finite[finite != end]
        if times < max(3, 0.005 * finite.size) or np.unique(rest).size < 10:
            continue
        gap, spread = float(np.abs(rest - end).min()), float(np.ptp(rest))
        usual = set(str(abs(int(end)))) in ({"9"}, {"8"}, {"7"}) and float(end).is_integer()
        if gap > (0.5 if usual else 2.0) * spread:
            return float(end), times
    return None
