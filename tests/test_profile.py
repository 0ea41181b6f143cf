"""What is told of data before training: tasks, what a constant scores, and the whole as plain data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tables import HEADER, plain, replaced, to_csv

from mtl_core.baselines import with_baselines
from mtl_core.data import scenarios
from mtl_core.data.associations import SINGLE
from mtl_core.data.profile import constant_metric, examine, profile
from mtl_core.data.table import to_problem
from mtl_core.problem import Problem
from mtl_core.specs import DataSpec, TaskSpec

ROOT = Path(__file__).parent.parent


def assert_as_baselines(problem: Problem) -> None:
    known = with_baselines(problem).baselines
    for facts in profile(problem).tasks:
        for split, value in facts.constant.items():
            if facts.task.kind == "detection":
                assert value is None, "what a constant detector finds only training computes"
                continue
            expected = known[split][facts.task.name].get(facts.metric)
            assert value == (None if expected is None else pytest.approx(expected, rel=2e-4)), (facts.task.name, split)


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_a_constant_scores_on_scenarios_what_training_says(name: str) -> None:
    assert_as_baselines(scenarios.load(name, {}))


@pytest.mark.parametrize("seed", range(4))
def test_a_constant_scores_on_every_kind_what_training_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = 400
    tasks = (
        TaskSpec(name="amount", kind="regression"),
        TaskSpec(name="far", kind="regression", scaled=False, loss="l1"),
        TaskSpec(name="vector", kind="multi_output", width=3),
        TaskSpec(name="yes", kind="binary"),
        TaskSpec(name="class", kind="multiclass", classes=("a", "b", "c")),
        TaskSpec(name="count", kind="count"),
        TaskSpec(name="rate", kind="count", loss="poisson"),
        TaskSpec(name="zeros", kind="count"),
    )
    targets = {
        "amount": rng.normal(5, 3, (rows, 1)),
        "far": 1e6 + rng.gamma(2, 100, (rows, 1)),
        "vector": rng.normal(size=(rows, 3)) * [1, 10, 100],
        "yes": (rng.random((rows, 1)) < 0.2).astype(float),
        "class": rng.integers(3, size=(rows, 1)).astype(float),
        "count": rng.negative_binomial(2, 0.2, (rows, 1)).astype(float),
        "rate": rng.poisson(3, (rows, 1)).astype(float),
        "zeros": np.where(rng.random((rows, 1)) < 0.9, 0, rng.poisson(9, (rows, 1))).astype(float),
    }
    for values in targets.values():
        values[rng.random(values.shape) < 0.3] = np.nan
    split = rng.choice(3, rows, p=[0.6, 0.2, 0.2]).astype(np.int8)
    targets["yes"][split == 2] = np.minimum(targets["yes"][split == 2], 0)  # one class only: not defined there
    targets["class"][split == 1] = np.nan
    assert_as_baselines(Problem("t", rng.normal(size=(rows, 2)), targets, tasks, split, ("a", "b")))


def test_without_labels_there_is_no_metric() -> None:
    none = np.full((5, 1), np.nan)
    for kind in SINGLE:
        task = TaskSpec(name="t", kind=kind, classes=("a", "b") if kind == "multiclass" else ())
        assert constant_metric(task, np.ones((5, 1)), none) is None


def test_a_profile_says_how_many_labels_there_are_and_what_they_are_like() -> None:
    rows = replaced(plain(200), 4, ["" if i % 4 == 0 else row[4] for i, row in enumerate(plain(200))])
    spec = DataSpec.model_validate({"file": "t.csv", "targets": dict.fromkeys(("price", "kind", "visits"))})
    seen, problem, found, _ = examine(to_csv(rows), "t.csv", spec)
    assert found is not None
    assert problem is not None
    assert problem.rows(0) == found.rows["train"]
    assert sum(found.rows.values()) == seen.rows == 200
    price, kind, visits = found.tasks
    assert sum(price.labels.values()) == 150
    assert price.shares["train"] == price.labels["train"] / found.rows["train"]
    values = np.array([float(row[4]) for row in rows if row[4]])
    assert price.scale == f"{values.mean():.3g} ± {values.std():.3g}"
    assert kind.scale.endswith("% are b")
    assert visits.scale.endswith("% zeros")
    assert [one.metric for one in found.tasks] == ["rmse", "auroc", "mae"]
    told = json.loads(json.dumps({**seen.to_dict(), **found.to_dict()}, allow_nan=False))
    assert {"rows", "features", "targets", "warnings", "split", "tasks", "associations", "twins"} == set(told)
    assert len(told["associations"]["pairs"]) == 4 * 3


def test_a_table_without_a_problem_is_understood_all_the_same() -> None:
    words = [[f"id-{i}-{i * i}", f"2024-01-{1 + i % 28:02d}"] for i in range(60)]
    assert examine(to_csv(words, ("key", "day")), "t.csv").profile is None
    flat = [["1", "1", "1", "1", *row[4:]] for row in plain()]
    found = examine(
        to_csv(flat, HEADER),
        "t.csv",
        DataSpec.model_validate({"file": "t.csv", "targets": {"price": None}, "ignore": ["kind", "visits"]}),
    )
    assert found.profile is None
    assert [one.name for one in found.understanding.targets] == ["price"]
    assert "feature" in found.refusal


def test_a_table_is_profiled_as_the_problem_it_becomes() -> None:
    data = to_csv(plain())
    spec = DataSpec(file="t.csv")
    seen, made, found, _ = examine(data, "t.csv", spec)
    problem = to_problem(data, "t.csv", spec)
    assert found is not None
    assert made is not None
    assert np.array_equal(made.features, problem.features)
    assert found.features == problem.features.shape[1]
    assert set(problem.warnings) <= set(seen.warnings)
    assert found.tasks == profile(problem).tasks


def test_no_torch_is_needed_to_look_at_data() -> None:
    code = (
        "import sys; from mtl_core.data import scenarios; from mtl_core.data.profile import profile; "
        "profile(scenarios.load('osint', {})); print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_why_features_are_not_compared_with_targets_is_said_as_it_is() -> None:
    rng = np.random.default_rng(0)
    split, task = np.arange(90, dtype=np.int8) % 3, TaskSpec(name="y", kind="regression")
    notes = []
    for width, shape in ((1_001, ()), (510, (17, 30)), (4, ())):
        names = tuple(f"p{n}" for n in range(width))
        features, y = rng.normal(size=(90, width)), {"y": rng.normal(size=(90, 1))}
        notes.append(profile(Problem("t", features, y, (task,), split, names, input_shape=shape)).associations.note)
    assert "there are 1,001 features" in notes[0]
    assert "the 510 features are measurements of a sequence" in notes[1]
    assert notes[2] == ""


def test_images_and_maps_and_functions_are_told_of_without_looking_at_every_point() -> None:
    rng = np.random.default_rng(0)
    tasks = (
        TaskSpec(name="class", kind="multiclass", classes=("a", "b")),
        TaskSpec(name="map", kind="segmentation", grid=(8, 8), classes=("sky", "road")),
    )
    targets = {"class": rng.integers(2, size=(90, 1)).astype(float), "map": rng.integers(2, size=(90, 64)).astype(float)}
    split = np.arange(90, dtype=np.int8) % 3
    names = tuple(f"p{n}" for n in range(3_072))
    image = Problem("t", rng.normal(size=(90, 3_072)), targets, tasks, split, names, input_shape=(3, 32, 32))
    found = profile(image)
    assert found.associations.features == ()
    assert "the 3,072 features are pixels of images" in found.associations.note
    assert "3,072 features" in found.twins.note
    assert found.tasks[1].scale == "8 x 8 places"
    commonest = int(targets["map"][split == 0].mean() >= 0.5)
    shares = [(targets["map"][split == part] == commonest).mean() for part in (1, 2)]
    assert found.tasks[1].constant == pytest.approx(dict(zip(("validation", "test"), np.array(shares) / 2, strict=True)))
    json.dumps(found.to_dict(), allow_nan=False)
    alone = Problem("t", np.zeros((90, 0)), {"class": targets["class"]}, tasks[:1], split, ())
    assert "no features" in profile(alone).twins.sentence
