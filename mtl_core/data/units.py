"""Numbers that carry their unit in the cell: `12.5 kg`, `80 km/h`, `36.6°C`, `~5`."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

_CELL = re.compile(r"[~≈]?\s?[+−-]?[\d.,'’ \u00a0\u202f]*\d(?:[eE][+-]?\d+)?\s*([^\d\s.,:;'()+-][^\d:;,]{0,14}[²³]?|\+)")
_MOSTLY = 0.8  # share of the different cells that must carry one and the same unit
_LONGEST = 60  # letters of a number with its unit
_MANY = 10  # up to so many different cells they may as well be categories


def common_unit(cells: list[str]) -> str | None:
    """The unit behind most of these different cells, if there is one (a percent or a currency sign is none)."""
    found = _units(cells)
    if len(cells) <= _MANY or not found:
        return None
    unit, times = found.most_common(1)[0]
    return unit if times >= _MOSTLY * len(cells) else None


def mixed_units(cells: list[str]) -> list[str]:
    """The units of a column where no single one is common, most frequent first; empty where most cells carry none."""
    found = _units(cells)
    if len(cells) <= _MANY or not 2 <= len(found) <= 5 or found.total() < _MOSTLY * len(cells):
        return []
    return [unit for unit, _ in found.most_common()]


def without(cells: Any, unit: str) -> Any:
    """An Arrow array of cells without a unit and without the sign for "about"."""
    import pyarrow.compute as pc

    bare = pc.replace_substring_regex(cells, rf"\s*{re.escape(unit)}$", "")
    return pc.replace_substring_regex(bare, r"^[~≈]\s?", "")


def _units(cells: list[str]) -> Counter[str]:
    matches = (_CELL.fullmatch(cell) for cell in cells if len(cell) <= _LONGEST)
    return Counter(match.group(1).strip() for match in matches if match and not match.group(1).strip().startswith(_NO_UNIT))


_NO_UNIT = ("%", "$", "€", "£", "¥", "₹", "USD", "EUR", "GBP", "CHF")
