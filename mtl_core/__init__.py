"""Compare learned and fixed task weights for multi-task training, honestly and in seconds.

    import mtl_core

    result = mtl_core.compare(
        "osint",                                       # or a path to a table, or a pandas DataFrame
        arms={"learned": "softplus", "fixed": "equal"},
        baseline="fixed",
        seeds=8,
        training={"epochs": 30},
    )
    print(result.verdict)      # sentences: on which tasks better, worse, no difference, with intervals and seeds
    result.metrics             # tidy pandas frame: arm, seed, split, task, metric, value, at
    result.history             # tidy pandas frame: arm, seed, epoch, split, task, name, value
    result.save("out")         # record.json, history.csv, metrics.csv

A weighting scheme in your own PyTorch loop; the loss's parameters, if it has any, learn by themselves:

    loss = mtl_core.SoftplusKendallLoss(["depth", "class"])
    total = loss({"depth": depth_loss, "class": class_loss})
    total.backward()

Importing this package costs next to nothing: torch, pandas and the rest are imported at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mtl_core.api import Result, compare, run
    from mtl_core.data.scenarios import SCENARIOS
    from mtl_core.errors import MTLError, UserError
    from mtl_core.experiment_file import read_experiment
    from mtl_core.modules import AvailabilityGatedLoss, MultiTaskLoss, SoftplusKendallLoss, UniformWeightedLoss
    from mtl_core.schemes import SCHEMES
    from mtl_core.specs import ExperimentSpec as Experiment
    from mtl_core.specs import single_task_arms

_HOMES = {
    "AvailabilityGatedLoss": "mtl_core.modules",
    "Experiment": "mtl_core.specs:ExperimentSpec",
    "MTLError": "mtl_core.errors",
    "MultiTaskLoss": "mtl_core.modules",
    "Result": "mtl_core.api",
    "SCENARIOS": "mtl_core.data.scenarios",
    "SCHEMES": "mtl_core.schemes",
    "SoftplusKendallLoss": "mtl_core.modules",
    "UniformWeightedLoss": "mtl_core.modules",
    "UserError": "mtl_core.errors",
    "compare": "mtl_core.api",
    "read_experiment": "mtl_core.experiment_file",
    "run": "mtl_core.api",
    "single_task_arms": "mtl_core.specs",
}

__all__ = [
    "SCENARIOS",
    "SCHEMES",
    "AvailabilityGatedLoss",
    "Experiment",
    "MTLError",
    "MultiTaskLoss",
    "Result",
    "SoftplusKendallLoss",
    "UniformWeightedLoss",
    "UserError",
    "compare",
    "read_experiment",
    "run",
    "single_task_arms",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, original = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(module), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
