"""Phases of the training as a table that a person edits: stretches of epochs with settings of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from mtl_core.errors import SpecError
from mtl_core.specs import PhaseSpec, TrainingSpec
from pages.ui import state

if TYPE_CHECKING:
    import pandas as pd

AUTO, ONE, OWN = "as the data recommends", "none", "these"
COLUMNS = ("name", "epochs", "lr", "trunk_lr", "frozen", "tasks", "reset")
LISTS = ("frozen", "tasks", "reset")
START = (PhaseSpec(name="heads", epochs=10, frozen=("trunk",)), PhaseSpec(name="all", epochs=20, reset=("optimizer",)))


def phases(now: TrainingSpec, tasks: Sequence[str]) -> list[dict[str, Any]] | None:
    """Which phases there are; None: as the scenario recommends. Raises SpecError for rows that are no phase."""
    ways = [AUTO, ONE, OWN]
    before = AUTO if now.phases is None else OWN if now.phases else ONE
    about = "Stretches of epochs in which parts are frozen, tasks left out, or optimizer and weights start anew"
    way = st.selectbox("Phases", ways, ways.index(before), key=state.key("phases"), help=about, width=260)
    if way != OWN:
        return None if way == AUTO else []
    held: dict[str, Any] = st.session_state.setdefault("phases", {})
    key = state.key("phase-table")  # rows to start from stay the same while they are edited
    if key not in held:
        held.clear()
        held[key] = rows(now.phases or START)
    st.caption("Empty: as in the whole training, every task active. The last phase is the one in which runs may stop early.")
    return read(_editor(held[key], tasks, key).to_dict("records"))


def rows(given: Iterable[PhaseSpec]) -> pd.DataFrame:
    """One row a phase."""
    import pandas as pd

    values = [phase.model_dump(mode="json") for phase in given]
    table = pd.DataFrame([{name: value[name] for name in COLUMNS} for value in values], columns=list(COLUMNS))
    table["tasks"] = [value or [] for value in table["tasks"]]
    return table.astype({"lr": float, "trunk_lr": float, "epochs": "Int64"})


def read(table: Sequence[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """Edited rows as phases; empty cells and rows say nothing. Raises SpecError for a row without epochs."""
    found = []
    for number, row in enumerate(table, start=1):
        given: dict[str, Any] = {name: row[name] for name in COLUMNS if _is_given(row.get(name))}
        if given and "epochs" not in given:
            raise SpecError(f"Phase {number} has no number of epochs: say how many it has, or delete its row.")
        if given:
            lists = {name: [str(one) for one in given[name]] for name in LISTS if name in given}
            found.append({**given, "epochs": int(given["epochs"]), **lists})
    return found


def _is_given(cell: Any) -> bool:
    if hasattr(cell, "__len__"):
        return len(cell) > 0
    return cell is not None and str(cell) not in ("nan", "<NA>")


def _editor(start: pd.DataFrame, tasks: Sequence[str], key: str) -> pd.DataFrame:
    config = {
        "name": st.column_config.TextColumn("name", width=80, max_chars=40),
        "epochs": st.column_config.NumberColumn("epochs", width=85, min_value=1, max_value=100_000, step=1, required=True),
        "lr": st.column_config.NumberColumn("lr", width=70, min_value=1e-9, format="%.3g", help="Learning rate"),
        "trunk_lr": st.column_config.NumberColumn(
            "trunk lr", width=80, min_value=1e-9, format="%.3g", help="That of the shared trunk"
        ),
        "frozen": st.column_config.MultiselectColumn("frozen", options=["trunk", *tasks], help="The trunk, or heads of tasks"),
        "tasks": st.column_config.MultiselectColumn("active tasks", options=list(tasks), help="Empty: all"),
        "reset": st.column_config.MultiselectColumn(
            "start anew", options=["optimizer", "weights"], help="Moments of the optimizer; states of the schemes"
        ),
    }
    return st.data_editor(start, key=key, num_rows="dynamic", hide_index=True, column_config=config, placeholder="")
