"""Where experiments, runs and histories are kept, shared by pages, workers and the command line."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from mtl_core.store.base import (
    ACTIVE,
    Claim,
    Epoch,
    ExperimentRow,
    Progress,
    Queue,
    Store,
    TableRow,
    Worker,
    Workers,
    WorkerState,
    problem_key,
)
from mtl_core.store.sql import SqlStore

__all__ = [
    "ACTIVE",
    "Claim",
    "Epoch",
    "ExperimentRow",
    "Progress",
    "Queue",
    "Store",
    "TableRow",
    "Worker",
    "WorkerState",
    "Workers",
    "default_url",
    "open_store",
    "problem_key",
]


def default_url() -> str:
    """`MTL_STORE_URL`, else a file in the user's data directory."""
    return os.environ.get("MTL_STORE_URL") or f"sqlite:///{Path(platformdirs.user_data_dir('mtl-lanes')) / 'store.sqlite'}"


def open_store(url: str | None = None) -> Store:
    """The store at a URL or in a file, made or brought up to date where needed. Raises StoreError."""
    return SqlStore(url or default_url())
