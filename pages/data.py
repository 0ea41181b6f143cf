"""Data: a built-in scenario with its knobs, or a table of one's own, understood, corrected and then compared on."""

import streamlit as st

from pages.ui import facts, frame, problems, source
from pages.ui.guard import guard
from pages.ui.text import plain

store = frame.open_page("Data")
st.title("Data", anchor=False)

# choose
way = source.choose_way()
with guard("Choose another table or source."):
    spec = source.scenario() if way == source.BUILT_IN else source.own_table(store)

    # look
    with guard(source.NEXT_STEP[way]):
        if spec is not None:
            seen = problems.sight(store, spec)
            source.tell(seen.warnings)
            if seen.profile is None:
                st.error(f"{plain(seen.refusal)} {source.NEXT_STEP[way]}")
            else:
                source.go(spec)

                # draw
                facts.tasks(seen.profile)
                facts.associations(seen.profile)
                facts.twins(seen.profile, seen.warnings)
                facts.first_images(seen.images)
                facts.first_rows(seen.preview, seen.profile)
