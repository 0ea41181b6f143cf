"""NASA's C-MAPSS text files: recognised by what they hold, read, and joined where three of them belong together.

A file has 26 columns of numbers divided by blanks, without names: engine, cycle, 3 settings, 21 sensors (Saxena and Goebel,
Turbofan Engine Degradation Simulation Data Set, NASA 2008). In `train_FD001.txt` every engine runs until it fails. In
`test_FD001.txt` records stop before that, and `RUL_FD001.txt` has one number a line: the cycles each of them had left.

**Three files as one.** What decides a result has one fingerprint, so the three are one text: one after the other, which is also
what `cat` makes of them, and what can be uploaded as one file. Nothing has to mark the parts: engines are numbered from 1 in each
file, and the remaining lives are alone on their lines, before or behind the engines that they belong to (so both
train, test, RUL and the alphabetical RUL, test, train are understood). `with_siblings` joins files that lie beside each other.

A text is recognised only if every line fits: engines numbered 1, 2, 3, ... and in each the cycles 1, 2, 3, ... without a gap. Any
other text of 26 columns is an ordinary table. Lines may end with blanks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mtl_core.data.names import shown
from mtl_core.errors import TableError

COLUMNS, CHANNELS = 26, 24  # with and without engine and cycle
LEAST = 3  # engines that run to failure: one for each split
MOST_BYTES = 24 * 2**20  # twice the largest set; what is larger is read as any other table
_NAME = re.compile(r"(train|test|RUL)(_FD\d+\.txt)", re.IGNORECASE)
_LINE = re.compile(rb"[-+.\deE \t]{1,2000}")
_ALL = "put train, test and RUL file into one, in this order, and choose that"

Engine = Float[np.ndarray, "cycles channels"]


class Recording(NamedTuple):
    """Settings and sensors of engines that run to failure, and of such that do not, with the cycles these have left."""

    train: list[Engine]
    test: list[Engine]
    left: Float[np.ndarray, " test"]


def recognise(data: bytes, name: str) -> Recording | None:
    """The recording; None for a text that is none. Raises TableError for one that cannot be used as it is."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    first = data[:2100].lstrip().split(b"\n", 1)[0].rstrip(b"\r")
    if not _LINE.fullmatch(first) or len(first.split()) not in (1, COLUMNS) or len(data) > MOST_BYTES:
        return None
    rows = [cells for line in data.decode("latin-1").splitlines() if (cells := line.split())]
    blocks = [(width, list(block)) for width, block in groupby(rows, len)]
    widths = [width for width, _ in blocks]
    if COLUMNS not in widths or sorted(widths) not in ([COLUMNS], [1, COLUMNS]):
        return None
    by_width = {width: _numbers(block) for width, block in blocks}
    files = _files(by_width[COLUMNS])
    if files is None or (1 in by_width and by_width[1] is None):
        return None
    recording = _recording(files, by_width.get(1), name, lives_first=widths[0] == 1)
    return recording if len(recording.train) >= LEAST else None


def _numbers(rows: list[list[str]]) -> Float[np.ndarray, "rows width"] | None:
    """None where a cell is not a finite number."""
    try:
        values = np.array([float(cell) for row in rows for cell in row]).reshape(len(rows), -1)
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def _files(values: Float[np.ndarray, "rows columns"] | None) -> list[list[Engine]] | None:
    """Engines by file, each numbered from 1 and without gaps in its cycles; None where that is not so."""
    if values is None:
        return None
    number, cycle = values[:, 0], values[:, 1]
    starts = np.flatnonzero(cycle == 1)
    if not len(starts) or starts[0] != 0:
        return None
    sizes = np.diff([*starts, len(values)])
    numbers = number[starts]
    restarts = np.flatnonzero(numbers == 1)
    file_sizes = np.diff([*restarts, len(numbers)])
    counted = np.concatenate([np.arange(1, size + 1) for size in sizes])
    numbered = np.concatenate([np.arange(1, size + 1) for size in file_sizes]) if len(restarts) else np.zeros(0)
    if not (np.array_equal(cycle, counted) and np.array_equal(number, np.repeat(numbered, sizes)[: len(number)])):
        return None
    engines = np.split(values[:, 2:], starts[1:])
    return [engines[start : start + size] for start, size in zip(restarts, file_sizes, strict=True)]


def _recording(
    files: list[list[Engine]], lives: Float[np.ndarray, "lives 1"] | None, name: str, *, lives_first: bool
) -> Recording:
    """Which engines are which. Raises TableError where they cannot be told."""
    if len(files) == 1 and lives is None:
        if name.lower().startswith("test"):
            raise TableError(
                f"{shown(name)} is the test part of a C-MAPSS set: its engines stop before they fail, and how long they had left "
                f"is in the RUL file; {_ALL}."
            )
        return Recording(files[0], [], np.zeros(0))
    if len(files) != 2 or lives is None:
        parts = f"{len(files)} file{'s' if len(files) > 1 else ''} of engines and {'no' if lives is None else 'one'} RUL file"
        raise TableError(f"{shown(name)} holds {parts} of C-MAPSS: {_ALL}, or the train file alone.")
    test, train = files if lives_first else files[::-1]
    if len(lives) != len(test) or (lives < 0).any():
        raise TableError(
            f"{shown(name)}: {len(test)} engines are to be tested and {len(lives)} remaining lives are given for them; "
            "take the files of one set, FD001 with FD001."
        )
    return Recording(train, test, lives[:, 0])


# --- files beside each other -----------------------------------------------------------------------------------------


def with_siblings(path: str, data: bytes) -> tuple[str, bytes] | None:
    """(name, bytes) of all three files as one, if `path` is one of them and the two others lie beside it; else None.

    Raises TableError where they are of the format and do not belong together.
    """
    file = Path(path).expanduser()
    named = _NAME.fullmatch(file.name)
    if named is None:
        return None
    beside = {role: file.with_name(role + named.group(2)) for role in ("train", "test", "RUL")}
    beside[next(role for role in beside if role.lower() == named.group(1).lower())] = file
    try:
        texts = {role: data if one == file else one.read_bytes() for role, one in beside.items()}
    except OSError:
        return None
    name, whole = named.group(2).lstrip("_"), join(texts)
    return (name, whole) if recognise(whole, name) else None


def join(texts: Mapping[str, bytes]) -> bytes:
    """The files by their role (train, test, RUL) as one, in this order."""
    return b"".join(texts[role].rstrip() + b"\n" for role in ("train", "test", "RUL"))
