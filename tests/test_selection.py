"""The fixed criterion cannot be given a learned quantity, and patience is counted as a person would."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_core.records import RunResult
from mtl_core.selection import Criterion, Watch, fixed_weights, regret
from mtl_core.specs import SelectionSpec, TaskSpec

TASKS = tuple(TaskSpec(name=name, kind="regression", prior=prior) for name, prior in (("a", 0.0), ("b", 1.0), ("c", -1.0)))
ALL = np.ones(3, dtype=bool)


def spec(**values: Any) -> SelectionSpec:
    return SelectionSpec.model_validate(values)


def criterion(weights: Any = (1.0, 1.0, 1.0), scale: Any = (1.0, 1.0, 1.0)) -> Criterion:
    shares = np.array([weights], dtype=float) / np.sum(weights)
    return Criterion(shares, np.array([scale], dtype=float))


def test_a_criterion_is_made_of_fixed_numbers_and_given_losses_only() -> None:
    assert {field.name for field in dataclasses.fields(Criterion)} == {"weights", "scale"}
    assert list(inspect.signature(Criterion.__call__).parameters) == ["self", "losses", "labelled"]
    assert set(inspect.signature(fixed_weights).parameters) == {"spec", "tasks", "domain"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        criterion().weights = np.zeros((1, 3))  # type: ignore[misc]


def test_no_selection_can_name_a_learned_quantity() -> None:
    for text in ("learned", "effective", "sigma"):
        with pytest.raises(ValueError, match="weights"):
            spec(weights=text)


def test_the_criterion_is_the_weighted_mean_of_raw_losses() -> None:
    losses = np.array([[1.0, 2.0, 6.0]])
    assert criterion()(losses, ALL) == pytest.approx([3.0])
    assert criterion((1, 0, 3))(losses, ALL) == pytest.approx([4.75])
    assert criterion(scale=(1.0, 2.0, 3.0))(losses, ALL) == pytest.approx([4 / 3])


def test_weights_are_renormalised_over_tasks_with_labels() -> None:
    losses = np.array([[1.0, np.nan, 6.0]])
    labelled = np.array([True, False, True])
    assert criterion((1, 5, 3))(losses, labelled) == pytest.approx([(1 + 18) / 4])
    assert criterion((1, 5, 3)).counted(labelled).tolist() == [[0.25, 0.0, 0.75]]


def test_a_task_of_weight_zero_cannot_spoil_the_criterion() -> None:
    assert criterion((1, 0, 1))(np.array([[1.0, np.nan, 3.0]]), ALL) == pytest.approx([2.0])
    assert criterion((1, 0, 1))(np.array([[1.0, np.inf, 3.0]]), ALL) == pytest.approx([2.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_never_the_best(bad: float) -> None:
    value = criterion()(np.array([[0.0, bad, 0.0]]), ALL)
    watch = Watch.start(1, 3)
    better, _ = watch.see(1, np.array([0]), value, np.array([np.nan]), np.array([[0.0, bad, 0.0]]), np.zeros(1))
    assert not better[0]
    assert watch.best_epoch[0] == 0


def test_without_labels_of_a_weighted_task_there_is_no_criterion() -> None:
    assert np.isnan(criterion((0, 1, 0))(np.array([[1.0, np.nan, 1.0]]), np.array([True, False, True]))).all()


def test_lanes_have_criteria_of_their_own() -> None:
    both = Criterion(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 2.0]]))
    losses = np.array([[1.0, 2.0, 6.0], [1.0, 2.0, 6.0]])
    assert both(losses, ALL).tolist() == [1.0, 3.0]
    assert both.of(np.array([1]))(losses[1:], ALL).tolist() == [3.0]


@pytest.mark.parametrize(
    ("weights", "domain", "expected"),
    [
        ("uniform", {"a": 9.0}, [1, 1, 1]),
        ("domain", {"a": 1.0, "c": 3.0}, [1, 0, 3]),
        ("domain", {}, [1, 1, 1]),
        ("priors", {}, [1.0, math.exp(-1), math.exp(1)]),
        ({"c": 2.0}, {"a": 1.0}, [0, 0, 2]),
    ],
)
def test_fixed_weights_are_what_was_asked_for_and_sum_to_one(
    weights: Any, domain: dict[str, float], expected: list[float]
) -> None:
    found = fixed_weights(spec(weights=weights), TASKS, domain)
    np.testing.assert_allclose(found, np.array(expected) / np.sum(expected), rtol=1e-12)


def walk(values: list[list[float]], rule: SelectionSpec, labelled: Any = ALL) -> int:
    """The epoch after which a lane with these task losses (criterion: their mean) stops; 0 for never."""
    watch, delta = Watch.start(1, 3), rule.stop.min_delta if rule.stop else 0.0
    for epoch, row in enumerate(values, start=1):
        losses = np.array([row])
        watch.see(epoch, np.array([0]), np.nanmean(losses, axis=1), np.array([0.0]), losses, np.array([delta]))
        if watch.stops(0, rule.stop, labelled):
            return epoch
    return 0


FALLING_THEN_RISING = [[3, 5, 1], [2, 4, 2], [1, 3, 3], [2, 2.5, 4], [3, 2.4, 5], [4, 2.3, 6], [5, 2.2, 7]]
# criterion: 3, 2.67, 2.33, 2.83, 3.47, ...; a turns after epoch 3, b never, c after epoch 1


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ({"patience": 2}, 5),
        ({"patience": 4}, 7),
        ({"patience": 5}, 0),
        ({"on": "any", "patience": 2}, 3),
        ({"on": "all", "patience": 2}, 0),
        ({"patience": 1, "min_delta": 0.5}, 2),
    ],
)
def test_patience_is_counted_in_epochs_without_progress(stop: dict[str, Any], expected: int) -> None:
    assert walk(FALLING_THEN_RISING, spec(stop=stop)) == expected


def test_a_primary_task_stops_by_what_selects() -> None:
    rule, watch, ends = spec(stop={"on": "primary", "task": "a", "patience": 1}), Watch.start(1, 3), []
    for epoch, row in enumerate(FALLING_THEN_RISING, start=1):
        losses = np.array([row])
        watch.see(epoch, np.array([0]), losses[:, 0], np.array([0.0]), losses, np.zeros(1))
        ends += [epoch] if watch.stops(0, rule.stop, ALL) else []
    assert ends[0] == 4


def test_tasks_without_labels_have_no_say_in_stopping() -> None:
    rows = [[1.0, np.nan, 5.0 - epoch] for epoch in range(5)]
    assert walk(rows, spec(stop={"on": "any", "patience": 2}), np.array([False, False, True])) == 0
    assert walk(rows, spec(stop={"on": "all", "patience": 2}), np.array([True, False, False])) == 3


def test_without_a_rule_nothing_stops() -> None:
    assert walk([[1.0, 1.0, 1.0]] * 50, spec()) == 0


def test_small_steps_that_add_up_count_as_progress() -> None:
    """min_delta is measured from the last mark, so that a slow steady fall is not mistaken for a standstill."""
    rows = [[value] * 3 for value in np.arange(1.0, 0.0, -0.04)]
    assert walk(rows, spec(stop={"patience": 3, "min_delta": 0.1})) == 0
    assert walk(rows, spec(stop={"patience": 2, "min_delta": 0.1})) == 3


@given(st.lists(st.one_of(st.floats(-5, 5), st.just(math.nan)), min_size=1, max_size=20))
def test_the_best_epoch_is_the_first_lowest_finite_value(values: list[float]) -> None:
    watch = Watch.start(1, 1)
    for epoch, value in enumerate(values, start=1):
        watch.see(epoch, np.array([0]), np.array([value]), np.array([-value]), np.array([[value]]), np.zeros(1))
    if all(math.isnan(value) for value in values):
        assert watch.best_epoch[0] == watch.learned_epoch[0] == watch.task_epoch[0, 0] == 0
    else:
        assert watch.best_epoch[0] == int(np.nanargmin(values)) + 1
        assert watch.learned_epoch[0] == int(np.nanargmax(values)) + 1
        assert watch.task_epoch[0, 0] == int(np.nanargmin(values)) + 1


def test_watching_some_lanes_leaves_the_others_as_they_were() -> None:
    watch = Watch.start(3, 1)
    watch.see(1, np.arange(3), np.array([3.0, 2.0, 1.0]), np.zeros(3), np.ones((3, 1)), np.zeros(3))
    watch.see(2, np.array([0, 2]), np.array([1.0, 5.0]), np.zeros(2), np.ones((2, 1)), np.zeros(2))
    assert watch.best.tolist() == [1.0, 2.0, 1.0]
    assert watch.best_epoch.tolist() == [2, 1, 1]
    assert watch.waited[:, 0].tolist() == [0, 0, 1]


def test_regret_is_the_difference_and_its_share_of_what_was_selected() -> None:
    found = regret(TASKS, np.array([2.0, 1.0, np.nan]), np.array([1.0, 4.0, np.nan]))
    assert found["a"] == pytest.approx((1.0, 1.0))
    assert found["b"] == pytest.approx((-3.0, -0.75))
    assert "c" not in found


def test_the_share_of_a_selected_loss_of_zero_does_not_exist_and_results_keep_it_so() -> None:
    found = regret(TASKS, np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 3.0]))
    assert found["a"] == (1.0, None)
    kept = RunResult("done", task_regret=found)
    assert RunResult.from_json(kept.to_json()).task_regret == found
