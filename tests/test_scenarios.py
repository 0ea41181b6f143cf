"""Built-in scenarios: sentences at the door, laws over all of them, and truth that agrees with the data."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import pytest

from mtl_core.data.scenarios import SCENARIOS, complete, describe, is_by_task, load
from mtl_core.data.scenarios.base import directions, representation, reveal, split_rows
from mtl_core.errors import SpecError
from mtl_core.problem import SPLITS, TEST, TRAIN, VALIDATION, Problem
from mtl_core.resolving import resolve
from mtl_core.specs import DataSpec, TrainingSpec, parse_experiment

SMALL = {
    "osint": {"samples": 800},
    "noise_and_scale": {"samples": 400},
    "multi_digits": {"samples": 400},
    "turbofan": {"samples": 400, "engines": 30},
    "gradnorm_toy": {"samples": 500},
    "landscape": {"steps": 20},
    "banknotes": {"samples": 100},
    "scenes": {"samples": 100},
}
WITHOUT_CHANCE = {"landscape"}  # its seed draws starts, not rows
SECONDS = {"banknotes": 1.5, "scenes": 1.5}  # of drawn pictures; others load in a third of a second
everywhere = pytest.mark.parametrize("name", SCENARIOS)


def small(name: str, **knobs: Any) -> Problem:
    return load(name, {**SMALL[name], **knobs})


def same(a: Problem, b: Problem) -> bool:
    arrays = [(a.features, b.features), (a.split, b.split), *((a.targets[n], b.targets[n]) for n in a.targets)]
    return all(x.shape == y.shape and np.array_equal(x, y, equal_nan=True) for x, y in arrays)


def labels(problem: Problem, task: str, split: int | None = None) -> np.ndarray:
    """Labels that are there, as `[labels, width]`."""
    values = problem.targets[task] if split is None else problem.targets[task][problem.split == split]
    return values[np.isfinite(values).all(1)]


# --- the door --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "knobs", "sentence"),
    [
        ("osnit", {}, 'No scenario "osnit". Did you mean "osint"?'),
        ("osint", {"leekage": 1}, 'No knob of osint "leekage". Did you mean "leakage"?'),
        ("osint", {"leakage": 1.5}, "osint.leakage is a number from 0 to 1, not 1.5."),
        ("osint", {"leakage": "much"}, "osint.leakage is a number, not 'much'."),
        ("osint", {"leakage": True}, "osint.leakage is a number, not True."),
        ("osint", {"noise": math.nan}, "osint.noise is a number, not nan."),
        ("osint", {"samples": 10}, "osint.samples is a whole number from 400 to 40,000, not 10."),
        ("osint", {"samples": 1000.5}, "osint.samples is a whole number, not 1000.5."),
        ("osint", {"seed": -1}, "osint.seed is a whole number from 0 to 2,147,483,647, not -1."),
        ("noise_and_scale", {"units": "metric"}, "noise_and_scale.units is one of spread, matched, not 'metric'."),
        ("noise_and_scale", {"units": ["spread"]}, "noise_and_scale.units is one of spread, matched, not ['spread']."),
        (
            "osint",
            {"labels_by_task": 0.3},
            "osint.labels_by_task maps names of tasks to numbers, as in {regime: 1}, not 0.3.",
        ),
        ("osint", {"labels_by_task": {"regmie": 1}}, 'osint.labels_by_task: No task "regmie". Did you mean "regime"?'),
        ("osint", {"labels_by_task": {"regime": 2}}, "osint.labels_by_task.regime is a number from 0.02 to 1, not 2."),
        ("osint", {"labels_by_task": {"regime": None}}, "osint.labels_by_task.regime is a number, not None."),
        (
            "osint",
            {"unit_by_task": {"casualty": 2}},
            'osint.unit_by_task: No task "casualty". Known: anomaly, forecast, daily_forecast.',
        ),
        (
            "noise_and_scale",
            {"tasks": 2, "noise_by_task": {"task_3": 1}},
            'noise_and_scale.noise_by_task: No task "task_3". Did you mean "task_2"?',
        ),
    ],
)
def test_a_wrong_knob_gets_a_sentence(scenario: str, knobs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as error:
        complete(scenario, knobs)
    assert str(error.value) == sentence


@everywhere
def test_knobs_left_out_are_spelled_out_and_completing_twice_changes_nothing(name: str) -> None:
    knobs = complete(name, {"seed": 3})
    single = {knob: one.default for knob, one in SCENARIOS[name].knobs.items() if not is_by_task(one)}
    assert knobs == {**single, "seed": 3}
    assert complete(name, knobs) == knobs


def test_a_knob_by_task_that_names_no_task_leaves_the_spec_as_it_was() -> None:
    assert complete("osint", {"labels_by_task": {}}) == complete("osint", {})
    assert complete("osint", {"labels_by_task": {"regime": 1}})["labels_by_task"] == {"regime": 1.0}


def test_a_whole_number_and_the_same_number_with_a_point_are_one_spec() -> None:
    a, b = complete("osint", {"leakage": 1, "samples": 800.0}), complete("osint", {"leakage": 1.0, "samples": 800})
    assert json.dumps(a) == json.dumps(b)


@everywhere
def test_defaults_lie_within_the_limits_and_every_knob_has_help(name: str) -> None:
    for one in SCENARIOS[name].knobs.values():
        assert one.help.endswith(".")
        if is_by_task(one):
            assert one.default == {}
            assert one.low < one.high
        elif one.choices:
            assert one.default in one.choices
        else:
            assert one.low <= one.default <= one.high


@pytest.mark.parametrize(
    ("name", "knob"), [(n, k) for n, s in SCENARIOS.items() for k, one in s.knobs.items() if not isinstance(one.default, str)]
)
def test_both_ends_of_every_knob_load(name: str, knob: str) -> None:
    one = SCENARIOS[name].knobs[knob]
    ends = [dict.fromkeys(one.choices[:2], end) for end in (one.low, one.high)] if is_by_task(one) else [one.low, one.high]
    for end in ends:
        problem = small(name, **{knob: end})
        assert np.isfinite(problem.features).all()
        for task in problem.tasks:
            labelled = np.isfinite(problem.targets[task.name]).any(1)
            assert all(labelled[problem.split == split].any() for split in range(3))


def test_the_catalogue_is_plain_data() -> None:
    catalogue = json.loads(json.dumps(describe()))
    assert [one["name"] for one in catalogue] == list(SCENARIOS)
    assert {"name", "default", "low", "high", "help", "choices"} == set(catalogue[0]["knobs"][0])


# --- laws ------------------------------------------------------------------------------------------------------------


@everywhere
def test_the_same_knobs_give_the_same_data_bit_for_bit(name: str) -> None:
    assert same(small(name), small(name))
    assert same(small(name), small(name, seed=1)) == (name in WITHOUT_CHANCE)


@everywhere
def test_shapes_names_and_weights_agree_with_the_tasks(name: str) -> None:
    problem = small(name)
    rows = len(problem.split)
    assert problem.name == name
    assert problem.features.shape == (rows, len(problem.feature_names))
    assert len(set(problem.feature_names)) == len(problem.feature_names)
    assert {task.name: (rows, task.width) for task in problem.tasks} == {n: t.shape for n, t in problem.targets.items()}
    for weights in (problem.domain_weights, problem.score_weights):
        assert set(weights) == set(problem.targets)
        assert sum(weights.values()) == pytest.approx(1)
    assert problem.synthetic == SCENARIOS[name].synthetic


@everywhere
def test_labels_are_in_the_range_of_their_kind(name: str) -> None:
    problem = small(name)
    for task in problem.tasks:
        values = labels(problem, task.name)
        if task.kind in ("multiclass", "binary"):
            assert set(np.unique(values)) <= set(range(max(2, len(task.classes))))
        if task.kind == "count":
            assert (values >= 0).all()
            assert (values == values.round()).all()


@everywhere
def test_every_split_has_rows_and_labels_and_all_rows_belong_to_one(name: str) -> None:
    problem = load(name)
    assert set(np.unique(problem.split)) == {TRAIN, VALIDATION, TEST}
    assert sum(problem.rows(split) for split in range(3)) == len(problem.split)
    assert complete(name, {}).get("samples", len(problem.split)) == len(problem.split)


@everywhere
def test_rows_do_not_repeat_across_splits(name: str) -> None:
    problem = load(name)
    rows = [{row.tobytes() for row in problem.features[problem.split == split]} for split in range(3)]
    assert not rows[0] & rows[1]
    assert not (rows[0] | rows[1]) & rows[2]


@everywhere
def test_truth_and_budget_are_plain_and_the_experiment_resolves(name: str) -> None:
    problem = small(name)
    json.dumps(problem.truth, allow_nan=False)
    budget = {key: value for key, value in problem.training.items() if key not in ("stop", "scale")}
    whole = TrainingSpec.model_validate(budget).model_dump(include=set(budget))
    experiment = parse_experiment({"data": {"scenario": name, **SMALL[name]}, "arms": {"learned": {"scheme": "softplus"}}})
    assert resolve(experiment, problem).training.model_dump(include=set(budget)) == whole
    assert DataSpec.model_validate({"scenario": name, "knobs": complete(name, {})}).knobs == complete(name, {})


@everywhere
def test_loading_takes_less_than_a_third_of_a_second_or_its_own_limit(name: str) -> None:
    load(name)
    began = time.process_time()
    load(name)
    assert time.process_time() - began < SECONDS.get(name, 0.3)


# --- drawing steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cosine", [-0.2, 0.0, 0.5, 1.0])
def test_task_directions_have_the_cosine_that_was_asked(cosine: float) -> None:
    drawn = directions(np.random.default_rng(0), 6, 8, cosine)
    expected = np.full((6, 6), cosine) + (1 - cosine) * np.eye(6)
    np.testing.assert_allclose(drawn @ drawn.T, expected, atol=1e-12)


def test_the_representation_has_unit_variance_and_independent_components() -> None:
    rng = np.random.default_rng(0)
    shared = representation(rng, rng.standard_normal((200_000, 4)))
    np.testing.assert_allclose(np.cov(shared.T), np.eye(4), atol=0.02)


def test_labels_are_revealed_in_the_asked_share_of_every_split_and_stratum() -> None:
    rng = np.random.default_rng(0)
    split = split_rows(rng, 2000)
    strata = (np.arange(2000) % 10 == 0).astype(np.int64)
    shown = reveal(rng, split, 0.1, strata)
    for part, rows in enumerate((1200, 400, 400)):
        assert (split == part).sum() == rows
        for stratum in range(2):
            inside = (split == part) & (strata == stratum)
            assert shown[inside].sum() == max(1, round(0.1 * inside.sum()))


# --- osint -----------------------------------------------------------------------------------------------------------


def test_osint_has_its_six_tasks_with_their_priors() -> None:
    kinds = {task.name: (task.kind, task.width, task.prior) for task in load("osint").tasks}
    assert kinds == {
        "regime": ("multiclass", 1, 1.05),
        "casualty": ("count", 1, 1.4),
        "anomaly": ("regression", 1, 1.4),
        "forecast": ("multi_output", 6, 1.9),
        "transition": ("binary", 1, 1.4),
        "daily_forecast": ("multi_output", 7, 1.4),
    }


def test_osint_reveals_labels_as_its_knobs_ask() -> None:
    problem = load("osint", {"dense": 0.9, "sparse": 0.3, "very_sparse": 0.1})
    asked = {"regime": 0.9, "casualty": 0.9, "anomaly": 0.3, "forecast": 0.9, "transition": 0.1, "daily_forecast": 0.9}
    for split in range(len(SPLITS)):
        assert problem.availability(split) == pytest.approx(asked, abs=2e-3)


def test_osint_has_one_to_two_percent_of_positives_among_the_labels_of_every_split() -> None:
    problem = load("osint")
    for split in range(3):
        found = labels(problem, "transition", split)
        assert 0.01 <= found.mean() <= 0.02
        assert found.sum() >= 2


def test_osint_casualty_is_sixty_percent_of_the_raw_loss_of_a_model_that_says_nothing() -> None:
    problem = load("osint")
    said = {name: labels(problem, name) for name in problem.targets}
    counts = said["casualty"][:, 0]
    zinb = np.where(counts == 0, -math.log(0.75), (counts + 2) * math.log(2))  # μ = r = 1, π = ½
    squares = sum((said[name] ** 2).mean() for name in ("anomaly", "forecast", "daily_forecast"))
    others = squares + math.log(4) + math.log(2)
    assert zinb.mean() / (zinb.mean() + others) == pytest.approx(0.6, abs=0.05)


def test_osint_classes_have_the_shares_that_imbalance_asks() -> None:
    shares = 0.5 ** np.arange(4)
    found = np.bincount(labels(load("osint", {"imbalance": 0.5}), "regime")[:, 0].astype(int)) / 5000
    np.testing.assert_allclose(found, shares / shares.sum(), atol=1e-3)


def test_osint_leak_copies_the_target_and_none_means_no_such_feature() -> None:
    problem = load("osint", {"leakage": 1.0, "unit": 2.0})
    leaky = [problem.feature_names.index(name) for name in problem.truth["leaky_features"]]
    np.testing.assert_allclose(2 * problem.features[:, leaky], problem.targets["forecast"], atol=1e-12)
    assert problem.truth["irreducible"]["forecast"] == pytest.approx(0, abs=1e-9)
    assert "outlook" in problem.warnings[0]
    clean = load("osint", {"leakage": 0.0})
    assert not clean.warnings
    assert not clean.truth["leaky_features"]
    assert not any("outlook" in name for name in clean.feature_names)


def test_osint_unit_multiplies_the_forecasts_and_nothing_else() -> None:
    a, b = small("osint", unit=1.0), small("osint", unit=10.0)
    for name in a.targets:
        factor = 10 if "forecast" in name else 1
        np.testing.assert_allclose(factor * a.targets[name], b.targets[name])
    np.testing.assert_array_equal(a.features, b.features)
    assert b.truth["irreducible"]["forecast"] == pytest.approx(100 * a.truth["irreducible"]["forecast"], rel=0.01)


def test_osint_noise_and_relatedness_mean_what_they_say() -> None:
    """Regression targets of two tasks correlate by relatedness, thinned by each one's own noise."""
    knobs = {"samples": 40_000, "sparse": 1.0, "leakage": 0.0, "unit": 1.0}
    problem = load("osint", {**knobs, "noise": 1.0, "relatedness": 0.5})
    anomaly, month = problem.targets["anomaly"][:, 0], problem.targets["forecast"][:, 0]
    expected = 0.5 * 0.85 / math.sqrt(2) / math.sqrt(0.85**2 + 0.3**2)
    assert np.corrcoef(anomaly, month)[0, 1] == pytest.approx(expected, abs=0.02)
    assert anomaly.std() == pytest.approx(1, abs=0.02)
    calm = load("osint", {**knobs, "noise": 0.05, "relatedness": 1.0})
    assert np.corrcoef(calm.targets["anomaly"][:, 0], calm.targets["forecast"][:, 0])[0, 1] > 0.99


def test_osint_irreducible_loss_is_below_what_a_constant_reaches_and_grows_with_noise() -> None:
    quiet, loud = (load("osint", {"noise": noise}).truth["irreducible"] for noise in (0.5, 1.0))
    problem = load("osint")
    for name in ("anomaly", "forecast", "daily_forecast"):
        assert 0 < quiet[name] < loud[name] < labels(problem, name).var(0).mean()
    regimes = np.bincount(labels(problem, "regime")[:, 0].astype(int)) / 5000
    assert loud["regime"] < -(regimes * np.log(regimes)).sum()
    assert loud["transition"] < -(0.02 * math.log(0.02) + 0.98 * math.log(0.98))


def test_osint_irreducible_losses_are_reached_by_linear_regression_on_all_that_is_known() -> None:
    """With the copies of forecast and its signal known, least squares leaves the conditional variance."""
    problem = load("osint", {"samples": 40_000, "relatedness": 1.0, "noise": 1.0, "sparse": 1.0, "unit": 1.0, "leakage": 0.5})
    calm = load("osint", {"samples": 40_000, "relatedness": 1.0, "noise": 0.05, "sparse": 1.0, "unit": 1.0, "leakage": 0.0})
    leaky = problem.features[:, -6:]
    signal = calm.targets["anomaly"]  # same seed, hardly any noise: the shared signal itself
    known = np.column_stack([leaky, signal, np.ones(len(leaky))])
    fitted = known @ np.linalg.lstsq(known, problem.targets["forecast"])[0]
    left = ((fitted - problem.targets["forecast"]) ** 2).mean()
    assert left == pytest.approx(problem.truth["irreducible"]["forecast"], rel=0.05)


def test_osint_count_truth_is_scipys_zero_inflated_negative_binomial() -> None:
    from scipy.stats import nbinom

    from mtl_core.data.scenarios.outcomes import counts

    signal = np.random.default_rng(1).standard_normal(3000)
    drawn = counts(np.random.default_rng(2), signal, 7.0)
    y, zero, mu = drawn.targets[:, 0], 1 / (1 + np.exp(1 + signal)), 7.0 * np.exp(0.8 * signal - 0.32)
    likelihood = (1 - zero) * nbinom.pmf(y, 1, 1 / (1 + mu)) + zero * (y == 0)
    assert drawn.irreducible == pytest.approx(-np.log(likelihood).mean(), rel=1e-9)
    assert y.mean() == pytest.approx(((1 - zero) * mu).mean(), rel=0.1)


def test_osint_ordered_truth_is_the_likelihood_of_a_logistic_threshold() -> None:
    from scipy.stats import logistic

    from mtl_core.data.scenarios.outcomes import SHARPNESS, ordered

    signal = np.random.default_rng(1).standard_normal(20_000)
    drawn = ordered(np.random.default_rng(2), signal, np.array([0.7, 0.3]))
    threshold = np.quantile(SHARPNESS * signal + np.random.default_rng(2).logistic(size=20_000), 0.7)
    above = logistic.sf(threshold - SHARPNESS * signal)
    yes = drawn.targets[:, 0]
    assert yes.mean() == pytest.approx(0.3, abs=1e-4)
    assert drawn.irreducible == pytest.approx(-np.log(np.where(yes == 1, above, 1 - above)).mean(), rel=1e-9)


# --- noise_and_scale -------------------------------------------------------------------------------------------------


def test_noise_and_scale_targets_have_the_variance_that_truth_says() -> None:
    problem = load("noise_and_scale", {"samples": 50_000})
    for name, unit in problem.truth["unit"].items():
        expected = unit**2 * (1 + problem.truth["noise"][name] ** 2)
        assert problem.targets[name].var() == pytest.approx(expected, rel=0.03)
        assert problem.truth["irreducible"][name] == pytest.approx(problem.truth["residual"][name] ** 2, rel=1e-3)
        assert not next(task for task in problem.tasks if task.name == name).scaled


def test_noise_and_scale_ratios_are_reached_and_not_confounded() -> None:
    truth = load("noise_and_scale", {"noise_ratio": 8.0, "scale_ratio": 100.0}).truth
    noise, unit = np.array(list(truth["noise"].values())), np.array(list(truth["unit"].values()))
    assert noise.max() / noise.min() == pytest.approx(8, rel=1e-4)
    assert unit.max() / unit.min() == pytest.approx(100, rel=1e-4)
    assert np.corrcoef(np.log(noise), np.log(unit))[0, 1] == pytest.approx(0, abs=1e-4)
    assert np.log(unit).mean() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("tasks", range(2, 9))
def test_noise_and_scale_uses_every_unit_factor_once(tasks: int) -> None:
    unit = np.sort(list(small("noise_and_scale", tasks=tasks).truth["unit"].values()))
    np.testing.assert_allclose(np.diff(np.log(unit)), math.log(10) / (tasks - 1), rtol=1e-4)


def test_noise_and_scale_matched_units_give_every_target_unit_variance() -> None:
    problem = load("noise_and_scale", {"units": "matched", "samples": 50_000})
    for target in problem.targets.values():
        assert target.var() == pytest.approx(1, abs=0.03)


def test_noise_and_scale_raises_a_relatedness_that_so_many_tasks_cannot_have() -> None:
    assert small("noise_and_scale", tasks=4, relatedness=-1.0).truth["relatedness"] == pytest.approx(-1 / 3)
    assert small("noise_and_scale", tasks=2, relatedness=-1.0).truth["relatedness"] == -1


def test_noise_and_scale_scale_ratio_moves_units_and_nothing_else() -> None:
    a, b = small("noise_and_scale", scale_ratio=1.0), small("noise_and_scale", scale_ratio=100.0)
    np.testing.assert_array_equal(a.features, b.features)
    for name in a.targets:
        np.testing.assert_allclose(a.targets[name] / a.truth["unit"][name], b.targets[name] / b.truth["unit"][name], rtol=1e-4)


# --- multi_digits ----------------------------------------------------------------------------------------------------


def sources(problem: Problem, *, left: bool) -> list[set[bytes]]:
    """The left (or right) source images of every split, of a problem without overlap."""
    canvas = problem.features.reshape(len(problem.features), 8, 16)
    half = canvas[:, :, :8] if left else canvas[:, :, 8:]
    return [{np.ascontiguousarray(image).tobytes() for image in half[problem.split == split]} for split in range(3)]


def test_multi_digits_shares_no_source_digit_between_splits_on_either_side() -> None:
    problem = load("multi_digits", {"overlap": 0, "samples": 6000})
    both = [a | b for a, b in zip(sources(problem, left=True), sources(problem, left=False), strict=True)]
    assert not both[0] & both[1]
    assert not both[0] & both[2]
    assert not both[1] & both[2]
    assert [len(one) for one in both] == pytest.approx(problem.truth["source_digits"], abs=50)


def test_multi_digits_labels_are_those_of_the_images_shown() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    class_of = {np.ascontiguousarray(image / 16).tobytes(): int(c) for image, c in zip(digits.images, digits.target, strict=True)}
    problem = load("multi_digits", {"overlap": 0, "samples": 300})
    canvas = problem.features.reshape(300, 8, 16)
    for name, half in (("left", canvas[:, :, :8]), ("right", canvas[:, :, 8:])):
        assert [class_of[np.ascontiguousarray(image).tobytes()] for image in half] == problem.targets[name][:, 0].tolist()


@pytest.mark.parametrize("overlap", [0, 3, 7])
def test_multi_digits_canvas_shrinks_by_the_overlap_and_keeps_the_brighter_pixel(overlap: int) -> None:
    apart, together = small("multi_digits", overlap=0), small("multi_digits", overlap=overlap)
    a = apart.features.reshape(-1, 8, 16)
    b = together.features.reshape(-1, 8, 16 - overlap)
    assert together.truth["canvas"] == [8, 16 - overlap]
    np.testing.assert_array_equal(b[:, :, : 8 - overlap], a[:, :, : 8 - overlap])
    np.testing.assert_array_equal(b[:, :, 8 - overlap : 8], np.maximum(a[:, :, 8 - overlap : 8], a[:, :, 8 : 8 + overlap]))


def test_multi_digits_labels_can_be_sparse_on_one_side() -> None:
    problem = load("multi_digits", {"right_labels": 0.1})
    for split in range(3):
        assert problem.availability(split) == pytest.approx({"left": 1.0, "right": 0.1})


def test_multi_digits_noise_stays_between_black_and_white() -> None:
    quiet, noisy = small("multi_digits").features, small("multi_digits", noise=0.3).features
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert 0.1 < np.abs(noisy - quiet).mean() < 0.3


def test_multi_digits_says_that_its_images_are_real_and_composed() -> None:
    problem = small("multi_digits")
    assert not problem.synthetic
    assert "composed" in problem.warnings[0]


@everywhere
def test_no_knob_has_the_name_of_something_that_belongs_to_a_file(name: str) -> None:
    assert not set(SCENARIOS[name].knobs) & set(DataSpec.model_fields), "it could not be written beside the scenario"
