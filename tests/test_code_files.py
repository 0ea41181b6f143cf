"""Files to take away: what they are like, that names in them are data, and the script with this package."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from code_cases import ARMS, SEED, executed, experiment, info, taken_away
from engine_cases import NAMES, TASKS, problem

from mtl_core.baselines import with_baselines
from mtl_core.code import plain_torch, snippet
from mtl_core.errors import SpecError
from mtl_core.problem import Problem
from mtl_core.resolving import resolve
from mtl_core.schemes import SCHEMES
from mtl_core.specs import ExperimentSpec, TaskSpec, parse_experiment
from mtl_core.tasks import element_loss

ROOT = Path(__file__).parent.parent

HOSTILE = (
    'a"b',
    "a'b",
    "line\nbreak",
    '"""',
    "{x}",
    "$title",
    "\\",
    "Größe µ 数",
    "\u202eevil",
    "import os; os.abort()",
    "a.b",
    "#",
)


def hostile() -> tuple[Problem, ExperimentSpec]:
    whole = problem()
    renamed = dict(zip(NAMES, HOSTILE, strict=False))
    tasks = tuple(task.model_copy(update={"name": renamed[task.name], "unit": '"'}) for task in TASKS)
    targets = {renamed[name]: values for name, values in whole.targets.items()}
    data = Problem("x", whole.features, targets, tasks, whole.split, whole.feature_names)
    weights = dict.fromkeys(renamed.values(), 0.5)
    arms = {name: {"scheme": "fixed", "settings": {"weights": weights}} for name in HOSTILE}
    return data, experiment(arms, data, name='"""\nimport os', score=weights)


def shape_of_code(source: str) -> str:
    """The syntax tree without the text of its literals."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def test_names_from_tables_are_data_and_never_code() -> None:
    data, spec = hostile()
    about = with_baselines(data)
    plain = experiment(
        {"arm": {"scheme": "fixed", "settings": {"weights": dict.fromkeys(NAMES, 0.5)}}}, score=dict.fromkeys(NAMES, 0.5)
    )
    for arm in spec.arms:
        source = plain_torch(spec, about, arm)
        assert shape_of_code(source) == shape_of_code(plain_torch(plain, info(), "arm"))
        assert all(character.isprintable() or character == "\n" for character in source)
        script = snippet(spec, arm, about)
        assert all(character.isprintable() or character == "\n" for character in script)
        ast.parse(script)
    trained = taken_away(spec, "line\nbreak", about, data)
    assert set(trained.history[0]["weights"]) == {task.name for task in data.tasks}


# --- what the files are like --------------------------------------------------------------------------------------


def test_the_files_pass_the_linter_run_alone_and_do_without_this_package(tmp_path: Path) -> None:
    for number, name in enumerate(ARMS):
        spec = experiment({name: ARMS[name]})
        source = plain_torch(spec, info(), name)
        (tmp_path / f"plain_{number}.py").write_text(source, encoding="utf-8")
        tree = ast.parse(source)
        imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        known = {"copy", "itertools", "math", "random", "dataclasses", "functools", "torch", "torch.nn"}
        assert imported <= known
        (tmp_path / f"snippet_{number}.py").write_text(snippet(spec, name, info()), encoding="utf-8")
    rules = ["--isolated", "--select", "E,F,W,I,B,UP,C4", "--line-length", "130"]
    run = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stdout
    alone = subprocess.run(
        [sys.executable, str(tmp_path / "plain_0.py")], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "best epoch:" in alone.stdout


def test_code_is_written_without_torch() -> None:
    code = """
import sys
from mtl_core.code import plain_torch, snippet
from mtl_core.data import scenarios
from mtl_core.problem import problem_info
from mtl_core.resolving import resolve
from mtl_core.specs import parse_experiment
problem = scenarios.load("osint", {})
spec = resolve(parse_experiment({"data": {"scenario": "osint"}, "arms": {"a": "uncertainty", "b": "mgda"}}), problem)
for arm in spec.arms:
    assert plain_torch(spec, problem_info(problem), arm) and snippet(spec, arm)
print("torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("arm", "more", "sentence"),
    [
        ({"scheme": "cagrad"}, {}, "cagrad has no plain PyTorch version"),
        ({"scheme": "famo", "every": 3}, {}, "famo with every"),
        ({"scheme": "equal"}, {"selection": {"scale": "single_task"}}, "single_task"),
        ({"scheme": "equal", "head_gradients": "unweighted"}, {"training": {"hidden": []}}, "Without hidden layers"),
        ({"scheme": "equal"}, {"training": {"dropout": 0.1}}, "without dropout"),
        ({"scheme": "equal"}, {"training": {"clip": 1.0}}, "without clipping"),
        ({"scheme": "equal"}, {"training": {"phases": [{"epochs": 6}]}}, "without phases"),
        ({"scheme": "equal", "tasks": ["level"]}, {}, "without tasks left out"),
    ],
)
def test_what_has_no_plain_version_says_so_in_one_sentence(arm: Any, more: Any, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence) as caught:
        plain_torch(experiment({"arm": arm}, **more), info(), "arm")
    assert "\n" not in str(caught.value)


def test_an_arm_that_is_not_there_is_named() -> None:
    with pytest.raises(SpecError, match='Did you mean "arm"'):
        snippet(experiment({"arm": "equal"}), "arn")


# --- the script with this package ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_snippet_runs_the_same_runs_and_its_own_loop(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import mtl_core

    spec = experiment({"arm": {"scheme": scheme, "smooth": 0.3}, "fixed": {"scheme": "equal"}}, training={"dtype": "float32"})
    asked: list[Any] = []

    def compare(data: Any, **more: Any) -> None:
        asked.append(parse_experiment({"data": data, **more}))

    monkeypatch.setattr(mtl_core, "compare", compare, raising=False)
    module = executed(snippet(spec, "arm", info()))
    module.as_in_the_comparison()
    ours, theirs = (resolve(one, problem()).runs() for one in (asked[0], spec))
    assert ours["arm", SEED].id == theirs["arm", SEED].id
    generator = torch.Generator().manual_seed(0)
    targets = {task.name: torch.rand(40, task.width, generator=generator).round() for task in TASKS}
    targets["rare"][:] = torch.nan
    module.in_your_own_loop(torch.randn(40, 5, generator=generator), targets, epochs=2, batch_size=20)


def test_a_snippet_for_maps_writes_their_losses_and_for_boxes_only_the_run() -> None:
    depth = TaskSpec(name="depth", kind="dense_regression", grid=(2, 3), width=12)
    sort = TaskSpec(name="sort", kind="segmentation", grid=(2, 3), classes=("a", "b"))
    notes = TaskSpec(name="notes", kind="detection", grid=(2, 3), classes=("a",))
    spec = experiment({"arm": {"scheme": "dwa"}})
    module = executed(snippet(spec, "arm", dataclasses.replace(info(), tasks=(depth, sort))))
    targets = {"depth": torch.randn(40, 12), "sort": torch.zeros(40, 6)}
    targets["sort"][3, 2] = torch.nan
    module.in_your_own_loop(torch.randn(40, 5), targets, epochs=1, batch_size=20)
    outputs = torch.randn(40, 12)
    expected = element_loss(sort, outputs, targets["sort"].nan_to_num())[targets["sort"].isfinite()].mean()
    torch.testing.assert_close(module.LOSSES["sort"](outputs, targets["sort"]), expected)
    assert not hasattr(executed(snippet(spec, "arm", dataclasses.replace(info(), tasks=(notes,)))), "in_your_own_loop")


def test_a_snippet_without_the_problem_takes_the_tasks_that_the_experiment_names() -> None:
    spec = experiment({"arm": {"scheme": "uncertainty"}})
    module = executed(snippet(spec, "arm"))
    assert list(module.LOSSES) == NAMES


def test_a_tables_name_stays_and_its_path_goes() -> None:
    value = {"data": {"file": "/home/somebody/secret/sales.csv"}, "arms": {"a": "equal"}, "score": {"x": 1.0}}
    script = snippet(parse_experiment(value), "a")
    assert '"sales.csv"' in script
    assert "secret" not in script
