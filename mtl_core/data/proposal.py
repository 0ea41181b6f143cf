"""Which columns are probably the targets, when nobody says: by name, else by what stands at the end of the table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from mtl_core.data.columns import Column
from mtl_core.data.limits import MAX_CLASSES, MAX_PROPOSED, MIN_LABELS
from mtl_core.data.names import shown

_TARGET_WORD = re.compile(r"targets?|labels?|outcomes?|responses?|y\d*|ground ?truth")
_WORDS = re.compile(r"[A-Z]?[a-zäöüß]+|[A-Z]+(?![a-z])|\d+")
_PER_CLASS = 5  # rows a class must have on average to be proposed
_NUMBERED = re.compile(r"(.*?)[\s_.-]*\d+")


def propose(columns: Sequence[Column]) -> list[str]:
    """Names of the likely targets, in the table's order; empty where there is none."""
    able = [column for column in columns if can_be_target(column)]
    named = [column.name for column in able if _is_named_target(column)]
    if named and len(named) <= max(1, len(able) // 2):
        return named[:MAX_PROPOSED]
    if why_none(columns):
        return []
    behind = _behind_the_numbered(columns)
    if behind:
        return behind
    return _alike_at_the_end(able)


def can_be_target(column: Column) -> bool:
    """Numbers that differ, or a handful of classes."""
    if column.present < MIN_LABELS or column.distinct < 2 or not column.usable:
        return False
    return column.kind == "number" or column.distinct <= min(MAX_CLASSES, max(2, column.present // _PER_CLASS))


def why_none(columns: Sequence[Column]) -> str:
    """Why the columns that are named like targets can be none, where not one of them can; empty otherwise."""
    named = [column for column in columns if _is_named_target(column)]
    if not named or len(named) > max(1, len(columns) // 2) or any(can_be_target(column) for column in named):
        return ""
    return " ".join(f"{shown(column.name)} is named like a target but cannot be one: {_why_not(column)}." for column in named[:3])


def _why_not(column: Column) -> str:
    if column.reason:
        return column.reason
    if column.present < MIN_LABELS:
        return f"it has {column.present} labels and at least {MIN_LABELS} are needed"
    if column.distinct < 2:
        return "it has a single value, its other cells count as missing"
    advice = "merge rare ones, or mark it as target and choose its kind (data.targets)"
    return f"it has {column.distinct:,} classes in {column.present:,} rows; {advice}"


def _is_named_target(column: Column) -> bool:
    return any(_TARGET_WORD.fullmatch(word) for word in _words(column.name))


def _behind_the_numbered(columns: Sequence[Column]) -> list[str]:
    """What stands behind a family of numbered features (x1, x2, x3, ..., price, kind)."""
    usable = [column for column in columns if column.usable or column.kind in ("constant", "empty")]
    stems = [match.group(1).lower() if (match := _NUMBERED.fullmatch(column.name)) else None for column in usable]
    family, size = (
        Counter(stem for stem in stems if stem is not None).most_common(1)[0] if any(s is not None for s in stems) else ("", 0)
    )
    if size < 3 or size == len(usable):
        return []
    last = max(i for i, stem in enumerate(stems) if stem == family)
    behind = [column.name for column in usable[last + 1 :] if can_be_target(column)]
    return behind if len(behind) <= MAX_PROPOSED else []


def _alike_at_the_end(able: Sequence[Column]) -> list[str]:
    """The last column and those before it that look like its siblings; at least two where there are four or more."""
    if len(able) < 2:
        return [column.name for column in able[-1:]]
    chosen = [able[-1]]
    for column in reversed(able[:-1]):
        if len(chosen) >= min(MAX_PROPOSED, max(1, len(able) // 2)) or not any(_siblings(column, other) for other in chosen):
            break
        chosen.insert(0, column)
    if len(chosen) == 1 and len(able) >= 4:
        chosen.insert(0, able[-2])
    return [column.name for column in chosen]


def _siblings(a: Column, b: Column) -> bool:
    shared = {word for word in _words(a.name) & _words(b.name) if len(word) > 1}
    return bool(shared) or (a.distinct == 2 == b.distinct and a.kind == b.kind)


def _words(name: str) -> set[str]:
    """Small words of a name, split at signs, capitals and digits; a letter keeps the digits behind it (y1, G3)."""
    loose = {word.lower() for word in re.findall(r"[^\W_]+", name)}
    return loose | {word.lower() for word in _WORDS.findall(name) if not word.isdigit()}
