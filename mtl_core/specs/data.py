"""Where data comes from: a built-in scenario with its knobs, or a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mtl_core.fields import Knob, Name, Names
from mtl_core.specs.base import Spec
from mtl_core.specs.tasks import TargetSpec

OF_FILES = ("targets", "ignore", "columns", "missing", "group", "split", "header", "split_seed")


def _target(value: Any) -> Any:
    return {"kind": value} if value is None or isinstance(value, str) else value


def _targets(value: Any) -> Any:
    """A list of columns leaves everything about them to be inferred."""
    return dict.fromkeys(map(str, value)) if isinstance(value, list | tuple) else value


class DataSpec(Spec):
    """Either a table (`file`, or `fingerprint` of a stored one) or a built-in `scenario` with its `knobs`."""

    scenario: str | None = None
    knobs: dict[str, Knob] = {}
    file: str | None = None
    fingerprint: str | None = Field(None, description="SHA-256 prefix of the table's bytes; filled in when it is read")
    targets: Annotated[dict[str, Annotated[TargetSpec, BeforeValidator(_target)]] | None, BeforeValidator(_targets)] = None
    ignore: Names = ()
    columns: dict[str, Literal["number", "category"]] = Field({}, description="how to read a feature, where the guess is wrong")
    missing: Names = Field((), description="further spellings of a missing value, such as -999")
    header: bool | None = Field(None, description="whether the first row holds names; None: look")
    group: Name | None = None
    split: Name | None = None
    split_seed: int = Field(0, ge=0, lt=2**31)

    @model_validator(mode="before")
    @classmethod
    def _knobs_beside_the_scenario(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.get("scenario") is None:
            return value
        beside = {key: item for key, item in value.items() if key not in cls.model_fields}
        kept = {key: item for key, item in value.items() if key in cls.model_fields}
        knobs = kept.get("knobs", {})
        if not isinstance(knobs, Mapping):
            raise ValueError("knobs is a mapping of names to values")  # noqa: TRY004  (pydantic turns it into a sentence)
        return {**kept, "knobs": {**knobs, **beside}}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        table = self.file is not None or self.fingerprint is not None
        if table == (self.scenario is not None):
            raise ValueError("say either file: PATH or scenario: NAME")
        if self.scenario is not None:
            of_files = [name for name in OF_FILES if getattr(self, name) not in (None, (), {}, 0)]
            if of_files or self.header is False:
                raise ValueError(f"{[*of_files, 'header'][0]} belongs to a file, not to a scenario")
        elif self.knobs:
            raise ValueError(f"{next(iter(self.knobs))} is a knob, and knobs belong to a scenario, not to a file")
        return self
