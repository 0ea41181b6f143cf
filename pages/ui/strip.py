"""The strip above the figure: scenario, presets, what is on display and in which condition."""

from __future__ import annotations

import streamlit as st

from mtl_core.analysis import Curves, counted, curves, lost_runs, phases_sentence, sums_note
from mtl_core.analysis.wording import count
from mtl_core.data.scenarios import SCENARIOS
from mtl_core.errors import UserError
from mtl_core.records import Channel, Comparison, ProblemInfo
from mtl_core.specs import DataSpec
from mtl_core.store import Progress, Store
from pages.ui import panels, problems, state
from pages.ui.figure import MAX_LINES
from pages.ui.guard import guard
from pages.ui.live import nothing_yet
from pages.ui.presets import PRESETS
from pages.ui.text import label, plain, short

OWN = "my own table"


def scenario_and_presets() -> None:
    """Which problem, and experiments to start from."""
    data = state.draft().data
    names = [*SCENARIOS, *([] if data.scenario else [OWN])]
    scenario, preset = state.key("scenario"), state.key("preset")
    with st.container(horizontal=True, vertical_alignment="center", key="strip"):
        st.selectbox(
            "Problem", names, names.index(data.scenario or OWN), key=scenario, width=215, label_visibility="collapsed",
            format_func=lambda name: SCENARIOS[name].title if name in SCENARIOS else name,
            on_change=_choose_scenario, args=(scenario,),
        )  # fmt: skip
        st.pills("Presets", list(PRESETS), key=preset, on_change=_choose_preset, args=(preset,), label_visibility="collapsed")
        st.page_link("pages/data.py", label="Adjust the data")


def _choose_scenario(key: str) -> None:
    chosen = st.session_state[key]
    if chosen in SCENARIOS and chosen != state.draft().data.scenario:  # called for a new widget's first value, too
        state.use_data({"scenario": chosen})


def _choose_preset(key: str) -> None:
    if st.session_state[key]:
        state.start_from(PRESETS[st.session_state[key]])


def tasks(store: Store, comparison: Comparison) -> list[str]:
    """Task names of the draft's problem. Raises UserError."""
    data = state.draft().data
    info = comparison.problem if comparison.spec.data == data else problems.info(store, data)
    return [task.name for task in info.tasks]


def on_display(store: Store) -> tuple[Comparison, Progress | None]:
    """The comparison to show and how far it is; None for one that this store did not run."""
    shown = state.shown()
    try:
        if shown is None:
            return nothing_yet(state.draft(), problems.info(store, state.draft().data)), None
        if shown != state.RECORDED:
            return store.comparison(shown), store.progress(shown)
    except UserError as error:  # somebody has deleted it, or its table is not here
        state.fall_back(str(error))
        if shown is None:
            state.show_recorded()
    return state.recording(), None


def other_problem(store: Store, comparison: Comparison) -> str | None:
    """Says of which problem the results are, where the draft is about another one. Raises UserError."""
    wanted, had = state.draft().data, comparison.spec.data
    if (wanted.scenario, wanted.fingerprint) == (had.scenario, had.fingerprint):
        return None
    was, will_be = _title(had, comparison.problem), _title(wanted, problems.info(store, wanted))
    return f"Shown: {was}, from before. Press Run to train on {will_be}."


def _title(data: DataSpec, info: ProblemInfo) -> str:
    return SCENARIOS[data.scenario].title if data.scenario in SCENARIOS else f"“{short(info.name)}”"


def stop(store: Store) -> None:
    """Stop what is on display."""
    shown = state.shown()
    if shown not in (None, state.RECORDED):
        with guard():
            store.stop(str(shown))


def condition(comparison: Comparison, progress: Progress | None) -> None:
    """Badges: recorded or live, seeds, date, machine, synthetic; and whether the draft has moved on."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", width="content"):
        if not comparison.runs:
            st.badge("not run yet: press Run", color="orange")
        elif state.changed(comparison):
            st.badge("changed, Run to update", color="orange")
        if state.shown() == state.RECORDED:
            st.badge("recorded", color="violet", help="Trained before and shipped with the product; Run repeats it live")
        elif progress is not None:
            _badge(progress)
        if comparison.runs:
            st.badge(count(len(comparison.spec.seeds), "seed"), color="gray")
        for fact in (comparison.created[:10], comparison.versions.get("machine", ""), comparison.versions.get("device", "")):
            if fact and comparison.runs:
                st.badge(plain(fact), color="gray")
        if comparison.problem.synthetic:
            st.badge("synthetic data", color="blue")


def _badge(progress: Progress) -> None:
    """In one word; the bar below says what it does."""
    if progress.active:
        st.badge("live", color="primary")
    elif progress.all_diverged:
        st.badge("diverged", color="red")
    else:
        st.badge(progress.state, color="green" if progress.state == "done" else "orange")


def arms_to_draw(comparison: Comparison) -> list[str] | None:
    """Which arms the panels show, where there are more than a panel takes."""
    every = list(comparison.spec.arms)
    first = panels.first_arms(comparison)
    if len(every) == len(first):
        return None
    words = f"Arms drawn, at most {MAX_LINES} a panel"
    chosen = st.pills(words, every, selection_mode="multi", default=first, format_func=label, key=state.key("drawn"))
    return panels.fitting(comparison, [comparison.spec.baseline, *chosen]) if chosen else first


def legend(comparison: Comparison, arms: list[str] | None = None) -> str:
    """What lines, bands and marks are, and what is not seen of the arms drawn."""
    criterion: Curves = curves(comparison, Channel("validation", "", "criterion"))
    lost = lost_runs(criterion.marks)
    band = _lines({arm: n for arm, n in counted(comparison).items() if n}, criterion.band)
    if not band and comparison.runs and len(criterion.marks) == len(comparison.runs):
        return plain(lost)  # nothing is drawn
    said = [f"{band}Baseline dashed grey ({comparison.spec.baseline}). {_dots(comparison)}{lost}".strip()]
    said += [panels.cut_off(comparison, arms), sums_note(comparison), phases_sentence(comparison.spec.training)]
    return plain(" ".join(filter(None, said)))


def _lines(seeds: dict[str, int], band: str) -> str:
    """Over how many seeds lines and bands are; by arm where arms lost different numbers of runs."""
    numbers = {*seeds.values()}
    if not numbers:
        return ""
    if numbers == {1}:
        return "Lines: one seed, so without a band. "
    if len(numbers) == 1:
        return f"Lines: mean over {max(numbers)} seeds. Band: {band}, N = {max(numbers)}. "
    each = ", ".join(f"{short(arm)} {n}" for arm, n in seeds.items())
    return f"Lines: mean over the seeds that count ({each}). Band: {band}. "


def _dots(comparison: Comparison) -> str:
    if not any(run.result for run in comparison.runs):
        return ""
    return f"Dots: epoch kept by the criterion{' (median)' if len(comparison.spec.seeds) > 1 else ''}. "
