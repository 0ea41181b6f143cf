"""A C-MAPSS recording as a problem: windows of 30 cycles, `rul` and `health`, divided by engine.

**One file** (train): the engines are divided into train, validation and test, 60, 20 and 20 %, by `split_seed`. Every window of
every engine is a row. **All three**: a fifth of the engines that run to failure validates, and the test is NASA's: one row an
engine of the test file, its last window, and the life it had left as the RUL file says it. There rul is not capped, as the
published scores are made; training labels are.

Settings and sensors that do not vary over the training engines are left out. Window, cap and the thresholds of health are
constants (`remaining_life`). This data is real in the sense that NASA published it: the engine model behind it is a simulation.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int8
from pydantic import ValidationError

from mtl_core.data import remaining_life
from mtl_core.data.cmapss import Engine, Recording, recognise
from mtl_core.data.limits import MAX_CELLS, MIN_ROWS
from mtl_core.data.names import clean, listed, shown
from mtl_core.data.raw import Recognised
from mtl_core.data.remaining_life import CAP, CLASSES, CRITICAL, DEGRADING, RUL, WINDOW, cell_names, windows
from mtl_core.data.scenarios.base import split_rows
from mtl_core.data.understanding import FeatureInfo, TargetInfo, Understanding
from mtl_core.errors import SpecError, TableError, unknown
from mtl_core.problem import TEST, TRAIN, Problem
from mtl_core.specs import DataSpec, TargetSpec, TaskSpec, sentence

CHANNELS = (*(f"setting_{n}" for n in range(1, 4)), *(f"sensor_{n:02d}" for n in range(1, 22)))
TASKS = {task.name: task for task in (RUL, CLASSES)}
TRAINING = {
    "epochs": 20,
    "batch_size": 128,
    "lr": 1e-3,
    "hidden": (64, 64),
    "weight_decay": 1e-4,
    "stop": {"on": "criterion", "patience": 6},
}


class _Plan(NamedTuple):
    """What becomes of a recording: tasks, engines with their splits, channels kept, and how far windows lie apart."""

    tasks: tuple[TaskSpec, ...]
    split: Int8[np.ndarray, " engines"]  # of the engines that run to failure
    varies: Bool[np.ndarray, " channels"]
    kept: Bool[np.ndarray, " channels"]
    stride: int


def meant(spec: DataSpec) -> bool:
    """Whether a spec leaves a recording to be one: an ordinary table has `header`, or targets that are none of these."""
    return spec.header is None and (not spec.targets or any(name in TASKS for name in spec.targets))


def recording_of(data: bytes, name: str, spec: DataSpec) -> Recording | None:
    """The recording that a file is, unless the spec means an ordinary table. Raises TableError for one that is incomplete."""
    return recognise(data, name) if meant(spec) else None


def to_problem(recording: Recording, name: str, spec: DataSpec) -> Problem:
    """Raises TableError, SpecError."""
    plan = _plan(recording, spec)
    trained = [_ends(windows(engine[:, plan.kept]), plan.stride) for engine in recording.train]
    seen = [window for engine in trained for window in engine]
    left = np.concatenate([plan.stride * np.arange(len(engine) - 1, -1, -1.0) for engine in trained])
    split = np.repeat(plan.split, [len(engine) for engine in trained])
    capped = np.minimum(left, CAP)
    if recording.test:
        seen += [windows(engine[:, plan.kept])[-1] for engine in recording.test]
        left, capped = (np.concatenate([one, recording.left]) for one in (left, capped))
        split = np.concatenate([split, np.full(len(recording.test), TEST, np.int8)])
    if len(seen) < MIN_ROWS:
        raise TableError(f"{shown(name)} has {len(seen)} windows of {WINDOW} cycles and at least {MIN_ROWS} are needed.")
    labels = {"rul": capped, "health": remaining_life.health(left).astype(np.float64)}
    channels = [channel for channel, kept in zip(CHANNELS, plan.kept, strict=True) if kept]
    return Problem(
        name=clean(Path(name).stem) or "C-MAPSS",
        features=np.stack(seen).reshape(len(seen), -1),
        targets={task.name: labels[task.name][:, None] for task in plan.tasks},
        tasks=plan.tasks,
        split=split,
        feature_names=cell_names(channels),
        input_shape=(len(channels), WINDOW),
        training=TRAINING,
        warnings=_told(recording, plan),
    )


def inspect(recording: Recording, spec: DataSpec) -> Understanding:
    """What is understood of a recording. Raises SpecError."""
    plan = _plan(recording, spec)
    features = [
        FeatureInfo("engine", "id", used=False, reason="says which rows belong together"),
        FeatureInfo("cycle", "number", used=False, reason="it counts the rows of an engine"),
    ]
    for channel, varies, kept in zip(CHANNELS, plan.varies, plan.kept, strict=True):
        reason = "" if kept else "ignored as asked" if channel in spec.ignore else "does not vary over the training engines"
        features.append(FeatureInfo(channel, "number" if varies else "constant", used=bool(kept), reason=reason))
    targets = tuple(TargetInfo(task.name, task.kind, task.classes, 1.0) for task in plan.tasks)
    rows = _count(recording.train, plan.stride) + len(recording.test)
    return Understanding(
        rows, tuple(features), targets, _told(recording, plan), Recognised("cmapss", "blanks", "ascii", ".", False)
    )


# --- what becomes of it ----------------------------------------------------------------------------------------------


def _plan(recording: Recording, spec: DataSpec) -> _Plan:
    tasks = _tasks(spec)
    rng = np.random.default_rng(spec.split_seed)
    split = split_rows(rng, len(recording.train), test=0.0 if recording.test else 0.2)
    readings = np.concatenate([engine for engine, part in zip(recording.train, split, strict=True) if part == TRAIN])
    varies = readings.max(0) > readings.min(0)
    kept = varies & ~np.isin(CHANNELS, spec.ignore)
    if not kept.any():
        raise TableError("No setting and no sensor is left as a feature: take some out of ignore.")
    cells = _count(recording.train, 1) * int(kept.sum()) * WINDOW
    return _Plan(tasks, split, varies, kept, -(-cells // MAX_CELLS))


def _tasks(spec: DataSpec) -> tuple[TaskSpec, ...]:
    """The tasks asked for. Raises SpecError for what this format does not have."""
    for name in spec.ignore:
        if name not in (*CHANNELS, "engine", "cycle", *TASKS):
            raise SpecError(f"ignore: {unknown('column of C-MAPSS', name, CHANNELS)}")
    odd = next((name for name, how in spec.columns.items() if how != "number" or name not in CHANNELS), None)
    group = None if spec.group == "engine" else spec.group
    said = {"columns": odd, "missing": spec.missing, "group": group, "split": spec.split}
    wrong = next((option for option, value in said.items() if value), None)
    if wrong is not None:
        raise SpecError(f"data.{wrong} is for ordinary tables, and this is NASA's C-MAPSS format; header: false makes it one.")
    asked = spec.targets or {name: TargetSpec() for name in TASKS if name not in spec.ignore}
    return tuple(_task(name, one) for name, one in asked.items())


def _task(name: str, said: TargetSpec) -> TaskSpec:
    task = TASKS.get(name)
    if task is None:
        raise SpecError(f"{shown(name)} cannot be a target here: C-MAPSS has the targets rul and health.")
    if said.kind not in (None, task.kind):
        raise SpecError(f"{name} is a {task.kind} target and cannot be read as {said.kind}.")
    try:
        return TaskSpec.model_validate({**task.model_dump(), **said.model_dump(exclude={"kind"})})
    except ValidationError as error:
        raise SpecError(f"Target {shown(name)}: {sentence(error)}") from None


def _ends(every: Float[np.ndarray, "windows channels cycles"], stride: int) -> Float[np.ndarray, "fewer channels cycles"]:
    """Every `stride`-th window, counted back from the last."""
    return every[::-1][::stride][::-1]


def _count(engines: list[Engine], stride: int) -> int:
    sizes: Int[np.ndarray, " engines"] = np.array([max(1, len(engine) - WINDOW + 1) for engine in engines])
    return int((-(-sizes // stride)).sum())


def _told(recording: Recording, plan: _Plan) -> tuple[str, ...]:
    cycles = sum(map(len, recording.train))
    said = [
        f"Read as NASA's C-MAPSS text: {len(recording.train):,} engines that run to failure, {cycles:,} cycles. Each row is a "
        f"window of {WINDOW} cycles; no engine is in two splits. (As an ordinary table: header: false in an experiment file.)",
        f"rul is the number of cycles left, at most {CAP}; health is healthy, degrading from {DEGRADING} cycles left, "
        f"critical from {CRITICAL}.",
    ]
    constant = [channel for channel, varies in zip(CHANNELS, plan.varies, strict=True) if not varies]
    if constant:
        said.append(f"Left out {listed(constant, len(CHANNELS))}: no variation over the training engines.")
    if recording.test:
        said.append(
            f"The test is NASA's: the last window of each of the {len(recording.test):,} engines of the test file, with the life "
            f"that the RUL file says it had left, which is not capped (up to {recording.left.max():,.0f})."
        )
    short = sum(len(engine) < WINDOW for engine in (*recording.train, *recording.test))
    if short:
        who = "1 engine has" if short == 1 else f"{short:,} engines have"
        said.append(f"{who} fewer than {WINDOW} cycles: the first cycle stands for the time before it.")
    if plan.stride > 1:
        said.append(f"Only every {plan.stride}. window of the engines that run to failure is taken, to stay within what is read.")
    return tuple(said)
