"""Which way is better: each metric knows it, and callbacks and the History ask it, whatever it is called."""

import inspect
import re
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

import tapegrad as tg
from tapegrad import nn
from tapegrad.data import metrics as m
from tapegrad.models import EarlyStopping, History, ModelCheckpoint, ReduceLROnPlateau, Sequential
from tapegrad.nn import losses

# Outputs that are right, outputs that are wrong, targets.
TWO = np.array([0.9, 0.1, 0.8, 0.2]), np.array([0.1, 0.9, 0.2, 0.8]), np.array([1, 0, 1, 0])
CLASSES = np.eye(3)[[0, 1, 2, 1]] * 0.7 + 0.1, np.eye(3)[[1, 2, 0, 0]] * 0.7 + 0.1, np.array([0, 1, 2, 1])
COLUMNS = *CLASSES[:2], np.eye(3)[CLASSES[2]]
NUMBERS = np.array([1.0, 2.0, 4.0]), np.array([4.0, 1.0, 1.0]), np.array([1.0, 2.0, 4.1])
OF_KIND = {
    "categorical_accuracy": COLUMNS, "sparse_categorical_accuracy": CLASSES, "top_k_accuracy": CLASSES,
    **dict.fromkeys(("mse", "mean_squared_error", "mae", "mean_absolute_error", "rmse", "root_mean_squared_error"),
                    NUMBERS),
    **dict.fromkeys(("r2", "r2_score", "coefficient_of_determination"), NUMBERS),
}  # fmt: skip
NAMED = {name: m.get(name, **({"k": 1} if name == "top_k_accuracy" else {}))
         for name in (*m.MEANS, *m.ROOTS, *m.WHOLES, *m.OBJECTS) if name != "confusion_matrix"}  # fmt: skip
CLASSES_OF_METRICS = {
    kind.__name__: kind(**({"k": 1} if kind is m.TopKAccuracy else {}))
    for name in m.__all__
    if inspect.isclass(kind := getattr(m, name)) and kind not in (m.Metric, m.ConfusionMatrix)
}
AVERAGE_PRECISION = {"AUC of PR": m.AUC("PR")}


@pytest.mark.parametrize("name", [*NAMED, *CLASSES_OF_METRICS, *AVERAGE_PRECISION])
def test_the_better_outputs_have_the_better_number(name: str) -> None:
    metric = {**NAMED, **CLASSES_OF_METRICS, **AVERAGE_PRECISION}[name]
    right, wrong, targets = OF_KIND.get(name, OF_KIND.get((metric.spec or {}).get("metric", name), TWO))
    assert metric.larger_is_better is bool(metric(right, targets) > metric(wrong, targets))


@pytest.mark.parametrize("name", [*NAMED, "loss", "score", "Accuracy", "R2"])
def test_a_name_in_the_logs_is_the_metric_of_that_name(name: str) -> None:
    expected = {"loss": False, "score": True}.get(
        name, m.get(name if name in NAMED else "r2").larger_is_better
    )
    assert m.larger_is_better(name, {}) is m.larger_is_better(f"val_{name}", {}) is expected


def test_less_is_better_of_every_loss() -> None:
    class Mine(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return y_true - y_pred

    for loss in (*losses._TABLE.entries, *losses.FUNCTIONS, losses.CosineSimilarity(name="accuracy"), Mine()):
        if loss in (*m.MEANS, "cosine_similarity", "CosineSimilarity"):
            continue
        assert m.get(loss).larger_is_better is False, loss


def test_scikit_learns_functions_go_by_scikit_learns_scorers() -> None:
    for name in reference.get_scorer_names():
        scorer = reference.get_scorer(name)
        if "likelihood_ratio" not in name:
            assert m.get(scorer._score_func).larger_is_better is (scorer._sign > 0), name
    assert m.get(reference.davies_bouldin_score).larger_is_better is False
    assert m.get(reference.roc_curve).larger_is_better is None


class Share(m.Metric):
    """A metric of a user's own, who says which way is better."""

    larger_is_better = True

    def reset(self) -> None:
        self.value = 0.0

    def add(self, outputs: Any, targets: Any) -> None:
        self.value = float(np.mean(outputs > 0))

    def result(self) -> float:
        return self.value


class OfKeras:
    """An object as Keras's metrics are."""

    def __init__(self, name: str, **more: object) -> None:
        self.name = name
        vars(self).update(more)

    def reset_state(self) -> None: ...
    def update_state(self, y_true: Any, y_pred: Any) -> None: ...
    def result(self) -> float:
        return 0.0


def f1_like(y_true: Any, y_pred: Any) -> float:
    return 0.0


def inaccuracy(y_true: Any, y_pred: Any) -> float:
    return 0.0


def rmse(y_true: Any, y_pred: Any) -> float:
    return 0.0


# Metrics of the model, the monitored number, whether more of it is better; None where nothing says it.
MONITORED: dict[str, tuple[list[Any], str, bool | None]] = {
    "cohen_kappa": ([m.CohenKappa()], "val_cohen_kappa", True),
    "matthews_correlation": ([m.MatthewsCorrelation()], "matthews_correlation", True),
    "f_beta": ([m.FBeta(2.0)], "val_f_beta", True),
    "top_k_accuracy": ([m.TopKAccuracy()], "val_top_k_accuracy", True),
    "average_precision": (["average_precision"], "val_average_precision", True),
    "a name of one's own": ([m.R2(name="quality")], "val_quality", True),
    "a name that says the other way": ([m.LogLoss(name="neg_auc")], "val_neg_auc", False),
    "an error under a score's name": ([m.MeanSquaredError(name="f1")], "val_f1", False),
    "a name given to get": ([m.get("mae", name="not_r2")], "not_r2", False),
    "a name with val_": ([m.F1(name="val_share")], "val_share", True),
    "in capitals": (["MAE", "AUC"], "val_AUC", True),
    "a loss": ([losses.cosine_similarity], "val_cosine_similarity", False),
    "a loss and its options": (["huber"], "val_huber", False),
    "scikit-learn's": ([reference.jaccard_score], "val_jaccard_score", True),
    "scikit-learn's error": ([reference.max_error], "val_max_error", False),
    "the loss": ([], "val_loss", False),
    "the score of an estimator": ([], "val_score", True),
    "a metric class": ([Share("share")], "val_share", True),
    "Keras's direction": ([OfKeras("one", _direction="up")], "one", True),
    "Keras's other direction": ([OfKeras("accuracy", _direction="down")], "val_accuracy", False),
    "without a direction": ([OfKeras("one")], "one", None),
    "a function that has a known name": ([rmse], "val_rmse", False),
    "a function": ([f1_like], "val_f1_like", None),
    "a function whose name ends as another": ([inaccuracy], "val_inaccuracy", None),
    "a number of a callback": ([], "learning_rate", None),
    "a number of a train_step": ([], "val_accuracy", True),
    "a misspelt name": (["accuracy"], "val_acuracy", None),
}  # fmt: skip
CALLBACKS = {
    "EarlyStopping": EarlyStopping,
    "ModelCheckpoint": lambda **options: ModelCheckpoint(
        "best", save_best_only=True, save_weights_only=True, **options
    ),
    "ReduceLROnPlateau": ReduceLROnPlateau,
}


def model_of(metrics: list[Any]) -> Sequential:
    model = Sequential(nn.Dense(1, in_features=1))
    model.compile("sgd", "mse", metrics)
    return model


@pytest.mark.parametrize("callback", CALLBACKS)
@pytest.mark.parametrize("case", MONITORED)
def test_a_callback_asks_the_metric(case: str, callback: str) -> None:
    metrics, monitor, expected = MONITORED[case]
    watch = CALLBACKS[callback](monitor=monitor)
    watch.set_model(model_of(metrics))
    if expected is not None:
        watch.on_train_begin()
        for value, improves in ((1.0, True), (2.0, expected), (1.5, False), (0.5, not expected)):
            assert watch.improved({monitor: value}) is improves
        return
    advice = "did you mean .val_accuracy" if case == "a misspelt name" else 'write mode="max" or mode="min"'
    with pytest.raises(ValueError, match=rf"^{callback}: monitor=.{monitor}.*{advice}"):
        watch.on_train_begin()
    for mode, rising in (("max", True), ("min", False)):
        watch = CALLBACKS[callback](monitor=monitor, mode=mode)
        watch.set_model(model_of(metrics))
        watch.on_train_begin()
        assert watch.rising() is rising


@pytest.mark.parametrize("case", MONITORED)
def test_a_history_shows_the_best_epoch_of_the_metric(case: str) -> None:
    metrics, name, expected = MONITORED[case]
    history = History()
    history.larger_is_better = {metric.name: metric.larger_is_better for metric in model_of(metrics).metrics}
    for epoch, value in enumerate((1.0, 3.0, 0.5)):
        history.append(epoch, {name: value})
    text = re.sub("<[^>]+>", " ", history._repr_html_())
    found = re.findall(r"in epoch (\d)", text)
    assert found == {True: ["2"], False: ["3"], None: []}[expected]


def test_a_checkpoint_of_every_epoch_needs_no_direction() -> None:
    keep = ModelCheckpoint("{epoch}", monitor="val_f1_like", save_weights_only=True)
    keep.set_model(model_of([f1_like]))
    keep.on_train_begin()


def test_a_baseline_is_a_value_of_the_number() -> None:
    for metrics, monitor, reached in (
        ([m.R2(name="q")], "q", [False, True]),
        (["mae"], "mae", [True, False]),
    ):
        for value, right in zip((0.25, 0.75), reached, strict=True):
            stop = EarlyStopping(monitor=monitor, baseline=0.5)
            keep = ModelCheckpoint("-", monitor, save_best_only=True, initial_value_threshold=0.5)
            for callback in (stop, keep):
                callback.set_model(model_of(metrics))
                callback.on_train_begin()
            stop.on_epoch_end(0, {monitor: value})
            assert (stop.reached(), keep.improved({monitor: value})) == (right, right)


def test_the_best_weights_come_back(tmp_path: Any) -> None:
    """A training in which the metric gets better with every epoch ends with the weights of the last one."""
    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    y = (x.sum(axis=1, keepdims=True) > 0).astype(np.float32)
    tg.manual_seed(0)
    model = Sequential(nn.Dense(1, "sigmoid", in_features=2))
    model.compile(tg.optim.Adam(lr=0.05), "binary_crossentropy", [m.MatthewsCorrelation(name="agreement")])
    stop = EarlyStopping("val_agreement", patience=30, restore_best_weights=True)
    keep = ModelCheckpoint(tmp_path / "best", "val_agreement", save_best_only=True)
    history = model.fit(x, y, epochs=30, verbose=0, validation_data=(x, y), callbacks=[stop, keep])
    best = max(history["val_agreement"])
    assert best > history["val_agreement"][0] and best == stop.best == keep.best
    for one in (model, Sequential.load(tmp_path / "best")):
        assert one.evaluate(x, y, verbose=0)[1] == best
        assert one.metrics[0].larger_is_better, "a file keeps it"
    assert f"{best:.4g} in epoch {stop.best_epoch + 1}" in history._repr_html_()
