"""Freed memory stays with the process: a step asks for the same few megabytes over and over.

By default the C library gives large blocks back to the system at once and asks for them again in the next step, page by page. On
the medium problem of the benchmark keeping them takes a step of 64 lanes from 30 to 21 ms.
"""

from __future__ import annotations

import ctypes
import sys

import torch

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's mallopt(3)
LARGEST_KEPT = 32 << 20  # bytes; the most that glibc allows
KEPT = 512 << 20


def keep_freed_memory() -> None:
    """Tell glibc to keep up to 512 MiB of freed memory; elsewhere nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(TRIM_THRESHOLD, KEPT)


def warm() -> None:
    """Pay for the first step's one-time costs (memory pools, kernels) before anybody waits for it."""
    torch.set_flush_denormal(True)
    keep_freed_memory()
    layer = torch.nn.Linear(8, 8)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.randn(4, 8)).square().mean().backward()
    optimizer.step()
