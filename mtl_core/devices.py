"""Where to train: `cpu`, `cuda`, `mps`, or `auto` (the first that is there of cuda, mps, cpu)."""

from __future__ import annotations

import torch

from mtl_core.errors import DeviceError


def choose_device(name: str, dtype: torch.dtype = torch.float32) -> torch.device:
    """The device asked for. Raises DeviceError if this machine does not have it or it cannot compute in `dtype`."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if dtype == torch.float64:
        if name == "mps":
            raise DeviceError("mps cannot compute in float64: choose cpu, or dtype: float32.")
        present.pop("mps")
    if name == "auto":
        return torch.device(next(device for device, there in present.items() if there))
    if not present.get(name, False):
        have = ", ".join(device for device, there in present.items() if there)
        raise DeviceError(f"This machine has no {name} device (it has: {have}); choose one of these or auto.")
    return torch.device(name)
