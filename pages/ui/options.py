"""Everything beside the arms, in one collapsed block: seeds, training, the fixed criterion, early stopping."""

from __future__ import annotations

import re
from typing import Any, get_args

import streamlit as st

from mtl_core.errors import SpecError
from mtl_core.specs import ExperimentSpec, SelectionSpec, StopSpec, TrainingSpec
from pages.ui import forms, state
from pages.ui.guard import guard

OFF, PRIMARY, GIVEN = "off", "primary", "as given"
AUTO = "auto"


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
            training = _training(spec.training)
            selection = _selection(spec.selection, tasks)
            device = st.selectbox(
                "Device",
                ["auto", "cpu", "cuda", "mps"],
                ["auto", "cpu", "cuda", "mps"].index(spec.device),
                key=state.key("device"),
            )
        kept = list(spec.seeds) if seeds == len(spec.seeds) else list(range(seeds))
        chosen = {"seeds": kept, "training": training, "selection": selection, "device": device}
        if any(spec.model_dump(mode="json")[name] != value for name, value in chosen.items()):
            state.change(**chosen)


def _training(now: TrainingSpec) -> dict[str, Any]:
    epochs = st.number_input("Epochs", 1, 100_000, now.epochs, key=state.key("epochs"), placeholder=AUTO)
    batch = st.number_input("Batch size", 1, 1_000_000, now.batch_size, key=state.key("batch"), placeholder=AUTO)
    lr = forms.number("Learning rate", now.lr, 1e-9, None, state.key("lr"), placeholder=AUTO)
    layers = ", ".join(str(width) for width in now.hidden) if now.hidden is not None else ""
    hidden = st.text_input(
        "Hidden layers", layers, key=state.key("hidden"), placeholder=AUTO, help="Widths of the shared trunk, such as 64, 64"
    )
    decay = forms.number("Weight decay", now.weight_decay, 0.0, None, state.key("decay"), placeholder=AUTO)
    optimizers = ["adam", "adamw", "sgd"]
    optimizer = st.selectbox("Optimizer", optimizers, optimizers.index(now.optimizer), key=state.key("optimizer"))
    widths = now.model_dump(mode="json")["hidden"]
    if hidden != layers:
        with guard("The layers were not changed."):
            widths = _widths(hidden)
    kept = now.model_dump(mode="json")
    if epochs != now.epochs:
        kept["phases"] = None  # the data's are stretched over the new number; those of a spec would contradict it
    return kept | {
        "epochs": epochs, "batch_size": batch, "lr": lr, "hidden": widths, "optimizer": optimizer, "weight_decay": decay,
    }  # fmt: skip


def _widths(text: str) -> list[int] | None:
    parts = [part for part in re.split(r"[\s,]+", text.strip()) if part]
    if not all(part.isdecimal() for part in parts):
        raise SpecError(f'Hidden layers are whole numbers with commas between them, such as 64, 64; not "{text[:40]}".')
    return [int(part) for part in parts] if parts else None


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
    scales = ["raw", "baseline", "single_task"]
    about = "Losses as they are, relative to a constant prediction (training mean), or relative to single-task training"
    scale = st.selectbox(
        "Criterion scale", scales, scales.index(now.scale), format_func=forms.words, key=state.key("scale"), help=about
    )
    return {"weights": given if weights == GIVEN else weights, "scale": scale, "stop": _stop(now.stop, tasks)}


def _stop(now: StopSpec | None, tasks: list[str]) -> dict[str, Any] | None:
    modes = [OFF, *get_args(StopSpec.model_fields["on"].annotation)]
    mode = st.selectbox("Early stopping on", modes, modes.index(now.on) if now else 0, key=state.key("stop"))
    if mode == OFF:
        return None
    patience = st.number_input("Patience, epochs", 1, 100_000, now.patience if now else 10, key=state.key("patience"))
    task = None
    if mode == PRIMARY:
        before = tasks.index(now.task) if now and now.task in tasks else 0
        task = st.selectbox("Primary task", tasks, before, key=state.key("primary"))
    return {"on": mode, "task": task, "patience": patience, "min_delta": now.min_delta if now else 0.0}
