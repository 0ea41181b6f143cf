"""Experiments to start from, as a person would write them in YAML."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "learned vs fixed (osint)": {
        "name": "learned-vs-fixed",
        "data": {"scenario": "osint"},
        "arms": {"learned": {"scheme": "uncertainty", "preset": "osint"}, "fixed": {"scheme": "equal"}},
    },
    "clamped Kendall vs softplus vs equal": {
        "name": "clamped-vs-softplus",
        "data": {"scenario": "osint"},
        "arms": {
            "clamped": {"scheme": "uncertainty", "settings": {"clamp": [-2, 2]}},
            "softplus": {"scheme": "softplus"},
            "fixed": {"scheme": "equal"},
        },
    },
    "gated": {
        "name": "gated",
        "data": {"scenario": "osint"},
        "arms": {
            "gated": {"scheme": "softplus", "gate": {"mode": "hard", "threshold": 0.2, "scope": "window"}},
            "softly gated": {"scheme": "softplus", "gate": {"mode": "soft", "threshold": 0.2, "scope": "window"}},
            "ungated": {"scheme": "softplus"},
            "fixed": {"scheme": "equal"},
        },
    },
    "scale is not noise": {
        "name": "noise-and-scale",
        "data": {"scenario": "noise_and_scale"},
        "arms": {"learned": {"scheme": "uncertainty"}, "invariant": {"scheme": "scale_invariant"}, "fixed": {"scheme": "equal"}},
    },
    "two digits": {
        "name": "multi-digits",
        "data": {"scenario": "multi_digits"},
        "arms": {"learned": {"scheme": "uncertainty"}, "averaged": {"scheme": "dwa"}, "fixed": {"scheme": "equal"}},
    },
}
