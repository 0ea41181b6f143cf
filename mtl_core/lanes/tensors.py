"""A problem as tensors: features standardised and targets scaled by statistics of the training split only.

Arithmetic in float64, block by block of rows: a large table is never there in float64 a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.specs import TaskSpec

EVEN_ODDS = 0.5  # deviation of a mark that is 1 in half of the rows
NUMBERS_AT_ONCE = 1 << 18  # of a block: 2 MiB of float64

Fold = Callable[[np.ndarray], np.ndarray]  # [rows, columns] as [rows, channels, places], of which a channel has one mean


@dataclass(frozen=True)
class Rows:
    """One split: features, all targets side by side, and which of their loss elements have a label."""

    features: Float[Tensor, "rows features"]
    targets: Float[Tensor, "rows columns"]  # 0 where there is no label
    valid: Bool[Tensor, "rows elements"]
    element: Int[Tensor, " outputs"]  # of each output: a class or count label speaks for all outputs of its task

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


class Standard(NamedTuple):
    """What becomes 0 and what becomes 1 in each column."""

    mean: Float[np.ndarray, " columns"]
    scale: Float[np.ndarray, " columns"]

    def of(self, block: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
        """Numbers in their original unit, standardised."""
        scaled: np.ndarray = (block - self.mean) / self.scale
        return scaled


def to_tensors(problem: Problem, dtype: torch.dtype, device: torch.device) -> Tensors:
    """Standardise, scale and move."""
    tasks = problem.tasks
    places = [np.flatnonzero(problem.split == split) for split in range(3)]
    features = _of_features(problem, places[0])
    targets = [_of_target(task, problem.targets[task.name], places[0]) for task in tasks]
    elements, outputs = tuple(task.elements for task in tasks), tuple(task.outputs for task in tasks)
    first = accumulate(elements, initial=0)
    by_output = [start + np.arange(task.outputs) // (task.outputs // task.elements) for task, start in zip(tasks, first)]  # noqa: B905
    element = torch.from_numpy(np.concatenate(by_output)).to(device)
    train, validation, test = (
        Rows(inputs.to(device), wanted.to(device), valid.to(device), element)
        for inputs, wanted, valid in (_rows(problem, mine, features, targets, dtype) for mine in places)
    )
    membership = torch.eye(len(tasks), dtype=dtype, device=device).repeat_interleave(torch.tensor(elements, device=device), 0)
    scales = tuple(one.scale for one in targets)
    return Tensors((train, validation, test), tuple(task.width for task in tasks), elements, outputs, membership, scales)


def _rows(
    problem: Problem, places: np.ndarray, features: Standard, targets: list[Standard], dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Features, targets and valid of the rows at some places, on the CPU."""
    inputs = torch.empty(len(places), problem.features.shape[1], dtype=dtype)
    wanted = torch.empty(len(places), sum(task.width for task in problem.tasks), dtype=dtype)
    valid = torch.empty(len(places), sum(task.elements for task in problem.tasks), dtype=torch.bool)
    for rows, block in _blocks(problem.features, places):
        inputs[rows] = torch.from_numpy(features.of(block))
    columns = pairwise(accumulate((task.width for task in problem.tasks), initial=0))
    elements = pairwise(accumulate((task.elements for task in problem.tasks), initial=0))
    for task, standard, mine, own in zip(problem.tasks, targets, columns, elements, strict=True):
        for rows, block in _blocks(problem.targets[task.name], places):
            known = np.isfinite(block)
            wanted[rows, slice(*mine)] = torch.from_numpy(np.where(known, standard.of(block), 0.0))
            valid[rows, slice(*own)] = torch.from_numpy(known[:, : task.elements])
    return inputs, wanted, valid


def _blocks(values: np.ndarray, places: Int[np.ndarray, " rows"]) -> Iterator[tuple[slice, Float[np.ndarray, "some columns"]]]:
    """The rows at some places in float64, some at a time: (which of the places, their rows)."""
    some = max(1, NUMBERS_AT_ONCE // max(1, values.shape[1]))
    for first in range(0, len(places), some):
        yield slice(first, first + some), np.asarray(values[places[first : first + some]], dtype=np.float64)


def _of_features(problem: Problem, train: Int[np.ndarray, " rows"]) -> Standard:
    """Mean 0 and deviation 1 by column; images and sequences by channel, over all their places. Columns of 0 and 1 are centred.

    Divided by its deviation, the mark of a level in one of 200 rows would be 14, and the model would learn those rows by heart.
    So all marks are divided by that of a level in half of the rows (Gelman, 2008, Scaling regression inputs).
    """
    width, channels = problem.features.shape[1], (problem.input_shape or problem.features.shape[1:])[0]
    places = width // max(1, channels)
    mean, scale = _moments(problem.features, train, lambda block: block.reshape(len(block), channels, places))
    if not problem.input_shape:
        parts = (block for _, block in _blocks(problem.features, train))
        marks = np.logical_and.reduce([((part == 0) | (part == 1)).all(0) for part in parts])
        scale = np.where(marks, EVEN_ODDS, scale)
    return Standard(np.repeat(mean, places), np.repeat(scale, places))


def _of_target(task: TaskSpec, targets: np.ndarray, train: Int[np.ndarray, " rows"]) -> Standard:
    """Mean and deviation by target column of a scaled regression task (of a map by channel); 0 and 1 for others."""
    width = targets.shape[1]
    if not task.is_regression or not task.scaled:
        return Standard(np.zeros(width), np.ones(width))
    channels = task.outputs_a_place if task.grid else width
    mean, scale = _moments(targets, train, lambda block: block.reshape(len(block), -1, channels).swapaxes(1, 2))
    return Standard(np.tile(mean, task.places), np.tile(scale, task.places))


def _moments(values: np.ndarray, train: np.ndarray, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over what is known of it; 1 for the deviation of a constant."""
    count, total, squares = (np.zeros(fold(values[:1]).shape[1]) for _ in range(3))
    for _, block in _blocks(values, train):
        part = fold(block)
        known = np.isfinite(part)
        count += known.sum((0, 2))
        total += np.where(known, part, 0.0).sum((0, 2))
    mean = total / np.maximum(count, 1)
    for _, block in _blocks(values, train):
        part = fold(block)
        squares += (np.where(np.isfinite(part), part - mean[:, None], 0.0) ** 2).sum((0, 2))
    scale = np.sqrt(squares / np.maximum(count, 1))
    return mean, np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)
