"""What a MultiTaskLoss is made with, checked once, with a sentence for each thing that people trip over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from pydantic import ValidationError

from mtl_core.errors import SpecError
from mtl_core.modules.doors import Shared, shared_parameters
from mtl_core.schemes import SCHEMES, check_tasks
from mtl_core.specs import MAPS, ArmSpec, TaskSpec, sentence


def task_specs(tasks: Sequence[str] | Mapping[str, str] | Sequence[TaskSpec]) -> tuple[TaskSpec, ...]:
    """Names, names with kinds, or specs, as specs. Raises SpecError."""
    if isinstance(tasks, str | set | frozenset) or not isinstance(tasks, Sequence | Mapping):
        raise SpecError(
            f'tasks is a list of names, as in ["depth", "class"], or a mapping of names to kinds; not {_shown(tasks)}'
            f"{': a set has no order' if isinstance(tasks, set | frozenset) else ''}."
        )
    kinds = tasks if isinstance(tasks, Mapping) else {}
    try:
        specs = tuple(task if isinstance(task, TaskSpec) else _task_spec(task, kinds.get(task, "regression")) for task in tasks)
    except ValidationError as error:
        raise SpecError(sentence(error)) from None
    names = [task.name for task in specs]
    if not names:
        raise SpecError("At least one task is needed.")
    if len(set(names)) < len(names):
        raise SpecError(f"A task is named twice: {', '.join(names)}.")
    return specs


def _task_spec(name: Any, kind: Any) -> TaskSpec:
    shape: dict[str, Any] = {"grid": (1, 1)} if kind in MAPS else {}  # how large or how many does not matter here
    if kind in ("multiclass", "segmentation", "detection"):
        shape["classes"] = ("0", "1")
    return TaskSpec.model_validate({"name": name, "kind": kind, **shape})


def arm_spec(scheme: str, settings: Any, options: Mapping[str, Any], names: Sequence[str]) -> ArmSpec:
    """The scheme with its settings and wrappers. Raises SpecError."""
    if "gradients" in options:
        raise SpecError("gradients is no option here: what is passed to backward, shared= or representation=, decides.")
    if not isinstance(settings or {}, Mapping):
        raise SpecError(f"settings is a mapping of names to values, not {_shown(settings)}.")
    try:
        arm = ArmSpec.model_validate({"scheme": scheme, "settings": dict(settings or {}), **options})
    except ValidationError as error:
        raise SpecError(sentence(error)) from None
    check_tasks(scheme, arm.settings, names, where="MultiTaskLoss")
    return arm


def learning_rate(lr: Any) -> float:
    """The model's learning rate. Raises SpecError."""
    if isinstance(lr, bool) or not isinstance(lr, Real) or not 0 < float(lr) < math.inf:
        raise SpecError(f"lr is a number above 0, not {_shown(lr)}.")
    return float(lr)


def epoch_length(scheme: str, steps_per_epoch: Any) -> int:
    """Steps in an epoch; a scheme that does not look at epochs can do without. Raises SpecError."""
    if steps_per_epoch is None and SCHEMES[scheme].epochs:
        raise SpecError(f"{scheme} looks at epochs: say how many steps one has, as in steps_per_epoch=len(loader).")
    return 1 if steps_per_epoch is None else _whole("steps_per_epoch", steps_per_epoch)


def seed_of(seed: Any) -> int:
    """Of schemes that draw at random. Raises SpecError."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < 2**31:
        raise SpecError(f"seed is a whole number from 0 to 2147483647, not {_shown(seed)}.")
    return int(seed)


def precision(dtype: Any) -> torch.dtype:
    """In which the scheme reckons. Raises SpecError."""
    if dtype is None:
        return torch.promote_types(torch.get_default_dtype(), torch.float32)
    if dtype not in (torch.float32, torch.float64):
        raise SpecError(f"dtype is torch.float32 or torch.float64, not {_shown(dtype)}.")
    return dtype  # type: ignore[no-any-return]


def count_of(scheme: str, parameters: int | Shared | None) -> int:
    """How many numbers the shared parameters are. Raises SpecError."""
    if parameters is None:
        raise SpecError(
            f"{scheme} works on whole gradients: say which parameters are shared, as in parameters=model.trunk.parameters()."
        )
    if isinstance(parameters, Real | str):
        return _whole("parameters", parameters)
    return sum(one.numel() for one in shared_parameters(parameters, "parameters"))


def _whole(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise SpecError(f"{what} is a whole number of at least 1, not {_shown(value)}.")
    return int(value)


def _shown(value: Any) -> str:
    """A value in a sentence; of a long one its type."""
    text = repr(value)
    return text if len(text) <= 40 and "\n" not in text else f"a {type(value).__name__}"


def differing(arm: ArmSpec) -> list[str]:
    """Settings and wrappers that are not the scheme's defaults, as `name=value`."""
    given, plain = arm.model_dump(mode="json"), ArmSpec(scheme=arm.scheme).model_dump(mode="json")
    settings = {name: value for name, value in given.pop("settings").items() if value != plain["settings"][name]}
    others = {name: value for name, value in given.items() if name != "scheme" and value != plain[name]}
    return [f"{name}={value}" for name, value in (settings | others).items()]
