"""From what a person wrote to what will be trained: the rest is filled in from the data, names are checked against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_core.errors import SpecError, unknown
from mtl_core.problem import Problem
from mtl_core.schemes import SCHEMES, check_tasks
from mtl_core.schemes.base import REFUSAL
from mtl_core.shapes import shape_of
from mtl_core.specs import ArmSpec, ExperimentSpec, SelectionSpec, TrainingSpec

ANY_SIGN = "mgda"  # a scheme for losses of any sign
MAX_PARAMETERS = 10_000_000  # of one model
DEFAULTS: dict[str, Any] = {  # of what neither the person nor the data says
    "epochs": 30,
    "batch_size": 64,
    "lr": 1e-3,
    "trunk": "mlp",
    "hidden": (64, 64),
    "channels": (),
    "kernel": 3,
    "strides": (),
    "head_hidden": 0,
    "dropout": 0.0,
    "layer_norm": False,
    "clip": 0.0,
    "weight_decay": 0.0,
    "dtype": "float32",
    "phases": (),
}
CONVOLUTIONS: dict[str, Any] = {"channels": (16, 32), "strides": (1, 2)}  # where a conv trunk is asked for and nothing said of it


def resolve(spec: ExperimentSpec, problem: Problem) -> ExperimentSpec:
    """Fill in what was left to the data, and check every task name against the problem. Raises SpecError."""
    names = [task.name for task in problem.tasks]
    _check_task_names(spec, names)
    _check_signs(spec, problem)
    _check_phases(spec.training, names)
    recommended = {**DEFAULTS, **problem.training}
    advised = {name: recommended.pop(name) for name in ("stop", "scale") if name in recommended}
    training = _completed(recommended, spec.training.model_dump(exclude_none=True))
    _check_size(problem, training)
    _check_shared(spec, training)
    chosen = spec.selection.model_dump(include=spec.selection.model_fields_set)
    selection = SelectionSpec.model_validate({**advised, **chosen})
    _check_scale(selection, problem)
    _check_selects(spec, selection)
    selection = SelectionSpec.model_validate(selection.model_dump())  # all fields set: resolving twice changes nothing
    score = spec.score if spec.score is not None else {n: float(problem.score_weights.get(n, 0.0)) for n in names}
    if not any(score.values()):
        score = dict.fromkeys(names, 1.0 / len(names))
    update = {"training": training, "selection": selection, "score": score}
    return spec.model_copy(update=update)


def needs_positive(arm: ArmSpec) -> bool:
    """Whether an arm refuses losses below 0, which a setting may decide: without a task or a tensor."""
    plain = {name: min(value.values()) if isinstance(value, Mapping) else value for name, value in arm.settings.items()}
    return SCHEMES[arm.scheme](**plain).positive_losses


def _check_signs(spec: ExperimentSpec, problem: Problem) -> None:
    if not any(task.kind == "function" for task in problem.tasks):
        return
    for name, arm in spec.arms.items():
        if needs_positive(arm):
            raise SpecError(
                f'Arm "{name}": {arm.scheme} {REFUSAL}, and those of {problem.name} go below 0; choose another scheme, such as '
                f"{ANY_SIGN}."
            )


def _check_selects(spec: ExperimentSpec, selection: SelectionSpec) -> None:
    """What selects epochs is known of every arm, also of one on some of the tasks."""
    primary, weights = selection.stop and selection.stop.task, selection.weights
    for name, arm in spec.arms.items():
        if arm.tasks is None:
            continue
        if primary and primary not in arm.tasks:
            raise SpecError(
                f'Arm "{name}" does not train {primary}, whose loss selects the epochs; say selection.stop on: criterion, or '
                "leave the arm out."
            )
        if isinstance(weights, dict) and not any(weights.get(task) for task in arm.tasks):
            raise SpecError(f'Arm "{name}" trains no task with a weight in the criterion; change selection.weights or the arm.')


def _check_scale(selection: SelectionSpec, problem: Problem) -> None:
    functions = [task.name for task in problem.tasks if task.kind == "function"]
    if functions and selection.scale != "raw":
        raise SpecError(
            f"selection.scale: {functions[0]} is a function, whose values may be negative or 0, so nothing can be relative to "
            f"one; say raw, not {selection.scale}."
        )


def _completed(recommended: dict[str, Any], chosen: dict[str, Any]) -> TrainingSpec:
    """What was chosen, for the rest what is recommended. Phases chosen decide the epochs, epochs chosen stretch phases."""
    values = {**recommended, **chosen}
    if values["trunk"] == "conv" and not values["channels"]:
        values |= CONVOLUTIONS
    if len(values["strides"]) != len(values["channels"]):
        values["strides"] = ()
    if chosen.get("phases"):
        values["epochs"] = chosen.get("epochs")
    elif values["phases"]:
        values["phases"] = _stretched(values["phases"], values["epochs"])
    return TrainingSpec.model_validate(values)


def _stretched(phases: Sequence[dict[str, Any]], epochs: int) -> list[dict[str, Any]]:
    """The phases with so many epochs together, each with its share and at least one."""
    if epochs < len(phases):
        raise SpecError(f"training.epochs: this schedule has {len(phases)} phases and needs as many epochs, not {epochs}.")
    whole = sum(phase["epochs"] for phase in phases)
    ends = [round(sum(phase["epochs"] for phase in phases[: n + 1]) * epochs / whole) for n in range(len(phases))]
    for n in range(len(ends)):  # no phase is lost by rounding
        ends[n] = min(max(ends[n], n + 1, ends[n - 1] + 1 if n else 1), epochs - (len(ends) - 1 - n))
    return [{**phase, "epochs": end - start} for phase, start, end in zip(phases, [0, *ends], ends, strict=False)]


def _check_size(problem: Problem, training: TrainingSpec) -> None:
    parameters = shape_of(problem, training).parameters
    if parameters > MAX_PARAMETERS:
        raise SpecError(
            f"training.hidden: this model has {parameters:,} parameters and at most {MAX_PARAMETERS:,} are allowed; "
            "take fewer or narrower layers."
        )


def _check_shared(spec: ExperimentSpec, training: TrainingSpec) -> None:
    if training.hidden or training.trunk != "mlp":
        return
    for name, arm in spec.arms.items():
        if arm.gradients is not None:
            raise SpecError(
                f'Arm "{name}": {arm.scheme} weighs the gradients of shared parameters, and a model without hidden layers has '
                "none; say training.hidden, such as [64, 64], or choose a scheme on losses."
            )


def _check_task_names(spec: ExperimentSpec, names: list[str]) -> None:
    for name, arm in spec.arms.items():
        check_tasks(arm.scheme, arm.settings, names, where=f'Arm "{name}"')
        for task in arm.tasks or ():
            if task not in names:
                raise SpecError(f'Arm "{name}", tasks: {unknown("task", task, names)}')
    named = list(spec.score or ())
    if isinstance(spec.selection.weights, dict):
        named += spec.selection.weights
        if not any(weight for task, weight in spec.selection.weights.items()):
            raise SpecError("selection.weights: at least one weight must be above 0.")
    if spec.selection.stop and spec.selection.stop.task:
        named.append(spec.selection.stop.task)
    for task in named:
        if task not in names:
            raise SpecError(unknown("task", task, names))


def _check_phases(training: TrainingSpec, names: list[str]) -> None:
    for number, phase in enumerate(training.phases or (), start=1):
        for task in (*(phase.tasks or ()), *(part for part in phase.frozen if part != "trunk")):
            if task not in names:
                raise SpecError(f"training.phases, phase {number}: {unknown('task', task, names)}")
