"""What is on display and how far it is: one figure that is updated in place while training goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import streamlit as st

from mtl_core import jobs
from mtl_core.errors import UserError
from mtl_core.records import Comparison, ProblemInfo, channels
from mtl_core.schemes.base import REFUSAL
from mtl_core.specs import ExperimentSpec
from mtl_core.store import Progress, Store
from pages.ui import frame, panels
from pages.ui.figure import NARROW, Figure
from pages.ui.guard import guard
from pages.ui.palette import Theme
from pages.ui.text import plain

FAST, STEADY = 0.5, 1.0  # seconds between looks at the store while something runs; fast while a person waits for an answer
NEXT_STEP = {
    "queued": "It starts as soon as a worker is free; you can leave the page and come back.",
    "running": "",
    "stopping": "",
    "stopped": "Press Run to go on from there.",
    "failed": "Press Run to try the failed runs again, or change the arm they belong to.",
    "done": "",
}
REFUSED = "Choose another scheme for the arm they belong to."


def nothing_yet(spec: ExperimentSpec, problem: ProblemInfo) -> Comparison:
    """The comparison before its first run: empty axes."""
    columns = channels(problem.tasks)
    return Comparison("", spec, problem, (), columns, np.empty((0, 0, len(columns))))


def watch(store: Store, comparison: Comparison, progress: Progress | None, arms: list[str] | None) -> None:
    """Progress and figure; polls while the experiment is active, then has the whole page drawn once more."""
    pace = _pace(progress)
    st.fragment(_watch, run_every=pace)(store, comparison, progress, arms, pace)


def _pace(progress: Progress | None) -> float | None:
    if progress is None or not progress.active:
        return None
    return FAST if progress.epoch == 0 or progress.state == "stopping" else STEADY


def _watch(store: Store, comparison: Comparison, progress: Progress | None, arms: list[str] | None, pace: float | None) -> None:
    figure = None
    if pace is not None:
        with guard("Reload the page."), _present():
            jobs.ensure_workers(store)  # a worker that was killed is replaced while somebody watches
            progress = store.progress(comparison.experiment_id)
            which = (store.url, comparison.experiment_id)
            figure = as_far_as(store, which, progress, frame.theme(), None if arms is None else tuple(arms))
    with st.container(key="progress"):
        if progress is not None:
            tell(progress)
    if progress is None or not progress.all_diverged:
        draw(figure or panels.main_figure(comparison, frame.theme(), arms), "figure")
    if pace != _pace(progress):
        st.rerun()


@st.cache_resource(max_entries=8, show_spinner=False)
def as_far_as(
    _store: Store,
    which: tuple[str, str],
    progress: Progress,  # noqa: ARG001  (which every new epoch and every run that ended changes)
    theme: Theme,
    arms: tuple[str, ...] | None,
) -> Figure:
    """The figure at this progress: a look that finds nothing new, and other viewers, neither read nor draw.

    which: the store's address and the experiment.
    """
    return panels.main_figure(_store.comparison(which[1]), theme, None if arms is None else list(arms))


@contextmanager
def _present() -> Iterator[None]:
    """Somebody deletes what is watched: the whole page is drawn once more, says so and watches no longer."""
    try:
        yield
    except UserError:
        st.rerun()


def tell(progress: Progress) -> None:
    """State, sentence and next step."""
    step = REFUSED if progress.state == "failed" and REFUSAL in progress.sentence else NEXT_STEP[progress.state]
    sentence = plain(f"{progress.sentence} {step}".strip())
    if progress.reused and progress.state != "done":
        sentence += plain(f" {progress.reused} of {progress.runs_total} runs were there already.")
    if progress.active:
        st.progress(min(max(progress.fraction, 0.0), 1.0), text=sentence)
    elif progress.all_diverged:
        pass  # the verdict says so, with what to do
    elif progress.state in ("failed", "stopped") or progress.diverged:
        st.warning(sentence)
    else:
        st.caption(sentence)


def draw(figure: Figure, key: str) -> None:
    """An ECharts figure that grows taller where panels have to stack."""
    tall = f".st-key-{key}, .st-key-{key} .stEChartsChart {{min-height: {figure.narrow_height}px}}"
    st.html(f"<style>@media (max-width: {NARROW}px) {{{tall}}}</style>")
    st.echarts_chart(figure.option, key=key, height=figure.height, alt=figure.alt)
