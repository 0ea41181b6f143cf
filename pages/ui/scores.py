"""The aggregate score of every arm with its parts and weights. Draws infos of `mtl_core.analysis`; computes nothing."""

from __future__ import annotations

import streamlit as st

from mtl_core.analysis import Difference, Estimate, endings, nothing_counted, score
from mtl_core.analysis.wording import number
from mtl_core.records import Comparison
from pages.ui import state, tables
from pages.ui.text import label, plain

MARKED = ("better", "worse")


def aggregate(comparison: Comparison) -> None:
    """The aggregate score with its parts; weights can be changed here without training anything."""
    if not any(one.n for part in score(comparison).parts for one in part.estimates.values()):
        counted = any(one.counted for one in endings(comparison))
        st.info("None of the tasks has a part in a score." if counted else plain(nothing_counted(comparison)))
        return
    given = dict(comparison.spec.score or {task.name: 1.0 for task in comparison.problem.tasks})
    fixed = [column for column in tables.score_parts(score(comparison), given)[0] if column != "weight"]
    key = f"score-weights-{comparison.experiment_id}"
    held = st.session_state.get(key, {}).get("edited_rows", {})
    names = [task.name for task in comparison.problem.tasks]
    weights = {
        **given,
        **{names[int(row)]: float(edit.get("weight") or 0.0) for row, edit in held.items() if int(row) < len(names)},
    }
    found = score(comparison, weights=weights if any(weights.values()) else None)
    with st.grid(min_column_width=200, key="scores"):
        for arm, one in found.total.estimates.items():
            if arm not in found.partial:
                _total(arm, one, found.total.differences.get(arm))
    column = {
        "weight": st.column_config.NumberColumn("weight", min_value=0.0, step=0.05, help="Change it: nothing is trained again")
    }
    st.data_editor(tables.score_parts(found, given), disabled=fixed, hide_index=True, key=key, column_config=column)
    st.caption(
        "0 to 1, higher is better; test split at the selected epoch. "
        f"Constant predictions (training means) reach {number(found.total.constant)}."
    )
    for sentence in (found.partial_sentence, found.uncounted_sentence):
        if sentence:
            st.caption(plain(sentence))
    if weights != given and st.button("Keep these weights in the experiment", key="keep-weights"):
        state.change(score=weights)
        st.rerun()


def _total(arm: str, one: Estimate, difference: Difference | None) -> None:
    half = (one.high - one.low) / 2
    delta, around = "baseline", None
    if difference is not None:
        spread = (difference.high - difference.low) / 2
        delta = number(difference.mean, spread, signed=True)
        around = f"± {number(spread, spread)}" if spread > 0 else None
    marked = difference is not None and difference.outcome in MARKED
    value = number(one.mean, half) + (f" ± {number(half, half)}" if half > 0 else "")
    colour = "normal" if marked else "off"
    arrow = "auto" if marked else "off"
    st.metric(label(arm), value, delta, colour, delta_arrow=arrow, delta_description=around, border=True)  # type: ignore[arg-type]
