"""Numbers that perhaps stand for a missing value: -999, 9999, 99, -1 and the like."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_CODES = frozenset(  # what people and programs write for "no value"
    [sign * digit * (10**length - 1) // 9 for sign in (1, -1) for digit in (7, 8, 9) for length in range(2, 8)]
    + [-1, -9, -8, -7, 9, 2**31 - 1, -(2**31), 2**15 - 1, -(2**15), 10**9, 10**10]
    + [-998, -997, -9998, -9997, 998, 997, 9998, 9997]
)
_EVER = 0.02  # share of all values a code must make up to be seen among values that hardly ever repeat
_ENDS = 3  # codes looked for at either end


def suspects(values: Float[np.ndarray, " rows"]) -> tuple[list[float], int]:
    """(the values that perhaps stand for missing, how many cells hold them); empty where none looks like it."""
    finite = values[np.isfinite(values)]
    distinct, counts = np.unique(finite, return_counts=True)
    if len(distinct) < 3:
        return [], 0
    for found in (_apart(distinct, counts, finite.size), _repeated(distinct, counts, finite.size)):
        if found.any():
            return [float(value) for value in distinct[found]], int(counts[found].sum())
    return [], 0


def _apart(distinct: Float[np.ndarray, " n"], counts: np.ndarray, rows: int) -> np.ndarray:
    """Marks up to three repeated values at one end that lie far away from all others."""
    marks = np.zeros(len(distinct), bool)
    for end in (distinct, -distinct[::-1]):
        times = counts if end is distinct else counts[::-1]
        for few in range(1, min(_ENDS, len(end) - 2) + 1):
            rest = end[few:]
            gap, spread = float(rest[0] - end[few - 1]), float(rest[-1] - rest[0])
            usual = all(int(value) in _CODES and float(value).is_integer() for value in (end if end is distinct else -end)[:few])
            below_zero = end is distinct and usual and rest[0] >= 0
            far = gap > 2.0 * spread or (usual and gap > 0.5 * spread and len(rest) >= 10) or (below_zero and len(rest) >= 5)
            enough = usual or len(rest) >= 10
            if far and enough and times[:few].min() >= 2 and times[:few].sum() >= max(3, 0.005 * rows):
                marks[slice(0, few) if end is distinct else slice(len(end) - few, None)] = True
                return marks
    return marks


def _repeated(distinct: Float[np.ndarray, " n"], counts: np.ndarray, rows: int) -> np.ndarray:
    """Marks a usual code that appears again and again among values that hardly ever do."""
    marks = np.zeros(len(distinct), bool)
    often = counts >= max(5, _EVER * rows)
    if not often.any() or often.sum() > 2:
        return marks
    usual = np.array([float(value).is_integer() and int(value) in _CODES for value in distinct[often]])
    rest = counts[~often]
    if usual.all() and rest.size >= 10 and rest.max() * 5 <= counts[often].min() and not _whole(distinct[~often]):
        marks[often] = True
    return marks


def _whole(values: Float[np.ndarray, " n"]) -> bool:
    return bool(np.all(values == np.round(values)))
