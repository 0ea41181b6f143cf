"""A comparison's report says how weights were scaled, whose gradients were weighed and what the heads saw."""

from __future__ import annotations

from typing import Any

from comparisons import EIGHT, comparison

from mtl_core.analysis import verdict
from mtl_core.analysis.scales import decay_notes, weight_notes
from mtl_core.specs import ArmSpec, parse_experiment

EQUAL, MGDA = ArmSpec(scheme="equal"), ArmSpec(scheme="mgda")


def test_the_verdict_states_the_scale_of_the_weights() -> None:
    assert any("own scale (weight_sum: paper)" in note for note in verdict(comparison(EIGHT)).notes)


def test_rescaled_weights_are_named_with_their_sum() -> None:
    rescaled = ArmSpec(scheme="dwa", weight_sum=1)
    assert weight_notes({"a": EQUAL, "b": rescaled}) == [
        "Effective weights sum to 1 in b; they have the scheme's own scale in a."
    ]
    assert weight_notes({"b": rescaled}) == ["Effective weights sum to 1 in b."]


def test_whose_gradients_and_what_the_heads_see_is_said_where_there_are_gradients() -> None:
    notes = weight_notes({"equal": EQUAL, "mgda": MGDA, "norm": ArmSpec(scheme="gradnorm", head_gradients="weighted")})
    assert notes[1:] == [
        "mgda takes the task gradients of all shared parameters.",
        "norm takes the task gradients of the last shared layer.",
        "The heads see the unweighted gradient of their task in mgda, in the other arms the weighted one.",
    ]
    assert weight_notes({"mgda": MGDA})[-1] == "The heads see the unweighted gradient of their task in mgda."
    assert len(weight_notes({"equal": EQUAL})) == 1


def test_weight_decay_that_meets_weights_is_told_and_that_which_does_not_is_not() -> None:
    def notes(**training: Any) -> list[str]:
        value = {"data": {"scenario": "osint"}, "arms": {"a": "equal", "b": "softplus"}, "training": training}
        return decay_notes(parse_experiment(value))

    assert notes() == notes(weight_decay=0) == notes(weight_decay=0.01, optimizer="adamw") == []
    assert "0.01 is added to the weighted gradient (adam)" in notes(weight_decay=0.01)[0]
