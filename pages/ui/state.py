"""What one viewer has on the table: the draft they edit and the experiment they look at. Results live in the store.

The address says it too: `?run=ID` for a stored experiment, `?v=1&c=SPEC` for any, so a reload or a colleague sees the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import streamlit as st

from mtl_core import recorded, runner
from mtl_core.analysis.wording import listed
from mtl_core.data.scenarios import SCENARIOS
from mtl_core.errors import SpecError, StoreError, UserError
from mtl_core.links import from_link
from mtl_core.records import Comparison
from mtl_core.resolving import ANY_SIGN, needs_positive
from mtl_core.specs import ArmSpec, DataSpec, ExperimentSpec, parse_experiment, single_task_arms
from mtl_core.store import Store

MAX_ARMS = 8  # more cannot be told apart on a page
RECORDED = "recorded"  # stands for the comparison that the package brings along


def restore(store: Store) -> None:
    """Take over what the address names, once; without a name, go on with what was there, or open the recorded comparison."""
    named = (st.query_params.get("run"), st.query_params.get("c"))
    if any(named) and st.session_state.get("restored") != named:
        st.session_state["restored"] = named
        _take_over(store, *named)
    if not any(named) and draft():
        _name_in_address(shown())


def _take_over(store: Store, run: str | None, link: str | None) -> None:
    try:
        if run:
            show(store, run)
        else:
            _open_link(store, link or "")
    except UserError as error:
        fall_back(f"{error}")


def _open_link(store: Store, link: str) -> None:
    if st.query_params.get("v", "1") != "1":
        raise SpecError("This link was made by a newer version of this app and was not opened.")
    spec = from_link(link)
    known = {row.id for row in store.experiments()}
    _put(spec, spec.id if spec.id in known else RECORDED if spec.id == recording().spec.id else None)


def draft() -> ExperimentSpec:
    """The experiment as edited."""
    if "draft" not in st.session_state:
        show_recorded()
    return cast("ExperimentSpec", st.session_state["draft"])


def shown() -> str | None:
    """Id of the experiment on display; RECORDED; None when nothing was run yet."""
    return cast("str | None", st.session_state.get("shown"))


def show(store: Store, experiment_id: str) -> None:
    """Put a stored experiment on display and make it the draft. Raises UserError."""
    _put(store.comparison(experiment_id).spec, experiment_id)


def show_recorded() -> None:
    """Put the recorded comparison on display and make it the draft."""
    _put(recording().spec, RECORDED)


def fall_back(why: str) -> None:
    """What was asked for is not here: the recorded comparison takes its place, and the draft stays as it was edited."""
    edited = "draft" in st.session_state and draft().id != recording().spec.id
    kept = " Your settings are kept: press Run to train with them." if edited else ""
    say(f"{why} Shown instead: the recorded comparison.{kept}")
    draft()  # a first visit has none yet
    st.session_state["shown"] = RECORDED
    _name_in_address(RECORDED)


def picks() -> bool:
    """Whether a row was selected in Runs since something was last put on display."""
    return "picked" in st.session_state


def picked() -> str | None:
    """Id of the experiment selected in Runs."""
    return cast("str | None", st.session_state.get("picked"))


def pick(experiment_id: str | None) -> None:
    """Select an experiment in Runs, or none."""
    st.session_state["picked"] = experiment_id


def forget(experiment_id: str) -> None:
    """A deleted experiment is neither selected nor on display any more; its settings stay as the draft."""
    if picked() == experiment_id:
        pick(None)
    if shown() == experiment_id:
        st.session_state["shown"] = None


def start_from(experiment: Mapping[str, Any]) -> None:
    """Make a preset or another data set the draft; what is on display stays until Run, unless it is what was recorded."""
    spec = parse_experiment(experiment)
    if spec.id == recorded.experiment().id:
        show_recorded()
        return
    st.session_state["draft"] = spec
    _renew_widgets()


def use_data(data: Mapping[str, Any]) -> None:
    """Compare the draft's arms on other data: what belongs to the old data is left to the new.

    That is the whole training, as every problem recommends its own, the criterion, and what names tasks: arms on some of
    them go, settings by task are as the scheme has them.
    """
    before = draft()
    same = (before.data.scenario, before.data.fingerprint) == (data.get("scenario"), data.get("fingerprint"))
    whole = {name: arm for name, arm in before.arms.items() if same or arm.tasks is None} or {"fixed": ArmSpec(scheme="equal")}
    arms = {name: arm.model_dump(mode="json") for name, arm in whole.items()}
    for arm in arms.values():
        arm["settings"] = {name: value for name, value in arm["settings"].items() if not isinstance(value, Mapping)}
    arms, refused = runnable(arms, str(data.get("scenario")))
    if refused:
        say(refused)
    baseline = before.baseline if before.baseline in arms else ""
    kept = {"name": before.name, "arms": arms, "baseline": baseline, "seeds": list(before.seeds), "device": before.device}
    start_from({**kept, "data": data})


def runnable(arms: dict[str, dict[str, Any]], scenario: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The arms that can run on a scenario, with one for those that cannot; and a sentence about these, empty without any."""
    if scenario not in SCENARIOS or SCENARIOS[scenario].positive:
        return arms, ""
    refused = [name for name, arm in arms.items() if needs_positive(ArmSpec.model_validate(arm))]
    if not refused:
        return arms, ""
    left = {name: arm for name, arm in arms.items() if name not in refused}
    why = f"{listed(refused)} cannot run on {SCENARIOS[scenario].title}, whose losses go below 0: {ANY_SIGN} stands instead."
    return {ANY_SIGN: {"scheme": ANY_SIGN}, **left}, why


def of_table(fingerprint: str) -> DataSpec:
    """What this viewer last said of a stored table: edited on the page, or as a draft had it."""
    said: dict[str, DataSpec] = st.session_state.setdefault("of-tables", {})
    return said.get(fingerprint) or DataSpec(fingerprint=fingerprint)


def keep_of_table(data: DataSpec) -> None:
    """Keep what is said of a stored table for the next time that it is chosen."""
    if data.fingerprint is not None:
        st.session_state.setdefault("of-tables", {})[data.fingerprint] = data


def change(**values: Any) -> None:
    """Change parts of the draft; nothing changes if the result is not allowed. Raises SpecError."""
    st.session_state["draft"] = parse_experiment({**said_of(draft()), **values})


def said_of(spec: ExperimentSpec) -> dict[str, Any]:
    """A spec as plain values that mean the same: early stopping or a scale that was left to the data stays so."""
    return {**spec.model_dump(mode="json"), "selection": spec.selection.model_dump(mode="json", exclude_unset=True)}


def add_arm(scheme: str) -> None:
    """Give the draft one arm more, with the scheme as it is by itself. Raises SpecError when there are as many as it takes."""
    arms = {name: arm.model_dump(mode="json") for name, arm in draft().arms.items()}
    if len(arms) >= MAX_ARMS:
        raise SpecError(f"There are {MAX_ARMS} arms already.")
    names = (scheme, *(f"{scheme} {n}" for n in range(2, MAX_ARMS + 2)))
    free = next(name for name in names if name not in arms)
    change(arms={**arms, free: {"scheme": scheme}}, baseline=draft().baseline)


def add_single_task_arms(tasks: Sequence[str]) -> None:
    """Give the draft an arm for each task alone, as far as there is none and there is room; says what was not done."""
    arms = dict(draft().arms)
    alone = {arm.tasks for arm in arms.values() if arm.tasks is not None and arm.scheme == "equal"}
    missing = {name: arm for name, arm in single_task_arms(tasks).items() if arm.tasks not in alone and name not in arms}
    room = max(MAX_ARMS - len(arms), 0)
    if not missing:
        say("There is an arm for each task already.")
    elif room < len(missing):
        left = [str(arm.tasks[0]) for arm in list(missing.values())[room:] if arm.tasks]
        say(f"A comparison has {MAX_ARMS} arms at most: there is no room for an arm on {listed(left)} alone.")
    arms |= dict(list(missing.items())[:room])
    change(arms={name: arm.model_dump(mode="json") for name, arm in arms.items()}, baseline=draft().baseline)


def changed(comparison: Comparison) -> bool:
    """Whether the draft is no longer what is on display."""
    return comparison.spec.id != draft().id


def submit(store: Store) -> None:
    """Run the draft: queue what is not stored yet and put it on display."""
    try:
        experiment_id = runner.submit(store, draft())
        show(store, experiment_id)
    except (UserError, StoreError) as error:
        say(str(error))


def say(sentence: str) -> None:
    """Keep a sentence for the next drawing of the page."""
    st.session_state["said"] = sentence


def said() -> str | None:
    """The kept sentence, once."""
    return cast("str | None", st.session_state.pop("said", None))


def key(name: str) -> str:
    """A widget key that changes when the draft is replaced as a whole, so that widgets start from the new values."""
    return f"{name}-{st.session_state.get('generation', 0)}"


@st.cache_resource(show_spinner=False)
def recording() -> Comparison:
    """The comparison shipped with the package."""
    return recorded.load()


def _put(spec: ExperimentSpec, where: str | None) -> None:
    st.session_state["draft"] = spec
    st.session_state["shown"] = where
    st.session_state.pop("picked", None)  # Runs follows what was put on display
    _name_in_address(where)
    _renew_widgets()


def _name_in_address(where: str | None) -> None:
    if where == RECORDED and "run" in st.query_params:
        st.query_params.clear()
        st.session_state.pop("restored", None)
    elif where and where != RECORDED and st.query_params.get("run") != where:
        st.query_params.from_dict({"run": where})
        st.session_state["restored"] = (where, None)


def _renew_widgets() -> None:
    keep_of_table(draft().data)
    st.session_state["generation"] = st.session_state.get("generation", 0) + 1
