"""The comparison that the product opens on, shipped as package data; made by `python -m mtl_core.recorded`.

`osint`, learned weights (the `osint` preset of uncertainty weighting) against fixed equal ones, 8 seeds. It is a record
of the real engine, and says when, with which versions and on what kind of machine it was trained.
"""

from __future__ import annotations

from pathlib import Path

from mtl_core.records import Comparison
from mtl_core.specs import ExperimentSpec, parse_experiment

FILE = Path(__file__).with_name("osint.npz")


def experiment() -> ExperimentSpec:
    """What was recorded."""
    return parse_experiment(
        {
            "name": "learned-vs-fixed",
            "data": {"scenario": "osint"},
            "arms": {"learned": {"scheme": "uncertainty", "preset": "osint"}, "fixed": {"scheme": "equal"}},
            "baseline": "fixed",
            "seeds": 8,
        }
    )


def load() -> Comparison:
    """The recorded comparison."""
    return Comparison.from_bytes(FILE.read_bytes())
