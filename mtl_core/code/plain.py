"""An arm as one file of plain PyTorch: model, losses, the weighting written out, and the loop. No import of this package."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mtl_core.code import tasks as task_code
from mtl_core.code import training as training_code
from mtl_core.code.learned import LEARNED_OR_FIXED
from mtl_core.code.on_gradients import ON_GRADIENTS
from mtl_core.code.on_lengths import ON_LENGTHS
from mtl_core.code.on_losses import ON_LOSSES
from mtl_core.code.text import Source, fill, quoted
from mtl_core.code.weighting import weighting
from mtl_core.code.written import Arm
from mtl_core.errors import SpecError, unknown
from mtl_core.records import ProblemInfo
from mtl_core.schemes import SCHEMES
from mtl_core.specs import ArmSpec, ExperimentSpec, SelectionSpec, TaskSpec

HEAD = '''
"""Multi-task training in plain PyTorch: $title, one arm of a comparison, written out.

Run as it is, it trains on random numbers to show that it works; call `train` with tensors of your own.
"""

# arm $arm of $comparison
$imports

TASKS = $tasks  # outputs of each head
SCALED = $scaled  # targets that are standardised before the loss
CRITERION = $criterion  # fixed weights of the validation losses
$baseline
HIDDEN = $hidden
EPOCHS, BATCH_SIZE, LEARNING_RATE = $epochs, $batch_size, $lr
SEED = $seed
DTYPE = torch.$dtype
'''
DEMO = """
if __name__ == "__main__":
    rows = 200
    torch.manual_seed(SEED)
    features = torch.randn(rows, $features)
    targets = {
        $targets
    }
    for values in targets.values():
        values[torch.rand(rows) < 0.2] = math.nan  # a label that is missing
    seen, unseen = slice(0, 150), slice(150, rows)
    trained = train(
        features[seen],
        {name: values[seen] for name, values in targets.items()},
        features[unseen],
        {name: values[unseen] for name, values in targets.items()},
    )
    print("best epoch:", trained.best_epoch)
"""
SECTIONS = ("model", "losses of the tasks", "weighting", "selection", "training")
PLAIN = {**LEARNED_OR_FIXED, **ON_LOSSES, **ON_LENGTHS, **ON_GRADIENTS}
MODULES = ("copy", "itertools", "math", "random")


def plain_torch(spec: ExperimentSpec, problem_info: ProblemInfo, arm_name: str) -> str:
    """One arm as a self-contained file that trains as its lanes do. Raises SpecError where there is no plain version.

    spec: resolved, as a comparison keeps it. Task names enter as literals only.
    """
    arm, tasks = arm_of(spec, arm_name), problem_info.tasks
    _check(spec, arm)
    training = spec.training
    scheme = PLAIN[arm.scheme](Arm(arm, tasks, float(training.lr or 0.0)))
    parts = (
        training_code.MODEL,
        task_code.losses(tasks),
        scheme.text + "\n\n" + weighting(arm, scheme, problem_info.availability["train"]),
        fill(training_code.CRITERION, over=Source(" / BASELINE[name]" if spec.selection.scale == "baseline" else "")),
        training_code.step_and_judge(arm, scheme) + "\n\n" + training_code.training(training, spec.selection.stop, scheme),
    )
    body = "\n\n".join(f"# --- {title} ---\n\n\n{part.strip(chr(10))}\n" for title, part in zip(SECTIONS, parts, strict=True))
    demo = fill(
        DEMO,
        features=problem_info.features,
        targets=Source("\n".join(f"{quoted(task.name)}: {task_code.labels(task)}," for task in tasks)),
    )
    whole = body + "\n\n" + demo
    return f"{_head(spec, problem_info, arm_name, whole)}\n\n{whole.rstrip()}\n"


def arm_of(spec: ExperimentSpec, name: str) -> ArmSpec:
    """An arm by its name. Raises SpecError."""
    if name not in spec.arms:
        raise SpecError(unknown("arm", name, spec.arms))
    return spec.arms[name]


def _check(spec: ExperimentSpec, arm: ArmSpec) -> None:
    """Raise SpecError with one sentence where an arm cannot be written out."""
    instead = "take the snippet with mtl_core instead"
    if arm.scheme not in PLAIN:
        raise SpecError(f"{arm.scheme} has no plain PyTorch version: {instead}.")
    if arm.scheme == "famo" and arm.every:
        raise SpecError(f"famo with every has no plain PyTorch version: {instead}.")
    if beyond := _beyond(spec, arm):
        raise SpecError(f"The plain PyTorch version is for a plain trunk of dense layers, without {beyond}: {instead}.")
    if None in (spec.training.epochs, spec.training.batch_size, spec.training.lr, spec.training.hidden):
        raise SpecError("This experiment is not resolved yet: epochs, batch_size, lr and hidden have to be known.")
    if spec.selection.scale == "single_task":
        raise SpecError(
            f"selection.scale: single_task trains every task alone first and has no plain PyTorch version: {instead}."
        )
    if arm.head_gradients == "unweighted" and not spec.training.hidden:
        raise SpecError("Without hidden layers there is nothing that the tasks share, and no gradients to weigh.")


def _beyond(spec: ExperimentSpec, arm: ArmSpec) -> str:
    """What this training has that the written file does not."""
    training = spec.training
    has = {
        "convolutions or a module of your own": training.trunk not in (None, "mlp"),
        "phases": bool(training.phases),
        "hidden layers in heads": bool(training.head_hidden),
        "dropout": bool(training.dropout),
        "layer norm": bool(training.layer_norm),
        "clipping": bool(training.clip),
        "tasks left out of an arm": arm.tasks is not None,
    }
    return next((words for words, there in has.items() if there), "")


def _head(spec: ExperimentSpec, info: ProblemInfo, arm_name: str, whole: str) -> str:
    training, selection = spec.training, spec.selection
    regressions = (task for task in info.tasks if task.is_regression)
    baseline = None
    if selection.scale == "baseline":
        baseline = Source(fill("BASELINE = $losses  # validation losses of the constant predictor", losses=_baseline(info)))
    return fill(
        HEAD,
        title=Source(SCHEMES[spec.arms[arm_name].scheme].title),
        arm=arm_name,
        comparison=spec.name,
        imports=Source(_imports(whole)),
        tasks={task.name: task.outputs for task in info.tasks},
        scaled=[task.name for task in regressions if task.scaled],
        criterion=_criterion(selection, info.tasks, _domain(spec)),
        baseline=baseline,
        hidden=tuple(training.hidden or ()),
        epochs=training.epochs,
        batch_size=training.batch_size,
        lr=training.lr,
        seed=spec.seeds[0],
        dtype=Source(training.dtype),
    )


def _imports(whole: str) -> str:
    used = [name for name in MODULES if re.search(rf"\b{name}\.", whole)]
    lines = [f"import {name}" for name in used] + ["from dataclasses import dataclass"]
    if "partial(" in whole:
        lines.append("from functools import partial")
    return "\n".join([*lines, "", "import torch", "from torch import nn", "from torch.nn import functional"])


def _criterion(selection: SelectionSpec, tasks: tuple[TaskSpec, ...], domain: Mapping[str, float]) -> dict[str, float]:
    """Fixed weights of the validation criterion, summing to 1."""
    from mtl_core.selection import fixed_weights

    weights = fixed_weights(selection, tasks, domain)
    return {task.name: float(weight) for task, weight in zip(tasks, weights, strict=True)}


def _domain(spec: ExperimentSpec) -> Mapping[str, float]:
    """What a scenario says its tasks are worth; a table says nothing."""
    if spec.selection.weights != "domain" or spec.data.scenario is None:
        return {}
    from mtl_core.data import scenarios

    return scenarios.load(spec.data.scenario, spec.data.knobs).domain_weights


def _baseline(info: ProblemInfo) -> dict[str, float]:
    """Validation loss of the constant predictor; 1 where there is none to divide by."""
    found = {task.name: info.baselines["validation"][task.name]["loss"] for task in info.tasks}
    return {name: loss if loss is not None and loss > 0 else 1.0 for name, loss in found.items()}
