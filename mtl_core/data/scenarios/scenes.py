"""`scenes`: three maps of one picture: what is there, which object it belongs to, how far it is (Kendall et al., CVPR 2018).

Synthetic throughout. A picture of 32 × 32 pixels shows 1 to `shapes` flat shapes before a receding plane; rows are independent.

    class k         disc, square, triangle or cross, with a share ∝ (1 − imbalance)^k
    nearness u      with probability `relatedness` uniform from k/4 to (k + 1)/4, the class's quarter; else from 0 to 1
    inverse depth   d = 0.3 + 0.7 u of a shape; 0.25 y / 32 of the plane, y pixels from the top;
                    1 is the nearest possible, 0 infinitely far
    radius          r = (5 + 5 u) U(0.85, 1.15) pixels; turned by U(−0.25, 0.25) rad; the nearer of two shapes covers the other
    colour          c = value 0.8, saturation 0.9, hue U(0, 1);  leakage λ: the hue is (1 − λ) U + λ (k + ½) / 4;
                    the plane's: a colour from 0.2 to 0.5 for each corner, and what lies between
    light           c · (1 + 0.3 ((x₀ − x) + (y₀ − y)) / r): from the upper left, so a pixel tells where in its shape it lies
    haze            v c + (1 − v) · 0.8 with v = 1 − haze · (1 − d)
    pixel           the colour plus `noise` · N(0, 1), kept from 0 to 1

    semantic        class of the pixel, background first; at the edge of an object no label, with probability `unlabelled_edges`
    instance        instance_unit · (centre − pixel), x then y, in pixels; the centre is the centroid of the shape's visible
                    pixels; no label on the background
    depth           depth_unit · (d + depth_noise · N(0, 1)); no label, with probability `invalid`, on squares of 4 × 4 pixels
    labels          semantic_labels, instance_labels, depth_labels: shares of pictures that carry the map at all

Cues to depth are therefore size, haze and occlusion, and through `relatedness` the class. Losses are L1 for instance and depth,
and targets keep raw units, as in the paper: offsets of some pixels (mean 3.0 along an axis) against inverse depths below 1 (mean
0.29). What differs from the paper: drawings instead of Cityscapes, the centre is that of visible pixels, and instances are not
clustered from the offsets afterwards.

`Problem.truth` holds the irreducible loss of every task: that of a predictor that knows the drawing (for L1 against normal noise
σ √(2/π)).

Measured at the defaults (mean and standard deviation over 8 seeds, test split): equal weights reach a mean IoU of .51 (.02), .82
(.01) px and .091 (.002) of inverse depth, where the training mean has .15, 2.98 and .242. Uncertainty weighting turns the offsets
down: .58 (.03), .85 (.02) and .080 (.001), so classes and depth gain and offsets lose. Discs are told worst.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtl_core.data.scenarios.base import SEED, Knob, Scenario, hide, reveal, rounded, split_rows
from mtl_core.data.scenarios.drawing import backdrop, grained, patches, pixel_names
from mtl_core.data.scenarios.shapes import SHAPES, SIDE, draw, edges, objects, offsets
from mtl_core.problem import Problem
from mtl_core.specs import TaskSpec

BLOCK = 4  # side of a square without a measured depth
CLASSES = ("background", *SHAPES)
GRID = (SIDE, SIDE)
NAMES = ("semantic", "instance", "depth")
TASKS = (
    TaskSpec(name="semantic", kind="segmentation", grid=GRID, classes=CLASSES),
    TaskSpec(name="instance", kind="dense_regression", grid=GRID, width=2 * SIDE * SIDE, loss="l1", scaled=False, unit="px"),
    TaskSpec(name="depth", kind="dense_regression", grid=GRID, width=SIDE * SIDE, loss="l1", scaled=False, unit="1/depth"),
)


def _load(
    *,
    samples: int,
    shapes: int,
    noise: float,
    haze: float,
    imbalance: float,
    relatedness: float,
    leakage: float,
    semantic_labels: float,
    instance_labels: float,
    depth_labels: float,
    unlabelled_edges: float,
    invalid: float,
    depth_noise: float,
    instance_unit: float,
    depth_unit: float,
    seed: int,
) -> Problem:
    rng = np.random.default_rng(seed)
    split = split_rows(rng, samples)
    plane = backdrop(rng, samples, SIDE, 0.2, 0.5)
    scenes = draw(objects(rng, samples, shapes, imbalance, relatedness, leakage), plane, haze)
    shares = dict(zip(NAMES, (semantic_labels, instance_labels, depth_labels), strict=True))
    shown = {name: reveal(rng, split, share) for name, share in shares.items()}
    measured = scenes.depth + depth_noise * rng.standard_normal(scenes.depth.shape)
    maps = {
        "semantic": np.where(edges(scenes.instance) & (rng.random(scenes.kind.shape) < unlabelled_edges), np.nan, scenes.kind),
        "instance": instance_unit * offsets(scenes.instance),
        "depth": np.where(patches(rng, samples, SIDE, BLOCK, invalid), np.nan, depth_unit * measured),
    }
    pictures = grained(rng, scenes.pictures, noise)
    noises = {"image": noise, "depth": depth_unit * depth_noise}
    return Problem(
        name="scenes",
        features=pictures.reshape(samples, -1),
        targets={name: hide(maps[name].reshape(samples, -1), shown[name]) for name in NAMES},
        tasks=TASKS,
        split=split,
        feature_names=pixel_names(SIDE, SIDE),
        input_shape=(3, SIDE, SIDE),
        synthetic=True,
        domain_weights=dict.fromkeys(NAMES, 1 / 3),
        score_weights=dict.fromkeys(NAMES, 1 / 3),
        truth={
            "noise": rounded(noises, 6),
            "unit": {"instance": instance_unit, "depth": depth_unit},
            "irreducible": rounded({"semantic": 0, "instance": 0, "depth": noises["depth"] * math.sqrt(2 / math.pi)}, 6),
            "mean_offset": round(float(np.nanmean(np.abs(maps["instance"]))), 4),
            "pixels": rounded(dict(zip(CLASSES, np.bincount(scenes.kind.ravel(), minlength=5) / scenes.kind.size, strict=True))),
            "relatedness": relatedness,
            "leakage": leakage,
        },
        training=TRAINING,
        warnings=(WARNING,) if leakage else (),
    )


TRAINING: Mapping[str, Any] = {
    "epochs": 20,
    "batch_size": 16,
    "lr": 5e-3,
    "trunk": "conv",
    "hidden": (),
    "channels": (12, 24, 48, 48),
    "strides": (2, 2, 1, 1),
    "layer_norm": True,
}
WARNING = "Leakage: the hue of a shape gives its class away, which it would not do in use."


_LABELS = "Share of pictures that carry the {} map."
SCENES = Scenario(
    name="scenes",
    title="What, which, how far",
    story=(
        "Drawn scenes of overlapping shapes; one task names the class of every pixel, one points to the centre of the pixel's "
        "object, one estimates inverse depth. Offsets are in pixels and inverse depth is below 1, so offsets rule a plain sum."
    ),
    synthetic=True,
    knobs={
        "samples": Knob(600, 100, 3000, "Pictures in all: 60 % train, 20 % validation, 20 % test."),
        "shapes": Knob(4, 1, 6, "Most shapes in a picture; each has one to so many."),
        "noise": Knob(0.05, 0.0, 0.5, "Standard deviation of the noise on each pixel (0 black, 1 white)."),
        "haze": Knob(0.7, 0.0, 1.0, "How far haze hides the distant: a cue to depth; 0: only size and occlusion tell it."),
        "imbalance": Knob(0.0, 0.0, 0.8, "Classes of shapes: each has this much less share than the one before."),
        "relatedness": Knob(0.5, 0.0, 1.0, "Share of shapes whose class decides the quarter in which their nearness lies."),
        "leakage": Knob(0.0, 0.0, 1.0, "How far a shape's hue is that of its class; 0: hues say nothing of classes."),
        "semantic_labels": Knob(1.0, 0.02, 1.0, _LABELS.format("semantic")),
        "instance_labels": Knob(1.0, 0.02, 1.0, _LABELS.format("instance")),
        "depth_labels": Knob(1.0, 0.02, 1.0, _LABELS.format("depth")),
        "unlabelled_edges": Knob(0.5, 0.0, 1.0, "Share of the pixels at edges whose class is not labelled."),
        "invalid": Knob(0.15, 0.0, 0.9, "Share of the picture, in squares of 4 x 4 pixels, without a measured depth."),
        "depth_noise": Knob(0.05, 0.0, 0.5, "Noise of measured inverse depth; shapes lie between 0.3 and 1."),
        "instance_unit": Knob(1.0, 0.01, 100.0, "Unit of instance: offsets in pixels are multiplied by it."),
        "depth_unit": Knob(1.0, 0.01, 100.0, "Unit of depth: inverse depths are multiplied by it."),
        "seed": SEED,
    },
    load=_load,
)
