"""How strongly each feature goes with each target, one pair at a time: a first look, not what a model will find.

    number, number      Pearson's correlation in original units, -1 to 1; Spearman's beside it
    number, classes     correlation ratio: square root of the share of the number's variance that lies between classes, 0 to 1
    classes, classes    Cramér's V, 0 to 1
    vector targets      root mean square of Pearson's correlations with their elements, 0 to 1

The ratio and V are corrected for the number of classes (Kelley 1935, epsilon squared; Bergsma 2013): uncorrected ones call
every column of many values related. Only rows with both a value and a label count, and all splits together: this is
for looking at, nothing is fitted by it. Where either side does not vary, there is no value (NaN).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from mtl_core.data.columns import Column
    from mtl_core.data.targets import Target
    from mtl_core.problem import Problem

_WORK = 8_000_000  # values looked at over all pairs
_MOST_ROWS, _FEWEST_ROWS = 10_000, 1_000  # more change the second digit only
SINGLE = ("regression", "multi_output", "binary", "multiclass", "count")  # kinds without places of their own
MOST_FEATURES = 1_000  # beyond, features are not looked at one by one
_FEWEST = 3  # pairs of values


class Variable(NamedTuple):
    """A feature or target: numbers, or codes of classes, NaN where missing; vectors have more than one column."""

    name: str
    values: Float[np.ndarray, "rows width"]
    classes: bool = False


@dataclass(frozen=True)
class Associations:
    """A table of features by targets, with what to know of it."""

    features: tuple[str, ...]
    targets: tuple[str, ...]
    values: Float[np.ndarray, "features targets"]
    ranked: Float[np.ndarray, "features targets"]  # Spearman's, NaN where either is classes or a vector
    measures: tuple[tuple[str, ...], ...]  # by feature and target
    note: str

    def strongest(self, most: int) -> list[int]:
        """Places of the features with the highest value for any target, the strongest first."""
        highest = np.nan_to_num(np.abs(self.values), nan=-1.0).max(axis=1, initial=-1.0)
        return [int(place) for place in np.argsort(-highest, kind="stable")[:most]]

    def to_dict(self) -> dict[str, Any]:
        """Plain data: one entry a pair; null where there is no value."""
        pairs = [
            {
                "feature": feature,
                "target": target,
                "measure": self.measures[i][j],
                "value": _finite(self.values[i, j]),
                "spearman": _finite(self.ranked[i, j]),
            }
            for i, feature in enumerate(self.features)
            for j, target in enumerate(self.targets)
        ]
        return {"note": self.note, "pairs": pairs}


def of_table(features: Sequence[Column], targets: Sequence[Target]) -> Associations:
    """Of a table's columns as they are, before categories become several numbers."""
    many, rows = len(features), len(targets[0].labels) if targets else 0
    features = features if many <= MOST_FEATURES else ()
    sample = _sample(rows, len(features) * len(targets))
    labels = [Variable(t.task.name, t.labels[sample][:, None], bool(t.task.classes)) for t in targets]
    return _table([_column(column, sample) for column in features], labels, rows, _why_not_looked_at(many))


def of_problem(problem: Problem) -> Associations:
    """Of a problem's features, all of them numbers; not of the points of images and signals, nor with maps."""
    rows, many = problem.features.shape
    tasks = [task for task in problem.tasks if task.kind in SINGLE]
    why_not = _why_not_looked_at(many, problem.input_shape, has_single=bool(tasks))
    taken = range(0 if why_not else many)
    sample = _sample(rows, len(taken) * sum(task.width for task in tasks))
    features = [Variable(problem.feature_names[j], problem.features[sample, j : j + 1]) for j in taken]
    labels = [Variable(task.name, problem.targets[task.name][sample], task.kind in ("binary", "multiclass")) for task in tasks]
    return _table(features, labels, rows, why_not)


def association(feature: Variable, target: Variable) -> float:
    """The measure that fits the pair; NaN where it is not defined."""
    if target.values.shape[1] > 1:
        parts = [association(feature, Variable("", column[:, None])) for column in target.values.T]
        return float(np.sqrt(np.mean(np.square(parts))))
    x, y = feature.values[:, 0], target.values[:, 0]
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < _FEWEST:
        return np.nan
    if feature.classes and target.classes:
        return cramers_v(x, y)
    if feature.classes or target.classes:
        return correlation_ratio(x, y) if feature.classes else correlation_ratio(y, x)
    return pearson(x, y)


def pearson(x: Float[np.ndarray, " rows"], y: Float[np.ndarray, " rows"]) -> float:
    """Pearson's correlation; NaN where either does not vary."""
    x, y = _unit(x), _unit(y)
    return float(np.clip(x @ y, -1, 1))


def correlation_ratio(classes: Float[np.ndarray, " rows"], numbers: Float[np.ndarray, " rows"]) -> float:
    """Square root of epsilon squared, `1 - (1 - eta^2) (n - 1) / (n - classes)`, 0 where it is negative."""
    levels, member, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    numbers, rows = _unit(numbers), len(numbers)
    if len(levels) < 2 or len(levels) >= rows:
        return np.nan
    between = float((np.bincount(member, numbers) ** 2 / sizes).sum())  # of a total of 1
    return float(np.sqrt(np.clip(1 - (1 - between) * (rows - 1) / (rows - len(levels)), 0, 1)))


def cramers_v(a: Float[np.ndarray, " rows"], b: Float[np.ndarray, " rows"]) -> float:
    """Cramér's V with Bergsma's correction."""
    first, member_a, sizes_a = np.unique(a, return_inverse=True, return_counts=True)
    second, member_b, sizes_b = np.unique(b, return_inverse=True, return_counts=True)
    if len(first) < 2 or len(second) < 2:
        return np.nan
    pairs, counts = np.unique(member_a * len(second) + member_b, return_counts=True)
    expected = sizes_a[pairs // len(second)] * sizes_b[pairs % len(second)] / len(a)
    phi2 = float((counts**2 / expected).sum()) / len(a) - 1
    loss = [(len(levels) - 1) ** 2 / (len(a) - 1) for levels in (first, second)]
    room = min(len(first) - loss[0], len(second) - loss[1]) - 1
    if room <= 0:
        return np.nan
    return float(np.sqrt(np.clip((phi2 - (len(first) - 1) * (len(second) - 1) / (len(a) - 1)) / room, 0, 1)))


def _unit(values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Centred and of length 1; NaN where the values do not vary beyond rounding."""
    centred = values - values.mean()
    size = float(np.sqrt((centred**2).sum()))
    steady = size <= 1e-12 * float(np.abs(values).max(initial=0.0)) * np.sqrt(len(values))
    return np.asarray(centred / (np.nan if steady or size == 0 else size))


def ranks(values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Ranks from 1, equal values sharing their mean; nothing may be missing."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=float)


# --- the table -------------------------------------------------------------------------------------------------------


def _table(features: Sequence[Variable], targets: Sequence[Variable], rows: int, why_not: str) -> Associations:
    shape = (len(features), len(targets))
    values = np.array([[association(f, t) for t in targets] for f in features]).reshape(shape)
    measures = tuple(tuple(_measure(f, t) for t in targets) for f in features)
    return Associations(
        tuple(f.name for f in features),
        tuple(t.name for t in targets),
        values,
        _spearman(features, targets).reshape(shape),
        measures,
        why_not or _note(len(targets[0].values) if targets else 0, rows),
    )


def _spearman(features: Sequence[Variable], targets: Sequence[Variable]) -> Float[np.ndarray, "features targets"]:
    """Pearson's correlation of ranks, which are taken once for a column where nothing is missing."""
    whole = [_whole_ranks(target) for target in targets]
    found = np.full((len(features), len(targets)), np.nan)
    for i, feature in enumerate(features):
        mine = _whole_ranks(feature)
        for j, target in enumerate(targets):
            if _measure(feature, target) != "pearson":
                continue
            theirs = whole[j]
            if mine is not None and theirs is not None:
                found[i, j] = pearson(mine, theirs)
                continue
            x, y = feature.values[:, 0], target.values[:, 0]
            both = np.isfinite(x) & np.isfinite(y)
            found[i, j] = pearson(ranks(x[both]), ranks(y[both])) if both.sum() >= _FEWEST else np.nan
    return found


def _whole_ranks(variable: Variable) -> Float[np.ndarray, " rows"] | None:
    values = variable.values
    plain = values.shape[1] == 1 and not variable.classes and len(values) >= _FEWEST and np.isfinite(values).all()
    return ranks(values[:, 0]) if plain else None


def _measure(feature: Variable, target: Variable) -> str:
    if target.values.shape[1] > 1:
        return "rms pearson"
    if feature.classes and target.classes:
        return "cramers v"
    return "correlation ratio" if feature.classes or target.classes else "pearson"


def _column(column: Column, rows: Int[np.ndarray, " sample"]) -> Variable:
    if column.kind == "number":
        assert column.numbers is not None
        return Variable(column.name, column.numbers[rows][:, None])
    codes = (column.labels()[0] if column.codes is None else column.codes)[rows]
    return Variable(column.name, np.where(codes < 0, np.nan, codes)[:, None], classes=True)


def _sample(rows: int, pairs: int) -> Int[np.ndarray, " sample"]:
    most = int(np.clip(_WORK // max(pairs, 1), _FEWEST_ROWS, _MOST_ROWS))
    return np.sort(np.random.default_rng(0).choice(rows, min(rows, most), replace=False))


def _why_not_looked_at(many: int, shape: tuple[int, ...] = (), *, has_single: bool = True) -> str:
    """Why no feature is compared with a target, in a sentence; empty where all are."""
    if shape:
        points = "pixels of images" if len(shape) == 3 else "measurements of a sequence"
        return f"Not looked at: the {many:,} features are {points}, and single ones are not compared with targets."
    if not has_single:
        return "Not looked at: maps and functions are not compared with single features."
    if many > MOST_FEATURES:
        return (
            f"Not looked at: there are {many:,} features, and only up to {MOST_FEATURES:,} are compared one by one with targets."
        )
    return ""


def _note(looked: int, rows: int) -> str:
    return f"On {looked:,} of {rows:,} rows, drawn at random." if looked < rows else ""


def _finite(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
