"""From the bytes of a table to a problem: read, understand, choose targets, split, encode.

The story is `to_problem`; `inspect` tells its first half to a person.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Int8

from mtl_core.data import splits
from mtl_core.data.budget import budget
from mtl_core.data.columns import Column
from mtl_core.data.encode import encode
from mtl_core.data.limits import MIN_ROWS
from mtl_core.data.names import clean, shown
from mtl_core.data.targets import Target
from mtl_core.data.twins import Twins, find_twins
from mtl_core.data.understanding import FeatureInfo, TargetInfo, Understanding, Understood, understand_table
from mtl_core.errors import TableError
from mtl_core.problem import TRAIN, Problem
from mtl_core.specs import DataSpec

__all__ = ["FeatureInfo", "TargetInfo", "Understanding", "inspect", "make_problem", "to_problem"]


def inspect(data: bytes, name: str, spec: DataSpec | None = None) -> Understanding:
    """What is understood of a table, with the user's corrections in `spec`. Raises TableError, SpecError."""
    return inspect_understood(understand_table(data, name, spec or DataSpec(file=name)), spec)


def inspect_understood(seen: Understood, spec: DataSpec | None) -> Understanding:
    """The same of what is understood already. Raises TableError where targets that were asked for have too few labels."""
    warnings = list(seen.warnings)
    if not seen.targets:
        warnings.append(seen.why_no_target())
    else:
        warnings += _told_of_rows(seen.targets, asked=spec is not None and bool(spec.targets))
    targets = tuple(TargetInfo(t.task.name, t.task.kind, t.task.classes, t.available) for t in seen.targets)
    return Understanding(seen.rows, tuple(seen.features), targets, tuple(warnings), seen.recognised)


def to_problem(data: bytes, name: str, spec: DataSpec) -> Problem:
    """The table as a problem that can be trained on. Raises TableError, SpecError."""
    return make_problem(understand_table(data, name, spec), name, spec)[0]


def make_problem(seen: Understood, name: str, spec: DataSpec) -> tuple[Problem, Twins]:
    """(the problem, twins of its rows, of which its warnings tell too). Raises TableError."""
    if not seen.targets:
        raise TableError(f"{shown(name)}: {seen.why_no_target()}")
    if not seen.used():
        raise TableError(f"{shown(name)}: no column is left as a feature; at least one besides the targets is needed.")
    keep, dropped = _labelled(seen.targets)
    split, split_warnings = _split(seen, keep, spec)
    columns = seen.used()
    if not keep.all():
        columns = [_rows_of(column, keep) for column in columns]
    encoded = encode(columns, split == TRAIN)
    problem = Problem(
        name=clean(Path(name).stem) or "table",
        features=encoded.features,
        targets={target.task.name: target.labels[keep][:, None] for target in seen.targets},
        tasks=tuple(target.task for target in seen.targets),
        split=split,
        feature_names=encoded.names,
        training=budget(int((split == TRAIN).sum()), encoded.features.shape[1]),
        warnings=(*seen.warnings, *dropped, *split_warnings, *encoded.warnings),
    )
    twins = find_twins(problem)
    return replace(problem, warnings=(*problem.warnings, *twins.warnings(spec.group, spec.split))), twins


def _told_of_rows(targets: list[Target], *, asked: bool) -> list[str]:
    """What is said of rows without labels; only targets that the user asked for are refused, others may be changed."""
    try:
        return _labelled(targets)[1]
    except TableError as error:
        if asked:
            raise
        return [str(error)]


# --- rows ------------------------------------------------------------------------------------------------------------


def _labelled(targets: list[Target]) -> tuple[Bool[np.ndarray, " rows"], list[str]]:
    """(rows with at least one label, a warning if others are dropped). Raises TableError if too few are left."""
    keep = np.isfinite(np.stack([target.labels for target in targets], axis=1)).any(axis=1)
    dropped = int((~keep).sum())
    if keep.sum() < MIN_ROWS:
        raise TableError(f"Only {int(keep.sum())} rows have a label for any target and at least {MIN_ROWS} are needed.")
    return keep, [f"{dropped:,} of {keep.size:,} rows have no label for any target and are dropped."] if dropped else []


def _split(seen: Understood, keep: Bool[np.ndarray, " rows"], spec: DataSpec) -> tuple[Int8[np.ndarray, " rows"], list[str]]:
    by_name = {column.name: column for column in seen.columns}
    labels = {target.task.name: target.labels[keep] for target in seen.targets}
    classes = {target.task.name: bool(target.task.classes) or target.task.kind == "binary" for target in seen.targets}
    groups, warnings = _groups(by_name[spec.group], keep) if spec.group is not None else (None, [])
    rows = splits.Rows(np.stack(list(labels.values()), axis=1), list(classes.values()), groups)
    if spec.split is None:
        split = splits.assign(rows, spec.split_seed)
        checked = [*splits.check(split, labels, classes), *splits.uneven(split)]
    else:
        split, said = splits.from_column(_words(by_name[spec.split], keep), spec.split, rows, spec.split_seed)
        checked = [*said, *splits.check(split, labels, classes)]
    return split, [*warnings, *checked]


def _groups(column: Column, keep: Bool[np.ndarray, " rows"]) -> tuple[Int[np.ndarray, " kept"], list[str]]:
    """(a number for the group of each row kept, warnings).

    Groups are told apart by how they are spelled (in typed files by value). Rows without one are groups of their own.
    """
    if column.numbers is None and column.codes is None:
        raise TableError(f"Group column {shown(column.name)} holds {column.kind} values: choose a column of words or numbers.")
    codes = column.labels()[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    count = int(alone[keep].sum())
    rows = (
        "1 row has no group and is one of its own"
        if count == 1
        else f"{count:,} rows have no group and are each one of their own"
    )
    return codes[keep], [f"Group column {shown(column.name)}: {rows}."] if count else []


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
