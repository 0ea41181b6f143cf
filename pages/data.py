"""Data: a built-in scenario with its knobs, or a table of one's own, understood, corrected and then compared on."""

import streamlit as st

from pages.ui import frame, problems, source
from pages.ui.guard import guard
from pages.ui.text import plain

store = frame.open_page("Data")
st.title("Data", anchor=False)

# choose
way = source.choose_way()
with guard("Correct the table above, or choose another source."):
    spec = source.scenario() if way == source.BUILT_IN else source.own_table(store)

    # look
    if spec is None:
        st.info("Nothing chosen yet. Upload a table, take the sample, or try a built-in scenario.")
    else:
        seen = problems.sight(store, spec)
        source.go(spec)
        for warning in seen.info.warnings:
            st.warning(plain(warning))

        # draw
        source.facts(seen)
