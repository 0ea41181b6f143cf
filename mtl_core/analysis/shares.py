"""Which task dominates the loss: each task's share of the weighted total at the start and at the end of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mtl_core.analysis.parts import trained
from mtl_core.analysis.runs import LOST
from mtl_core.analysis.seeds import Estimate, estimate
from mtl_core.analysis.wording import number
from mtl_core.records import Channel, Comparison


@dataclass(frozen=True)
class ArmShares:
    """One arm: share of each task in the training loss, weights included, in the first and in each run's last epoch."""

    arm: str
    first: Mapping[str, Estimate]
    last: Mapping[str, Estimate]
    dominant: str  # the task with the largest share in the first epoch
    sentence: str


def loss_shares(comparison: Comparison) -> tuple[ArmShares, ...]:
    """One entry per arm that has recorded an epoch and trains several tasks: a single one carries the whole loss."""
    every = len(comparison.problem.tasks)
    arms = [arm for arm in comparison.spec.arms if every == 1 or len(trained(comparison, arm)) > 1]
    measured = [_arm(comparison, arm) for arm in arms]
    return tuple(one for one in measured if one is not None)


def _arm(comparison: Comparison, arm: str) -> ArmShares | None:
    runs = [run for run in comparison.runs_of(arm) if comparison.runs[run].status not in LOST]
    first: dict[str, Estimate] = {}
    last: dict[str, Estimate] = {}
    for task in comparison.problem.tasks:
        values = comparison.column(*Channel("train", task.name, "share"), runs)
        ends = [column[np.isfinite(column)] for column in values.T]
        first[task.name] = estimate(np.array([end[0] for end in ends if end.size]))
        last[task.name] = estimate(np.array([end[-1] for end in ends if end.size]))
    known = {task: one.mean for task, one in first.items() if one.n}
    if not known:
        return None
    top = max(known, key=lambda task: known[task])
    return ArmShares(arm, first, last, top, _sentence(arm, top, first[top], last[top]))


def _sentence(arm: str, task: str, first: Estimate, last: Estimate) -> str:
    start, end = number(100 * first.mean), number(100 * last.mean)
    return f"{arm}: {task} carries {start} % of the loss in the first epoch and {end} % in the last."
