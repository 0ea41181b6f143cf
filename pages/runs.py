"""Runs: every stored experiment; the selected one drives the figure."""

import streamlit as st

from pages.ui import exports, frame, library, live, results
from pages.ui.guard import guard

store = frame.open_page("Runs")
st.title("Runs", anchor=False)

# choose
rows = store.experiments()
chosen = library.choose(rows)

if not rows:
    st.info("No experiment is stored yet. Run one on the Compare page; it stays here until it is deleted.")
    st.page_link("pages/compare.py", label="Go to Compare")
elif chosen is None:
    st.info(library.why_none())
else:
    with guard("Select another row."):
        comparison = store.comparison(chosen.id)

        # draw
        library.actions(store, chosen)
        if not chosen.progress.active:
            results.tell(comparison)
        live.watch(store, comparison, chosen.progress, None)
        if not chosen.progress.active:
            results.cards(comparison)

        # download
        exports.downloads(comparison, results.stamp(comparison))
        exports.links(comparison.spec, stored=True)
