"""Metrics as objects: scikit-learn's numbers on all rows, over uneven batches; logits; in a model and its file."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.exceptions import UndefinedMetricWarning

import tapegrad as tg
from tapegrad import models, nn
from tapegrad.data import metrics as m

R = np.random.default_rng(1)
N = 211
P = np.round(R.uniform(size=N), 2)  # rounded: some scores tie
T = (R.uniform(size=N) < P).astype(np.int64)
B = (P > 0.5).astype(np.int64)
Q = np.round(R.dirichlet(np.ones(5) * 0.7, size=N), 1) + 1e-3
Q /= Q.sum(axis=1, keepdims=True)
C = R.choice(5, N, p=[0.4, 0.3, 0.2, 0.08, 0.02])
G = Q.argmax(axis=1)
HOT = np.eye(5)[C]
UNTIED = R.dirichlet(np.ones(5), size=N)
X, Y = R.normal(size=(N, 3)) + 1e3, R.normal(size=(N, 3)) + 1e3
ref = reference

# metric, outputs, targets, what scikit-learn says
ROWS: tuple[tuple[Any, Any, Any, Any], ...] = (
    (m.Accuracy(), P, T, ref.accuracy_score(T, B)),
    (m.Accuracy(threshold=0.3), P, T, ref.accuracy_score(T, P > 0.3)),
    (m.Accuracy(), Q, C, ref.accuracy_score(C, G)),
    (m.BinaryAccuracy(0.7), P, T, ref.accuracy_score(T, P > 0.7)),
    (m.CategoricalAccuracy(), Q, HOT, ref.accuracy_score(C, G)),
    (m.SparseCategoricalAccuracy(), Q, C, ref.accuracy_score(C, G)),
    *((m.TopKAccuracy(k), Q, t, ref.top_k_accuracy_score(C, Q, k=k)) for k in (1, 2, 4) for t in (C, HOT, C[:, None])),
    *((kind(average, **more), o, t, score(t_, p_, average=average, zero_division=0, **({"beta": 2.0} if more else {})))
      for kind, score, more in ((m.Precision, ref.precision_score, {}), (m.Recall, ref.recall_score, {}),
                                (m.F1, ref.f1_score, {}))
      for average, o, t, t_, p_ in (
          ("binary", P, T, T, B), ("macro", Q, C, C, G), ("micro", Q, HOT, C, G), ("weighted", Q, C, C, G),
          ("weighted", G, C, C, G), ("macro", P[:, None], T[:, None], T, B), (None, Q, C, C, G))),
    (m.Precision(threshold=0.8), P, T, ref.precision_score(T, P > 0.8)),
    *((m.FBeta(beta, average), Q, C, ref.fbeta_score(C, G, beta=beta, average=average, zero_division=0))
      for beta in (0.5, 2.0) for average in ("macro", "weighted")),
    (m.FBeta(2.0), P, T, ref.fbeta_score(T, B, beta=2.0)),
    (m.Precision(), 2.0 * P - 1.0, 2 * T - 1, ref.precision_score(T, 2 * P - 1 > 0.5)),
    (m.ConfusionMatrix(), Q, C, ref.confusion_matrix(C, G)),
    (m.ConfusionMatrix(7), Q, C, ref.confusion_matrix(C, G, labels=range(7))),
    (m.BalancedAccuracy(), Q, C, ref.balanced_accuracy_score(C, G)),
    (m.MatthewsCorrelation(), Q, C, ref.matthews_corrcoef(C, G)),
    (m.MatthewsCorrelation(), P, T, ref.matthews_corrcoef(T, B)),
    (m.CohenKappa(), Q, C, ref.cohen_kappa_score(C, G)),
    (m.AUC(), P, T, ref.roc_auc_score(T, P)),
    (m.AUC(), Q, C, ref.roc_auc_score(C, Q, multi_class="ovr")),
    (m.AUC(), Q, HOT, ref.roc_auc_score(C, Q, multi_class="ovr")),
    (m.AUC("PR"), P, T, ref.average_precision_score(T, P)),
    (m.AUC("PR"), Q, C, ref.average_precision_score(HOT, Q)),
    (m.LogLoss(), P, T, ref.log_loss(T, P)),
    (m.LogLoss(), P[:, None], T[:, None], ref.log_loss(T, P)),
    (m.LogLoss(), Q, C, ref.log_loss(C, Q)),
    (m.LogLoss(), Q, HOT, ref.log_loss(C, Q)),
    (m.MeanSquaredError(), X, Y, ref.mean_squared_error(Y, X)),
    (m.MeanAbsoluteError(), X, Y, ref.mean_absolute_error(Y, X)),
    (m.RootMeanSquaredError(), X, Y, ref.mean_squared_error(Y, X) ** 0.5),
    (m.R2(), X, Y, ref.r2_score(Y, X)),
    (m.R2(), X[:, 0], Y[:, 0], ref.r2_score(Y[:, 0], X[:, 0])),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{type(row[0]).__name__}{i}" for i, row in enumerate(ROWS)])
def test_metric_is_scikit_learns(row: Any) -> None:
    metric, outputs, targets, want = row
    np.testing.assert_allclose(metric(tg.tensor(outputs), tg.tensor(targets)), want, rtol=1e-9)
    metric.reset()
    for start, stop in ((0, 7), (7, 8), (8, 8), (8, 150), (150, N)):
        metric.update(outputs[start:stop], targets[start:stop])
    np.testing.assert_allclose(metric.result(), want, rtol=1e-9)


def test_every_object_has_a_row_and_is_made_again_by_its_spec() -> None:
    kinds = {k for name in m.__all__ if inspect.isclass(k := getattr(m, name))} - {m.Metric}
    assert {type(row[0]) for row in ROWS} == kinds
    for metric, outputs, targets, _ in ROWS:
        again = m.get(**metric.spec)
        np.testing.assert_array_equal(again(outputs, targets), metric(outputs, targets))


def test_logits_are_told_by_the_loss() -> None:
    logits, many = np.log(P + 1e-9) - np.log(1 - P + 1e-9), np.log(Q) + 3.0
    for metric, outputs, kind, targets, plain in (
        (m.LogLoss(), logits, "logit", T, np.clip(P, 1e-9, 1 - 1e-9)), (m.LogLoss(), many, "logits", C, Q),
        (m.LogLoss(), np.log(Q), "log_probabilities", C, Q), (m.Precision(), logits, "logit", T, P),
        (m.FBeta(2.0, threshold=0.8), logits, "logit", T, P), (m.AUC(), np.log(UNTIED), "logits", C, UNTIED),
        (m.TopKAccuracy(2), np.log(UNTIED), "logits", C, UNTIED),
    ):  # fmt: skip
        np.testing.assert_allclose(
            metric.of_outputs(kind)(outputs, targets), metric(plain, targets), rtol=1e-6
        )
    far = m.LogLoss().of_outputs("logit")
    assert far(np.array([-1e4, 1e4]), np.array([1, 0])) == 1e4


def test_no_rows_and_classes_that_do_not_occur() -> None:
    for metric in (
        m.Precision("macro"),
        m.CohenKappa(),
        m.BalancedAccuracy(),
        m.LogLoss(),
        m.R2(),
        m.AUC("PR"),
    ):
        metric.reset()
        assert np.isnan(metric.result())
    ones = np.ones(4, np.int64)
    assert m.Precision()(ones, ones) == 1 and m.Recall()(1 - ones, 1 - ones) == 0
    assert m.MatthewsCorrelation()(ones, ones) == 0  # as scikit-learn, which warns
    same = np.full(4, 2.0)
    assert m.R2()(same, same) == 1 == ref.r2_score(same, same)
    assert m.R2()(same + 1, same) == 0 == ref.r2_score(same, same + 1)
    assert m.R2(force_finite=False)(same + 1, same) == -np.inf
    with pytest.warns(UndefinedMetricWarning, match="no target is positive"):
        assert m.AUC("PR")(P, 0 * T) == 0  # as scikit-learn, which warns


REFUSED: tuple[tuple[Any, str], ...] = (
    (lambda: m.Precision()(Q, C), 'for two classes, and there are 5: name "macro"'),
    (lambda: m.Precision("mean"), "average must be 'binary'"),
    (lambda: m.Recall()(P, T + 0.5), "targets must be class numbers, got"),
    (lambda: m.Recall()(P, C), "outputs of one column are for two classes"),
    (lambda: m.F1()(P[:5], T[:4]), "do not have as many rows"),
    (lambda: m.ConfusionMatrix(3)(Q, C), "from 0 to 2, got 4"),
    (lambda: m.ConfusionMatrix()(G, C - 1), "at least 0, got -1"),
    (lambda: m.TopKAccuracy(5)(Q, C), "k=5 of 5 classes is always right"),
    (lambda: m.TopKAccuracy(2)(Q, C + 1), "class numbers must be from 0 to 4"),
    (lambda: m.AUC()(Q, C + 1), "class numbers must be from 0 to 4"),
    (lambda: m.AUC("PRC"), "curve must be 'ROC' or 'PR'"),
    (lambda: m.LogLoss()(P, T + 1), "targets must be 0 and 1"),
    (lambda: m.LogLoss()(Q, C[:5]), "need class numbers from 0 to 4"),
    (lambda: m.LogLoss()(np.full((2, 3), 0.5), np.array([[1, 1, 0], [0, 1, 0]])), "must add up to 1"),
    (lambda: m.LogLoss().of_outputs("signs")(P, T), "scores, not probabilities"),
    (lambda: m.ConfusionMatrix()(np.ones((2, 3, 4)), np.zeros((3, 2))), "do not have as many rows"),
    (lambda: m.TopKAccuracy(1)(P, T), "one column per class and one class number per row"),
    (lambda: m.AUC()(P[:, None], T), "must have one shape"),
    (lambda: m.R2()(X, Y[:, :1]), "must have one shape"),
    (lambda: m.FBeta(0.0), "beta must be a finite number above 0"),
    (lambda: m.Accuracy(threshold=2.0), "threshold must be a number between 0 and 1"),
)


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_in_a_model_and_its_file(tmp_path: Path) -> None:
    tg.manual_seed(0)
    model = models.Sequential([nn.Dense(5, in_features=3)])
    given = [
        m.Precision("macro"),
        m.TopKAccuracy(2),
        m.LogLoss(),
        m.FBeta(2.0, "weighted", name="f2"),
        m.F1("micro"),
    ]
    model.compile("adam", nn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=given)
    x = (X - 1e3).astype("float32")
    logs = model.fit(x, C, epochs=2, verbose=0, validation_data=(x, C)).history
    logits = model.predict(x)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(logs["val_log_loss"][-1], ref.log_loss(C, probabilities), rtol=1e-5)
    np.testing.assert_allclose(
        logs["val_f2"][-1],
        ref.fbeta_score(C, logits.argmax(axis=1), beta=2, average="weighted", zero_division=0),
        rtol=1e-9,
    )
    model.save(tmp_path / "model.tg")
    again = models.Sequential.load(tmp_path / "model.tg")
    assert [metric.name for metric in again.metrics] == [
        "precision",
        "top_k_accuracy",
        "log_loss",
        "f2",
        "f1",
    ]
    assert again.evaluate(x, C, verbose=0) == model.evaluate(x, C, verbose=0)
    with pytest.raises(ValueError, match="the result of 'confusion_matrix' is no number"):
        model.compile("adam", "mse", metrics=[m.ConfusionMatrix()])
    with pytest.raises(ValueError, match="the result of 'recall' is no number"):
        model.compile("adam", "mse", metrics=[m.Recall(None)])
