"""The command line as others script against it: exit codes, one sentence, nothing but JSON on stdout with --json."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from comparisons import EIGHT, comparison, with_run

import mtl_core.api  # noqa: F401  # takes the real store before a test puts a fake one in its place
from mtl_core.__main__ import main
from mtl_core.errors import SpecError
from mtl_core.experiment_file import parse_yaml, read_experiment

ROOT = Path(__file__).parent.parent
EXPERIMENT = """
name: learned vs fixed
data: {scenario: osint, samples: 400}
arms:
  learned: {scheme: softplus, gate: {mode: hard, threshold: 0.2, scope: window}}
  clamped: {scheme: uncertainty, settings: {clamp: [-2, 2]}}
  fixed:   {scheme: equal}
baseline: fixed
seeds: 2
training: {epochs: 2, batch_size: 256, lr: 1e-3, hidden: [8, 8], optimizer: adam}
selection: {weights: uniform, scale: raw, stop: {on: criterion, patience: 10}}
device: auto
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    return path


class Step(NamedTuple):
    experiment_id: str
    sentence: str
    fraction: float


class FakeStore:
    def __init__(self, result: Any) -> None:
        self.result, self.closed = result, False

    def comparison(self, experiment_id: str) -> Any:
        return self.result

    def close(self) -> None:
        self.closed = True


def train_with(monkeypatch: pytest.MonkeyPatch, steps: Any, result: Any = None) -> dict[str, Any]:
    """Replace the runner and the store; returns what they were given."""
    seen: dict[str, Any] = {}
    store = FakeStore(comparison(EIGHT) if result is None else result)

    def run_iter(spec: Any, opened: Any, **_: Any) -> Iterator[Step]:
        seen.update(spec=spec, store=opened)
        yield from steps()

    runner = types.ModuleType("mtl_core.runner")
    runner.run_iter = run_iter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mtl_core.runner", runner)
    monkeypatch.setattr("mtl_core.store.open_store", lambda url: seen.update(url=url) or store)
    return seen


def two_steps() -> Iterator[Step]:
    yield Step("made-up-experiment", "epoch 1 of 2", 0.5)
    yield Step("made-up-experiment", "done", 1.0)


def interrupted() -> Iterator[Step]:
    yield Step("made-up-experiment", "epoch 1 of 2", 0.5)
    raise KeyboardInterrupt


# --- run -------------------------------------------------------------------------------------------------------------


def test_run_prints_the_table_and_the_verdict_and_writes_three_files(
    monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_with(monkeypatch, two_steps)
    assert main(["run", str(experiment), "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "learned is better than fixed on 1 of 3 tasks" in out
    assert "0.822 [0.811, 0.833]" in out
    assert err == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["history.csv", "metrics.csv", "record.json"]


def test_run_with_json_prints_the_record_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_with(monkeypatch, two_steps)
    assert main(["run", str(experiment), "--out", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["runs"][0]["status"] == "done"
    assert json.loads(out)["out"] == str(tmp_path)
    assert err == ""


def test_without_out_the_files_lie_under_the_experiments_name(
    monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    train_with(monkeypatch, two_steps)
    assert main(["run", str(experiment)]) == 0
    assert (tmp_path / "out" / "comparison-made-up" / "record.json").is_file()


def test_device_and_store_are_passed_on(monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path) -> None:
    seen = train_with(monkeypatch, two_steps)
    main(["run", str(experiment), "--out", str(tmp_path), "--device", "cpu", "--store", "sqlite:///x.db"])
    assert (seen["spec"].device, seen["url"]) == ("cpu", "sqlite:///x.db")
    assert seen["store"].closed


def test_ctrl_c_saves_what_was_finished_and_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_with(monkeypatch, interrupted, with_run(comparison(EIGHT), 15, "stopped"))
    assert main(["run", str(experiment), "--out", str(tmp_path / "out")]) == 130
    assert (tmp_path / "out" / "metrics.csv").is_file()
    assert "1 of 8 runs stopped by hand" in capsys.readouterr().out


def test_a_comparison_whose_runs_all_failed_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path
) -> None:
    given = comparison(EIGHT)
    for run in range(16):
        given = with_run(given, run, "failed")
    train_with(monkeypatch, two_steps, given)
    assert main(["run", str(experiment), "--out", str(tmp_path)]) == 1


def test_an_out_that_cannot_be_made_is_said_before_anything_trains(
    monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = train_with(monkeypatch, two_steps)
    (tmp_path / "taken").write_text("a file")
    assert main(["run", str(experiment), "--out", str(tmp_path / "taken")]) == 2
    assert "taken cannot be made: File exists." in capsys.readouterr().err
    assert "spec" not in seen


# --- mistakes --------------------------------------------------------------------------------------------------------

MISTAKES = {
    "data: {scenario: osint}\narms: {a: {scheme: dva}}": 'No scheme "dva". Did you mean "dwa"?',
    "data: {scenario: osint}": "arms: is missing",
    "arms: {}\nseeds: 3\narms: {}": 'experiment.yaml, line 3, column 1: the key "arms" is written twice.',
    "arms: {a: [1": "experiment.yaml, line 1",
    "- a\n- b": "An experiment is a mapping",
    "": "An experiment is a mapping",
    "data: {scenario: osint}\narms: {a: {scheme: equal}}\nseeds: 0": "number of seeds",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["run", str(path)]) == 2
    out, err = capsys.readouterr()
    assert MISTAKES[text] in err
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rnu"], "invalid choice: 'rnu'"),
        ([], "COMMAND"),
        (["run"], "EXPERIMENT.yaml"),
        (["run", "nowhere.yaml"], "nowhere.yaml is not there"),
        (["run", "."], "is a folder"),
        (["run", "x.yaml", "--device", "tpu"], "--device: invalid choice"),
        (["inspect", "nowhere.csv"], 'There is no file "nowhere.csv": check the path'),
    ],
)
def test_a_wrong_call_is_one_sentence_too(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


def test_a_programming_error_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path) -> None:
    def broken() -> Iterator[Step]:
        yield Step("x", "", 0.1)
        raise ZeroDivisionError

    train_with(monkeypatch, broken)
    with pytest.raises(ZeroDivisionError):
        main(["run", str(experiment), "--out", str(tmp_path)])


# --- catalogues ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "name", "part"), [("schemes", "softplus", "settings"), ("scenarios", "osint", "knobs")])
def test_catalogues_are_text_for_people_and_json_for_scripts(
    command: str, name: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == 0
    assert f"{name}: " in capsys.readouterr().out
    assert main([command, "--json"]) == 0
    entry = next(one for one in json.loads(capsys.readouterr().out) if one["name"] == name)
    assert {"name", "default", "help"} <= set(entry[part][0])


def test_the_list_of_schemes_is_short_and_by_family_and_one_scheme_is_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemes"]) == 0
    brief = capsys.readouterr().out
    places = [brief.index(f"\n{family.upper()}: ") for family in ("learned", "loss-based")]
    assert places == sorted(places)
    assert "- temperature" not in brief
    assert main(["schemes", "dwa"]) == 0
    full = capsys.readouterr().out
    assert "- temperature (1e-06 to 1e+06; default 2)" in full
    assert "Against\n  - " in full
    assert "Liu, Johns, Davison" in full


def test_one_scheme_as_json_is_a_list_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemes", "gls", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["gls"]


def test_a_scheme_that_does_not_exist_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemes", "dva"]) == 2
    assert capsys.readouterr().err == 'No scheme "dva". Did you mean "dwa"?\n'


def test_the_catalogues_need_no_torch_and_no_pandas() -> None:
    heavy = "bool({'torch', 'pandas'} & set(sys.modules))"
    code = f"import sys; from mtl_core.__main__ import main; main(['schemes']); sys.exit({heavy})"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_a_reader_that_hangs_up_early_is_no_error() -> None:
    command = f"{sys.executable} -W error -m mtl_core schemes | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_bench_prints_figures_and_says_on_stderr_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mtl_core import bench

    def measure(form: Any, only: list[str], tell: Any) -> dict[str, Any]:
        tell("a row")
        return {"short": form.short, "device": form.device, "only": only}

    monkeypatch.setattr(bench, "main", measure)
    monkeypatch.setattr(bench, "markdown", lambda figures: f"| {figures['only']} |")
    assert main(["bench", "--short", "--only", "steps,import", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"short": True, "device": "cpu", "only": ["steps", "import"]}
    assert told.err == "a row\n"
    assert main(["bench", "--markdown", "--only", "store"]) == 0
    assert capsys.readouterr().out == "| ['store'] |\n"


def test_the_parts_of_the_benchmark_are_all_in_its_help() -> None:
    from mtl_core.bench import NAMES

    words = subprocess.run(
        [sys.executable, "-m", "mtl_core", "bench", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ", ".join(NAMES) in " ".join(words.stdout.split())


def test_bench_of_schemes_prints_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mtl_core import bench

    rows = [{"name": "equal", "relative_cost": 1.0}, {"name": "pcgrad", "relative_cost": 2.5}]
    monkeypatch.setattr(bench, "schemes", lambda size, short: {"size": size, "table": rows})
    assert main(["bench", "--schemes"]) == 0
    assert capsys.readouterr().out == "size: medium\ntable:\nname    relative_cost\nequal   1\npcgrad  2.5\n"


# --- experiment files ------------------------------------------------------------------------------------------------


def test_the_documented_experiment_is_read_word_for_word(experiment: Path) -> None:
    spec = read_experiment(experiment)
    assert spec.selection.stop is not None
    assert spec.selection.stop.on == "criterion"  # YAML 1.1 would read the key `on` as True
    assert spec.training.lr == 0.001  # and 1e-3 as text
    assert spec.arms["clamped"].settings["clamp"] == [-2, 2]
    assert spec.data.knobs == {"samples": 400}
    assert spec.seeds == (0, 1)


def test_a_tables_path_is_relative_to_the_experiment_file(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("data: {file: sub/students.csv}\narms: {a: {scheme: equal}}")
    assert read_experiment(path).data.file == str(tmp_path / "sub" / "students.csv")
    path.write_text("data: {file: /data/students.csv}\narms: {a: {scheme: equal}}")
    assert read_experiment(path).data.file == "/data/students.csv"


def test_column_names_that_look_like_numbers_or_dates_stay_names() -> None:
    text = "targets: {2020: regression, no: binary, 2020-01-01: null, 007: null}\nignore: [yes, on]"
    assert parse_yaml(text, "e.yaml") == {
        "targets": {"2020": "regression", "no": "binary", "2020-01-01": None, "007": None},
        "ignore": ["yes", "on"],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &x [1]\nb: *x", "line 2, column 4: the alias *x is not supported"),
        ("a: !!python/object/apply:os.system ['ls']", "line 1"),
        ("[" * 3000, "nested too deeply"),
        ("a: \x00", "not readable as YAML"),
        ("? [1, 2]\n: 3", "a key is a name"),
        ("name: x\nseeds: !!bool x", "line 2, column 8: the tag !!bool is not supported"),
        ("seeds: !!int x", "the tag !!int is not supported"),
        ("data: !!map x", "the tag !!map is not supported"),
        ("!own\na: 1", "line 1, column 1: the tag !own is not supported"),
    ],
)
def test_hostile_yaml_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(SpecError, match=r".") as caught:
        parse_yaml(text, "e.yaml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_or_far_too_long_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(SpecError, match="not UTF-8 text"):
        read_experiment(path)
    path.write_bytes(b" " * 1_000_001)
    with pytest.raises(SpecError, match="at most 1,000,000"):
        read_experiment(path)


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_out_is_a_sentence_and_writes_nowhere(
    empty: str, monkeypatch: pytest.MonkeyPatch, experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = train_with(monkeypatch, two_steps)
    assert main(["run", str(experiment), "--out", empty]) == 2
    assert capsys.readouterr().err.startswith("--out is empty. Name a folder")
    assert "spec" not in seen


def test_run_tells_what_was_noticed_in_the_table(
    monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = comparison(EIGHT)
    warned = replace(given, problem=replace(given.problem, warnings=("x alone predicts price almost perfectly.",)))
    train_with(monkeypatch, two_steps, warned)
    assert main(["run", str(experiment), "--out", str(tmp_path)]) == 0
    assert "Data: x alone predicts price almost perfectly." in capsys.readouterr().out
