"""The picture of a problem shows its images and labels, pixel for pixel."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from mtl_core.data.pictures import GAP, UNLABELLED, picture, png
from mtl_core.data.scenarios import load
from mtl_core.problem import Problem
from mtl_core.specs import TaskSpec

GREY = round(255 * UNLABELLED)


def problem_of(features: np.ndarray, shape: tuple[int, ...], task: TaskSpec, targets: np.ndarray) -> Problem:
    rows = len(features)
    split = np.zeros(rows, dtype=np.int8)
    names = tuple(f"x{i}" for i in range(features.shape[1]))
    return Problem("own", features, {task.name: targets}, (task,), split, names, input_shape=shape)


def panel(pixels: np.ndarray, row: int, column: int, side: int, scale: int) -> np.ndarray:
    step = (side + GAP) * scale
    return pixels[row * step : row * step + side * scale, column * step : column * step + side * scale]


def drawn(name: str, **knobs: object) -> Problem:
    return load(name, {"samples": 100, **knobs})


def test_each_row_is_the_image_and_each_column_a_map() -> None:
    problem = drawn("scenes")
    found = picture(problem, rows=3, scale=2)
    assert found is not None
    assert found.titles == ("image", "semantic", "instance", "depth")
    assert found.pixels.shape == (2 * (3 * 33 - 1), 2 * (4 * 33 - 1), 3)
    for row in range(3):
        image = (255 * problem.features[row].reshape(3, 32, 32)).round().transpose(1, 2, 0)
        np.testing.assert_array_equal(panel(found.pixels, row, 0, 32, 2)[::2, ::2], image)
        np.testing.assert_array_equal(panel(found.pixels, row, 0, 32, 2)[1::2, 1::2], image)


def test_what_has_no_label_is_grey_and_classes_have_a_colour_each() -> None:
    problem = drawn("scenes", unlabelled_edges=1.0)
    found = picture(problem, rows=4, scale=1)
    assert found is not None
    for row in range(4):
        classes = problem.targets["semantic"][row].reshape(32, 32)
        shown = panel(found.pixels, row, 1, 32, 1)
        assert (shown[np.isnan(classes)] == GREY).all()
        colours = [np.unique(shown[classes == one], axis=0) for one in np.unique(classes[np.isfinite(classes)])]
        assert all(len(one) == 1 for one in colours)
        assert len({one.tobytes() for one in colours}) == len(colours)
        offsets = problem.targets["instance"][row].reshape(32, 32, 2)
        assert (panel(found.pixels, row, 2, 32, 1)[np.isnan(offsets[..., 0])] == GREY).all()


def test_depth_is_the_brighter_the_nearer() -> None:
    problem = drawn("scenes", invalid=0.0, depth_noise=0.0)
    found = picture(problem, rows=2, scale=1)
    assert found is not None
    depth = problem.targets["depth"][:2].reshape(2, 32, 32)
    shown = np.stack([panel(found.pixels, row, 3, 32, 1)[..., 0] for row in range(2)])
    expected = 255 * (depth - depth.min()) / np.ptp(depth)
    np.testing.assert_allclose(shown, expected, atol=0.51)


def test_opposite_offsets_have_opposite_hues_and_long_ones_are_bright() -> None:
    task = TaskSpec(name="flow", kind="dense_regression", grid=(1, 3), width=6)
    flows = np.array([[2.0, 0.0, -2.0, 0.0, 1.0, 0.0]])
    found = picture(problem_of(np.zeros((1, 3)), (1, 1, 3), task, flows), scale=1)
    assert found is not None
    east, west, short = found.pixels[0, 3 + GAP :].astype(float)
    assert east.argmax() == 0
    assert west.argmin() == 0
    np.testing.assert_allclose(short, east / 2, atol=1)


def test_boxes_are_outlined_where_the_cells_say_and_images_without_labels_are_grey() -> None:
    task = TaskSpec(name="found", kind="detection", grid=(2, 2), classes=("a", "b"))
    cells = np.zeros((2, 2, 2, 6))
    cells[0, 1, 0] = (1, 0.5, 0.5, 0.5, 0.25, 1)  # centre (2, 6) of 8 pixels, 4 wide, 2 high
    cells[1] = np.nan
    found = picture(problem_of(np.ones((2, 64)), (1, 8, 8), task, cells.reshape(2, -1)), scale=1)
    assert found is not None
    shown = panel(found.pixels, 0, 1, 8, 1)
    outlined = (shown != 128).any(-1)
    expected = np.zeros((8, 8), dtype=bool)
    expected[5:7, 0:4] = True  # a box 2 high is all outline
    np.testing.assert_array_equal(outlined, expected)
    assert (panel(found.pixels, 1, 1, 8, 1) == GREY).all()


def test_drawn_notes_are_framed() -> None:
    problem = drawn("banknotes", layer_3_labels=0.05)
    found = picture(problem, rows=8, scale=1)
    assert found is not None
    assert found.titles == ("image", "layer_1", "layer_2", "layer_3")
    for row in range(8):
        shown = panel(found.pixels, row, 3, 48, 1)
        assert (shown == GREY).all() == np.isnan(problem.targets["layer_3"][row]).all()


def test_images_in_grey_are_shown_and_other_rows_are_not() -> None:
    digits = picture(replace(load("multi_digits", {"samples": 300}), input_shape=(1, 8, 13)), rows=2, scale=3)
    assert digits is not None
    assert digits.titles == ("image",)
    assert (digits.pixels == digits.pixels[..., :1]).all()
    assert picture(load("osint", {"samples": 400})) is None
    task = TaskSpec(name="y", kind="regression")
    assert picture(problem_of(np.zeros((2, 12)), (3, 4), task, np.zeros((2, 1)))) is None
    assert picture(problem_of(np.zeros((2, 8)), (2, 2, 2), task, np.zeros((2, 1)))) is None


def test_values_of_another_range_are_shrunk_to_it() -> None:
    task = TaskSpec(name="y", kind="regression")
    found = picture(problem_of(np.array([[0.0, 100.0, 200.0, 50.0]]), (1, 2, 2), task, np.zeros((1, 1))), scale=1)
    assert found is not None
    np.testing.assert_array_equal(found.pixels[..., 0], [[0, 128], [255, 64]])


def test_a_png_reads_back_as_it_was_written() -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(image.open(io.BytesIO(png(pixels)))), pixels)
