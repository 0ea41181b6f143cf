"""Where the runs of a problem without a network went: the figure and its sentences, below the main figure."""

from __future__ import annotations

import streamlit as st

from mtl_core.analysis import is_plane, trajectories
from mtl_core.records import Comparison
from pages.ui import frame
from pages.ui.palette import looks
from pages.ui.text import plain


def paths(comparison: Comparison, arms: list[str] | None) -> None:
    """Paths over the landscape; nothing for problems with a network."""
    if not is_plane(comparison):
        return
    from pages.ui.trajectories import figure  # brings Plotly, which takes a moment in Python and in the browser

    found = trajectories(comparison)
    if not found.paths:
        return
    st.subheader("Paths over the landscape", anchor=False)
    st.markdown("\n".join(f"- {plain(sentence)}" for sentence in found.sentences))
    drawn = figure(found, arms or list(comparison.spec.arms), looks(comparison.spec, frame.theme()), frame.theme())
    alt = f"Paths over the contours of L1 + L2. {' '.join(found.sentences)}"
    st.plotly_chart(drawn, key="paths", config={"displaylogo": False}, alt=plain(alt))
    st.caption("Squares: starts, one a seed. Full circle: ends on the Pareto front, to within 0.1; open circle: does not.")
