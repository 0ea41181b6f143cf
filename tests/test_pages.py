"""Pages as scripts (AppTest) and their pure parts: figures, tables, names, edits."""

from __future__ import annotations

import html
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drawn import drawn_comparison
from streamlit.testing.v1 import AppTest

from mtl_core import data, recorded, runner
from mtl_core.analysis import Estimate, curves, metric_table
from mtl_core.analysis.wording import interval, number
from mtl_core.errors import SpecError
from mtl_core.links import to_link
from mtl_core.records import Channel, Comparison
from mtl_core.schemes import SCHEMES
from mtl_core.specs import ArmSpec, DataSpec, TaskSpec, parse_experiment
from mtl_core.store import ExperimentRow, Progress, Store
from pages.ui import columns, library, tables, takeaway
from pages.ui.arms import edge
from pages.ui.figure import places
from pages.ui.forest import forest
from pages.ui.lines import Row, full_strength, name_shifts
from pages.ui.palette import BASELINE_DASH, NEUTRAL, SCHEME_COLOURS, SCHEME_HUES, Look, looks
from pages.ui.panels import main_figure, shown_looks, ticks
from pages.ui.presets import PRESETS
from pages.ui.text import cell, plain, short, untemplated

APP = str(Path(__file__).parent.parent / "app.py")
EVIL = "<b>x</b> {a0} $\\frac12$ **q** :red[z]"


def opened(page: str = "pages/compare.py", query: dict[str, str] | None = None) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    for name, value in (query or {}).items():
        app.query_params[name] = value
    app.run()
    if page != "pages/compare.py":
        app.switch_page(page).run()
    assert not app.exception, app.exception
    return app


def settled() -> AppTest:
    """Compare, ready for changes: AppTest alone takes the page of its first run for another one than that of its second."""
    return opened().switch_page("pages/compare.py").run()


def button(app: AppTest, key: str) -> Any:
    return next(one for one in app.button if one.key == key)


def words(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.error, app.warning, app.info)
    return " ".join(str(one.value) for kind in kinds for one in kind)


def figure_of(app: AppTest) -> dict[str, Any]:
    return json.loads(app.get("echarts_chart")[0].proto.spec)


# --- pages -----------------------------------------------------------------------------------------------------------


def test_compare_opens_on_the_recorded_comparison(store: Store) -> None:
    app = opened()
    assert "recorded" in words(app)
    assert "8 seeds" in words(app)
    assert {one["name"] for one in figure_of(app)["series"]} == set(recorded.load().spec.arms)
    assert store.experiments() == []  # looking at it runs nothing


def test_the_recorded_comparison_is_of_the_present_defaults(store: Store) -> None:
    """If this fails, record again: `python -m mtl_core.recorded`."""
    present, _ = runner.prepare(store, recorded.experiment())
    assert present.id == recorded.load().spec.id


def test_run_submits_the_draft_and_shows_it_as_queued(store: Store) -> None:
    app = opened()
    button(app, "run").click().run()
    assert not app.exception
    (row,) = store.experiments()
    assert row.progress.state == "queued"
    assert app.query_params["run"] == row.id
    assert button(app, "run").disabled
    assert not button(app, "stop").disabled
    button(app, "stop").click().run()
    assert store.progress(row.id).state == "stopped"
    assert "Press Run to go on" in words(app)


def test_a_changed_choice_trains_nothing_and_is_marked(store: Store) -> None:
    app = settled()
    epochs = next(one for one in app.number_input if str(one.key).startswith("epochs-"))
    epochs.set_value(7).run()
    assert "changed, Run to update" in words(app)
    assert store.experiments() == []


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_can_be_submitted(store: Store, preset: str) -> None:
    assert runner.submit(store, parse_experiment(PRESETS[preset]))


def test_a_link_restores_the_same_experiment(store: Store) -> None:
    spec = recorded.load().spec.model_copy(update={"seeds": (3, 4)})
    app = opened(query={"v": "1", "c": to_link(spec)})
    assert app.session_state["draft"].id == spec.id
    assert "not run yet" in words(app)


@pytest.mark.parametrize("query", [{"run": "0" * 16}, {"c": "nonsense"}, {"v": "9", "c": "x"}])
def test_an_unknown_link_says_so_and_shows_the_recorded_comparison(store: Store, query: dict[str, str]) -> None:
    app = opened(query=query)
    assert any("recorded comparison" in str(one.value) for one in app.error)
    assert app.session_state["shown"] == "recorded"


def test_a_link_to_a_table_that_is_not_here_says_so(store: Store) -> None:
    spec = parse_experiment({"data": {"fingerprint": "f" * 16}, "arms": {"a": {"scheme": "equal"}}})
    app = opened(query={"v": "1", "c": to_link(spec)})
    assert "recorded comparison" in " ".join(str(one.value) for one in app.error)


def test_a_run_that_somebody_deleted_says_so(store: Store) -> None:
    app = settled()
    button(app, "run").click().run()
    store.delete(app.session_state["shown"])
    app.run()
    assert not app.exception
    assert "recorded comparison" in " ".join(str(one.value) for one in app.error)


def test_a_store_that_cannot_be_opened_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_STORE_URL", "sqlite:////proc/nowhere/store.sqlite")
    monkeypatch.setenv("MTL_WORKERS", "0")
    app = opened()
    assert "MTL_STORE_URL" in str(app.error[0].value)


def test_the_form_of_an_arm_has_every_declared_setting(store: Store) -> None:
    app = settled()
    button(app, "arm-0").click().run()
    assert not app.exception
    keys = " ".join(
        str(one.key) for kind in (app.selectbox, app.number_input, app.toggle, app.get("button_group")) for one in kind
    )
    for name in SCHEMES["uncertainty"].settings():
        assert f"arm-{name}-" in keys, name


@pytest.mark.parametrize("way", [takeaway.WITH, takeaway.WITHOUT])
def test_an_arm_can_be_taken_away_as_code_that_compiles(store: Store, way: str) -> None:
    app = settled()
    next(one for one in app.get("button_group") if one.key == "details").set_value("Code").run()
    next(one for one in app.get("button_group") if one.key == "code-way").set_value(way).run()
    assert not app.exception
    compile(next(one.value for one in app.code if one.language == "python"), "arm.py", "exec")
    assert app.get("download_button")


def test_code_that_cannot_be_written_is_refused_with_a_sentence(store: Store) -> None:
    comparison = drawn_comparison({"a": {"scheme": "equal"}})
    with pytest.raises(SpecError, match="No arm"):
        takeaway.written(comparison, "nobody", takeaway.WITHOUT)


def test_runs_lists_what_is_stored_and_says_what_to_do_without_any(store: Store) -> None:
    assert "Run one on the Compare page" in words(opened("pages/runs.py"))
    runner.submit(store, recorded.experiment())
    app = opened("pages/runs.py")
    assert app.dataframe[0].value["name"].tolist() == ["learned-vs-fixed"]


def test_data_shows_the_scenario_and_goes_to_compare(store: Store) -> None:
    app = opened("pages/data.py")
    assert "synthetic data" in words(app)
    assert "regime" in app.dataframe[0].value["task"].tolist()


def test_an_upload_with_hostile_names_is_shown_as_text(store: Store) -> None:
    rows = "\n".join(f"{i % 7},{i % 3},{i * 0.5 if i % 4 else ''}" for i in range(120))
    store.put_table("mine.csv", f"<b>x</b>,$y$,target\n{rows}".encode())
    app = opened("pages/data.py")
    way = next(one for one in app.get("button_group") if str(one.key).startswith("way-"))
    way.set_value("My own table").run()
    app.selectbox(key="stored-table").select_index(0).run()
    assert not app.exception
    assert "120 rows" in " ".join(str(one.value) for one in app.subheader)
    assert "<b>x" not in words(app).replace("\\<b\\>x", "")


# --- figure ----------------------------------------------------------------------------------------------------------


def option_of(comparison: Comparison) -> dict[str, Any]:
    return main_figure(comparison, "light").option


def test_the_figure_holds_the_criterion_and_a_panel_per_task_and_quantity() -> None:
    option = option_of(drawn_comparison())
    assert len(option["grid"]) == 2 + 6 + 6
    assert len(option["xAxis"]) == len(option["yAxis"]) == len(option["title"]) == len(option["grid"])
    assert option["axisPointer"]["link"] == [{"xAxisIndex": "all"}]


def test_a_line_is_the_mean_and_a_band_adds_up_to_its_bounds() -> None:
    comparison = drawn_comparison()
    curve = curves(comparison, Channel("validation", "", "criterion")).curves[0]
    by_id = {one["id"]: one["data"] for one in option_of(comparison)["series"]}
    assert by_id["0/learned"] == pytest.approx(curve.mean, rel=1e-3)
    low, height = by_id["0/learned/low"], by_id["0/learned/high"]
    assert [a + b for a, b in zip(low, height, strict=True)] == pytest.approx(curve.high, rel=1e-2)


def test_the_figure_is_plain_json_whatever_was_recorded() -> None:
    for comparison in (drawn_comparison(), drawn_comparison(seeds=1), drawn_comparison(status="running")):
        json.dumps(option_of(comparison), allow_nan=False)


def test_gate_panels_exist_only_where_an_arm_has_a_gate() -> None:
    gated = drawn_comparison({"gated": {"scheme": "softplus", "gate": {}}, "fixed": {"scheme": "equal"}})
    assert len(option_of(gated)["grid"]) == 2 + 6 + 6 + 6


def test_panels_never_overlap_on_wide_or_narrow_screens() -> None:
    comparison = drawn_comparison()
    panel = curves(comparison, Channel("validation", "", "criterion"))
    rows = [Row([panel] * 2, ["a", "b"], 150, 2, narrow_columns=1), Row([panel] * 7, list("abcdefg"), 90, 6)]
    for narrow in (False, True):
        found, height = places(rows, narrow=narrow)
        for n, one in enumerate(found):
            assert one.left + one.width <= 100
            assert one.top + one.height <= height
            for other in found[n + 1 :]:
                aside = one.left + one.width <= other.left or other.left + other.width <= one.left
                assert aside or one.top + one.height <= other.top


def test_the_axis_stands_still_in_training_and_ends_where_runs_ended() -> None:
    assert ticks(drawn_comparison(status="running"))[-1] == 30
    assert ticks(drawn_comparison(status="diverged"))[-1] == 15
    assert len(ticks(drawn_comparison(epochs=1000))) <= 151


def test_a_diverged_run_does_not_bend_the_axis() -> None:
    comparison = drawn_comparison()
    runs = list(comparison.runs)
    runs[0] = runs[0].__class__(**{**runs[0].__dict__, "status": "diverged"})
    comparison.history[5:, 0, :] = 1e9
    option = option_of(replace(comparison, runs=tuple(runs)))
    assert all(axis.get("max", 0) < 10 for axis in option["yAxis"])


def test_a_single_point_is_seen_and_more_are_a_line() -> None:
    lines = [one for one in option_of(drawn_comparison(epochs=1))["series"] if not one.get("tooltip")]
    assert lines
    assert all(one["showSymbol"] and one["symbol"] == "circle" for one in lines)
    lines = [one for one in option_of(drawn_comparison(epochs=2))["series"] if not one.get("tooltip")]
    assert not any(one["showSymbol"] for one in lines)


def test_names_at_line_ends_stand_apart() -> None:
    panel = curves(drawn_comparison({f"arm {n}": {"scheme": "equal"} for n in range(4)}), Channel("validation", "", "criterion"))
    assert panel.axis is not None
    low, high = panel.axis
    shifts = name_shifts(panel.curves, panel.axis, 150)
    ends = {curve.arm: curve.mean[-1] for curve in panel.curves}
    at = sorted(150 * (high - ends[arm]) / (high - low) + shift for arm, shift in shifts.items())
    assert all(b - a >= 11.9 for a, b in itertools.pairwise(at))


def test_a_mean_of_the_few_runs_left_is_not_drawn() -> None:
    comparison = drawn_comparison()
    comparison.history[20:, 2:8, :] = float("nan")  # six of eight seeds of the first arm stopped early
    curve = curves(comparison, Channel("validation", "", "criterion")).curves[0]
    assert full_strength(curve)[:20].all()
    assert not full_strength(curve)[20:].any()


def test_names_in_the_tooltip_are_text() -> None:
    formatter = option_of(drawn_comparison({EVIL: {"scheme": "softplus"}, "fixed": {"scheme": "equal"}}))["tooltip"]["formatter"]
    assert "<b>x" not in formatter
    assert "{a0}" not in formatter
    assert html.escape("<b>x</b>") in formatter


def test_every_value_in_the_tooltip_belongs_to_its_line() -> None:
    option = option_of(drawn_comparison())
    lines = [one for one in option["series"] if not one.get("tooltip")]
    rows = re.findall(r"<tr><td>(.*?)</td>(.*?)</tr>", option["tooltip"]["formatter"])
    at = 0
    for panel, (_, cells) in enumerate(rows):
        for place in re.findall(r"\{c(\d+)\}", cells):
            assert (int(place), lines[at]["xAxisIndex"]) == (at, panel)
            at += 1
    assert at == len(lines)


# --- colours, tables, text -------------------------------------------------------------------------------------------


def test_colour_belongs_to_the_scheme_and_the_baseline_is_neutral_and_dashed() -> None:
    spec = parse_experiment(
        {
            "data": {"scenario": "osint"},
            "arms": {"a": {"scheme": "softplus"}, "b": {"scheme": "softplus", "gate": {}}, "c": {"scheme": "equal"}},
        }
    )
    found = looks(spec, "light")
    assert found["a"].colour == found["b"].colour
    assert found["a"].dash != found["b"].dash
    assert (found["c"].colour, found["c"].dash) == (NEUTRAL["light"], BASELINE_DASH)


def test_a_chips_edge_shows_the_dash() -> None:
    assert edge(Look("#0072B2", [])).count("#0072B2") == 1
    dotted = edge(Look("#0072B2", [2, 3]))
    assert "#0072B2 0px 2px, transparent 2px 5px" in dotted


def test_schemes_that_share_a_colour_are_told_apart_by_dash() -> None:
    first, second, *_ = SCHEME_HUES["blue"]
    arms = {first: ArmSpec(scheme="uncertainty"), second: ArmSpec(scheme="uncertainty").model_copy(update={"scheme": second})}
    spec = parse_experiment({"data": {"scenario": "osint"}, "arms": {"c": "equal"}}).model_copy(update={"arms": arms})
    found = looks(spec, "dark")
    assert found[first].colour == found[second].colour
    assert found[first].dash != found[second].dash


@pytest.mark.parametrize(("theme", "background"), [("light", "#FFFFFF"), ("dark", "#0E1117")])
def test_every_scheme_has_a_colour_of_enough_contrast(theme: Any, background: str) -> None:
    assert set(SCHEMES) <= set(SCHEME_COLOURS[theme])
    for colour in (*SCHEME_COLOURS[theme].values(), NEUTRAL[theme]):
        assert contrast(colour, background) >= 3


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_at_most_five_arms_are_drawn_and_the_baseline_is_one_of_them() -> None:
    comparison = drawn_comparison(
        {f"arm {n}": {"scheme": "softplus"} for n in range(7)} | {"fixed": {"scheme": "equal"}}, seeds=2
    )
    found = shown_looks(comparison, "light", None)
    assert len(found) == 5
    assert "fixed" in found


def test_the_metric_table_has_every_arm_its_difference_and_the_constant_prediction() -> None:
    table = tables.metrics(metric_table(drawn_comparison()), headlines_only=True)
    assert [row["task"] for row in table] == [task.name for task in drawn_comparison().problem.tasks]
    assert {"learned", "fixed", "learned − fixed", "constant (mean)", "seeds"} <= set(table[0])


def test_the_forest_says_better_to_the_right_whatever_the_metric() -> None:
    comparison = drawn_comparison()
    table = metric_table(comparison, headlines_only=True)
    trace = forest(table, looks(comparison.spec, "light"), "light").data[0]
    for row, x in zip(table.headlines, trace.x, strict=True):
        difference = row.cells["learned"].difference
        assert difference is not None
        assert (x > 0) == (difference.mean * row.direction > 0)


@pytest.mark.parametrize("name", [EVIL, "`code`", "[a](b)", "$x$", ":material/home:", "# head", "a_b_c", "1. x", "&lt;"])
def test_names_are_escaped_letter_by_letter(name: str) -> None:
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", plain(name)) == name
    assert not re.search(r"(?<!\\)[*_`$<\[:#&]", plain(name).replace("\\\\", ""))
    assert "<" not in cell(name)


def test_names_in_charts_are_neither_templates_nor_unknown_entities() -> None:
    assert html.unescape(cell("{c} \"q\" 's' & <b>")) == "{c} \"q\" 's' & <b>"
    assert not re.search(r"&(?!amp;|lt;|gt;|#\d+;)|[{}]", cell("{c} \"q\" 's' & <b>"))  # Plotly knows few entities by name
    assert not re.search(r"\{\w", untemplated("{a} {b|x} {@y}"))
    assert untemplated("{a}").replace("\u2060", "") == "{a}"


def test_long_names_keep_their_beginning_and_end_on_one_line() -> None:
    assert short("a" * 50 + "\n" + "z" * 50, 20) == "a" * 13 + "…" + "z" * 6
    assert short("short") == "short"
    assert short("  ") == "(blank)"


def verdict_page(arms: dict[str, object], seeds: int, status: str) -> AppTest:
    def page(arms: dict[str, object], seeds: int, status: str) -> None:
        from drawn import drawn_comparison

        from pages.ui import results

        results.tell(drawn_comparison(arms, seeds=seeds, status=status))  # type: ignore[arg-type]

    app = AppTest.from_function(page, args=(arms, seeds, status), default_timeout=60).run()
    assert not app.exception
    return app


MANY = {f"arm {n}": {"scheme": "softplus"} for n in range(7)} | {"fixed": {"scheme": "equal"}}


def test_too_few_seeds_are_told_once_whatever_the_number_of_arms() -> None:
    app = verdict_page(MANY, 2, "done")
    assert words(app).count("has enough seeds") == 1
    assert [one.label for one in app.expander] == ["The differences, arm by arm"]


def test_from_four_arms_on_a_verdict_shows_first_lines() -> None:
    app = verdict_page(MANY, 12, "done")
    assert [one.label.split("\\")[0] for one in app.expander] == [f"arm {n}" for n in range(7)]
    assert "of 6 tasks" in app.expander[0].label
    assert not verdict_page(
        {"a": {"scheme": "softplus"}, "b": {"scheme": "equal"}}, 7, "done"
    ).expander  # cached by runs: not 16 again


def test_a_comparison_of_which_every_run_diverged_is_an_error_with_a_next_step() -> None:
    app = verdict_page({"a": {"scheme": "softplus"}, "b": {"scheme": "equal"}}, 2, "diverged")
    assert "4 of 4 runs diverged; lower the learning rate" in app.error[0].value.replace("\\", "")


def test_progress_tells_how_many_runs_diverged() -> None:
    some = Progress("x", "done", "", 4, 4, 0, 3, 3, 1.0, None, diverged=1)
    row = ExperimentRow("x", "n", "osint", ("a",), "a", 2, 0.0, 0.0, "", False, some)
    every = row._replace(progress=some._replace(diverged=4))
    assert library.table([row, every])["state"].tolist() == ["1 of 4 diverged", "4 of 4 diverged"]
    assert (some.all_diverged, every.progress.all_diverged) == (False, True)


def test_zero_has_no_sign_and_seeds_alike_have_no_interval() -> None:
    assert number(-0.0001, 0.1) == "0.00"
    assert number(-1e-9, 0.1, signed=True) == "0.00"
    assert number(-0.5, 0.1) == "-0.50"
    assert interval(Estimate(0.5, 0.5, 0.5, 2)) == "0.5"
    assert interval(Estimate(0.5, 0.4, 0.6, 2)) == "0.50 [0.40, 0.60]"


# --- edits of a table ------------------------------------------------------------------------------------------------


def understood() -> tuple[pd.DataFrame, DataSpec]:
    rows = "\n".join(f"{i % 7},{i % 3},{'abc'[i % 3]},{i},{i * 0.5}" for i in range(120))
    content = f"x,level,word,target,other\n{rows}".encode()
    spec = DataSpec(fingerprint="f" * 16, targets={"target": None})  # type: ignore[dict-item]
    return columns.rows(data.inspect(content, "t.csv", spec), spec), spec


def edited(before: pd.DataFrame, column: str, **cells: str) -> pd.DataFrame:
    after = before.copy()
    for name, value in cells.items():
        after.loc[after["column"] == column, name] = value
    return after


def test_an_untouched_table_overrides_nothing() -> None:
    before, spec = understood()
    found = columns.corrected(before, before, spec)
    assert list(found.targets or {}) == ["target"]
    assert (found.ignore, found.columns, found.group, found.split) == ((), {}, None, None)


def test_edits_become_targets_ignored_columns_groups_and_readings() -> None:
    before, spec = understood()
    after = edited(before, "level", use="target", kind="multiclass")
    after = edited(after, "word", use="group")
    after = edited(after, "x", kind="category")
    after = edited(after, "other", use="left out")
    found = columns.corrected(before, after, spec)
    assert found.targets is not None
    assert found.targets["level"].kind == "multiclass"
    assert found.group == "word"
    assert found.columns == {"x": "category"}
    assert found.ignore == ("other",)


def test_a_task_without_a_name_of_its_own_cannot_break_a_page() -> None:
    tasks = (TaskSpec(name=EVIL, kind="regression"), TaskSpec(name="x" * 300, kind="binary"))
    option = option_of(drawn_comparison(tasks=tasks))
    assert all(len(title["text"]) <= 60 for title in option["title"])


# --- several people at one store ---------------------------------------------------------------------------------------


def stored(store: Store, **changes: Any) -> str:
    return runner.submit(store, parse_experiment({**recorded.experiment().model_dump(mode="json"), **changes}))


def ids(store: Store) -> set[str]:
    return {row.id for row in store.experiments()}


def test_runs_deletes_the_experiment_on_the_screen_although_another_came_to_the_top(store: Store) -> None:
    old = stored(store)
    app = opened("pages/runs.py")
    assert old in words(app)  # the question names what it deletes
    new = stored(store, name="new", seeds=[5])
    button(app, f"delete-{old}").click().run()
    assert not app.exception
    assert ids(store) == {new}
    assert "Select a row" in words(app)  # not the neighbour, which nobody selected
    assert not any(str(one.key).startswith("delete-") for one in app.button)


def test_a_pinned_experiment_stays_selected_where_it_goes(store: Store) -> None:
    old, other = stored(store), stored(store, name="other", seeds=[5])
    app = opened(query={"run": old}).switch_page("pages/runs.py").run()
    button(app, f"pin-{old}").click().run()
    assert store.experiments()[0].id == old
    assert button(app, f"unpin-{old}")
    assert app.session_state["picked"] == old
    assert ids(store) == {old, other}


def test_a_note_belongs_to_the_experiment_on_the_screen(store: Store) -> None:
    old = stored(store)
    app = opened("pages/runs.py")
    new = stored(store, name="new", seeds=[5])
    next(one for one in app.text_input if str(one.key).startswith(f"note-{old}")).set_value("mine").run()
    assert {row.id: row.note for row in store.experiments()} == {old: "mine", new: ""}


def test_a_selected_experiment_that_somebody_deleted_is_not_replaced_by_its_neighbour(store: Store) -> None:
    old, _ = stored(store), stored(store, name="other", seeds=[5])
    app = opened(query={"run": old}).switch_page("pages/runs.py").run()
    store.delete(old)
    app.run()
    assert "not stored any more" in words(app)


def test_the_draft_survives_that_the_experiment_on_display_is_deleted(store: Store) -> None:
    app = settled()
    button(app, "run").click().run()
    store.delete(app.session_state["shown"])
    problem = next(one for one in app.selectbox if str(one.key).startswith("scenario-"))
    problem.set_value("multi_digits").run()
    assert app.session_state["shown"] == "recorded"
    assert app.session_state["draft"].data.scenario == "multi_digits"
    assert "Your settings are kept" in words(app)
    assert not button(app, "run").disabled
    button(app, "run").click().run()
    assert [row.problem for row in store.experiments()] == ["multi_digits"]


def test_results_of_another_problem_than_the_drafts_say_so(store: Store) -> None:
    app = settled()
    assert "Shown:" not in words(app)
    next(one for one in app.selectbox if str(one.key).startswith("scenario-")).set_value("noise_and_scale").run()
    assert "Shown: Conflict monitoring, from before" in words(app).replace("\\", "")


def test_the_preset_that_was_recorded_shows_the_recorded_comparison(store: Store) -> None:
    app = opened(query={"run": stored(store, name="other", seeds=[5])}).switch_page("pages/compare.py").run()
    assert app.session_state["shown"] != "recorded"
    presets = next(one for one in app.get("button_group") if str(one.key).startswith("preset-"))
    presets.set_value(next(iter(PRESETS))).run()
    assert app.session_state["shown"] == "recorded"
    assert "changed, Run to update" not in words(app)
    assert "run" not in app.query_params
