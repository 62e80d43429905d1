"""Every metric against scikit-learn, over uneven batches; and by name."""

import numpy as np
import pytest
from sklearn import metrics as reference

import tapegrad as tg
from tapegrad.data import metrics

generator = np.random.default_rng(0)
P = np.round(generator.uniform(size=(101, 1)), 2)  # rounded: some scores tie
T = (generator.uniform(size=(101, 1)) < P).astype(np.float64)
P3 = generator.uniform(size=(101, 3))
LABELS = generator.integers(0, 3, 101)
R, S = generator.normal(size=(101, 2)), generator.normal(size=(101, 2))

# name, outputs, targets, what scikit-learn (or the definition) says
ROWS = [
    ("accuracy", P, T, reference.accuracy_score(T, P > 0.5)),
    ("binary_accuracy", P, T, reference.accuracy_score(T, P > 0.5)),
    ("accuracy", P3, LABELS, reference.accuracy_score(LABELS, P3.argmax(axis=1))),
    ("accuracy", P3, LABELS[:, None], reference.accuracy_score(LABELS, P3.argmax(axis=1))),
    ("accuracy", P3, np.eye(3)[LABELS], reference.accuracy_score(LABELS, P3.argmax(axis=1))),
    ("sparse_categorical_accuracy", P3, LABELS, reference.accuracy_score(LABELS, P3.argmax(axis=1))),
    ("categorical_accuracy", P3, np.eye(3)[LABELS], reference.accuracy_score(LABELS, P3.argmax(axis=1))),
    ("precision", P, T, reference.precision_score(T, P > 0.5)),
    ("recall", P, T, reference.recall_score(T, P > 0.5)),
    ("f1", P, T, reference.f1_score(T, P > 0.5)),
    ("auc", P, T, reference.roc_auc_score(T, P)),
    ("average_precision", P, T, reference.average_precision_score(T, P)),
    ("mse", R, S, reference.mean_squared_error(S, R)),
    ("mae", R, S, reference.mean_absolute_error(S, R)),
    ("rmse", R, S, reference.mean_squared_error(S, R) ** 0.5),
    ("r2", R, S, reference.r2_score(S, R)),
    ("R2_score", R[:, :1], S[:, :1], reference.r2_score(S[:, :1], R[:, :1])),
]


@pytest.mark.parametrize(("name", "outputs", "targets", "expected"), ROWS)
def test_metric(name, outputs, targets, expected):
    metric = metrics.get(name)
    assert metric(outputs, targets) == pytest.approx(expected, rel=1e-12)
    assert metric(tg.tensor(outputs), tg.tensor(targets)) == pytest.approx(expected, rel=1e-12)
    metric.reset()
    for start, stop in ((0, 7), (7, 8), (8, 80), (80, 101)):
        metric.update(outputs[start:stop], targets[start:stop])
    assert metric.result() == pytest.approx(expected, rel=1e-12)


def test_every_name_has_a_row():
    known = {*metrics.MEANS, *metrics.ROOTS, *metrics.WHOLES}
    tested = {row[0].lower() for row in ROWS}
    aliases = {"acc", "mean_squared_error", "mean_absolute_error", "root_mean_squared_error"}
    assert known == tested | aliases


def test_edges():
    nothing, one = np.zeros((3, 1)), np.ones((3, 1))
    assert metrics.get("precision")(nothing, one) == 0.0
    assert metrics.get("recall")(one, nothing) == 0.0
    assert metrics.get("f1")(nothing, nothing) == 0.0
    assert np.isnan(metrics.get("auc")(P[:3], one))
    assert np.isnan(metrics.get("r2")(P[:3], one))
    assert np.isnan(metrics.get("mse").result())
    assert np.isnan(metrics.get("auc").result())


def test_means_of_float32_are_summed_in_float64():
    metric = metrics.get("mae")
    ones, zeros = np.ones((1000, 1), np.float32), np.zeros((1000, 1), np.float32)
    metric.update(np.full((1, 1), 2.0**25, np.float32), zeros[:1])
    metric.update(ones, zeros)
    assert metric.result() == (2.0**25 + 1000) / 1001


def test_a_function_is_averaged_by_rows():
    metric = metrics.get(lambda y_true, y_pred: y_pred.mean())
    metric.update(np.array([[1.0]]), np.array([[0.0]]))
    metric.update(np.array([[4.0], [4.0]]), np.array([[0.0], [0.0]]))
    assert metric.result() == 3.0


def test_errors():
    with pytest.raises(ValueError, match=r"unknown name 'acuracy'; known: accuracy, acc"):
        metrics.get("acuracy")
    with pytest.raises(TypeError, match="names or functions"):
        metrics.get(3)
    with pytest.raises(ValueError, match="one column per class"):
        metrics.get("f1")(P3, LABELS)
