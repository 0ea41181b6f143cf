"""Fixed and learned weights, written out in plain Python: a class each, with this arm's numbers in it.

`weights(losses)` and `learn(losses)` take the losses of the tasks of a step.
"""

from __future__ import annotations

from collections.abc import Callable

from mtl_core.code.text import Source, fill, when
from mtl_core.code.written import Arm, Written
from mtl_core.specs import TaskSpec


def equal(arm: Arm) -> Written:
    """Mean or sum."""
    mean = arm["reduction"] == "mean"
    text = fill(
        """
class Equal:
    \"\"\"Every task of the step counts the same.\"\"\"

    def weights(self, losses):
        return dict.fromkeys(losses, $weight)
""",
        weight=Source("1 / len(losses) if losses else 0.0" if mean else "1.0"),
    )
    return Written("Equal", text, learns=False)


def fixed(arm: Arm) -> Written:
    """Given weights."""
    text = fill(
        '''
class Fixed:
    """Weights that a person chose."""

    WEIGHTS = $weights

    def weights(self, losses):
        return {name: self.WEIGHTS[name] for name in losses}
''',
        weights=arm.each("weights"),
    )
    return Written("Fixed", text, learns=False)


def uncertainty(arm: Arm) -> Written:
    """Log-variances, their clamp and regulariser."""
    clamp, form = arm["clamp"], arm["clamp_form"]
    projected = clamp is not None and form == "projected"
    inside = clamp is not None and form == "coefficient"
    initial = arm.each("initial")
    if projected:
        initial = {name: min(max(value, clamp[0]), clamp[1]) for name, value in initial.items()}
    low, high = clamp or (None, None)
    text = fill(
        '''
class Uncertainty:
    """Uncertainty weighting (Kendall, Gal, Cipolla, CVPR 2018): a log-variance s is learned for every task.

    Objective over the tasks of a step: sum of c e^(-s) L + h s$extra; so the weight of a task is c e^(-s).
    """

    FACTORS = $factors  # (c, h): the likelihood that each loss stands for
    INITIAL = $initial

    def __init__(self):
        self.s = {name: torch.tensor(s, dtype=DTYPE, requires_grad=True) for name, s in self.INITIAL.items()}
        self.optimizer = torch.optim.Adam(self.s.values(), lr=$lr)  # no weight decay: it would pull s to 0

    def weights(self, losses):
        return {name: float(self.FACTORS[name][0] * torch.exp(-$held).detach()) for name in losses}

    def learn(self, losses):
        if not losses:
            return
        objective = sum(self.term(name, loss) for name, loss in losses.items())
        self.optimizer.zero_grad(set_to_none=True)  # so that the s of an absent task stands still
        objective.backward()
        self.optimizer.step()
        $project

    def term(self, name, loss):
        c, h = self.FACTORS[name]
        return c * torch.exp(-$held) * loss + h * self.s[name]$regulariser
''',
        extra=Source(" + r s^2" if arm["regulariser"] else ""),
        regulariser=Source(f" + {arm['regulariser']!r} * self.s[name] ** 2" if arm["regulariser"] else ""),
        factors={task.name: _likelihood(task, arm["likelihood"]) for task in arm.tasks},
        initial=initial,
        lr=arm.lr * arm["lr_factor"],
        project=when(
            projected,
            f"""with torch.no_grad():
    for s in self.s.values():
        s.clamp_({low!r}, {high!r})  # hold the parameter itself: a clamp in the forward pass would never let it back""",
        ),
        held=Source(f"self.s[name].clamp({low!r}, {high!r})" if inside else "self.s[name]"),
    )
    return Written("Uncertainty", text)


def _likelihood(task: TaskSpec, form: str) -> tuple[float, float]:
    if form == "shared_half":
        return 0.5, 0.5
    if task.is_regression:
        return (1.0, 1.0) if task.loss == "l1" else (0.5, 0.5)
    return 1.0, 0.5


LEARNED = """
class $name:
    $doc

    INITIAL = $initial

    def __init__(self):
        self.$letter = {name: torch.tensor(start, dtype=DTYPE, requires_grad=True) for name, start in self.INITIAL.items()}
        self.optimizer = torch.optim.Adam(self.$letter.values(), lr=$lr)  # no weight decay

    def weights(self, losses):
        return {name: $weight for name in losses}

    def learn(self, losses):
        if not losses:
            return
        objective = sum(self.term(self.$letter[name], loss) for name, loss in losses.items())
        self.optimizer.zero_grad(set_to_none=True)  # so that what belongs to an absent task stands still
        objective.backward()
        self.optimizer.step()

    @staticmethod
    def term($letter, loss):
        $term
"""


def _learned(arm: Arm, name: str, doc: str, letter: str, weight: str, term: str) -> Written:
    values = {"name": name, "doc": f'"""{doc}"""', "letter": letter, "weight": weight, "term": term}
    sources = {key: Source(value) for key, value in values.items()}
    return Written(name, fill(LEARNED, initial=arm.each("initial"), lr=arm.lr * arm["lr_factor"], **sources))


def softplus(arm: Arm) -> Written:
    """`e^{-s}L + s`, `s = softplus(u)`."""
    doc = "Uncertainty weighting with s = softplus(u) >= 0: e^(-s) L + s is minimised, so weights stay below 1."
    term = "s = functional.softplus(u)\nreturn torch.exp(-s) * loss + s"
    return _learned(arm, "SoftplusUncertainty", doc, "u", "float(torch.sigmoid(-self.u[name]).detach())", term)


def imtl_l(arm: Arm) -> Written:
    """`e^s L - s`."""
    doc = "IMTL-L (Liu et al., ICLR 2021): e^s L - s is minimised, which makes all weighted losses 1."
    return _learned(arm, "ImpartialLosses", doc, "s", "float(torch.exp(self.s[name]).detach())", "return torch.exp(s) * loss - s")


def liebel_korner(arm: Arm) -> Written:
    """`L/(2v) + ln(1 + v)`, `v = e^u`."""
    doc = "Liebel and Körner 2018: L / (2 v) + ln(1 + v) is minimised, v = e^u; never below 0."
    term = "return torch.exp(-u) / 2 * loss + functional.softplus(u)"
    return _learned(arm, "LiebelKorner", doc, "u", "float(torch.exp(-self.u[name]).detach() / 2)", term)


LEARNED_OR_FIXED: dict[str, Callable[[Arm], Written]] = {
    one.__name__: one for one in (equal, fixed, uncertainty, softplus, imtl_l, liebel_korner)
}
