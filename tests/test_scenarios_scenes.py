"""Scenes: maps agree with the pixels they describe, nearer shapes cover farther ones, offsets point to centres."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mtl_core.data.scenarios import load
from mtl_core.data.scenarios.drawing import coloured, patches
from mtl_core.data.scenarios.scenes import CLASSES
from mtl_core.data.scenarios.shapes import BEHIND, FAR, NEAR, SHAPES, SIDE, Objects, Scenes, draw, edges, mask, objects, offsets
from mtl_core.problem import Problem

CLEAN = {"noise": 0.0, "unlabelled_edges": 0.0, "invalid": 0.0, "depth_noise": 0.0}
PIXELS = np.arange(SIDE, dtype=np.float32) + 0.5


def small(**knobs: Any) -> Problem:
    return load("scenes", {"samples": 100, **knobs})


def drawn(rows: int = 50, shapes: int = 5, relatedness: float = 0.0, leakage: float = 0.0) -> tuple[Objects, Scenes]:
    found = objects(np.random.default_rng(0), rows, shapes, 0.0, relatedness, leakage)
    return found, draw(found, np.full((rows, 3, SIDE, SIDE), 0.4, dtype=np.float32), 0.7)


def maps(problem: Problem, task: str) -> np.ndarray:
    return problem.targets[task].reshape(-1, SIDE, SIDE, 2 if task == "instance" else 1)


# --- what is where ---------------------------------------------------------------------------------------------------


def test_of_two_shapes_the_nearer_is_seen_where_they_overlap() -> None:
    found, scenes = drawn()
    covers = np.stack([mask(found, k, PIXELS[None, :], PIXELS[:, None]) for k in range(5)])
    depths = np.where(covers, (FAR + (NEAR - FAR) * found.nearness.T)[:, :, None, None], -1.0)
    overlapping = covers.sum(0) > 1
    assert overlapping.sum() > 1000
    np.testing.assert_array_equal(scenes.instance[overlapping], depths.argmax(0)[overlapping] + 1)
    seen = covers.any(0)
    np.testing.assert_allclose(scenes.depth[seen], depths.max(0)[seen], rtol=1e-6)
    np.testing.assert_array_equal(scenes.instance > 0, seen)


def test_the_class_of_a_pixel_is_that_of_the_shape_it_shows() -> None:
    found, scenes = drawn()
    rows, _, _ = inside = np.nonzero(scenes.instance)
    np.testing.assert_array_equal(scenes.kind[inside], found.kind[rows, scenes.instance[inside] - 1] + 1)
    assert not scenes.kind[scenes.instance == 0].any()


def test_every_shape_lies_before_the_plane() -> None:
    _, scenes = drawn()
    assert scenes.depth[scenes.instance > 0].min() > BEHIND > scenes.depth[scenes.instance == 0].max()
    assert scenes.depth.max() <= NEAR


@pytest.mark.parametrize(("kind", "area"), [("disc", math.pi), ("square", 1.7**2), ("triangle", 1.7 * 1.02), ("cross", 2.0724)])
def test_each_form_covers_its_area(kind: str, area: float) -> None:
    """Areas for radius 1 by geometry; pixels agree within what a border is worth."""
    one = {"nearness": 0.5, "x": 16.2, "y": 16.4, "radius": 11.0, "turn": 0.2, "hue": 0.0, "there": True}
    found = Objects(np.array([[SHAPES.index(kind)]]), *(np.array([[value]]) for value in one.values()))
    covered = mask(found, 0, PIXELS[None, :], PIXELS[:, None]).sum()
    assert covered / 11**2 == pytest.approx(area, rel=0.05)


# --- offsets ---------------------------------------------------------------------------------------------------------


def test_offsets_lead_from_every_pixel_of_an_instance_to_the_centroid_of_what_is_seen_of_it() -> None:
    _, scenes = drawn()
    found = offsets(scenes.instance)
    assert np.isnan(found[scenes.instance == 0]).all()
    for row, instances in enumerate(scenes.instance):
        for one in np.unique(instances[instances > 0]):
            down, across = np.nonzero(instances == one)
            reached = found[row, down, across] + np.column_stack([across, down]) + 0.5
            np.testing.assert_allclose(reached, np.tile([across.mean() + 0.5, down.mean() + 0.5], (len(down), 1)), atol=1e-9)


def test_the_instance_targets_are_x_and_y_in_pixels_place_after_place() -> None:
    problem = small(**CLEAN, instance_unit=3.0, shapes=1)
    for semantic, instance in zip(maps(problem, "semantic")[..., 0], maps(problem, "instance"), strict=True):
        down, across = np.nonzero(semantic)
        expected = 3 * np.column_stack([across.mean() - across, down.mean() - down])
        np.testing.assert_allclose(instance[down, across], expected, atol=1e-9)
        assert np.isnan(instance[semantic == 0]).all()


# --- missing labels --------------------------------------------------------------------------------------------------


def test_only_pixels_at_the_edge_of_an_object_lack_a_class() -> None:
    whole, holes = small(**CLEAN), small(**{**CLEAN, "unlabelled_edges": 0.5})
    missing = np.isnan(maps(holes, "semantic")[..., 0])
    truth = maps(whole, "semantic")[..., 0]
    np.testing.assert_array_equal(truth[~missing], maps(holes, "semantic")[..., 0][~missing])
    centres = maps(whole, "instance") + np.stack(np.meshgrid(PIXELS, PIXELS), axis=-1)  # tell the instances of a picture apart
    outline = edges(np.nan_to_num(1e6 * centres[..., 0] + centres[..., 1], nan=-1.0).round(4))
    assert not (missing & ~outline).any()
    assert missing.sum() / outline.sum() == pytest.approx(0.5, abs=0.02)
    assert not np.isnan(truth).any()


def test_edges_are_pixels_next_to_something_else() -> None:
    instance = np.zeros((1, 4, 4), dtype=np.int64)
    instance[0, 1, 1] = 1
    expected = np.zeros((4, 4), dtype=bool)
    for row, column in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
        expected[row, column] = True
    np.testing.assert_array_equal(edges(instance)[0], expected)


def test_depth_is_missing_in_squares_and_in_the_share_that_is_asked() -> None:
    problem = load("scenes", {"samples": 500, "invalid": 0.3})
    missing = np.isnan(maps(problem, "depth")[..., 0]).reshape(-1, 8, 4, 8, 4)
    assert (missing.all((2, 4)) == missing.any((2, 4))).all()
    assert missing.mean() == pytest.approx(0.3, abs=0.01)
    assert patches(np.random.default_rng(0), 2, 32, 4, 1.0).all()


def test_maps_of_a_task_are_labelled_in_the_share_of_pictures_that_is_asked() -> None:
    problem = small(semantic_labels=0.5, instance_labels=0.2, depth_labels=0.9)
    for task, share in (("semantic", 0.5), ("instance", 0.2), ("depth", 0.9)):
        labelled = np.isfinite(problem.targets[task]).any(1)
        for split in range(3):
            assert labelled[problem.split == split].mean() == pytest.approx(share, abs=0.03)


# --- knobs and truth -------------------------------------------------------------------------------------------------


def test_units_multiply_their_targets_and_nothing_else() -> None:
    a, b = small(), small(instance_unit=10.0, depth_unit=0.1)
    np.testing.assert_array_equal(a.features, b.features)
    np.testing.assert_array_equal(a.targets["semantic"], b.targets["semantic"])
    np.testing.assert_allclose(10 * a.targets["instance"], b.targets["instance"])
    np.testing.assert_allclose(0.1 * a.targets["depth"], b.targets["depth"])
    assert b.truth["irreducible"]["depth"] == pytest.approx(0.1 * a.truth["irreducible"]["depth"], abs=1e-6)
    assert b.truth["mean_offset"] == pytest.approx(10 * a.truth["mean_offset"], rel=1e-3)
    assert not any(task.scaled for task in a.tasks if task.kind == "dense_regression")


def test_depth_noise_is_what_the_truth_says_is_left() -> None:
    quiet, loud = (load("scenes", {**CLEAN, "samples": 300, "depth_noise": noise}) for noise in (0.0, 0.2))
    left = np.abs(loud.targets["depth"] - quiet.targets["depth"])
    assert left.mean() == pytest.approx(loud.truth["irreducible"]["depth"], rel=0.01)
    assert quiet.truth["irreducible"]["depth"] == 0
    np.testing.assert_array_equal(quiet.features, loud.features)


def test_truth_counts_pixels_and_offsets_as_the_targets_do() -> None:
    problem = small(**CLEAN)
    counted = np.bincount(problem.targets["semantic"].ravel().astype(int), minlength=5) / problem.targets["semantic"].size
    np.testing.assert_allclose(list(problem.truth["pixels"].values()), counted, atol=1e-4)
    assert tuple(problem.truth["pixels"]) == CLASSES
    assert problem.truth["mean_offset"] == pytest.approx(np.nanmean(np.abs(problem.targets["instance"])), abs=1e-4)


def test_offsets_are_most_of_the_plain_sum_for_a_model_that_says_nothing() -> None:
    problem = load("scenes")
    sizes = {task: float(np.nanmean(np.abs(problem.targets[task]))) for task in ("instance", "depth")}
    assert sizes["instance"] / (sum(sizes.values()) + math.log(len(CLASSES))) == pytest.approx(0.6, abs=0.03)
    assert sizes["instance"] > 10 * sizes["depth"]


def test_relatedness_puts_classes_into_quarters_of_nearness() -> None:
    for relatedness in (0.0, 0.5, 1.0):
        found = objects(np.random.default_rng(0), 3000, 4, 0.0, relatedness, 0.0)
        own = (found.nearness * 4).astype(int) == found.kind
        assert own.mean() == pytest.approx(relatedness + (1 - relatedness) / 4, abs=0.02)
        assert found.nearness.mean() == pytest.approx(0.5, abs=0.01)


def test_imbalance_thins_out_later_classes() -> None:
    found = objects(np.random.default_rng(0), 3000, 4, 0.5, 0.0, 0.0)
    shares = 0.5 ** np.arange(4)
    np.testing.assert_allclose(np.bincount(found.kind.ravel()) / found.kind.size, shares / shares.sum(), atol=0.01)


def test_the_leak_makes_hue_tell_the_class_and_says_so() -> None:
    found, _ = drawn(leakage=1.0)
    np.testing.assert_allclose(found.hue, (found.kind + 0.5) / 4)
    blind = objects(np.random.default_rng(0), 3000, 4, 0.0, 0.0, 0.0)
    assert abs(np.corrcoef(blind.hue.ravel(), blind.kind.ravel())[0, 1]) < 0.02
    assert "Leakage" in small(leakage=0.5).warnings[0]
    assert not small().warnings


def test_nearer_shapes_look_larger_and_less_grey() -> None:
    found, scenes = drawn(rows=400, shapes=1)
    near = found.nearness[:, 0] > 0.5
    assert found.radius[near].mean() > 1.2 * found.radius[~near].mean()
    inside = scenes.instance > 0
    span = np.where(inside, np.ptp(scenes.pictures, axis=1), 0).sum((1, 2)) / inside.sum((1, 2))
    assert span[near].mean() > 1.3 * span[~near].mean()


def test_light_tells_where_in_its_shape_a_pixel_lies() -> None:
    """Brighter to the upper left of a shape's centre than to the lower right."""
    _, scenes = drawn(rows=200, shapes=1)
    towards = offsets(scenes.instance).sum(-1)
    bright = scenes.pictures.mean(1)
    for row in range(200):
        upper, lower = towards[row] > 2, towards[row] < -2
        assert bright[row][upper].mean() > bright[row][lower].mean()


def test_hues_are_those_of_the_colour_circle() -> None:
    import colorsys

    for hue in np.linspace(0, 0.99, 23):
        np.testing.assert_allclose(coloured(np.array(hue), 0.7, 0.9), colorsys.hsv_to_rgb(hue, 0.7, 0.9), atol=1e-12)


def test_the_number_of_shapes_is_one_to_the_most() -> None:
    found = objects(np.random.default_rng(0), 3000, 4, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(np.bincount(found.there.sum(1), minlength=5)[1:] / 3000, 0.25, atol=0.03)
    assert (np.diff(found.nearness, axis=1) >= 0).all()
