"""Rules that tell ids, dates, codes and free text from values one can learn from."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from mtl_core.data.limits import MIN_ROWS

ColumnKind = Literal["number", "category", "constant", "empty", "date", "id", "text", "nested"]
_ID_NAME = re.compile(r"(^|[\W_])(id|ids|uid|udi|uuid|guid)($|[\W_])", re.IGNORECASE)
_CAMEL_ID = re.compile(r"[a-z](Id|ID)$")
_ROW_NAME = re.compile(
    r"(unnamed.*|column \d+|__index_level_\d+__|index|idx|rows?|row_?(id|num|number)|no\.?|nr\.?|#|key|record)", re.IGNORECASE
)
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mär|mai|okt|dez)[a-zä]*"
_TIME = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(\s?[ap]m)?"
_DAY = (
    rf"(\d{{4}}[-/.]\d{{1,2}}([-/.]\d{{1,2}})?|\d{{1,2}}[-/. ]\d{{1,2}}[-/. ](\d{{4}}|\d{{2}})"
    rf"|\d{{1,2}}\.?[- ]?{_MONTH}[-., ]*(\d{{4}}|\d{{2}})|{_MONTH} \d{{1,2}},? \d{{4}})"
)
_DATE = rf"(?i)^({_DAY}([T ,]+{_TIME})?|{_TIME})\s*(Z|UTC|GMT|[+-]\d{{2}}:?\d{{2}})?$"
_HASH = r"(?i)^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32,64})$"
_MANY = 30  # different texts above which a column may hold ids or free text
_SAMPLE = 2_000


def number_reason(name: str, values: Float[np.ndarray, " rows"], distinct: int) -> tuple[ColumnKind, str]:
    """(kind, why it is left out) for numbers that only name or date their row; ("number", "") for the others."""
    finite = values[np.isfinite(values)]
    if finite.size < MIN_ROWS or not np.all(finite == np.round(finite)):
        return "number", ""
    every = distinct == values.size
    if every and (np.all(np.diff(values) == 1) or np.all(np.diff(values) == -1)):
        return "id", "it counts the rows"
    if every and (_ROW_NAME.fullmatch(name) and np.ptp(finite) == values.size - 1):
        return "id", "it numbers the rows"
    if _has_id_name(name) and distinct > _MANY:
        return "id", "its name and its whole numbers say it is an id"
    if (
        re.search(r"date|day", name, re.IGNORECASE)
        and finite.min() >= 19000101
        and finite.max() <= 21001231
        and _are_days(finite)
    ):
        return "date", "its numbers are dates (YYYYMMDD); turn them into durations to use them"
    return "number", ""


def text_reason(name: str, texts: Any, present: int) -> tuple[ColumnKind, str]:
    """(kind, why it is left out) for texts that are no categories; ("category", "") for the others.

    `texts` is an Arrow array of the different texts, `present` how many rows hold one of them.
    """
    sample = texts[:_SAMPLE]
    if _share(sample, _DATE) >= 0.9 and len(texts) > 2:
        return "date", "dates and times are left out; turn them into numbers to use them"
    distinct = len(texts)
    words, letters = _words_and_letters(sample)
    often = distinct > 0.5 * present
    if distinct > _MANY and often and words < 3 and letters <= 40:
        return "id", f"it has {distinct:,} different values in {present:,} rows, as an id has"
    if distinct > _MANY and (_share(sample, _HASH) > 0.9 or (_has_id_name(name) and words < 3)):
        return "id", f"its {distinct:,} different values look like ids"
    if distinct > _MANY and (often or words >= 5 or letters > 60):
        return "text", f"it is free text ({distinct:,} different texts in {present:,} rows)"
    return "category", ""


def is_code(texts: Any) -> bool:
    """Whether leading zeros and one length for all say that these digits are codes and not amounts (01234)."""
    import pyarrow.compute as pc

    if not len(texts) or _share(texts, r"^0\d{3,}$") < 0.02:
        return False
    shortest, longest = pc.min_max(pc.utf8_length(texts)).values()
    return bool(shortest == longest) and _share(texts, r"^\d+$") == 1.0


def _has_id_name(name: str) -> bool:
    return bool(_ID_NAME.search(name) or _CAMEL_ID.search(name))


def _are_days(values: Float[np.ndarray, " values"]) -> bool:
    months, days = values // 100 % 100, values % 100
    return bool(np.all((months >= 1) & (months <= 12) & (days >= 1) & (days <= 31)))


def _share(texts: Any, pattern: str) -> float:
    import pyarrow.compute as pc

    return float(pc.mean(pc.match_substring_regex(texts, pattern)).as_py() or 0.0)


def _words_and_letters(texts: Any) -> tuple[float, float]:
    import pyarrow.compute as pc

    words = pc.mean(pc.count_substring_regex(texts, r"\S+")).as_py() or 0.0
    return float(words), float(pc.mean(pc.utf8_length(texts)).as_py() or 0.0)
