"""The perceptrons against scikit-learn's, whose numbers they have and what is tapegrad's own."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import neural_network as reference
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_linnerud,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

import tapegrad as tg
from tapegrad import optim
from tapegrad.autograd import random
from tapegrad.models import Callback, EarlyStopping, History, LambdaCallback, MLPClassifier, MLPRegressor

CANCER, IRIS, DIABETES = (
    (scale(x), y) for x, y in (f(return_X_y=True) for f in (load_breast_cancer, load_iris, load_diabetes))
)
DIABETES = DIABETES[0], scale(DIABETES[1])
LINNERUD = tuple(map(scale, load_linnerud(return_X_y=True)))
LABELS = make_multilabel_classification(200, random_state=0)
COUNTS = DIABETES[0], np.round(np.exp(DIABETES[1]))
THREE = COUNTS[0], np.stack([COUNTS[1], COUNTS[1] // 2, 3 * COUNTS[1][::-1]], axis=1)
WEIGHTS = np.random.default_rng(0).uniform(0, 2, 569)
CLASSIFIERS = MLPClassifier, reference.MLPClassifier
REGRESSORS = MLPRegressor, reference.MLPRegressor

# kinds, data, options, whether rows are weighted
SAME = {
    "three classes": (CLASSIFIERS, IRIS, {}, False),
    "two classes": (CLASSIFIERS, CANCER, {"hidden_layer_sizes": (20, 10), "activation": "tanh"}, False),
    "no hidden layer": (CLASSIFIERS, IRIS, {"hidden_layer_sizes": ()}, False),
    "sgd, adaptive": (
        CLASSIFIERS, CANCER,
        {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "tol": 1e-3, "n_iter_no_change": 3},
        False,
    ),
    "sgd, invscaling": (
        CLASSIFIERS, IRIS,
        {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3, "learning_rate_init": 0.5}, False,
    ),
    "sgd, heavy ball": (CLASSIFIERS, IRIS, {"solver": "sgd", "nesterovs_momentum": False}, False),
    "sgd, no momentum": (CLASSIFIERS, IRIS, {"solver": "sgd", "momentum": 0}, False),
    "adam's options": (CLASSIFIERS, IRIS, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "alpha": 1.0}, False),
    "early stopping": (
        CLASSIFIERS, IRIS,
        {"activation": "logistic", "early_stopping": True, "validation_fraction": 0.2, "learning_rate_init": 0.01},
        False,
    ),
    "early stopping, two classes": (CLASSIFIERS, CANCER, {"activation": "identity", "early_stopping": True}, True),
    "weights": (CLASSIFIERS, IRIS, {"alpha": 0.1, "batch_size": 32}, True),
    "several labels": (CLASSIFIERS, LABELS, {"batch_size": 50}, False),
    "lbfgs": (CLASSIFIERS, IRIS, {"solver": "lbfgs", "alpha": 0.5, "max_fun": 1000}, False),
    "no shuffling": (CLASSIFIERS, CANCER, {"shuffle": False}, False),
    "sparse": (CLASSIFIERS, (sparse.csr_matrix(np.maximum(CANCER[0], 0)), CANCER[1]), {}, False),
    "regression": (REGRESSORS, DIABETES, {}, False),
    "regression, early stopping": (REGRESSORS, DIABETES, {"early_stopping": True}, True),
    "three targets": (REGRESSORS, LINNERUD, {"alpha": 0.5}, False),
    "three targets, lbfgs": (REGRESSORS, LINNERUD, {"alpha": 0.5, "solver": "lbfgs"}, False),
    "counts": (REGRESSORS, COUNTS, {"loss": "poisson"}, True),
    "three counts": (REGRESSORS, THREE, {"loss": "poisson"}, True),
    "three counts, until tol": (REGRESSORS, THREE, {"loss": "poisson", "tol": 0.01, "max_iter": 200}, False),
    "three counts, lbfgs": (REGRESSORS, THREE, {"loss": "poisson", "solver": "lbfgs", "alpha": 0.5}, True),
}  # fmt: skip
LATE = 1.7  # the version of scikit-learn from which on it has weights of rows and the Poisson loss


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("row", SAME)
def test_scikit_learns_numbers(row):
    """From the same random_state the same initial weights, order, held-out rows, and so the same network."""
    (ours, theirs), (x, y), options, weighted = SAME[row]
    options = {"random_state": 3, "max_iter": 25, **options}
    weights = (WEIGHTS[: x.shape[0]],) if weighted else ()
    a, b = ours(**options).fit(x, y, *weights), theirs(**options).fit(x, y, *weights)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(a, name) == getattr(b, name), name
    assert a.loss_ == pytest.approx(b.loss_, rel=1e-9)
    for name in ("loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_"):
        if hasattr(b, name) and getattr(b, name) is not None:
            assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-9), name
    for name in ("coefs_", "intercepts_"):
        for p, q in zip(getattr(a, name), getattr(b, name), strict=True):
            assert p.shape == q.shape and np.allclose(p, q, atol=1e-7), name
    assert np.allclose(a.predict(x), b.predict(x), atol=1e-8)
    if ours is MLPClassifier:
        assert np.allclose(a.predict_proba(x), b.predict_proba(x), atol=1e-8)
        assert np.allclose(a.predict_log_proba(x), b.predict_log_proba(x), atol=1e-5)
        assert np.array_equal(a.classes_, b.classes_)
    assert a.score(x, y) == pytest.approx(b.score(x, y))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kinds", [CLASSIFIERS, REGRESSORS])
@pytest.mark.parametrize("seed", [1, np.random.RandomState, None])
@pytest.mark.parametrize("fitted_first", [False, True])
def test_partial_fit_has_scikit_learns_numbers(kinds, seed, fitted_first):
    """The order of rows, too: of a seed the same in each call, of a RandomState the next."""
    x, y = IRIS
    first = {"classes": [0, 1, 2]} if kinds is CLASSIFIERS and not fitted_first else {}
    models = []
    for kind in kinds:
        np.random.seed(3)
        model = kind(random_state=seed(1) if callable(seed) else seed, batch_size=10, max_iter=2)
        if fitted_first:
            model.fit(x, y)
        for n in range(5):
            part = slice(30 * n, 30 * n + 30)
            model.partial_fit(x[part], y[part], **(first if n == 0 else {}))
        models.append(model)
    a, b = models
    assert a.loss_curve_ == pytest.approx(b.loss_curve_)
    assert all(np.allclose(mine, its) for mine, its in zip(a.coefs_, b.coefs_))
    assert a.t_ == b.t_
    with pytest.raises(ValueError, match="features"):
        a.partial_fit(x[:, :2], y)


def test_partial_fit_needs_the_classes_and_a_solver_of_batches():
    x, y = IRIS
    with pytest.raises(ValueError, match="classes: partial_fit needs all classes"):
        MLPClassifier().partial_fit(x, y)
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="early_stopping=True: partial_fit"):
        MLPClassifier(early_stopping=True).partial_fit(x, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="goes on with the classes"):
        MLPClassifier().partial_fit(x, y, classes=[0, 1, 2]).partial_fit(x, y + 1)
    with pytest.raises(ValueError, match="classes: the training goes on with"):
        MLPClassifier().partial_fit(x, y, classes=[0, 1, 2]).partial_fit(x, y, classes=[0, 1, 2, 3])


def test_partial_fit_keeps_its_program(soon):
    x, y = IRIS
    model = MLPClassifier((8,), emitter="numpy", random_state=0)
    for _ in range(6):
        model.partial_fit(x, y, classes=[0, 1, 2])
    assert model.stats()["train"]["compiled"] >= 3


# ---- parameters ----
# options, the words of the error
REFUSED = {
    "epochs and max_iter": ({"epochs": 5, "max_iter": 10}, "epochs=5 and max_iter=10"),
    "optimizer and solver": ({"optimizer": "rmsprop", "solver": "sgd"}, "solver='sgd' and optimizer='rmsprop'"),
    "two rates": ({"learning_rate": 0.1, "learning_rate_init": 0.2}, "learning_rate=0.1 and learning_rate_init=0.2"),
    "the rate of an object": ({"optimizer": optim.SGD(lr=1.0), "learning_rate_init": 0.2}, "rate of an Optimizer"),
    "a schedule of another": ({"solver": "rmsprop", "learning_rate": "adaptive"}, "a schedule of solver='sgd'"),
    "dropout and lbfgs": ({"solver": "lbfgs", "dropout": 0.5}, "dropout=0.5: lbfgs"),
    "a solver": ({"solver": "newton"}, "solver: expected an Optimizer"),
    "an optimizer": ({"optimizer": 3}, "optimizer: expected an Optimizer"),
    "sizes as text": ({"hidden_layer_sizes": "8"}, "hidden_layer_sizes: expected whole numbers"),
    "sizes of zero": ({"hidden_layer_sizes": (4, 0)}, "hidden_layer_sizes: expected whole numbers"),
    "half a size": ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes: expected whole numbers"),
    "half a batch": ({"batch_size": 2.5}, "batch_size: expected 'auto' or a whole number"),
    "half a pass": ({"max_iter": 2.5}, "max_iter: expected a whole number"),
    "true passes": ({"epochs": True}, "epochs: expected None or a whole number"),
    "an activation": ({"activation": "relo"}, "did you mean 'relu'"),
    "callbacks": ({"callbacks": [print]}, "callbacks: expected tapegrad.models.Callback"),
    "early stopping as text": ({"early_stopping": "yes"}, "early_stopping: expected True or False"),
    **{
        name: ({name: value}, f"{name}: expected")
        for name, value in {
            "alpha": -1.0, "learning_rate": "fast", "learning_rate_init": 0, "power_t": -1, "tol": -1, "momentum": 2,
            "beta_1": 1.0, "beta_2": -0.1, "epsilon": 0, "n_iter_no_change": 0, "max_fun": 0, "dropout": 1.0,
            "validation_fraction": 1.0, "shuffle": 1, "warm_start": None,
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_refused_is_named(row):
    options, words = REFUSED[row]
    with pytest.raises(ValueError) as error:
        MLPClassifier(**options).fit(*IRIS)
    assert words in str(error.value)


def test_the_loss_is_given_by_name():
    with pytest.raises(ValueError, match="the loss is given by name"):
        MLPRegressor("poisson", (50,)).fit(*COUNTS)


@pytest.mark.parametrize("name", ["invalid", "huber", "mae"])
def test_other_losses(name):
    if name == "invalid":
        with pytest.raises(ValueError, match="unknown loss"):
            MLPRegressor(loss=name).fit(*DIABETES)
    else:
        assert (
            MLPRegressor((16,), loss=name, epochs=40, learning_rate_init=0.01, random_state=0)
            .fit(*DIABETES)
            .score(*DIABETES)
            > 0.4
        )


def test_a_number_as_learning_rate_is_the_first_rate():
    a = MLPClassifier((8,), learning_rate=0.02, epochs=5, random_state=0).fit(*IRIS)
    b = MLPClassifier((8,), learning_rate_init=0.02, epochs=5, random_state=0).fit(*IRIS)
    assert a.loss_curve_ == b.loss_curve_


def test_epochs_are_made_and_max_iter_warns():
    """`epochs` is so many passes; `max_iter` ends where the loss improves no more, and warns where it does not come to
    that."""
    options = {"hidden_layer_sizes": (4,), "tol": 10.0, "n_iter_no_change": 2, "random_state": 0}
    assert MLPClassifier(epochs=30, **options).fit(*IRIS).n_iter_ == 30
    assert MLPClassifier(max_iter=30, **options).fit(*IRIS).n_iter_ == 4
    with pytest.warns(ConvergenceWarning, match="max_iter=3 passes"):
        MLPClassifier(max_iter=3).fit(*IRIS)
    with pytest.warns(UserWarning, match="batch_size=500 is more than the 150 rows"):
        MLPClassifier(epochs=1, batch_size=500).fit(*IRIS)
    with pytest.warns(UserWarning, match="early_stopping has no effect with lbfgs"):
        MLPClassifier(epochs=1, early_stopping=True, solver="lbfgs").fit(*IRIS)


# ---- what is tapegrad's own ----
def test_any_optimizer_and_activation():
    sgd = optim.SGD(lr=0.1, momentum=0.9)
    gelu = lambda t: t * tg.sigmoid(1.702 * t)
    model = MLPClassifier((16,), gelu, optimizer=sgd, epochs=20, batch_size=32, random_state=0).fit(*CANCER)
    assert model.score(*CANCER) > 0.95
    assert model.get_params()["optimizer"] is sgd
    assert not sgd.groups  # a parameter of the estimator stays as it was given
    clone(model).fit(*CANCER)
    for name in ("rmsprop", "adamw", "adagrad"):
        found = MLPClassifier((16,), solver=name, learning_rate_init=0.05, epochs=20, random_state=0).fit(
            *CANCER
        )
        assert found.score(*CANCER) > 0.9, name


def test_dropout_is_off_in_predictions():
    model = MLPClassifier((32,), dropout=0.5, epochs=30, learning_rate_init=0.01, random_state=0).fit(*CANCER)
    assert np.array_equal(model.predict_proba(CANCER[0]), model.predict_proba(CANCER[0]))
    assert model.score(*CANCER) > 0.95
    assert len(model.coefs_) == 2


class Counting(Callback):
    def __init__(self):
        self.epochs, self.batches = [], 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, sorted(logs)))

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        self.model.predict(CANCER[0][:3])  # which does not change the training


def test_callbacks_look_on_and_may_end_it():
    counting = Counting()
    options = {"hidden_layer_sizes": (8,), "batch_size": 100, "random_state": 0, "dropout": 0.3}
    model = MLPClassifier(epochs=3, callbacks=[counting], **options).fit(*CANCER)
    assert counting.epochs == [(0, ["loss"]), (1, ["loss"]), (2, ["loss"])]
    assert counting.batches == 18
    assert model.loss_curve_ == MLPClassifier(epochs=3, **options).fit(*CANCER).loss_curve_
    assert clone(model).get_params()["callbacks"][0] is not counting
    ended = MLPClassifier(epochs=50, callbacks=EarlyStopping("loss", min_delta=10.0, patience=2), **options)
    assert ended.fit(*CANCER).n_iter_ == 3


def test_history_is_a_history():
    model = MLPRegressor((4,), epochs=2, early_stopping=True).fit(*DIABETES)
    assert type(model.history_) is History
    assert sorted(model.history_.history) == ["loss", "val_loss", "val_score"]
    assert model.history_.history["loss"] == model.loss_curve_


def test_early_stopping_ends_early_and_keeps_the_best():
    model = MLPClassifier(
        (16,), early_stopping=True, n_iter_no_change=3, learning_rate_init=0.02, random_state=0
    )
    scores = model.fit(*CANCER).validation_scores_
    assert model.n_iter_ == len(scores) < 200
    rows = model._held_out[1]
    assert model.score(CANCER[0][rows], CANCER[1][rows]) == max(scores) == model.best_validation_score_


def test_random_state_fixes_everything_and_touches_nobody_else():
    model = MLPClassifier((16,), epochs=5, early_stopping=True, dropout=0.2, random_state=0)
    tg.manual_seed(7)
    before = random.get_state()
    a = clone(model).fit(*CANCER).predict_proba(CANCER[0])
    assert random.get_state() == before
    tg.manual_seed(8)
    b = clone(model).fit(*CANCER).predict_proba(CANCER[0])
    c = clone(model).set_params(random_state=1).fit(*CANCER).predict_proba(CANCER[0])
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_each_step_of_lbfgs_is_an_epoch_to_callbacks():
    heard = []
    callback = LambdaCallback(
        on_epoch_begin=lambda n, logs=None: heard.append(n), on_epoch_end=lambda n, logs: heard.append(n)
    )
    MLPClassifier((4,), solver="lbfgs", max_iter=500, callbacks=[callback], tol=1e-2).fit(*IRIS)
    assert heard and heard == [n for n in range(len(heard) // 2) for _ in range(2)]


# ---- weights ----
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_one_weight_for_all_rows_changes_nothing(solver):
    options = {"solver": solver, "epochs": 20, "learning_rate_init": 0.05, "alpha": 0.0, "random_state": 0}
    curves = [
        MLPClassifier((8,), **options).fit(*IRIS, sample_weight=np.full(150, k)).loss_curve_
        for k in (1.0, 1e3, 1e-3)
    ]
    assert curves[1] == pytest.approx(curves[0], rel=1e-6) and curves[2] == pytest.approx(curves[0], rel=1e-6)


def test_weights_of_zero_teach_nothing():
    x, y = CANCER
    half = np.arange(len(x)) % 2 == 0
    lies = np.where(half, y, 1 - y)
    model = MLPClassifier((16,), epochs=30, learning_rate_init=0.01, batch_size=32, random_state=0)
    assert model.fit(x, lies, sample_weight=half.astype(float)).score(x[half], y[half]) > 0.95
    for weights, words in ((-half.astype(float), "[Nn]egative"), (0.0 * half, "zero")):
        with pytest.raises(ValueError, match=words):
            model.fit(x, y, sample_weight=weights)


def test_class_weight_is_the_weight_of_the_classes_rows():
    x, y = CANCER
    options = {"hidden_layer_sizes": (8,), "epochs": 10, "random_state": 0}
    by_class = MLPClassifier(class_weight={1: 20.0}, **options).fit(x, y)
    by_row = MLPClassifier(**options).fit(x, y, sample_weight=np.where(y == 1, 20.0, 1.0))
    assert np.array_equal(by_class.predict_proba(x), by_row.predict_proba(x))
    assert by_class.predict(x).mean() > MLPClassifier(**options).fit(x, y).predict(x).mean()
    MLPClassifier(class_weight="balanced", **options).fit(x, y)
    with pytest.raises(ValueError, match="class_weight='balanced': partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=[0, 1])


# ---- divergence ----
@pytest.mark.parametrize("solver", ["sgd", "rmsprop"])
def test_a_training_that_diverges_raises_and_leaves_no_model(solver):
    x, y = DIABETES[0] * 1e30, DIABETES[1] * 1e200
    model = MLPRegressor((50,), solver=solver, learning_rate_init=1.0, random_state=0)
    with pytest.raises(ValueError, match=r"MLPRegressor.fit: the training diverged in pass 1: the loss is"):
        model.fit(x, y)
    with pytest.raises(ValueError, match="not fitted"):
        model.predict(x)


def test_a_warm_start_that_diverges_keeps_the_weights_of_before():
    x, y = DIABETES
    model = MLPRegressor((8,), epochs=3, warm_start=True, random_state=0).fit(x, y)
    before = model.predict(x)
    with pytest.raises(ValueError, match="diverged"):
        model.fit(x, y * 1e300)
    assert np.array_equal(model.predict(x), before)


def test_an_interrupted_training_predicts():
    class Interrupt(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    model = MLPClassifier((4,), epochs=9, callbacks=[Interrupt()])
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(*IRIS)
    assert model.n_iter_ == len(model.history_.history["loss"]) == 2
    assert np.isfinite(model.predict_proba(IRIS[0])).all()
