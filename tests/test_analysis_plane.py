"""What is said of runs that are points of a plane: no labels, no constant predictor, no heads, and seeds that are starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtl_core.analysis import score, verdict
from mtl_core.baselines import with_baselines
from mtl_core.data.scenarios import load
from mtl_core.errors import SpecError
from mtl_core.records import Comparison
from mtl_core.resolving import resolve
from mtl_core.specs import parse_experiment
from tests import comparisons

PROBLEM = load("landscape", {"steps": 20})
DATA = {"scenario": "landscape", "steps": 20}


def told() -> Comparison:
    """Values of two arms over eight starts, one label a split."""
    values = {
        "learned": {"L1": [-1.0 - seed for seed in range(8)], "L2": [-9.0] * 8},
        "fixed": {"L1": [-0.5] * 8, "L2": [-9.0] * 8},
    }
    experiment = comparisons.spec({"learned": {"scheme": "mgda"}, "fixed": {"scheme": "equal"}})
    given = comparisons.comparison(values, experiment, tasks=PROBLEM.tasks)
    return replace(given, problem=with_baselines(PROBLEM))


def test_the_verdict_speaks_of_starts_and_not_of_labels_or_constant_predictions() -> None:
    text = str(verdict(told()))
    assert "learned is better than fixed on 1 of 2 tasks (L1 value" in text
    assert "an interval over seeds is one over starts" in text
    for out_of_place in ("label", "constant prediction", "data split", "synthetic", "heads"):
        assert out_of_place not in text, out_of_place


def test_functions_have_no_score() -> None:
    found = score(told())
    assert found.uncounted == ("L1", "L2")
    assert found.total.estimates["learned"].n == 0


@pytest.mark.parametrize("scale", ["baseline", "single_task"])
def test_nothing_can_be_relative_to_a_value_that_may_be_negative(scale: str) -> None:
    spec = parse_experiment({"data": DATA, "arms": {"a": "equal"}, "selection": {"scale": scale}})
    with pytest.raises(SpecError, match=f"L1 is a function, .* say raw, not {scale}"):
        resolve(spec, PROBLEM)
