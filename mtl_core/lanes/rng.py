"""Randomness as a pure function of (run seed, purpose, epoch): a run draws the same alone and among 255 others.

Always drawn on the CPU, so that a GPU changes speed and nothing else.
"""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import Int
from torch import Generator, Tensor


def generator(seed: int, purpose: str, count: int = 0) -> Generator:
    """A CPU generator for one purpose ("init", "batches") of one run."""
    key = hashlib.sha256(f"{seed}/{purpose}/{count}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)


def batch_order(seed: int, epoch: int, rows: int) -> Int[Tensor, " rows"]:
    """The order in which an epoch (counted from 1) visits the training rows; every arm of a seed sees the same."""
    return torch.randperm(rows, generator=generator(seed, "batches", epoch), dtype=torch.int32)  # in either width the same
