"""Phases in words: which epochs, what is different, and what counts in the last one only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comparisons import EIGHT, comparison, spec

from mtl_core.analysis import curves, phases_sentence, report, spans, verdict
from mtl_core.records import Channel
from mtl_core.specs import TrainingSpec

HEADS_FIRST: list[dict[str, Any]] = [
    {"epochs": 4, "name": "heads", "frozen": ["trunk"], "tasks": ["layer_1"]},
    {"epochs": 9, "name": "all", "reset": ["optimizer", "weights"]},
]


def training(*phases: dict[str, Any]) -> TrainingSpec:
    return TrainingSpec.model_validate({"phases": list(phases)})


def test_the_sentence_tells_epochs_differences_and_what_counts_last() -> None:
    assert phases_sentence(training(*HEADS_FIRST)) == (
        "Phases: heads (epochs 1-4: trunk frozen, only layer_1), all (epochs 5-13: the optimizer and the weights start anew). "
        "The fixed criterion selects over all epochs; early stopping and the epoch of the learned objective count in the last "
        "phase, all, only."
    )


def test_spans_follow_each_other_without_gap_and_end_with_the_training() -> None:
    found = spans(training({"epochs": 3}, {"epochs": 1}, {"epochs": 5}))
    assert [(one.name, one.first, one.last) for one in found] == [("phase 1", 1, 3), ("phase 2", 4, 4), ("phase 3", 5, 9)]
    assert found[1].sentence == "phase 2 (epoch 4)"


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ({"lr": 0.01, "trunk_lr": 1e-4}, "lr 0.01, trunk lr 0.0001"),
        ({"frozen": ["a"]}, "head of a frozen"),
        ({"frozen": ["a", "trunk", "b"]}, "trunk and 2 heads (a and b) frozen"),
        ({"tasks": ["a", "b"]}, "only a and b"),
        ({"reset": ["optimizer"]}, "the optimizer starts anew"),
        ({"reset": ["weights"]}, "the weights start anew"),
    ],
)
def test_every_setting_of_a_phase_is_told(phase: dict[str, Any], words: str) -> None:
    assert spans(training({"epochs": 1}, {"epochs": 2, **phase}))[1].words == words


def test_nothing_starts_anew_with_the_first_epoch_of_all() -> None:
    assert spans(training({"epochs": 1, "reset": ["optimizer"]}, {"epochs": 1}))[0].words == ""


@pytest.mark.parametrize("phases", [None, []])
def test_a_training_without_phases_says_nothing(phases: list[Any] | None) -> None:
    given = TrainingSpec.model_validate({"epochs": 5, "phases": phases})
    assert spans(given) == ()
    assert phases_sentence(given) == ""


def test_one_phase_is_told_without_a_last_one() -> None:
    assert phases_sentence(training({"epochs": 2, "frozen": ["trunk"]})) == "Phases: phase 1 (epochs 1-2: trunk frozen)."


def test_an_objective_over_more_tasks_in_a_later_phase_stays_on_the_axis() -> None:
    """A task that joins makes the sum larger: that is a phase, not a run that gets away."""
    total = Channel("validation", "", "learned_total")
    values = np.concatenate([np.linspace(1.0, 0.9, 17), np.linspace(9.0, 8.0, 3)])
    joined, away = (
        comparison(EIGHT, spec(training={"phases": phases}), epochs=20)
        for phases in ([{"epochs": 17}, {"epochs": 3}], [{"epochs": 20}])
    )
    for given in (joined, away):
        given.history[:, :, given.channels.index(total)] = values[:, None]
    assert curves(joined, total).axis == (0.9, 9.0)
    cut = curves(away, total).axis
    assert cut is not None
    assert cut[1] < 3.0


def test_verdict_and_report_state_the_phases_as_a_condition() -> None:
    phased = comparison(EIGHT, spec(training={"phases": [{"epochs": 2, "name": "heads"}, {"epochs": 3, "name": "all"}]}))
    sentence = phases_sentence(phased.spec.training)
    assert sentence in verdict(phased).notes
    assert sentence in report(phased)
    assert "Phases:" not in report(comparison(EIGHT))
