"""The table of stored experiments and what can be done with the selected one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from mtl_core.store import ExperimentRow, Store
from pages.ui import state
from pages.ui.guard import guard


def table(rows: Sequence[ExperimentRow]) -> pd.DataFrame:
    """One row an experiment, as text and numbers."""
    return pd.DataFrame(
        [
            {
                "pinned": "pinned" if row.pinned else "",
                "name": row.name,
                "problem": row.problem,
                "arms": ", ".join(row.arms),
                "baseline": row.baseline,
                "seeds": row.seeds,
                "state": row.progress.state,
                "runs": f"{row.progress.runs_done} of {row.progress.runs_total}",
                "submitted": datetime.fromtimestamp(row.submitted, UTC),
                "note": row.note,
                "id": row.id,
            }
            for row in rows
        ]
    )


def choose(rows: Sequence[ExperimentRow]) -> ExperimentRow | None:
    """The table; returns the selected row, at first the one on display in Compare."""
    if not rows:
        return None
    ids = [row.id for row in rows]
    shown = state.shown()
    first = ids.index(shown) if shown in ids else 0
    picked = st.dataframe(
        table(rows), hide_index=True, key="experiments", on_select="rerun", selection_mode="single-row",
        selection_default={"selection": {"rows": [first]}}, height=min(60 + 35 * len(rows), 320),
        column_config={"submitted": st.column_config.DatetimeColumn("submitted", format="YYYY-MM-DD HH:mm")},
    )  # fmt: skip
    selected = [at for at in picked.selection.rows if at < len(rows)]
    return rows[selected[0]] if selected else None


def actions(store: Store, row: ExperimentRow) -> None:
    """Open, pin, note, stop, delete."""
    with st.container(horizontal=True, vertical_alignment="bottom"), guard():
        st.page_link("pages/compare.py", label="Open in Compare", query_params={"run": row.id})
        if st.button("Unpin" if row.pinned else "Pin", key="pin"):
            store.pin(row.id, pinned=not row.pinned)
            st.rerun()
        if row.progress.active and st.button("■ Stop", key="stop-run"):
            store.stop(row.id)
            st.rerun()
        note = st.text_input("Note", row.note, key=f"note-{row.id}", max_chars=500, placeholder="A note to yourself", width=320)
        if note != row.note:
            store.annotate(row.id, note)
            st.rerun()
        with st.popover("Delete"):
            st.write("Its runs are deleted too, unless another experiment has them.")
            if st.button("Delete it", type="primary", key="delete"):
                store.delete(row.id)
                state.forget(row.id)
                st.rerun()
