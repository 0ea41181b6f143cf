"""Data: a built-in scenario with its knobs, or a table of one's own, understood, corrected and then compared on."""

import streamlit as st

from pages.ui import frame, problems, source
from pages.ui.guard import guard

store = frame.open_page("Data")
st.title("Data", anchor=False)

# choose
way = source.choose_way()
with guard("Choose another table or source."):
    spec = source.scenario() if way == source.BUILT_IN else source.own_table(store)

    # look
    with guard(source.NEXT_STEP[way]):
        if spec is None:
            st.info("Nothing chosen yet. Upload a table, try the sample, or take a built-in scenario.")
        else:
            told = source.complaints(store, spec)
            source.tell(told)
            seen = problems.sight(store, spec)
            source.tell([warning for warning in seen.info.warnings if warning not in told])
            source.go(spec)

            # draw
            source.facts(seen)
