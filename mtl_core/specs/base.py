"""What every spec is: a frozen value without unknown keys, with one canonical form, and a sentence for what is wrong with it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Spec(BaseModel):
    """A frozen value without unknown keys; equal values have equal canonical JSON and equal hashes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> str:
        """JSON with sorted keys and no spaces: the form that is hashed and linked."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str | bytes) -> str:
    """First 16 hex digits of the SHA-256."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]


def sentence(error: ValidationError) -> str:
    """The complaint of pydantic that goes deepest, as one sentence with its place: `arms.learned.gate.threshold: ...`."""
    complaints = error.errors()
    first = max(complaints, key=lambda one: len(one["loc"]))  # of alternatives, the one that fits best
    place, message = _place(first), first["msg"].removeprefix("Value error, ").removesuffix(".").replace("valid tuple", "list")
    if first["type"] == "extra_forbidden":
        message = "there is no such key"
    elif first["type"] == "missing":
        message = "is missing"
    elif not isinstance(first["input"], dict | list | tuple) and first["type"] != "value_error":
        message = f"{message}, not {str(first['input'])[:60]!r}"
    elsewhere = {other for one in complaints if not place.startswith(other := _place(one)) and not other.startswith(place)}
    also = f" (and {len(elsewhere)} more)" if elsewhere else ""
    return f"{place}: {message}{also}." if place else f"{message}{also}."


def _place(complaint: Any) -> str:
    inner = ("function-", "literal[", "dict[", "[key]")
    return ".".join(str(part) for part in complaint["loc"] if str(part) and not str(part).startswith(inner))
