"""A training that is saved and goes on in another model has the bytes of one that ran through, whatever ran it."""

import pickle
import warnings
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd import files, random
from tapegrad.compiler.emit import choose
from tapegrad.compiler.errors import JitWarning
from tapegrad.models import (
    EarlyStopping,
    LambdaCallback,
    MLPClassifier,
    MLPRegressor,
    ModelCheckpoint,
    ReduceLROnPlateau,
    Sequential,
    compiled_step,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 6)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
HOW: dict[str, dict[str, Any]] = {
    "eager": {"run_eagerly": True},
    "numpy": {"emitter": "numpy"},
    "native": {"emitter": "native"},
    "auto": {},
}
EPOCHS = 8


@pytest.fixture(autouse=True)
def few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of batch is recorded at its fifth call, and has a native program some 16 calls later: with four batches of
    15 rows and one of 3 in each epoch, a training is cut at every stage of every kind."""
    monkeypatch.setattr(compiled_step, "PATIENCE", 4)
    monkeypatch.setattr(choose, "REPAID_OPERATIONS", 1500)


@pytest.fixture(params=HOW)
def how(request: Any) -> dict[str, Any]:
    if request.param == "native":
        pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    return HOW[request.param]


def new(how: dict[str, Any]) -> Sequential:
    tg.manual_seed(5)
    model = Sequential(nn.Dense(16, "tanh", in_features=6), nn.Dropout(0.3), nn.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", ["accuracy"], **how)
    return model


def trained(model: Sequential, epochs: int, start: int = 0, **options: Any) -> Sequential:
    options = {"validation_split": 0.1, "batch_size": 15, **options}
    model.fit(X, Y, epochs=epochs, initial_epoch=start, verbose=0, **options)
    return model


def test_a_training_cut_after_any_epoch_ends_in_the_same_file(how: dict[str, Any], tmp_path: Path) -> None:
    save = LambdaCallback(on_epoch_end=lambda epoch, logs: whole.save(tmp_path / f"{epoch + 1}"))
    whole = new(how)
    trained(whole, EPOCHS, callbacks=[save])
    stages = set()
    for cut in range(1, EPOCHS):
        tg.manual_seed(0)
        model = Sequential.load(tmp_path / f"{cut}", resume=True)
        stages |= {kind[-1] for kind in model.steps().train.state()["kinds"]}
        trained(model, EPOCHS, start=cut).save(tmp_path / "resumed")
        assert (tmp_path / "resumed").read_bytes() == (tmp_path / f"{EPOCHS}").read_bytes(), cut
    assert stages == (
        set() if "run_eagerly" in how else {None, compiled_step.RECORDED, compiled_step.COMPILED}
    )


@pytest.mark.parametrize("given", [{}, {"seed": 3}])
def test_a_fit_with_a_seed_goes_on_in_its_streams(given: dict[str, Any], tmp_path: Path) -> None:
    save = LambdaCallback(on_epoch_end=lambda epoch, logs: whole.save(tmp_path / f"{epoch + 1}"))
    whole = new({})
    trained(whole, 4, callbacks=[save], seed=3)
    tg.manual_seed(0)
    model = Sequential.load(tmp_path / "2", resume=True)
    trained(model, 4, start=2, **given)
    assert (model.predict(X) == whole.predict(X)).all()


def watching(path: Path, place: int) -> list[Any]:
    """Callbacks that see each epoch's end, and at one place among them one that saves the model."""
    save = LambdaCallback(on_epoch_end=lambda epoch, logs: save.model.save(path / f"{epoch + 1}"))
    best = ModelCheckpoint(path / "best-{epoch}", "loss", save_best_only=True)
    callbacks = [ReduceLROnPlateau(factor=0.5, patience=1), best, EarlyStopping(patience=3)]
    callbacks.insert(place, save)
    return callbacks


@pytest.mark.parametrize("place", range(4))
def test_callbacks_behind_one_that_saves_see_the_epoch_too(place: int, tmp_path: Path) -> None:
    whole = new({})
    whole.optimizer.lr = 0.3
    epochs = 40
    history = trained(whole, epochs, callbacks=watching(tmp_path, place)).history
    ended = len(history.epoch)
    assert ended < epochs and whole.optimizer.lr < 0.3
    written = sorted(path.name for path in tmp_path.glob("best-*"))
    for cut in range(1, ended + 1):
        model = Sequential.load(tmp_path / f"{cut}", resume=True)
        trained(model, epochs, start=cut, callbacks=watching(tmp_path, place))
        assert cut + len(model.history.epoch) == ended and model.optimizer.lr == whole.optimizer.lr
        assert all((a == b).all() for a, b in zip(model.get_weights(), whole.get_weights(), strict=True))
        assert sorted(path.name for path in tmp_path.glob("best-*")) == written


GONE_ON: dict[str, Any] = {
    "the same object": ({}, lambda model, path: model),
    # without the programs that ran, whose last bits may differ
    "loaded": (HOW["eager"], lambda model, path: Sequential.load(path)),
    "loaded to resume": ({}, lambda model, path: Sequential.load(path, resume=True)),
}


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("way", GONE_ON)
def test_a_fit_with_a_seed_goes_on_after_its_end(way: str, cut: int, tmp_path: Path) -> None:
    """An epoch is a function of the seed and its number, whatever the streams of the process gave meanwhile."""
    how, gone_on = GONE_ON[way]
    whole, model = new(how), new(how)
    trained(whole, 4, seed=3)
    trained(model, cut, seed=3).save(tmp_path / "cut")
    model = gone_on(model, tmp_path / "cut")
    tg.uniform((5,))
    trained(model, 4, start=cut, seed=3)
    assert all((a == b).all() for a, b in zip(model.get_weights(), whole.get_weights(), strict=True))


def test_the_epochs_of_a_fit_with_a_seed_differ() -> None:
    model, drawn = Sequential(nn.Dense(1, in_features=6)), []
    model.compile("sgd", lambda y_true, y_pred: (y_pred - y_true) ** 2, run_eagerly=True)
    keep = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: drawn.append(float(random.host_generator().random()))
    )
    trained(model, 3, seed=3, callbacks=[keep])
    trained(model, 3, seed=4, callbacks=[keep])
    assert len(set(drawn)) == 6


def test_auto_goes_from_python_to_numpy_to_native() -> None:
    pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    model, ran = new({}), []
    note = LambdaCallback(on_train_batch_end=lambda batch, logs: ran.append(model.stats()["train"]))
    trained(model, EPOCHS, callbacks=[note])
    assert [s["compiled"] for s in ran[:10]] == [0, 0, 0, 0, 0, 0, 0, 1, 2, 2]
    by = [{p.partition(":")[0] for p in s["programs"]} - {"Python"} for s in ran]
    assert [k for k, _ in groupby(filter(None, by))] == [{"numpy"}, {"native"}]
    assert model.stats()["train"]["refused"] is None
    # The first kind has had both programs; the last batch of an epoch had not come often enough for NumPy's.
    assert model.stats()["train"]["recordings"] == 3


def test_fit_twice_is_fit_once(how: dict[str, Any], tmp_path: Path) -> None:
    for name, parts in {"once": [EPOCHS], "twice": [3, EPOCHS]}.items():
        model = new(how)
        for start, end in zip([0, *parts], parts):
            trained(model, end, start)
        model.save(tmp_path / name)
    assert (tmp_path / "once").read_bytes() == (tmp_path / "twice").read_bytes()


def test_a_loaded_model_saves_what_it_was_given(tmp_path: Path) -> None:
    trained(new({}), 4).save(tmp_path / "a")
    tg.manual_seed(0)
    Sequential.load(tmp_path / "a", resume=True).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    fresh = Sequential.load(tmp_path / "a")
    assert fresh.stats()["train"]["calls"] == 0 and fresh.steps().train.to_prepare == {}


def test_a_file_without_steps_is_loaded(tmp_path: Path) -> None:
    """As those that were written before trainings kept them."""
    import json

    trained(new({}), 2).save(tmp_path / "a")
    metadata, tensors = files.read_metadata(tmp_path / "a"), files.load(tmp_path / "a")
    description = json.loads(metadata["model"])
    for key in ("steps", "emitter", "run_eagerly"):
        del description["training"][key]
    files.save(tmp_path / "old", tensors, metadata={"model": json.dumps(description)})
    assert trained(Sequential.load(tmp_path / "old", resume=True), 4, 2).optimizer.steps == 20


@pytest.mark.parametrize("emitter", [None, "native"])
def test_without_llvmlite_it_says_so_and_goes_on(
    emitter: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llvmlite", reason="there is no native training to go on with without llvmlite")
    trained(new({"emitter": emitter}), 6).save(tmp_path / "a")
    monkeypatch.setattr("tapegrad.backends.install.found", lambda package: None)
    with pytest.warns(JitWarning, match=r"needs llvmlite.*pip install \"llvmlite>="):
        model = Sequential.load(tmp_path / "a", resume=True)
    trained(model, 8, 6)
    stats = model.stats()["train"]
    assert stats["refused"] is None and {p.partition(":")[0] for p in stats["programs"]} == {"numpy"}
    assert random.draws() > 0 and np.isfinite(model.predict(X)).all()


def test_a_step_that_was_given_up_stays_with_python(tmp_path: Path) -> None:
    model = trained(new({}), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.steps().train.give_up("it is restless")
    model.save(tmp_path / "a")
    with pytest.warns(JitWarning, match="runs as Python, not compiled: it is restless"):
        model = Sequential.load(tmp_path / "a", resume=True)
    assert trained(model, 4, 1).stats()["train"]["compiled"] == 0


# ---- estimators ----
ESTIMATORS: dict[str, tuple[Any, Any]] = {
    "MLPClassifier": (MLPClassifier, (X[:, 0] > 0) + (X[:, 1] > 0)),
    "MLPRegressor": (MLPRegressor, X[:, 0] * X[:, 1]),
}


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_warm_start_goes_on_as_one_fit(name: str, pickled: bool, how: dict[str, Any]) -> None:
    """With the order of the rows, and every bit."""
    kind, y = ESTIMATORS[name]
    options = {"random_state": 3, "batch_size": 15, "dropout": 0.3, **how}
    whole = kind((8,), epochs=10, **options).fit(X, y)
    halves = kind((8,), epochs=5, warm_start=True, **options).fit(X, y)
    halves = pickle.loads(pickle.dumps(halves)) if pickled else halves
    halves.fit(X, y)
    assert halves.loss_curve_ == whole.loss_curve_
    assert halves.t_ == whole.t_
    assert halves.stats()["train"]["compiled"] == whole.stats()["train"]["compiled"]
    assert (halves.stats()["train"]["compiled"] > 0) == ("run_eagerly" not in how)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_warm_start_holds_out_the_same_rows(name: str) -> None:
    kind, y = ESTIMATORS[name]
    model = kind((8,), epochs=2, early_stopping=True, warm_start=True, random_state=1).fit(X, y)
    before = [rows.tolist() for rows in model._held_out]
    assert [rows.tolist() for rows in pickle.loads(pickle.dumps(model)).fit(X, y)._held_out] == before
    assert len(model.validation_scores_) == 2


def test_a_warm_start_refuses_another_model() -> None:
    kind, y = ESTIMATORS["MLPClassifier"]
    for parameter, value in {"hidden_layer_sizes": (9, 9), "activation": "tanh", "dropout": 0.5}.items():
        model = kind((8,), epochs=1, warm_start=True).fit(X, y)
        with pytest.raises(ValueError, match=f"{parameter}: warm_start goes on with the model made for"):
            model.set_params(**{parameter: value}).fit(X, y)
        before = model.predict_proba(X)
        assert (pickle.loads(pickle.dumps(model)).predict_proba(X) == before).all(), parameter


def test_a_warm_start_takes_up_changes_of_the_training() -> None:
    kind, y = ESTIMATORS["MLPClassifier"]
    model = kind((8,), epochs=3, warm_start=True, random_state=0).fit(X, y)
    steps = model.model_.optimizer.steps
    model.set_params(learning_rate_init=1e-12, batch_size=20).fit(X, y)
    assert (model.model_.optimizer.lr, model.model_.optimizer.steps) == (1e-12, steps + 3 * -(-len(X) // 20))
    before = model.coefs_[0]
    model.set_params(solver="sgd", learning_rate_init=0.1).fit(X, y)
    assert type(model.model_.optimizer).__name__ == "SGD"
    assert abs(model.coefs_[0] - before).max() > 1e-3
