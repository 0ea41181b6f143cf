"""Features that give a target away: one of them alone predicts it almost perfectly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from mtl_core.data.columns import Column
from mtl_core.data.names import shown
from mtl_core.data.targets import Target

_WORK = 4_000_000  # values looked at over all pairs of feature and target
_MOST_ROWS, _FEWEST_ROWS = 5_000, 500
_ALMOST = 0.999  # correlation, or share of the error that goes
_RARE = 5  # a class below this many rows is separated by chance


def find_leaks(features: Sequence[Column], targets: Sequence[Target]) -> list[str]:
    """A sentence for each feature that predicts a target almost perfectly."""
    if not features or not targets:
        return []
    most = int(np.clip(_WORK // (len(features) * len(targets)), _FEWEST_ROWS, _MOST_ROWS))
    sample = _sample(len(targets[0].labels), most)
    found = []
    for feature in features:
        given = [target.task.name for target in targets if gives_away(feature, target, sample)]
        if given:
            names = " and ".join(shown(name) for name in given)
            found.append(
                f"{shown(feature.name)} alone predicts {names} almost perfectly: ignore it unless it is known before the outcome."
            )
    return found


def copies(column: Column, targets: Sequence[Target]) -> bool:
    """Whether the column gives one of the targets away."""
    return any(gives_away(column, target, _sample(len(target.labels), _MOST_ROWS)) for target in targets)


def gives_away(feature: Column, target: Target, sample: Int[np.ndarray, " sample"]) -> bool:
    """Whether the feature predicts the target almost perfectly on the sampled rows."""
    labels = target.labels[sample]
    classes = bool(target.task.classes)
    if feature.numbers is not None and feature.kind == "number":
        values = feature.numbers[sample]
        both = np.isfinite(values) & np.isfinite(labels)
        values, labels = values[both], labels[both]
        if len(labels) < 20:
            return False
        return _separates(values, labels) if classes else _follows(values, labels)
    codes = feature.labels()[0][sample]
    both = (codes >= 0) & np.isfinite(labels)
    return int(both.sum()) >= 20 and _groups(codes[both], labels[both], classes=classes)


def _sample(rows: int, most: int) -> Int[np.ndarray, " sample"]:
    return np.sort(np.random.default_rng(0).choice(rows, min(rows, most), replace=False))


def _follows(values: Float[np.ndarray, " rows"], labels: Float[np.ndarray, " rows"]) -> bool:
    """A straight line or any rising or falling curve."""
    if np.ptp(values) == 0 or np.ptp(labels) == 0 or np.unique(labels).size < 3:
        return bool(np.ptp(values) and np.ptp(labels) and _separates(values, labels))
    return bool(
        _correlation(values, labels) > _ALMOST
        or (np.unique(values).size > 10 and _correlation(_ranks(values), _ranks(labels)) > _ALMOST)
    )


def _separates(values: Float[np.ndarray, " rows"], classes: Float[np.ndarray, " rows"]) -> bool:
    """Thresholds on the feature divide the classes: each class is one run of the sorted feature, up to 1 in 1,000 rows."""
    _, codes, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if len(counts) < 2 or np.sort(counts)[-2] < _RARE:
        return False
    few = np.unique(values)
    if len(few) <= min(50, len(values) // 5):
        return _groups(np.searchsorted(few, values), classes, classes=True)
    runs = codes[np.argsort(values, kind="stable")]
    changes = int((np.diff(runs) != 0).sum())
    return changes <= (len(counts) - 1) + 2 * (len(values) // 1000)


def _groups(codes: Int[np.ndarray, " rows"], labels: Float[np.ndarray, " rows"], *, classes: bool) -> bool:
    """Knowing the feature's group leaves almost nothing of the error: of the misses for classes, of the variance otherwise."""
    groups = np.unique(codes, return_inverse=True)[1]
    if groups.max() + 1 > len(codes) / 5:
        return False
    sizes = np.bincount(groups)
    if not classes:
        means = np.bincount(groups, labels) / sizes
        total = float(((labels - labels.mean()) ** 2).sum())
        return total > 0 and float(((labels - means[groups]) ** 2).sum()) < (1 - _ALMOST) * total
    _, member = np.unique(labels, return_inverse=True)
    table = np.zeros((groups.max() + 1, member.max() + 1))
    np.add.at(table, (groups, member), 1)
    missed = len(codes) - table.sum(0).max()
    return bool(missed >= _RARE and (len(codes) - table.max(1).sum()) <= 0.01 * missed)


def _correlation(a: Float[np.ndarray, " rows"], b: Float[np.ndarray, " rows"]) -> float:
    a, b = (a - a.mean()) / max(a.std(), 1e-300), (b - b.mean()) / max(b.std(), 1e-300)
    return abs(float((a * b).mean()))


def _ranks(values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Ranks, equal values sharing their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=float)
