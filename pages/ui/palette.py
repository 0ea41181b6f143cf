"""Colour belongs to the scheme, dash to the variant; the baseline is neutral and dashed.

Okabe-Ito colours, chosen per theme for a contrast of at least 3:1; where the set has no such colour left, one of its hues
is darkened (light theme).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from mtl_core.specs import ExperimentSpec

Theme = Literal["light", "dark"]

SCHEME_COLOURS: dict[Theme, dict[str, str]] = {
    "light": {
        "equal": "#000000",
        "fixed": "#8A6500",
        "uncertainty": "#0072B2",
        "softplus": "#D55E00",
        "dwa": "#00835F",
        "gls": "#A8518A",
        "scale_invariant": "#7A1F2B",
    },
    "dark": {
        "equal": "#FFFFFF",
        "fixed": "#F0E442",
        "uncertainty": "#56B4E9",
        "softplus": "#E69F00",
        "dwa": "#00B082",
        "gls": "#CC79A7",
        "scale_invariant": "#D55E00",
    },
}
NEUTRAL: dict[Theme, str] = {"light": "#6B6B6B", "dark": "#A8A8A8"}
INK: dict[Theme, str] = {"light": "#31333F", "dark": "#FAFAFA"}
DASHES: tuple[list[int], ...] = ([], [2, 3], [10, 3, 2, 3], [14, 4], [4, 2, 4, 8])  # by variant of one scheme
BASELINE_DASH = [7, 4]


class Look(NamedTuple):
    """How an arm is drawn everywhere."""

    colour: str
    dash: list[int]  # empty: solid
    width: float = 2.0


def looks(spec: ExperimentSpec, theme: Theme) -> dict[str, Look]:
    """The look of every arm, by name."""
    seen: dict[str, int] = {}
    result = {}
    for name, arm in spec.arms.items():
        if name == spec.baseline:
            result[name] = Look(NEUTRAL[theme], BASELINE_DASH)
            continue
        variant = seen[arm.scheme] = seen.get(arm.scheme, -1) + 1
        result[name] = Look(SCHEME_COLOURS[theme].get(arm.scheme, INK[theme]), DASHES[variant % len(DASHES)])
    return result
