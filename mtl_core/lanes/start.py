"""From runs to lanes that are ready for their first step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mtl_core.lanes.batches import Batches
from mtl_core.lanes.live import LiveLanes
from mtl_core.lanes.models import init_parameters
from mtl_core.lanes.optim import Optimizer
from mtl_core.lanes.weighing import Weighing, ordered
from mtl_core.schemes.base import Setup
from mtl_core.shapes import Shape

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.specs import PhaseSpec, RunSpec


def start_lanes(problem: Problem, runs: Sequence[RunSpec], batches: Batches, dtype: torch.dtype, shape: Shape) -> LiveLanes:
    """Every run as a lane, in the order that puts alike schemes together."""
    place = batches.rows.features.device
    order = ordered([run.arm for run in runs])
    mine = [runs[lane] for lane in order]
    starts = None if problem.starts is None else torch.from_numpy(problem.starts)
    flat = init_parameters(shape, [run.seed for run in mine], dtype, starts).to(place)
    lr = flat.new_tensor([[run.training.lr] for run in mine])
    decay = flat.new_tensor([[run.training.weight_decay or 0.0] for run in mine])
    optimizer = Optimizer.start(mine[0].training.optimizer, shape, flat, lr, decay, mine[0].training.clip or 0.0)
    slots = torch.tensor([batches.seeds.index(run.seed) for run in mine], device=place)
    trained = trained_tasks(problem, mine, place)
    weighing = Weighing.start([run.arm for run in mine], setup(problem, mine, batches, lr, shape))
    nothing = flat.new_full((len(mine), len(problem.tasks)), torch.nan)
    seats = torch.tensor(order, device=place)
    return LiveLanes(problem.tasks, shape, optimizer, weighing, tuple(run.arm for run in mine), seats, slots, nothing, trained)


def setup(problem: Problem, runs: Sequence[RunSpec], batches: Batches, lr: Float[Tensor, "lanes 1"], shape: Shape) -> Setup:
    """What the schemes of these lanes may know before their first step, or before they start anew."""
    labelled = problem.availability(0)
    shares = torch.tensor([labelled[task.name] for task in problem.tasks], dtype=lr.dtype, device=lr.device)
    seeds = torch.tensor([[run.seed] for run in runs], device=lr.device)
    return Setup(problem.tasks, (len(runs),), lr, batches.steps, shares, seeds, shape.trunk_parameters)


def rates(runs: Sequence[RunSpec], phase: PhaseSpec, like: Tensor) -> tuple[Float[Tensor, "lanes 1"], Float[Tensor, "lanes 1"]]:
    """Learning rates of heads and of the trunk in a phase."""
    lr = like.new_tensor([[phase.lr or run.training.lr] for run in runs])
    trunk = like.new_tensor([[phase.trunk_lr or phase.lr or run.training.lr] for run in runs])
    return lr, trunk


def trained_tasks(problem: Problem, runs: Sequence[RunSpec], place: torch.device) -> Tensor:
    """Which tasks each run's arm trains: `[runs, tasks]`."""
    rows = [[run.arm.tasks is None or task.name in run.arm.tasks for task in problem.tasks] for run in runs]
    return torch.tensor(rows, device=place)
