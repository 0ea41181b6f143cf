"""The losses of task kinds, as source: only those that a comparison's tasks train on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtl_core.code.text import Source, fill, literal, quoted
from mtl_core.specs import TaskSpec

SQUARED = """
def squared_error(output, target):
    known = target.isfinite()
    return functional.mse_loss(output[known], target[known])
"""
ABSOLUTE = """
def absolute_error(output, target):
    known = target.isfinite()
    return functional.l1_loss(output[known], target[known])
"""
HUBER = """
def huber(output, target, delta):
    known = target.isfinite()
    return functional.huber_loss(output[known], target[known], delta=delta)
"""
CROSS_ENTROPY = """
def cross_entropy(logits, target, smoothing=0.0):
    known = target[:, 0].isfinite()
    return functional.cross_entropy(logits[known], target[known, 0].long(), label_smoothing=smoothing)
"""
BINARY = """
def binary_cross_entropy(logit, target, positive_weight=1.0):
    known = target.isfinite()
    weight = torch.full((), positive_weight, dtype=logit.dtype, device=logit.device)
    return functional.binary_cross_entropy_with_logits(logit[known], target[known], pos_weight=weight)
"""
FOCAL = '''
def focal(logit, target, gamma, positive_weight=1.0):
    """Cross entropy in which what is already right counts less (Lin et al., ICCV 2017)."""
    known = target.isfinite()
    logit, label = logit[known], target[known]
    yes, no = torch.sigmoid(logit), torch.sigmoid(-logit)
    of_yes = positive_weight * label * no**gamma * functional.softplus(-logit)
    return (of_yes + (1 - label) * yes**gamma * functional.softplus(logit)).mean()
'''
POISSON = '''
def poisson(log_rate, target):
    """Negative log-likelihood; beyond e^30 the rate goes on as a straight line, so that it stays finite."""
    known = target.isfinite()
    log_rate, count = log_rate[known], target[known]
    held = log_rate.clamp(max=30.0)
    rate = torch.exp(held) * (1 + log_rate - held)
    return (rate - count * log_rate + torch.lgamma(count + 1)).mean()
'''
ZINB = '''
def zero_inflated_negative_binomial(output, target):
    """Negative log-likelihood (Lambert 1992; Greene 1994) from ln mean, ln size (within 8 of 0) and the logit of a sure zero."""
    known = target[:, 0].isfinite()
    log_mean, log_size, sure_zero = output[known].unbind(1)
    count, log_size = target[known, 0], log_size.clamp(-8.0, 8.0)
    size = log_size.exp()
    zero_by_chance = -size * functional.softplus(log_mean - log_size)  # ln of its probability
    zero = functional.softplus(zero_by_chance - sure_zero) - functional.softplus(-sure_zero)
    above = torch.lgamma(count + size) - torch.lgamma(size) - torch.lgamma(count + 1)
    above = above + zero_by_chance - count * functional.softplus(log_size - log_mean) - functional.softplus(sure_zero)
    return -torch.where(count == 0, zero, above).mean()
'''
PIXELS = '''
def pixel_cross_entropy(output, target, classes):
    """At every place of a map: `output [rows, places * classes]`, `target [rows, places]`."""
    known = target.isfinite()
    return functional.cross_entropy(output.unflatten(1, (-1, classes))[known], target[known].long())
'''
WRITTEN: dict[str, tuple[str, str]] = {  # by loss: function, source
    "mse": ("squared_error", SQUARED),
    "l1": ("absolute_error", ABSOLUTE),
    "huber": ("huber", HUBER),
    "ce": ("cross_entropy", CROSS_ENTROPY),
    "pixel_ce": ("pixel_cross_entropy", PIXELS),
    "bce": ("binary_cross_entropy", BINARY),
    "focal": ("focal", FOCAL),
    "poisson": ("poisson", POISSON),
    "zinb": ("zero_inflated_negative_binomial", ZINB),
}
TABLE = '''
LOSSES = {
    $losses
}


def losses_of(outputs, targets):
    """Mean loss over the labels of each task; a task without a label is left out."""
    return {name: loss(outputs[name], targets[name]) for name, loss in LOSSES.items() if targets[name].isfinite().any()}
'''


def losses(tasks: Sequence[TaskSpec]) -> str:
    """The functions that these tasks need, and which task trains on which."""
    used = dict.fromkeys(task.loss for task in tasks)
    functions = "\n\n".join(WRITTEN[loss][1].strip("\n") + "\n" for loss in used)
    rows = "\n".join(f"{quoted(task.name)}: {_call(task)}," for task in tasks)
    return functions + "\n\n" + fill(TABLE, losses=Source(rows))


def _call(task: TaskSpec) -> str:
    function = WRITTEN[task.loss][0]
    options: dict[str, Any] = {}
    if task.loss == "huber":
        options["delta"] = task.huber_delta
    if task.loss == "focal":
        options["gamma"] = task.focal_gamma
    if task.loss in ("bce", "focal") and task.positive_weight != 1:
        options["positive_weight"] = task.positive_weight
    if task.loss == "pixel_ce":
        options["classes"] = len(task.classes)
    if task.label_smoothing and task.loss == "ce":
        options["smoothing"] = task.label_smoothing
    if not options:
        return function
    return f"partial({function}, {', '.join(f'{name}={literal(value)}' for name, value in options.items())})"


def labels(task: TaskSpec) -> str:
    """Random targets of a task, for a file that shows that it runs: `rows` of them."""
    if task.is_regression:
        return f"torch.randn(rows, {task.width})"
    if task.kind == "count":
        return "torch.randint(5, (rows, 1)).float()"
    return f"torch.randint({2 if task.kind == 'binary' else len(task.classes)}, (rows, {task.width})).float()"
