"""Single-task references of scikit-learn on a table: constant, linear model, MLP and forest, judged on the test rows.

Features: numbers standardised (missing: median and a mark), categories one 0/1 column a level. The MLP has 64-64 units,
early stopping and defaults otherwise; regression targets and counts are standardised for it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import f1_score, r2_score, roc_auc_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

MLP: dict[str, Any] = {"hidden_layer_sizes": (64, 64), "max_iter": 500, "early_stopping": True, "random_state": 0}
JUDGED_BY = {"regression": "r2", "ordinal": "r2", "count": "r2", "binary": "auroc", "multiclass": "f1_macro"}


def references(features: pd.DataFrame, labels: pd.Series, kind: str, test: np.ndarray) -> dict[str, float]:
    """The test metric of the task's kind for each reference; rows without a label are left out."""
    known = labels.notna().to_numpy()
    train, judged = known & ~test, known & test
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    kinds = make_column_selector(dtype_include="number"), make_column_selector(dtype_exclude="number")
    encoder = make_column_transformer((numbers, kinds[0]), (levels, kinds[1]))
    seen, unseen = encoder.fit_transform(features[train]), encoder.transform(features[judged])
    score = _classes if kind in ("binary", "multiclass") else _amounts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return score(seen, unseen, labels[train].to_numpy(), labels[judged].to_numpy())


def _amounts(seen: np.ndarray, unseen: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    mean, scale = labels.mean(), labels.std()
    models = {
        "constant": DummyRegressor(),
        "linear": LinearRegression(),
        "mlp": MLPRegressor(**MLP),
        "forest": RandomForestRegressor(random_state=0, n_jobs=1),
    }
    fitted = {name: model.fit(seen, (labels - mean) / scale) for name, model in models.items()}
    return {name: float(r2_score(truth, model.predict(unseen) * scale + mean)) for name, model in fitted.items()}


def _classes(seen: np.ndarray, unseen: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    models = {
        "constant": DummyClassifier(),
        "linear": LogisticRegression(max_iter=1000),
        "mlp": MLPClassifier(**MLP),
        "forest": RandomForestClassifier(random_state=0, n_jobs=1),
    }
    fitted = {name: model.fit(seen, labels) for name, model in models.items()}
    if len(np.unique(labels)) == 2:
        return {name: float(roc_auc_score(truth, model.predict_proba(unseen)[:, 1])) for name, model in fitted.items()}
    return {name: float(f1_score(truth, model.predict(unseen), average="macro")) for name, model in fitted.items()}
