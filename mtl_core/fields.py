"""Kinds of values that specs are made of, and what people may write for them."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field


def _number(value: Any) -> Any:
    """No truth value for a number; NumPy's numbers are numbers."""
    if isinstance(value, bool):
        raise ValueError(f"a number is wanted, not {str(value).lower()}")  # noqa: TRY004  (pydantic turns it into a sentence)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


Number = BeforeValidator(_number)
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), Number]
NonNegative = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False), Number]
Seed = Annotated[int, Field(ge=0, lt=2**31), Number]
Count = Annotated[int, Field(ge=1, le=1_000_000), Number]


def _weight_sum(value: Any) -> Any:
    if value == "paper" or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1e6):
        return value
    raise ValueError(f"weight_sum is paper or a number above 0 and at most 1e6, not {str(value)[:40]!r}")


def _names(value: Any) -> Any:
    """A name alone is a list of one; numbers are names too (a column 2020, a missing value -999)."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        value = [value]
    return [str(item) if isinstance(item, int | float) else item for item in value] if isinstance(value, list | tuple) else value


def _name(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping) and all(isinstance(task, str) and isinstance(one, int | float) for task, one in value.items()):
        return dict(value)
    if not isinstance(value, bool | int | float | str):
        raise ValueError("a knob is a number, a word, true or false, or maps tasks to numbers")  # noqa: TRY004  (pydantic: a sentence)
    return value


WeightSum = Annotated[Literal["paper"] | float, BeforeValidator(_weight_sum)]
Knob = Annotated[Any, BeforeValidator(_plain)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Name = Annotated[Annotated[str, Field(min_length=1)], BeforeValidator(_name)]
