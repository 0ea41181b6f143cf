"""The lanes' own reverse pass: every task's gradient is what autograd says of the plain model, whichever parameters are asked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_core.lanes import gradients, mlp
from mtl_core.lanes.gradients import Section, take
from mtl_core.lanes.models import Model, Shape, init_parameters
from mtl_core.lanes.plain import to_module

SHAPE = Shape(5, (7, 6), (1, 3, 2, 1))
LANES, ROWS = 5, 11


def _case(shape: Shape = SHAPE) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters of all lanes, features, and slopes at the outputs; task 1 of lane 2 is absent."""
    generator = torch.Generator().manual_seed(3)
    flat = init_parameters(shape, range(LANES), torch.float64)
    features = torch.randn(LANES, ROWS, shape.features, generator=generator, dtype=torch.float64)
    slopes = torch.randn(LANES, ROWS, sum(shape.heads), generator=generator, dtype=torch.float64)
    slopes[2, :, shape.heads[0] : shape.heads[0] + shape.heads[1]] = 0
    return flat, features, slopes


def _taken(shape: Shape, sections: list[Section]) -> gradients.TakenGradients:
    flat, features, slopes = _case(shape)
    model = Model(shape, flat, torch.zeros_like(flat))
    return take(model, model.forward(features, learn=True), slopes, sections)


def _by_autograd(lane: int, shape: Shape, kind: str) -> Tensor:
    """`[tasks, numbers]`: the gradient of `sum(slopes * outputs)` of each task."""
    flat, features, slopes = _case(shape)
    model = to_module(flat, lane, shape)
    hidden = model.trunk(features[lane])
    asked: list[Any] = {
        "shared": list(model.trunk.parameters()),
        "last_layer": list(model.trunk[-2].parameters()),  # type: ignore[arg-type]
        "representation": [hidden],
    }[kind]
    rows = []
    for head, slope in zip(model.heads, slopes[lane].split(shape.heads, -1), strict=True):
        found = torch.autograd.grad((head(hidden) * slope).sum(), asked, retain_graph=True)
        rows.append(torch.cat([part.reshape(-1) for part in found]))
    return torch.stack(rows)


@pytest.mark.parametrize("shape", [SHAPE, Shape(4, (6,), (2, 1)), Shape(3, (4, 5, 6), (1, 1, 1))], ids=["two", "one", "three"])
def test_the_jacobian_is_autograds(shape: Shape) -> None:
    taken = _taken(shape, [Section(1, LANES, "shared")])
    assert taken.jacobian is not None
    for lane in range(1, LANES):
        expected = _by_autograd(lane, shape, "shared")
        torch.testing.assert_close(taken.jacobian.of(slice(lane, lane + 1))[0], expected, rtol=1e-11, atol=1e-13)
    assert (taken.gramian[0] == 0).all(), "a lane that asks for nothing gets nothing"


@pytest.mark.parametrize("kind", ["shared", "last_layer", "representation"])
@pytest.mark.parametrize("numbers", [1, 1 << 30])
def test_the_gramian_is_autograds_however_many_lanes_go_at_once(kind: Any, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "IN_CACHE", numbers)
    taken = _taken(SHAPE, [Section(0, LANES, kind)])
    for lane in range(LANES):
        jacobian = _by_autograd(lane, SHAPE, kind)
        torch.testing.assert_close(taken.gramian[lane], jacobian @ jacobian.mT, rtol=1e-11, atol=1e-13)
    assert (taken.gramian[2, 1] == 0).all(), "an absent task has no gradient"


def test_sections_of_different_kinds_lie_side_by_side() -> None:
    mixed = _taken(SHAPE, [Section(1, 2, "last_layer"), Section(2, 3, "representation"), Section(3, LANES, "shared")])
    for lane, kind in [(1, "last_layer"), (2, "representation"), (3, "shared"), (4, "shared")]:
        jacobian = _by_autograd(lane, SHAPE, kind)
        torch.testing.assert_close(mixed.gramian[lane], jacobian @ jacobian.mT, rtol=1e-11, atol=1e-13)
    assert mixed.jacobian is not None
    assert mixed.jacobian.first == 3
