"""What is said of a column's numbers: what they were read from, what could not be read, what looks odd."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from mtl_core.data.limits import MAX_EXACT, MAX_MAGNITUDE
from mtl_core.data.names import listed, shown
from mtl_core.data.numbers import Numbers
from mtl_core.data.raw import RawColumn
from mtl_core.data.sentinels import suspects
from mtl_core.data.units import mixed_units

_FAR = 1e5  # interquartile ranges from the median at which a value spoils the scale of all others
_FLAT = 1e-11  # of its size: what a column varies by at least, to be standardised without loss
_TINY = 1e-30  # below it float32 and squares lose their meaning
_LOOK = 1_000


def remarks_on_spellings(raw: RawColumn, parsed: Numbers, counts: Int[np.ndarray, " spellings"]) -> list[str]:
    """Sentences on how cells of text were read as numbers."""
    name = shown(raw.name)
    said = (
        infinite_note(raw.name, int(counts[parsed.infinite].sum())) + _digits_note(raw, parsed) + _bad_note(raw, parsed, counts)
    )
    if parsed.percent is not None:
        with_sign, all_read = int(counts[parsed.percent].sum()), int(counts[np.isfinite(parsed.values)].sum())
        if with_sign == all_read:
            said.append(f"{name} holds percentages and was read as numbers: 12% is 12.")
        else:
            said.append(
                f"{name}: {with_sign:,} of {all_read:,} numbers have a percent sign, the others none; all were read "
                "by their digits (12% is 12): write them alike if they mean the same."
            )
    if len(parsed.currencies) > 1:
        said.append(
            f"{name} holds amounts in {listed(parsed.currencies)}, which were read by their digits alone: convert them first."
        )
    if parsed.example is not None:
        text = raw.spellings[parsed.example].as_py()
        without = f"unit {shown(parsed.unit, 20)}" if parsed.unit else "separators and signs"
        said.append(
            f"{name}: its numbers were read without their {without} ({shown(text, 30)} is {parsed.values[parsed.example]:.15g})."
        )
    return said


def remarks_on_numbers(name: str, values: Float[np.ndarray, " rows"]) -> list[str]:
    """Sentences on values that perhaps stand for missing, on one far from all others, and on tiny ones."""
    codes, times = suspects(values)
    if codes:
        words = ", ".join(f'"{code:.15g}"' for code in codes)
        which = " and ".join(f"{code:.15g}" for code in codes)
        verb, it, is_it = ("appears", "it", "it stands") if len(codes) == 1 else ("together appear", "them", "they stand")
        advice = f"if {is_it} for missing, name {it} as missing (data.missing: [{words}])"
        return [f"{shown(name)}: {which} {verb} {times:,} times; {advice}."]
    finite = values[np.isfinite(values)]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    if 0 < largest < _TINY:
        return [
            f"{shown(name)} has no value beyond {largest:.3g}: multiply it by a power of ten, so that nothing is rounded to zero."
        ]
    if finite.size and 0 < np.ptp(finite) < _FLAT * largest:
        return [
            f"{shown(name)} varies by {np.ptp(finite):.3g} only around {finite[0]:.6g}: take off an offset, it costs precision."
        ]
    low, middle, high = np.quantile(finite, (0.25, 0.5, 0.75)) if finite.size else (0.0, 0.0, 0.0)
    far = np.abs(finite - middle) > _FAR * (high - low)
    if not high > low or not far.any():
        return []
    first = float(finite[np.argmax(far)])
    cells = "1 cell is" if far.sum() == 1 else f"{int(far.sum()):,} cells are"
    return [
        f"{shown(name)}: {cells} over {_FAR:,.0f} times as far from the middle as most (first {first:.6g}): "
        "correct them, or take logarithms, or they decide the scale of all others."
    ]


def why_no_number(
    raw: RawColumn, not_read: Bool[np.ndarray, " spellings"], parsed: Numbers, counts: Int[np.ndarray, " spellings"]
) -> str:
    """Why a column that is left out is not read as numbers although its cells look like some; empty where they do not."""
    texts = raw.spellings[:_LOOK].to_pylist()
    units = mixed_units([text for text in texts if text])
    if units:
        return f"its numbers come in different units ({listed(units, 3)}); write all in one unit to use them"
    read, all_cells = int(counts[~not_read].sum()), int(counts[parsed.bad | ~not_read].sum())
    if not 0 < read < all_cells or read < 0.2 * all_cells:
        return ""
    odd = raw.spellings[int(np.argmax(parsed.bad))].as_py()
    parts = f"{read:,} of its {all_cells:,} cells are numbers and the others are not"
    return f"{parts} (such as {shown(odd, 30)}); write them alike to use them"


def infinite_note(name: str, count: int) -> list[str]:
    """A sentence on infinite cells, if there are any."""
    if not count:
        return []
    cells = "1 cell is" if count == 1 else f"{count:,} cells are"
    return [f"{shown(name)}: {cells} infinite or beyond {MAX_MAGNITUDE:g} and counted as missing."]


def _as_category(name: str) -> str:
    """What to do, for those who have the page's table of columns before them and those who write a file."""
    return f"make its kind category (data.columns: {{{shown(name)}: category}})"


def _digits_note(raw: RawColumn, parsed: Numbers) -> list[str]:
    import pyarrow.compute as pc

    long = np.nan_to_num(np.abs(parsed.values)) > MAX_EXACT
    if not long.any() or not pc.any(pc.match_substring_regex(raw.spellings.filter(long), r"^[+-]?\d+$")).as_py():
        return []
    return [
        f"{shown(raw.name)} holds whole numbers beyond {MAX_EXACT:,}, which lose their last digits as numbers: "
        f"if they are names, {_as_category(raw.name)}, else take an offset off."
    ]


def _bad_note(raw: RawColumn, parsed: Numbers, counts: Int[np.ndarray, " spellings"]) -> list[str]:
    if not parsed.bad.any():
        return []
    assert raw.codes is not None
    row, count, rows = int(np.argmax(parsed.bad[raw.codes])), int(counts[parsed.bad].sum()), len(raw.codes)
    first = raw.spellings[int(raw.codes[row])].as_py()
    cells = "1 cell is not a number" if count == 1 else f"{count:,} cells are not numbers"
    advice = "" if count < 0.01 * rows else f"; to read them all as categories, {_as_category(raw.name)}"
    return [
        f"{shown(raw.name)}: {cells} ({count / rows:.1%}; first {shown(first)} in data row {row + 1}) "
        f"and counted as missing{advice}."
    ]
