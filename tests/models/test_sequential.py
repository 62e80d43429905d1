"""`Sequential.fit` against the loop it stands for, what it accepts, and what it refuses."""

import subprocess
import sys
from itertools import chain

import numpy as np
import pandas as pd
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.data import Batches
from tapegrad.models import Sequential

generator = np.random.default_rng(0)
X = generator.normal(size=(90, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
Y3 = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)


def network(
    *,
    seed=1,
    hidden=8,
    outputs=1,
    last="sigmoid",
    loss="binary_crossentropy",
    metrics=("accuracy",),
    **options,
):
    tg.manual_seed(seed)
    model = Sequential()
    model.add(nn.Dense(hidden, activation="relu", input_shape=(4,)))
    model.add(nn.Dense(outputs, activation=last))
    model.compile(optimizer=optim.Adam(lr=0.01), loss=loss, metrics=list(metrics), **options)
    return model


def trained(x=X, y=Y, **options):
    model = network()
    model.fit(x, y, verbose=0, **options)
    return model


def weights(model):
    return [p.numpy() for p in model.parameters()]


def equal(a, b):
    return all(np.array_equal(p, q) for p, q in zip(weights(a), weights(b)))


# --- the loop ---


def test_fit_is_the_loop_bit_for_bit():
    model = network()
    history = model.fit(X, Y, epochs=3, batch_size=32, validation_split=0.2, verbose=0).history

    by_hand = network()
    opt = optim.Adam(by_hand.parameters(), lr=0.01)
    x, y = X[:72], Y[:72, None].astype(np.float32)
    losses = []
    for _ in range(3):
        total = 0.0
        for xb, yb in Batches(x, y, batch_size=32):
            loss = nn.functional.binary_cross_entropy(by_hand(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(xb)
        losses.append(total / len(x))
    assert equal(model, by_hand)
    assert history["loss"] == losses
    p = by_hand(tg.tensor(X[72:])).numpy()[:, 0]
    assert history["val_accuracy"][-1] == np.mean((p > 0.5) == Y[72:])


def test_every_row_is_seen_once_per_epoch_in_a_new_order():
    tg.manual_seed(0)
    batches = Batches(np.arange(10), batch_size=4)
    epochs = [[b.numpy().tolist() for (b,) in batches] for _ in range(2)]
    assert [list(map(len, e)) for e in epochs] == [[4, 4, 2]] * 2
    assert all(sorted(chain.from_iterable(e)) == list(range(10)) for e in epochs)
    assert epochs[0] != epochs[1]
    assert [b.numpy().tolist() for (b,) in Batches(np.arange(3), batch_size=2, shuffle=False)] == [
        [0, 1],
        [2],
    ]


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
def test_fit_on_another_device_gives_the_same_history():
    import strict_backend

    strict_backend.register()
    histories = []
    for place in ("numpy", "strict"):
        with tg.use_backend(place):
            model = network(metrics=("accuracy", "auc", "mse", "f1"))
            fit = model.fit(X, Y, epochs=2, validation_split=0.2, class_weight={1: 2.0}, verbose=0)
            histories.append(fit.history)
            assert isinstance(model.predict(X), np.ndarray)
    assert histories[0] == histories[1]


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_loss_is_exact_for_huge_logits(scale):
    """Wrong by a logit of 1e4 costs 1e4, in training and in evaluation; not the 16 that log(1e-7) gives."""
    model = Sequential(nn.Dense(1, "sigmoid", in_features=1))
    model.layers[0].kernel.assign([[scale]])
    model.compile(optim.SGD(lr=0.0), "binary_crossentropy")
    x, y = np.array([[1.0], [1.0]]), np.array([0, 1])
    assert model.fit(x, y, verbose=0).history["loss"] == [5000.0]
    assert model.evaluate(x, y, verbose=0) == 5000.0


# --- what it takes ---


FORMS = {
    "float64": lambda: (X.astype(np.float64), Y),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "column": lambda: (X, Y[:, None]),
    "bool": lambda: (X, Y.astype(bool)),
    "tensors": lambda: (tg.tensor(X), tg.tensor(Y)),
    "pandas": lambda: (pd.DataFrame(X.astype(np.float64)), pd.Series(Y)),
    "pandas, other index": lambda: (pd.DataFrame(X, index=range(100, 190)), pd.Series(Y, index=range(7, 97))),
    "pandas, nullable": lambda: (pd.DataFrame(X).convert_dtypes(), pd.Series(Y, dtype="Int64")),
    "Fortran order": lambda: (np.asfortranarray(X), Y),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_trains_the_same(form):
    assert equal(trained(*FORMS[form](), epochs=2), trained(epochs=2))


def test_class_numbers_may_be_a_column_or_floats():
    models = []
    for y in (Y3, Y3[:, None], Y3.astype(np.float64)):
        model = network(outputs=3, last="softmax", loss="sparse_categorical_crossentropy")
        model.fit(X, y, verbose=0)
        models.append(model)
    one_hot = network(outputs=3, last="softmax", loss="categorical_crossentropy")
    one_hot.fit(X, np.eye(3)[Y3], verbose=0)
    assert equal(models[0], models[1])
    assert equal(models[0], models[2])
    assert all(np.allclose(p, q, atol=1e-6) for p, q in zip(weights(models[0]), weights(one_hot)))


def test_weights_are_those_of_the_rows():
    """A weight of 2 on a class is the same as weights of 2 on its rows, and rows of weight 0 teach nothing."""
    by_class, by_row = trained(class_weight={1: 2.0}), trained(sample_weight=1.0 + Y)
    assert equal(by_class, by_row)

    ignored = network()
    before = weights(ignored)
    ignored.fit(X, Y, sample_weight=np.zeros(len(X)), verbose=0)
    assert all(np.array_equal(p, q) for p, q in zip(before, weights(ignored)))


def test_validation_data_and_split_agree():
    a = trained(validation_split=0.2, epochs=2).history.history
    b = trained(X[:72], Y[:72], validation_data=(X[72:], Y[72:]), epochs=2).history.history
    assert a == b
    assert list(a) == ["loss", "accuracy", "val_loss", "val_accuracy"]


def test_an_unbuilt_model_builds_itself():
    tg.manual_seed(1)
    model = Sequential(nn.Dense(8, "relu"), nn.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy")
    model.fit(pd.DataFrame(X), Y, verbose=0)
    assert [p.shape for p in model.parameters()] == [(4, 8), (8,), (8, 1), (1,)]


def test_evaluate_is_exact_for_any_batch_size():
    model = network(metrics=("accuracy", "precision", "recall", "f1", "auc", "mse", "mae", "rmse", "r2"))
    results = [model.evaluate(X, Y, batch_size=n, verbose=0) for n in (1, 7, 90)]
    assert np.allclose(results[0], results[2], rtol=1e-6)
    assert np.allclose(results[1], results[2], rtol=1e-6)
    named = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert list(named) == ["loss", *(m.name for m in model.metrics)]


def test_predict_keeps_rows_apart_and_does_not_drop():
    tg.manual_seed(0)
    model = Sequential(nn.Dense(8, "relu", in_features=4), nn.Dropout(0.5), nn.Dense(2))
    whole = model.predict(X)
    assert whole.shape == (90, 2)
    assert whole.dtype == np.float32
    assert np.allclose(whole, model.predict(X, batch_size=7), atol=1e-6)
    assert model.predict(X[:0]).shape == (0, 2)
    model.compile("sgd", "mse")
    y = np.zeros((90, 2))
    assert model.evaluate(X, y, verbose=0) == pytest.approx(np.mean(whole**2), rel=1e-6)


def test_fit_again_goes_on():
    twice = trained(epochs=2)
    history = twice.fit(X, Y, epochs=4, initial_epoch=2, verbose=0)
    assert equal(twice, trained(epochs=4))
    assert history.epoch == [2, 3]


def test_a_function_may_be_loss_and_metric():
    def squared(y_true, y_pred):
        return ((y_pred - y_true) ** 2).mean()

    def largest(y_true, y_pred):
        return abs(y_pred - y_true).max()

    model = network(loss=squared, metrics=[largest])
    assert list(model.fit(X, Y, verbose=0).history) == ["loss", "largest"]
    named = network(loss="mse")
    named.fit(X, Y, verbose=0)
    assert equal(model, named)


def test_summary_is_printed(capsys):
    network().summary()
    out = capsys.readouterr().out
    assert "total 49 parameters" in out
    assert "(batch, 8)" in out


# --- what it refuses ---


def with_nan(rows, columns):
    x = pd.DataFrame(X.copy(), columns=["age", "height", "weight", "dose"])
    x.iloc[rows, columns] = np.nan
    return x


REFUSED = {
    "not compiled": (RuntimeError, "compile", lambda: Sequential(nn.Dense(1, in_features=4)).fit(X, Y)),
    "no layers": (RuntimeError, "no layers", lambda: compiled(Sequential()).fit(X, Y)),
    "no loss": (ValueError, "loss is missing", lambda: Sequential().compile("adam")),
    "unknown loss": (ValueError, "mse", lambda: Sequential().compile("adam", "squared")),
    "unknown metric": (ValueError, "accuracy", lambda: Sequential().compile("adam", "mse", ["acuracy"])),
    "unknown optimizer": (ValueError, "adam", lambda: Sequential().compile("adma", "mse")),
    "NaN in x": (
        ValueError,
        "x: 2 of 90 rows hold NaN or infinite values in 1 of 4 columns ('height'), the first is row 3: drop",
        lambda: network().fit(with_nan([3, 5], 1), Y),
    ),
    "Inf in x": (ValueError, "x: 90 of 90 rows", lambda: network().fit(np.full_like(X, np.inf), Y)),
    "NaN in y": (
        ValueError,
        "y: 1 of 90 rows",
        lambda: network().fit(X, np.where(np.arange(90) == 7, np.nan, Y)),
    ),
    "text in y": (
        TypeError,
        "y: expected numbers, got ndarray of dtype <U1",
        lambda: network().fit(X, np.full(90, "a")),
    ),
    "text in x": (
        TypeError,
        "x: expected numbers, got ndarray of dtype object",
        lambda: network().fit(np.full((90, 4), "a", object), Y),
    ),
    "NaN in validation": (
        ValueError,
        "validation x: 1 of 90 rows",
        lambda: network().fit(X, Y, validation_data=(with_nan([0], 0), Y)),
    ),
    "missing in an object column": (
        ValueError,
        "x: 1 of 90",
        lambda: network().fit(with_nan([0], 0).astype(object), Y),
    ),
    "text": (
        TypeError,
        "in the columns 'dose'",
        lambda: network().fit(with_nan([], []).assign(dose="low"), Y),
    ),
    "ragged": (ValueError, "not of equal lengths", lambda: network().fit([[1.0], [1.0, 2.0]], [0, 1])),
    "lengths": (ValueError, "{'x': 90, 'y': 89}", lambda: network().fit(X, Y[:-1])),
    "weights' length": (
        ValueError,
        "sample_weight': 3",
        lambda: network().fit(X, Y, sample_weight=[1.0, 2.0, 3.0]),
    ),
    "no rows": (ValueError, "at least one", lambda: network().fit(X[:0], Y[:0])),
    "y too wide": (ValueError, "one shape", lambda: network().fit(X, np.stack([Y, Y], axis=1))),
    "one column for three": (ValueError, "one shape", lambda: network(outputs=3, loss="mse").fit(X, Y)),
    "half a class": (
        ValueError,
        "not whole",
        lambda: network(outputs=3, last="softmax", loss="sparse_categorical_crossentropy").fit(X, Y3 + 0.5),
    ),
    "columns of x": (ValueError, "4 features", lambda: network().fit(X[:, :3], Y)),
    "vector x": (ValueError, "one row per sample", lambda: compiled(Sequential(nn.Dense(1))).fit(X[:, 0], Y)),
    "batch_size": (ValueError, "batch_size", lambda: network().fit(X, Y, batch_size=0)),
    "split": (ValueError, "validation_split=1.5", lambda: network().fit(X, Y, validation_split=1.5)),
    "verbose": (ValueError, "verbose", lambda: network().fit(X, Y, verbose=7)),
    "layer added after compile": (RuntimeError, "compile the model again", lambda: grown()),
}


def compiled(model):
    model.compile("sgd", "mse")
    return model


def grown():
    model = network(loss="mse")
    model.fit(X, Y, verbose=0)
    model.add(nn.Dense(1))
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("row", REFUSED)
def test_refused(row):
    kind, words, call = REFUSED[row]
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)


def test_a_refused_fit_changes_nothing():
    model = network()
    before = weights(model)
    with pytest.raises(ValueError):
        model.fit(with_nan([3], 1), Y)
    assert all(np.array_equal(p, q) for p, q in zip(before, weights(model)))


def test_importing_it_is_light():
    code = "import sys; from tapegrad.models import Sequential, EarlyStopping; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"sklearn", "scipy", "pandas", "matplotlib", "safetensors", "tqdm", "array_api_compat"}
    assert {name.partition(".")[0] for name in loaded} & heavy == set()


def test_a_call_names_its_mode():
    """As in Keras, also in the guide's train_step; afterwards each layer is in its own mode."""

    class Guided(Sequential):
        def train_step(self, data):
            x, y = data
            loss = tg.mean((self(x, training=True) - y) ** 2)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return {"loss": loss}

    model = Guided([nn.Dense(1, kernel_initializer="ones", in_features=2), nn.Dropout(0.5)])
    model.compile("sgd", "mse")
    x = tg.ones((50, 2))
    for mode in (True, False):
        model.train(mode)
        assert set(np.unique(model(x, training=True).numpy())) == {0.0, 4.0}
        assert np.unique(model(x, training=False).numpy()).tolist() == [2.0]
        assert [model.training, model.layers[1].training] == [mode, mode]
    model.train()
    assert 0.0 in model(x).numpy()
    assert model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0).history["loss"][0] > 0
    with pytest.raises(TypeError, match="training must be True or False, got 2"):
        model(x, training=2)


@pytest.mark.parametrize("method", ["fit", "predict", "evaluate", "train_on_batch"])
def test_no_rows_at_all_are_named(method):
    model = Sequential(nn.Dense(1))
    model.compile("sgd", "mse")
    given = (None,) if method == "predict" else (None, np.ones(3))
    with pytest.raises(ValueError, match="x is missing: give the rows"):
        getattr(model, method)(*given)
