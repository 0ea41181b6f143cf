"""Targets: their kind where it is not said, their labels as numbers, and what cannot be a target.

A missing label is NaN. Classes are numbered in the order of their names; counts and regression targets stay as they are.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError

from mtl_core.data.columns import Column
from mtl_core.data.limits import MAX_CLASSES, MAX_COUNT, MIN_LABELS
from mtl_core.data.names import listed, shown
from mtl_core.errors import SpecError, TableError
from mtl_core.specs import Kind, TargetSpec, TaskSpec, sentence

_NO_NUMBERS = {"date": "holds dates", "text": "holds free text", "nested": "holds lists or structs"}
_FEW_CLASSES = 10
_PAIRS = 5  # of classes that look alike, in one sentence
_CLASS_NAME = re.compile(
    r"(^|[\W_\d])(?i:class(es)?|labels?|category|categories|status|code|type)($|[\W_\d])"
    r"|[a-z](Class|Label|Category|Status|Code|Type)($|[\W_\d])"
)
_TOLD_APART = re.compile(r"(.*\D)\.\d+")


@dataclass(frozen=True)
class Target:
    """A task and its labels."""

    task: TaskSpec
    labels: Float[np.ndarray, " rows"]  # NaN: missing
    notes: tuple[str, ...] = ()

    @property
    def available(self) -> float:
        """Share of rows with a label."""
        return float(np.isfinite(self.labels).mean()) if len(self.labels) else 0.0


def make_target(column: Column, said: TargetSpec) -> Target:
    """The target that a column is. Raises TableError where it cannot be one, SpecError for settings that do not fit."""
    where = f"Target {shown(column.name)}"
    if column.kind in _NO_NUMBERS:
        raise TableError(f"{where} {_NO_NUMBERS[column.kind]}: choose a column of numbers or of at most {MAX_CLASSES} classes.")
    if column.present == 0:
        raise TableError(f"{where} has no label: leave it out of the targets; the other columns stay usable.")
    if column.present < MIN_LABELS:
        raise TableError(
            f"{where} has {column.present} labels and at least {MIN_LABELS} are needed: leave it out of the targets."
        )
    if column.distinct < 2:
        only = column.labels()[1][0]
        blank = "; its other cells count as missing: write a second class there if they mean one" if _gaps(column) else ""
        raise TableError(
            f"{where} has a single class or value ({shown(only, 30)}): there is nothing to learn, leave it out of the targets"
            f"{blank}."
        )
    kind = said.kind or infer_kind(column)
    doubts = () if said.kind else _doubts(column, kind, where)
    if kind in ("binary", "multiclass"):
        labels, classes, notes = _classes(column, kind, where)
    else:
        labels, notes = _amounts(column, kind, where)
        classes = ()
    settings = said.model_dump(exclude={"kind"})
    try:
        task = TaskSpec(name=column.name, kind=kind, classes=classes, **settings)
    except ValidationError as error:
        raise SpecError(f"{where}: {sentence(error)}") from None
    return Target(task, labels, (*doubts, *notes))


def _doubts(column: Column, kind: Kind, where: str) -> tuple[str, ...]:
    """A sentence on few whole numbers that were taken for amounts though their name says that they are classes."""
    if kind not in ("regression", "count") or column.distinct > _FEW_CLASSES or not _CLASS_NAME.search(column.name):
        return ()
    _, values = column.labels()
    if not all(re.fullmatch(r"-?\d+", value) for value in values):
        return ()
    return (
        f"{where} has {column.distinct} different whole numbers ({', '.join(values)}) and was taken for amounts ({kind}): "
        "if they name classes, set its kind to multiclass (kind: multiclass).",
    )


def _gaps(column: Column) -> bool:
    rows = len(column.codes) if column.codes is not None else len(column.numbers) if column.numbers is not None else 0
    return column.present < rows


def infer_kind(column: Column) -> Kind:
    """The kind a column most likely has.

    Two values are binary. Whole numbers from 0 with a long tail to the right are counts; up to ten classes 0..k, or up
    to four classes 1..k, are multiclass; other whole numbers (grades, ratings 1 to 5) have an order that
    regression keeps. Words are classes.
    """
    if column.distinct == 2:
        return "binary"
    if column.kind == "category" or column.numbers is None:
        return "multiclass"
    values = column.numbers[np.isfinite(column.numbers)]
    if not np.all(values == np.round(values)) or values.min() < 0:
        return "regression"
    low, high = values.min(), values.max()
    if low == 0 and high <= MAX_COUNT and _skewness(values) > 0.3 and values.mean() < high / 2:
        return "count"
    dense = high - low + 1 == column.distinct
    if dense and ((low == 0 and column.distinct <= _FEW_CLASSES) or (low == 1 and column.distinct <= 4)):
        return "multiclass"
    return "regression"


def _skewness(values: Float[np.ndarray, " rows"]) -> float:
    centred = values - values.mean()
    return float((centred**3).mean() / max(centred.std() ** 3, 1e-300))


def _classes(column: Column, kind: Kind, where: str) -> tuple[Float[np.ndarray, " rows"], tuple[str, ...], tuple[str, ...]]:
    if column.distinct > MAX_CLASSES:
        other = "say regression, or " if column.numbers is not None else ""
        raise TableError(
            f"{where} has {column.distinct:,} classes and at most {MAX_CLASSES} are allowed: "
            f"{other}merge rare classes or choose another column."
        )
    codes, names = column.labels()
    if kind == "binary" and len(names) != 2:
        raise TableError(
            f"{where} has {len(names)} classes ({listed(names, 4)}) and binary allows two: say multiclass or merge classes."
        )
    labels = np.where(codes < 0, np.nan, codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    notes = _spelling_notes(names, where)
    rare = [name for name, count in zip(names, counts, strict=True) if count < 3]
    if not rare:
        return labels, names, notes
    what = f"class {shown(rare[0])} has" if len(rare) == 1 else f"the classes {listed(rare)} have"
    note = f"{where}: {what} fewer than three rows, too few to be trained on, validated and tested; merge rare classes."
    return labels, names, (*notes, note)


def _spelling_notes(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_folded(name, names), []).append(name)
    pairs = [listed(same) for same in alike.values() if len(same) > 1]
    if not pairs:
        return ()
    how = "in capital letters, blanks or kinds of signs, or only behind their first letters, where long names are cut"
    more = f"; and {len(pairs) - _PAIRS} more" if len(pairs) > _PAIRS else ""
    return (
        f"{where} has classes that look alike and were kept apart: {'; '.join(pairs[:_PAIRS])}{more}. "
        f"They differ only {how}: write them alike if they are meant to be one.",
    )


def _folded(name: str, names: tuple[str, ...]) -> str:
    """A class name as the eye reads it; one that was told apart by a number (cat.1) is read as its twin."""
    twin = _TOLD_APART.fullmatch(name)
    text = twin.group(1) if twin and twin.group(1) in names else name
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _amounts(column: Column, kind: Kind, where: str) -> tuple[Float[np.ndarray, " rows"], tuple[str, ...]]:
    if kind == "multi_output":
        raise TableError(
            f"{where}: a column holds one number a row, so multi_output is not allowed here; say regression, one target a column."
        )
    if column.numbers is None or (column.kind == "category" and column.codes is not None):
        raise TableError(
            f"{where} holds words ({listed(column.labels()[1][:3])}), which {kind} does not allow: "
            "say multiclass, or binary for two classes."
        )
    values = column.numbers
    finite = values[np.isfinite(values)]
    if kind == "count" and finite.min() < 0:
        raise TableError(f"{where} has negative numbers (lowest {finite.min():g}), which a count does not allow: say regression.")
    if kind == "count" and not np.all(finite == np.round(finite)):
        raise TableError(f"{where} has numbers that are not whole, which a count does not allow: say regression.")
    if np.all(finite == np.round(finite)) and finite.min() >= 0 and finite.max() > MAX_COUNT:
        read = (
            "too large to be modelled well as a count; say regression, or divide it by a unit"
            if kind == "count"
            else "read as regression; a smaller unit reads better"
        )
        return values, (f"{where} holds whole numbers up to {finite.max():g}: {read}.",)
    return values, ()
