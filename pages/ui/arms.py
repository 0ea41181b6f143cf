"""Arms as chips, and the form behind a chip, generated from the scheme's declared settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from mtl_core.errors import SpecError
from mtl_core.schemes import SCHEMES
from mtl_core.schemes.catalogue import FAMILIES, idea
from mtl_core.specs import ArmSpec, ExperimentSpec, digest
from pages.ui import around, forms, state
from pages.ui.guard import guard
from pages.ui.palette import Look, Theme, looks
from pages.ui.text import inline, label, plain, short

NEW = ""


def chips(spec: ExperimentSpec, tasks: Sequence[str], theme: Theme) -> None:
    """One button an arm, its edge in the arm's colour, and one to add an arm."""
    edges = [f".st-key-arm-{n} button {{{edge(look)}}}" for n, look in enumerate(looks(spec, theme).values())]
    st.html(f"<style>{' '.join(edges)}</style>")
    for n, (name, arm) in enumerate(spec.arms.items()):
        baseline = " · baseline" if name == spec.baseline else ""
        told = arm.model_copy(update={"tasks": None}) if arm.tasks and name == f"only {arm.tasks[0]}" else arm  # said by its name
        words = f"**{label(name, 24)}** · {plain(around.summary(told))}{baseline}"
        if st.button(words, key=f"arm-{n}"):
            _open(name, arm, tasks)
    if st.button("+ Add arm", key="arm-add", type="tertiary", disabled=len(spec.arms) >= state.MAX_ARMS):
        _open(NEW, ArmSpec(scheme="softplus"), tasks)
    if len(tasks) > 1:
        about = "One arm more for each task, which trains it alone with a weight of 1: what sharing gains or costs the task"
        st.button("+ Single-task arms", key="arm-singles", type="tertiary", on_click=_add_singles, args=(tasks,), help=about)


def _add_singles(tasks: Sequence[str]) -> None:
    try:
        state.add_single_task_arms(tasks)
    except SpecError as error:
        state.say(str(error))


def edge(look: Look) -> str:
    """CSS of a chip's left edge: the arm's line, stood upright, with its dash."""
    stops, at = [], 0
    for n, length in enumerate(look.dash or [1]):
        stops.append(f"{'transparent' if n % 2 else look.colour} {at}px {at + length}px")
        at += length
    return (
        "border-left-width: 0; padding-left: 16px; "
        f"background-image: repeating-linear-gradient(to bottom, {', '.join(stops)}); "
        "background-size: 6px 100%; background-repeat: no-repeat;"
    )


def _open(name: str, arm: ArmSpec, tasks: Sequence[str]) -> None:
    st.session_state["opened"] = st.session_state.get("opened", 0) + 1
    edit(name, arm, list(tasks))


def _key(name: str) -> str:
    """Widgets of the form are new each time it is opened."""
    return f"{name}-{st.session_state['opened']}"


@st.dialog("Arm", width="medium")
def edit(name: str, arm: ArmSpec, tasks: list[str]) -> None:
    """The form of one arm; nothing changes before Apply."""
    new_name = st.text_input("Name", name or _free_name(), max_chars=80, key=_key("arm-name"))
    names = by_family()
    scheme = st.selectbox("Scheme", names, names.index(arm.scheme), format_func=_words, key=_key("arm-scheme"))
    cls = SCHEMES[scheme]
    st.caption(f"{inline(idea(cls))} {plain(f'Source: {cls.source}.')}")
    chosen = _tasks(arm, tasks)
    start = arm if arm.scheme == scheme else ArmSpec(scheme=scheme)
    if cls.presets:
        preset = st.segmented_control(
            "Start from", ["as it is", *cls.presets], default="as it is", required=True, key=_key(f"arm-preset-{scheme}")
        )
        start = start if preset == "as it is" else ArmSpec(scheme=scheme, preset=preset)
    settings = _settings(scheme, start, tasks)
    with st.expander("Gate, smoothing, pace, gradients, sum of weights", expanded=around.chosen(arm)):
        options = around.options(arm, start, _key)
    _buttons(name, new_name, {"scheme": scheme, "settings": settings, "tasks": chosen, **options})


def by_family() -> list[str]:
    """Scheme names, those of one family side by side, families in the order of `FAMILIES`."""
    return sorted(SCHEMES, key=lambda name: list(FAMILIES).index(SCHEMES[name].family))


def _words(scheme: str) -> str:
    """What the select shows and searches: family, title, name."""
    return f"{SCHEMES[scheme].family} · {SCHEMES[scheme].title} ({scheme})"


def _tasks(arm: ArmSpec, tasks: list[str]) -> list[str] | None:
    """The tasks the arm trains; None: all."""
    if len(tasks) < 2:
        return None
    about = "The others are left out of its training, its criterion and its verdict"
    chosen = st.multiselect(
        "Tasks it trains", tasks, [task for task in tasks if arm.tasks is None or task in arm.tasks],
        format_func=short, key=_key("arm-tasks"), help=about,
    )  # fmt: skip
    return some_of(chosen, tasks)


def some_of(chosen: Sequence[str], tasks: Sequence[str]) -> list[str] | None:
    """The chosen tasks in the problem's order, so that an arm has one hash; None: all."""
    return None if len(chosen) == len(tasks) else [task for task in tasks if task in chosen]


def _settings(scheme: str, start: ArmSpec, tasks: list[str]) -> dict[str, Any]:
    stamp = digest(start.canonical())  # another start means other widgets
    declared = SCHEMES[scheme].settings()
    return {
        name: forms.setting(name, one, start.settings[name], tasks, _key(f"arm-{name}-{stamp}")) for name, one in declared.items()
    }


def _buttons(name: str, new_name: str, arm: dict[str, Any]) -> None:
    spec = state.draft()
    with st.container(horizontal=True):
        done = st.button("Apply", type="primary", key="arm-apply")
        baseline = name not in (NEW, spec.baseline) and st.button("Make it the baseline", key="arm-baseline")
        removed = name != NEW and len(spec.arms) > 1 and st.button("Remove", key="arm-remove")
    with guard():
        if done or baseline:
            _put(name, new_name, arm, make_baseline=bool(baseline))
        elif removed:
            left = {key: value.model_dump(mode="json") for key, value in spec.arms.items() if key != name}
            state.change(arms=left, baseline="" if name == spec.baseline else spec.baseline)
        if done or baseline or removed:
            st.rerun()


def _put(name: str, new_name: str, arm: dict[str, Any], *, make_baseline: bool) -> None:
    spec = state.draft()
    if arm["tasks"] == []:
        raise SpecError("An arm trains at least one task: choose some under Tasks it trains.")
    if new_name != name and new_name in spec.arms:
        raise SpecError(f'There is an arm "{new_name}" already: choose another name.')
    arms: dict[str, Any] = {new_name if key == name else key: value.model_dump(mode="json") for key, value in spec.arms.items()}
    arms[new_name] = arm
    renamed = new_name if make_baseline or name == spec.baseline else spec.baseline
    state.change(arms=arms, baseline=renamed)


def _free_name() -> str:
    return next(name for n in range(1, 100) if (name := f"arm {n}") not in state.draft().arms)
