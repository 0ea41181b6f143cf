"""How long to train on a table, from its size alone."""

from __future__ import annotations

from typing import Any


def budget(rows: int, features: int = 0, tasks: int = 1) -> dict[str, Any]:  # noqa: ARG001 - the size in full, for a finer rule
    """Recommended training values for a table with so many training rows.

    Small tables take small batches and many epochs: about 4,000 to 8,000 steps at most, ended early by the fixed criterion.
    """
    batch = next((size for most, size in ((2_000, 32), (10_000, 64), (50_000, 128)) if rows <= most), 256)
    steps = max(1, -(-rows // batch))
    epochs = int(min(300, max(10, 6_000 // steps)))
    return {
        "epochs": epochs,
        "batch_size": batch,
        "lr": 1e-3,
        "hidden": (64, 64),
        "weight_decay": 0.0,
        "stop": {"on": "criterion", "patience": max(5, epochs // 10)},
    }
