"""What docs/models.md shows works as it stands."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest
import yaml

from mtl_core.specs import MAPS, PhaseSpec, TrainingSpec, parse_experiment

TEXT = (Path(__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)[0]


def test_the_module_of_ones_own_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MTL_STORE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    module = types.ModuleType("shown")
    exec(compile(block("python"), "models.md", "exec"), module.__dict__)
    assert {run.status for run in module.result.comparison.runs} == {"done"}


def test_the_phases_are_understood_and_every_field_is_told() -> None:
    training = yaml.safe_load(block("yaml"))["training"]
    value = {"data": {"scenario": "banknotes"}, "arms": {"a": "equal"}, "training": training}
    assert parse_experiment(value).training.epochs == 20
    told = set(re.findall(r"\w+", TEXT))
    assert set(PhaseSpec.model_fields) - {"name"} <= told
    assert {"trunk", "hidden", "channels", "strides", "kernel", "layer_norm", "dropout", "clip", "head_hidden"} <= told
    assert {"trunk", "clip", "head_hidden"} <= set(TrainingSpec.model_fields)
    assert set(MAPS) <= told
