"""Experiments at the door: what is refused, in which words, and what counts as the same."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from mtl_core.errors import SpecError
from mtl_core.links import from_link, to_link
from mtl_core.problem import Problem
from mtl_core.resolving import resolve
from mtl_core.specs import DataSpec, ExperimentSpec, TaskSpec, parse_experiment

DATA, ARMS = {"file": "t.csv"}, {"a": {"scheme": "equal"}}


def made(**parts: Any) -> ExperimentSpec:
    return parse_experiment({"data": DATA, "arms": ARMS, **parts})


def small_problem(features: int = 3) -> Problem:
    tasks = (TaskSpec(name="y", kind="regression"), TaskSpec(name="z", kind="regression"))
    targets = {task.name: np.zeros((6, 1)) for task in tasks}
    names = tuple(f"x{i}" for i in range(features))
    return Problem("small", np.zeros((6, features)), targets, tasks, np.array([0, 0, 0, 1, 1, 2], dtype=np.int8), names)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"arms": {"a": {"scheme": "dva"}}}, 'No scheme "dva". Did you mean "dwa"?'),
        (
            {"arms": {"a": {"scheme": "dwa", "settings": {"temperature": 0}}}},
            "dwa.temperature is between 1e-06 and 1e+06, not 0.",
        ),
        ({"arms": {"a": {"scheme": "dwa", "gate": {"threshold": 3}}}}, "arms.a.gate.threshold: "),
        ({"arms": {"a": {"scheme": "softplus", "preset": "osint"}}}, "softplus has no presets."),
        ({"arms": {"a": {"scheme": "uncertainty", "settings": {"clamp": [2, -2]}}}}, "the lower bound 2 must be below"),
        ({"data": {"scenario": "osint", "knobs": 3}}, "data: knobs is a mapping"),
        ({"data": {"file": "t.csv", "knobs": {"w": 3}}}, "w is a knob, and knobs belong to a scenario"),
        ({"data": {"scenario": "osint", "header": False}}, "header belongs to a file"),
        ({"data": {"scenario": "osint", "samples": None}}, "data.knobs.samples: a knob is a number"),
        ({"data": {}}, "say either file: PATH or scenario: NAME"),
        ({"data": {"file": "t.csv", "group": ""}}, "data.group: "),
        ({"training": {"epochs": True}}, "training.epochs: a number is wanted, not true."),
        ({"training": {"hidden": [64, True]}}, "training.hidden.1: a number is wanted"),
        ({"seeds": [True]}, "seeds.0: a number is wanted"),
        ({"seeds": 0}, "the number of seeds is 1 to 256, not 0"),
        ({"seeds": [1, 1]}, "a seed is listed twice"),
        ({"selection": {"weights": {"y": -1}}}, "selection.weights.y: "),
        ({"selection": {"weights": {"y": 1.7e308}}}, "selection.weights.y: "),
        ({"selection": {"stop": {"on": "primary"}}}, "with a task only for primary"),
        ({"baseline": "b"}, 'No arm "b". Known: a.'),
        ({"arms": {"   ": {"scheme": "equal"}}}, "arms"),
        ({"traning": {}}, "traning: there is no such key."),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_place(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        made(**parts)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_names_that_look_like_numbers_are_names() -> None:
    spec = made(name=2024, data={"file": "t.csv", "ignore": [2020], "missing": [-999], "group": 7})
    assert (spec.name, spec.data.ignore, spec.data.missing, spec.data.group) == ("2024", ("2020",), ("-999",), "7")


def test_a_scheme_may_be_named_alone() -> None:
    assert made(arms={"a": "equal"}) == made(arms={"a": {"scheme": "equal"}})


def test_a_link_brings_the_same_experiment_back() -> None:
    spec = resolve(made(arms={"a": {"scheme": "uncertainty", "preset": "osint"}, "b": "equal"}), small_problem())
    assert from_link(to_link(spec)) == spec
    assert from_link(to_link(spec)).id == spec.id


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"stop": {"on": "primary", "task": "y"}}, 'Arm "only z" does not train y, whose loss selects the epochs'),
        ({"weights": {"y": 1.0}}, 'Arm "only z" trains no task with a weight in the criterion'),
    ],
)
def test_an_arm_whose_epochs_nothing_could_select_is_refused(selection: dict[str, Any], words: str) -> None:
    arms = {"all": "equal", "only z": {"scheme": "equal", "tasks": ["z"]}}
    with pytest.raises(SpecError, match=words):
        resolve(made(arms=arms, selection=selection), small_problem())
    assert resolve(made(arms=arms), small_problem())
    assert resolve(made(arms={"only y": {"scheme": "equal", "tasks": ["y"]}}, selection=selection), small_problem())


def test_resolving_twice_changes_nothing() -> None:
    once = resolve(made(), small_problem())
    assert resolve(once, small_problem()) == once


def test_a_run_is_the_same_whatever_the_arm_is_called_or_where_the_file_lies() -> None:
    data = {"file": "t.csv", "fingerprint": "0" * 16}
    one = resolve(made(data=data), small_problem())
    other = resolve(made(data={**data, "file": "elsewhere/u.csv"}, arms={"b": ARMS["a"]}, name="other"), small_problem())
    assert [run.id for run in one.runs().values()] == [run.id for run in other.runs().values()]


def test_unset_training_and_a_spelled_out_default_are_the_same_run() -> None:
    one = resolve(made(), small_problem())
    other = resolve(made(training=one.training.model_dump()), small_problem())
    assert one.id == other.id


def test_a_model_that_is_too_large_is_refused_before_it_is_built() -> None:
    with pytest.raises(SpecError, match=r"training.hidden: this model has .* parameters and at most"):
        resolve(made(training={"hidden": [8192, 8192]}), small_problem())


@pytest.mark.parametrize(
    "parts", [{"score": {"q": 1}}, {"selection": {"weights": {"q": 1}}}, {"selection": {"stop": {"on": "primary", "task": "q"}}}]
)
def test_a_task_that_does_not_exist_is_named(parts: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match='No task "q"'):
        resolve(made(**parts), small_problem())


def test_fixed_weights_name_every_task() -> None:
    with pytest.raises(SpecError, match='no value for task "z"'):
        resolve(made(arms={"a": {"scheme": "fixed", "settings": {"weights": {"y": 1}}}}), small_problem())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"arms": {"learned": "softplus", "learned ": "uncertainty"}}, 'two arms are named "learned"'),
        ({"arms": ["equal", "dwa"]}, "arms maps names to schemes"),
        ({"arms": {str(n): "equal" for n in range(33)}}, "at most 32 arms, not 33"),
        ({"arms": {"a": {"scheme": "equal", "gate": 0.2}}}, "a gate is a mapping, such as gate: {threshold: 0.2}"),
        ({"arms": {"a": {"scheme": "equal", "weight_sum": -1}}}, "weight_sum is paper or a number above 0"),
        ({"arms": {"a": {"scheme": "equal", "weight_sum": True}}}, "weight_sum is paper or a number above 0"),
        ({"arms": {"a": {"scheme": "equal", "smooth": True}}}, "a number is wanted, not true"),
        ({"arms": {"a": {"scheme": "equal", "every": True}}}, "a number is wanted, not true"),
        ({"arms": {"a": "DWAA"}}, 'Did you mean "dwa"'),
    ],
)
def test_a_slip_in_an_arm_gets_a_sentence_of_its_own(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(SpecError, match=re.escape(sentence)):
        parse_experiment({"data": {"scenario": "osint"}, "arms": {"a": "equal"}, **changes})


def test_targets_may_be_a_list_of_columns() -> None:
    listed = DataSpec.model_validate({"file": "t.csv", "targets": ["a", "b"]})
    assert listed == DataSpec.model_validate({"file": "t.csv", "targets": {"a": None, "b": None}})


def test_a_link_that_lost_its_end_is_damaged() -> None:
    link = to_link(parse_experiment({"data": {"scenario": "osint"}, "arms": {"a": "equal"}}))
    with pytest.raises(SpecError, match="damaged"):
        from_link(link[:-3])
