"""Synthetic banknotes: where they lie, what is printed on them, and how picture and annotations come from that.

Everything lies on whole pixels and parallel to the edges, so that the extent of what is painted is the box that is annotated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from mtl_core.data.scenarios.drawing import Box, around, classes_drawn, hues

SIDE, CELL = 48, 8  # pixels of a picture and of a detector's cell
CELLS = SIDE // CELL
ASPECT, NARROWEST = 0.55, 26  # height over width; the narrowest note that keeps its common marks in cells of their own
DENOMINATIONS = ("1", "2", "5", "10", "20", "50", "100")
COMMON = ("strip", "thread", "seal")
MARKS, COMMONS = 7, 14  # first class of the denominations' marks and of the common marks
BODY = hues(7, 0.75, 0.75)
CODE = hues(7, 1.0, 1.0)
GREY, INK, GOLD, SILVER = 0.55, (0.1, 0.1, 0.12), (0.95, 0.75, 0.2), (0.92, 0.92, 0.95)
GLYPHS = tuple(  # 5 x 5, one a denomination
    np.array([[pixel == "#" for pixel in row] for row in glyph.split()])
    for glyph in (
        "..#.. ..#.. ..#.. ..#.. ..#..",
        "##### ....# ##### #.... #####",
        "#...# .#.#. ..#.. .#.#. #...#",
        "##### #...# #...# #...# #####",
        "..#.. ..#.. ##### ..#.. ..#..",
        "#.... ##... ###.. ####. #####",
        "#.#.# .#.#. #.#.# .#.#. #.#.#",
    )
)


class Note(NamedTuple):
    """One note of one picture."""

    picture: int
    denomination: int
    box: Box
    mirrored: bool  # left and right
    upturned: bool
    printed: tuple[bool, bool, bool, bool]  # its mark, then strip, thread and seal
    finger: Box | None  # what hides a part of it
    tint: float  # added to its colour

    def parts(self) -> Iterator[tuple[int, Box]]:
        """Class and box of the note and of all that is printed on it."""
        yield self.denomination, self.box
        classes = (MARKS + self.denomination, COMMONS, COMMONS + 1, COMMONS + 2)
        yield from ((kind, self._part(i)) for i, kind in enumerate(classes) if self.printed[i])

    def seen(self) -> Iterator[tuple[int, Box]]:
        """Those of which at least half is to be seen."""
        yield from ((kind, box) for kind, box in self.parts() if self.finger is None or box.covered(self.finger) <= 0.5)

    def _part(self, number: int) -> Box:
        """The mark (0), strip (1), thread (2) or seal (3), placed relative to the note's centre."""
        box = self.box
        mark, seal = round(0.26 * box.width), round(0.2 * box.width)
        above = mark / 2 + 1 - box.height / 2
        below = box.height / 2 - 1 - seal / 2
        x, y, width, height = (
            (0.25 * box.width, above, mark, mark),
            (-0.4 * box.width, 0.0, 5, box.height - 2),
            (-0.05 * box.width, 0.0, 4, box.height - 2),
            (0.3 * box.width, below, seal, seal),
        )[number]
        x, y = (-x if self.mirrored else x), (-y if self.upturned else y)
        return around(box.left + box.width / 2 + x, box.top + box.height / 2 + y, width, height)


class Annotations(NamedTuple):
    """Objects of all pictures; boxes are centre and size as shares of the picture, classes 0 to 16."""

    picture: Int[np.ndarray, " objects"]
    kind: Int[np.ndarray, " objects"]
    box: Float[np.ndarray, "objects 4"]


def lay(
    rng: np.random.Generator,
    pictures: int,
    *,
    most: int,
    size: float,
    shares: Float[np.ndarray, " denominations"],
    printed: float,
    hidden: float,
) -> list[Note]:
    """Draw the notes of every picture: one to `most`, each in a band of its own, so that no cell gets two objects of a layer."""
    notes = []
    for picture, count in enumerate(rng.integers(1, most + 1, pictures)):
        band = SIDE // count
        for place, denomination in enumerate(classes_drawn(rng, (count,), shares)):
            widest = min(round(size * SIDE), int(band / ASPECT))
            width = int(rng.integers(NARROWEST, max(NARROWEST, widest) + 1))
            height = round(ASPECT * width)
            left = int(rng.integers(0, SIDE - width + 1))
            top = place * band + int(rng.integers(0, band - height + 1))
            box = Box(left, top, width, height)
            chances = rng.random(8)
            notes.append(
                Note(
                    picture=picture,
                    denomination=int(denomination),
                    box=box,
                    mirrored=bool(chances[0] < 0.5),
                    upturned=bool(chances[1] < 0.5),
                    printed=(*(bool(one < printed) for one in chances[2:6]),),  # type: ignore[arg-type]
                    finger=_finger(box, chances[6], rng.random(2), hidden=hidden),
                    tint=0.1 * float(chances[7]) - 0.05,
                )
            )
    return notes


def _finger(box: Box, chance: float, place: Float[np.ndarray, " 2"], *, hidden: float) -> Box | None:
    """With probability `hidden`, a rectangle of about a quarter of the note, somewhere on it."""
    if chance >= hidden:
        return None
    width, height = round(0.35 * box.width), round(0.7 * box.height)
    return Box(box.left + int(place[0] * (box.width - width)), box.top + int(place[1] * (box.height - height)), width, height)


def annotate(notes: list[Note]) -> Annotations:
    """One list of all that can be seen on all notes, classes 0 to 16."""
    found = [(note.picture, kind, box) for note in notes for kind, box in note.seen()]
    pictures, kinds, boxes = zip(*found, strict=True)
    left, top, width, height = np.array(boxes, dtype=np.float64).T / SIDE
    return Annotations(np.array(pictures), np.array(kinds), np.stack([left + width / 2, top + height / 2, width, height], axis=1))


def paint(
    pictures: Float32[np.ndarray, "rows 3 side side"], notes: list[Note], contrast: float, leakage: float
) -> Float32[np.ndarray, "rows 3 side side"]:
    """The pictures with the notes on them."""
    painted = pictures.transpose(0, 2, 3, 1).copy()
    body = GREY + contrast * (BODY - GREY)
    for note in notes:
        picture, colour = painted[note.picture], body[note.denomination] + note.tint
        picture[note.box.pixels] = 0.5 * colour  # what is left of it is the border
        inner = Box(note.box.left + 1, note.box.top + 1, note.box.width - 2, note.box.height - 2)
        picture[inner.pixels] = colour
        for kind, box in note.parts():
            if kind >= MARKS:
                _print(picture[box.pixels], kind)
        if leakage:
            corner = picture[note.box.top + 1 : note.box.top + 4, note.box.left + 1 : note.box.left + 4]
            corner[:] = (1 - leakage) * corner + leakage * CODE[note.denomination]
        if note.finger is not None:
            picture[note.finger.pixels] = (0.8, 0.6, 0.5)
    return np.ascontiguousarray(painted.transpose(0, 3, 1, 2))


def _print(area: Float32[np.ndarray, "height width 3"], kind: int) -> None:
    """Print a mark on its area of the picture, in place. Every side of the area is touched."""
    height, width, _ = area.shape
    if kind < COMMONS:
        area[:] = 1.0
        area[_enlarged(GLYPHS[kind - MARKS], height)] = INK
    elif kind == COMMONS:
        area[:] = SILVER
        area[1::3] = (0.6, 0.6, 0.7)
    elif kind == COMMONS + 1:
        area[:] = INK
        area[1::2, 1:-1] = SILVER
    else:
        away = np.hypot(*np.meshgrid(*(2 * np.arange(n) - n + 1 for n in (height, width)), indexing="ij"))
        area[away <= height] = GOLD
        area[away <= 0.4 * height] = INK


def _enlarged(glyph: Bool[np.ndarray, "5 5"], size: int) -> Bool[np.ndarray, "size size"]:
    along = np.arange(size) * 5 // size
    return glyph[np.ix_(along, along)]
