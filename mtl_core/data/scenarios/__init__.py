"""Built-in scenarios by name: data sets with named tasks, knobs for their difficulties, and a default budget.

To add one: a file here that ends in a `Scenario`, and its name in the tuple below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtl_core.data.scenarios.banknotes import BANKNOTES
from mtl_core.data.scenarios.base import Knob, KnobValue, Scenario, is_by_task, tasks_of
from mtl_core.data.scenarios.gradnorm_toy import GRADNORM_TOY
from mtl_core.data.scenarios.landscape import LANDSCAPE
from mtl_core.data.scenarios.multi_digits import MULTI_DIGITS
from mtl_core.data.scenarios.noise_and_scale import NOISE_AND_SCALE
from mtl_core.data.scenarios.osint import OSINT
from mtl_core.data.scenarios.scenes import SCENES
from mtl_core.data.scenarios.turbofan import TURBOFAN
from mtl_core.errors import SpecError, unknown
from mtl_core.problem import Problem

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (OSINT, NOISE_AND_SCALE, MULTI_DIGITS, BANKNOTES, SCENES, TURBOFAN, GRADNORM_TOY, LANDSCAPE)
}

__all__ = ["SCENARIOS", "Knob", "KnobValue", "Scenario", "complete", "describe", "is_by_task", "load", "tasks_of"]


def complete(name: str, knobs: Mapping[str, Any]) -> dict[str, KnobValue]:
    """Every knob of the scenario, checked, with defaults filled in; of knobs by task only those that say something.

    So a scenario can be given a knob by task, and what was run before is still the same run. Raises SpecError.
    """
    if name not in SCENARIOS:
        raise SpecError(unknown("scenario", name, SCENARIOS))
    declared = SCENARIOS[name].knobs
    for knob in knobs:
        if knob not in declared:
            raise SpecError(unknown(f"knob of {name}", str(knob), declared))
    whole = {knob: _checked(f"{name}.{knob}", one, knobs.get(knob, one.default)) for knob, one in declared.items()}
    for knob, value in whole.items():
        if isinstance(value, Mapping):
            _check_tasks(f"{name}.{knob}", value, tasks_of(declared[knob], whole))
    return {knob: value for knob, value in whole.items() if value != {}}


def load(name: str, knobs: Mapping[str, Any] | None = None) -> Problem:
    """The scenario's data. The same knobs give the same data, bit for bit. Raises SpecError."""
    checked = complete(name, knobs or {})
    defaults = {knob: one.default for knob, one in SCENARIOS[name].knobs.items()}
    return SCENARIOS[name].load(**{**defaults, **checked})


def describe() -> list[dict[str, Any]]:
    """The catalogue as plain data: what `python -m mtl_core scenarios --json` prints."""
    return [
        {
            "name": one.name,
            "title": one.title,
            "story": one.story,
            "synthetic": one.synthetic,
            "knobs": [{"name": name, **knob._asdict(), "choices": list(knob.choices)} for name, knob in one.knobs.items()],
        }
        for one in SCENARIOS.values()
    ]


def _checked(where: str, knob: Knob, value: Any) -> KnobValue:
    if is_by_task(knob):
        return _by_task(where, knob, value)
    if isinstance(knob.default, bool):
        if not isinstance(value, bool):
            raise SpecError(f"{where} is true or false, not {value!r}.")
        return value
    if isinstance(knob.default, str):
        if value not in knob.choices:
            raise SpecError(f"{where} is one of {', '.join(knob.choices)}, not {value!r}.")
        return str(value)
    return _number(where, knob, value)


def _by_task(where: str, knob: Knob, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise SpecError(f"{where} maps names of tasks to numbers, as in {{{knob.choices[0]}: {knob.high:g}}}, not {value!r}.")
    _check_tasks(where, value, knob.choices)
    one = Knob(0.0, knob.low, knob.high, "")
    return {task: float(_number(f"{where}.{task}", one, value[task])) for task in knob.choices if task in value}


def _check_tasks(where: str, named: Iterable[str], allowed: Sequence[str]) -> None:
    for task in named:
        if task not in allowed:
            raise SpecError(f"{where}: {unknown('task', str(task), allowed)}")


def _number(where: str, knob: Knob, value: Any) -> int | float:
    whole = isinstance(knob.default, int)
    what = "a whole number" if whole else "a number"
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or (whole and value != int(value))
    ):
        raise SpecError(f"{where} is {what}, not {value!r}.")
    if (knob.low is not None and value < knob.low) or (knob.high is not None and value > knob.high):
        raise SpecError(f"{where} is {what} from {knob.low:,.10g} to {knob.high:,.10g}, not {value:,.10g}.")
    return int(value) if whole else float(value)
