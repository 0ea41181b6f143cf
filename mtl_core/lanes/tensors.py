"""A problem as tensors: features standardised and targets scaled by statistics of the training split only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.specs import TaskSpec


@dataclass(frozen=True)
class Rows:
    """One split: features, all targets side by side, and which of their elements are labels."""

    features: Float[Tensor, "rows features"]
    targets: Float[Tensor, "rows columns"]  # 0 where there is no label
    valid: Bool[Tensor, "rows columns"]
    labels: Float[Tensor, "rows columns"]  # the same as 1 and 0
    head_labels: Float[Tensor, "rows heads"]  # by head output: a class or count label speaks for its whole head

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Tensors:
    """The three splits, and the scales that lead back to original units."""

    splits: tuple[Rows, Rows, Rows]  # train, validation, test
    widths: tuple[int, ...]  # target columns of each task
    membership: Float[Tensor, "columns tasks"]  # 1 where a target column belongs to a task
    scales: tuple[Float[np.ndarray, " width"], ...]  # by task: what one unit of a target column is in original units

    def by_task(self, columns: Tensor) -> list[Tensor]:
        """Cut the concatenated target columns into tasks."""
        return list(columns.split(list(self.widths), -1))


def to_tensors(problem: Problem, dtype: torch.dtype, device: torch.device) -> Tensors:
    """Standardise, scale and move. Arithmetic in float64, then `dtype`."""
    train = problem.split == 0
    features = _standardised(np.asarray(problem.features, dtype=np.float64), train)
    scales = [_scale(task, np.asarray(problem.targets[task.name], dtype=np.float64)[train]) for task in problem.tasks]
    scaled = [
        (np.asarray(problem.targets[task.name], dtype=np.float64) - mean) / scale
        for task, (mean, scale) in zip(problem.tasks, scales, strict=True)
    ]
    targets = np.concatenate(scaled, axis=1)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    def rows(split: int) -> Rows:
        inside = problem.split == split
        valid = np.isfinite(targets[inside])
        values = tensor(np.where(valid, targets[inside], 0.0))
        heads = tensor(_by_head(problem.tasks, valid))
        return Rows(tensor(features[inside]), values, torch.tensor(valid, device=device), tensor(valid), heads)

    widths = tuple(task.width for task in problem.tasks)
    membership = np.repeat(np.eye(len(widths)), widths, axis=0)
    return Tensors((rows(0), rows(1), rows(2)), widths, tensor(membership), tuple(scale for _, scale in scales))


def _by_head(tasks: Sequence[TaskSpec], valid: np.ndarray) -> np.ndarray:
    ends = np.cumsum([task.width for task in tasks])[:-1]
    parts = zip(tasks, np.split(valid, ends, axis=1), strict=True)
    return np.concatenate([np.broadcast_to(mine, (len(mine), task.outputs)) for task, mine in parts], axis=1)


def _standardised(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    mean, scale = features[train].mean(0), features[train].std(0)
    standard: np.ndarray = (features - mean) / np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)
    return standard


def _scale(task: TaskSpec, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per target column of a scaled regression task; 0 and 1 for every other."""
    width = targets.shape[1]
    if task.kind not in ("regression", "multi_output") or not task.scaled:
        return np.zeros(width), np.ones(width)
    seen = np.isfinite(targets)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, targets, 0.0).sum(0) / count
    scale = np.sqrt((np.where(seen, targets - mean, 0.0) ** 2).sum(0) / count)
    return mean, np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)
