"""The laws that every scheme keeps, under every wrapper. They say nothing of the arithmetic; the twins do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases import LR, SETTINGS, TASKS, WRAPPERS, Case, cases, leaves, one, play, sequence, setup, stacked, wrapped
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mtl_core.schemes import Setup, Signals
from mtl_core.schemes.build import build_lanes, structure
from mtl_core.specs import ArmSpec

every_case = pytest.mark.parametrize("case", [*cases(("bare",)), *wrapped()], ids=repr)
AVAILABILITY = (".average", ".factor")  # a gate watches the labels of absent tasks too: that is what it is for


def _same(a: list[Tensor], b: list[Tensor]) -> None:
    torch.testing.assert_close(torch.stack(a), torch.stack(b), rtol=1e-12, atol=1e-14)


def _pick(signals: Signals, tasks: list[int]) -> Signals:
    return Signals(*(part[..., tasks] for part in signals))


def _with_foreign_middle(ours: Signals, theirs: Signals) -> Signals:
    """Lane 1 of three replaced by another run's, with losses a thousand times as large."""
    theirs = theirs._replace(losses=theirs.losses * 1000)
    return Signals(*(torch.cat([a[:1], b[1:2], a[2:]]) for a, b in zip(ours, theirs, strict=True)))


def _settings_for(arm: ArmSpec, names: set[str]) -> ArmSpec:
    """The same arm on fewer tasks."""
    kept = {k: {t: x for t, x in v.items() if t in names} if isinstance(v, dict) else v for k, v in arm.settings.items()}
    return ArmSpec(scheme=arm.scheme, settings=kept, gate=arm.gate, smooth=arm.smooth, every=arm.every)


@every_case
def test_weights_are_finite_and_carry_no_gradient(case: Case) -> None:
    steps = sequence(1, lanes=(3,))
    weights, state = play(stacked([case.arm] * 3), setup((3,)), steps)
    for weight, signals in zip(weights, steps, strict=True):
        assert weight.shape == signals.losses.shape
        assert weight.dtype == signals.losses.dtype
        assert torch.isfinite(weight).all()
        assert not weight.requires_grad
    assert not any(part.requires_grad for _, part in leaves(state))


@every_case
def test_update_is_pure(case: Case) -> None:
    scheme, known = one(case.arm), setup()
    state = scheme.init(known)
    for signals in sequence(2):
        before = [(name, part.clone()) for name, part in leaves(state)]
        copy = Signals(*(part.clone() for part in signals))
        first, moved = scheme.update(state, signals)
        first, moved_before = first.clone(), [part.clone() for _, part in leaves(moved)]
        second, moved_again = scheme.update(state, signals)
        assert torch.equal(first, second)
        assert all(torch.equal(a, b) for a, b in zip(signals, copy, strict=True))
        for (name, old), (_, now) in zip(before, leaves(state), strict=True):
            assert torch.equal(old, now) or (old.isnan() & now.isnan()).any(), f"update changed state{name} in place"
        for old, (name, now) in zip(moved_before, leaves(moved_again), strict=True):
            assert torch.equal(old.nan_to_num(), now.nan_to_num()), f"state{name} depends on something hidden"
        state = moved


@every_case
def test_state_keeps_its_shapes_and_dtypes(case: Case) -> None:
    scheme = stacked([case.arm] * 3)
    state = scheme.init(setup((3,)))
    form = [(name, part.shape, part.dtype) for name, part in leaves(state)]
    for signals in sequence(3, lanes=(3,)):
        _, state = scheme.update(state, signals)
        assert [(name, part.shape, part.dtype) for name, part in leaves(state)] == form


@every_case
def test_lanes_lead_every_state_tensor_so_that_a_lane_can_be_taken_out(case: Case) -> None:
    scheme = stacked([case.arm] * 3)
    steps = sequence(4, lanes=(3,))
    whole, _ = play(scheme, setup((3,)), steps)
    state = scheme.init(setup((3,)))
    for _, part in leaves(state):
        assert part.shape[:1] == (3,), "every tensor of a state leads with the lanes"
    assert len(whole) == len(steps)


@every_case
def test_lanes_do_not_see_each_other(case: Case) -> None:
    scheme, known = stacked([case.arm] * 3), setup((3,))
    steps = sequence(5, lanes=(3,))
    foreign = sequence(99, lanes=(3,))
    mixed = [_with_foreign_middle(s, f) for s, f in zip(steps, foreign, strict=True)]
    for plain, disturbed in zip(play(scheme, known, steps)[0], play(scheme, known, mixed)[0], strict=True):
        assert torch.equal(plain[[0, 2]], disturbed[[0, 2]])


@every_case
def test_a_lane_that_breaks_down_leaves_the_others_alone(case: Case) -> None:
    scheme, known = stacked([case.arm] * 3), setup((3,))
    steps = sequence(6, lanes=(3,))
    broken = []
    for number, signals in enumerate(steps):
        losses = signals.losses.clone()
        if number >= 3:
            losses[1] = float("nan")
        broken.append(signals._replace(losses=losses))
    for plain, disturbed in zip(play(scheme, known, steps)[0], play(scheme, known, broken)[0], strict=True):
        assert torch.equal(plain[[0, 2]], disturbed[[0, 2]])


@every_case
def test_no_lane_dimension_is_needed(case: Case) -> None:
    steps = sequence(7)
    alone, _ = play(one(case.arm), setup(), steps)
    laned, _ = play(stacked([case.arm]), setup((1,)), [Signals(*(part[None] for part in s)) for s in steps])
    _same(alone, [weight[0] for weight in laned])


@every_case
def test_absent_tasks_get_weight_zero_whatever_their_loss_says(case: Case) -> None:
    steps = sequence(8)
    garbage = [s._replace(losses=torch.where(s.available, s.losses, 1e30)) for s in steps]
    clean, _ = play(one(case.arm), setup(), steps)
    dirty, _ = play(one(case.arm), setup(), garbage)
    _same(clean, dirty)
    for weight, signals in zip(clean, steps, strict=True):
        assert (weight[~signals.available] == 0).all()


@every_case
def test_absent_tasks_leave_no_trace_in_the_state(case: Case) -> None:
    scheme, known = one(case.arm), setup()
    _, state = play(scheme, known, sequence(9, steps=5))
    losses = torch.tensor([0.5, 7.0, 0.0, 2.0], dtype=torch.float64)
    here = torch.tensor([True, True, False, True])
    _, after = scheme.update(state, Signals(losses, here, here.double()))
    for (name, old), (_, now) in zip(leaves(state), leaves(after), strict=True):
        if old.shape[-1:] == (len(TASKS),) and not name.endswith(AVAILABILITY):
            assert torch.equal(old[2].nan_to_num(), now[2].nan_to_num()), f"state{name} remembers the absent task"


@pytest.mark.parametrize("case", cases(("bare", "smooth", "hard_dataset")), ids=repr)
def test_a_pause_without_a_task_changes_nothing_for_it_when_it_returns(case: Case) -> None:
    if case.arm.scheme == "dwa":
        pytest.skip("DWA counts epochs, and a pause is one")
    scheme, known = one(case.arm), setup()
    before, after = sequence(10, steps=4), sequence(11, steps=4)
    nothing = Signals(torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.bool), torch.zeros(4, dtype=torch.float64))
    through, _ = play(scheme, known, [*before, *after])
    paused, _ = play(scheme, known, [*before, *[nothing] * 5, *after])
    _same(through, paused[:4] + paused[-4:])


@every_case
def test_an_always_absent_task_might_as_well_not_exist(case: Case) -> None:
    kept = [0, 1, 3]
    tasks = tuple(TASKS[i] for i in kept)
    steps = sequence(12)
    for signals in steps:
        signals.losses[2], signals.available[2], signals.labelled[2] = 0.0, False, 0.0
    four, _ = play(one(case.arm), setup(), steps)
    known = setup(tasks=tasks, shares=[1.0, 0.9, 0.5])
    three, _ = play(one(_settings_for(case.arm, {t.name for t in tasks}), tasks), known, [_pick(s, kept) for s in steps])
    _same([weight[kept] for weight in four], three)


@every_case
def test_a_step_without_tasks_gets_zeros(case: Case) -> None:
    steps = sequence(13)
    assert not steps[4].available.any()
    weights, _ = play(one(case.arm), setup(), steps)
    assert (weights[4] == 0).all()
    assert (weights[5][steps[5].available] != 0).any() or case.arm.gate is not None


@every_case
def test_a_first_step_without_tasks_does_no_harm(case: Case) -> None:
    nothing = Signals(torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.bool), torch.zeros(4, dtype=torch.float64))
    weights, _ = play(one(case.arm), setup(), [nothing, nothing, *sequence(14)])
    assert (weights[0] == 0).all()
    assert all(torch.isfinite(weight).all() for weight in weights)


@every_case
def test_the_order_of_tasks_does_not_matter(case: Case) -> None:
    order = [2, 0, 3, 1]
    steps = sequence(15)
    plain, _ = play(one(case.arm), setup(), steps)
    tasks = tuple(TASKS[i] for i in order)
    known = setup(tasks=tasks)._replace(labelled=setup().labelled[order])
    turned, _ = play(one(case.arm, tasks), known, [_pick(s, order) for s in steps])
    _same([weight[order] for weight in plain], turned)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("scheme", SETTINGS)
def test_stacked_settings_act_lane_by_lane(scheme: str, wrapper: str) -> None:
    variants = [case.arm for case in cases((wrapper,)) if case.arm.scheme == scheme]
    for form in {structure(arm) for arm in variants}:
        _stack_and_compare([arm for arm in variants if structure(arm) == form] * 2)


def _stack_and_compare(arms: list[ArmSpec]) -> None:
    steps = sequence(16, lanes=(len(arms),))
    known = setup((len(arms),))
    lr = known.lr * torch.arange(1, len(arms) + 1, dtype=torch.float64)[:, None]
    together, _ = play(stacked(arms), known._replace(lr=lr), steps)
    for lane, arm in enumerate(arms):
        own = setup()._replace(lr=lr[lane])
        alone, _ = play(one(arm), own, [Signals(*(part[lane] for part in s)) for s in steps])
        _same([weight[lane] for weight in together], alone)


WRAPPED = {
    "smooth": [{"smooth": a} for a in (0.1, 0.9, 1.0)],
    "every": [{"every": k} for k in (1, 2, 5)],
    "gate": [
        {"gate": {"mode": "hard", "threshold": 0.6, "scope": "window", "window": 2}},
        {"gate": {"mode": "hard", "threshold": 0.1, "scope": "window", "window": 9}},
    ],
    "soft gate": [
        {"gate": {"mode": "soft", "threshold": 0.6, "scope": "batch", "sharpness": 2.0}},
        {"gate": {"mode": "soft", "threshold": 0.1, "scope": "batch", "sharpness": 40.0}},
    ],
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_settings_of_wrappers_act_lane_by_lane(kind: str) -> None:
    arms = [ArmSpec(scheme="softplus", **wrapper) for wrapper in WRAPPED[kind]]
    steps = sequence(17, lanes=(len(arms),))
    together, _ = play(stacked(arms), setup((len(arms),)), steps)
    for lane, arm in enumerate(arms):
        alone, _ = play(one(arm), setup(), [Signals(*(part[lane] for part in s)) for s in steps])
        _same([weight[lane] for weight in together], alone)


@pytest.mark.parametrize("case", cases(("bare",)), ids=repr)
def test_the_weight_is_the_derivative_of_the_objective(case: Case) -> None:
    """What is plotted as a weight is the factor with which a task's gradient enters the step."""
    scheme = one(case.arm)
    _, state = play(scheme, setup(), sequence(18, steps=5))
    losses = torch.tensor([5.0, 3.0, 9.0, 40.0], dtype=torch.float64)
    here = torch.tensor([True, True, True, False])
    signals = Signals(torch.where(here, losses, 0.0), here, here.double())
    weights, _ = scheme.update(state, signals)
    for task in range(4):
        nudge = torch.zeros(4, dtype=torch.float64)
        nudge[task] = 1e-4 if here[task] else 0.0
        up = scheme.objective(state, signals._replace(losses=signals.losses + nudge))
        down = scheme.objective(state, signals._replace(losses=signals.losses - nudge))
        slope = float(up - down) / 2e-4
        assert slope == pytest.approx(float(weights[task]), rel=1e-5, abs=1e-9)


@every_case
def test_the_objective_is_one_finite_number_a_lane(case: Case) -> None:
    scheme = stacked([case.arm] * 3)
    state = scheme.init(setup((3,)))
    for signals in sequence(19, lanes=(3,)):
        objective = scheme.objective(state, signals)
        assert objective.shape == (3,)
        assert torch.isfinite(objective).all()
        assert not objective.requires_grad
        _, state = scheme.update(state, signals)


@every_case
def test_reports_are_per_task_and_lane(case: Case) -> None:
    scheme = stacked([case.arm] * 3)
    _, state = play(scheme, setup((3,)), sequence(20, lanes=(3,)))
    report = scheme.report(state)
    assert set(report) <= {"sigma", "gate"}
    for quantity in report.values():
        assert quantity.shape == (3, len(TASKS))
        assert torch.isfinite(quantity).all()
    assert ("sigma" in report) == (case.arm.scheme in ("uncertainty", "softplus"))
    assert ("gate" in report) == (case.arm.gate is not None)


@every_case
def test_single_precision_stays_single_precision(case: Case) -> None:
    known = setup((2,))
    known = known._replace(lr=known.lr.float(), labelled=known.labelled.float())
    steps = [Signals(s.losses.float(), s.available, s.labelled.float()) for s in sequence(21, lanes=(2,))]
    weights, state = play(build_lanes([case.arm] * 2, TASKS, dtype=torch.float32), known, steps)
    assert {weight.dtype for weight in weights} == {torch.float32}
    assert not [name for name, part in leaves(state) if part.dtype == torch.float64]
    double, _ = play(stacked([case.arm] * 2), setup((2,)), sequence(21, lanes=(2,)))
    torch.testing.assert_close(torch.stack(weights).double(), torch.stack(double), rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("scheme", ["equal", "fixed", "dwa", "gls"])
@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e3, 1e8])
def test_scaling_every_loss_leaves_these_weights_alone(scheme: str, scale: float) -> None:
    for settings in SETTINGS[scheme]:
        arm = ArmSpec(scheme=scheme, settings=settings)
        steps = sequence(22)
        plain, _ = play(one(arm), setup(), steps)
        scaled, _ = play(one(arm), setup(), [s._replace(losses=s.losses * scale) for s in steps])
        torch.testing.assert_close(torch.stack(plain), torch.stack(scaled), rtol=1e-9, atol=0)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e3, 1e8])
def test_scaling_one_loss_is_undone_by_the_log_family(scale: float) -> None:
    factor = torch.tensor([1.0, scale, 1.0, 1.0], dtype=torch.float64)
    for scheme, overall in (("scale_invariant", 1.0), ("gls", scale ** (1 / 4))):
        steps = [s._replace(available=torch.ones(4, dtype=torch.bool), losses=s.losses + 0.1) for s in sequence(23)]
        plain, _ = play(one(ArmSpec(scheme=scheme)), setup(), steps)
        scaled, _ = play(one(ArmSpec(scheme=scheme)), setup(), [s._replace(losses=s.losses * factor) for s in steps])
        _same([weight * overall for weight in plain], [weight * factor for weight in scaled])


# --- drawn by hypothesis ------------------------------------------------------------------------------------------

positive = st.floats(1e-6, 1e6)
step = st.tuples(st.lists(positive, min_size=4, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
drawn_case = st.sampled_from(cases(("bare", "hard_batch", "soft_window", "all")))


def _signals(drawn: list[Any]) -> list[Signals]:
    steps = []
    for losses, here in drawn:
        present = torch.tensor(here)
        values = torch.tensor(losses, dtype=torch.float64)
        steps.append(Signals(torch.where(present, values, 0.0), present, present.double()))
    return steps


@given(drawn_case, st.lists(step, min_size=1, max_size=8))
def test_weights_of_any_positive_losses_are_finite_and_not_negative(case: Case, drawn: list[Any]) -> None:
    steps = _signals(drawn)
    weights, _ = play(one(case.arm), setup(), steps)
    for weight, signals in zip(weights, steps, strict=True):
        assert torch.isfinite(weight).all()
        assert (weight >= 0).all()
        assert (weight[~signals.available] == 0).all()


@given(drawn_case, st.lists(step, min_size=1, max_size=8), st.permutations(range(4)))
def test_the_order_of_tasks_never_matters(case: Case, drawn: list[Any], order: list[int]) -> None:
    steps, tasks = _signals(drawn), tuple(TASKS[i] for i in order)
    plain, _ = play(one(case.arm), setup(), steps)
    known: Setup = setup(tasks=tasks)._replace(labelled=setup().labelled[order])
    turned, _ = play(one(case.arm, tasks), known, [_pick(s, order) for s in steps])
    torch.testing.assert_close(torch.stack(plain)[:, order], torch.stack(turned), rtol=1e-9, atol=1e-12)


@given(drawn_case, st.lists(step, min_size=1, max_size=6), st.lists(step, min_size=6, max_size=6))
def test_a_run_is_the_same_alone_and_beside_any_other(case: Case, drawn: list[Any], other: list[Any]) -> None:
    steps, neighbour = _signals(drawn), _signals(other)
    alone, _ = play(one(case.arm), setup(), steps)
    pairs = [Signals(*(torch.stack(both) for both in zip(a, b, strict=True))) for a, b in zip(steps, neighbour, strict=False)]
    beside, _ = play(stacked([case.arm] * 2), setup((2,)), pairs)
    _same(alone, [weight[0] for weight in beside])


def test_the_learning_rate_here_is_high_enough_to_reach_a_clamp() -> None:
    arm = ArmSpec(scheme="uncertainty", settings={"clamp": [-0.5, 0.5]})
    _, state = play(one(arm), setup(), sequence(24))
    assert LR > 0.1
    assert any((part.abs() == 0.5).any() for _, part in leaves(state) if part.is_floating_point())
