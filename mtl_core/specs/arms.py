"""An arm of a comparison: a weighting scheme with its settings and what is put around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mtl_core.fields import Count, Names, Positive, WeightSum
from mtl_core.schemes import SCHEMES, complete, takes_gradients
from mtl_core.schemes.base import Gradients
from mtl_core.specs.base import Spec


class GateSpec(Spec):
    """Availability gating around a scheme."""

    mode: Literal["hard", "soft"] = "hard"
    threshold: float = Field(0.2, ge=0, le=1)
    scope: Literal["batch", "window", "dataset"] = "window"
    sharpness: Positive = Field(20.0, description="kappa of the soft gate")
    window: int = Field(20, ge=1, le=10_000, description="scope window: batches over which the share is averaged")


class ArmSpec(Spec):
    """A weighting scheme with its settings and wrappers; settings are complete once the spec is built."""

    scheme: str
    preset: str | None = None
    settings: dict[str, Any] = {}
    tasks: Names | None = Field(
        None, min_length=1, description="the tasks it trains; the others are left out of it and not judged. None: all"
    )
    gate: GateSpec | None = None
    smooth: Annotated[Positive, Field(le=1)] | None = Field(None, description="EMA factor: share of the new weight at each step")
    every: Annotated[Count, Field(le=100_000)] | None = Field(None, description="recompute weights every this many steps")
    gradients: Gradients | None = Field(None, description="which gradients a gradient-based scheme takes; None: its own default")
    head_gradients: Literal["weighted", "unweighted"] | None = Field(
        None, description="whether a head sees its task's weight; None: as in the scheme's paper"
    )
    weight_sum: WeightSum = Field(
        "paper",
        description="sum of the absolute effective weights, before a soft gate turns any down; paper: as in the source",
    )

    @field_validator("gate", mode="before")
    @classmethod
    def _a_gate_has_parts(cls, value: Any) -> Any:
        if value is None or isinstance(value, Mapping | GateSpec):
            return value
        raise ValueError(f"a gate is a mapping, such as gate: {{threshold: 0.2}}, not {str(value)[:40]!r}")

    @model_validator(mode="before")
    @classmethod
    def _a_name_alone_is_a_scheme(cls, value: Any) -> Any:
        return {"scheme": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _settings_are_the_schemes(self) -> Self:
        object.__setattr__(self, "settings", complete(self.scheme, self.settings, self.preset))
        object.__setattr__(self, "preset", None)  # spelled out in the settings from here on
        return self

    @model_validator(mode="after")
    def _gradients_are_the_schemes(self) -> Self:
        cls = SCHEMES[self.scheme]
        on_gradients = takes_gradients(cls)
        if self.gradients is not None and not on_gradients:
            raise ValueError(f"{self.scheme} looks at losses only; leave gradients out")
        if "jacobian" in cls.needs and self.gradients not in (None, "shared"):
            raise ValueError(f"{self.scheme} takes the gradients of all shared parameters; leave gradients out or say shared")
        if on_gradients:
            object.__setattr__(self, "gradients", self.gradients or cls.gradients)
        if self.head_gradients is None:
            weighted = cls.weighted_heads or not on_gradients
            object.__setattr__(self, "head_gradients", "weighted" if weighted else "unweighted")
        return self


def single_task_arms(tasks: Iterable[str], scheme: str = "equal") -> dict[str, ArmSpec]:
    """An arm for each of the tasks, named `only TASK`, that trains it alone: single-task baselines of a comparison."""
    return {f"only {task}": ArmSpec(scheme=scheme, tasks=(task,)) for task in tasks}
