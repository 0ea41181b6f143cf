"""`torch`, imported at first use.

Importing torch costs seconds. Pages and `python -m mtl_core schemes` only read a scheme's settings,
so files that declare settings beside arithmetic take torch from here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class _Deferred:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING:
    import torch
else:
    torch = _Deferred("torch")

__all__ = ["torch"]
