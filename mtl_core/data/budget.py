"""How long to train on a table, from its size alone."""

from __future__ import annotations

from typing import Any


def budget(rows: int, features: int = 0, tasks: int = 1) -> dict[str, Any]:  # noqa: ARG001 - the size in full, for a finer rule
    """Recommended training values for a table with so many training rows.

    Small tables take small batches and many epochs: at most about
    10,000 steps, ended early by the fixed criterion. Weight decay as scikit-learn's MLP has it.
    """
    batch = next((size for most, size in ((2_000, 32), (10_000, 64), (50_000, 128)) if rows <= most), 256)
    steps = max(1, -(-rows // batch))
    epochs = int(min(300, max(10, 10_000 // steps)))
    return {
        "epochs": epochs,
        "batch_size": batch,
        "lr": 1e-3,
        "hidden": (64, 64),
        "weight_decay": 1e-4,
        "stop": {"on": "criterion", "patience": max(10, epochs // 7)},
    }
