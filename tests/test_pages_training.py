"""Compare: model and phases in the form, phases in every panel, arms on some of the tasks, another problem's training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drawn import TASKS, drawn_comparison
from streamlit.testing.v1 import AppTest

from mtl_core import data, runner
from mtl_core.analysis import metric_table, phases_sentence, spans, verdict
from mtl_core.data.scenarios import SCENARIOS
from mtl_core.errors import SpecError
from mtl_core.links import to_link
from mtl_core.problem import Problem
from mtl_core.records import Channel, Comparison
from mtl_core.resolving import resolve
from mtl_core.specs import ExperimentSpec, PhaseSpec, TrainingSpec, parse_experiment, single_task_arms
from mtl_core.store import Progress, Store
from pages.ui import arms, live, phases, results, state, strip, tables, training
from pages.ui.forest import forest
from pages.ui.palette import looks
from pages.ui.panels import fitting, inner_figure, main_figure
from pages.ui.presets import PRESETS
from pages.ui.stretches import stretches

APP = str(Path(__file__).parent.parent / "app.py")
NAMES = [task.name for task in TASKS]
HEADS_FIRST: list[dict[str, Any]] = [
    {"epochs": 10, "name": "heads", "frozen": ["trunk"], "tasks": ["regime", "anomaly"]},
    {"epochs": 20, "name": "all", "reset": ["optimizer"]},
]


def opened(spec: ExperimentSpec | None = None) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    if spec is not None:
        app.query_params["v"], app.query_params["c"] = "1", to_link(spec)
    app.run()
    app.switch_page("pages/compare.py").run()
    assert not app.exception, app.exception
    return app


def experiment(**more: Any) -> ExperimentSpec:
    arms = {"learned": {"scheme": "softplus"}, "fixed": {"scheme": "equal"}}
    return parse_experiment({"data": {"scenario": "osint"}, "arms": arms, "seeds": 2, **more})


def draft(app: AppTest) -> ExperimentSpec:
    found: ExperimentSpec = app.session_state["draft"]
    return found


def widget(app: AppTest, kind: str, name: str) -> Any:
    return next(one for one in app.get(kind) if str(one.key).startswith(f"{name}-"))


def click(app: AppTest, key: str) -> AppTest:
    next(one for one in app.button if one.key == key).click().run()
    assert not app.exception, app.exception
    return app


def errors(app: AppTest) -> str:
    return " ".join(str(one.value).replace("\\", "") for one in app.error)


# --- the form --------------------------------------------------------------------------------------------------------


EVERYTHING = {
    "batch_size": 32, "lr": 0.01, "trunk": "mlp", "hidden": [16], "channels": [8], "kernel": 5, "strides": [2], "head_hidden": 4,
    "dropout": 0.25, "layer_norm": True, "clip": 2.0, "optimizer": "sgd", "weight_decay": 0.1, "dtype": "float64",
}  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {},
        {**EVERYTHING, "epochs": 30},
        {**EVERYTHING, "phases": HEADS_FIRST},
        {"trunk": "point"},
        {"trunk": "module", "module": "mine"},
        {"hidden": [], "phases": []},
    ],
)
def test_drawing_the_form_changes_nothing(store: Store, given: dict[str, Any]) -> None:
    spec = experiment(training=given)
    app = opened(spec)
    assert draft(app).training == spec.training
    app.run()
    assert draft(app).training == spec.training
    assert not app.error


def test_every_field_of_the_model_can_be_chosen(store: Store) -> None:
    app = opened(experiment())
    widget(app, "selectbox", "trunk").set_value("conv").run()
    for name, text in {"hidden": "none", "channels": "8 16", "strides": "1, 2"}.items():
        widget(app, "text_input", name).set_value(text).run()
    widget(app, "selectbox", "kernel").set_value(5).run()
    widget(app, "selectbox", "norm").set_value(True).run()
    for name, value in {"head": 4, "dropout": 0.5, "clip": 1.0}.items():
        widget(app, "number_input", name).set_value(value).run()
    assert not app.exception
    found = draft(app).training.model_dump(exclude_none=True)
    assert found == {
        "trunk": "conv", "hidden": (), "channels": (8, 16), "strides": (1, 2), "kernel": 5, "layer_norm": True, "head_hidden": 4,
        "dropout": 0.5, "clip": 1.0, "optimizer": "adam",
    }  # fmt: skip


def test_convolutions_on_rows_of_numbers_are_refused_with_a_sentence(store: Store) -> None:
    app = opened(experiment(training={"trunk": "conv"}))
    click(app, "run")
    assert "conv needs images or sequences" in errors(app)


def test_layers_that_cannot_be_read_are_a_sentence_and_change_nothing(store: Store) -> None:
    app = opened(experiment(training={"hidden": [16]}))
    widget(app, "text_input", "hidden").set_value("wide, wider").run()
    assert 'not "wide, wider"' in errors(app)
    assert draft(app).training.hidden == (16,)


@pytest.mark.parametrize(("text", "found"), [("64, 32", [64, 32]), (" 8 ", [8]), ("none", []), ("", None)])
def test_layers_are_read_as_people_write_them(text: str, found: list[int] | None) -> None:
    assert training.numbers("Layers", text, "64") == found


@pytest.mark.parametrize("text", ["1.5", "-3", "6four", "²", "none, 3"])
def test_what_is_no_layer_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="whole numbers"):
        training.numbers("Layers", text, "64")


def test_early_stopping_that_is_left_to_the_data_stays_so(store: Store) -> None:
    """A problem may recommend it; changing something else must not turn it off."""
    app = opened()
    state_before = draft(app).model_copy(update={"selection": experiment().selection})
    app.session_state["draft"] = state_before
    app.session_state["generation"] = 99
    app.run()
    widget(app, "number_input", "epochs").set_value(7).run()
    assert draft(app).training.epochs == 7
    assert "stop" not in draft(app).selection.model_fields_set
    assert "scale" not in draft(app).selection.model_fields_set
    widget(app, "selectbox", "stop").set_value("off").run()
    widget(app, "selectbox", "scale").set_value("baseline").run()
    assert draft(app).selection.model_fields_set == {"weights", "scale", "stop"}


# --- phases in the form ----------------------------------------------------------------------------------------------


def test_phases_are_as_recommended_until_others_are_given(store: Store) -> None:
    app = opened(experiment(training={"epochs": 12}))
    assert widget(app, "selectbox", "phases").value == phases.AUTO
    widget(app, "selectbox", "phases").set_value(phases.OWN).run()
    assert not app.exception
    assert [phase.name for phase in draft(app).training.phases or ()] == ["heads", "all"]
    assert draft(app).training.epochs == sum(phase.epochs for phase in phases.START)
    app.switch_page("pages/compare.py").run()  # AppTest alone loses the page where a script asks to be run again
    widget(app, "selectbox", "phases").set_value(phases.AUTO).run()
    assert draft(app).training.phases is None
    assert draft(app).training.epochs is None  # they are those of the phases that the data recommends, too


def test_phases_survive_the_table_they_are_edited_in() -> None:
    given = [PhaseSpec.model_validate(one) for one in HEADS_FIRST]
    given += [PhaseSpec(epochs=1, lr=0.5, trunk_lr=0.1, reset=("optimizer", "weights"))]
    read = phases.read(phases.rows(given).to_dict("records"))
    assert [PhaseSpec.model_validate(one) for one in read] == given


def test_empty_rows_are_no_phases_and_a_row_without_epochs_is_a_sentence() -> None:
    nothing = dict.fromkeys(phases.COLUMNS)
    assert phases.read([{**nothing, "epochs": 3}, nothing]) == [{"epochs": 3}]
    with pytest.raises(SpecError, match="Phase 2 has no number of epochs"):
        phases.read([{**nothing, "epochs": 3}, {**nothing, "name": "late", "lr": float("nan")}])


# --- phases in the figure --------------------------------------------------------------------------------------------


def phased(**more: Any) -> Comparison:
    given = drawn_comparison(**more)
    chosen = TrainingSpec.model_validate({**given.spec.training.model_dump(exclude={"epochs"}), "phases": HEADS_FIRST})
    return replace(given, spec=given.spec.model_copy(update={"training": chosen}))


def marks(option: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in option["series"] if one["name"] == "phases"]


@pytest.mark.parametrize("draw", [main_figure, inner_figure])
def test_every_panel_shows_where_a_phase_ends_and_the_first_names_them(draw: Any) -> None:
    option = draw(phased(), "light").option
    found = marks(option)
    assert [one["xAxisIndex"] for one in found] == list(range(len(option["grid"])))
    assert all(one["markLine"]["data"] == [{"xAxis": "10"}] for one in found)
    names = [[left["name"] for left, _ in one["markArea"]["data"]] for one in found]
    assert names[0] == ["heads", "all"]
    assert not any(any(one) for one in names[1:])
    assert [[part["xAxis"] for part in area] for area in found[0]["markArea"]["data"]] == [["1", "10"], ["10", "30"]]
    json.dumps(option, allow_nan=False)


def test_marks_of_phases_are_in_no_legend_and_no_tooltip() -> None:
    with_phases, without = main_figure(phased(), "light").option, main_figure(drawn_comparison(), "light").option
    assert with_phases["tooltip"] == without["tooltip"]
    assert with_phases["legend"] == without["legend"]
    assert all(one["tooltip"] == {"show": False} and not one["data"] for one in marks(with_phases))
    assert not marks(without)


def test_a_run_that_ended_in_the_first_phase_has_no_boundary() -> None:
    assert marks(main_figure(phased(epochs=10), "light").option)[0]["markLine"]["data"] == []


def test_a_first_phase_of_one_epoch_has_its_line_and_its_name() -> None:
    brief = spans(TrainingSpec.model_validate({"phases": [{"epochs": 1, "name": "warm-up"}, {"epochs": 29, "name": "all"}]}))
    (drawn,) = stretches(0, brief, list(range(1, 31)), "light", 250)
    assert drawn["markLine"]["data"] == [{"xAxis": "1"}]  # type: ignore[index]
    assert [left["name"] for left, _ in drawn["markArea"]["data"]] == ["warm-up | all"]  # type: ignore[index]
    (tight,) = stretches(0, brief, list(range(1, 31)), "light", 40)
    assert [left["name"] for left, _ in tight["markArea"]["data"]] == ["all"]  # type: ignore[index]
    (begun,) = stretches(0, brief, [1], "light", 250)
    assert begun["markLine"]["data"] == []  # type: ignore[index]


def test_phases_stand_where_they_belong_on_a_thinned_axis() -> None:
    long = spans(TrainingSpec.model_validate({"phases": [{"epochs": 301}, {"epochs": 699}]}))
    ticks = [*range(1, 1000, 7), 1000]
    (drawn,) = stretches(0, long, ticks, "light", 250)
    assert drawn["markLine"]["data"] == [{"xAxis": "302"}]  # type: ignore[index]  # the nearest tick


def test_names_that_do_not_fit_are_left_to_the_caption() -> None:
    brief = spans(TrainingSpec.model_validate({"phases": [{"epochs": 1, "name": "warm-up"}, {"epochs": 99, "name": "x" * 99}]}))
    (drawn,) = stretches(0, brief, list(range(1, 101)), "dark", 250)
    names = [left["name"] for left, _ in drawn["markArea"]["data"]]  # type: ignore[index]
    assert "warm-up" not in names
    assert len(names[-1]) <= 250 / 6


def test_the_legend_tells_the_phases_and_what_is_not_drawn() -> None:
    said = strip.legend(phased(arms={**two_arms(), "only regime": {"scheme": "equal", "tasks": ["regime"]}})).replace("\\", "")
    assert phases_sentence(phased().spec.training) in said
    assert "No criterion and no own objective is drawn of only regime" in said


# --- arms on some of the tasks ---------------------------------------------------------------------------------------


def two_arms() -> dict[str, object]:
    return {"learned": {"scheme": "softplus"}, "fixed": {"scheme": "equal"}}


def test_one_click_adds_an_arm_for_each_task_and_a_second_says_so(store: Store) -> None:
    app = click(opened(experiment()), "arm-singles")
    assert [arm.tasks for arm in draft(app).arms.values()] == [None, None, *((name,) for name in NAMES)]
    assert list(draft(app).arms)[2:] == list(single_task_arms(NAMES))
    assert draft(app).baseline == "fixed"
    before = draft(app)
    click(app, "arm-singles")
    assert "There is an arm for each task already." in errors(app)
    assert draft(app) == before
    assert runner.prepare(store, draft(app))


def test_there_are_never_more_arms_than_a_page_takes(store: Store) -> None:
    many = {f"arm {n}": {"scheme": "equal"} for n in range(state.MAX_ARMS - 2)}
    app = click(opened(experiment(arms=many)), "arm-singles")
    assert len(draft(app).arms) == state.MAX_ARMS
    assert "no room for an arm on anomaly, forecast, transition and daily_forecast alone" in errors(app)


def test_an_arm_that_is_there_is_not_added_again(store: Store) -> None:
    mine = {"scheme": "equal", "tasks": ["regime"]}
    app = click(opened(experiment(arms={**two_arms(), "mine": mine})), "arm-singles")
    assert "only regime" not in draft(app).arms
    assert "only casualty" in draft(app).arms


def test_the_form_of_an_arm_starts_with_its_tasks(store: Store) -> None:
    app = opened(experiment(arms={**two_arms(), "some": {"scheme": "equal", "tasks": ["anomaly", "regime"]}}))
    assert any("equal, 2 tasks" in one.label.replace("\\", "") for one in app.button)
    assert widget(click(app, "arm-0"), "multiselect", "arm-tasks").value == NAMES
    assert widget(click(app, "arm-2"), "multiselect", "arm-tasks").value == ["regime", "anomaly"]


def test_chosen_tasks_are_in_the_problems_order_and_all_of_them_are_none() -> None:
    """In one order, as the same arm has one hash."""
    assert arms.some_of(["casualty", "regime"], NAMES) == ["regime", "casualty"]
    assert arms.some_of(NAMES[::-1], NAMES) is None


def test_single_task_arms_are_drawn_as_long_as_no_panel_is_too_full() -> None:
    alone = {name: arm.model_dump() for name, arm in single_task_arms(NAMES).items()}
    comparison = drawn_comparison({**two_arms(), **alone})
    assert len(fitting(comparison, list(comparison.spec.arms))) == 8  # three lines a panel
    many = drawn_comparison({**two_arms(), **{f"arm {n}": {"scheme": "gls"} for n in range(4)}, **alone})
    drawn = fitting(many, ["fixed", *many.spec.arms])
    assert len([arm for arm in drawn if not arm.startswith("only")]) == 5
    assert not [arm for arm in drawn if arm.startswith("only")]


def test_the_table_has_one_column_for_all_single_task_arms() -> None:
    alone = {name: arm.model_dump() for name, arm in single_task_arms(NAMES).items()}
    found = tables.metrics(metric_table(drawn_comparison({**two_arms(), **alone})), headlines_only=True)
    names = [name for name in found[0] if "alone" in name or "only" in name]
    assert names == ["trained alone", "trained alone − fixed"]


def test_single_task_arms_are_one_line_of_the_verdict_and_one_row_of_points() -> None:
    alone = {name: arm.model_dump() for name, arm in single_task_arms(NAMES).items()}
    comparison = drawn_comparison({**two_arms(), **alone})
    arms_alone = [one for one in verdict(comparison).arms if one.arm != "learned"]
    assert results.first_line(results.together(arms_alone)).endswith(f"of {len(NAMES)} tasks")
    found = forest(metric_table(comparison), looks(comparison.spec, "light"), "light")
    assert [trace.name for trace in found.data] == ["learned", "trained alone"]
    assert all(x is not None for x in found.data[1].x)


def test_a_chip_says_once_on_which_task_an_arm_is(store: Store) -> None:
    app = click(opened(experiment()), "arm-singles")
    said = [one.label.replace("\\", "") for one in app.button if str(one.key).startswith("arm-")]
    assert "**only regime** · equal" in said


def test_convolutions_chosen_for_a_model_without_any_are_shown_as_auto(store: Store) -> None:
    """As a model of dense layers that was trained has them: none, which Run fills in."""
    app = opened(experiment(training={"trunk": "mlp", "hidden": [16], "channels": [], "strides": []}))
    widget(app, "selectbox", "trunk").set_value("conv").run()
    assert not app.exception
    for name in ("channels", "strides"):
        shown = widget(app, "text_input", name)
        assert (shown.value, shown.placeholder) == ("", "auto")
    images = data.load(parse_experiment({"data": {"scenario": "multi_digits"}, "arms": {"a": "equal"}}).data)
    trained = resolve(draft(app), images).training
    assert (trained.channels, trained.strides) == ((16, 32), (1, 2))


# --- another problem -------------------------------------------------------------------------------------------------


def test_another_scenario_starts_from_its_own_training_and_whole_arms(store: Store) -> None:
    given = experiment(
        training={**EVERYTHING, "phases": HEADS_FIRST},
        arms={**two_arms(), "only regime": {"scheme": "equal", "tasks": ["regime"]}},
        baseline="only regime",
        selection={"stop": {"on": "primary", "task": "regime"}},
    )
    app = opened(given)
    widget(app, "selectbox", "scenario").set_value("multi_digits").run()
    assert not app.exception
    assert draft(app).training == TrainingSpec()
    assert list(draft(app).arms) == ["learned", "fixed"]
    assert draft(app).baseline == "fixed"
    assert "stop" not in draft(app).selection.model_fields_set


@pytest.fixture(scope="module", params=list(SCENARIOS))
def problem(request: pytest.FixtureRequest) -> tuple[str, Problem]:
    return request.param, data.load(parse_experiment({"data": {"scenario": request.param}, "arms": {"a": "equal"}}).data)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_arms_of_every_preset_are_allowed_on_every_scenario(problem: tuple[str, Problem], preset: str) -> None:
    scenario, loaded = problem
    given = parse_experiment(PRESETS[preset])
    arms, _ = state.runnable({name: arm.model_dump(mode="json") for name, arm in given.arms.items()}, scenario)
    assert resolve(parse_experiment({"arms": arms, "data": {"scenario": scenario}}), loaded).training.epochs
    assert SCENARIOS[scenario].positive == all(task.kind != "function" for task in loaded.tasks)


def test_arms_that_cannot_run_on_losses_below_0_give_way_to_one_that_can_and_a_sentence_says_so(store: Store) -> None:
    arms = {"learned": {"scheme": "uncertainty"}, "gls": {"scheme": "gls"}, "averaged": {"scheme": "dwa"}, "fixed": "equal"}
    app = opened(experiment(arms=arms, baseline="gls"))
    widget(app, "selectbox", "scenario").set_value("landscape").run()
    assert not app.exception
    assert {name: arm.scheme for name, arm in draft(app).arms.items()} == {"mgda": "mgda", "averaged": "dwa", "fixed": "equal"}
    sentence = "learned and gls cannot run on Two losses on a plane, whose losses go below 0: mgda stands instead."
    assert sentence in " ".join(str(one.value) for one in app.error).replace("\\", "")


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ('3 runs failed. gls needs positive losses; task "L1" is -0.8 at step 518.', "at step 518. Choose another scheme"),
        ("3 runs failed. The worker was lost three times.", "Press Run to try"),
    ],
)
def test_what_was_refused_is_not_to_be_tried_again(monkeypatch: pytest.MonkeyPatch, sentence: str, told: str) -> None:
    heard: list[str] = []
    monkeypatch.setattr(live.st, "warning", heard.append)
    live.tell(Progress("", "failed", sentence, 3, 3, 0, 1, 1, 1.0, None))
    assert told in heard[0].replace("\\", "")
    assert ("Press Run" in heard[0]) == ("Press Run" in told)


def test_the_legend_counts_seeds_as_they_are() -> None:
    one, many = (strip.legend(drawn_comparison(seeds=seeds)).replace("\\", "") for seeds in (1, 8))
    assert "Lines: one seed, so without a band." in one
    assert "N = " not in one
    assert "median" not in one
    assert "Lines: mean over 8 seeds. Band: 95 % t interval of the mean over seeds, N = 8." in many
    given = drawn_comparison(seeds=3)
    lost = replace(given, runs=(replace(given.runs[0], status="diverged"), *given.runs[1:]))
    assert "Lines: mean over the seeds that count (learned 2, fixed 3). Band: 95 %" in strip.legend(lost).replace("\\", "")


def test_the_legend_names_what_leaves_its_axis_of_the_arms_drawn() -> None:
    given = drawn_comparison(seeds=2)
    away = given.history.copy()
    place = given.channels.index(Channel("validation", "regime", "loss"))
    away[5:, :2, place] = 1e6
    cut = replace(given, history=away)
    assert "Beyond the axis" not in strip.legend(given)
    assert "Beyond the axis, in part: learned in regime: validation loss." in strip.legend(cut).replace("\\", "")
    assert "Beyond the axis" not in strip.legend(cut, ["fixed"])
