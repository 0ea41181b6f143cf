"""The loop that lanes are compared with: one run after another, `nn.Linear`, autograd and `torch.optim.Adam`.

Written as most people write it: minibatches by indexing tensors in memory (a `DataLoader` would be slower), the loss functions of
`torch.nn.functional`, labels masked only where some are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mtl_core.counts import zinb_nll
from mtl_core.lanes.models import init_parameters
from mtl_core.lanes.plain import to_module
from mtl_core.shapes import shape_of

if TYPE_CHECKING:
    from mtl_core.bench.timing import Job
    from mtl_core.problem import Problem
    from mtl_core.specs import TaskSpec, TrainingSpec


class Column(NamedTuple):
    """Targets of a task, `[rows, width]`; `valid` is None where every label is there."""

    targets: Tensor
    valid: Tensor | None

    def of(self, rows: Tensor) -> Column:
        """Those of some rows."""
        return Column(self.targets[rows], None if self.valid is None else self.valid[rows])


class Split(NamedTuple):
    """One split as tensors."""

    features: Tensor
    columns: list[Column]


class PlainRun:
    """One run: a model, its optimizer, and how its losses are weighted (`equal`, `uncertainty`, `rlw` or `imtl_l`)."""

    def __init__(
        self, problem: Problem, training: TrainingSpec, scheme: str = "equal", device: str = "cpu", *, fused: bool | None = None
    ) -> None:
        self.tasks, self.scheme = problem.tasks, scheme
        dtype = torch.float64 if training.dtype == "float64" else torch.float32
        shape = shape_of(problem, training)
        self.model = to_module(init_parameters(shape, [0], dtype), 0, shape).to(device)
        self.train, self.validation = (split_of(problem, number, dtype, device) for number in (0, 1))
        self.learned = nn.Parameter(torch.zeros(len(self.tasks), dtype=dtype, device=device))
        halves = [0.5 if task.is_regression else 1.0 for task in self.tasks]
        self.halves = torch.tensor(halves, dtype=dtype, device=device)
        parameters = [*self.model.parameters(), *([self.learned] if scheme in ("uncertainty", "imtl_l") else [])]
        self.optimizer = torch.optim.Adam(parameters, lr=training.lr or 1e-3, fused=fused)
        self.batches = minibatches(len(self.train.features), training.batch_size or 1, device)

    def step(self) -> None:
        """One training step."""
        rows = next(self.batches)
        losses = plain_losses(self.tasks, self.model(self.train.features[rows]), [one.of(rows) for one in self.train.columns])
        self.optimizer.zero_grad()
        self.objective(losses).backward()
        self.optimizer.step()

    def objective(self, losses: list[Tensor]) -> Tensor:
        """What the step lowers."""
        stacked = torch.stack(losses)
        if self.scheme == "uncertainty":
            return (self.halves * torch.exp(-self.learned) * stacked + self.learned / 2).sum()
        if self.scheme == "imtl_l":
            return (torch.exp(self.learned) * stacked - self.learned).sum()
        if self.scheme == "rlw":
            return (torch.softmax(torch.randn_like(stacked), 0) * stacked).sum()
        return stacked.mean()

    def evaluate(self) -> list[tuple[float, float]]:
        """Loss and one metric of each task on validation."""
        return evaluated(self.model, self.tasks, self.validation)


def plain_steps(run: PlainRun) -> Job:
    """Steps of the run."""

    def steps(number: int) -> None:
        for _ in range(number):
            run.step()

    return steps


def evaluated(model: nn.Module, tasks: tuple[TaskSpec, ...], split: Split) -> list[tuple[float, float]]:
    """Loss and accuracy or mean absolute error of each task."""
    model.eval()
    with torch.no_grad():
        outputs = model(split.features)
        losses = plain_losses(tasks, outputs, split.columns)
        found = [
            (float(loss), _metric(task, mine, column))
            for task, loss, mine, column in zip(tasks, losses, outputs, split.columns, strict=True)
        ]
    model.train()
    return found


def minibatches(rows: int, size: int, device: str = "cpu") -> Iterator[Tensor]:
    """Rows of the minibatches, epoch after epoch."""
    while True:
        yield from torch.randperm(rows, device=device).split(size)


def split_of(problem: Problem, number: int, dtype: torch.dtype, device: str = "cpu") -> Split:
    """Features and regression targets standardised by training statistics."""
    train, inside = problem.split == 0, problem.split == number
    features = (problem.features - problem.features[train].mean(0)) / np.maximum(problem.features[train].std(0), 1e-9)
    columns = []
    for task in problem.tasks:
        values = np.asarray(problem.targets[task.name], dtype=np.float64)
        if task.is_regression:
            values = (values - np.nanmean(values[train], 0)) / np.nanstd(values[train], 0)
        valid = torch.tensor(np.isfinite(values[inside]), device=device)
        targets = torch.tensor(np.nan_to_num(values[inside]), dtype=dtype, device=device)
        columns.append(Column(targets, None if bool(valid.all()) else valid))
    return Split(torch.tensor(features[inside], dtype=dtype, device=device), columns)


def plain_losses(tasks: tuple[TaskSpec, ...], outputs: list[Tensor], columns: list[Column]) -> list[Tensor]:
    """Task losses of one minibatch; what has no label is left out."""
    return [_loss(task, mine, column) for task, mine, column in zip(tasks, outputs, columns, strict=True)]


def _loss(task: TaskSpec, outputs: Tensor, column: Column) -> Tensor:
    targets, valid = column
    if valid is not None:
        if not valid.any():
            return outputs.sum() * 0
        if task.is_regression:
            return nn.functional.mse_loss(outputs[valid], targets[valid])
        outputs, targets = outputs[valid[:, 0]], targets[valid[:, 0]]
    if task.is_regression:
        return nn.functional.mse_loss(outputs, targets)
    if task.kind == "binary":
        return nn.functional.binary_cross_entropy_with_logits(outputs, targets)
    if task.kind == "multiclass":
        return nn.functional.cross_entropy(outputs, targets[:, 0].long())
    return zinb_nll(outputs, targets).mean()


def _metric(task: TaskSpec, outputs: Tensor, column: Column) -> float:
    targets, valid = column
    if task.kind == "multiclass":
        right = (outputs.argmax(-1, keepdim=True) == targets).float()
    elif task.kind == "binary":
        right = ((outputs > 0) == (targets > 0)).float()
    else:
        right = (outputs[:, : targets.shape[1]] - targets).abs()
    return float((right if valid is None else right[valid]).mean())
