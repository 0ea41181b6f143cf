"""An arm as a script with this package: the run itself, and the same weighting in a loop of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from mtl_core.code.plain import arm_of
from mtl_core.code.tasks import WRITTEN, labels, losses
from mtl_core.code.text import Source, fill, literal, quoted, when
from mtl_core.records import ProblemInfo
from mtl_core.schemes import SCHEMES, takes_gradients
from mtl_core.specs import ArmSpec, ExperimentSpec, TaskSpec

RUN = '''
"""One arm of a comparison with mtl_core: as it was run there, and its weighting in a PyTorch loop of your own."""

# arm $arm_name of $name
$partial_import

import mtl_core
import torch
$spec_import
from torch import nn
from torch.nn import functional


def as_in_the_comparison():
    """Train the arm beside the baseline, as the comparison did. Runs that are in the store are not trained again."""
    return mtl_core.compare(
        $data,$beside
        arms=$arms,
        baseline=$baseline,
        seeds=$seeds,
        training=$training,
        selection=$selection,
        score=$score,
    )
'''
OWN = '''


# --- the same weighting in your own loop: model, data and losses here are stand-ins for yours ---


$losses


class Model(nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.heads = nn.ModuleList(nn.Linear(32, outputs) for outputs in heads)

    def forward(self, features):
        shared = self.trunk(features)
        return shared, dict(zip(LOSSES, (head(shared) for head in self.heads), strict=True))


def in_your_own_loop(features, targets, epochs=3, batch_size=$batch_size, lr=$lr):
    """targets: by task [rows, width], NaN where there is no label."""
    torch.manual_seed($seed)
    model = Model(features.shape[1], $heads)
    criterion = mtl_core.MultiTaskLoss(
        $tasks,
        $scheme,
        $settings,
        lr=lr,
        $steps
        $labelled
        $seed_line
        $parameters
        $options
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(epochs):
        for rows in torch.randperm(len(features)).split(batch_size):
            optimizer.zero_grad()
            $forward
            losses = losses_of(outputs, {name: y[rows] for name, y in targets.items()})
            $availability
            $backward
            optimizer.step()
            $again
    print({name: round(weight, 4) for name, weight in criterion.weights.items()})


if __name__ == "__main__":
    print(as_in_the_comparison())
    features = torch.randn(200, 8)
    rows = len(features)
    targets = {
        $targets
    }
    in_your_own_loop(features, targets)
'''
ONLY_RUN = """
if __name__ == "__main__":
    print(as_in_the_comparison())
"""
AGAIN = """with torch.no_grad():  # what the step achieved on its own batch
    _, outputs = model(features[rows])
    criterion.revisit(losses_of(outputs, {name: y[rows] for name, y in targets.items()}))"""
WHERE = {
    "shared": "shared=model.trunk.parameters()",
    "last_layer": "shared=model.trunk[-2].parameters()",  # the last shared layer; its weights hold for the whole trunk
    "representation": "representation=shared",
}


def snippet(spec: ExperimentSpec, arm_name: str, problem_info: ProblemInfo | None = None) -> str:
    """A script that trains one arm as the comparison did, then weighs losses by its scheme in a plain loop. Raises SpecError.

    problem_info: for the names and kinds of the tasks; without it they are those that the experiment names, as regressions.
    """
    arm = arm_of(spec, arm_name)
    tasks = problem_info.tasks if problem_info is not None else _named(spec)
    arms = {name: _arm(spec.arms[name]) for name in dict.fromkeys((arm_name, spec.baseline))}
    own = all(task.loss in WRITTEN for task in tasks)  # the losses can be written out
    run = fill(
        RUN,
        partial_import=when(own and "partial(" in losses(tasks), "from functools import partial"),
        spec_import=when(_as_specs(tasks, arm), "from mtl_core.specs import TaskSpec"),
        arm_name=arm_name,
        name=spec.name,
        data=_data(spec),
        beside=Source("" if spec.data.scenario else "  # the table, beside this script"),
        arms=arms,
        baseline=spec.baseline,
        seeds=list(spec.seeds),
        training=spec.training.model_dump(mode="json", exclude_none=True),
        selection=spec.selection.model_dump(mode="json"),
        score=dict(spec.score) if spec.score else None,
    )
    run = run.replace('"""\n\n\n', '"""\n\n').rstrip()
    rest = _own_loop(spec, arm, tasks, problem_info) if own else ONLY_RUN
    return f"{run}\n\n\n{rest.strip()}\n"


def _own_loop(spec: ExperimentSpec, arm: ArmSpec, tasks: Sequence[TaskSpec], info: ProblemInfo | None) -> str:
    cls = SCHEMES[arm.scheme]
    places = takes_gradients(cls) or arm.head_gradients == "unweighted"
    gate = arm.gate.scope if arm.gate else ""
    options = _arm(arm)
    settings = options.pop("settings", None)
    del options["scheme"]
    options.pop("gradients", None)  # in a loop of one's own, what is passed to backward decides
    also = ", availability=availability" if gate in ("batch", "window") else ""
    call = f"criterion.backward(losses, {WHERE[arm.gradients or 'shared']}{also})"
    return fill(
        OWN,
        losses=Source(losses(tasks)),
        batch_size=spec.training.batch_size or 64,
        lr=spec.training.lr or 1e-3,
        seed=spec.seeds[0],
        heads=[task.outputs for task in tasks],
        tasks=Source(_kinds(tasks, arm)),
        scheme=arm.scheme,
        settings=settings or None,
        steps=when(cls.epochs, "steps_per_epoch=-(-len(features) // batch_size),"),
        labelled=_labelled(gate, info),
        seed_line=when("random" in cls.knowledge.traits, f"seed={spec.seeds[0]},"),
        parameters=when("jacobian" in cls.needs, "parameters=model.trunk.parameters(),"),
        options=Source("\n".join(fill(f"{name}=$value,", value=value).rstrip() for name, value in options.items()))
        if options
        else None,
        forward=Source(f"{'shared' if arm.gradients == 'representation' else '_'}, outputs = model(features[rows])"),
        availability=when(also, "availability = {name: y[rows].isfinite().float().mean().item() for name, y in targets.items()}"),
        backward=Source(call if places else f"criterion(losses{also.replace('availability=', '')}).backward()"),
        again=when("revisited" in cls.needs, AGAIN),
        targets=Source("\n".join(f"{quoted(task.name)}: {labels(task)}," for task in tasks)),
    )


def _labelled(gate: str, info: ProblemInfo | None) -> Source | None:
    if gate != "dataset" or info is None:
        return None
    return Source(fill("labelled=$shares,  # of the training rows, by task", shares=dict(info.availability["train"])))


def _kinds(tasks: Sequence[TaskSpec], arm: ArmSpec) -> str:
    """Tasks as MultiTaskLoss takes them: by kind, or as specs where their losses or priors decide too."""
    if not _as_specs(tasks, arm):
        return literal({task.name: task.kind for task in tasks}, 8)
    lines = "\n".join(f"TaskSpec({_arguments(task)})," for task in tasks)
    return fill("[\n    $lines\n]", lines=Source(lines)).strip().replace("\n", "\n        ")


def _as_specs(tasks: Sequence[TaskSpec], arm: ArmSpec) -> bool:
    return arm.scheme == "uncertainty" and any(task.loss == "l1" or task.prior for task in tasks)


def _arguments(task: TaskSpec) -> str:
    known = {"name": task.name, "kind": task.kind, "loss": task.loss, "classes": task.classes, "prior": task.prior}
    return ", ".join(f"{name}={literal(value)}" for name, value in known.items() if value or name == "name")


def _arm(arm: ArmSpec) -> dict[str, Any]:
    """An arm in its shortest form: what differs from the defaults."""
    plain = ArmSpec(scheme=arm.scheme).model_dump(mode="json")
    given = arm.model_dump(mode="json")
    kept = {name: value for name, value in given.items() if name == "scheme" or value != plain[name]}
    if "settings" in kept:
        kept["settings"] = {name: value for name, value in given["settings"].items() if value != plain["settings"][name]}
    return kept


def _data(spec: ExperimentSpec) -> dict[str, Any]:
    """Where the data is: a table under its file's name, to be found beside the script."""
    data = spec.data.model_dump(mode="json", exclude_defaults=True)
    if data.get("scenario") is None:
        data.pop("fingerprint", None)
        data["file"] = PurePath(str(spec.data.file or "table.csv").replace("\\", "/")).name
    return data


def _named(spec: ExperimentSpec) -> tuple[TaskSpec, ...]:
    names = list(spec.data.targets or spec.score or {"a": 1, "b": 1})
    return tuple(TaskSpec(name=name, kind="regression") for name in names)
