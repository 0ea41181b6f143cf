"""Losses and metrics of all lanes on one split, without gradients, in pieces that bound memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mtl_core.lanes.models import Layer, Shape, forward, views
from mtl_core.lanes.tensors import Rows, Tensors
from mtl_core.metrics import metrics
from mtl_core.records import metrics_of
from mtl_core.tasks import split_outputs, task_loss

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

NUMBERS_AT_ONCE = 1 << 22  # activations of one layer held at a time: 16 MiB of float32
OUTPUTS_AT_ONCE = 1 << 25


def outputs_of(flat: Float[Tensor, "lanes parameters"], shape: Shape, features: Float[Tensor, "rows features"]) -> Tensor:
    """Head outputs `[lanes, rows, heads]` of every lane on shared rows."""
    first, *rest = views(flat, shape)
    widest = max(outputs for _, outputs in shape.layers)
    rows = max(1, NUMBERS_AT_ONCE // (len(flat) * widest))
    pieces = []
    for piece in features.split(rows):
        wide = _shared_product(first, piece)
        pieces.append(forward(rest, wide.relu_())[-1] if rest else wide)
    return torch.cat(pieces, 1) if pieces else features.new_zeros(len(flat), 0, sum(shape.heads))


def _shared_product(layer: Layer, features: Float[Tensor, "rows features"]) -> Float[Tensor, "lanes rows width"]:
    """All lanes read the same rows, so the first layer is one wide matrix product."""
    weight, bias = layer
    lanes, inputs, outputs = weight.shape
    wide: Tensor = features @ weight.movedim(1, 0).reshape(inputs, lanes * outputs)
    by_lane: Tensor = wide.unflatten(1, (lanes, outputs)).movedim(1, 0)
    return by_lane + bias.unsqueeze(1)


def evaluate(
    flat: Float[Tensor, "lanes parameters"], shape: Shape, tasks: Sequence[TaskSpec], data: Tensors, rows: Rows
) -> tuple[Float[np.ndarray, "lanes tasks"], Float[np.ndarray, "lanes metrics"]]:
    """Raw task losses and, task after task, the metrics of `records.METRICS`; NaN for a task without labels here."""
    lanes = max(1, OUTPUTS_AT_ONCE // max(1, len(rows) * sum(shape.heads)))
    pieces = [_evaluate(piece, shape, tasks, data, rows) for piece in flat.split(lanes)]
    losses, found = zip(*pieces, strict=True)
    return np.concatenate(losses), np.concatenate(found)


@torch.no_grad()
def _evaluate(flat: Tensor, shape: Shape, tasks: Sequence[TaskSpec], data: Tensors, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    outputs = split_outputs(tasks, outputs_of(flat, shape, rows.features))
    columns = zip(tasks, outputs, data.by_task(rows.targets), data.by_task(rows.valid), data.scales, strict=True)
    losses, found = [], []
    for task, mine, targets, valid, scale in columns:
        if not valid.any():
            losses.append(flat.new_full((len(flat),), torch.nan))
            found += [losses[-1].cpu().double()] * len(metrics_of(task))
            continue
        losses.append(task_loss(task, mine, targets, valid))
        values = metrics(task, mine, targets, valid, scale, losses[-1])
        found += [values[name].cpu().double() for name in metrics_of(task)]
    return torch.stack(losses, 1).cpu().double().numpy(), torch.stack(found, 1).numpy()
