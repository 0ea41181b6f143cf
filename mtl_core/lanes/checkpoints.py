"""Checkpoints as bytes: plain tensors, numbers and strings, so that loading them runs no code."""

from __future__ import annotations

import io
from typing import Any

import torch


def pack(state: dict[str, Any]) -> bytes:
    """A state of plain values as bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """Inverse of `pack`; tensors come to the CPU."""
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state
