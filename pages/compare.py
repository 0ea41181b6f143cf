"""Compare: learned against fixed weights on one problem. Opens on a recorded comparison; Run makes it live."""

import streamlit as st

from pages.ui import arms, exports, frame, live, options, paths, results, state, strip
from pages.ui.guard import guard
from pages.ui.text import plain

store = frame.open_page("Compare")
state.restore(store)
st.title("Learned against fixed task weights", anchor=False)

# choose
comparison, progress = strip.on_display(store)
with guard("Choose another preset to go on."):
    strip.scenario_and_presets()
    tasks = strip.tasks(store, comparison)
    with st.container(horizontal=True, key="arms"):
        arms.chips(state.draft(), tasks, frame.theme())
        options.options(state.draft(), tasks)

running = progress is not None and progress.active
changed = state.changed(comparison)
with st.container(horizontal=True, vertical_alignment="center", key="runbar"):
    st.button("▶ Run", type="primary", key="run", on_click=state.submit, args=(store,), disabled=running and not changed)
    st.button("■ Stop", key="stop", on_click=strip.stop, args=(store,), disabled=not running)
    strip.condition(comparison, progress)
    exports.share(store, comparison)
if sentence := state.said():
    st.error(plain(sentence))

# draw
verdict = st.container(key="verdict")
with verdict, guard():
    if sentence := strip.other_problem(store, comparison):
        st.warning(plain(sentence))
shown_arms = strip.arms_to_draw(comparison)
live.watch(store, comparison, progress, shown_arms)
st.caption(strip.legend(comparison, shown_arms))
if comparison.runs and not running:
    with verdict:
        results.tell(comparison)
    paths.paths(comparison, shown_arms)
    results.cards(comparison)
    results.details(comparison, shown_arms)
