"""Which rows train, validate and test.

Rows are put in order of the rarest thing about them (a rare class, a missing label, a part of a target's range) and
dealt along that order like cards, so that every such group is shared out in proportion. A row is counted by its
rarest label first, as in iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011), which works for many
targets at once and cannot fail on a class with one member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from mtl_core.data.names import listed, shown
from mtl_core.errors import TableError
from mtl_core.problem import SPLITS, TEST, TRAIN, VALIDATION

_DEAL = (TRAIN, VALIDATION, TRAIN, TEST, TRAIN)  # 0.6, 0.2, 0.2
_HOLD_OUT = (TRAIN, TRAIN, TRAIN, VALIDATION, TRAIN, TRAIN)  # a sixth of the training rows, where none validate
_RARE = (TRAIN, TEST, VALIDATION, TRAIN)  # for labels of so few rows that they cannot be shared out in proportion
_RARE_HOLD_OUT = (TRAIN, VALIDATION, TRAIN, TRAIN, TRAIN)
_MANY_GROUPS = 50
_BINS = 4
_UNEVEN = 0.1  # a share this far from its own is said
_SPELLINGS = {
    **dict.fromkeys(("train", "training", "tr", "fit", "learn"), TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "validate", "dev", "development", "eval", "evaluation"), VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "hold-out", "hold_out"), TEST),
}


class Rows(NamedTuple):
    """What a split is made by: labels (NaN: missing), which targets are classes, and perhaps the group of each row."""

    labels: Float[np.ndarray, "rows targets"]
    classes: Sequence[bool]
    groups: Int[np.ndarray, " rows"] | None = None

    def only(self, keep: Bool[np.ndarray, " rows"]) -> Rows:
        """The rows marked by `keep`."""
        return Rows(self.labels[keep], self.classes, None if self.groups is None else self.groups[keep])


def assign(rows: Rows, seed: int) -> Int8[np.ndarray, " rows"]:
    """0 train, 1 validation, 2 test for each row, 0.6 : 0.2 : 0.2. Raises TableError for fewer than three groups."""
    return _deal(rows, _DEAL, _RARE, np.random.default_rng(seed))


def from_column(values: Sequence[str], name: str, rows: Rows, seed: int) -> tuple[Int8[np.ndarray, " rows"], list[str]]:
    """(split of each row as a column says it, warnings); without validation rows a sixth of the training rows is taken."""
    words = [value.strip().lower() for value in values]
    unknown = sorted({value for value, word in zip(values, words, strict=True) if word not in _SPELLINGS})
    if unknown:
        raise TableError(f"Split column {shown(name)} holds {listed(unknown, 3)}: each row must say train, validation or test.")
    split = np.array([_SPELLINGS[word] for word in words], dtype=np.int8)
    for needed in (TRAIN, TEST):
        if not (split == needed).any():
            raise TableError(
                f"Split column {shown(name)} marks no row as {SPLITS[needed]}: mark some, or leave the split column out."
            )
    warnings = _shared_groups(split, rows.groups)
    if not (split == VALIDATION).any():
        training = split == TRAIN
        split[training] = _deal(rows.only(training), _HOLD_OUT, _RARE_HOLD_OUT, np.random.default_rng(seed))
        taken = int((split == VALIDATION).sum())
        warnings.append(
            f"Split column {shown(name)} marks no validation rows: {taken:,} of the {int(training.sum()):,} "
            "training rows were taken."
        )
    return split, warnings


def says_split(values: Sequence[str]) -> bool:
    """Whether values are at least two, and nothing but words for training, validation and test rows."""
    return len(values) > 1 and all(value.strip().lower() in _SPELLINGS for value in values)


def check(
    split: Int8[np.ndarray, " rows"], labels: Mapping[str, Float[np.ndarray, " rows"]], classes: Mapping[str, int]
) -> list[str]:
    """Warnings for targets that a split lacks. Raises TableError for a split without rows and a target never trained."""
    for part, word in enumerate(SPLITS):
        if not (split == part).any():
            raise TableError(f"No row is left for the {word} split: {_why_empty(labels, classes)}.")
    warnings = []
    for name, values in labels.items():
        seen = [np.unique(values[(split == part) & np.isfinite(values)]) for part in range(3)]
        if not seen[TRAIN].size:
            raise TableError(
                f"Target {shown(name)} has no label in the training split: choose another split column, or leave the target out."
            )
        lacking = [SPLITS[part] for part in (VALIDATION, TEST) if not seen[part].size]
        if lacking:
            warnings.append(
                f"Target {shown(name)} has no label in the {' and '.join(lacking)} split and cannot be measured there."
            )
        elif classes[name] and seen[TRAIN].size < 2:
            warnings.append(f"Target {shown(name)} has one class only in the training split.")
    return warnings


def uneven(split: Int8[np.ndarray, " rows"]) -> list[str]:
    """A warning for a split far from 0.6 : 0.2 : 0.2, which rare labels and large groups can make."""
    counts = np.bincount(split, minlength=3)
    if np.abs(counts / len(split) - np.bincount(_DEAL) / len(_DEAL)).max() <= _UNEVEN:
        return []
    train, validation, test = (f"{count:,}" for count in counts)
    return [
        f"{train} rows train, {validation} validate and {test} test: "
        "rare labels or large groups keep the split from 60, 20 and 20 %."
    ]


def _why_empty(labels: Mapping[str, Float[np.ndarray, " rows"]], classes: Mapping[str, int]) -> str:
    for name, values in labels.items():
        sizes = np.unique(values[np.isfinite(values)], return_counts=True)[1]
        rare = int((sizes < len(SPLITS)).sum())
        if classes[name] and rare > len(sizes) / 2:
            return (
                f"{rare} of the {len(sizes)} classes of {shown(name)} have fewer than three rows; "
                "merge rare classes, or choose another target"
            )
    return "more rows with labels are needed"


def _deal(rows: Rows, pattern: Sequence[int], rare: Sequence[int], rng: np.random.Generator) -> Int8[np.ndarray, " rows"]:
    ranks = _ranks(rows)
    if rows.groups is not None:
        return _deal_groups(ranks[:, 0], rows.groups, np.bincount(pattern) / len(pattern), rng)
    order = np.lexsort((rng.random(len(ranks)), *ranks.T[::-1]))
    split = np.empty(len(ranks), np.int8)
    sizes = np.bincount(ranks[:, 0])
    small = sizes[ranks[order, 0]] <= len(rare)
    usual = order[~small]
    start = int(rng.integers(len(pattern)))
    split[usual] = np.array(pattern)[np.arange(start, start + len(usual)) % len(pattern)]
    first = np.concatenate([[0], np.cumsum(sizes)])[ranks[order, 0]]  # where a row's group begins in the order
    place = np.arange(len(order)) - first
    split[order[small]] = np.take(rare, place[small])
    return split


def _ranks(rows: Rows) -> Int[np.ndarray, "rows targets"]:
    """For each row its labels as ranks, 0 for the rarest of all labels, the rarest of the row first."""
    codes = np.empty(rows.labels.shape, np.int64)
    used = 0
    for j, classes in enumerate(rows.classes):
        values = rows.labels[:, j]
        known = np.isfinite(values)
        if not classes and known.any():
            edges = np.quantile(values[known], np.arange(1, _BINS) / _BINS)
            values = np.where(known, np.searchsorted(edges, values), np.nan)
        codes[:, j] = np.where(known, np.nan_to_num(values), -1) + used + 1
        used = int(codes[:, j].max()) + 1
    counts = np.bincount(codes.ravel(), minlength=used)
    rank = np.empty(used, np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(used)
    return np.sort(rank[codes], axis=1)


def _deal_groups(
    rarest: Int[np.ndarray, " rows"],
    groups: Int[np.ndarray, " rows"],
    shares: Float[np.ndarray, " splits"],
    rng: np.random.Generator,
) -> Int8[np.ndarray, " rows"]:
    """Whole groups, large ones first, each to the split that lacks most rows; many groups in order of their rarest label."""
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < len(shares):
        raise TableError(
            f"The group column has {len(sizes)} groups and at least {len(shares)} are needed: choose another one or leave it out."
        )
    label = np.full(len(sizes), np.iinfo(np.int64).max)
    if len(sizes) >= _MANY_GROUPS:
        np.minimum.at(label, member, rarest)
    order = np.lexsort((rng.random(len(sizes)), -sizes, label))
    have, part = np.zeros(len(shares)), np.empty(len(sizes), np.int8)
    for place, group in enumerate(order):
        lacks = shares * (have.sum() + sizes[group]) - have
        if len(order) - place <= (have == 0).sum():  # as many groups as splits without any
            lacks[have > 0] = -np.inf
        part[group] = int(np.argmax(lacks))
        have[part[group]] += sizes[group]
    return part[member]


def _shared_groups(split: Int8[np.ndarray, " rows"], groups: Int[np.ndarray, " rows"] | None) -> list[str]:
    if groups is None:
        return []
    pairs = np.unique(np.stack([groups, split.astype(groups.dtype)]), axis=1)
    shared = int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())
    return [f"The split column puts rows of {shared:,} groups into more than one split."] if shared else []
