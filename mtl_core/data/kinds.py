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
_CODE_NAME = re.compile(  # what whole numbers of many values name, and do not measure
    r"(.*[\W_])?(phone|telephone|tel|mobile|fax|zip|zipcode|zip[\W_]code|postcode|postal([\W_]code)?|plz|ssn|isbn|ean|gtin|imei|iban"
    r"|barcode|account([\W_](no|nr|number))?|(customer|patient|order|invoice|serial|ticket|card|case|user|member)[\W_](no|nr|num|number)"
    r"|customer|patient|subject|participant)",
    re.IGNORECASE,
)
_ROW_NAME = re.compile(
    r"(unnamed.*|column \d+|__index_level_\d+__|index|idx|rows?|row_?(id|num|number)|no\.?|nr\.?|#|key|record)", re.IGNORECASE
)
_ORDER_NAME = re.compile(r"rank|place|position|order|score|level|percentile|time|day|week|month|year|age|size", re.IGNORECASE)
_CLOCK_NAME = re.compile(
    r"(^|[\W_])(time|timestamp|datetime|date|ts|epoch|created|updated|unix|utc)($|[\W_])|[a-z](At|Time)$", re.IGNORECASE
)
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mär|mai|okt|dez)[a-zä]*"
_WEEKDAY = r"((mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +)?"
_TIME = r"\d{1,3}(:|h ?)\d{2}m?(:\d{2})?([.,]\d+)?(\s?[ap]\.?m\.?)?"
_DAY = (
    rf"(\d{{4}}[-/.]\d{{1,2}}([-/.]\d{{1,2}})?|\d{{1,2}}[-/. ]\d{{1,2}}[-/. ](\d{{4}}|\d{{2}})|\d{{1,2}}/\d{{4}}"
    rf"|\d{{1,2}}\.?[-/ ]?{_MONTH}[-/., ]*(\d{{4}}|\d{{2}})|{_MONTH} \d{{1,2}},? \d{{4}}|{_MONTH}[-/ .]*(\d{{4}}|\d{{2}})"
    r"|\d{4}-?w\d{2}(-?\d)?|\d{4}-\d{3}|\d{4}[-/ ]?q[1-4]|q[1-4][-/ ]?\d{4}|\d{4}年\d{1,2}月(\d{1,2}日)?|\d{8}t\d{4,6})"
)
_DURATION = (
    r"(p(\d+[ymwd])*t?(\d+([.,]\d+)?[hms])+|\d+ days?,? [\d:.]+|(\d+ ?(d|days?|h|hrs?|hours?|m|min|minutes?|s|sec) ?){2,})"
)
_DATE = rf"(?i)^({_WEEKDAY}{_DAY}([T ,:]+{_TIME})?|{_TIME}|{_DURATION})\s*(Z|UTC|GMT|[+-]\d{{2}}:?\d{{2}})?$"
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
    if every and np.ptp(finite) == values.size - 1 and (_ROW_NAME.fullmatch(name) or not _ORDER_NAME.search(name)):
        return "id", "it numbers the rows"
    if _has_id_name(name) and distinct > _MANY:
        return "id", "its name and its whole numbers say it is an id"
    if _CODE_NAME.fullmatch(name) and distinct > _MANY and distinct > 0.05 * finite.size:
        return "id", "its name and its whole numbers say that they are codes"
    dates = _dates(name, finite, distinct)
    return ("date", f"its numbers are {dates}; turn them into durations to use them") if dates else ("number", "")


def _dates(name: str, finite: Float[np.ndarray, " values"], distinct: int) -> str:
    """How whole numbers tell a date, empty where they do not; twenty that are all in the calendar are no chance."""
    low, high = finite.min(), finite.max()
    if distinct > 2 and low >= 19000101 and high <= 21001231 and _are_days(finite):
        return "dates (YYYYMMDD)"
    if distinct > 2 and low >= 19000101_000000 and high <= 21001231_235959 and _are_days(finite // 1_000_000):
        return "dates (YYYYMMDDhhmmss)"
    if distinct > 5 and low >= 190001 and high <= 210012 and np.all((finite % 100 >= 1) & (finite % 100 <= 12)):
        return "months (YYYYMM)"
    if distinct <= _MANY or not _CLOCK_NAME.search(name):
        return ""
    for unit, size in (("seconds", 1), ("milliseconds", 1_000), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000)):
        if low >= 1e8 * size and high <= 4e9 * size:
            return f"{unit} since 1970"
    is_serial = low >= 10_000 and high <= 80_000 and re.search("date", name, re.IGNORECASE) is not None
    return "a spreadsheet's days since 1900" if is_serial else ""


def text_reason(name: str, texts: Any, present: int) -> tuple[ColumnKind, str]:
    """(kind, why it is left out) for texts that are no categories; ("category", "") for the others.

    `texts` is an Arrow array of the different texts, `present` how many rows hold one of them.
    """
    sample = texts[:_SAMPLE]
    if _share(sample, _DATE) >= 0.9 and len(texts) > 2:
        return "date", "it holds dates or times; turn them into numbers (days since the first one, hour, month) to use them"
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

    if not len(texts) or _share(texts, r"^0\d{2,}$") < 0.02:
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
