"""`banknotes`: notes in a picture, found by three detection heads over one backbone (after SmartCash).

Synthetic throughout. A picture of 48 × 48 pixels shows 1 to `notes` notes on a smooth background with `clutter`; rows are
independent.

    denomination k   one of seven, with a share ∝ (1 − imbalance)^k
    note             26 to 48 · size pixels wide, .55 as high, anywhere in a horizontal band of its own (48 pixels over the number
                     of notes: of three none is wider than 29); mirrored and upside down with probability ½ each;
                     colour: grey + contrast · (that of the denomination − grey) + U(−.05, .05)
    printed on it    with probability `features` each: the denomination's mark (a glyph), and strip, thread and seal, which are
                     the same on every note
    hidden           with probability `occlusion` a rectangle covers a quarter of a note; what is covered by more than half is
                     not annotated
    pixel            the colour times the picture's light U(.8, 1.2), plus `noise` · N(0, 1), kept from 0 to 1
    leakage λ        a corner of 3 × 3 pixels of the note is λ · (a pure colour that codes the denomination) + (1 − λ) · the note

Annotations are one list of (class, x, y, w, h) with 17 classes, filtered by class range and re-indexed for each head:

    layer_1   0 .. 6     full note
    layer_2   7 .. 13    mark of the denomination
    layer_3   14 .. 16   common marks

Each head is a detector on 6 × 6 cells of 8 pixels; no cell has two objects of one layer. Labels: layer_1_labels, ... are the
shares of pictures that carry a head's annotations at all: the others are absent (NaN), which is not the same as empty. `jitter`
moves annotated boxes: centres by jitter · size · N(0, 1), within their cell; sizes by the factor e^{jitter · N(0, 1)}.

What differs from the source: notes are drawn and lie straight, pictures are small, epochs are 4 + 16, and the backbone is not
pretrained. The frozen trunk of phase 1 is therefore a set of random convolutions, from which the head of layer_1 can learn how
often there is a note, how large it is and somewhat of its colour. In phase 2 learning rates are above the source's 1e-4: nothing
pretrained has to be preserved.

Measured at the defaults with equal weights (mean and standard deviation of AP@50 over 8 seeds, test split): layer_1 .95 (.02),
layer_2 .59 (.11), layer_3 .49 (.05). All 20 epochs on all layers, without phase 1, reach .94 (.03), .61 (.09) and .54 (.06): to
warm up the head of layer_1 gains nothing on an untrained trunk. Phase 1 is there for the schedule itself.

`Problem.truth`: `irreducible` is the part of a head's loss that jitter leaves to a detector that knows the true boxes,
box_weight · mean (1 − GIoU); `label_iou` the mean IoU of annotated and true boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from mtl_core.data.scenarios.base import SEED, Knob, Scenario, hide, reveal, rounded, split_rows
from mtl_core.data.scenarios.drawing import backdrop, descending, grained, pixel_names
from mtl_core.data.scenarios.notes import CELLS, COMMON, COMMONS, DENOMINATIONS, MARKS, SIDE, Annotations, annotate, lay, paint
from mtl_core.problem import Problem
from mtl_core.specs import TaskSpec

GRID = (CELLS, CELLS)
LAYERS: Mapping[str, tuple[int, int]] = {"layer_1": (0, MARKS), "layer_2": (MARKS, COMMONS), "layer_3": (COMMONS, COMMONS + 3)}
CLASSES: Mapping[str, tuple[str, ...]] = {
    "layer_1": tuple(f"note {one}" for one in DENOMINATIONS),
    "layer_2": tuple(f"mark {one}" for one in DENOMINATIONS),
    "layer_3": COMMON,
}
TRAINING: Mapping[str, Any] = {
    "batch_size": 16,
    "trunk": "conv",
    "hidden": (),
    "channels": (12, 24, 48, 48),
    "strides": (2, 2, 2, 1),
    "layer_norm": True,
    "epochs": 20,
    "lr": 6e-3,
    "phases": (
        {"name": "heads", "epochs": 4, "lr": 1e-3, "frozen": ("trunk",), "tasks": ("layer_1",)},
        {"name": "all layers", "epochs": 16, "lr": 6e-3, "trunk_lr": 3e-3, "reset": ("optimizer", "weights")},
    ),
}
WARNING = "Leakage: a corner of each note carries a colour code of its denomination, as an annotation tool might leave."


def _load(
    *,
    samples: int,
    notes: int,
    size: float,
    contrast: float,
    noise: float,
    clutter: int,
    occlusion: float,
    features: float,
    imbalance: float,
    layer_1_labels: float,
    layer_2_labels: float,
    layer_3_labels: float,
    jitter: float,
    object_weight: float,
    box_weight: float,
    class_weight: float,
    leakage: float,
    seed: int,
) -> Problem:
    rng = np.random.default_rng(seed)
    split = split_rows(rng, samples)
    shares = descending(len(DENOMINATIONS), imbalance)
    laid = lay(rng, samples, most=notes, size=size, shares=shares, printed=features, hidden=occlusion)
    exact = annotate(laid)
    given = jittered(rng, exact, jitter)
    labels = dict(zip(LAYERS, (layer_1_labels, layer_2_labels, layer_3_labels), strict=True))
    shown = {name: reveal(rng, split, share) for name, share in labels.items()}
    pictures = paint(_desk(rng, samples, clutter), laid, contrast, leakage) * _light(rng, samples)
    weights = {"object_weight": object_weight, "box_weight": box_weight, "class_weight": class_weight}
    return Problem(
        name="banknotes",
        features=grained(rng, pictures, noise).reshape(samples, -1),
        targets={name: hide(cells(of_layer(given, *LAYERS[name]), samples), shown[name]) for name in LAYERS},
        tasks=tuple(TaskSpec(name=name, kind="detection", grid=GRID, classes=CLASSES[name], **weights) for name in LAYERS),
        split=split,
        feature_names=pixel_names(SIDE, SIDE),
        input_shape=(3, SIDE, SIDE),
        synthetic=True,
        domain_weights=dict.fromkeys(LAYERS, 1 / 3),
        score_weights=dict.fromkeys(LAYERS, 1 / 3),
        truth={"noise": {"image": noise, "box": jitter}, "leakage": leakage, **_truth(exact, given, box_weight)},
        training=TRAINING,
        warnings=(WARNING,) if leakage else (),
    )


def of_layer(annotations: Annotations, first: int, end: int) -> Annotations:
    """Those of classes `first` to `end - 1`, with classes counted from 0."""
    inside = (annotations.kind >= first) & (annotations.kind < end)
    return Annotations(annotations.picture[inside], annotations.kind[inside] - first, annotations.box[inside])


def cells(objects: Annotations, rows: int) -> Float[np.ndarray, "rows width"]:
    """Targets of a detector: `object, x, y, width, height, class` cell by cell. Two objects in a cell: the generator is wrong."""
    column, row = (np.floor(objects.box[:, axis] * CELLS).astype(np.int64) for axis in range(2))
    place = (objects.picture * CELLS + row) * CELLS + column
    assert len(np.unique(place)) == len(place), "two objects of one layer in one cell"
    within = objects.box[:, :2] * CELLS - np.stack([column, row], axis=1)
    targets = np.zeros((rows * CELLS * CELLS, 6))
    targets[place] = np.column_stack([np.ones(len(place)), within, objects.box[:, 2:], objects.kind])
    return targets.reshape(rows, -1)


def jittered(rng: np.random.Generator, exact: Annotations, jitter: float) -> Annotations:
    """Boxes as a hasty annotator draws them: within the picture, and with their centres in the same cells."""
    moved, grown = rng.standard_normal((2, len(exact.kind), 2))
    centre, size = exact.box[:, :2], exact.box[:, 2:]
    cell = np.floor(centre * CELLS)
    drawn = np.clip(centre + jitter * size * moved, (cell + 1e-6) / CELLS, (cell + 1 - 1e-6) / CELLS) if jitter else centre
    sizes = np.minimum(size * np.exp(jitter * grown), 2 * np.minimum(drawn, 1 - drawn)) if jitter else size
    return exact._replace(box=np.concatenate([drawn, sizes], axis=1))


def overlaps(
    a: Float[np.ndarray, "boxes 4"], b: Float[np.ndarray, "boxes 4"]
) -> tuple[Float[np.ndarray, " boxes"], Float[np.ndarray, " boxes"]]:
    """IoU and GIoU of pairs of boxes (centre, size): `GIoU = IoU − (hull − union) / hull`."""
    low_a, low_b, high_a, high_b = (one[:, :2] + sign * one[:, 2:] / 2 for sign in (-1, 1) for one in (a, b))
    both = (np.minimum(high_a, high_b) - np.maximum(low_a, low_b)).clip(0).prod(1)
    hull = (np.maximum(high_a, high_b) - np.minimum(low_a, low_b)).prod(1)
    union = a[:, 2:].prod(1) + b[:, 2:].prod(1) - both
    return both / union, both / union - (hull - union) / hull


def _truth(exact: Annotations, given: Annotations, box_weight: float) -> dict[str, Any]:
    iou, giou = overlaps(exact.box, given.box)
    layers = {name: (exact.kind >= first) & (exact.kind < end) for name, (first, end) in LAYERS.items()}
    return {
        "objects": {name: int(inside.sum()) for name, inside in layers.items()},
        "notes": dict(zip(DENOMINATIONS, np.bincount(exact.kind, minlength=MARKS)[:MARKS].tolist(), strict=True)),
        "label_iou": rounded({name: iou[inside].mean() for name, inside in layers.items()}),
        "irreducible": rounded({name: box_weight * (1 - giou[inside].mean()) for name, inside in layers.items()}),
    }


def _desk(rng: np.random.Generator, rows: int, clutter: int) -> Float32[np.ndarray, "rows 3 side side"]:
    """Backgrounds with up to `clutter` plain rectangles on each, smaller than notes."""
    desks = backdrop(rng, rows, SIDE, 0.15, 0.6)
    for desk, count in zip(desks, rng.integers(0, clutter + 1, rows), strict=True):
        for left, top, width, height in rng.integers([0, 0, 3, 3], [SIDE - 3, SIDE - 3, 13, 13], (count, 4)):
            desk[:, top : top + height, left : left + width] = rng.random((3, 1, 1))
    return desks


def _light(rng: np.random.Generator, rows: int) -> Float32[np.ndarray, "rows 1 1 1"]:
    return rng.uniform(0.8, 1.2, (rows, 1, 1, 1)).astype(np.float32)


_LABELS = "Share of pictures that carry annotations of {}; the others are absent, not empty."
BANKNOTES = Scenario(
    name="banknotes",
    title="Banknotes in three layers",
    story=(
        "Drawn notes; three detection heads over one backbone find the note, the mark that tells its denomination, and what all "
        "notes have in common. Trained in two phases: the head of layer_1 on a frozen trunk, then all layers; pictures without "
        "labels of a layer leave its loss absent."
    ),
    synthetic=True,
    knobs={
        "samples": Knob(600, 100, 3000, "Pictures in all: 60 % train, 20 % validation, 20 % test."),
        "notes": Knob(2, 1, 3, "Most notes in a picture; each has one to so many."),
        "size": Knob(0.75, 0.55, 1.0, "Width of the widest note, as a share of the picture."),
        "contrast": Knob(0.8, 0.0, 1.0, "How far the colour of a note tells its denomination; 0: only its mark does."),
        "noise": Knob(0.05, 0.0, 0.5, "Standard deviation of the noise on each pixel (0 black, 1 white)."),
        "clutter": Knob(3, 0, 12, "Most plain rectangles in the background."),
        "occlusion": Knob(0.1, 0.0, 1.0, "Share of notes of which a quarter is covered."),
        "features": Knob(0.85, 0.1, 1.0, "Probability that a note carries its mark, and each of the common marks."),
        "imbalance": Knob(0.0, 0.0, 0.6, "Denominations: each has this much less share than the one before."),
        "layer_1_labels": Knob(1.0, 0.05, 1.0, _LABELS.format("full notes")),
        "layer_2_labels": Knob(0.7, 0.05, 1.0, _LABELS.format("denominations' marks")),
        "layer_3_labels": Knob(0.7, 0.05, 1.0, _LABELS.format("common marks")),
        "jitter": Knob(0.0, 0.0, 0.3, "Label noise: how far annotated boxes are moved and resized, relative to their size."),
        "object_weight": Knob(10.0, 0.1, 100.0, "Coefficient of the objectness term in every head."),
        "box_weight": Knob(1.0, 0.0, 100.0, "Coefficient of the box term in every head."),
        "class_weight": Knob(1.0, 0.0, 100.0, "Coefficient of the class term in every head."),
        "leakage": Knob(0.0, 0.0, 1.0, "How plainly a corner of each note codes its denomination."),
        "seed": SEED,
    },
    load=_load,
)
