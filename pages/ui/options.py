"""Everything beside the arms, in one collapsed block: seeds, training with its phases, the fixed criterion, early stopping."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from mtl_core.specs import ExperimentSpec, SelectionSpec, StopSpec
from pages.ui import forms, phases, state, training
from pages.ui.guard import guard

AUTO, OFF, PRIMARY, GIVEN = "auto", "off", "primary", "as given"


def options(spec: ExperimentSpec, tasks: list[str]) -> None:
    """Draw the block and take over what was changed in it."""
    with st.popover("Seeds, training, selection", key="options", type="tertiary"), guard("Nothing was changed."):
        st.caption("auto: as the data recommends, filled in by Run.")
        with st.grid(min_column_width=150, key="options-grid"):
            seeds = st.number_input(
                "Seeds per arm",
                1,
                64,
                min(len(spec.seeds), 64),
                key=state.key("seeds"),
                help="Same seeds, data and initial parameters in every arm",
            )
            chosen = training.training(spec.training)
            selection = _selection(spec.selection, tasks)
            device = st.selectbox(
                "Device",
                ["auto", "cpu", "cuda", "mps"],
                ["auto", "cpu", "cuda", "mps"].index(spec.device),
                key=state.key("device"),
            )
        with st.expander("Model"), st.grid(min_column_width=150, key="model-grid"):
            chosen |= training.model(spec.training)
        stretches = phases.phases(spec.training, tasks)
        if stretches or (stretches is None and spec.training.phases):
            chosen["epochs"] = None  # phases decide it, those given or those recommended
        kept = list(spec.seeds) if seeds == len(spec.seeds) else list(range(seeds))
        trained = {**spec.training.model_dump(mode="json"), **chosen, "phases": stretches}
        _take_over({"seeds": kept, "training": trained, "selection": selection, "device": device})


def _take_over(chosen: dict[str, Any]) -> None:
    """Change the draft if anything is chosen otherwise, and draw again what stands above the phases and depends on them."""
    before = state.draft()
    state.change(**chosen)
    if (state.draft().training.phases or ()) != (before.training.phases or ()):
        st.rerun()


def _selection(now: SelectionSpec, tasks: list[str]) -> dict[str, Any]:
    given = now.model_dump(mode="json")["weights"]
    names = ["uniform", "domain", "priors", *([GIVEN] if isinstance(given, dict) else [])]
    at = names.index(GIVEN if isinstance(given, dict) else given)
    weights = st.selectbox(
        "Criterion weights",
        names,
        at,
        key=state.key("weights"),
        help="Fixed weights of the validation criterion; nothing learned can enter it",
    )
    scales = [AUTO, "raw", "baseline", "single_task"]
    before = now.scale if "scale" in now.model_fields_set else AUTO
    about = "Losses as they are, relative to a constant prediction (training mean), or relative to single-task training"
    scale = st.selectbox(
        "Criterion scale", scales, scales.index(before), format_func=forms.words, key=state.key("scale"), help=about
    )
    scaled = {} if scale == AUTO else {"scale": scale}
    return {"weights": given if weights == GIVEN else weights, **scaled, **_stop(now, tasks)}


def _stop(selection: SelectionSpec, tasks: list[str]) -> dict[str, Any]:
    """Early stopping; nothing where it is left to the data."""
    now = selection.stop
    modes = [AUTO, OFF, *get_args(StopSpec.model_fields["on"].annotation)]
    before = now.on if now else OFF if "stop" in selection.model_fields_set else AUTO
    mode = st.selectbox("Early stopping on", modes, modes.index(before), key=state.key("stop"))
    if mode in (AUTO, OFF):
        return {} if mode == AUTO else {"stop": None}
    patience = st.number_input("Patience, epochs", 1, 100_000, now.patience if now else 10, key=state.key("patience"))
    task = None
    if mode == PRIMARY:
        first = tasks.index(now.task) if now and now.task in tasks else 0
        task = st.selectbox("Primary task", tasks, first, key=state.key("primary"))
    return {"stop": {"on": mode, "task": task, "patience": patience, "min_delta": now.min_delta if now else 0.0}}
