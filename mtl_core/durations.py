"""About how long a batch trains: good enough to decide how to share lanes among workers, not to be shown.

A step takes a fixed time, a time for each scheme in it (its arithmetic runs once for all its lanes), and a time for each lane:

    step = STEP + sum over schemes + sum over lanes of cost * (LANE + operations / OPERATIONS)

with `cost` from `schemes/costs.py`. So few lanes are dear (8 take about half as long as 64 of a small problem), and a scheme that
weighs gradients costs a millisecond before its first lane. The constants were fitted to training steps of 8 to 64 lanes of the
benchmark's small, default and medium problems on one thread (AMD EPYC); `python -m benchmarks.cores` shows how well they hold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from mtl_core.schemes import SCHEMES
from mtl_core.schemes.costs import COSTS
from mtl_core.specs import GRAPH_TRUNKS, RunSpec

STEP = 0.5e-3  # seconds
SCHEME, ON_GRADIENTS = 0.15e-3, 1.1e-3  # seconds, of a scheme on losses, and of one on gradients
LANE = 30e-6  # seconds, beside its matrix products
OPERATIONS = 45e9  # a second: 6 for each parameter and row, forward and back
BY_AUTOGRAD = 10e-3  # seconds, of a lane of convolutions or of a module of one's own
BATCH = 0.2  # seconds: loading, results, commits
GRADIENT_FAMILIES = {"gradient-based", "full-Jacobian"}


def batch_seconds(runs: Iterable[RunSpec], features: int, rows: int) -> float:
    """Of runs that train together on so many training rows. No run: no time."""
    runs = list(runs)
    if not runs:
        return 0.0
    schemes = sum(scheme_seconds(name) for name in {run.arm.scheme for run in runs})
    lanes = sum(lane_seconds(run, features) for run in runs)
    return BATCH + steps(runs[0], rows) * (STEP + schemes + lanes)


def steps(run: RunSpec, rows: int) -> int:
    """Training steps of a run."""
    return (run.training.epochs or 1) * math.ceil(rows / (run.training.batch_size or 1))


def scheme_seconds(name: str) -> float:
    """Of a step, for having the scheme in it at all."""
    return ON_GRADIENTS if SCHEMES[name].family in GRADIENT_FAMILIES else SCHEME


def lane_seconds(run: RunSpec, features: int) -> float:
    """Of a step, for one more lane."""
    operations = 6 * trunk_parameters(run, features) * (run.training.batch_size or 1)
    plain = BY_AUTOGRAD if run.training.trunk in GRAPH_TRUNKS else LANE + operations / OPERATIONS
    return plain * COSTS.get(run.arm.scheme, 1.0)


def trunk_parameters(run: RunSpec, features: int) -> int:
    """Of the trunk of one lane; heads are small beside it."""
    widths = (features, *(run.training.hidden or ()))
    return max(1, sum(before * after + after for before, after in itertools.pairwise(widths)))
