"""Columns whose names and values say that they are no features: which rows train and test, which rows belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mtl_core.data.columns import Column
from mtl_core.data.names import listed, shown
from mtl_core.data.splits import says_split

_SPLIT_NAME = re.compile(r"(.*[\W_])?(data[\W_]?)?(split|fold|set|partition|subset)", re.IGNORECASE)
_GROUP_NAME = re.compile(
    r"(patient|subject|participant|person|user|customer|client|member|group|site|hospital|school|household|family|animal"
    r"|engine|machine|device|sensor|station|session)s?([\W_]?(id|ids|no|nr|num|number|code|name))?",
    re.IGNORECASE,
)
_FEWEST = 3  # groups that can be dealt to training, validation and test


def seeming_splits(columns: Sequence[Column]) -> list[str]:
    """Names of the columns that say train, validation or test in every row."""
    return [
        column.name
        for column in columns
        if column.kind == "category" and _SPLIT_NAME.fullmatch(column.name) and says_split(column.labels()[1])
    ]


def split_hint(name: str) -> str:
    """What is said of a column that looks like a split and is not used as one."""
    return (
        f"{shown(name)} looks like a split into training and test rows and is not used as a feature: to follow it, say "
        f'split: {shown(name)} (on the Data page: use it as "split"); to have it as a feature, say '
        f"columns: {{{shown(name)}: category}}."
    )


def seeming_groups(columns: Sequence[Column]) -> list[str]:
    """Names of the columns that seem to say which rows belong together."""
    return [column.name for column in columns if _GROUP_NAME.fullmatch(column.name) and _recurs(column)]


def group_hints(columns: Sequence[Column]) -> list[str]:
    """A sentence on the columns that seem to say which rows belong together, if there are any."""
    found = seeming_groups(columns)
    if not found:
        return []
    verb = "says" if len(found) == 1 else "say"
    return [
        f"{listed(found)} perhaps {verb} which rows belong together: so that such rows do not stand in training and in test, "
        f'say group: {shown(found[0])} (on the Data page: use it as "group").'
    ]


def _recurs(column: Column) -> bool:
    """Whether names, or whole numbers, have several rows each."""
    if column.kind not in ("category", "id", "text", "number") or not _FEWEST <= column.distinct <= column.present / 2:
        return False
    numbers = column.numbers
    return numbers is None or bool(np.all(numbers[np.isfinite(numbers)] % 1 == 0))
