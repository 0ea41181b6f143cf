"""The best fixed weights that a search finds: what a learned scheme has to beat.

Candidates are points of the simplex, equal weights first, then drawn log-uniformly (the largest weight of a draw is up to 100
times the smallest), always the same ones. Each is trained with the budget that every other arm has; that with the lowest mean of
the fixed validation criterion, losses over those of the constant predictor, is chosen. Test data choose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import mtl_core

CRITERION = {"weights": "uniform", "scale": "baseline"}
SPREAD = 100.0


class Searched(NamedTuple):
    """What a search came to."""

    weights: dict[str, float]
    criterion: float  # its mean over the seeds of the search
    of_equal: float  # that of equal weights
    tried: int


def candidates(tasks: Sequence[str], count: int, seed: int = 0) -> list[dict[str, float]]:
    """Weights with mean 1, equal ones first."""
    rng = np.random.default_rng(seed)
    drawn = np.exp(rng.uniform(0, np.log(SPREAD), (count - 1, len(tasks))))
    rows = [np.ones(len(tasks)), *(drawn * len(tasks) / drawn.sum(1, keepdims=True))]
    return [{task: float(f"{weight:.3g}") for task, weight in zip(tasks, row, strict=True)} for row in rows]


def best_fixed(
    data: Any, tasks: Sequence[str], store: Path, *, count: int = 16, seeds: int = 3, training: Mapping[str, Any] | None = None
) -> Searched:
    """Search; runs are kept in `store` and found there again."""
    points = candidates(tasks, count)
    arms = {f"w{n}": {"scheme": "fixed", "settings": {"weights": point}} for n, point in enumerate(points)}
    found = mtl_core.compare(data, arms, seeds=seeds, store=store, training=dict(training or {}), selection=CRITERION)
    values = [_criterion(found, arm) for arm in arms]
    best = int(np.nanargmin(values))
    return Searched(points[best], values[best], values[0], count)


def _criterion(found: Any, arm: str) -> float:
    runs = [found.comparison.runs[place].result for place in found.comparison.runs_of(arm)]
    return float(np.mean([run.selected_criterion if run and run.selected_criterion is not None else np.inf for run in runs]))
