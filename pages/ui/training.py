"""Model and optimizer of a comparison as widgets. Every field of the training has one, or is kept as it is."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from mtl_core.errors import SpecError
from mtl_core.specs import TrainingSpec
from pages.ui import forms, state
from pages.ui.guard import guard

AUTO, NONE = "auto", "none"
TRUNKS = {"mlp": "dense layers", "conv": "convolutions, then dense layers", "point": "a point", "module": "a module of your own"}
OFFERED = ("mlp", "conv")  # the others belong to problems and modules that bring them along


def training(now: TrainingSpec) -> dict[str, Any]:
    """The optimizer's part. Phases that are given decide the number of epochs."""
    if now.phases:
        total = sum(phase.epochs for phase in now.phases)
        about = "Those of the phases below together"
        st.text_input("Epochs", f"{total:,}", disabled=True, key=state.key(f"epochs-of-phases-{total}"), help=about)
        epochs: int | None = total
    else:
        epochs = _whole("Epochs", now.epochs, "epochs", 100_000)
    optimizers = ["adam", "adamw", "sgd"]
    return {
        "epochs": epochs,
        "batch_size": _whole("Batch size", now.batch_size, "batch", 1_000_000),
        "lr": forms.number("Learning rate", now.lr, 1e-9, None, state.key("lr"), placeholder=AUTO),
        "weight_decay": forms.number("Weight decay", now.weight_decay, 0.0, None, state.key("decay"), placeholder=AUTO),
        "clip": forms.number(
            "Gradient clipping", now.clip, 0.0, None, state.key("clip"), placeholder=AUTO,
            about="Bound on the length of a run's whole gradient; 0: none",
        ),
        "optimizer": st.selectbox("Optimizer", optimizers, optimizers.index(now.optimizer), key=state.key("optimizer")),
    }  # fmt: skip


def model(now: TrainingSpec) -> dict[str, Any]:
    """The model's part: what the tasks share, and the heads."""
    values: dict[str, Any] = {"trunk": _trunk(now)}
    values["hidden"] = widths("Hidden layers", now.hidden, "hidden", "64, 64", "Widths of the dense layers that the tasks share")
    if values["trunk"] != "mlp":
        about = "Channels of each convolution; only for images and sequences"
        values["channels"] = _filled_in(
            now.channels, widths("Convolution channels", now.channels or None, "channels", "16, 32", about)
        )
        strides = now.strides if now.channels else now.strides or None
        chosen = widths("Convolution strides", strides, "strides", "1, 2", "One for each convolution; none: 1")
        values["strides"] = _filled_in(now.strides, chosen)
        kernels = [None, *range(1, 16, 2)]
        values["kernel"] = st.selectbox(
            "Convolution kernel", kernels, kernels.index(now.kernel), key=state.key("kernel"), format_func=_or_auto,
            help="Side of the kernels",
        )  # fmt: skip
    values["head_hidden"] = _whole("Hidden layer of heads", now.head_hidden, "head", 8192, 0, "Its width; 0: none")
    values["dropout"] = forms.number(
        "Dropout", now.dropout, 0.0, 0.99, state.key("dropout"), placeholder=AUTO,
        about="Share of the trunk's activations that are dropped in training",
    )  # fmt: skip
    ways = [None, True, False]
    values["layer_norm"] = st.selectbox(
        "Layer norm", ways, ways.index(now.layer_norm), key=state.key("norm"), format_func=_or_auto,
        help="Before each activation of the trunk",
    )  # fmt: skip
    return values


def _trunk(now: TrainingSpec) -> str | None:
    """A choice that the problem made (a point, a module) stays there to be kept."""
    trunks = [None, *OFFERED, *([now.trunk] if now.trunk not in (None, *OFFERED) else [])]
    return st.selectbox(
        "Trunk", trunks, trunks.index(now.trunk), key=state.key("trunk"), format_func=lambda one: TRUNKS.get(one, AUTO),
        help="What the tasks share. Convolutions need images or sequences",
    )  # fmt: skip


def _filled_in(now: tuple[int, ...] | None, chosen: list[int] | None) -> list[int] | None:
    """What a model without convolutions has none of is filled in by Run as soon as it has some: shown as auto, kept as it is."""
    return [] if now == () and chosen is None else chosen


def widths(words: str, now: tuple[int, ...] | None, name: str, example: str, about: str) -> list[int] | None:
    """Whole numbers as a line of text; empty: auto, `none`: no layers. What cannot be read leaves them as they were."""
    told = "" if now is None else ", ".join(map(str, now)) or NONE
    text = st.text_input(words, told, key=state.key(name), placeholder=AUTO, help=f"{about}, such as {example}")
    before = None if now is None else list(now)
    if text == told:
        return before
    with guard(f"{words} were not changed."):
        return numbers(words, text, example)
    return before


def numbers(words: str, text: str, example: str) -> list[int] | None:
    """`64, 64` as numbers, `none` as none, nothing as None. Raises SpecError."""
    parts = [part for part in re.split(r"[\s,]+", text.strip()) if part]
    if parts == [NONE]:
        return []
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise SpecError(f'{words} are whole numbers with commas between them, such as {example}, or none; not "{text[:40]}".')
    return [int(part) for part in parts] or None


def _whole(words: str, now: int | None, name: str, most: int, least: int = 1, about: str | None = None) -> int | None:
    return st.number_input(words, least, most, now, key=state.key(name), placeholder=AUTO, help=about)


def _or_auto(value: Any) -> str:
    return AUTO if value is None else {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
