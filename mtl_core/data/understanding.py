"""What is understood of a table: the kind of each column, what it is used for, the targets, and what to warn of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtl_core.data.columns import Column, understand
from mtl_core.data.hints import group_hints, seeming_groups, seeming_splits, split_hint
from mtl_core.data.leaks import copies, find_leaks
from mtl_core.data.names import clean, listed, shown
from mtl_core.data.proposal import propose, why_none
from mtl_core.data.raw import Recognised
from mtl_core.data.reading import read
from mtl_core.data.repeats import repeated_columns
from mtl_core.data.targets import Target, make_target
from mtl_core.errors import SpecError, TableError, unknown
from mtl_core.specs import DataSpec, TargetSpec

_MOST_WARNINGS = 40
_SMALLEST = 1e-150


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
class Understood:
    """The same with the columns and labels themselves, for the way on to a problem."""

    rows: int
    columns: list[Column]
    features: list[FeatureInfo]
    targets: list[Target]
    warnings: list[str]
    recognised: Recognised

    def why_no_target(self) -> str:
        """What is said where no target is proposed."""
        usable = [column for column in self.columns if column.usable]
        if not usable:
            return "No column looks like a target: all are left out."
        why = why_none(self.columns)
        advice = "mark what is to be predicted as target (data.targets)."
        return f"{why} M{advice[1:]}" if why else f"No column looks like a target: {advice}"

    def used(self) -> list[Column]:
        """The features."""
        names = {feature.name for feature in self.features if feature.used}
        return [column for column in self.columns if column.name in names]


def understand_table(data: bytes, name: str, spec: DataSpec) -> Understood:
    """Read and understand a table, with the user's corrections. Raises TableError, SpecError."""
    raw = read(data, name, header=spec.header)
    spec = _with_clean_names(spec, [column.name for column in raw.columns])
    wishes = spec.columns if spec.group is None else {**spec.columns, spec.group: "category"}  # a group is no amount
    columns = understand(raw, spec.missing, wishes)
    said = {*spec.ignore, *spec.columns, *(spec.targets or ()), spec.group, spec.split}
    splits = [name for name in seeming_splits(columns) if name not in said]
    targets = _targets([column for column in columns if column.name not in splits], spec)
    roles = dict.fromkeys(splits, "seeming split") | _roles(spec, [target.task.name for target in targets])
    features = [_feature(column, roles, spec) for column in columns if roles.get(column.name) != "target"]
    seen = Understood(raw.rows, columns, features, targets, [], raw.recognised)
    warnings = [*raw.warnings, *_left_out(features), *([] if spec.split else map(split_hint, splits))]
    if spec.group is None and spec.split is None:
        warnings += group_hints([column for column in columns if column.name not in said])
    shown_ones = [column for column in columns if column.name in roles or column.usable or column.kind in ("constant", "empty")]
    warnings += [note for column in shown_ones for note in column.notes]
    warnings += [note for target in targets for note in target.notes]
    warnings += [f"Target {shown(c.name)}: {c.reason}; is it meant to be predicted?" for c in columns if _is_odd_target(c, roles)]
    measurable = [target for target in targets if _measurable(target)]
    warnings += [leak.sentence for leak in find_leaks(seen.used(), measurable)]
    warnings += repeated_columns(raw.columns, columns, [target.task.name for target in targets])
    return replace(seen, warnings=_bounded(list(dict.fromkeys(warnings))))


def _is_odd_target(column: Column, roles: Mapping[str, str]) -> bool:
    return roles.get(column.name) == "target" and column.kind == "id"


def _measurable(target: Target) -> bool:
    """Whether squares of its labels are numbers; below, everything seems to predict everything."""
    return bool(np.nanmax(np.abs(target.labels)) > _SMALLEST)


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
        "group": None if spec.group is None else known(spec.group, "group"),
        "split": None if spec.split is None else known(spec.split, "split"),
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
    numbered = [column for column in columns if column.kind == "number"]  # words may be classes: "treated", "placebo"
    aside_names = {*spec.ignore, *spec.columns, spec.group, spec.split, *seeming_groups(numbered)}
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
    "seeming split": "it looks like a split into training and test rows",
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
        reason = alike[0].reason
        if len({one.reason for one in alike}) > 1 or (len(alike) > 1 and reason.startswith("it")):  # "it has", "its name"
            reason = _TOGETHER[alike[0].kind]
        sentences.append(f"Left out {listed(one.name for one in alike)}: {reason}.")
    return sentences


_TOGETHER = {
    "constant": "they have the same value in every row",
    "empty": "they have no value and can be neither features nor targets",
    "date": "they hold dates or times; turn them into numbers (days since the first one, hour, month) to use them",
    "id": "they look like ids",
    "text": "they are free text",
    "nested": "lists, structs, maps and binary values are left out",
}
