"""What a comparison shows, in sentences: per arm and task, with intervals and seeds, and never an overall winner.

A task is called better or worse by its headline metric if the sign-flip p of the paired differences, corrected
by Holm over the arms, is at most 0.05 and their 95 % interval excludes 0. Everything else is `no difference shown`,
which is not the same as equal; the intervals say how large a difference may have gone unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtl_core.analysis.labels import few_labels, few_labels_notes, left_out_notes
from mtl_core.analysis.metrics import MetricRow, MetricTable, beaten, distinct, metric_table, others, outcomes
from mtl_core.analysis.parts import of_tasks, parts_notes, shared
from mtl_core.analysis.phases import phases_sentence
from mtl_core.analysis.runs import LOWER, At, ending_notes, originals, pairs
from mtl_core.analysis.scales import decay_notes, weight_notes
from mtl_core.analysis.seeds import ALPHA, EXACT_SEEDS, Outcome, seeds_needed
from mtl_core.analysis.trajectories import is_plane
from mtl_core.analysis.wording import count, interval, listed
from mtl_core.records import Comparison

CLAUSES: dict[Outcome, tuple[str, str]] = {  # as the sentence's first clause, as a later one
    "better": ("is better than {baseline} on {n} {of}", ""),
    "worse": ("is worse than {baseline} on {n} {of}", "worse on {n}"),
    "no difference": ("shows no difference from {baseline} on {n} {of}", "no difference shown on {n}"),
    "too few seeds": ("has too few seeds to be told from {baseline} on {n} {of}", "undecided for too few seeds on {n}"),
    "not compared": ("has no value to compare with {baseline} on {n} {of}", "no value on {n}"),
}

CLASSES = frozenset({"binary", "multiclass", "segmentation", "detection"})  # their constant predicts class frequencies
SHARED = (
    "All arms and seeds share one data split, so intervals say nothing of other data; "
    "a seed sets initial parameters and batches, the same in every arm."
)
NAMED_TASKS = 5  # of those that a warning is about
TABLE_WARNINGS = 10  # as many are told; all of them are in `ProblemInfo.warnings` and in record.json


@dataclass(frozen=True)
class ArmVerdict:
    """One arm against the baseline arm; task names by outcome."""

    arm: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    no_difference: tuple[str, ...]
    undecided: tuple[str, ...]  # too few seeds, or nothing to compare
    seeds: int  # pairs of runs behind it
    sentence: str
    too_few: bool = False  # no task could be called, whatever its numbers, for too few seeds


@dataclass(frozen=True)
class Verdict:
    """All of it. `str(verdict)` is the text that the command line prints and a page shows."""

    baseline: str
    at: At
    split: str
    arms: tuple[ArmVerdict, ...]
    warnings: tuple[str, ...]  # to be read before the sentences
    notes: tuple[str, ...]  # conditions under which they hold

    @property
    def sentences(self) -> tuple[str, ...]:
        """One per arm."""
        return tuple(one.sentence for one in self.arms)

    def __str__(self) -> str:
        return "\n".join((*self.warnings, *self.sentences, *self.notes))


def verdict(comparison: Comparison, at: At = "best", split: str = "test") -> Verdict:
    """The verdict at the selected epoch on the test split, or elsewhere."""
    table = metric_table(comparison, at, split, headlines_only=True)
    arms = tuple(_arm(comparison, table, arm) for arm in others(comparison))
    arms_and_phases = [*parts_notes(comparison), *filter(None, [phases_sentence(comparison.spec.training)])]
    rows = [*arms_and_phases, *few_labels_notes(comparison, split), *left_out_notes(comparison)]
    weights = weight_notes(comparison.spec.arms, network=not is_plane(comparison)) + decay_notes(comparison.spec)
    known = (*_of_the_data(comparison), *_conditions(comparison, table), *weights, *_constants(table))
    notes = (*known, *rows, *ending_notes(comparison))
    return Verdict(comparison.spec.baseline, at, split, arms, _warnings(comparison, table), notes)


def _arm(comparison: Comparison, table: MetricTable, arm: str) -> ArmVerdict:
    found = outcomes(table, arm)
    names = {outcome: tuple(row.task for row in rows) for outcome, rows in found.items()}
    undecided = names.get("too few seeds", ()) + names.get("not compared", ())
    better, worse, same = (names.get(outcome, ()) for outcome in ("better", "worse", "no difference"))
    seeds = max((difference.n for row in table.headlines if (difference := row.cells[arm].difference)), default=0)
    sentence = _sentence(comparison, table, arm, found, seeds)
    too_few = set(found) == {"too few seeds"}
    return ArmVerdict(arm, better, worse, same, undecided, seeds, sentence, too_few)


def _sentence(comparison: Comparison, table: MetricTable, arm: str, found: dict[Outcome, list[MetricRow]], seeds: int) -> str:
    baseline = table.baseline
    if not shared(comparison, arm):
        return f"{arm} and {baseline} train no task in common and cannot be compared."
    if not seeds:
        return f"{arm} and {baseline} cannot be compared: {_why_not(comparison, arm, table.split)}."
    if originals(comparison)[arm] == baseline:
        return f"{arm} and {baseline} are the same runs: no difference on any task."
    clauses: list[str] = []
    for outcome, words in CLAUSES.items():
        if rows := found.get(outcome):
            said = words[bool(clauses)].format(baseline=baseline, n=len(rows), of=f"of {of_tasks(comparison, arm)}")
            clauses.append(f"{said} ({_figures(comparison, table, rows, arm)})")
    return f"{arm} {', '.join(clauses)}; {count(seeds, 'seed')}, {_where(table)}."


def _why_not(comparison: Comparison, arm: str, split: str) -> str:
    """Divergence by name where it alone is the reason, as it has a remedy; else that runs or their metrics are not there."""
    if any(comparison.runs[mine].result and comparison.runs[theirs].result for mine, theirs in pairs(comparison, arm)):
        return f"no task has a headline metric on the {split} split, whose labels are too few or do not vary"
    diverged = {name: _seeds(comparison, name, "diverged") for name in (arm, comparison.spec.baseline)}
    every = set().union(*(_seeds(comparison, name) for name in diverged))
    if not every or every - set().union(*diverged.values()):
        return "no seed has finished in both"
    runs = {name: len(comparison.runs_of(name)) for name in diverged}
    told = listed(f"{len(seeds)} of {count(runs[name], 'run')} of {name}" for name, seeds in diverged.items() if seeds)
    return f"{told} diverged; {LOWER}"


def _seeds(comparison: Comparison, arm: str, status: str = "") -> set[int]:
    records = (comparison.runs[run] for run in comparison.runs_of(arm))
    return {record.seed for record in records if status in ("", record.status)}


def _figures(comparison: Comparison, table: MetricTable, rows: list[MetricRow], arm: str) -> str:
    return "; ".join(f"{_figure(row, arm)}{_little(comparison, table, row, arm)}" for row in rows)


def _little(comparison: Comparison, table: MetricTable, row: MetricRow, arm: str) -> str:
    """What a difference that was called rests on, where it is very little."""
    difference = row.cells[arm].difference
    called = difference is not None and difference.outcome in ("better", "worse")
    few = few_labels(comparison, table.split, row.task, row.kind) if called else ""
    return f", from only {few}" if few else ""


def _figure(row: MetricRow, arm: str) -> str:
    difference = row.cells[arm].difference
    assert difference is not None
    unit = f" {row.unit}" if row.unit else ""
    return f"{row.task} {row.metric.replace('_', ' ')} {interval(difference, signed=True)}{unit}"


def _where(table: MetricTable) -> str:
    point = {"best": "at the selected epoch", "final": "at the last epoch"}.get(str(table.at), f"at epoch {table.at}")
    return f"{table.split} split, {point}"


def _warnings(comparison: Comparison, table: MetricTable) -> tuple[str, ...]:
    """Where no difference can be called whatever the numbers, by the fewest pairs of runs of an arm compared on a task."""
    if table.empty:
        return ()
    number = {arm: len(pairs(comparison, arm)) for arm in distinct(comparison)}
    cases: dict[tuple[int, int], list[str]] = {}
    for row in table.headlines:
        seeds = [n for arm, n in number.items() if n and row.task in table.shared[arm]]
        if seeds:
            cases.setdefault((min(seeds), len(seeds)), []).append(row.task)
    helpless = {case: tasks for case, tasks in cases.items() if case[0] < seeds_needed(case[1])}
    return tuple(_warning(*case, [] if len(cases) == 1 else tasks) for case, tasks in helpless.items())


def _warning(seeds: int, arms: int, tasks: Sequence[str]) -> str:
    """tasks: those that it is about, none where it is about all."""
    compared = f" and {arms} arms compared" if arms > 1 else ""
    named = listed(tasks) if len(tasks) <= NAMED_TASKS else listed([*tasks[:NAMED_TASKS], f"{len(tasks) - NAMED_TASKS} more"])
    on, there = (f" on {named}", " there") if tasks else ("", "")
    return (
        f"With {count(seeds, 'seed')}{compared} the smallest possible p{on} is {min(1.0, 2 / 2**seeds * arms):.2g}: "
        f"no difference can be called{there} below {seeds_needed(arms)} seeds."
    )


def _rivals(table: MetricTable, compared: Sequence[str]) -> list[int]:
    """How many of these arms are compared with the baseline arm on each task, where any is: what Holm corrects for."""
    found = [sum(row.task in table.shared[arm] for arm in compared) for row in table.headlines]
    return [arms for arms in found if arms]


def _of_the_data(comparison: Comparison) -> list[str]:
    told = [f"Data: {warning}" for warning in comparison.problem.warnings]
    if len(told) > TABLE_WARNINGS:
        told[TABLE_WARNINGS:] = [f"Data: {count(len(told) - TABLE_WARNINGS, 'more warning')} in the record."]
    return told


def _conditions(comparison: Comparison, table: MetricTable) -> list[str]:
    if is_plane(comparison):
        notes = ["There is no data: a seed is a start, the same in every arm, and an interval over seeds is one over starts."]
    else:
        notes = [SHARED, *(["The data is synthetic."] if comparison.problem.synthetic else [])]
    if compared := distinct(comparison):
        seeds = max(len(pairs(comparison, arm)) for arm in compared)
        kind = "an exact" if seeds <= EXACT_SEEDS else "a sampled"
        notes.append(_rule(_rivals(table, compared) or [1], len(table.headlines), kind))
    twice = [(arm, first) for arm, first in originals(comparison).items() if first not in (arm, comparison.spec.baseline)]
    return notes + [f"{arm} and {first} are the same runs and count as one comparison." for arm, first in twice]


def _rule(arms: Sequence[int], tasks: int, kind: str) -> str:
    """arms: how many are compared on each task."""
    least, most = min(arms), max(arms)
    those = f"{most} arms" if least == most else f"the {least} to {most} arms that train a task"
    corrected = f", corrected for {those}" if most > 1 else ""
    chance = 100 * (1 - (1 - ALPHA) ** tasks)
    return (
        f"Brackets are 95 % t intervals of the paired differences. A difference is called by {kind} sign-flip test at "
        f"{ALPHA:g}{corrected}, task by task: with {count(tasks, 'task')} and no true difference, "
        f"chance alone calls at least one in up to about {chance:.0f} % of comparisons."
    )


def _constants(table: MetricTable) -> list[str]:
    return [
        f"{row.task}: {listed(beaten_by)} {'is' if len(beaten_by) == 1 else 'are'} no better than a constant prediction "
        f"({'' if row.kind in CLASSES else 'training mean, '}{row.metric.replace('_', ' ')} {row.constant:.3g})."
        for row in table.headlines
        if (beaten_by := [arm for arm in table.arms if beaten(row, arm) is False])
    ]
