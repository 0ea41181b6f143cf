"""What the scenarios with drawn pictures share: pixels, colours, backdrops, and class shares.

A picture is `[3, height, width]`, red, green, blue from 0 to 1. The centre of pixel (row i, column j) lies at (j + 0.5, i + 0.5):
x runs to the right, y downwards, in pixels.
"""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

CHANNELS = ("red", "green", "blue")


class Box(NamedTuple):
    """A rectangle of whole pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns it covers."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def covered(self, other: Box) -> float:
        """Share of this rectangle that the other one covers."""
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        down = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(0, across) * max(0, down) / (self.width * self.height)


def around(x: float, y: float, width: int, height: int) -> Box:
    """The rectangle of this size whose centre is nearest to (x, y)."""
    return Box(round(x - width / 2), round(y - height / 2), width, height)


def hues(count: int, saturation: float, value: float) -> Float[np.ndarray, "count 3"]:
    """Colours of equal saturation and value, evenly around the circle of hues."""
    return np.array([colorsys.hsv_to_rgb(i / count, saturation, value) for i in range(count)])


def coloured(hue: Float[np.ndarray, "*any"], saturation: float, value: float) -> Float[np.ndarray, "*any 3"]:
    """The colour of each hue, 0 to 1: `value · (1 − saturation · (1 − clip(|6h' − 3| − 1, 0, 1)))`, h' = h, h − 1/3, h + 1/3."""
    turned = (hue[..., None] + np.array([0.0, 2 / 3, 1 / 3])) % 1.0
    pure = np.clip(np.abs(6 * turned - 3) - 1, 0, 1)
    return np.asarray(value * (1 - saturation * (1 - pure)))


def backdrop(rng: np.random.Generator, rows: int, side: int, low: float, high: float) -> Float32[np.ndarray, "rows 3 side side"]:
    """Smooth backgrounds: a colour drawn for each corner, and the plane between them."""
    corners = rng.uniform(low, high, (rows, 3, 2, 2)).astype(np.float32)
    share = ((np.arange(side) + 0.5) / side).astype(np.float32)
    ends = np.stack([1 - share, share])
    return np.asarray(np.einsum("ncij,iy,jx->ncyx", corners, ends, ends, optimize=True))


def grained(
    rng: np.random.Generator, pictures: Float32[np.ndarray, "rows 3 height width"], noise: float
) -> Float32[np.ndarray, "rows 3 height width"]:
    """The pictures with normal noise on every pixel, kept from 0 to 1."""
    grain = rng.standard_normal(pictures.shape, dtype=np.float32)
    grain *= np.float32(noise)
    grain += pictures
    return np.clip(grain, 0, 1, out=grain)


def descending(count: int, imbalance: float) -> Float[np.ndarray, " count"]:
    """Class shares ∝ (1 − imbalance)^k."""
    shares = (1 - imbalance) ** np.arange(count)
    return np.asarray(shares / shares.sum())


def classes_drawn(
    rng: np.random.Generator, shape: tuple[int, ...], shares: Float[np.ndarray, " classes"]
) -> Int[np.ndarray, "*shape"]:
    """Independent classes with these probabilities."""
    return np.asarray(np.searchsorted(np.cumsum(shares)[:-1], rng.random(shape), side="right"))


def patches(rng: np.random.Generator, rows: int, side: int, cell: int, share: float) -> Bool[np.ndarray, "rows side side"]:
    """Squares of `cell` pixels, each marked with probability `share`."""
    marked = rng.random((rows, side // cell, side // cell)) < share
    return marked.repeat(cell, 1).repeat(cell, 2)


def pixel_names(height: int, width: int) -> tuple[str, ...]:
    """Names of the flat features: `red_00_00`, row by row, channel after channel."""
    return tuple(f"{channel}_{y:02d}_{x:02d}" for channel in CHANNELS for y in range(height) for x in range(width))
