"""What the README shows works as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from mtl_core.__main__ import COMMANDS
from mtl_core.arguments import parsed
from mtl_core.data.scenarios import SCENARIOS, complete
from mtl_core.experiment_file import read_experiment
from mtl_core.schemes import SCHEMES
from mtl_core.schemes.catalogue import FAMILIES
from mtl_core.specs import DataSpec

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEAD = "\n".join(README.splitlines()[:30])


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_first_screen_has_a_screenshot_and_the_two_commands() -> None:
    assert "](docs/screenshot.png)" in HEAD
    assert (ROOT / "docs" / "screenshot.png").stat().st_size > 10_000
    assert "pip install -r requirements.txt && streamlit run app.py" in HEAD
    assert "bash .ci/run" in HEAD


def test_the_python_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = blocks("python")[0]
    assert len(example.splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTL_STORE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    exec(compile(example.replace('"epochs": 10', '"epochs": 2'), "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "8 seeds" in out
    assert "learned" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["history.csv", "metrics.csv", "record.json"]


def test_the_loss_example_trains() -> None:
    import torch

    import mtl_core

    layer = torch.nn.Linear(2, 1)
    outputs = layer(torch.ones(3, 2))
    names = {"mtl_core": mtl_core, "depth_loss": outputs.pow(2).mean(), "class_loss": outputs.abs().mean()}
    exec(compile(blocks("python")[1], "README.md", "exec"), names)
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


def test_the_example_on_gradients_trains_the_trunk_and_the_heads() -> None:
    import torch

    import mtl_core

    model = torch.nn.Module()
    model.trunk, model.heads = torch.nn.Linear(2, 3), torch.nn.Linear(3, 2)
    outputs = model.heads(model.trunk(torch.ones(3, 2)))
    names = {
        "mtl_core": mtl_core,
        "model": model,
        "depth_loss": outputs[:, 0].pow(2).mean(),
        "class_loss": outputs[:, 1].abs().mean(),
    }
    exec(compile(blocks("python")[2], "README.md", "exec"), names)
    for part in (model.trunk, model.heads):
        assert part.weight.grad is not None
        assert part.weight.grad.abs().sum() > 0


def test_the_table_of_schemes_names_every_scheme_in_its_family() -> None:
    rows = dict(re.findall(r"^\| ([\w-]+) \| [^|]+ \| (`[^|]+`) \|$", README, flags=re.MULTILINE))
    named = {family: re.findall(r"`(\w+)`", cell) for family, cell in rows.items()}
    expected = {family: [name for name, cls in SCHEMES.items() if cls.family == family] for family in FAMILIES}
    assert named == expected
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"{len(SCHEMES)} weighting schemes" in changelog


def test_documents_link_to_files_that_are_there() -> None:
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).is_file(), f"{path.name} links to {target}"


def test_the_experiment_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    spec = read_experiment(tmp_path / "e.yaml")
    assert list(spec.arms) == ["learned", "clamped", "fixed"]
    assert spec.baseline == "fixed"


def test_the_commands_shown_are_understood() -> None:
    shown = re.findall(r"^python -m mtl_core (\w+)", README, flags=re.MULTILINE)
    assert shown == ["run", "inspect", "schemes", "scenarios", "bench"]
    for name in shown:
        words = shlex.split(f"{name} FILE" if name in ("run", "inspect") else name)
        assert parsed([*words, "--json"]).command in COMMANDS


def test_every_dependency_is_explained() -> None:
    required = {re.split(r"[=<>]", line)[0] for line in (ROOT / "requirements.txt").read_text().split()}
    assert required == set(re.findall(r"^\| (\S+) \| ", README, flags=re.MULTILINE)) & required


def test_yaml_in_the_readme_is_plain_yaml_too() -> None:
    assert yaml.safe_load(blocks("yaml")[0])["name"] == "learned-vs-fixed"


def test_every_file_that_contributing_names_is_there() -> None:
    named = set(re.findall(r"`((?:mtl_core|pages|tests)/[\w/]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert {"mtl_core/selection.py", "mtl_core/analysis/score.py", "mtl_core/metrics.py"} <= named
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_every_scenario_has_its_row_and_every_knob_its_place() -> None:
    rows = {cells[1].strip(" `"): cells for line in README.splitlines() if len(cells := line.split("|")) == 11}
    assert set(SCENARIOS) <= set(rows)
    for name, scenario in SCENARIOS.items():
        named = set(re.findall(r"`(\w+)`", " ".join(rows[name][3:])))
        assert named == set(scenario.knobs) - {"seed", "samples", "tasks", "steps"}, name


def test_the_knob_by_task_of_the_readme_is_understood() -> None:
    written = re.search(r"`(data: [^`]*_by_task[^`]*)`", README)
    assert written is not None
    knobs = complete("osint", DataSpec.model_validate(yaml.safe_load(written[1])["data"]).knobs)
    assert knobs["labels_by_task"] == {"regime": 0.8, "transition": 0.3}
