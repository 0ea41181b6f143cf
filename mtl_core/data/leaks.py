"""Features that give a target away: one of them alone predicts it almost perfectly.

    value     a copy, scaled, rounded, noisy or bent, or codes of the classes
    steps     the target cut into ranges: each value of the feature is one range of it
    group     a feature of many values, each with one label: it says which rows belong together
    missing   where the feature has gaps, and only there, the label is another

"Almost" leaves 1 % of a target's variance, or 2 % of what guessing the most frequent class gets wrong: a copy with noise
of a tenth of its spread, or one class label in a hundred changed, is still found. A feature of as many values as rows
explains everything, so every row is judged by the other rows with its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from mtl_core.data.associations import pearson, ranks
from mtl_core.data.columns import Column
from mtl_core.data.limits import FEW_LEVELS
from mtl_core.data.names import shown
from mtl_core.data.targets import Target

How = Literal["value", "steps", "group", "missing"]

_WORK = 4_000_000  # values looked at over all pairs of feature and target
_MOST_ROWS, _FEWEST_ROWS = 4_000, 500
_PAIRED = 20  # rows that must have both a value and a label
_CORRELATED = 0.995  # its square: the variance that is left is 1 %
_LOOK, _HOPELESS = 400, 0.9  # so few rows tell first what cannot be a leak
_MISSED = 0.02  # of what guessing the most frequent class gets wrong
_LEFT = 0.01  # of the variance
_RARE = 5  # a class below this many rows is separated by chance


class Leak(NamedTuple):
    """A feature that gives targets away, and how."""

    feature: str
    targets: tuple[str, ...]
    how: How
    levels: int  # different values of the feature

    @property
    def sentence(self) -> str:
        """What is to be said of it, with a next step."""
        feature, names = shown(self.feature), " and ".join(shown(name) for name in self.targets)
        if self.how == "group":
            return (
                f"Almost every one of the {self.levels:,} values of {feature} has a single label of {names}: "
                "use it as group if it says which rows belong together, else ignore it."
            )
        if self.how == "missing":
            return (
                f"Where {feature} is missing alone gives {names} away almost perfectly: "
                "ignore it unless its gaps are known before the outcome."
            )
        if self.how == "steps":
            return (
                f"Each value of {feature} is one range of {names}, as if it had been cut into steps: "
                "ignore it unless it is known before the outcome."
            )
        return f"{feature} alone predicts {names} almost perfectly: ignore it unless it is known before the outcome."


def find_leaks(features: Sequence[Column], targets: Sequence[Target]) -> list[Leak]:
    """Every feature that gives targets away, by the way in which it does; a copy is told as that alone."""
    if not features or not targets:
        return []
    most = int(np.clip(_WORK // (len(features) * len(targets)), _FEWEST_ROWS, _MOST_ROWS))
    sample = _sample(len(targets[0].labels), most)
    found = []
    for feature in features:
        ways: dict[How, list[str]] = {}
        for target in targets:
            how = gives_away(feature, target, sample)
            if how is not None:
                ways.setdefault(how, []).append(target.task.name)
        if "value" in ways:
            ways = {"value": ways["value"]}
        found += [Leak(feature.name, tuple(names), how, feature.distinct) for how, names in ways.items()]
    return found


def copies(column: Column, targets: Sequence[Target]) -> bool:
    """Whether the column alone predicts one of the targets, so that it had better not be another target."""
    return any(gives_away(column, target, _sample(len(target.labels), _MOST_ROWS)) == "value" for target in targets)


def gives_away(feature: Column, target: Target, sample: Int[np.ndarray, " sample"]) -> How | None:
    """How the feature gives the target away on the sampled rows (groups: on all rows), or None."""
    labels, classes = target.labels[sample], bool(target.task.classes)
    known = _known(feature)[sample]
    values = _values(feature, sample)
    both = known & np.isfinite(labels)
    if both.sum() >= _PAIRED:
        x, y = values[both], labels[both]
        if feature.kind == "number" and (stepwise(x, y) if classes else follows(x, y)):
            return "value"
        few = not classes and feature.distinct <= len(y) / 10
        if few and stepwise(y, x, exactly=np.unique(x).size == 2):  # two halves of a target are often a cause of it
            return "steps"
        grouped = feature.distinct <= len(target.labels) / 2 and (
            one_label_each(x, y, classes=classes)
            if feature.distinct <= len(y) / 10
            else _grouped(feature, target, 2 * len(sample))
        )
        if grouped:
            return "value" if feature.distinct <= FEW_LEVELS else "group"
    seen = np.isfinite(labels)
    gaps = ~known[seen]
    if _PAIRED <= gaps.sum() <= gaps.size - _PAIRED and one_label_each(gaps.astype(float), labels[seen], classes=classes):
        return "missing"
    return None


def _sample(rows: int, most: int) -> Int[np.ndarray, " sample"]:
    return np.sort(np.random.default_rng(0).choice(rows, min(rows, most), replace=False))


def _known(feature: Column) -> Bool[np.ndarray, " rows"]:
    if feature.kind == "number":
        assert feature.numbers is not None
        return np.asarray(np.isfinite(feature.numbers))
    return np.asarray(_codes(feature) >= 0)


def _values(feature: Column, sample: Int[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
    if feature.kind == "number":
        assert feature.numbers is not None
        return np.asarray(feature.numbers[sample])
    return np.asarray(_codes(feature)[sample], dtype=float)


def _codes(feature: Column) -> Int[np.ndarray, " rows"]:
    """A number for each different value, -1 where there is none; spellings are told apart, which costs no sorting."""
    codes: Int[np.ndarray, " rows"] = feature.labels()[0] if feature.codes is None else feature.codes
    return codes


def _grouped(feature: Column, target: Target, most: int) -> bool:
    """The same for groups of which a sample of rows would leave most rows alone: whole groups are drawn."""
    codes, rows = _codes(feature), len(target.labels)
    both = (codes >= 0) & np.isfinite(target.labels)
    if rows > most:
        both &= (np.random.default_rng(0).random(int(codes.max(initial=0)) + 1) < most / rows)[codes]
    return bool(both.sum() >= _PAIRED) and one_label_each(codes[both], target.labels[both], classes=bool(target.task.classes))


# --- two columns, neither with gaps ---------------------------------------------------------------------------------


def follows(values: Float[np.ndarray, " rows"], labels: Float[np.ndarray, " rows"]) -> bool:
    """A straight line or any rising or falling curve; a line that rests on the few farthest labels does not count."""
    if np.ptp(values) == 0 or np.ptp(labels) == 0:
        return False
    if np.unique(labels).size < 3:
        return stepwise(values, labels)
    few = slice(None, None, len(labels) // _LOOK + 1)
    if not max(_correlated(values, labels), _correlated(ranks(values[few]), ranks(labels[few]))) >= _HOPELESS:
        return False
    if np.unique(values).size > 10 and _correlated(ranks(values), ranks(labels)) > _CORRELATED:
        return True
    far = np.abs(labels - np.median(labels))
    inner = far <= np.quantile(far, 0.99)
    return _correlated(values, labels) > _CORRELATED and _correlated(values[inner], labels[inner]) > _CORRELATED


def stepwise(along: Float[np.ndarray, " rows"], codes: Float[np.ndarray, " rows"], *, exactly: bool = False) -> bool:
    """Whether the codes are ranges of `along`: in its order each code is one run, up to a few rows (`exactly`: none)."""
    levels, member, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if not 2 <= len(levels) <= len(codes) / 10:
        return False
    missed = len(codes) - counts.max()
    if missed < _RARE:
        return False
    order = np.argsort(along, kind="stable")
    winners, apart = member[order], 0
    if not np.diff(along[order]).all():  # equal values
        winners, most, _ = _majorities(np.unique(along, return_inverse=True)[1], member)
        apart = len(codes) - int(most.sum())  # rows that share their value with more rows of another code
    misplaced = (int((np.diff(winners) != 0).sum()) - (len(levels) - 1)) / 2
    return apart + max(misplaced, 0) <= (0 if exactly else _MISSED * missed)


def one_label_each(groups: Float[np.ndarray, " rows"], labels: Float[np.ndarray, " rows"], *, classes: bool) -> bool:
    """Whether the other rows of a row's group tell its label almost perfectly; rows alone in their group do not count."""
    group = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(group)
    shared = sizes[group] > 1
    if shared.sum() < max(_PAIRED, len(labels) / 2) or (sizes > 1).sum() < 2:
        return False
    group, labels = group[shared], labels[shared]
    size = sizes[group]
    if not classes:
        means = np.bincount(group, labels, len(sizes)) / sizes
        total = float(((labels - labels.mean()) ** 2).sum())
        return total > 0 and float((((labels - means[group]) * size / (size - 1)) ** 2).sum()) <= _LEFT * total
    _, member, counts = np.unique(labels, return_inverse=True, return_counts=True)
    missed = len(labels) - counts.max()
    winners, most, clear = _majorities(group, member)
    told = (member == winners[group]) & (most[group] > 1) & clear[group]
    return bool(missed >= _RARE and (~told).sum() <= _MISSED * missed)


def _majorities(
    groups: Int[np.ndarray, " rows"], codes: Int[np.ndarray, " rows"]
) -> tuple[Int[np.ndarray, " groups"], Int[np.ndarray, " groups"], Bool[np.ndarray, " groups"]]:
    """(most frequent code of each group, how often it is there, whether no other is there as often); the lowest of equals."""
    span, count = int(codes.max()) + 1, int(groups.max()) + 1
    pairs, alike = np.unique(groups * span + codes, return_counts=True)
    group, code = np.divmod(pairs, span)
    winners, most, clear = np.zeros(count, int), np.zeros(count, int), np.zeros(count, bool)
    order = np.lexsort((-code, alike, group))  # the last of each group is its most frequent
    group, code, alike = group[order], code[order], alike[order]
    last = np.append(np.diff(group) != 0, [True])
    winners[group[last]], most[group[last]] = code[last], alike[last]
    before = np.append([0], alike[:-1]) * np.append([False], np.diff(group) == 0)  # of the second most frequent
    clear[group[last]] = before[last] < alike[last]
    return winners, most, clear


def _correlated(a: Float[np.ndarray, " rows"], b: Float[np.ndarray, " rows"]) -> float:
    return abs(pearson(a, b))
