"""Banknotes: what is annotated is what is painted, layer by layer, and no cell of a detector gets two objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mtl_core.data.scenarios import load
from mtl_core.data.scenarios.banknotes import CLASSES, LAYERS, cells, jittered, of_layer, overlaps
from mtl_core.data.scenarios.drawing import Box
from mtl_core.data.scenarios.notes import CELLS, COMMONS, MARKS, SIDE, Annotations, Note, annotate, lay, paint
from mtl_core.problem import Problem

EVEN = np.full(7, 1 / 7)


def small(**knobs: Any) -> Problem:
    return load("banknotes", {"samples": 100, **knobs})


def laid(seed: int = 0, pictures: int = 60, **how: Any) -> list[Note]:
    usual = {"most": 2, "size": 0.75, "shares": EVEN, "printed": 1.0, "hidden": 0.0}
    return lay(np.random.default_rng(seed), pictures, **{**usual, **how})


def by_cell(problem: Problem, layer: str) -> np.ndarray:
    return problem.targets[layer].reshape(-1, CELLS, CELLS, 6)


def objects_of(problem: Problem, layer: str) -> list[tuple[int, float, float, float, float, int]]:
    """(picture, x, y, width, height, class) of all labelled objects, from the cells; x and y as shares of the picture."""
    grid = np.nan_to_num(by_cell(problem, layer))
    found = []
    for picture, row, column in np.argwhere(grid[..., 0] == 1):
        _, x, y, width, height, kind = grid[picture, row, column]
        found.append((int(picture), (column + x) / CELLS, (row + y) / CELLS, width, height, int(kind)))
    return found


def extent(changed: np.ndarray) -> Box:
    """The smallest rectangle around all changed pixels."""
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)


# --- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "whole"), [("layer_1", range(7)), ("layer_2", range(7, 14)), ("layer_3", range(14, 17))])
def test_a_layer_takes_its_classes_and_counts_them_from_zero(layer: str, whole: range) -> None:
    kinds = np.array([16, 0, 13, 7, 6, 14, 15, 3])
    boxes = np.random.default_rng(0).random((8, 4))
    kept = of_layer(Annotations(np.arange(8), kinds, boxes), *LAYERS[layer])
    expected = [i for i, kind in enumerate(kinds) if kind in whole]
    assert kept.picture.tolist() == expected
    assert kept.kind.tolist() == [kinds[i] - whole[0] for i in expected]
    np.testing.assert_array_equal(kept.box, boxes[expected])
    assert len(CLASSES[layer]) == len(whole)


def test_the_layers_share_out_all_annotations() -> None:
    annotations = annotate(laid())
    assert set(annotations.kind) == set(range(17))
    assert sum(len(of_layer(annotations, *ends).kind) for ends in LAYERS.values()) == len(annotations.kind)


def test_a_cell_holds_the_object_whose_centre_lies_in_it() -> None:
    one = Annotations(np.array([2]), np.array([4]), np.array([[0.40, 0.75, 0.3, 0.2]]))
    grid = cells(one, 3).reshape(3, CELLS, CELLS, 6)
    assert np.argwhere(grid[..., 0]).tolist() == [[2, 4, 2]]
    np.testing.assert_allclose(grid[2, 4, 2], [1, 0.4, 0.5, 0.3, 0.2, 4], atol=1e-12)
    assert not grid[grid[..., 0] == 0].any()


def test_two_objects_in_one_cell_are_refused() -> None:
    twice = Annotations(np.array([0, 0]), np.array([1, 2]), np.array([[0.4, 0.4, 0.1, 0.1], [0.45, 0.45, 0.1, 0.1]]))
    with pytest.raises(AssertionError, match="two objects"):
        cells(twice, 1)


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("size", [0.55, 0.75, 1.0])
def test_no_cell_gets_two_objects_of_a_layer(most: int, size: float) -> None:
    for seed in range(5):
        annotations = annotate(laid(seed, 100, most=most, size=size))
        for ends in LAYERS.values():
            layer = of_layer(annotations, *ends)
            assert cells(layer, 100).reshape(-1, 6)[:, 0].sum() == len(layer.kind)


def test_every_note_has_its_own_mark_and_as_many_common_marks_as_are_printed() -> None:
    for note in laid():
        kinds = [kind for kind, _ in note.parts()]
        assert kinds == [note.denomination, MARKS + note.denomination, COMMONS, COMMONS + 1, COMMONS + 2]
    counts = [len(list(note.parts())) for note in laid(printed=0.5, pictures=1000)]
    assert np.mean(counts) == pytest.approx(3, abs=0.1)


# --- pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("width", [26, 31, 38, 48])
def test_each_box_is_the_extent_of_the_pixels_that_the_object_changes(width: int, mirrored: bool) -> None:  # noqa: FBT001
    """Printing one mark more changes exactly the pixels within its box, and touches all four sides of it."""
    height = round(0.55 * width)
    for denomination in range(7):
        blank = Note(0, denomination, Box(0, 5, width, height), mirrored, mirrored, (False,) * 4, None, 0.0)
        plain = np.full((1, 3, SIDE, SIDE), 0.3, dtype=np.float32)
        before = paint(plain, [blank], 0.8, 0.0)
        assert extent((before != plain)[0].any(0)) == blank.box
        for mark in range(4):
            note = blank._replace(printed=tuple(i == mark for i in range(4)))
            (_, (_, box)) = note.parts()
            assert extent((paint(plain, [note], 0.8, 0.0) != before)[0].any(0)) == box
            inside = Box(box.left, box.top, box.width, box.height).covered(note.box)
            assert inside == 1


def test_marks_of_a_note_do_not_cover_each_other() -> None:
    for note in laid(most=3, pictures=300, size=1.0):
        printed = [box for kind, box in note.parts() if kind >= MARKS]
        assert not any(a.covered(b) for i, a in enumerate(printed) for b in printed[:i])


def test_boxes_lie_within_the_picture_and_notes_apart() -> None:
    for seed in range(5):
        notes = laid(seed, most=3, size=1.0)
        for note in notes:
            assert note.box.covered(Box(0, 0, SIDE, SIDE)) == 1
        pairs = [(a, b) for i, a in enumerate(notes) for b in notes[:i] if a.picture == b.picture]
        assert not any(a.box.covered(b.box) for a, b in pairs)


def test_the_labelled_boxes_frame_a_border_that_is_half_as_bright_as_the_note() -> None:
    problem = small(noise=0.0, occlusion=0.0, features=0.1, clutter=0)
    pictures = problem.features.reshape(-1, 3, SIDE, SIDE)
    found = objects_of(problem, "layer_1")
    assert len(found) == problem.truth["objects"]["layer_1"]
    for picture, x, y, width, height, _ in found:
        left, top = round((x - width / 2) * SIDE), round((y - height / 2) * SIDE)
        border = pictures[picture][:, top, left : left + round(width * SIDE)]
        note = pictures[picture][:, top : top + round(height * SIDE), left : left + round(width * SIDE)]
        np.testing.assert_allclose(border, np.broadcast_to(border[:, :1], border.shape), atol=1e-6)
        np.testing.assert_allclose(2 * border[:, 0], np.median(note.reshape(3, -1), axis=1), atol=1e-5)


def test_what_is_covered_by_more_than_half_is_not_annotated_and_the_rest_is() -> None:
    notes = laid(hidden=1.0, pictures=300)
    assert all(note.finger is not None and note.finger.covered(note.box) == 1 for note in notes)
    dropped = 0
    for note in notes:
        seen = list(note.seen())
        assert seen[0] == (note.denomination, note.box)
        for part in note.parts():
            assert (part in seen) == (part[1].covered(note.finger) <= 0.5)
        dropped += len(list(note.parts())) - len(seen)
    assert dropped > 100


# --- knobs -----------------------------------------------------------------------------------------------------------


def test_pictures_without_labels_of_a_layer_are_absent_throughout_and_others_complete() -> None:
    problem = small(samples=200, layer_2_labels=0.5, layer_3_labels=0.1)
    for layer, share in (("layer_1", 1.0), ("layer_2", 0.5), ("layer_3", 0.1)):
        given = np.isfinite(problem.targets[layer])
        assert (given.all(1) == given.any(1)).all()
        for split in range(3):
            assert given[problem.split == split].all(1).mean() == pytest.approx(share, abs=0.01)


def test_a_labelled_picture_may_have_no_mark_and_then_all_its_cells_are_empty() -> None:
    problem = small(features=0.1, layer_2_labels=1.0)
    empty = by_cell(problem, "layer_2")[..., 0].sum((1, 2)) == 0
    assert empty.any()
    assert not problem.targets["layer_2"][empty].any()


def test_jitter_moves_boxes_but_not_out_of_their_cells_or_the_picture() -> None:
    exact = annotate(laid(pictures=300, most=3))
    given = jittered(np.random.default_rng(1), exact, 0.3)
    np.testing.assert_array_equal(np.floor(exact.box[:, :2] * CELLS), np.floor(given.box[:, :2] * CELLS))
    assert (given.box[:, :2] - given.box[:, 2:] / 2 > -1e-12).all()
    assert (given.box[:, :2] + given.box[:, 2:] / 2 < 1 + 1e-12).all()
    assert np.abs(np.log(given.box[:, 2:] / exact.box[:, 2:])).mean() > 0.1
    calm = jittered(np.random.default_rng(1), exact, 0.0)
    np.testing.assert_array_equal(calm.box, exact.box)


def test_truth_knows_what_jitter_costs() -> None:
    exact, loose, looser = (small(jitter=jitter, box_weight=2.0).truth for jitter in (0.0, 0.1, 0.3))
    for layer in LAYERS:
        assert exact["label_iou"][layer] == 1
        assert exact["irreducible"][layer] == 0
        assert 1 > loose["label_iou"][layer] > looser["label_iou"][layer]
        assert 0 < loose["irreducible"][layer] < looser["irreducible"][layer]
    assert small(jitter=0.1, box_weight=4.0).truth["irreducible"]["layer_1"] == pytest.approx(
        2 * loose["irreducible"]["layer_1"], abs=2e-4
    )


def test_overlaps_of_boxes_that_can_be_counted_by_hand() -> None:
    a = np.array([[0.5, 0.5, 1.0, 1.0], [0.25, 0.5, 0.5, 1.0], [0.125, 0.5, 0.25, 1.0]])
    b = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 1.0], [0.875, 0.5, 0.25, 1.0]])
    iou, giou = overlaps(a, b)
    np.testing.assert_allclose(iou, [1 / 4, 1 / 3, 0], atol=1e-12)
    np.testing.assert_allclose(giou, [1 / 4, 1 / 3, -1 / 2], atol=1e-12)


def test_denominations_have_the_shares_that_imbalance_asks() -> None:
    shares = 0.5 ** np.arange(7)
    notes = load("banknotes", {"samples": 2000, "imbalance": 0.5}).truth["notes"]
    found = np.array(list(notes.values())) / sum(notes.values())
    np.testing.assert_allclose(found, shares / shares.sum(), atol=0.03)


def test_without_contrast_notes_of_all_denominations_have_one_colour() -> None:
    notes = [Note(0, one, Box(5, 5, 30, 16), False, False, (False,) * 4, None, 0.0) for one in range(7)]
    plain = np.zeros((1, 3, SIDE, SIDE), dtype=np.float32)
    assert len({paint(plain, [note], 0.0, 0.0).tobytes() for note in notes}) == 1
    assert len({paint(plain, [note], 0.5, 0.0).tobytes() for note in notes}) == 7


def test_the_leak_is_a_corner_that_codes_the_denomination_and_says_so() -> None:
    problem = small(leakage=1.0, noise=0.0, occlusion=0.0, contrast=0.0)
    pictures = problem.features.reshape(-1, 3, SIDE, SIDE)
    code: dict[int, np.ndarray] = {}
    for picture, x, y, width, height, kind in objects_of(problem, "layer_1"):
        left, top = round((x - width / 2) * SIDE), round((y - height / 2) * SIDE)
        corner = pictures[picture][:, top + 1 : top + 4, left + 1 : left + 4].reshape(3, 9)
        if corner.max() >= 1:  # overexposed
            continue
        pure = corner[:, 0] / corner[:, 0].max()
        np.testing.assert_allclose(pure, code.setdefault(kind, pure), atol=1e-5)
    assert len({one.round(3).tobytes() for one in code.values()}) == 7
    assert "Leakage" in problem.warnings[0]
    assert not small().warnings


def test_coefficients_are_those_of_the_tasks() -> None:
    for task in small(object_weight=3.0, box_weight=2.0, class_weight=0.5).tasks:
        assert (task.object_weight, task.box_weight, task.class_weight) == (3.0, 2.0, 0.5)


def test_labels_and_coefficients_leave_the_pictures_as_they_are() -> None:
    base = small()
    for knobs in ({"layer_2_labels": 0.2}, {"jitter": 0.2}, {"box_weight": 9.0}):
        np.testing.assert_array_equal(base.features, small(**knobs).features)


def test_the_schedule_freezes_the_trunk_first_and_restarts_the_weights_then() -> None:
    heads, everything = small().training["phases"]
    assert heads["frozen"] == ("trunk",)
    assert heads["tasks"] == ("layer_1",)
    assert heads["lr"] == 1e-3
    assert everything["reset"] == ("optimizer", "weights")
    assert everything["trunk_lr"] < everything["lr"]
