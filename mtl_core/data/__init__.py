"""Data: from a scenario's name or a table's bytes to a `Problem`.

load(spec)      the problem itself
pin(spec)       the spec with nothing left open, and the table's bytes to be stored
inspect(bytes)  what is understood of a table, before anything is trained
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_core.data import cmapss
from mtl_core.data.formats import check_size
from mtl_core.data.names import shown
from mtl_core.errors import SpecError, TableError, UserError
from mtl_core.specs import DataSpec, digest

if TYPE_CHECKING:
    from mtl_core.data.table import Understanding
    from mtl_core.problem import Problem

__all__ = ["inspect", "load", "pin", "read_file"]

Fetch = Callable[[str], tuple[str, bytes]]


def load(spec: DataSpec, fetch: Fetch | None = None) -> Problem:
    """The problem that a spec names; a table comes from its file, else from `fetch(fingerprint)`.

    Raises SpecError and TableError with one sentence.
    """
    if spec.scenario is not None:
        from mtl_core.data import scenarios

        return scenarios.load(spec.scenario, spec.knobs)
    from mtl_core.data import engines, table

    name, data = _table(spec, fetch)
    recording = engines.recording_of(data, name, spec)
    return table.to_problem(data, name, spec) if recording is None else engines.to_problem(recording, name, spec)


def pin(spec: DataSpec) -> tuple[DataSpec, tuple[str, bytes] | None]:
    """(the spec with all knobs, or with the fingerprint of its table; the table's name and bytes where a file was read).

    A file that cannot be read counts only if there is no fingerprint of a stored copy. Raises SpecError, TableError.
    """
    if spec.scenario is not None:
        from mtl_core.data import scenarios

        return spec.model_copy(update={"knobs": scenarios.complete(spec.scenario, spec.knobs)}), None
    if spec.file is None or (spec.fingerprint is not None and not Path(spec.file).expanduser().is_file()):
        return spec, None
    name, data = _read(spec)
    _check_fingerprint(spec, data)
    return spec.model_copy(update={"fingerprint": digest(data)}), (name, data)


def inspect(data: bytes, name: str, spec: DataSpec | None = None) -> Understanding:
    """What is understood of a table, with the user's corrections in `spec`. Raises TableError, SpecError."""
    from mtl_core.data import engines, table

    spec = spec or DataSpec(file=name)
    recording = engines.recording_of(data, name, spec)
    return table.inspect(data, name, spec) if recording is None else engines.inspect(recording, spec)


def read_file(path: str) -> tuple[str, bytes]:
    """(name, bytes) of a file. Raises TableError where it cannot be read or is too large."""
    file = Path(path).expanduser()
    try:
        if file.is_dir():
            raise TableError(f"{shown(path)} is a folder: name the table inside it.")
        check_size(file.stat().st_size, file.name)
        if not file.is_file():
            raise TableError(f"{shown(path)} is no ordinary file: name a table that can be read from start to end.")
        return file.name, file.read_bytes()
    except FileNotFoundError:
        raise TableError(f"There is no file {shown(path)}: check the path; it is taken from where the command runs.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its path is not valid"
        raise TableError(f"{shown(path)} cannot be read ({why}).") from None


def _table(spec: DataSpec, fetch: Fetch | None) -> tuple[str, bytes]:
    there = spec.file is not None and Path(spec.file).expanduser().is_file()
    if fetch is not None and spec.fingerprint is not None:
        if not there:
            return _stored(spec, fetch)
        name, data = _read(spec)
        return (name, data) if digest(data) == spec.fingerprint else fetch(spec.fingerprint)
    if spec.file is None:
        raise SpecError(f"The table {spec.fingerprint} is not at hand: name its file, or upload it again.")
    name, data = _read(spec)
    _check_fingerprint(spec, data)
    return name, data


def _read(spec: DataSpec) -> tuple[str, bytes]:
    """The file of a spec; one of three C-MAPSS files with the others beside it, unless the fingerprint is that of it alone."""
    from mtl_core.data import engines

    path = spec.file or ""
    name, data = read_file(path)
    if spec.fingerprint == digest(data) or not engines.meant(spec):
        return name, data
    return cmapss.with_siblings(path, data) or (name, data)


def _stored(spec: DataSpec, fetch: Fetch) -> tuple[str, bytes]:
    try:
        return fetch(spec.fingerprint or "")
    except UserError:
        if spec.file is None:
            raise
        raise TableError(
            f"There is no file {shown(spec.file, 200)}, and this store has no copy of it: "
            "put the table there, or correct the path under data.file."
        ) from None


def _check_fingerprint(spec: DataSpec, data: bytes) -> None:
    if spec.fingerprint is not None and digest(data) != spec.fingerprint:
        raise TableError(
            f"{shown(spec.file or '')} has changed since this experiment was made: "
            "take data.fingerprint out to use the file as it is now."
        )
