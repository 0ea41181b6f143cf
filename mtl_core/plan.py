"""From runs to batches: which lanes train together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from mtl_core.schemes import SCHEMES
from mtl_core.specs import RunSpec

MAX_LANES = 256
MAX_PARAMETERS = 25_000_000  # of a batch
BY_AUTOGRAD = 4  # lanes of a batch of convolutions: more gain nothing, and several workers share small batches
NUMBERS_A_PARAMETER = 13  # that training holds; a checkpoint has 6


def plan(runs: Iterable[RunSpec], *, features: int = 1, tasks: int = 1, max_lanes: int = MAX_LANES) -> list[list[RunSpec]]:
    """Batches of runs that share data, model shape and schedule; a run that is named twice is planned once.

    Lanes of one seed stay together, since they share their minibatches, and the batches of one shape are about equal.
    """
    shapes: dict[tuple[str, ...], dict[str, RunSpec]] = {}
    for run in runs:
        shapes.setdefault(_shape(run), {}).setdefault(run.id, run)
    return [batch for alike in shapes.values() for batch in _split(list(alike.values()), features, tasks, max_lanes)]


def _shape(run: RunSpec) -> tuple[str, ...]:
    shared = run.training.model_copy(update={"lr": None, "weight_decay": None})
    return run.data.canonical(), shared.canonical()


def _split(runs: list[RunSpec], features: int, tasks: int, max_lanes: int) -> list[list[RunSpec]]:
    numbers = NUMBERS_A_PARAMETER + max(_tracked(run, tasks) for run in runs)
    if runs[0].training.trunk in ("conv", "module"):
        max_lanes = min(max_lanes, BY_AUTOGRAD)
    most = max(1, min(max_lanes, MAX_PARAMETERS * NUMBERS_A_PARAMETER // (numbers * _parameters(runs[0], features))))
    count = math.ceil(len(runs) / most)
    if count == 1:
        return [runs]
    by_seed = sorted(runs, key=lambda run: run.seed)  # stable: arms keep their order
    bounds = [len(runs) * part // count for part in range(count + 1)]
    return [by_seed[start:end] for start, end in itertools.pairwise(bounds)]


def _parameters(run: RunSpec, features: int) -> int:
    """Of the trunk of one lane; heads are small beside it."""
    widths = (features, *(run.training.hidden or ()))
    return max(1, sum(before * after + after for before, after in itertools.pairwise(widths)))


def _tracked(run: RunSpec, tasks: int) -> int:
    """Further numbers a parameter: a gradient of every task, and for some schemes as many that they keep."""
    return {"gradient-based": tasks, "full-Jacobian": 4 * tasks}.get(SCHEMES[run.arm.scheme].family, 0)
