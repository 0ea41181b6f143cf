"""A problem as tensors: features standardised and targets scaled by statistics of the training split only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.specs import TaskSpec

EVEN_ODDS = 0.5  # deviation of a mark that is 1 in half of the rows


@dataclass(frozen=True)
class Rows:
    """One split: features, all targets side by side, and which of their loss elements have a label."""

    features: Float[Tensor, "rows features"]
    targets: Float[Tensor, "rows columns"]  # 0 where there is no label
    valid: Bool[Tensor, "rows elements"]
    labels: Float[Tensor, "rows elements"]  # the same as 1 and 0
    output_labels: Float[Tensor, "rows outputs"]  # by output: a class or count label speaks for all of its outputs

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def complete(self) -> bool:
        """Whether every loss element of every row has a label, so that nothing need be masked."""
        return bool(self.valid.all())


@dataclass(frozen=True)
class Tensors:
    """The three splits, and the scales that lead back to original units."""

    splits: tuple[Rows, Rows, Rows]  # train, validation, test
    widths: tuple[int, ...]  # target columns of each task
    elements: tuple[int, ...]  # loss elements of each task: one a target column, but one for all cells of a detection
    outputs: tuple[int, ...]  # outputs of the model for each task
    membership: Float[Tensor, "elements tasks"]  # 1 where a loss element belongs to a task
    scales: tuple[Float[np.ndarray, " width"], ...]  # by task: what one unit of a target column is in original units

    def columns(self, rows: Rows) -> list[tuple[Tensor, Tensor]]:
        """Targets `[rows, width]` and which loss elements have a label, `[rows, elements]`, by task."""
        return list(zip(rows.targets.split(self.widths, -1), self.valid(rows), strict=True))

    def valid(self, rows: Rows) -> list[Tensor]:
        """Which loss elements have a label, by task."""
        return list(rows.valid.split(self.elements, -1))


def to_tensors(problem: Problem, dtype: torch.dtype, device: torch.device) -> Tensors:
    """Standardise, scale and move. Arithmetic in float64, then `dtype`."""
    train = problem.split == 0
    features = _standardised(np.asarray(problem.features, dtype=np.float64), train, problem.input_shape)
    scales, values, labelled = [], [], []
    for task in problem.tasks:
        target = np.asarray(problem.targets[task.name], dtype=np.float64)
        mean, scale = _scale(task, target[train])
        known = np.isfinite(target)
        scales.append(scale)
        values.append(np.where(known, (target - mean) / scale, 0.0))
        labelled.append(known[:, : task.elements])
    targets, valid = np.concatenate(values, axis=1), np.concatenate(labelled, axis=1)
    known_outputs = np.concatenate([by_output(task, mine) for task, mine in zip(problem.tasks, labelled, strict=True)], axis=1)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    def rows(split: int) -> Rows:
        inside = problem.split == split
        known = torch.tensor(valid[inside], device=device)
        return Rows(tensor(features[inside]), tensor(targets[inside]), known, known.to(dtype), tensor(known_outputs[inside]))

    elements = tuple(task.elements for task in problem.tasks)
    membership = np.repeat(np.eye(len(elements)), elements, axis=0)
    widths, outputs = tuple(task.width for task in problem.tasks), tuple(task.outputs for task in problem.tasks)
    return Tensors((rows(0), rows(1), rows(2)), widths, elements, outputs, tensor(membership), tuple(scales))


def by_output(task: TaskSpec, elements: np.ndarray) -> np.ndarray:
    """What is said of a task's loss elements, `[rows, elements]`, said of its outputs, `[rows, outputs]`."""
    return np.repeat(elements, task.outputs // task.elements, axis=1)


def _standardised(features: np.ndarray, train: np.ndarray, input_shape: tuple[int, ...]) -> np.ndarray:
    """Mean 0 and deviation 1 by column; images and sequences by channel, over all their places. Columns of 0 and 1 are centred.

    Divided by its deviation, the mark of a level in one of 200 rows would be 14, and the model would learn those rows by heart.
    So all marks are divided by that of a level in half of the rows (Gelman, 2008, Scaling regression inputs).
    """
    if input_shape:
        columns = features.reshape(len(features), input_shape[0], -1)
        mean, scale = columns[train].mean((0, 2))[:, None], columns[train].std((0, 2))[:, None]
    else:
        columns, mean, scale = features, features[train].mean(0), features[train].std(0)
        scale[((columns[train] == 0) | (columns[train] == 1)).all(0)] = EVEN_ODDS
    standard = (columns - mean) / np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)
    return np.asarray(standard.reshape(features.shape))


def _scale(task: TaskSpec, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation by target column of a scaled regression task (of a map by channel); 0 and 1 for others."""
    width = targets.shape[1]
    if not task.is_regression or not task.scaled:
        return np.zeros(width), np.ones(width)
    columns = targets.reshape(-1, task.outputs_a_place) if task.grid else targets
    seen = np.isfinite(columns)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, columns, 0.0).sum(0) / count
    scale = np.sqrt((np.where(seen, columns - mean, 0.0) ** 2).sum(0) / count)
    scale = np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)
    return np.tile(mean, task.places), np.tile(scale, task.places)
