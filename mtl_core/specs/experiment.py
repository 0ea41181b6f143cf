"""What is trained and compared: one lane (`RunSpec`), and a comparison of many (`ExperimentSpec`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, field_validator, model_validator

from mtl_core.errors import SpecError, unknown
from mtl_core.fields import Name, NonNegative, Seed
from mtl_core.specs.arms import ArmSpec
from mtl_core.specs.base import Spec, digest, sentence
from mtl_core.specs.data import DataSpec
from mtl_core.specs.training import SelectionSpec, TrainingSpec

RESULTS_VERSION = 3  # part of every run's identity: raise it when the same spec would train to other numbers
MAX_SEEDS, MAX_ARMS = 256, 32


class RunSpec(Spec):
    """One lane."""

    data: DataSpec
    arm: ArmSpec
    seed: Seed
    training: TrainingSpec
    selection: SelectionSpec
    version: int = RESULTS_VERSION

    @property
    def id(self) -> str:
        """Hash of everything that decides the result; a table counts by its bytes, not by its path."""
        value = self.model_dump(mode="json")
        value["data"].pop("file")
        return digest(json.dumps(value, sort_keys=True, separators=(",", ":")))


def _seeds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MAX_SEEDS:
            raise ValueError(f"the number of seeds is 1 to {MAX_SEEDS}, not {value}")
        return tuple(range(value))
    return value


ArmName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]


class ExperimentSpec(Spec):
    """A comparison: arms x seeds on one problem, against a baseline arm."""

    name: Name = "comparison"
    data: DataSpec
    arms: dict[ArmName, ArmSpec] = Field(min_length=1, max_length=MAX_ARMS)
    baseline: Annotated[str, StringConstraints(strip_whitespace=True)] = ""
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_seeds)] = Field(tuple(range(8)), min_length=1, max_length=MAX_SEEDS)
    training: TrainingSpec = TrainingSpec()
    selection: SelectionSpec = SelectionSpec()
    score: dict[str, NonNegative] | None = Field(None, description="weights of the aggregate score by task; None: the problem's")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    @field_validator("arms", mode="before")
    @classmethod
    def _arms_have_names_of_their_own(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("arms maps names to schemes, as in {learned: softplus, fixed: equal}")  # noqa: TRY004
        names = [str(name).strip() for name in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f'two arms are named "{twice}"; spaces at the ends of a name do not count')
        if len(names) > MAX_ARMS:
            raise ValueError(f"an experiment has at most {MAX_ARMS} arms, not {len(names)}; split it into several")
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a seed is listed twice")
        return value

    @model_validator(mode="after")
    def _baseline_is_an_arm(self) -> Self:
        if not self.baseline:  # the first fixed arm, else the first
            plain = [name for name, arm in self.arms.items() if arm.scheme in ("equal", "fixed")]
            object.__setattr__(self, "baseline", (plain or list(self.arms))[0])
        if self.baseline not in self.arms:
            raise ValueError(unknown("arm", self.baseline, self.arms))
        return self

    @property
    def id(self) -> str:
        """Hash of all that the comparison shows: arms in order with their names, seeds, baseline, score; not name or device."""
        value = self.model_dump(mode="json", exclude={"name", "device"})
        value["data"].pop("file")
        value["arms"] = list(value["arms"].items())
        return digest(json.dumps(value, sort_keys=True, separators=(",", ":")))

    def runs(self) -> dict[tuple[str, int], RunSpec]:
        """The lanes of a resolved experiment by (arm name, seed), arms first."""
        return {
            (name, seed): RunSpec(data=self.data, arm=arm, seed=seed, training=self.training, selection=self.selection)
            for name, arm in self.arms.items()
            for seed in self.seeds
        }


def parse_experiment(value: Any) -> ExperimentSpec:
    """An ExperimentSpec from plain data (YAML, JSON, a form). Raises SpecError with one sentence."""
    if not isinstance(value, Mapping):
        raise SpecError("An experiment is a mapping with at least data and arms.")
    try:
        return ExperimentSpec.model_validate(value)
    except ValidationError as error:
        raise SpecError(sentence(error)) from None
