"""Grid detection: its loss is the textbook's, its slope autograd's, its metrics those of a program that goes box by box."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference_maps import detection_metrics, image_loss
from reference_maps import giou as plain_giou
from reference_maps import iou as plain_iou
from sklearn.metrics import average_precision_score, jaccard_score
from torch import Tensor

from mtl_core.detection import corners, giou, grid_loss, grid_slope, iou
from mtl_core.detection import metrics as detection
from mtl_core.metrics import metrics
from mtl_core.specs import TaskSpec

TASK = TaskSpec(
    name="notes", kind="detection", grid=(3, 4), classes=("a", "b", "c"), object_weight=2.0, box_weight=3.0, class_weight=0.5
)
CELLS, COLUMNS = 12, 6


def targets(rows: int, seed: int = 0, share: float = 0.3) -> Tensor:
    rng = np.random.default_rng(seed)
    cells = np.zeros((rows, CELLS, COLUMNS))
    there = rng.random((rows, CELLS)) < share
    count = int(there.sum())
    cells[there] = np.column_stack([np.ones(count), rng.uniform(0.05, 0.95, (count, 4)), rng.integers(0, 3, count)])
    return torch.tensor(cells.reshape(rows, -1))


def near(labels: Tensor, seed: int = 1, error: float = 0.5) -> Tensor:
    """Outputs that are right up to an error in every logit."""
    cells = labels.unflatten(-1, (CELLS, COLUMNS))
    classes = 6 * torch.nn.functional.one_hot(cells[..., 5].long(), 3) - 3
    exact = torch.cat([6 * cells[..., :1] - 3, torch.logit(cells[..., 1:5].clamp(0.02, 0.98)), classes], -1)
    noise = torch.randn(exact.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (exact + error * noise).flatten(-2)


def test_the_loss_of_an_image_is_the_textbooks() -> None:
    labels = targets(20)
    labels[3] = 0  # an image without objects
    outputs = near(labels, error=2.0)
    expected = torch.stack([image_loss(TASK, *pair) for pair in zip(outputs, labels, strict=True)])
    torch.testing.assert_close(grid_loss(TASK, outputs, labels).squeeze(-1), expected, rtol=1e-12, atol=0)


def test_the_slope_is_the_derivative_by_finite_differences() -> None:
    labels = targets(4)
    outputs, step = near(labels, error=1.0), 1e-6
    slope = grid_slope(TASK, outputs, labels)
    for place in range(0, outputs.shape[1], 5):
        up, down = outputs.clone(), outputs.clone()
        up[:, place] += step
        down[:, place] -= step
        difference = (grid_loss(TASK, up, labels) - grid_loss(TASK, down, labels)).squeeze(-1) / (2 * step)
        torch.testing.assert_close(slope[:, place], difference, rtol=1e-5, atol=1e-8)


def test_the_box_term_carries_gradient_even_where_a_box_misses_its_object() -> None:
    task = TASK.model_copy(update={"object_weight": 0.0, "class_weight": 0.0})
    labels = torch.zeros(1, CELLS, COLUMNS, dtype=torch.float64)
    labels[0, 5] = torch.tensor([1, 0.9, 0.9, 0.02, 0.02, 0])
    outputs = torch.zeros(1, CELLS, 8, dtype=torch.float64)
    outputs[0, 5, 1:5] = torch.tensor([-4.0, -4.0, -5.0, -5.0])  # a tiny box in the other corner of the cell
    slope = grid_slope(task, outputs.flatten(1), labels.flatten(1)).unflatten(1, (CELLS, 8))
    assert (slope[0, 5, 1:3] < 0).all(), "its centre is pulled towards the object"
    assert (slope[0, 5, 3:5] != 0).all()
    slope[0, 5, 1:5] = 0
    assert (slope == 0).all(), "and nothing else is"


def test_overlaps_are_those_of_pairs_of_plain_boxes() -> None:
    rng = np.random.default_rng(4)
    low, size = rng.random((2, 200, 2)), rng.random((2, 200, 2))
    a, b = (np.concatenate([low[n], low[n] + size[n]], 1) for n in (0, 1))
    for ours, theirs in ((iou, plain_iou), (giou, plain_giou)):
        expected = [theirs(tuple(p), tuple(q)) for p, q in zip(a, b, strict=True)]
        np.testing.assert_allclose(ours(torch.tensor(a), torch.tensor(b)), expected, rtol=1e-12)


def test_corners_lie_where_cells_say() -> None:
    boxes = torch.zeros(1, CELLS, 4)
    boxes[0, 6] = torch.tensor([0.5, 0.25, 0.5, 0.2])  # second row, third column of 3 x 4 cells
    left, top, right, bottom = corners(TASK, boxes)[0, 6].tolist()
    assert (left, right) == pytest.approx(((2.5 / 4) - 0.25, (2.5 / 4) + 0.25))
    assert (top, bottom) == pytest.approx(((1.25 / 3) - 0.1, (1.25 / 3) + 0.1))


@pytest.mark.parametrize("error", [0.2, 1.0, 3.0])
def test_metrics_are_those_of_a_program_that_goes_box_by_box(error: float) -> None:
    labels = targets(40, seed=2)
    lanes = torch.stack([near(labels, seed=lane, error=error) for lane in range(3)])
    found = detection(TASK, lanes, labels)
    for lane in range(3):
        expected = detection_metrics(TASK, lanes[lane], labels)
        for name, value in expected.items():
            assert found[name][lane].item() == pytest.approx(value, rel=1e-12), name


def test_a_perfect_detector_scores_one_and_an_empty_one_nothing() -> None:
    labels = targets(30, seed=3, share=0.2)
    exact = near(labels, error=0.0)
    wrong = -20 * torch.ones_like(exact)
    found = detection(TASK, torch.stack([exact, wrong]), labels)
    assert found["ap50"][0] > 0.97  # two large objects of one class may cover each other
    assert found["precision"][0] == 1
    assert found["ap50"][1] < 0.2
    assert torch.isnan(found["precision"][1])
    assert found["recall"][1] == 0


def test_with_one_object_an_image_and_no_interpolation_it_is_scikit_learns_ranking() -> None:
    """Where every image has one box and precision falls with every miss, the area is the average precision of a ranking."""
    task = TaskSpec(name="t", kind="detection", grid=(1, 1), classes=("a",))
    rows = 60
    rng = np.random.default_rng(0)
    right = rng.random(rows) < 0.6
    labels = torch.tensor(np.column_stack([np.ones(rows), np.full((rows, 4), 0.5), np.zeros(rows)]))
    scores = torch.tensor(rng.normal(size=rows))
    scores = scores.sort().values  # as certain as the rows are late
    outputs = torch.zeros(1, rows, 6, dtype=torch.float64)
    outputs[0, :, 0], outputs[0, :, 5] = scores, 20
    outputs[0, ~torch.tensor(right), 3:5] = -3  # boxes too small to count
    ours = detection(task, outputs, labels)["ap50"].item()
    precision = np.cumsum(right[::-1]) / np.arange(1, rows + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    assert ours == pytest.approx(envelope[right[::-1]].sum() / rows)
    assert ours >= average_precision_score(right, scores) * right.sum() / rows - 1e-12


def test_segmentation_metrics_are_scikit_learns_and_places_without_a_label_are_left_out() -> None:
    task = TaskSpec(name="s", kind="segmentation", grid=(4, 5), classes=tuple("abcd"))
    rng = np.random.default_rng(1)
    labels, logits = rng.integers(0, 3, (10, 20)).astype(float), rng.normal(size=(2, 10, 20, 4))
    valid = rng.random((10, 20)) < 0.7
    found = metrics(
        task, torch.tensor(logits).flatten(2), torch.tensor(np.where(valid, labels, 0)), torch.tensor(valid), np.ones(20)
    )
    for lane in range(2):
        guessed = logits[lane].argmax(-1)[valid]
        assert found["pixel_accuracy"][lane].item() == pytest.approx((guessed == labels[valid]).mean())
        expected = jaccard_score(labels[valid], guessed, average="macro", labels=np.union1d(labels[valid], guessed))
        assert found["mean_iou"][lane].item() == pytest.approx(expected)


def test_metrics_of_a_lane_that_is_not_finite_do_not_exist() -> None:
    labels = targets(5)
    outputs = torch.stack([near(labels), near(labels) * torch.nan])
    assert all(torch.isnan(values[1]) and not torch.isnan(values[0]) for values in detection(TASK, outputs, labels).values())
