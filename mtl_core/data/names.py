"""Column names: cleaned, filled in and made distinct, so that everything downstream can rely on them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from mtl_core.data.limits import MAX_NAME

_UNSEEN = re.compile(  # marks that reorder the text around them or cannot be seen, and a terminal's colours
    "[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\u00ad]|\x1b\\[[0-9;?]*[A-Za-z]"
)
_SPACE = re.compile(r"\s+")


def clean(name: str) -> str:
    """A name on one line, without control, direction and invisible marks, of at most `MAX_NAME` letters."""
    text = _UNSEEN.sub("", unicodedata.normalize("NFC", name))
    text = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text)
    text = _SPACE.sub(" ", text).strip()
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def shown(name: str, length: int = 50) -> str:
    """A name in quotes as it stands in a sentence: on one line, long ones shortened."""
    text = clean(name)
    return f'"{text}"' if len(text) <= length else f'"{text[: length - 1]}…"'


def listed(names: Iterable[str], most: int = 5) -> str:
    """`"a", "b" and 3 more`."""
    every = [shown(name) for name in names]
    if len(every) > most:
        return f"{', '.join(every[:most])} and {len(every) - most} more"
    return ", ".join(every[:-1]) + (" and " if len(every) > 1 else "") + every[-1] if every else ""


def settle(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """(distinct, non-empty names in order; a sentence for each sort of change)."""
    cleaned = [clean(name) for name in names]
    blank = [i for i, name in enumerate(cleaned) if not name]
    altered = [one for one, name in zip(cleaned, names, strict=True) if one and one != name.strip()]
    for i in blank:
        cleaned[i] = f"column {i + 1}"
    distinct, renamed = _distinct(cleaned)
    warnings = []
    if blank:
        warnings.append(f"{_columns(len(blank))} without a name: called {listed(distinct[i] for i in blank)}.")
    if renamed:
        warnings.append(f"Some names appear more than once; the later ones are now called {listed(renamed)}.")
    if altered:
        warnings.append(
            f"Line breaks, control marks or overlong text were taken out of {_names(len(altered))}: {listed(altered, 3)}."
        )
    return distinct, warnings


def tidy(values: Sequence[str]) -> tuple[str, ...]:
    """Class names as plain, distinct text on one line."""
    return tuple(_distinct([clean(value) or "(blank)" for value in values])[0])


def _distinct(names: list[str]) -> tuple[list[str], list[str]]:
    taken, distinct, renamed = set(names), [], []
    seen: set[str] = set()
    last: dict[str, int] = {}
    for name in names:
        new = name
        while new in seen:
            last[name] = last.get(name, 0) + 1
            candidate = f"{name}.{last[name]}"
            new = candidate if candidate not in taken else name
        if new != name:
            renamed.append(new)
        seen.add(new)
        distinct.append(new)
    return distinct, renamed


def _columns(count: int) -> str:
    return "One column came" if count == 1 else f"{count} columns came"


def _names(count: int) -> str:
    return "one column name" if count == 1 else f"{count} column names"
