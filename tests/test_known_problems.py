"""The published toy problems, in a form short enough for every day; the long form is in benchmarks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks import gradnorm_toy
from benchmarks.landscape import Arm, arms, descend, refusal
from mtl_core.landscape import STARTS, landscape, loss, near_front, slope
from mtl_core.specs import ArmSpec


def as_published(points: Tensor) -> Tensor:
    """The losses word for word, for autograd."""
    x1, x2 = points.unbind(-1)
    f1 = (0.5 * (-x1 - 7) - torch.tanh(-x2)).abs().clamp(min=5e-6).log() + 6
    f2 = (0.5 * (-x1 + 3) + torch.tanh(-x2) + 2).abs().clamp(min=5e-6).log() + 6
    c1, c2 = torch.tanh(0.5 * x2).clamp(min=0), torch.tanh(-0.5 * x2).clamp(min=0)
    h1 = ((-x1 + 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    h2 = ((-x1 - 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    return torch.stack([0.1 * (f1 * c1 + h1 * c2), f2 * c1 + h2 * c2], -1)


def test_losses_and_gradients_of_the_landscape_are_the_published_ones() -> None:
    drawn = 6 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = torch.cat([drawn, torch.tensor(STARTS, dtype=torch.float64)]).requires_grad_()
    expected = as_published(points)
    slopes = [torch.autograd.grad(expected[:, task].sum(), points, retain_graph=True)[0] for task in (0, 1)]
    losses, jacobian = landscape(points.detach())
    torch.testing.assert_close(losses, expected.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(jacobian, torch.stack(slopes, 1), rtol=1e-12, atol=1e-12)
    for task in (0, 1):
        torch.testing.assert_close(loss(task, points.detach()), losses[:, task], rtol=0, atol=0)
        torch.testing.assert_close(slope(task, points.detach()), jacobian[:, task], rtol=0, atol=0)


def test_every_arm_of_the_landscape_moves_and_stays_finite() -> None:
    chosen = arms()
    found = descend(chosen, steps=20)
    assert found.points.isfinite().all()
    moved = (found.points - torch.tensor(STARTS)).abs().amax(-1)
    assert ((moved > 0).sum(-1) == len(STARTS)).all(), [arm.label for arm in chosen]


def test_on_the_landscape_the_learning_rate_alone_leads_equal_weights_from_every_start_to_the_minimum() -> None:
    fast = [Arm(f"{lr}", ArmSpec(scheme="equal"), lr=lr) for lr in (0.3, 1.0)]
    found = descend(fast, steps=900)
    assert near_front(found.points).all()
    assert (found.points[..., 0] + 63 / 11).abs().max() < 0.05  # where 0.1 (x1 - 7) + (x1 + 7) = 0


def test_schemes_that_need_positive_losses_are_refused_on_the_landscape_with_the_reason() -> None:
    losses, _ = landscape(torch.tensor(STARTS[-1], dtype=torch.float64))
    assert refusal("uncertainty", losses.tolist()) == 'uncertainty needs positive losses; task "L1" is -0.883'
    assert refusal("equal", losses.tolist()) is None


def test_the_toy_problem_of_gradnorm_starts_at_its_number_of_tasks_and_falls() -> None:
    sigmas = (1.0, 100.0)
    given = gradnorm_toy.problem(sigmas, 0, rows=(1_000, 200))
    spread = [float(given.targets[name].std()) for name in ("task_1", "task_2")]
    np.testing.assert_allclose(spread, sigmas, rtol=0.05)  # tanh is saturated nearly everywhere
    found = gradnorm_toy.train(given, sigmas, 0, steps=60, schemes=("equal", "static 1/sigma^2"))
    assert list(found["step"].unique()) == [10, 20, 30, 40, 50, 60]
    figures = gradnorm_toy.figures(found, 60).loc["mean"]
    assert (figures < 2.05).all()
    assert figures["static 1/sigma^2"] < figures["equal"]
