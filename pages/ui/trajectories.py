"""Paths over the two-task landscape on its contours, with the Pareto front (Plotly, for the finished figure). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from mtl_core.analysis import Path, Trajectories
from pages.ui.palette import INK, NEUTRAL, Look, Theme
from pages.ui.text import cell, short

HEIGHT, LEVELS = 520, 24
FRONT_COLOUR: dict[Theme, str] = {"light": "#009E73", "dark": "#4ADE9A"}


def figure(found: Trajectories, arms: Sequence[str], looks: Mapping[str, Look], theme: Theme) -> go.Figure:
    """Every path of these arms; a full mark ends on the front, an open one does not."""
    drawn = go.Figure([_surface(found, theme), _front(found, theme)])
    for arm in arms:
        drawn.add_traces(_arm(found.of(arm), arm, looks[arm]))
    drawn.add_trace(_starts(found, theme))
    drawn.update_xaxes(title="x1", range=[found.x1[0], found.x1[-1]], **_axis(theme))
    drawn.update_yaxes(title="x2", range=[found.x2[0], found.x2[-1]], **_axis(theme))
    drawn.update_layout(
        height=HEIGHT,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"color": INK[theme]}},
        font={"color": INK[theme]},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
    )
    return drawn


def _axis(theme: Theme) -> dict[str, object]:
    return {"showgrid": False, "zeroline": False, "automargin": True, "tickfont": {"color": INK[theme]}}


def _surface(found: Trajectories, theme: Theme) -> go.Contour:
    """Contours of L1 + L2, in one quiet colour: their shape is meant, not their height."""
    return go.Contour(
        x=found.x1,
        y=found.x2,
        z=np.round(found.total, 3),
        ncontours=LEVELS,
        contours={"coloring": "lines"},
        colorscale=[[0, NEUTRAL[theme]], [1, NEUTRAL[theme]]],
        opacity=0.5,
        line={"width": 0.7},
        showscale=False,
        hovertemplate="L1 + L2 %{z:.3g} at (%{x:.1f}, %{y:.1f})<extra></extra>",
    )


def _front(found: Trajectories, theme: Theme) -> go.Scatter:
    return go.Scatter(
        x=found.front[:, 0],
        y=found.front[:, 1],
        mode="lines",
        line={"color": FRONT_COLOUR[theme], "width": 9},
        opacity=0.55,
        name="Pareto front",
        hoverinfo="skip",
    )


def _arm(paths: Sequence[Path], arm: str, look: Look) -> list[go.Scatter]:
    """One trace of lines with gaps between runs, one of ends."""
    gap = np.full((1, 2), np.nan)
    line = np.concatenate([part for path in paths for part in (path.points, gap)] or [gap])
    ends = np.array([path.end for path in paths] or gap)
    name = cell(short(arm), 24)
    dash = ",".join(f"{part}px" for part in look.dash) or "solid"
    words = [f"{name}, seed {path.seed}: {_where(path)}" for path in paths]
    symbols = ["circle" if path.reached else "x" if path.lost else "circle-open" for path in paths]
    return [
        go.Scatter(
            x=np.round(line[:, 0], 3), y=np.round(line[:, 1], 3), mode="lines", name=name, legendgroup=name,
            line={"color": look.colour, "width": 1.6, "dash": dash}, hoverinfo="skip", connectgaps=False,
        ),
        go.Scatter(
            x=ends[:, 0], y=ends[:, 1], mode="markers", name=name, legendgroup=name, showlegend=False, text=words,
            marker={"color": look.colour, "size": 11, "symbol": symbols, "line": {"width": 2.5, "color": look.colour}},
            hovertemplate="%{text}<extra></extra>",
        ),
    ]  # fmt: skip


def _where(path: Path) -> str:
    (x1, x2), (first, second) = path.end, path.start
    outcome = (
        "on the front"
        if path.reached
        else "failed"
        if path.failed
        else "diverged"
        if path.lost
        else "still moving"
        if path.moving
        else "stuck"
    )
    return f"from ({first:.3g}, {second:.3g}) to ({x1:.2f}, {x2:.2f}), {outcome}"


def _starts(found: Trajectories, theme: Theme) -> go.Scatter:
    starts = np.array(list(dict.fromkeys(path.start for path in found.paths)) or [(np.nan, np.nan)])
    return go.Scatter(
        x=starts[:, 0],
        y=starts[:, 1],
        mode="markers",
        name="starts",
        marker={"color": INK[theme], "size": 8, "symbol": "square"},
        hovertemplate="start (%{x:.2f}, %{y:.2f})<extra></extra>",
    )
