"""What was understood of a table as rows a person edits, and their edits as a DataSpec. Pure, except for `editor`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from mtl_core.data.table import Understanding
from mtl_core.errors import TableError
from mtl_core.specs import DataSpec

FEATURE, TARGET, OUT, GROUP, SPLIT = "feature", "target", "left out", "group", "split"
USES = (FEATURE, TARGET, OUT, GROUP, SPLIT)
READ = ("number", "category")
KINDS = ("regression", "binary", "multiclass", "count")
ALL_KINDS = (*READ, *KINDS, "constant", "empty", "date", "id", "text", "nested")


def rows(seen: Understanding, spec: DataSpec) -> pd.DataFrame:
    """One row a column, targets first."""
    targets = [
        {"column": t.name, "use": TARGET, "kind": t.kind, "labels": f"{100 * t.available:.0f} %", "note": _classes(t.classes)}
        for t in seen.targets
    ]
    named = {spec.group: GROUP, spec.split: SPLIT}
    features = [
        {
            "column": f.name,
            "use": named.get(f.name, FEATURE if f.used else OUT),
            "kind": f.kind,
            "labels": "",
            "note": f.reason,
        }
        for f in seen.features
    ]
    return pd.DataFrame([*targets, *features], columns=["column", "use", "kind", "labels", "note"])


def corrected(before: pd.DataFrame, after: pd.DataFrame, spec: DataSpec) -> DataSpec:
    """The spec that says what the edited rows say. Roles and kinds that were not touched stay inferred.

    Raises TableError where an edit leaves no target: a spec without targets would have others proposed in their place.
    """
    old: dict[str, Any] = {str(row.column): row for row in before.itertuples(index=False)}
    new: list[Any] = list(after.itertuples(index=False))
    targets = {row.column: row.kind if row.kind in KINDS else None for row in new if row.use == TARGET}
    if not targets and not after.equals(before):
        raise TableError('No target is left: set "use as" to "target" for at least one column, to say what is to be predicted.')
    forced = {row.column: _read(row.kind) for row in new if row.use == FEATURE and _touched(row, old[row.column])}
    columns = {**{name: how for name, how in spec.columns.items() if _still(name, new)}, **forced}
    return DataSpec.model_validate(
        {
            **spec.model_dump(mode="json"),
            "targets": targets or None,
            "ignore": [row.column for row in new if row.use == OUT and (old[row.column].use != OUT or row.column in spec.ignore)],
            "columns": columns,
            "group": next((row.column for row in new if row.use == GROUP), None),
            "split": next((row.column for row in new if row.use == SPLIT), None),
        }
    )


def words_of(text: str) -> tuple[str, ...]:
    """What stands between the commas, each once; a value that holds a comma stands in double quotes."""
    cells = next(csv.reader([" ".join(text.split())], skipinitialspace=True), [])
    return tuple(dict.fromkeys(cell.strip() for cell in cells if cell.strip()))


def text_of(words: Sequence[str]) -> str:
    """The text that `words_of` reads them from."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(words)
    return line.getvalue() if any("," in word for word in words) else line.getvalue().replace(",", ", ")


def editor(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """The table as an editor; names and notes are shown as text and cannot be changed."""
    config = {
        "column": st.column_config.TextColumn("column", pinned=True),
        "use": st.column_config.SelectboxColumn("use as", options=list(USES), required=True),
        "kind": st.column_config.SelectboxColumn(
            "kind", options=list(ALL_KINDS), required=True, help="Features: number or category. Targets: the four others."
        ),
        "labels": st.column_config.TextColumn("labels present"),
        "note": st.column_config.TextColumn("note"),
    }
    return st.data_editor(table, key=key, hide_index=True, disabled=["column", "labels", "note"], column_config=config)


def _classes(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:8]) + (" …" if len(classes) > 8 else "")


def _read(kind: str) -> str:
    """How a column that the person wants as a feature is read: as they say, and else as categories."""
    return kind if kind in READ else "category"


def _touched(row: Any, before: Any) -> bool:
    """Whether the person made it a feature or changed how it is read (a target made a feature is read as it looks)."""
    if before.use == TARGET:
        return row.kind in READ
    return bool(before.use != FEATURE or row.kind != before.kind)


def _still(name: str, new: list[Any]) -> bool:
    return any(row.column == name and row.use == FEATURE for row in new)
