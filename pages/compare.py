"""Compare: learned against fixed weights on one problem. Opens on a recorded comparison; Run makes it live."""

import streamlit as st

from pages.ui import arms, frame, live, options, panels, results, state, strip
from pages.ui.guard import guard
from pages.ui.text import plain

store = frame.open_page("Compare")
state.restore(store)
st.title("Learned against fixed task weights", anchor=False)

# choose
with guard("Choose another preset to go on."):
    strip.scenario_and_presets()
    tasks = strip.tasks(store)
    arms.chips(state.draft(), tasks, frame.theme())
    options.options(state.draft(), tasks)

# what is on display
comparison, progress = strip.on_display(store)
running = progress is not None and progress.active
with st.container(horizontal=True, vertical_alignment="center", key="runbar"):
    st.button(
        "▶ Run",
        type="primary",
        key="run",
        on_click=state.submit,
        args=(store,),
        disabled=running and not state.changed(comparison),
    )
    st.button("■ Stop", key="stop", on_click=strip.stop, args=(store,), disabled=not running)
    strip.condition(comparison, progress)
if sentence := state.said():
    st.error(plain(sentence))

# draw
with st.container(key="verdict"):
    if not running and comparison.runs:
        results.tell(comparison)
shown_arms = strip.arms_to_draw(comparison)
live.watch(store, comparison, progress, shown_arms)
st.caption(strip.legend(comparison))
if comparison.runs and not running:
    results.cards(comparison)
    results.details(comparison, shown_arms)
