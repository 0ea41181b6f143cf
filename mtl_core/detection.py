"""Grid detection over lanes: each cell of a grid predicts whether an object's centre lies in it, its box and its class.

Outputs of a cell: `object, x, y, width, height`, all logits, then a logit a class. Sigmoids make of them the probability of an
object, the centre within the cell (0 to 1) and the size within the image (0 to 1), as in YOLO (Redmon et al., CVPR 2016) but for
the size, of which YOLO takes the square root. Targets of a cell: `object, x, y, width, height, class` (see `specs.TaskSpec`).

Loss of an image, the mean over images with labels being the task's:

    object_weight · mean over cells of BCE(object)
    + box_weight · mean over objects of (1 − GIoU(predicted box, box))
    + class_weight · mean over objects of the sum over classes of BCE

GIoU (Rezatofighi et al., CVPR 2019) is the IoU less the share of the smallest enclosing box that neither covers, so a box that
misses its object still has a gradient. An image without objects has the first term alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

SAME_OBJECT = 0.5  # IoU from which a box counts as found (AP@50), and of two boxes of one class the lower score is dropped
CERTAIN = 0.5  # score from which a box counts for precision and recall


def grid_loss(task: TaskSpec, outputs: Tensor, targets: Tensor) -> Float[Tensor, "*lanes rows 1"]:
    """Loss of every image: `outputs [*lanes, rows, cells · (5 + classes)]`, `targets [*lanes, rows, cells · 6]`."""
    outputs, cells = _cells(task, outputs), targets.unflatten(-1, (task.places, -1))
    there = cells[..., 0] > 0.5
    count = there.sum(-1).clamp(min=1)
    objects = _binary(outputs[..., 0], there.to(outputs.dtype)).mean(-1)
    boxes = 1 - giou(corners(task, outputs[..., 1:5].sigmoid()), corners(task, cells[..., 1:5]))
    wanted = cells[..., 5:] == torch.arange(len(task.classes), device=outputs.device)
    classes = _binary(outputs[..., 5:], wanted.to(outputs.dtype)).sum(-1)
    of_objects = task.box_weight * boxes + task.class_weight * classes
    loss: Tensor = task.object_weight * objects + torch.where(there, of_objects, 0.0).sum(-1) / count
    return loss.unsqueeze(-1)


def grid_slope(task: TaskSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    """Derivative of every image's loss with respect to its outputs; images do not see each other, so the sum's will do."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = outputs.detach().clone().requires_grad_()
        slope: Tensor = torch.autograd.grad(grid_loss(task, leaf, targets.clone()).sum(), leaf)[0]
    return slope


def _cells(task: TaskSpec, outputs: Tensor) -> Tensor:
    cells: Tensor = outputs.unflatten(-1, (task.places, task.outputs_a_place))
    return cells


def _binary(logits: Tensor, labels: Tensor) -> Tensor:
    return softplus(logits) - labels * logits


def corners(task: TaskSpec, boxes: Float[Tensor, "*rows cells 4"]) -> Float[Tensor, "*rows cells 4"]:
    """Left, top, right and bottom within the image, of boxes as cells have them."""
    height, width = task.grid
    place = torch.arange(height * width, device=boxes.device)
    x = (boxes[..., 0] + place % width) / width
    y = (boxes[..., 1] + place.div(width, rounding_mode="floor")) / height
    half_width, half_height = boxes[..., 2] / 2, boxes[..., 3] / 2
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], -1)


def giou(a: Float[Tensor, "*boxes 4"], b: Float[Tensor, "*boxes 4"]) -> Float[Tensor, "*boxes"]:
    """Generalised intersection over union of pairs of boxes, -1 to 1; 0 for two boxes without area at one place."""
    shared, union = _overlap(a, b)
    around = _area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    tiny = torch.finfo(a.dtype).tiny
    return shared / union.clamp(min=tiny) - (around - union) / around.clamp(min=tiny)


def iou(a: Float[Tensor, "*boxes 4"], b: Float[Tensor, "*boxes 4"]) -> Float[Tensor, "*boxes"]:
    """Intersection over union of pairs of boxes, 0 to 1."""
    shared, union = _overlap(a, b)
    return shared / union.clamp(min=torch.finfo(a.dtype).tiny)


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    shared = _area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    return shared, _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - shared


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(-1)


# --- metrics ----------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """Boxes of every image of every lane, the most certain first; those that a better one covers have score 0."""

    scores: Float[Tensor, "lanes rows cells"]
    classes: Int[Tensor, "lanes rows cells"]
    right: Bool[Tensor, "lanes rows cells"]  # whether it has found an object that no better one has


def metrics(
    task: TaskSpec, outputs: Float[Tensor, "lanes rows outputs"], targets: Float[Tensor, "rows columns"]
) -> dict[str, Tensor]:
    """AP@50, and precision and recall of the boxes with a score of at least 0.5 (precision is NaN without any).

    ap50 is the mean over the classes that occur of the area under the precision envelope, all points, as in PASCAL VOC 2010.
    A box's score is its object's probability times its class's; of overlapping boxes of one class the best stays (IoU 0.5).
    """
    cells = targets.unflatten(-1, (task.places, -1))
    found = detect(task, outputs, cells)
    there = cells[..., 0] > 0.5
    labels = cells[..., 5].long()
    each = [_average_precision(found, label, int((there & (labels == label)).sum())) for label in labels[there].unique().tolist()]
    certain = found.scores >= CERTAIN
    hits, boxes = (part.sum((1, 2)).double() for part in (certain & found.right, certain))
    nothing = outputs.new_full((len(outputs),), torch.nan)
    finite = outputs.isfinite().all(-1).all(-1)
    values = {
        "ap50": torch.stack(each).mean(0) if each else nothing,
        "precision": torch.where(boxes > 0, hits / boxes, torch.nan),
        "recall": hits / there.sum() if each else nothing,
    }
    return {name: torch.where(finite, value.to(outputs.dtype), torch.nan) for name, value in values.items()}


def detect(task: TaskSpec, outputs: Float[Tensor, "lanes rows outputs"], cells: Float[Tensor, "rows cells 6"]) -> Found:
    """A box a cell with its likeliest class, and which of them find an object."""
    outputs = _cells(task, outputs)
    chance, classes = outputs[..., 5:].sigmoid().max(-1)
    scores, order = (outputs[..., 0].sigmoid() * chance).sort(dim=-1, descending=True, stable=True)
    classes = classes.gather(-1, order)
    boxes = corners(task, outputs[..., 1:5].sigmoid())
    boxes = boxes.gather(-2, order.unsqueeze(-1).expand(boxes.shape))
    scores = torch.where(_kept(boxes, classes), scores, 0.0)
    return Found(scores, classes, _matched(task, boxes, classes, scores > 0, cells))


def _kept(boxes: Tensor, classes: Tensor) -> Bool[Tensor, "lanes rows cells"]:
    """Greedy suppression, best first: a box goes if one of its class that stays covers it."""
    covers = iou(boxes.unsqueeze(-2), boxes.unsqueeze(-3)) > SAME_OBJECT
    covers &= classes.unsqueeze(-1) == classes.unsqueeze(-2)
    kept = torch.ones_like(classes, dtype=torch.bool)
    for rank in range(kept.shape[-1] - 1):
        later = covers[..., rank, rank + 1 :] & kept[..., rank, None]
        kept[..., rank + 1 :] &= ~later
    return kept


def _matched(task: TaskSpec, boxes: Tensor, classes: Tensor, kept: Tensor, cells: Tensor) -> Bool[Tensor, "lanes rows cells"]:
    """Best first, each box takes the object of its class that it overlaps most, if by 0.5 and if no better box has taken it."""
    there = (cells[..., 0] > 0.5).unsqueeze(-2) & (cells[..., 5].unsqueeze(-2) == classes.unsqueeze(-1))
    overlap = torch.where(there, iou(boxes.unsqueeze(-2), corners(task, cells[..., 1:5]).unsqueeze(-3)), 0.0)
    most, which = overlap.max(-1)
    right = torch.zeros_like(kept)
    taken = torch.zeros_like(there[..., 0, :])
    for rank in range(kept.shape[-1]):
        mine = which[..., rank, None]
        hit = kept[..., rank] & (most[..., rank] >= SAME_OBJECT) & ~taken.gather(-1, mine)[..., 0]
        right[..., rank] = hit
        taken.scatter_(-1, mine, taken.gather(-1, mine) | hit.unsqueeze(-1))
    return right


def _average_precision(found: Found, label: int, objects: int) -> Float[Tensor, " lanes"]:
    mine = (found.classes == label) & (found.scores > 0)
    scores = torch.where(mine, found.scores, -1.0).flatten(1)
    scores, order = scores.sort(dim=-1, descending=True, stable=True)
    right = (found.right & mine).flatten(1).gather(1, order)
    hits = right.double().cumsum(1)
    precision = hits / torch.arange(1, scores.shape[1] + 1, device=scores.device)
    envelope = precision.flip(1).cummax(1).values.flip(1)
    return torch.where(right, envelope, 0.0).sum(1) / objects
