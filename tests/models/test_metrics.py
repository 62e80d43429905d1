"""Every metric against scikit-learn, over uneven batches; and by name."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.exceptions import UndefinedMetricWarning

import tapegrad as tg
from tapegrad import nn
from tapegrad.data import metrics
from tapegrad.models import LambdaCallback, Sequential

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


O, ONES, NONE = np.array([0.1, 0.9, 0.4]), np.ones(3), np.zeros(3)
SOME, GAP = np.array([0.0, 1.0, 1.0]), np.array([0.1, np.nan, 0.4])
COLUMNS, CONSTANT, ABSENT = np.stack([O, O], 1), np.stack([SOME, ONES], 1), np.stack([SOME, NONE], 1)
TIES = np.array([[0.3, 0.3, 0.3], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])


def positive(score, **options):
    """scikit-learn's score of classes, for outputs that are probabilities."""
    return lambda targets, outputs: score(targets, outputs > 0.5, **options)


def first_two(targets, outputs):
    return reference.top_k_accuracy_score(targets, outputs, k=2, labels=[0, 1, 2])


# metrics, scikit-learn's function, outputs, targets, whether both warn that the score is not defined
EDGES = {
    "R2, constant targets": (("r2", metrics.R2()), reference.r2_score, O, ONES, False),
    "R2, constant and hit": (("r2", metrics.R2()), reference.r2_score, ONES, ONES, False),
    "R2, one of two constant": (("r2", metrics.R2()), reference.r2_score, COLUMNS, CONSTANT, False),
    "R2, one row": (("r2", metrics.R2()), reference.r2_score, O[:1], ONES[:1], True),
    "R2, far from 0": (("r2", metrics.R2()), reference.r2_score, 1e8 + O, 1e8 + SOME, False),
    "AUC, all positive": (("auc", metrics.AUC()), reference.roc_auc_score, O, ONES, True),
    "AUC, none positive": (("auc", metrics.AUC()), reference.roc_auc_score, O, NONE, True),
    "AUC, a column all positive": (("auc", metrics.AUC()), reference.roc_auc_score, COLUMNS, CONSTANT, True),
    "precision and recall, none": (
        ("average_precision", metrics.AUC("PR")), reference.average_precision_score, O, NONE, True,
    ),
    "precision and recall, all": (
        ("average_precision", metrics.AUC("PR")), reference.average_precision_score, O, ONES, False,
    ),
    "precision and recall, a column of none": (
        ("average_precision", metrics.AUC("PR")), reference.average_precision_score, COLUMNS, ABSENT, True,
    ),
    "precision, none predicted": (
        ("precision", metrics.Precision()), positive(reference.precision_score), NONE, ONES, None,
    ),
    "recall, none positive": (("recall", metrics.Recall()), positive(reference.recall_score), ONES, NONE, None),
    "F1, neither": (("f1", metrics.F1()), positive(reference.f1_score), NONE, NONE, None),
    "precision by class": (
        (metrics.Precision("macro"),), positive(reference.precision_score, average="macro"), NONE, ONES, None,
    ),
    "recall by rows": (
        (metrics.Recall("weighted"),), positive(reference.recall_score, average="weighted"), ONES, NONE, None,
    ),
    "kappa, one class": ((metrics.CohenKappa(),), positive(reference.cohen_kappa_score), ONES, ONES, True),
    "kappa, the other": ((metrics.CohenKappa(),), positive(reference.cohen_kappa_score), NONE, ONES, None),
    "correlation": ((metrics.MatthewsCorrelation(),), positive(reference.matthews_corrcoef), ONES, ONES, None),
    "balanced": ((metrics.BalancedAccuracy(),), positive(reference.balanced_accuracy_score), O, ONES, None),
    "log loss, one class": (
        (metrics.LogLoss(),), lambda t, o: reference.log_loss(t, o, labels=[0, 1]), O, ONES, False,
    ),
    "log loss, sure and wrong": (
        (metrics.LogLoss(),), lambda t, o: reference.log_loss(t, o, labels=[0, 1]), NONE, SOME, False,
    ),
    "top k, ties": ((metrics.TopKAccuracy(2),), first_two, TIES, np.array([0, 2, 1]), False),
    "squared error, columns": (("mse", "rmse"), reference.mean_squared_error, ONES[:, None], ONES[:, None], False),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edges(name):
    given, theirs, outputs, targets, undefined = EDGES[name]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        right = theirs(targets, outputs)
    if undefined is not None:
        assert bool(said) == undefined
    for metric in map(metrics.get, given):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert metric(outputs, targets) == pytest.approx(right, rel=1e-12, nan_ok=True)
        assert [w.category for w in said] == [UndefinedMetricWarning] * bool(undefined)


@pytest.mark.parametrize("name", ["auc", "average_precision", "mse", "mae", "r2", "log_loss"])
def test_a_nan_is_no_score(name):
    """scikit-learn refuses a NaN; the score of a training that diverges is one."""
    assert np.isnan(metrics.get(name)(GAP, SOME))


def test_a_nan_is_no_hit():
    wrong = np.array([[np.nan, 0.2, 0.1], [0.1, np.nan, 0.3]])
    assert metrics.TopKAccuracy(1)(wrong, np.array([0, 1])) == 0.0


def test_no_rows():
    for name in ("mse", "auc", "r2", "f1", "log_loss", "cohen_kappa"):
        assert np.isnan(metrics.get(name).result())


def test_nothing_is_said_of_a_metric_before_all_rows_came():
    """The first batches have one class, and one row."""
    x, y = np.linspace(-1, 1, 8)[:, None], np.repeat([0.0, 1.0], 4)[:, None]
    model = Sequential(nn.Dense(1, "sigmoid", in_features=1))
    model.compile("sgd", "binary_crossentropy", ["auc", "r2"])
    seen = LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[seen], validation_data=(x, y))
    with pytest.warns(UndefinedMetricWarning, match="auc: the targets are of one class"):
        model.evaluate(x[:4], y[:4], verbose=0)


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


class WithResult:
    """As Keras's metrics are, with one result."""

    def __init__(self, result):
        self.result = lambda: result

    def update_state(self, y_true, y_pred):
        pass

    def reset_state(self):
        pass


# what a metric returns, and the number in the logs, or what the error says
RESULTS = {
    "a number": (0.5, 0.5), "a whole number": (1, 1.0), "one of NumPy": (np.float32(0.5), 0.5),
    "(1,)": (np.array([0.5]), 0.5), "(1, 1)": (np.array([[0.5]]), 0.5), "a Tensor": (tg.tensor([0.5]), 0.5),
    "a list of one": ([0.5], 0.5), "NaN": (np.array([np.nan]), np.nan),
    "one for each class": (np.array([0.5, 1.0]), r"expected one number, got numbers of shape \(2,\): take their mean"),
    "a Tensor of two": (tg.tensor([0.5, 1.0]), r"expected one number, got numbers of shape \(2,\)"),
    "none": (None, "expected one number, got None"), "a text": ("a", "expected one number, got 'a'"),
    "a dict": ({"a": 1.0}, r"expected one number, got \{'a': 1.0\}"),
}  # fmt: skip


class Given(metrics.Metric):
    """With one result."""

    def __init__(self, result):
        self.result = lambda: result
        super().__init__("given")

    def reset(self):
        pass

    def add(self, outputs, targets):
        pass


class StepOf(Sequential):
    """With a step that measures one number."""

    def train_step(self, data):
        return {"given": self.measured}


def measured(way, result):
    """The number that fit has of what a metric, or a step, returns."""
    x, y = np.ones((4, 1)), np.ones((4, 1))
    model = (StepOf if way == "a step" else Sequential)(nn.Dense(1, in_features=1))
    model.compile(
        "sgd", "mse", [] if way == "a step" else [Given(result) if way == "ours" else WithResult(result)]
    )
    model.measured = result
    return list(model.fit(x, y, verbose=0).history.values())[-1][0]


@pytest.mark.parametrize("way", ["ours", "Keras's", "a step"])
@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_one_number_or_refused(name, way):
    result, want = RESULTS[name]
    if isinstance(want, str):
        with pytest.raises(TypeError, match=want):
            measured(way, result)
    else:
        np.testing.assert_equal(measured(way, result), want)
        assert type(measured(way, result)) is float


# what a function returns for a batch, and its number, or what the error says
RETURNED = {
    "a number": (1.5, 1.5), "(1,)": (np.array([1.5]), 1.5), "one for each row": ([1.0, 2.0], 1.5),
    "a Tensor of the rows": (tg.tensor([1.0, 2.0]), 1.5), "one of NumPy": (np.float32(1.5), 1.5),
    "none": (None, "<lambda>: expected a number for the batch, or one for each row, got None"),
    "a text": ("a", "<lambda>: expected a number for the batch, or one for each row, got 'a'"),
}  # fmt: skip


@pytest.mark.parametrize("name", RETURNED)
def test_a_function_returns_numbers(name):
    value, want = RETURNED[name]
    metric = metrics.get(lambda y_true, y_pred: value)
    if isinstance(want, str):
        with pytest.raises(TypeError, match=want):
            metric(np.zeros((2, 1)), np.zeros((2, 1)))
    else:
        assert metric(np.zeros((2, 1)), np.zeros((2, 1))) == want


def test_keras_f1_score_of_one_output_and_of_classes():
    keras = pytest.importorskip("keras")
    x, classes = np.linspace(-1, 1, 12, dtype=np.float32)[:, None], np.arange(12) % 3
    model = Sequential(nn.Dense(1, "sigmoid", in_features=1))
    model.compile("sgd", "binary_crossentropy", [keras.metrics.F1Score(threshold=0.5)])
    assert 0 <= model.fit(x, classes[:, None] > 0, verbose=0)["f1_score"][0] <= 1
    model = Sequential(nn.Dense(3, "softmax", in_features=1))
    model.compile("sgd", "categorical_crossentropy", [keras.metrics.F1Score()])
    with pytest.raises(
        TypeError, match=r"f1_score: expected one number, got numbers of shape \(3,\).*average='macro'"
    ):
        model.fit(x, np.eye(3)[classes], verbose=0)


def test_errors():
    with pytest.raises(ValueError, match=r"unknown name 'acuracy'; known: accuracy, acc"):
        metrics.get("acuracy")
    with pytest.raises(TypeError, match="names or functions"):
        metrics.get(3)
    with pytest.raises(ValueError, match="one column per class"):
        metrics.get("f1")(P3, LABELS)
