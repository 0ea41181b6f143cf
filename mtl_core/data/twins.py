"""Rows that are judged on although their twin was trained on: what a model does there is remembering.

exact   all encoded features equal those of a training row
near    a few training rows lie so much nearer than all others that rows spread evenly would do so once in 100,000 times, and
        differ by less than a twentieth of a standard deviation a feature (root mean square)

The odds come from the ratio of neighbouring distances: around a point of rows spread evenly in D dimensions the distance to the
k + 1st row is more than r times that to the kth with probability r^(-k D). D is estimated from the rows themselves (Levina and
Bickel, 2004), so that rows on a line or a curve are not taken for copies. Near twins are looked for among a sample
of rows, and only where at least three features have many different values: elsewhere rows are near by coincidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt64

from mtl_core.data.associations import SINGLE
from mtl_core.data.names import shown
from mtl_core.problem import SPLITS, TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from mtl_core.problem import Problem

MOST_FEATURES = 1_000  # beyond, only exact twins are looked for
_LOOKED = 500  # rows of a split whose neighbours are looked for
_PAIRS_AT_ONCE = 5_000_000  # of a row and a training row: bounds memory
_MEASURED = 2_000  # training rows from which scales and numbers of values are taken
_CEILING = 0.05  # standard deviations a feature
_NEIGHBOURS = 20
_TRIED = 50  # rows by which the dimension is estimated
_UNLIKELY = -math.log(1e-5)
_SPREAD_OUT = 2.3  # dimensions below which rows crowd along a line or surface
_MANY = 50  # different values of a feature that is not coded
_SAME = 0.05  # standard deviations by which two labels may differ and still agree
_PAIRS = 20  # twins of one row whose labels are compared
_WORTH, _WORTH_EXACT = 0.02, 0.01  # share of rows with twins that is worth a warning
_CHANCE = 0.02  # expected exact twins a row above which features are coded too coarsely to tell rows apart


class TwinCount(NamedTuple):
    """Rows of one split with a twin in training."""

    split: str
    rows: int
    exact: int
    near: int  # of the `looked` rows
    looked: int  # rows without an exact twin whose neighbours were looked for
    agree: float  # share of pairs whose labels agree wherever both rows have one; NaN without such pairs

    @property
    def share(self) -> float:
        """Share of rows with a twin of either sort, estimated where a sample was looked at."""
        near = self.near / self.looked * (self.rows - self.exact) if self.looked else 0
        return (self.exact + near) / max(self.rows, 1)

    @property
    def words(self) -> str:
        """How many of the split's rows have a twin."""
        parts = [f"{self.exact:,} equal"] if self.exact else []
        if 0 < self.looked < self.rows - self.exact and self.near:
            parts.append(f"{self.near:,} nearly equal of {self.looked:,} looked at")
            return f"about {100 * self.share:.2g} % of {self.rows:,} {self.split} rows ({', '.join(parts)})"
        parts += [f"{self.near:,} nearly equal"] if self.near else []
        return f"{self.exact + self.near:,} of {self.rows:,} {self.split} rows ({', '.join(parts)})"


@dataclass(frozen=True)
class Twins:
    """What was found in validation and test, and what was not looked for."""

    splits: tuple[TwinCount, ...]
    coarse: bool = False  # features of so few different values that equal rows are to be expected
    note: str = ""

    @property
    def sentence(self) -> str:
        """What was found, for a person."""
        found = [one for one in self.splits if one.exact + one.near]
        if not self.splits:
            return self.note
        if not found:
            text = "No validation or test row was found to have a twin among the training rows."
        else:
            where = " and ".join(one.words for one in found)
            found_how = {"the same": any(one.exact for one in found), "nearly the same": any(one.near for one in found)}
            like = " or ".join(words for words, is_so in found_how.items() if is_so)  # near ones are not always looked for
            text = f"A training row has {like} features as {where}{_agreement(found)}."
        why = " The features take so few different values that this is to be expected." if self.coarse and found else ""
        return f"{text}{why} {self.note}".rstrip()

    def warnings(self, group: str | None = None, split: str | None = None) -> list[str]:
        """One sentence where twins are too many to be overlooked, with what to do about the group or split column in use."""
        many = (one.share >= _WORTH or one.exact >= _WORTH_EXACT * one.rows for one in self.splits if one.exact + one.near > 1)
        if self.coarse or not any(many):
            return []
        advice = "use as group a column that says which rows belong together, or take repeated rows out"
        if split is not None:
            advice = f"mark rows that belong together as one split in {shown(split)}, or take repeated rows out"
        elif group is not None:
            advice = f"the group {shown(group)} does not keep them together; choose another, or take repeated rows out"
        return [f"{self.sentence} A model can remember such rows instead of predicting them: {advice}."]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        parts = [{**one._asdict(), "agree": None if math.isnan(one.agree) else round(one.agree, 4)} for one in self.splits]
        return {"splits": parts, "coarse": self.coarse, "sentence": self.sentence}


def find_twins(problem: Problem) -> Twins:
    """Twins of validation and test rows among the training rows, by encoded features."""
    if not problem.features.size:
        return Twins((), note="There are no features by which rows could be twins.")
    training = np.flatnonzero(problem.split == TRAIN)
    space, note = _space(problem.features, training)
    keys = row_keys(problem.features)
    tie = next(iter(problem.targets.values()))[training, 0]
    training = training[np.lexsort((tie, keys[training]))]  # equal rows in an order that is not the table's
    found = []
    for split in (VALIDATION, TEST):
        rows = np.flatnonzero(problem.split == split)
        low = np.searchsorted(keys[training], keys[rows])
        high = np.searchsorted(keys[training], keys[rows], side="right")
        exact = high > low
        count = np.minimum(high - low, _PAIRS)
        steps = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        pairs = np.stack([np.repeat(rows, count), training[np.repeat(low, count) + steps]])
        alone = _sampled(rows[~exact]) if space is not None else rows[:0]
        near = _near(space, alone) if space is not None and alone.size else pairs[:, :0]
        agree = _agree(problem, np.concatenate([pairs, near], axis=1))
        found.append(TwinCount(SPLITS[split], len(rows), int(exact.sum()), near.shape[1], len(alone), agree))
    return Twins(tuple(found), _coarse(problem.features[training]), note)


def row_keys(features: Float[np.ndarray, "rows features"]) -> UInt64[np.ndarray, " rows"]:
    """A 64-bit number for each row, equal for equal rows; others share one once in 10^19 pairs (mixed as in splitmix64)."""
    keys = np.zeros(len(features), np.uint64)
    for place in range(features.shape[1]):
        bits = (features[:, place].astype(np.float64) + 0.0).view(np.uint64)  # -0.0 is 0.0
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27)) ^ keys) * np.uint64(0x94D049BB133111EB)
        keys = bits ^ (bits >> np.uint64(31))
    return keys


# --- near ------------------------------------------------------------------------------------------------------------


class _Space(NamedTuple):
    """Where distances are taken: features in units of their spread, and which rows are trained on."""

    features: Float[np.ndarray, "rows features"]  # as they are
    middle: Float[np.ndarray, " features"]
    spread: Float[np.ndarray, " features"]
    training: Int[np.ndarray, " training"]

    def at(self, rows: Int[np.ndarray, "*some"]) -> Float[np.ndarray, "*some features"]:
        """Rows in units of their spread; of all at once there is no copy."""
        return np.asarray((self.features[rows] - self.middle) / self.spread)


def _space(features: Float[np.ndarray, "rows features"], training: Int[np.ndarray, " training"]) -> tuple[_Space | None, str]:
    """(where distances are taken, "") or (None, why there is no such thing)."""
    if features.shape[1] > MOST_FEATURES:
        return None, f"Nearly equal rows were not looked for: there are {features.shape[1]:,} features."
    some = features[training[:: len(training) // _MEASURED + 1]]
    varied = sum(np.unique(column).size > min(_MANY, len(some) // 4) for column in some.T)
    if varied < 3 or len(training) < 3 * _NEIGHBOURS:
        why = "fewer than three features have many different values" if varied < 3 else "there are too few training rows"
        return None, f"Nearly equal rows were not looked for: {why}."
    low, middle, high = np.quantile(some, [0.05, 0.5, 0.95], axis=0)
    spread = np.where(high > low, (high - low) / 3.29, some.std(axis=0))  # of a normal distribution; outliers do not count
    return _Space(features, middle, np.where(spread > 0, spread, 1.0), training), ""


def _sampled(rows: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " sample"]:
    return np.random.default_rng(0).choice(rows, min(len(rows), _LOOKED), replace=False) if rows.size else rows


def _near(space: _Space, rows: Int[np.ndarray, " looked"]) -> Int[np.ndarray, "2 pairs"]:
    """(row, its nearest training row) for each row with near twins; none where rows lie on a line or a surface."""
    others = space.at(space.training).astype(np.float32)
    block = max(1, _PAIRS_AT_ONCE // len(others))
    squares, ceiling = (others**2).sum(axis=1), _CEILING * math.sqrt(others.shape[1])
    found, dimension = [np.zeros((2, 0), np.int64)], math.nan
    for at in range(0, len(rows), block):
        mine = space.at(rows[at : at + block]).astype(np.float32)
        own, between = (mine**2).sum(axis=1), squares - 2 * mine @ others.T
        seen = between.min(axis=1) + own <= 2 * ceiling**2 + 1e-5 * own  # with room for the rounding of float32
        if math.isnan(dimension):
            dimension = _dimension(_neighbours(space, rows[: len(between)][:_TRIED], between[:_TRIED])[1], others.shape[1])
            if dimension < _SPREAD_OUT:
                break
        near, logs = _neighbours(space, rows[at : at + block][seen], between[seen])
        odds = np.arange(1, _NEIGHBOURS + 1) * dimension * np.diff(logs, axis=1)
        stands_out = ((logs[:, :-1] <= math.log(ceiling)) & (odds >= _UNLIKELY)).any(axis=1)
        found.append(np.stack([rows[at : at + block][seen], near])[:, stands_out])
    return np.concatenate(found, axis=1)


def _neighbours(
    space: _Space, rows: Int[np.ndarray, " block"], between: Float[np.ndarray, "block training"]
) -> tuple[Int[np.ndarray, " block"], Float[np.ndarray, "block neighbours"]]:
    """(nearest training row, logarithms of the distances to the nearest ones, ascending); chosen by `between`."""
    chosen = space.training[np.argpartition(between, _NEIGHBOURS, axis=1)[:, : _NEIGHBOURS + 1]]
    distances = np.sqrt(((space.at(chosen) - space.at(rows)[:, None]) ** 2).sum(axis=2))
    return chosen[np.arange(len(rows)), distances.argmin(axis=1)], np.log(np.maximum(np.sort(distances, axis=1), 1e-12))


def _dimension(logs: Float[np.ndarray, "block neighbours"], most: int) -> float:
    """Median over rows of the likeliest dimension, by neighbours beyond small groups of twins."""
    local = 1 / np.maximum((logs[:, -1:] - logs[:, 4:-1]).mean(axis=1), 1e-3)
    return float(np.clip(np.median(local), 1, most))


# --- what twins mean -------------------------------------------------------------------------------------------------


def _agree(problem: Problem, pairs: Int[np.ndarray, "2 pairs"]) -> float:
    """Share of pairs whose labels agree for every task that both rows have a label of."""
    agreed, compared = np.ones(pairs.shape[1], bool), np.zeros(pairs.shape[1], bool)
    for task in (task for task in problem.tasks if task.kind in SINGLE):
        labels = problem.targets[task.name]
        apart = np.abs(labels[pairs[0]] - labels[pairs[1]])
        allowed = np.zeros(labels.shape[1])
        if task.kind not in ("binary", "multiclass"):
            known = np.isfinite(labels)
            mean = np.where(known, labels, 0.0).sum(0) / np.maximum(known.sum(0), 1)
            allowed = _SAME * np.sqrt((np.where(known, labels - mean, 0.0) ** 2).sum(0) / np.maximum(known.sum(0), 1))
        both = np.isfinite(apart)
        agreed &= (~both | (apart <= allowed)).all(axis=1)
        compared |= both.any(axis=1)
    return float(agreed[compared].mean()) if compared.any() else math.nan


def _agreement(found: list[TwinCount]) -> str:
    known = [one for one in found if not math.isnan(one.agree)]
    if not known:
        return ""
    share = float(np.average([one.agree for one in known], weights=[one.exact + one.near for one in known]))
    return f"; the labels agree in {100 * share:.0f} % of these pairs"


def _coarse(training: Float[np.ndarray, "training features"]) -> bool:
    """Whether a row would have equals in training if the features had nothing to do with each other."""
    some = training[:: len(training) // _MEASURED + 1]
    sizes = (np.unique(column, return_counts=True)[1] for column in some.T[:MOST_FEATURES])
    alike = sum(math.log(float(((counts / len(some)) ** 2).sum())) for counts in sizes)
    return len(training) * math.exp(alike) >= _CHANCE
