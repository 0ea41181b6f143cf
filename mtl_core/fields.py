"""Kinds of values that specs are made of, and what people may write for them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"a number is wanted, not {str(value).lower()}")  # noqa: TRY004  (pydantic turns it into a sentence)
    return value


Number = BeforeValidator(_no_bool)
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), Number]
NonNegative = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False), Number]
Seed = Annotated[int, Field(ge=0, lt=2**31), Number]
Count = Annotated[int, Field(ge=1, le=1_000_000), Number]


def _names(value: Any) -> Any:
    """A name alone is a list of one; numbers are names too (a column 2020, a missing value -999)."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        value = [value]
    return [str(item) if isinstance(item, int | float) else item for item in value] if isinstance(value, list | tuple) else value


def _name(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _plain(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError("a knob is a number, a word, true or false")  # noqa: TRY004  (pydantic turns it into a sentence)
    return value


Knob = Annotated[Any, BeforeValidator(_plain)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Name = Annotated[Annotated[str, Field(min_length=1)], BeforeValidator(_name)]
