"""NASA's asymmetric score: against a plain sum, by hand, at its bounds, and through training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mtl_core.analysis.runs import direction
from mtl_core.baselines import with_baselines
from mtl_core.data.scenarios import load
from mtl_core.metrics import metrics, nasa_score
from mtl_core.records import metrics_of
from mtl_core.specs import TaskSpec

RUL = TaskSpec(name="rul", kind="regression", scaled=False, extra_metrics=("nasa_score",))


def plain(predicted: list[float], label: list[float]) -> float:
    total = 0.0
    for yhat, y in zip(predicted, label, strict=True):
        d = yhat - y
        total += math.exp(-d / 13) - 1 if d < 0 else math.exp(d / 10) - 1
    return total


@pytest.mark.parametrize(
    ("error", "score"),
    [
        (0.0, 0.0),
        (10.0, math.e - 1),
        (-13.0, math.e - 1),
        (20.0, 6.38905609893065),
        (-20.0, 3.657419495658906),
        (0.1, 0.010050167084168058),
    ],
)
def test_scores_by_hand(error: float, score: float) -> None:
    assert nasa_score(torch.tensor([[error]], dtype=torch.float64)).item() == pytest.approx(score, rel=1e-9)


def test_late_costs_more_than_early() -> None:
    late, early = nasa_score(torch.tensor([[5.0], [-5.0]]).double())
    assert late > early > 0


def test_the_score_is_the_plain_sum_over_labelled_rows_in_original_units() -> None:
    rng = np.random.default_rng(0)
    scaled, label = rng.normal(0, 1, (3, 50)), rng.normal(0, 1, 50)
    label[::7] = np.nan
    seen, unit = np.isfinite(label), 17.5
    found = metrics(
        RUL,
        torch.tensor(scaled).unsqueeze(-1),
        torch.tensor(np.nan_to_num(label)).unsqueeze(-1),
        torch.tensor(seen).unsqueeze(-1),
        np.array([unit]),
    )
    for lane in range(3):
        expected = plain(list(unit * scaled[lane, seen]), list(unit * label[seen]))
        assert found["nasa_score"][lane].item() == pytest.approx(expected, rel=1e-9)


def test_an_error_without_bounds_has_a_score_with_bounds_that_float32_can_hold() -> None:
    wild = torch.tensor([[1e300] * 1000, [-1e300] * 1000, [701.0] * 1000], dtype=torch.float64)
    found = nasa_score(wild)
    assert torch.isfinite(found.float()).all()
    assert found.tolist() == pytest.approx([1000 * math.expm1(70)] * 3)
    assert nasa_score(torch.tensor([[math.nan, 0.0]])).isnan().all()


def test_without_labels_there_is_no_score() -> None:
    nothing = torch.zeros(5, 1, dtype=torch.bool)
    found = metrics(RUL, torch.zeros(2, 5, 1), torch.zeros(5, 1), nothing, np.ones(1))
    assert found["nasa_score"].isnan().all()


def test_only_tasks_that_ask_for_it_have_it_and_lower_is_better() -> None:
    plain_task = TaskSpec(name="y", kind="regression")
    one = torch.ones(1, 4, 1)
    assert "nasa_score" not in metrics(plain_task, one, one[0], one[0] > 0, np.ones(1))
    assert metrics_of(RUL)[-1] == "nasa_score"
    assert metrics_of(RUL)[0] == "rmse"
    assert "nasa_score" not in metrics_of(plain_task)
    assert direction("nasa_score") == -1


def test_the_constant_predictor_has_one() -> None:
    problem = load("turbofan", {"samples": 300, "engines": 20})
    baseline = with_baselines(problem).baselines["test"]["rul"]["nasa_score"]
    labels = [problem.targets["rul"][problem.split == split, 0] for split in (0, 2)]
    mean = float(labels[0].mean())
    assert baseline == pytest.approx(plain([mean] * len(labels[1]), list(labels[1])), rel=1e-9)
