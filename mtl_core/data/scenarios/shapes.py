"""Flat shapes in front of a receding plane: how they are drawn at random, painted, and what is then known of every pixel.

The equations are those of `scenes`. Lengths are in pixels; the inverse depth is 1 at the nearest possible shape.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from mtl_core.data.scenarios.drawing import classes_drawn, coloured, descending

SIDE = 32  # pixels of a picture
SHAPES = ("disc", "square", "triangle", "cross")
NEAR, FAR, BEHIND = 1.0, 0.3, 0.25  # inverse depth: nearest and farthest shape, nearest part of the plane behind
HAZE, LIGHT = 0.8, 0.3


class Objects(NamedTuple):
    """Shapes of every scene, farthest first; those beyond a scene's number are not there."""

    kind: Int[np.ndarray, "rows shapes"]
    nearness: Float[np.ndarray, "rows shapes"]
    x: Float[np.ndarray, "rows shapes"]
    y: Float[np.ndarray, "rows shapes"]
    radius: Float[np.ndarray, "rows shapes"]
    turn: Float[np.ndarray, "rows shapes"]
    hue: Float[np.ndarray, "rows shapes"]
    there: Bool[np.ndarray, "rows shapes"]


class Scenes(NamedTuple):
    """Drawn scenes with everything that is known of their pixels."""

    pictures: Float32[np.ndarray, "rows 3 side side"]
    instance: Int[np.ndarray, "rows side side"]  # 0 background, else the shape's place in order of nearness, from 1
    kind: Int[np.ndarray, "rows side side"]  # index into CLASSES
    depth: Float32[np.ndarray, "rows side side"]  # inverse


def objects(rng: np.random.Generator, rows: int, shapes: int, imbalance: float, relatedness: float, leakage: float) -> Objects:
    """Draw the shapes of every scene and order them by nearness."""
    size = (rows, shapes)
    kind = classes_drawn(rng, size, descending(len(SHAPES), imbalance))
    own = (kind + rng.random(size)) / len(SHAPES)
    nearness = np.where(rng.random(size) < relatedness, own, rng.random(size))
    drawn = Objects(
        kind=kind,
        nearness=nearness,
        x=rng.uniform(3, SIDE - 3, size),
        y=rng.uniform(3, SIDE - 3, size),
        radius=(5 + 5 * nearness) * rng.uniform(0.85, 1.15, size),
        turn=rng.uniform(-0.25, 0.25, size),
        hue=(1 - leakage) * rng.random(size) + leakage * (kind + 0.5) / len(SHAPES),
        there=np.arange(shapes) < rng.integers(1, shapes + 1, (rows, 1)),
    )
    order = np.argsort(nearness, axis=1)
    return Objects(*(np.take_along_axis(np.broadcast_to(one, size), order, 1) for one in drawn))


def draw(shapes: Objects, plane: Float32[np.ndarray, "rows 3 side side"], haze: float) -> Scenes:
    """Paint the shapes over the plane, the farthest first."""
    rows, count = shapes.kind.shape
    x, y = _centres()
    kind, instance = (np.zeros((rows, SIDE, SIDE), dtype=np.int64) for _ in range(2))
    depth = np.broadcast_to(BEHIND * y / SIDE, (rows, SIDE, SIDE)).astype(np.float32)
    colour = plane.transpose(0, 2, 3, 1).copy()
    for k in range(count):
        seen = mask(shapes, k, x, y)
        row, down, across = np.nonzero(seen)
        light = (shapes.x[row, k] - x[0, across] + shapes.y[row, k] - y[down, 0]) / shapes.radius[row, k]
        paint = coloured(shapes.hue[:, k], 0.9, 0.8)[row] * (1 + LIGHT * light)[:, None]
        colour[seen], kind[seen], instance[seen] = paint, shapes.kind[row, k] + 1, k + 1
        depth[seen] = FAR + (NEAR - FAR) * shapes.nearness[row, k]
    clear = (1 - haze * (1 - depth))[..., None]
    pictures = np.ascontiguousarray((clear * colour + (1 - clear) * HAZE).transpose(0, 3, 1, 2), dtype=np.float32)
    return Scenes(pictures, instance, kind, depth)


def mask(
    shapes: Objects, k: int, x: Float32[np.ndarray, "1 side"], y: Float32[np.ndarray, "side 1"]
) -> Bool[np.ndarray, "rows side side"]:
    """Which pixels the k-th shape of every scene covers, whether or not a nearer one hides it."""
    centre_x, centre_y, radius, turn = (
        np.asarray(one[:, k, None, None], dtype=np.float32) for one in (shapes.x, shapes.y, shapes.radius, shapes.turn)
    )
    across, down = (x - centre_x) / radius, (y - centre_y) / radius
    a = np.abs(np.cos(turn) * across + np.sin(turn) * down)
    b = np.cos(turn) * down - np.sin(turn) * across
    high = np.abs(b)
    forms = (
        a**2 + b**2 <= 1,
        np.maximum(a, high) <= 0.85,
        (b <= 0.7) & (a <= 0.6 * (b + 1)),
        (np.minimum(a, high) <= 0.33) & (np.maximum(a, high) <= 0.95),
    )
    chosen = np.choose(shapes.kind[:, k, None, None], forms)
    return np.asarray(chosen & shapes.there[:, k, None, None])


def edges(instance: Int[np.ndarray, "rows side side"]) -> Bool[np.ndarray, "rows side side"]:
    """Pixels with a neighbour above, below, left or right that belongs to something else."""
    found = np.zeros(instance.shape, dtype=bool)
    down, across = instance[:, 1:] != instance[:, :-1], instance[:, :, 1:] != instance[:, :, :-1]
    found[:, 1:] |= down
    found[:, :-1] |= down
    found[:, :, 1:] |= across
    found[:, :, :-1] |= across
    return found


def offsets(instance: Int[np.ndarray, "rows side side"]) -> Float[np.ndarray, "rows side side 2"]:
    """From each pixel to the centroid of the visible pixels of its instance, (x, y) in pixels; NaN on the background."""
    rows, most = len(instance), int(instance.max())
    code = (np.arange(rows)[:, None, None] * (most + 1) + instance).ravel()
    counts = np.bincount(code, minlength=rows * (most + 1))
    found = []
    for place in _centres():
        values = np.broadcast_to(place, instance.shape).astype(np.float64).ravel()
        centre = np.bincount(code, values, len(counts)) / np.maximum(counts, 1)
        found.append(np.where(instance > 0, (centre[code] - values).reshape(instance.shape), np.nan))
    return np.stack(found, axis=-1)


def _centres() -> tuple[Float32[np.ndarray, "1 side"], Float32[np.ndarray, "side 1"]]:
    """x and y of the pixels' centres."""
    along = np.arange(SIDE, dtype=np.float32) + np.float32(0.5)
    return along[None, :], along[:, None]
