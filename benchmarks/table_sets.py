"""Tables for `benchmarks.tables --built-in`: scikit-learn's real data sets and generated ones. No network, no files.

Each function returns the table and its targets by kind. They differ in what decides how a network should be trained: rows
(150 to 50,000), features (2 to 300), noise, kinds of task, tasks of unlike difficulty, rare classes, missing labels, tails.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn import datasets

Table = tuple[pd.DataFrame, dict[str, str]]


def diabetes() -> Table:
    """442 patients; the progress of the disease and whether it is in its top quarter."""
    frame = datasets.load_diabetes(as_frame=True).frame.rename(columns={"target": "progress"})
    frame["severe"] = (frame["progress"] > frame["progress"].quantile(0.75)).map({True: "yes", False: "no"})
    return frame, {"progress": "regression", "severe": "binary"}


def breast_cancer() -> Table:
    """569 tumours; the diagnosis, and a measured roughness of another cell."""
    frame = datasets.load_breast_cancer(as_frame=True).frame.rename(columns={"target": "benign"})
    return frame, {"benign": "binary", "worst smoothness": "regression"}


def wine() -> Table:
    """178 wines; the grower and the alcohol."""
    frame = datasets.load_wine(as_frame=True).frame.rename(columns={"target": "grower"})
    return frame, {"grower": "multiclass", "alcohol": "regression"}


def iris() -> Table:
    """150 flowers; the species and a width."""
    frame = datasets.load_iris(as_frame=True).frame.rename(columns={"target": "species"})
    return frame, {"species": "multiclass", "petal width (cm)": "regression"}


def digits() -> Table:
    """1,797 images of 64 pixels; the digit, and whether it is even."""
    frame = datasets.load_digits(as_frame=True).frame.rename(columns={"target": "digit"})
    frame["even"] = (frame["digit"] % 2 == 0).map({True: "yes", False: "no"})
    return frame, {"digit": "multiclass", "even": "binary"}


def friedman_1() -> Table:
    """A curved function of 5 of 10 features, with noise."""
    features, target = datasets.make_friedman1(1_000, noise=1.0, random_state=0)
    return _frame(features, y=target), {"y": "regression"}


def friedman_2_and_3() -> Table:
    """Two curved functions of the same 4 features, without noise."""
    features, second = datasets.make_friedman2(2_000, random_state=0)
    _, third = datasets.make_friedman3(2_000, random_state=0)
    return _frame(features, second=second, third=third), {"second": "regression", "third": "regression"}


def linear_small() -> Table:
    """200 rows, 5 features, two straight targets with some noise."""
    features, targets = datasets.make_regression(200, 5, n_informative=5, n_targets=2, noise=30.0, random_state=0)
    return _frame(features, one=targets[:, 0], two=targets[:, 1]), {"one": "regression", "two": "regression"}


def linear_wide() -> Table:
    """600 rows, 300 features of which 10 matter."""
    features, target = datasets.make_regression(600, 300, n_informative=10, noise=20.0, random_state=0)
    return _frame(features, y=target), {"y": "regression"}


def additive_sparse() -> Table:
    """5,000 rows, 50 features; sums of curves of three features, and a class of another two."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5_000, 50))
    smooth = np.sin(2 * x[:, 0]) + np.abs(x[:, 1]) + 0.5 * x[:, 2] ** 2 + rng.normal(0, 0.5, len(x))
    crossed = _draw(2 * x[:, 3] * x[:, 4], rng)
    return _frame(x, smooth=smooth, crossed=crossed), {"smooth": "regression", "crossed": "binary"}


def imbalanced() -> Table:
    """4,000 rows, 20 features; a class of 3 % and four classes of 60 to 5 %."""
    features, rare = datasets.make_classification(4_000, 20, n_informative=8, weights=[0.97], flip_y=0.005, random_state=0)
    rng = np.random.default_rng(1)
    scores = features @ rng.normal(size=(20, 4)) / 4 + rng.gumbel(size=(4_000, 4)) + np.log([0.6, 0.25, 0.1, 0.05])
    four = np.array(["a", "b", "c", "d"])[scores.argmax(1)]
    return _frame(features, rare=rare, four=four), {"rare": "binary", "four": "multiclass"}


def blobs() -> Table:
    """3,000 rows, 12 features; six classes of several clusters each."""
    features, classes = datasets.make_classification(
        3_000, 12, n_informative=8, n_classes=6, n_clusters_per_class=2, class_sep=1.5, random_state=0
    )
    return _frame(features, kind=classes), {"kind": "multiclass"}


def moons() -> Table:
    """600 points of two moons, and how far they lie from the origin."""
    features, side = datasets.make_moons(600, noise=0.2, random_state=0)
    return _frame(features, side=side, far=np.hypot(*features.T)), {"side": "binary", "far": "regression"}


def categories() -> Table:
    """5,000 rows; two categories of 40 and 200 levels and two numbers."""
    rng = np.random.default_rng(0)
    shop, item = rng.integers(0, 40, 5_000), np.minimum(rng.geometric(0.02, 5_000), 200)
    x = rng.normal(size=(5_000, 2))
    level = rng.normal(size=40)[shop] + rng.normal(size=201)[item] + x[:, 0]
    frame = _frame(x, price=level + rng.normal(0, 0.5, 5_000), sold=_draw(level, rng))
    return frame.assign(shop=[f"s{n}" for n in shop], item=[f"i{n}" for n in item]), {"price": "regression", "sold": "binary"}


def heavy_target() -> Table:
    """3,000 rows, 8 features; an amount with a log-normal tail."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3_000, 8))
    amount = np.exp(0.6 * x[:, 0] + 0.4 * x[:, 1] * x[:, 2] + rng.normal(0, 0.4, 3_000))
    return _frame(x, amount=amount), {"amount": "regression"}


def heavy_features() -> Table:
    """3,000 rows, 8 features with log-normal tails; the targets follow their logarithms."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3_000, 8))
    level = x[:, 0] + x[:, 1] - x[:, 2] * x[:, 3] + rng.normal(0, 0.5, 3_000)
    frame = _frame(np.exp(2 * x), level=level, above=_draw(2 * x[:, 4] + x[:, 0], rng))
    return frame, {"level": "regression", "above": "binary"}


def counts() -> Table:
    """3,000 rows, 10 features; a count around 2 with extra zeros and one that is nearly always zero."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3_000, 10))
    visits = rng.poisson(np.exp(0.7 + 0.5 * x[:, 0] - 0.4 * x[:, 1])) * (rng.random(3_000) < 1 / (1 + np.exp(-1 - x[:, 2])))
    rare = rng.poisson(np.exp(-3 + 0.8 * x[:, 0] + 0.5 * x[:, 3]))
    return _frame(x, visits=visits, rare=rare), {"visits": "count", "rare": "count"}


def mixed() -> Table:
    """1,500 rows of all kinds of features and tasks; 20 to 60 % of the labels and 10 % of the cells are missing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1_500, 12))
    town = rng.integers(0, 8, 1_500)
    signal = x[:, 0] + 0.5 * x[:, 1] ** 2 + rng.normal(size=8)[town]
    grade = np.digitize(signal + 0.5 * x[:, 3] + rng.normal(0, 0.5, 1_500), [-0.5, 0.5, 1.5])
    values = {
        "amount": signal + rng.normal(0, 0.5, 1_500),
        "yes": _draw(signal + x[:, 2], rng).astype(float),
        "grade": grade.astype(float),
        "events": rng.poisson(np.exp(0.4 * np.clip(signal, -3, 3))).astype(float),
    }
    for share, labels in zip((0.2, 0.4, 0.6, 0.3), values.values(), strict=True):
        labels[rng.random(1_500) < share] = np.nan
    x[rng.random(x.shape) < 0.1] = np.nan
    frame = _frame(x, **values).assign(town=[f"town {n}" for n in town])
    return frame, {"amount": "regression", "yes": "binary", "grade": "multiclass", "events": "count"}


def unlike() -> Table:
    """2,000 rows, 8 features; an exact curve that takes long to learn beside two targets that are mostly noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(2_000, 8))
    exact = np.sin(4 * x[:, 0]) * x[:, 1] + x[:, 2] ** 2
    noisy = 0.5 * x[:, 3] + rng.normal(0, 1.0, 2_000)
    frame = _frame(x, exact=exact, noisy=noisy, chance=_draw(x[:, 4], rng))
    return frame, {"exact": "regression", "noisy": "regression", "chance": "binary"}


def noisy_small() -> Table:
    """250 rows, 20 features, of which three matter a little."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(250, 20))
    signal = x[:, :3].sum(1)
    frame = _frame(x, score=signal + rng.normal(0, 2, 250), passed=_draw(signal, rng))
    return frame, {"score": "regression", "passed": "binary"}


def waves() -> Table:
    """20,000 rows, 3 features; a wiggly surface with little noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(20_000, 3))
    height = np.sin(6 * x[:, 0]) * np.cos(4 * x[:, 1]) + x[:, 2] + rng.normal(0, 0.1, len(x))
    return _frame(x, height=height, up=_draw(5 * np.sin(5 * x[:, 1] * x[:, 2]), rng)), {"height": "regression", "up": "binary"}


def large() -> Table:
    """50,000 rows, 20 features; a curved target and a class."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50_000, 20))
    bent = np.tanh(x[:, 0] + x[:, 1] * x[:, 2]) + 0.3 * x[:, 3:8].sum(1) + rng.normal(0, 0.5, len(x))
    return _frame(x, bent=bent, chosen=_draw(1.5 * x[:, 0] - x[:, 5] * x[:, 6], rng)), {"bent": "regression", "chosen": "binary"}


def _frame(features: np.ndarray, **targets: np.ndarray) -> pd.DataFrame:
    named = pd.DataFrame(features, columns=[f"x{n}" for n in range(features.shape[1])])
    return named.assign(**targets)


def _draw(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(rng.random(len(logits)) < 1 / (1 + np.exp(-logits))).astype(int)


BUILT_IN: dict[str, Callable[[], Table]] = {
    function.__name__: function
    for function in (
        diabetes, breast_cancer, wine, iris, digits, friedman_1, friedman_2_and_3, linear_small, linear_wide, additive_sparse,
        imbalanced, blobs, moons, categories, heavy_target, heavy_features, counts, mixed, unlike, noisy_small, waves, large,
    )
}  # fmt: skip
