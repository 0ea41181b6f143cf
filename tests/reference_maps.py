"""Textbook twins of the kinds with a grid: losses image by image, cell by cell; average precision by its definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (its usual name)

from mtl_core.specs import TaskSpec

Box = tuple[Any, Any, Any, Any]  # left, top, right, bottom


def map_loss(task: TaskSpec, output: Tensor, target: Tensor) -> Tensor | None:
    """Loss of one task on one batch, `[rows, outputs]` and `[rows, columns]`; None without any label."""
    rows = len(target)
    if task.kind == "segmentation":
        logits, labels = output.reshape(rows * task.places, -1), target.reshape(-1)
        known = torch.isfinite(labels)
        return F.cross_entropy(logits[known], labels[known].long()) if known.any() else None
    if task.kind == "dense_regression":
        known = torch.isfinite(target)
        return (output[known] - target[known]).abs().mean() if known.any() else None
    images = [image_loss(task, output[row], target[row]) for row in range(rows) if torch.isfinite(target[row, 0])]
    return torch.stack(images).mean() if images else None


def image_loss(task: TaskSpec, output: Tensor, target: Tensor) -> Tensor:
    """Objectness of every cell, box and class of every object."""
    cells, wanted = output.reshape(task.places, -1), target.reshape(task.places, 6)
    total = task.object_weight * F.binary_cross_entropy_with_logits(cells[:, 0], wanted[:, 0])
    objects = [place for place in range(task.places) if wanted[place, 0] == 1]
    for place in objects:
        true, guess = box(task, place, wanted[place, 1:5]), box(task, place, torch.sigmoid(cells[place, 1:5]))
        one_hot = F.one_hot(wanted[place, 5].long(), len(task.classes)).to(output.dtype)
        classes = F.binary_cross_entropy_with_logits(cells[place, 5:], one_hot, reduction="sum")
        total = total + (task.box_weight * (1 - giou(guess, true)) + task.class_weight * classes) / len(objects)
    return total


def box(task: TaskSpec, place: int, numbers: Any) -> Box:
    """A cell's numbers as a box within the image."""
    height, width = task.grid
    x, y = (place % width + numbers[0]) / width, (place // width + numbers[1]) / height
    return x - numbers[2] / 2, y - numbers[3] / 2, x + numbers[2] / 2, y + numbers[3] / 2


def iou(a: Box, b: Box) -> Any:
    """Shared area over area of both."""
    return _shared(a, b) / (_size(a) + _size(b) - _shared(a, b))


def giou(a: Box, b: Box) -> Any:
    """IoU less the empty share of the smallest box around both."""
    union = _size(a) + _size(b) - _shared(a, b)
    around = _size((min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])))
    return _shared(a, b) / union - (around - union) / around


def _shared(a: Box, b: Box) -> Any:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _size(a: Box) -> Any:
    return (a[2] - a[0]) * (a[3] - a[1])


def detections(task: TaskSpec, output: Tensor) -> list[tuple[float, int, Box]]:
    """(score, class, box) of an image, best first, without those that a better one of their class covers."""
    found = []
    for place, cell in enumerate(output.reshape(task.places, -1).tolist()):
        chances = [_sigmoid(value) for value in cell]
        label = int(np.argmax(chances[5:]))
        found.append((chances[0] * chances[5 + label], label, box(task, place, chances[1:5])))
    kept: list[tuple[float, int, Box]] = []
    for one in sorted(found, key=lambda item: -item[0]):
        if all(one[1] != other[1] or iou(one[2], other[2]) <= 0.5 for other in kept):
            kept.append(one)
    return kept


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def detection_metrics(task: TaskSpec, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """AP@50 over the classes that occur (PASCAL VOC, all points), precision and recall at a score of 0.5."""
    judged: list[tuple[float, int, bool]] = []  # score, class, right
    objects: list[int] = []
    for output, target in zip(outputs, targets, strict=True):
        cells = target.reshape(task.places, 6).tolist()
        true = [(int(cell[5]), box(task, place, cell[1:5])) for place, cell in enumerate(cells) if cell[0] == 1]
        objects += [label for label, _ in true]
        taken: set[int] = set()
        for score, label, guess in detections(task, output):
            overlaps = [iou(guess, other) if label == mine else 0.0 for mine, other in true]
            best = int(np.argmax(overlaps)) if overlaps else -1
            right = best >= 0 and overlaps[best] >= 0.5 and best not in taken
            taken |= {best} if right else set()
            judged.append((score, label, right))
    sure = [right for score, _, right in judged if score >= 0.5]
    return {
        "ap50": float(np.mean([_average_precision(judged, label, objects.count(label)) for label in sorted(set(objects))])),
        "precision": sum(sure) / len(sure) if sure else math.nan,
        "recall": sum(sure) / len(objects),
    }


def _average_precision(judged: list[tuple[float, int, bool]], label: int, objects: int) -> float:
    mine = sorted((one for one in judged if one[1] == label), key=lambda item: -item[0])
    hits = np.cumsum([right for _, _, right in mine])
    precision = hits / np.arange(1, len(mine) + 1) if mine else np.array([])
    recall = hits / objects
    area, before = 0.0, 0.0
    for n in range(len(mine)):
        area += (recall[n] - before) * precision[n:].max()
        before = recall[n]
    return area
