"""What an arm puts around its scheme: gate, smoothing, pace, which gradients, what heads see, the sum of the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import streamlit as st

from mtl_core.schemes import SCHEMES
from mtl_core.schemes.base import Gradients
from mtl_core.specs import ArmSpec, GateSpec
from pages.ui import forms
from pages.ui.text import short

Key = Callable[[str], str]  # from a widget's name to its key
OWN, GIVEN = "the paper's", "given"


def summary(arm: ArmSpec) -> str:
    """`softplus, hard gate 0.2`: the scheme and whatever around it is not as the scheme has it by itself."""
    usual = ArmSpec(scheme=arm.scheme)
    gate = [f"{arm.gate.mode} gate {arm.gate.threshold:g}"] if arm.gate else []
    smooth = [f"smooth {arm.smooth:g}"] if arm.smooth else []
    every = [f"every {arm.every} steps"] if arm.every else []
    gradients = [f"{forms.words(str(arm.gradients))} gradients"] if arm.gradients != usual.gradients else []
    heads = [f"{arm.head_gradients} heads"] if arm.head_gradients != usual.head_gradients else []
    total = [] if arm.weight_sum == "paper" else [f"weights sum to {arm.weight_sum:g}"]
    return ", ".join([arm.scheme, *_tasks(arm), *gate, *smooth, *every, *gradients, *heads, *total])


def chosen(arm: ArmSpec) -> bool:
    """Whether anything is put around the scheme."""
    return summary(arm.model_copy(update={"tasks": None})) != arm.scheme


def _tasks(arm: ArmSpec) -> list[str]:
    """On which tasks it is, in few letters."""
    if arm.tasks is None:
        return []
    return [f"only {short(arm.tasks[0], 18)}" if len(arm.tasks) == 1 else f"{len(arm.tasks)} tasks"]


def options(arm: ArmSpec, start: ArmSpec, key: Key) -> dict[str, Any]:
    """The widgets. What belongs to any scheme starts from `arm`, what belongs to the chosen one from `start`."""
    return {"gate": _gate(arm, key), **_pace(arm, key), **_gradients(start, key), "weight_sum": _sum(arm, key)}


def _gate(arm: ArmSpec, key: Key) -> dict[str, Any] | None:
    gate = arm.gate or GateSpec()
    mode = st.segmented_control(
        "Availability gate", ["off", "hard", "soft"], key=key("gate-mode"), required=True,
        default=gate.mode if arm.gate else "off",
        help="Leaves a task out (hard) or turns it down (soft) while the share of its labels is below the threshold",
    )  # fmt: skip
    if mode == "off":
        return None
    threshold = st.slider("Gate threshold", 0.0, 1.0, gate.threshold, 0.01, key=key("gate-threshold"))
    scopes = ["batch", "window", "dataset"]
    scope = st.segmented_control(
        "Share of labels measured over", scopes, default=gate.scope, required=True, key=key("gate-scope")
    )
    found: dict[str, Any] = {"mode": mode, "threshold": threshold, "scope": scope}
    found |= {"window": gate.window, "sharpness": gate.sharpness}
    if scope == "window":
        found["window"] = st.number_input("Window, batches", 1, 10_000, gate.window, key=key("gate-window"))
    if mode == "soft":
        found["sharpness"] = forms.number("Sharpness κ", gate.sharpness, 1e-6, None, key("gate-sharpness"))
    return found


def _pace(arm: ArmSpec, key: Key) -> dict[str, Any]:
    words = "Smoothing of weights: share of the new value"
    smooth = st.slider(words, 0.01, 1.0, arm.smooth or 1.0, 0.01, key=key("arm-smooth"), help="1: off")
    every = st.number_input("New weights every … steps", 1, 100_000, arm.every or 1, key=key("arm-every"), help="1: every step")
    return {"smooth": None if smooth == 1.0 else smooth, "every": None if every == 1 else every}


def _gradients(start: ArmSpec, key: Key) -> dict[str, Any]:
    """Which gradients, for a scheme that may be asked; and whether heads see the weights."""
    found: dict[str, Any] = {}
    if "gramian" in SCHEMES[start.scheme].needs:
        found["gradients"] = st.segmented_control(
            "Gradients of", list(get_args(Gradients)), default=start.gradients, required=True, format_func=forms.words,
            key=key(f"arm-gradients-{start.scheme}"),
            help="All shared parameters, the last shared layer, or the shared representation (cheapest)",
        )  # fmt: skip
    found["head_gradients"] = st.segmented_control(
        "Heads learn from", ["weighted", "unweighted"], default=start.head_gradients, required=True,
        format_func=lambda way: f"{way} losses", key=key(f"arm-heads-{start.scheme}"),
        help="Whether a head sees its task's weight; papers on gradients leave it out",
    )  # fmt: skip
    return found


def _sum(arm: ArmSpec, key: Key) -> Any:
    way = st.segmented_control(
        "Sum of the weights", [OWN, GIVEN], default=OWN if arm.weight_sum == "paper" else GIVEN, required=True,
        key=key("arm-sum"), help="Papers scale weights differently; a given sum makes steps of comparable size",
    )  # fmt: skip
    if way == OWN:
        return "paper"
    value = 1.0 if arm.weight_sum == "paper" else float(arm.weight_sum)
    return forms.number("Sum of the absolute weights", value, 1e-6, 1e6, key("arm-sum-value"))
