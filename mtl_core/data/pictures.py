"""The first images of a problem with their labels beside them, as one picture to look at. Pure: an array or PNG bytes out.

A row of panels an image: the image itself, then a panel for each task with a map. Segmentation: a colour a class; offsets: hue
for the direction, brightness for the length; any other map: the brighter, the larger; detection: the image with a box around
each object, in its class's colour. Grey is where there is no label.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from mtl_core.data.scenarios.drawing import coloured, hues
from mtl_core.problem import Problem
from mtl_core.specs import MAPS, TaskSpec

UNLABELLED = 0.45  # grey of a place without a label
GAP = 1  # places between panels, before they are enlarged


class Picture(NamedTuple):
    """Panels side by side; `titles` are those of the columns, from the left."""

    pixels: UInt8[np.ndarray, "height width 3"]
    titles: tuple[str, ...]


def picture(problem: Problem, rows: int = 4, scale: int = 4) -> Picture | None:
    """The first `rows` images with all their maps, each pixel `scale` wide. None where rows are no images in grey or colour."""
    shape = problem.input_shape
    if len(shape) != 3 or shape[0] not in (1, 3):
        return None
    images = _images(problem, rows)
    tasks = [task for task in problem.tasks if task.kind in MAPS]
    columns = [_enlarged(images, scale)]
    for task in tasks:
        labels = problem.targets[task.name][:rows].reshape(len(images), *task.grid, -1)
        drawn = _boxed(columns[0], labels, len(task.classes)) if task.kind == "detection" else _map(task, labels)
        columns.append(_enlarged(drawn, columns[0].shape[1] // drawn.shape[1]))
    return Picture(_together(columns, GAP * scale), ("image", *(task.name for task in tasks)))


def png(pixels: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """The picture as a PNG file (8 bits a channel, no filter)."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each line begins with its filter: 0, none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(lines.tobytes())), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _images(problem: Problem, rows: int) -> Float[np.ndarray, "images height width 3"]:
    """The first images in colour, from 0 to 1; other ranges of values are shrunk to it."""
    values = np.asarray(problem.features[:rows], dtype=np.float64).reshape(-1, *problem.input_shape)
    low, high = min(0.0, values.min(initial=0)), max(1.0, values.max(initial=1))
    grey_or_colour = ((values - low) / (high - low)).transpose(0, 2, 3, 1)
    return np.broadcast_to(grey_or_colour, (*grey_or_colour.shape[:3], 3))


def _map(task: TaskSpec, labels: Float[np.ndarray, "images height width channels"]) -> Float[np.ndarray, "images height width 3"]:
    missing = ~np.isfinite(labels).all(-1, keepdims=True)
    values = np.nan_to_num(labels)
    if task.kind == "segmentation":
        drawn = _class_colours(len(task.classes))[values[..., 0].astype(np.int64)]
    elif labels.shape[-1] == 2:
        length = np.hypot(values[..., 0], values[..., 1])
        angle = np.arctan2(values[..., 1], values[..., 0]) / (2 * np.pi) % 1
        drawn = coloured(angle, 0.9, 1.0) * (length / max(length.max(), 1e-12))[..., None]
    else:
        size = values[..., 0] if labels.shape[-1] == 1 else np.sqrt((values**2).sum(-1))
        present = size[~missing[..., 0]]
        low, high = (present.min(), present.max()) if present.size else (0.0, 1.0)
        drawn = np.repeat(((size - low) / max(high - low, 1e-12)).clip(0, 1)[..., None], 3, axis=-1)
    return np.where(missing, UNLABELLED, drawn)


def _boxed(
    images: Float[np.ndarray, "images height width 3"], labels: Float[np.ndarray, "images rows columns 6"], classes: int
) -> Float[np.ndarray, "images height width 3"]:
    """Dimmed images with the outlines of the boxes; grey where an image carries no labels."""
    drawn, colours = 0.5 * images, _class_colours(classes + 1)[1:]
    height, width = images.shape[1:3]
    for image, cells in zip(drawn, labels, strict=True):
        if not np.isfinite(cells).all():
            image[:] = UNLABELLED
            continue
        for row, column in np.argwhere(cells[..., 0] > 0):
            _, x, y, wide, high, kind = cells[row, column]
            x, y = (column + x) / cells.shape[1], (row + y) / cells.shape[0]
            left, right = (round(end * width) for end in (x - wide / 2, x + wide / 2))
            top, bottom = (round(end * height) for end in (y - high / 2, y + high / 2))
            _outline(image, (max(left, 0), max(top, 0), min(right, width), min(bottom, height)), colours[int(kind)])
    return drawn


def _outline(image: Float[np.ndarray, "height width 3"], box: tuple[int, int, int, int], colour: Float[np.ndarray, " 3"]) -> None:
    """Draw the outermost pixels within the box, in place."""
    left, top, right, bottom = box
    image[top:bottom, [left, right - 1]] = colour
    image[[top, bottom - 1], left:right] = colour


def _class_colours(classes: int) -> Float[np.ndarray, "classes 3"]:
    """Near black for the first class, which is the background where there is one; the others around the circle of hues."""
    return np.concatenate([np.full((1, 3), 0.1), hues(classes - 1, 0.75, 1.0)])


def _enlarged(panels: Float[np.ndarray, "images height width 3"], factor: int) -> Float[np.ndarray, "images larger wider 3"]:
    return panels.repeat(factor, 1).repeat(factor, 2)


def _together(columns: list[Float[np.ndarray, "images height width 3"]], gap: int) -> UInt8[np.ndarray, "height width 3"]:
    """All panels on white, a row an image, with gaps between them."""
    count, height, width, _ = columns[0].shape
    sheet = np.ones((count * (height + gap) - gap, len(columns) * (width + gap) - gap, 3))
    for place, column in enumerate(columns):
        for row, panel in enumerate(column):
            top, left = row * (height + gap), place * (width + gap)
            sheet[top : top + height, left : left + width] = panel
    return np.asarray((255 * sheet.clip(0, 1)).round(), dtype=np.uint8)
