"""From the bytes of a table to a problem: read, understand, choose targets, split, encode.

The story is `to_problem`; `inspect` tells its first half to a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from mtl_core.data import splits
from mtl_core.data.budget import budget
from mtl_core.data.columns import Column, understand
from mtl_core.data.encode import encode
from mtl_core.data.leaks import copies, find_leaks
from mtl_core.data.limits import MIN_ROWS
from mtl_core.data.names import clean, listed, shown
from mtl_core.data.proposal import propose
from mtl_core.data.raw import Recognised
from mtl_core.data.reading import read
from mtl_core.data.targets import Target, make_target
from mtl_core.errors import SpecError, TableError, unknown
from mtl_core.problem import TRAIN, Problem
from mtl_core.specs import DataSpec, TargetSpec

_MOST_WARNINGS = 40


@dataclass(frozen=True)
class FeatureInfo:
    """A column that is no target: how it is read, whether it is used, and why not."""

    name: str
    kind: str
    used: bool
    reason: str


@dataclass(frozen=True)
class TargetInfo:
    """A target: its kind, class names in code order, share of rows with a label."""

    name: str
    kind: str
    classes: tuple[str, ...]
    available: float


@dataclass(frozen=True)
class Understanding:
    """What is understood of a table, for a person to correct."""

    rows: int
    features: tuple[FeatureInfo, ...]
    targets: tuple[TargetInfo, ...]
    warnings: tuple[str, ...]
    recognised: Recognised

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `inspect --json` prints it."""
        return {
            "rows": self.rows,
            "features": [{**feature.__dict__} for feature in self.features],
            "targets": [{**target.__dict__, "classes": list(target.classes)} for target in self.targets],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class _Understood:
    rows: int
    columns: list[Column]
    features: list[FeatureInfo]
    targets: list[Target]
    warnings: list[str]
    recognised: Recognised

    def used(self) -> list[Column]:
        names = {feature.name for feature in self.features if feature.used}
        return [column for column in self.columns if column.name in names]


def inspect(data: bytes, name: str, spec: DataSpec | None = None) -> Understanding:
    """What is understood of a table, with the user's corrections in `spec`. Raises TableError, SpecError."""
    seen = _understood(data, name, spec or DataSpec(file=name))
    warnings = list(seen.warnings)
    if not seen.targets:
        warnings.append("No column looks like a target: say under targets what is to be predicted.")
    else:
        _, dropped = _labelled(seen.targets)
        warnings += dropped
    targets = tuple(TargetInfo(t.task.name, t.task.kind, t.task.classes, t.available) for t in seen.targets)
    return Understanding(seen.rows, tuple(seen.features), targets, tuple(warnings), seen.recognised)


def to_problem(data: bytes, name: str, spec: DataSpec) -> Problem:
    """The table as a problem that can be trained on. Raises TableError, SpecError."""
    seen = _understood(data, name, spec)
    if not seen.targets:
        raise TableError(f"{shown(name)}: no column looks like a target; say under targets what is to be predicted.")
    if not seen.used():
        raise TableError(f"{shown(name)}: no column is left as a feature; at least one besides the targets is needed.")
    keep, dropped = _labelled(seen.targets)
    split, split_warnings = _split(seen, keep, spec)
    columns = [_rows_of(column, keep) for column in seen.used()]
    encoded = encode(columns, split == TRAIN)
    return Problem(
        name=clean(Path(name).stem) or "table",
        features=encoded.features,
        targets={target.task.name: target.labels[keep][:, None] for target in seen.targets},
        tasks=tuple(target.task for target in seen.targets),
        split=split,
        feature_names=encoded.names,
        training=budget(int((split == TRAIN).sum()), len(encoded.names), len(seen.targets)),
        warnings=(*seen.warnings, *dropped, *split_warnings, *encoded.warnings),
    )


# --- understanding ---------------------------------------------------------------------------------------------------


def _understood(data: bytes, name: str, spec: DataSpec) -> _Understood:
    raw = read(data, name, header=spec.header)
    spec = _with_clean_names(spec, [column.name for column in raw.columns])
    columns = understand(raw, spec.missing, spec.columns)
    targets = _targets(columns, spec)
    roles = _roles(spec, [target.task.name for target in targets])
    features = [_feature(column, roles, spec) for column in columns if roles.get(column.name) != "target"]
    seen = _Understood(raw.rows, columns, features, targets, [], raw.recognised)
    warnings = [*raw.warnings, *_left_out(features)]
    warnings += [note for column in columns if column.name in roles or column.usable for note in column.notes]
    warnings += [note for target in targets for note in target.notes]
    warnings += find_leaks(seen.used(), targets)
    return replace(seen, warnings=_bounded(list(dict.fromkeys(warnings))))


def _bounded(warnings: list[str]) -> list[str]:
    more = len(warnings) - _MOST_WARNINGS
    return warnings if more <= 0 else [*warnings[:_MOST_WARNINGS], f"There are {more:,} more warnings of this sort."]


def _with_clean_names(spec: DataSpec, names: list[str]) -> DataSpec:
    """The spec with column names as the table has them now. Raises SpecError for one that does not exist."""

    def known(name: str, where: str) -> str:
        found = name if name in names else clean(name)
        if found not in names:
            raise SpecError(f"{where}: {unknown('column', name, names)}")
        return found

    update: dict[str, Any] = {
        "targets": None if spec.targets is None else {known(name, "targets"): one for name, one in spec.targets.items()},
        "ignore": tuple(known(name, "ignore") for name in spec.ignore),
        "columns": {known(name, "columns"): how for name, how in spec.columns.items()},
        "group": spec.group and known(spec.group, "group"),
        "split": spec.split and known(spec.split, "split"),
    }
    return spec.model_copy(update=update)


def _targets(columns: list[Column], spec: DataSpec) -> list[Target]:
    """The targets as said, or as proposed: then without those that cannot be one or that copy another."""
    by_name = {column.name: column for column in columns}
    if spec.targets:
        aside: dict[str | None, str] = dict.fromkeys(spec.ignore, "ignored")
        aside |= {spec.group: "the group", spec.split: "the split"}
        for name in spec.targets:
            if name in aside:
                raise SpecError(f"{shown(name)} cannot be a target and {aside[name]} at once: take it out of one of them.")
        return [make_target(by_name[name], said) for name, said in spec.targets.items()]
    aside_names = {*spec.ignore, *spec.columns, spec.group, spec.split}
    targets: list[Target] = []
    for name in propose([column for column in columns if column.name not in aside_names]):
        if copies(by_name[name], targets):
            continue
        try:
            targets.append(make_target(by_name[name], TargetSpec()))
        except TableError:
            continue
    return targets


def _roles(spec: DataSpec, targets: list[str]) -> dict[str, str]:
    """What columns are for, where they are no features."""
    roles = dict.fromkeys(spec.ignore, "ignore") | dict.fromkeys(targets, "target")
    for name, role in ((spec.group, "group"), (spec.split, "split")):
        if name is not None:
            roles[name] = role
    return roles


_ROLES = {
    "ignore": "ignored as asked",
    "group": "says which rows belong together",
    "split": "says which rows train, validate and test",
}


def _feature(column: Column, roles: Mapping[str, str], spec: DataSpec) -> FeatureInfo:
    role = roles.get(column.name)
    if role is not None:
        return FeatureInfo(column.name, column.kind, used=False, reason=_ROLES[role])
    if column.name in spec.columns and not column.usable:
        raise TableError(f"Column {shown(column.name)} cannot be read as a {spec.columns[column.name]}: {column.reason}.")
    return FeatureInfo(column.name, column.kind, column.usable, column.reason)


def _left_out(features: list[FeatureInfo]) -> list[str]:
    """One sentence a kind of column that is left out though nobody asked for it."""
    by_kind: dict[str, list[FeatureInfo]] = {}
    for feature in features:
        if not feature.used and feature.reason not in _ROLES.values():
            by_kind.setdefault(feature.kind, []).append(feature)
    sentences = []
    for alike in by_kind.values():
        reason = alike[0].reason if len({one.reason for one in alike}) == 1 else _TOGETHER[alike[0].kind]
        sentences.append(f"Left out {listed(one.name for one in alike)}: {reason}.")
    return sentences


_TOGETHER = {
    "constant": "they have the same value in every row",
    "empty": "they have no value and can be neither features nor targets",
    "date": "dates and times are left out",
    "id": "they look like ids",
    "text": "they are free text",
    "nested": "lists, structs, maps and binary values are left out",
}


# --- rows ------------------------------------------------------------------------------------------------------------


def _labelled(targets: list[Target]) -> tuple[Bool[np.ndarray, " rows"], list[str]]:
    """(rows with at least one label, a warning if others are dropped). Raises TableError if too few are left."""
    keep = np.isfinite(np.stack([target.labels for target in targets], axis=1)).any(axis=1)
    dropped = int((~keep).sum())
    if keep.sum() < MIN_ROWS:
        raise TableError(f"Only {int(keep.sum())} rows have a label for any target and at least {MIN_ROWS} are needed.")
    return keep, [f"{dropped:,} of {keep.size:,} rows have no label for any target and are dropped."] if dropped else []


def _split(seen: _Understood, keep: Bool[np.ndarray, " rows"], spec: DataSpec) -> tuple[Any, list[str]]:
    by_name = {column.name: column for column in seen.columns}
    labels = {target.task.name: target.labels[keep] for target in seen.targets}
    classes = {target.task.name: bool(target.task.classes) or target.task.kind == "binary" for target in seen.targets}
    groups = None if spec.group is None else _groups(by_name[spec.group])[keep]
    rows = splits.Rows(np.stack(list(labels.values()), axis=1), list(classes.values()), groups)
    if spec.split is None:
        split = splits.assign(rows, spec.split_seed)
        warnings: list[str] = []
    else:
        split, warnings = splits.from_column(_words(by_name[spec.split], keep), spec.split, rows, spec.split_seed)
    return split, warnings + splits.check(split, labels, classes)


def _groups(column: Column) -> Int[np.ndarray, " rows"]:
    """A number for each row's group; rows without one are groups of their own."""
    if column.numbers is None and column.codes is None:
        raise TableError(f"Group column {shown(column.name)} holds {column.kind} values: choose a column of words or numbers.")
    codes = column.labels()[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return codes


def _words(column: Column, keep: Bool[np.ndarray, " rows"]) -> list[str]:
    if column.numbers is None and column.codes is None:
        raise TableError(
            f"Split column {shown(column.name)} holds {column.kind} values: each row must say train, validation or test."
        )
    codes, names = column.labels()
    texts = np.array([*names, "nothing"], dtype=object)
    return list(texts[codes[keep]])


def _rows_of(column: Column, keep: Bool[np.ndarray, " rows"]) -> Column:
    numbers = None if column.numbers is None else column.numbers[keep]
    codes = None if column.codes is None else column.codes[keep]
    return replace(column, numbers=numbers, codes=codes)
