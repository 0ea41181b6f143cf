"""Losses against torch, scipy and statsmodels; metrics against scikit-learn; constant predictors against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats
from sklearn import metrics as sk
from statsmodels.discrete.count_model import ZeroInflatedNegativeBinomialP
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mtl_core import labels
from mtl_core.baselines import constant_outputs, with_baselines
from mtl_core.counts import predicted_count, probability_of_zero
from mtl_core.lanes.tensors import to_tensors
from mtl_core.metrics import metrics
from mtl_core.problem import Problem
from mtl_core.records import HIGHER_IS_BETTER, METRICS, NEITHER
from mtl_core.specs import LOSSES, TaskSpec
from mtl_core.tasks import element_loss, element_slope, task_loss

ROWS, LANES = 41, 3
TASKS = {
    "mse": TaskSpec(name="t", kind="regression"),
    "l1": TaskSpec(name="t", kind="regression", loss="l1"),
    "huber": TaskSpec(name="t", kind="regression", loss="huber", huber_delta=0.6),
    "vector": TaskSpec(name="t", kind="multi_output", width=4),
    "vector l1": TaskSpec(name="t", kind="multi_output", width=4, loss="l1"),
    "vector huber": TaskSpec(name="t", kind="multi_output", width=4, loss="huber", huber_delta=1.7),
    "bce": TaskSpec(name="t", kind="binary"),
    "bce weighted": TaskSpec(name="t", kind="binary", positive_weight=7.5),
    "focal": TaskSpec(name="t", kind="binary", loss="focal"),
    "focal weighted": TaskSpec(name="t", kind="binary", loss="focal", focal_gamma=0.7, positive_weight=3.0),
    "ce": TaskSpec(name="t", kind="multiclass", classes=("a", "b", "c", "d")),
    "ce smooth": TaskSpec(name="t", kind="multiclass", classes=("a", "b", "c", "d"), label_smoothing=0.15),
    "zinb": TaskSpec(name="t", kind="count"),
    "poisson": TaskSpec(name="t", kind="count", loss="poisson"),
}
each_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def draw(task: TaskSpec, seed: int, missing: float = 0.3) -> tuple[Tensor, Tensor]:
    """Outputs `[lanes, rows, outputs]` and targets `[rows, width]` with NaN where a label is missing."""
    rng = np.random.default_rng(seed)
    outputs = rng.normal(0, 1.5, (LANES, ROWS, task.outputs))
    if task.kind == "multiclass":
        targets: Any = rng.integers(0, len(task.classes), (ROWS, 1)).astype(float)
    elif task.kind == "binary":
        targets = (rng.random((ROWS, 1)) < 0.3).astype(float)
    elif task.kind == "count":
        targets = rng.poisson(rng.gamma(0.5, 8.0, (ROWS, 1))).astype(float)
    else:
        targets = rng.normal(0, 2, (ROWS, task.width))
    targets[rng.random(targets.shape) < missing] = np.nan
    return torch.tensor(outputs), torch.tensor(targets)


def product_loss(task: TaskSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    valid = torch.isfinite(targets)
    return task_loss(task, outputs, targets.nan_to_num(nan=0.0), valid)


# --- losses -------------------------------------------------------------------------------------------------------


@each_task
def test_a_loss_over_lanes_is_the_plain_masked_mean_of_each(task: TaskSpec) -> None:
    outputs, targets = draw(task, 1)
    ours = product_loss(task, outputs, targets.expand(LANES, -1, -1))
    theirs = torch.stack([reference.task_loss(task, outputs[lane], targets) for lane in range(LANES)])  # type: ignore[misc]
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@each_task
def test_gradients_of_a_loss_are_those_of_the_plain_one(task: TaskSpec) -> None:
    outputs, targets = draw(task, 2)
    ours, theirs = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    product_loss(task, ours, targets.expand(LANES, -1, -1)).sum().backward()
    sum(reference.task_loss(task, theirs[lane], targets) for lane in range(LANES)).backward()  # type: ignore[union-attr]
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-13)


@each_task
def test_a_missing_label_has_no_gradient_and_no_influence(task: TaskSpec) -> None:
    outputs, targets = draw(task, 3, missing=0.5)
    outputs.requires_grad_()
    valid = torch.isfinite(targets)
    for filler in (0.0, 1.0):
        loss = task_loss(task, outputs, targets.nan_to_num(nan=filler).expand(LANES, -1, -1), valid.expand(LANES, -1, -1))
        (gradient,) = torch.autograd.grad(loss.sum(), outputs)
        rows = ~valid.any(-1)
        assert rows.any()
        assert (gradient[:, rows] == 0).all()
        assert torch.isfinite(gradient).all()
        torch.testing.assert_close(loss, product_loss(task, outputs, targets), rtol=1e-12, atol=0)


@each_task
def test_without_any_label_the_loss_is_zero_with_a_zero_gradient(task: TaskSpec) -> None:
    outputs, targets = draw(task, 4)
    outputs.requires_grad_()
    loss = task_loss(task, outputs, torch.zeros_like(targets), torch.zeros_like(targets, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(loss.sum(), outputs)
    assert loss.tolist() == [0.0] * LANES
    assert (gradient == 0).all()


@each_task
def test_masks_may_differ_between_lanes(task: TaskSpec) -> None:
    pairs = [draw(task, seed) for seed in (5, 6, 7)]
    outputs = torch.stack([pair[0][0] for pair in pairs])
    targets = torch.stack([pair[1] for pair in pairs])
    ours = product_loss(task, outputs, targets)
    theirs = torch.stack([reference.task_loss(task, o, t) for o, t in zip(outputs, targets, strict=True)])  # type: ignore[misc]
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_the_squared_error_has_no_half_inside() -> None:
    loss = task_loss(TASKS["mse"], torch.zeros(1, 2, 1), torch.tensor([[[3.0], [1.0]]]), torch.ones(1, 2, 1, dtype=torch.bool))
    assert loss.tolist() == [5.0]


def test_a_focal_loss_without_focus_is_cross_entropy() -> None:
    plain, unfocused = TASKS["bce"], TaskSpec(name="t", kind="binary", loss="focal", focal_gamma=0.0)
    outputs, targets = draw(plain, 8)
    torch.testing.assert_close(product_loss(plain, outputs, targets), product_loss(unfocused, outputs, targets))


@each_task
def test_the_closed_form_slope_is_the_derivative_of_the_loss(task: TaskSpec) -> None:
    outputs, targets = draw(task, 70, missing=0.0)
    targets = targets.expand(LANES, -1, -1)
    for spread in (0.1, 1.0, 12.0):
        inputs = (outputs * spread).requires_grad_()
        (slope,) = torch.autograd.grad(element_loss(task, inputs, targets).sum(), inputs)
        torch.testing.assert_close(element_slope(task, inputs.detach(), targets), slope, rtol=1e-8, atol=1e-9)


@each_task
def test_the_closed_form_slope_is_what_finite_differences_say(task: TaskSpec) -> None:
    """Against the plain twin's loss, so that a mistake shared by loss and slope would show."""
    outputs, targets = draw(task, 71, missing=0.0)
    row, target, step = outputs[0, :8], targets[:8], 1e-5
    ours = element_slope(task, row[None], target[None])[0]
    for column in range(task.outputs):
        nudge = torch.zeros_like(row)
        nudge[:, column] = step
        for number in range(len(row)):
            one = slice(number, number + 1)
            up, down = (reference.task_loss(task, (row + sign * nudge)[one], target[one]) for sign in (1, -1))
            assert up is not None
            assert down is not None
            width = task.width if task.kind == "multi_output" else 1  # the twin's mean is over all elements of a row
            slope = (up - down).item() * width / (2 * step)
            assert float(ours[number, column]) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", ["bce", "bce weighted", "focal", "focal weighted", "ce", "ce smooth"])
@pytest.mark.parametrize(("size", "dtype"), [(50.0, torch.float32), (500.0, torch.float32), (5000.0, torch.float64)])
def test_sure_and_wrong_classifiers_have_large_finite_losses_and_slopes(name: str, size: float, dtype: torch.dtype) -> None:
    task = TASKS[name]
    outputs = torch.full((1, 4, task.outputs), -size, dtype=dtype)
    outputs[0, :2, 0] = size
    targets = torch.tensor([[[0.0], [1.0], [0.0], [1.0]]], dtype=dtype)
    loss, slope = element_loss(task, outputs, targets), element_slope(task, outputs, targets)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(slope).all()
    assert loss.max() > 10
    assert slope.abs().max() > 0.1


# --- counts -------------------------------------------------------------------------------------------------------


def head(mean: Any, size: Any, zero: Any) -> Tensor:
    """Count head outputs [1, rows, 3] for a mean, a size (dispersion r) and a zero-inflation probability."""
    parts = np.broadcast_arrays(np.log(mean), np.log(size), special.logit(zero))
    return torch.tensor(np.stack(parts, -1), dtype=torch.float64).reshape(1, -1, 3)


def nll(outputs: Tensor, counts: np.ndarray) -> np.ndarray:
    """Row by row: the loss of one row at a time."""
    rows = []
    for row, count in zip(outputs[0], counts, strict=True):
        one = torch.tensor([[[float(count)]]], dtype=torch.float64)
        rows.append(float(task_loss(TASKS["zinb"], row[None, None], one, torch.ones_like(one, dtype=torch.bool))))
    return np.array(rows)


COUNTS = np.array([0, 0, 1, 2, 5, 17, 0, 300, 3, 0])
MEANS = np.array([0.3, 20.0, 0.3, 2.0, 5.0, 4.0, 1.0, 120.0, 900.0, 1e-4])
SIZES = np.array([0.1, 2.0, 1.0, 50.0, 0.7, 8.0, 1e3, 3.0, 0.05, 0.4])
ZEROS = np.array([0.01, 0.5, 0.9, 0.2, 0.5, 0.05, 0.99, 1e-3, 0.3, 0.6])


def test_the_count_loss_is_scipys_mixture_of_a_spike_and_a_negative_binomial() -> None:
    chance = stats.nbinom(SIZES, SIZES / (SIZES + MEANS)).pmf(COUNTS)
    mixture = np.where(COUNTS == 0, ZEROS + (1 - ZEROS) * chance, (1 - ZEROS) * chance)
    np.testing.assert_allclose(nll(head(MEANS, SIZES, ZEROS), COUNTS), -np.log(mixture), rtol=1e-10)


def test_the_count_loss_is_torchs_mixture() -> None:
    outputs = head(MEANS, SIZES, ZEROS)
    theirs = reference.zinb_nll(*outputs[0].T, torch.tensor(COUNTS, dtype=torch.float64))
    np.testing.assert_allclose(nll(outputs, COUNTS), theirs.numpy(), rtol=1e-12)


def test_the_count_loss_is_the_likelihood_of_statsmodels() -> None:
    counts = np.array([0, 0, 0, 1, 2, 0, 4, 9, 0, 1, 30, 0])
    for mean, size, zero in ((3.0, 0.8, 0.3), (0.4, 5.0, 0.1), (12.0, 0.2, 0.6)):
        model = ZeroInflatedNegativeBinomialP(counts, np.ones((len(counts), 1)), p=2)
        theirs = model.loglikeobs(np.array([special.logit(zero), np.log(mean), 1 / size]))
        np.testing.assert_allclose(nll(head([mean] * 12, size, zero), counts), -theirs, rtol=1e-10)


def test_the_count_loss_keeps_its_constant() -> None:
    """Without lgamma(y+1) the probabilities of all counts would not sum to one."""
    counts = np.arange(400)
    chances = np.exp(-nll(head([7.0] * 400, 3.0, 0.2), counts))
    assert chances.sum() == pytest.approx(1.0, abs=1e-10)
    assert (chances * counts).sum() == pytest.approx(0.8 * 7.0, abs=1e-8)
    poisson = torch.tensor(counts, dtype=torch.float64)
    outputs = torch.full((1, 1, 1), math.log(7.0), dtype=torch.float64)
    each = [float(task_loss(TASKS["poisson"], outputs, y.view(1, 1, 1), torch.ones(1, 1, 1, dtype=torch.bool))) for y in poisson]
    assert np.exp(-np.array(each)).sum() == pytest.approx(1.0, abs=1e-10)


def test_the_poisson_loss_is_torchs_with_the_exact_constant() -> None:
    outputs, targets = draw(TASKS["poisson"], 9)
    valid = torch.isfinite(targets[:, 0])
    y, rate = targets[valid, 0], outputs[:, valid, 0]
    theirs = (F.poisson_nll_loss(rate, y.expand(LANES, -1), log_input=True, reduction="none") + torch.lgamma(y + 1)).mean(-1)
    torch.testing.assert_close(product_loss(TASKS["poisson"], outputs, targets), theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_counts_and_heads_have_finite_losses_and_slopes(dtype: torch.dtype) -> None:
    corners = torch.cartesian_prod(*[torch.tensor([-60.0, 0.0, 60.0], dtype=dtype)] * 3)[None]
    for count in (0.0, 1.0, 1e6):
        counts = torch.full((1, corners.shape[1], 1), count, dtype=dtype)
        assert torch.isfinite(element_loss(TASKS["zinb"], corners, counts)).all(), count
        assert torch.isfinite(element_slope(TASKS["zinb"], corners, counts)).all(), count


@pytest.mark.parametrize("name", ["poisson", "zinb"])
@pytest.mark.parametrize("log_rate", [35.0, 90.0, 200.0])
def test_a_rate_that_is_far_too_high_is_pulled_down(name: str, log_rate: float) -> None:
    """A bound inside the loss must not turn the way back into a way out."""
    outputs = torch.zeros(1, 2, TASKS[name].outputs)
    outputs[..., 0] = log_rate
    slope = element_slope(TASKS[name], outputs, torch.tensor([[[1.0], [7.0]]]))
    assert torch.isfinite(slope).all()
    assert (slope[..., 0] > 0).all()


def test_a_head_predicts_the_mean_and_the_zeros_of_its_mixture() -> None:
    outputs = head(MEANS, SIZES, ZEROS)
    chance = stats.nbinom(SIZES, SIZES / (SIZES + MEANS)).pmf(0)
    np.testing.assert_allclose(predicted_count(TASKS["zinb"], outputs)[0, :, 0], (1 - ZEROS) * MEANS, rtol=1e-12)
    np.testing.assert_allclose(probability_of_zero(TASKS["zinb"], outputs)[0, :, 0], ZEROS + (1 - ZEROS) * chance, rtol=1e-10)
    rate = torch.log(torch.tensor(MEANS))[None, :, None]
    np.testing.assert_allclose(predicted_count(TASKS["poisson"], rate)[0, :, 0], MEANS, rtol=1e-12)
    np.testing.assert_allclose(probability_of_zero(TASKS["poisson"], rate)[0, :, 0], np.exp(-MEANS), rtol=1e-12)


# --- metrics ------------------------------------------------------------------------------------------------------


def judged(task: TaskSpec, outputs: Tensor, targets: Tensor, scale: Tensor | None = None) -> dict[str, list[float]]:
    """The product's metrics per lane; `targets` scaled, NaN where missing."""
    scales = np.ones(targets.shape[1]) if scale is None else scale.double().numpy()
    valid = torch.isfinite(targets)
    filled = targets.nan_to_num(nan=0.0)
    found = metrics(task, outputs, filled, valid, scales)
    assert set(found) == set(METRICS[task.kind])
    return {name: value.tolist() for name, value in found.items()}


@pytest.mark.parametrize("name", ["mse", "vector"])
def test_errors_are_scikit_learns_in_original_units(name: str) -> None:
    task = TASKS[name]
    outputs, targets = draw(task, 10)
    shift, scale = torch.arange(task.width, dtype=torch.float64) * 10 + 5, torch.arange(task.width, dtype=torch.float64) + 2
    ours = judged(task, outputs, targets, scale)
    valid = torch.isfinite(targets)
    for lane in range(LANES):
        predicted, true = (outputs[lane] * scale + shift), (targets * scale + shift)
        flat = (true[valid].numpy(), predicted[valid].numpy())
        assert ours["mse"][lane] == pytest.approx(sk.mean_squared_error(*flat), rel=1e-10)
        assert ours["mae"][lane] == pytest.approx(sk.mean_absolute_error(*flat), rel=1e-10)
        assert ours["rmse"][lane] == pytest.approx(sk.root_mean_squared_error(*flat), rel=1e-10)
        columns = [(true[valid[:, c], c].numpy(), predicted[valid[:, c], c].numpy()) for c in range(task.width)]
        assert ours["r2"][lane] == pytest.approx(np.mean([sk.r2_score(*column) for column in columns]), rel=1e-9)


@pytest.mark.parametrize("name", ["mse", "vector", "zinb"])
def test_errors_of_a_few_rows_at_a_time_add_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, targets = draw(TASKS[name], 12)
    whole = judged(TASKS[name], outputs, targets)
    monkeypatch.setattr(labels, "NUMBERS_AT_ONCE", 3 * LANES * targets.shape[1])
    for metric, values in judged(TASKS[name], outputs, targets).items():
        assert values == pytest.approx(whole[metric], rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [0, 1, 12])
def test_binary_metrics_are_scikit_learns_ties_included(seed: int, digits: int) -> None:
    outputs, targets = draw(TASKS["bce"], 20 + seed)
    outputs = torch.round(outputs, decimals=digits)
    ours = judged(TASKS["bce"], outputs, targets)
    valid = torch.isfinite(targets[:, 0])
    true = targets[valid, 0].numpy()
    for lane in range(LANES):
        score = outputs[lane, valid, 0].numpy()
        said = score > 0
        assert ours["auroc"][lane] == pytest.approx(sk.roc_auc_score(true, score), rel=1e-9)
        assert ours["average_precision"][lane] == pytest.approx(sk.average_precision_score(true, score), rel=1e-9)
        assert ours["f1"][lane] == pytest.approx(sk.f1_score(true, said, zero_division=0), rel=1e-9)
        assert ours["accuracy"][lane] == pytest.approx(sk.accuracy_score(true, said), rel=1e-9)
        assert ours["positive_rate"][lane] == pytest.approx(said.mean(), rel=1e-9)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_ranking_metrics_agree_with_scikit_learn_on_any_ties(rows: list[tuple[int, bool]]) -> None:
    score, true = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    ours = judged(TASKS["bce"], torch.tensor(score)[None, :, None], torch.tensor(true, dtype=torch.float64)[:, None])
    if true.all() or not true.any():
        assert math.isnan(ours["auroc"][0])
        assert math.isnan(ours["average_precision"][0])
    else:
        assert ours["auroc"][0] == pytest.approx(sk.roc_auc_score(true, score), rel=1e-9)
        assert ours["average_precision"][0] == pytest.approx(sk.average_precision_score(true, score), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_class_metrics_are_scikit_learns_over_the_classes_that_occur(seed: int) -> None:
    """The label set of the macro average is explicit: classes among these labels, not those only predicted."""
    outputs, targets = draw(TASKS["ce"], 40 + seed)
    targets[targets == 2] = 0.0  # class c is predicted but never occurs
    outputs[0, :, 3] = -50.0  # class d occurs but is never predicted in the first lane
    ours = judged(TASKS["ce"], outputs, targets)
    valid = torch.isfinite(targets[:, 0])
    true = targets[valid, 0].numpy().astype(int)
    for lane in range(LANES):
        said = outputs[lane, valid].argmax(-1).numpy()
        assert ours["accuracy"][lane] == pytest.approx(sk.accuracy_score(true, said), rel=1e-9)
        expected = sk.f1_score(true, said, average="macro", labels=np.unique(true), zero_division=0)
        assert ours["f1_macro"][lane] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["zinb", "poisson"])
def test_count_metrics_judge_the_expected_count(name: str) -> None:
    task = TASKS[name]
    outputs, targets = draw(task, 50)
    outputs = outputs / 2
    ours = judged(task, outputs, targets)
    valid = torch.isfinite(targets[:, 0])
    true = targets[valid, 0].numpy()
    for lane in range(LANES):
        said = predicted_count(task, outputs[lane, valid])[:, 0].numpy()
        assert ours["mae"][lane] == pytest.approx(sk.mean_absolute_error(true, said), rel=1e-9)
        assert ours["rmse"][lane] == pytest.approx(sk.root_mean_squared_error(true, said), rel=1e-9)
        assert ours["mse"][lane] == pytest.approx(sk.mean_squared_error(true, said), rel=1e-9)
        assert ours["r2"][lane] == pytest.approx(sk.r2_score(true, said), rel=1e-9)
        loss = reference.task_loss(task, outputs[lane], targets)
        assert loss is not None
        assert ours["nll"][lane] == pytest.approx(float(loss), rel=1e-9)
        zeros = probability_of_zero(task, outputs[lane, valid])
        assert ours["zero_rate"][lane] == pytest.approx(float(zeros.mean()), rel=1e-9)


@each_task
def test_metrics_without_any_label_are_undefined_not_zero(task: TaskSpec) -> None:
    outputs, targets = draw(task, 60)
    for name, values in judged(task, outputs, torch.full_like(targets, torch.nan)).items():
        if name not in NEITHER:
            assert all(math.isnan(value) for value in values), name


@each_task
def test_metrics_do_not_see_missing_rows(task: TaskSpec) -> None:
    outputs, targets = draw(task, 61)
    rows = torch.isfinite(targets).any(-1)
    disturbed = torch.where(rows[:, None], outputs, -outputs * 3 + 1)
    plain, other = judged(task, outputs, targets), judged(task, disturbed, targets)
    for name in plain:
        np.testing.assert_array_equal(plain[name], other[name], err_msg=name)


@each_task
def test_metrics_of_a_lane_do_not_depend_on_other_lanes(task: TaskSpec) -> None:
    outputs, targets = draw(task, 62)
    together = judged(task, outputs, targets)
    outputs[1] = torch.nan
    broken = judged(task, outputs, targets)
    for lane in (0, 2):
        alone = judged(task, outputs[lane : lane + 1], targets)
        for name in alone:
            assert alone[name][0] == pytest.approx(together[name][lane], rel=1e-12, nan_ok=True), name
            assert broken[name][lane] == pytest.approx(together[name][lane], rel=1e-12, nan_ok=True), name


@each_task
def test_a_broken_lane_is_never_scored_as_if_it_were_fine(task: TaskSpec) -> None:
    outputs, targets = draw(task, 63)
    outputs[1] = torch.nan
    for name, values in judged(task, outputs, targets).items():
        if name not in NEITHER:
            assert math.isnan(values[1]), name


def test_r2_of_labels_that_do_not_vary_is_undefined() -> None:
    found = judged(TASKS["mse"], torch.randn(1, 5, 1, dtype=torch.float64), torch.full((5, 1), 3.0, dtype=torch.float64))
    assert math.isnan(found["r2"][0])


def test_every_metric_has_a_direction() -> None:
    lower = {"value", "nasa_score", "rmse", "mae", "mse", "nll"}
    for kind, names in METRICS.items():
        assert kind in LOSSES
        for name in names:
            assert (name in HIGHER_IS_BETTER) + (name in NEITHER) + (name in lower) == 1, name


# --- the constant predictor ---------------------------------------------------------------------------------------


def problem_of(task: TaskSpec, targets: np.ndarray) -> Problem:
    rng = np.random.default_rng(0)
    split = np.repeat([0, 1, 2], [len(targets) // 2, len(targets) // 4, len(targets) - len(targets) // 2 - len(targets) // 4])
    return Problem(
        name="made up",
        features=rng.normal(size=(len(targets), 2)),
        targets={task.name: targets},
        tasks=(task,),
        split=split.astype(np.int8),
        feature_names=("a", "b"),
    )


PLAIN = ("mse", "vector", "bce", "ce", "zinb", "poisson")  # a class weight, focus or smoothing moves what is optimal


@pytest.mark.parametrize("name", PLAIN)
def test_no_other_constant_has_a_lower_training_loss(name: str) -> None:
    task = TASKS[name]
    rng = np.random.default_rng(7)
    targets = np.concatenate([draw(task, seed)[1].numpy() for seed in range(4)])
    constant = constant_outputs(task, torch.tensor(np.nan_to_num(targets)), torch.tensor(np.isfinite(targets)))

    def loss(outputs: np.ndarray) -> float:
        rows = torch.tensor(outputs).expand(len(targets), -1)
        found = reference.task_loss(task, rows, torch.tensor(targets))
        assert found is not None
        return float(found)

    best = loss(constant.double().numpy())
    for _ in range(3):
        start = constant.double().numpy() + rng.normal(0, 0.3, task.outputs)
        other = optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000})
        assert best <= other.fun + 1e-6


def test_the_baseline_of_a_regression_is_the_training_mean_in_original_units() -> None:
    task = TASKS["mse"]
    targets = np.random.default_rng(1).normal(50, 9, (200, 1))
    targets[::7] = np.nan
    info = with_baselines(problem_of(task, targets))
    train, test = targets[:100][np.isfinite(targets[:100])], targets[150:][np.isfinite(targets[150:])]
    found = info.baselines["test"]["t"]
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(test, np.full_like(test, train.mean())), rel=1e-9)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(test, np.full_like(test, train.mean())), rel=1e-9)
    assert found["loss"] == pytest.approx(np.mean((test - train.mean()) ** 2) / train.var(), rel=1e-9)
    assert info.baselines["train"]["t"]["r2"] == pytest.approx(0.0, abs=1e-9)


def test_the_baseline_of_a_classifier_is_the_majority_class() -> None:
    task = TASKS["ce"]
    targets = np.random.default_rng(2).choice([0, 1, 2, 3], p=[0.2, 0.5, 0.2, 0.1], size=(400, 1)).astype(float)
    info = with_baselines(problem_of(task, targets))
    shares = np.bincount(targets[:200, 0].astype(int), minlength=4) / 200
    test = targets[300:, 0].astype(int)
    found = info.baselines["test"]["t"]
    assert found["accuracy"] == pytest.approx((test == shares.argmax()).mean())
    assert found["loss"] == pytest.approx(-np.log(shares[test]).mean(), rel=1e-9)


def test_the_baseline_of_a_rare_class_has_no_skill() -> None:
    targets = (np.random.default_rng(3).random((400, 1)) < 0.1).astype(float)
    found = with_baselines(problem_of(TASKS["bce"], targets)).baselines["test"]["t"]
    assert found["auroc"] == pytest.approx(0.5)
    assert found["average_precision"] == pytest.approx(targets[300:].mean())
    assert found["f1"] == 0.0
    assert found["positive_rate"] == 0.0


def test_a_task_without_labels_in_a_split_has_no_baseline_there() -> None:
    targets = np.random.default_rng(4).normal(size=(80, 1))
    targets[60:] = np.nan
    found = with_baselines(problem_of(TASKS["mse"], targets)).baselines["test"].get("t", {})
    assert all(value is None for value in found.values())


@pytest.mark.parametrize(("offset", "unit"), [(1.7e9, 10.0), (-1e6, 1e-3), (0.0, 1e20), (0.0, 1e-150)])
def test_errors_survive_any_offset_and_unit_in_float32(offset: float, unit: float) -> None:
    """A time stamp, or a mass of stars: float32 cannot hold the values themselves, their errors it can."""
    rng = np.random.default_rng(0)
    features, noise = rng.normal(size=(200, 1)), rng.normal(size=200)
    values = offset + unit * (features[:, 0] + noise)
    task = TaskSpec(name="y", kind="regression")
    split = np.repeat([0, 1, 2], [100, 50, 50]).astype(np.int8)
    problem = Problem("far", features, {"y": values[:, None]}, (task,), split, ("x",))
    found = with_baselines(problem).baselines["test"]["y"]
    test = values[150:]
    assert found["mae"] == pytest.approx(np.abs(test - values[:100].mean()).mean(), rel=1e-6)
    data = to_tensors(problem, torch.float32, torch.device("cpu"))
    rows = data.splits[2]
    zero = metrics(task, torch.zeros(1, 50, 1), rows.targets, rows.valid, data.scales[0])
    assert zero["mae"].item() == pytest.approx(found["mae"], rel=1e-5)
    assert zero["rmse"].item() > 0
    assert zero["r2"].item() == pytest.approx(found["r2"], abs=1e-5)
