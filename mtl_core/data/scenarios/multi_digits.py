"""`multi_digits`: two handwritten digits on one canvas, `left` and `right` to be told apart (after MultiMNIST).

The digits are real: 1,797 images of 8 × 8 pixels, 16 grey levels (UCI Optical Recognition of Handwritten Digits, Alpaydin
and Kaynak 1998, as shipped with scikit-learn). The pictures are composed from them: two drawn at random, overlaid by the
brighter pixel:

    canvas 8 × (16 − overlap);  left digit in columns 0..7, right digit in columns 8 − overlap .. 15 − overlap

The digits themselves are divided into train, validation and test (60, 20, 20 %, class by class) *before* they are paired,
so that no source image is seen in two splits. With `relatedness` that share of right digits is drawn anew from the class of
the left one; with `imbalance` digit k is drawn with a probability ∝ (1 − imbalance)^k. Features are the flattened pixels, 0 to
1, row by row.
MultiMNIST (Sabour et al. 2017; Sener and Koltun 2018) shifts 28 × 28 digits on 36 × 36; here they overlap side to side only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, Int8

from mtl_core.data.scenarios.base import SEED, Knob, Scenario, by_task, hide, reveal, split_rows
from mtl_core.problem import Problem
from mtl_core.specs import TaskSpec

SIDE = 8
NAMES = ("left", "right")
TASKS = tuple(TaskSpec(name=name, kind="multiclass", classes=tuple("0123456789")) for name in NAMES)


def _load(
    *,
    samples: int,
    overlap: int,
    left_labels: float,
    right_labels: float,
    noise: float,
    imbalance: float,
    relatedness: float,
    noise_by_task: Mapping[str, float],
    seed: int,
) -> Problem:
    rng = np.random.default_rng(seed)
    images, classes = _digits()
    source_split = _split_sources(rng, classes)
    split = split_rows(rng, samples)
    shares = (1 - imbalance) ** classes if imbalance else None
    left, right = (_draw(rng, source_split, split, shares) for _ in range(2))
    right = _related(np.random.default_rng([seed, 1]), (left, right), (source_split, split), classes, relatedness)
    canvas = _overlay(images[left], images[right], overlap)
    sigma = {**dict.fromkeys(NAMES, noise), **noise_by_task}
    canvas = (canvas + _columns(sigma, overlap) * rng.standard_normal(canvas.shape)).clip(0, 1)
    labels, drawn = {"left": left_labels, "right": right_labels}, {"left": left, "right": right}
    width = canvas.shape[2]
    return Problem(
        name="multi_digits",
        features=canvas.reshape(samples, -1),
        targets={name: hide(classes[drawn[name], None], reveal(rng, split, share)) for name, share in labels.items()},
        tasks=TASKS,
        split=split,
        feature_names=tuple(f"pixel_{row}_{column:02d}" for row in range(SIDE) for column in range(width)),
        input_shape=(1, SIDE, width),
        synthetic=False,
        domain_weights={"left": 0.5, "right": 0.5},
        score_weights={"left": 0.5, "right": 0.5},
        truth={
            "canvas": [SIDE, width],
            "source_digits": [int((source_split == s).sum()) for s in range(3)],
            **{"noise": sigma, "labels": labels, "imbalance": imbalance},
            "same_class": round(float((classes[left] == classes[right]).mean()), 4),
        },
        training={"epochs": 30, "batch_size": 64, "lr": 2e-3, "hidden": (64, 64)},
        warnings=("The images are composed: two real handwritten digits overlaid on one canvas.",),
    )


@lru_cache(maxsize=1)
def _digits() -> tuple[Float[np.ndarray, "digits 8 8"], Float[np.ndarray, " digits"]]:
    """Images from 0 to 1, and their classes."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.asarray(bunch.images / 16.0), np.asarray(bunch.target, dtype=np.float64)


def _split_sources(rng: np.random.Generator, classes: Float[np.ndarray, " digits"]) -> Int8[np.ndarray, " digits"]:
    """Which split a source digit belongs to, in the same proportions for every class."""
    split = np.empty(len(classes), dtype=np.int8)
    for one in range(10):
        members = np.flatnonzero(classes == one)
        split[members] = split_rows(rng, len(members))
    return split


def _draw(
    rng: np.random.Generator,
    source_split: Int8[np.ndarray, " digits"],
    split: Int8[np.ndarray, " rows"],
    shares: Float[np.ndarray, " digits"] | None,
) -> Int[np.ndarray, " rows"]:
    """One source digit a row, from the pool of the row's split, with replacement; None: all alike."""
    drawn = np.empty(len(split), dtype=np.int64)
    for part in range(3):
        inside, pool = split == part, np.flatnonzero(source_split == part)
        chance = None if shares is None else shares[pool] / shares[pool].sum()
        drawn[inside] = rng.choice(pool, size=int(inside.sum()), p=chance)
    return drawn


def _related(
    rng: np.random.Generator,
    drawn: tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]],
    splits: tuple[Int8[np.ndarray, " digits"], Int8[np.ndarray, " rows"]],
    classes: Float[np.ndarray, " digits"],
    share: float,
) -> Int[np.ndarray, " rows"]:
    """The right digits, of which this share is drawn anew from the class of the left digit, in the row's split."""
    (left, right), (source_split, split) = drawn, splits
    chosen, right = rng.random(len(split)) < share, right.copy()
    for part in range(3):
        for one in range(10):
            rows = chosen & (split == part) & (classes[left] == one)
            pool = np.flatnonzero((source_split == part) & (classes == one))
            right[rows] = rng.choice(pool, size=int(rows.sum()))
    return right


def _columns(sigma: Mapping[str, float], overlap: int) -> Float[np.ndarray, " width"]:
    """Noise of every column of the canvas: its digit's, where both digits are the larger."""
    of_left, of_right = np.zeros(2 * SIDE - overlap), np.zeros(2 * SIDE - overlap)
    of_left[:SIDE], of_right[SIDE - overlap :] = sigma["left"], sigma["right"]
    return np.asarray(np.maximum(of_left, of_right))


def _overlay(
    left: Float[np.ndarray, "rows 8 8"], right: Float[np.ndarray, "rows 8 8"], overlap: int
) -> Float[np.ndarray, "rows 8 width"]:
    """The brighter pixel of the two where they overlap."""
    canvas = np.zeros((len(left), SIDE, 2 * SIDE - overlap))
    canvas[:, :, :SIDE] = left
    canvas[:, :, SIDE - overlap :] = np.maximum(canvas[:, :, SIDE - overlap :], right)
    return canvas


MULTI_DIGITS = Scenario(
    name="multi_digits",
    title="Two digits, one picture",
    story=(
        "Real handwritten digits, two overlaid on one canvas; one task reads the left, the other the right. "
        "Both tasks have the same kind, scale and difficulty: here tuned fixed weights are hard to beat."
    ),
    synthetic=False,
    knobs={
        "samples": Knob(2500, 300, 30_000, "Composed images in all: 60 % train, 20 % validation, 20 % test."),
        "overlap": Knob(3, 0, 7, "Columns, of 8, in which the two digits cover each other."),
        "left_labels": Knob(1.0, 0.02, 1.0, "Share of images whose left digit is labelled."),
        "right_labels": Knob(1.0, 0.02, 1.0, "Share of images whose right digit is labelled."),
        "noise": Knob(0.0, 0.0, 0.5, "Standard deviation of the noise added to each pixel (0 black, 1 white)."),
        "noise_by_task": by_task(0.0, 0.5, "Noise in the columns of one digit; where both are, the larger.", NAMES),
        "imbalance": Knob(0.0, 0.0, 0.8, "Classes 0 to 9: each has this much less share than the one before."),
        "relatedness": Knob(0.0, 0.0, 1.0, "Share of images whose right digit is drawn from the class of the left one."),
        "seed": SEED,
    },
    load=_load,
)
