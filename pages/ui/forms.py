"""Declared settings become widgets, widgets become values: one function for a scheme's setting, one for a scenario's knob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from mtl_core.data.scenarios import Knob, KnobValue
from mtl_core.schemes import Setting
from pages.ui.text import plain

if TYPE_CHECKING:
    import pandas as pd

ONE, EACH = "one for all", "per task"


def setting(name: str, declared: Setting, value: Any, tasks: Sequence[str], key: str) -> Any:
    """The widget of a scheme's setting; returns what the person chose."""
    label, about = words(name), plain(declared.help)
    if declared.kind == "flag":
        return st.toggle(label, bool(value), key=key, help=about)
    if declared.kind == "choice":
        return st.selectbox(label, declared.choices, declared.choices.index(value), key=key, help=about)
    if declared.kind == "interval":
        return _interval(label, declared, value, key, about)
    if declared.kind == "per_task":
        return _per_task(label, declared, value, tasks, key, about)
    return number(label, value, declared.low, declared.high, key, about)


def knob(name: str, declared: Knob, value: KnobValue, key: str) -> KnobValue:
    """The widget of a scenario's knob."""
    label, about = words(name), plain(declared.help)
    if isinstance(declared.default, bool):
        return st.toggle(label, bool(value), key=key, help=about)
    if isinstance(declared.default, str):
        return st.selectbox(label, declared.choices, declared.choices.index(str(value)), key=key, help=about)
    if isinstance(declared.default, int):
        low, high = (None if limit is None else int(limit) for limit in (declared.low, declared.high))
        return st.number_input(label, low, high, int(cast("int", value)), key=key, help=about)
    return float(number(label, float(cast("float", value)), declared.low, declared.high, key, about))


def knobs_by_task(
    declared: Mapping[str, Knob], values: Mapping[str, Mapping[str, float]], tasks: Sequence[str], key: str
) -> dict[str, dict[str, float]]:
    """All knobs by task in one table, a row for each task and a column for each knob; an empty cell leaves it to other knobs."""
    columns = {
        name: st.column_config.NumberColumn(
            words(name.removesuffix("_by_task")), min_value=one.low, max_value=one.high, help=f"{one.help} {limits(one)}"
        )
        for name, one in declared.items()
    }
    rows = [{"task": task, **{name: values[name].get(task) for name in declared}} for task in tasks]
    edited = st.data_editor(
        _typed(rows, declared), disabled=["task"], hide_index=True, key=key, column_config=columns, placeholder="as above"
    )
    kept = edited.set_index("task")
    return {name: {str(task): float(one) for task, one in kept[name].dropna().items()} for name in declared}


def limits(declared: Knob) -> str:
    """Which tasks a knob by task is for, and from where to where."""
    return f"{declared.low:g} to {declared.high:g}; {', '.join(declared.choices)}."


def _typed(rows: Sequence[Mapping[str, Any]], declared: Mapping[str, Knob]) -> pd.DataFrame:
    """Columns of numbers also where all cells are empty."""
    import pandas as pd

    return pd.DataFrame(rows).astype(dict.fromkeys(declared, float))


def number(
    label: str, value: float | None, low: float | None, high: float | None, key: str, about: str | None = None, **more: Any
) -> Any:
    """A number of any size, shown with as many digits as it has."""
    step = max(abs(value) / 10, 1e-6) if value else 0.1
    bounds: dict[str, Any] = {
        "min_value": None if low is None else float(low),
        "max_value": None if high is None else float(high),
    }
    start = None if value is None else float(value)
    return st.number_input(label, **bounds, value=start, step=step, format="%.6g", key=key, help=about, **more)


def words(name: str) -> str:
    """`lr_factor` as a person reads it."""
    return name.replace("_", " ")


def _interval(label: str, declared: Setting, value: Sequence[float] | None, key: str, about: str) -> list[float] | None:
    bounded = st.toggle(f"{label}: bounded", value is not None, key=f"{key}-on", help=about)
    if not bounded:
        return None
    low, high = value or (-2.0, 2.0)
    left, right = st.columns(2)
    with left:
        chosen_low = number(f"{label}: from", low, declared.low, declared.high, f"{key}-low")
    with right:
        chosen_high = number(f"{label}: to", high, declared.low, declared.high, f"{key}-high")
    return [chosen_low, chosen_high]


def _per_task(label: str, declared: Setting, value: Any, tasks: Sequence[str], key: str, about: str) -> Any:
    ways = [ONE, EACH, *declared.choices]
    now = EACH if isinstance(value, Mapping) else value if value in declared.choices else ONE
    way = st.segmented_control(label, ways, default=now, required=True, key=f"{key}-way", help=about)
    if way == EACH:
        return _task_table(value, tasks, f"{key}-each")
    if way in declared.choices:
        return way
    return number(
        label,
        value if isinstance(value, int | float) else 1.0,
        declared.low,
        declared.high,
        f"{key}-one",
        label_visibility="collapsed",
    )


def _task_table(value: Any, tasks: Sequence[str], key: str) -> dict[str, float]:
    known = value if isinstance(value, Mapping) else {}
    single = float(value) if isinstance(value, int | float) else 1.0
    table: list[dict[str, Any]] = [{"task": task, "value": float(known.get(task, single))} for task in tasks]
    edited = st.data_editor(table, disabled=["task"], hide_index=True, key=key)
    return {row["task"]: single if row["value"] is None else row["value"] for row in edited}
