"""What a user of Keras expects of `Sequential`, one row per case: the right value, or the error that says why."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from contract_cases import (
    FRAME,
    OTHER,
    UNSHUFFLED,
    Y3,
    Adds,
    Ascii,
    Broken,
    Keras,
    Misspelt,
    Own,
    Predicts,
    Q,
    Sequence,
    Super,
    X,
    Y,
    accuracy,
    asking_loss,
    asking_metric,
    batch_by_batch,
    beyond_the_rows,
    checkpoint_twice,
    csv_of_other_columns,
    fitted,
    flat,
    frame,
    freezing,
    generator,
    get_and_set,
    modes,
    moments,
    net,
    of_batches,
    one_step,
    own,
    per_row,
    pinball,
    printed,
    quantile,
    rates,
    training_with,
    validated,
    weights_of_steps,
    with_teacher,
    wrapped,
)

from tapegrad import nn
from tapegrad.data import Batches, metrics
from tapegrad.models import (
    Callback,
    EarlyStopping,
    LearningRateScheduler,
    MLPClassifier,
    ReduceLROnPlateau,
    Sequential,
)
from tapegrad.nn import losses

BCE_LOGITS: list[Any] = [
    losses.binary_cross_entropy_with_logits, losses.BinaryCrossentropy(from_logits=True), nn.BCEWithLogitsLoss(),
    partial(losses.binary_cross_entropy, from_logits=True), losses.hinge, losses.SquaredHinge(),
    losses.BinaryFocalCrossentropy(from_logits=True),
]  # fmt: skip
CLASS_LOGITS: list[Any] = [
    losses.cross_entropy, nn.CrossEntropyLoss(), losses.SparseCategoricalCrossentropy(from_logits=True),
]  # fmt: skip
SAME = object()  # the value of training_with() without anything added
ROWS: dict[str, tuple[Any, Any]] = {
    # modes, and other models inside
    "predict and evaluate in a callback": (lambda: training_with(Predicts()) == training_with(Callback()), True),
    "another model in a loss": (
        lambda: training_with(loss=asking_loss)["loss"] == training_with()["loss"], True),
    "another model in a metric": (
        lambda: training_with(measured=["accuracy", asking_metric]) == training_with(), True),
    "another model in a layer": (lambda: with_teacher(OTHER, False) == with_teacher(None, True), True),
    "modes are put back": (modes, [(True, False)] * 7),
    # the order of a user's functions
    "a pinball loss": (lambda: abs(quantile() - 0.9) < 0.02, True),
    "a loss per row": (lambda: one_step(per_row) == one_step("mse"), True),
    "a loss per row, weighed": (
        lambda: np.allclose(one_step(per_row, class_weight={1: 3.0}), one_step("mse", class_weight={1: 3.0})), True),
    "one number, weighed": (lambda: one_step(pinball, class_weight={1: 3.0}),
        "ValueError: .*return a loss for each row"),
    "a class with call": (lambda: np.allclose(one_step(Keras()), one_step("mse")), True),
    "ours in a partial": (
        lambda: one_step(partial(losses.huber_loss, delta=0.3)) == one_step(losses.Huber(delta=0.3)), True),
    "ours in a wrapper": (lambda: one_step(wrapped) == one_step(losses.Huber(delta=0.3)), True),
    "names of the old order": (lambda: net(loss=lambda y_pred, y_true: 0),
        "TypeError: .*write <lambda>.y_true, y_pred"),
    "a metric of the old order": (lambda: net(measured=[lambda outputs, targets: 0]), "TypeError: metric .*prediction"),
    "one argument": (lambda: net(loss=lambda y: 0), "TypeError: .*two arguments"),
    "a loss without tensors": (lambda: fitted(net(loss=lambda a, b: 1.0)), "TypeError: expected a Tensor|TypeError"),
    "a class for an object": (lambda: net(measured=[Keras]), "TypeError: .*write Keras"),
    "what compile was given": (lambda: net(loss=pinball).loss is pinball, True),
    # metrics
    **{f"logits of {n}": (lambda l=l: accuracy(net(None, l), Y, lambda p: p[:, 0] > 0), True)
       for n, l in enumerate(BCE_LOGITS)},
    **{f"logits of classes {n}": (lambda l=l: accuracy(net(None, l, 3), Y3, lambda p: p.argmax(1)), True)
       for n, l in enumerate(CLASS_LOGITS)},
    **{f"accuracy of {last} before {getattr(loss, '__name__', loss)}": (
        lambda last=last, loss=loss, cut=cut: accuracy(net(last, loss), Y, lambda p: p[:, 0] > cut), True)
       for last, cut in (("sigmoid", 0.5), ("hard_sigmoid", 0.5), ("tanh", 0.0), (None, 0.0))
       for loss in ("hinge", losses.squared_hinge, losses.Hinge())},
    "a sigmoid before a hinge": (lambda: fitted(net("sigmoid", "hinge")), "UserWarning: .*never below 0: use tanh"),
    "outputs (n,)": (lambda: accuracy(flat(), Y, lambda p: p > 0.5), True),
    "(n,) and (n, 1)": (lambda: metrics.get("mse")(np.arange(5.0), np.arange(5.0)[:, None]),
        r"ValueError: mse: .*\(5,\)"),
    "class numbers, categorical": (
        lambda: fitted(net("softmax", "sparse_categorical_crossentropy", 3, ["categorical_accuracy"]), Y3),
        "ValueError: categorical_accuracy: outputs .* one column per class"),
    "class numbers, mae": (
        lambda: fitted(net("softmax", "sparse_categorical_crossentropy", 3, ["mae"]), Y3),
        r"ValueError: mae: .*\(32, 3\)"),
    "columns, sparse": (
        lambda: fitted(net("softmax", "categorical_crossentropy", 3, "sparse_categorical_accuracy"), np.eye(3)[Y3]),
        "ValueError: sparse_categorical_accuracy"),
    "several classes in a row": (
        lambda: fitted(net("sigmoid", out=3), (X[:, :3] > 0) * 1), "ValueError: accuracy: .*name binary_accuracy"),
    "several classes, binary_accuracy": (
        lambda: 0 <= net("sigmoid", out=3, measured="binary_accuracy").evaluate(X, X[:, :3] > 0, **Q)[1] <= 1, True),
    "numbers and a two-class metric": (lambda: fitted(net(None, "mse", measured=["f1"]), X[:, 0] * 3),
        "ValueError: f1"),
    "targets 1 and 2": (lambda: fitted(y=Y + 1), "ValueError: y: binary_cross_entropy .* from 0 to 1; some here are 2"),
    "counts below 0": (lambda: fitted(net("exponential", "poisson", measured=[]), Y - 3), "ValueError: y: poisson"),
    "classes for one output": (
        lambda: fitted(net("sigmoid", "sparse_categorical_crossentropy"), Y), "ValueError: .*one output per class"),
    "softmax of one": (lambda: fitted(net("softmax")), "UserWarning: .*softmax over one unit"),
    "a sigmoid before logits": (lambda: fitted(net("sigmoid", BCE_LOGITS[1])), "UserWarning: .*takes logits"),
    "no sigmoid": (lambda: fitted(net(None)), "UserWarning: .*takes probabilities"),
    "two metrics of one name": (lambda: net(measured=["accuracy", "accuracy"]), "ValueError: .*another name"),
    "a loss as a metric": (
        lambda: (lambda m: m.evaluate(X, Y, **Q))(net(measured=["binary_crossentropy"]))[0]
        == pytest.approx(net(measured=["binary_crossentropy"]).evaluate(X, Y, **Q)[1], rel=1e-5), True),
    # callbacks
    "moments": (moments, ["epoch", "batch", "test"]),
    "a misspelt moment": (lambda: fitted(callbacks=Misspelt()),
        "TypeError: .*'on_epoch_ends': did you mean 'on_epoch_end'"),
    "a class": (lambda: fitted(callbacks=[EarlyStopping]), "TypeError: .*write EarlyStopping"),
    "one in no list": (lambda: len(fitted(epochs=9, callbacks=EarlyStopping("loss", min_delta=9.0))), 2),
    "from epoch 4": (
        lambda: len(fitted(epochs=9, callbacks=EarlyStopping("loss", min_delta=9.0, start_from_epoch=4))), 6),
    "a schedule of the epoch": (lambda: rates(LearningRateScheduler(lambda epoch: 0.01 * (epoch + 1))),
        [0.01, 0.02, 0.03]),
    "a plateau": (
        lambda: rates(ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=9.0, min_lr=0.02), 5),
        [.1, .05, .025, .02, .02]),
    "added to the logs": (lambda: str(net().fit(X, Y, epochs=2, callbacks=Adds(), **Q)["mine"]), "[nan, 1.0]"),
    "a log of other columns": (csv_of_other_columns, "ValueError: .*epoch, loss, accuracy.*measures mae, too"),
    "a checkpoint in a second fit": (checkpoint_twice, True),
    # arguments
    "class_weight, a list": (
        lambda: fitted(class_weight=[1.0, 5.0]) == fitted(class_weight={0: 1.0, 1: 5.0}) != fitted(), True),
    "class_weight, a Series, by its index": (
        lambda: fitted(class_weight=pd.Series({1: 5.0, 0: 1.0})) == fitted(class_weight={0: 1.0, 1: 5.0}), True),
    "class_weight, a Series of texts": (
        lambda: fitted(class_weight=pd.Series({"a": 5.0, "b": 1.0})), "ValueError: .*'a' is no class"),
    "class_weight, texts": (lambda: fitted(class_weight={"0": 1, "1": 50}), "ValueError: .*'0' is no class: .* 0, 1"),
    "class_weight, no class": (lambda: fitted(class_weight={7: 50.0}), "ValueError: .*7 is no class"),
    "class_weight, short": (lambda: fitted(class_weight=[1.0]), "ValueError: .*each of the 2 classes"),
    "class_weight, balanced": (lambda: fitted(class_weight="balanced"), "ValueError: .*compute_class_weight"),
    "class_weight, negative": (lambda: fitted(class_weight={0: -1.0}), "ValueError: .*at least 0"),
    "class_weight, numbers": (
        lambda: fitted(net(None, "mse", measured=[]), X[:, 0], class_weight={0: 2.0}), "ValueError: .*class numbers"),
    "metrics, a text": (lambda: net(measured="accuracy").metrics[0].name, "accuracy"),
    "metrics, a dict": (lambda: net(measured={"a": "mse"}), "TypeError: .*expected a list"),
    "validation_data, an array": (lambda: fitted(validation_data=X), "ValueError: .*expected .x, y.*got ndarray"),
    "validation_data, a list": (lambda: fitted(validation_data=[X, Y]) == fitted(), True),
    "validation_data, batches": (
        lambda: net().fit(X, Y, validation_data=Batches(X, Y, batch_size=9), **Q)["val_accuracy"]
        == net().fit(X, Y, validation_data=(X, Y), **Q)["val_accuracy"], True),
    "validation_freq": (
        lambda: np.isnan(net().fit(X, Y, epochs=3, validation_split=0.2, validation_freq=2, **Q)["val_loss"]).tolist(),
        [True, False, True]),
    "validation_steps": (lambda: validated((X, Y), validation_batch_size=40), [True] * 3),
    "validation_steps, batches": (lambda: validated(Batches(X, Y, batch_size=40, shuffle=False)), [True] * 3),
    "steps beyond the rows": (lambda: net().evaluate(X, Y, batch_size=40, steps=4, **Q),
        "UserWarning: x: the batches ended after 3 of 4 steps: all are measured once"),
    "steps beyond the batches": (
        lambda: net().evaluate(Batches(X, Y, batch_size=40, shuffle=False), steps=4, **Q),
        "UserWarning: x: the batches ended after 3 of 4 steps"),
    "rows beyond which there are steps": (beyond_the_rows, True),
    "a word of Keras's": (lambda: net().fit(X, Y, workers=4), "TypeError: .*workers"),
    "epochs": (lambda: fitted(epochs=2.5), "ValueError: epochs: expected an integer"),
    "initial_epoch": (lambda: fitted(epochs=2, initial_epoch=5), "ValueError: .*past epochs=2"),
    "learning_rate": (lambda: setattr(net().optimizer, "learning_rate", 0.0), "AttributeError: .*lr"),
    # data
    "a tuple": (lambda: net().fit((X, Y), **Q)["loss"] == fitted(), True),
    "no y": (lambda: net().fit(X, **Q), "ValueError: fit: y is missing"),
    "a generator": (lambda: of_batches(generator()) == UNSHUFFLED(), True),
    "a generator for two epochs": (lambda: of_batches(generator(), epochs=2), "ValueError: .*steps_per_epoch"),
    "a generator, steps": (lambda: of_batches(generator(9), epochs=2, steps_per_epoch=4) == UNSHUFFLED(epochs=2), True),
    "a generator that ends": (lambda: of_batches(generator(), epochs=3, steps_per_epoch=3),
        "UserWarning: .*ended after 1"),
    "a function": (lambda: net().fit(generator), "TypeError: .*call it"),
    "batches": (lambda: of_batches(Batches(X, Y, shuffle=False), epochs=2) == UNSHUFFLED(epochs=2), True),
    "a list of batches": (lambda: of_batches(list(generator()), epochs=2) == UNSHUFFLED(epochs=2), True),
    "a data set of Keras": (lambda: of_batches(Sequence(), epochs=2) == UNSHUFFLED(epochs=2), True),
    "batches and y": (lambda: net().fit(generator(), Y), "ValueError: .*the batches of x bring it along"),
    "batches and class_weight": (
        lambda: of_batches(generator(), class_weight={1: 3.0}) == UNSHUFFLED(class_weight={1: 3.0}), True),
    "batches that are evaluated": (
        lambda: np.allclose(net().evaluate(generator(), **Q), net().evaluate(X, Y, **Q)), True),
    "batches that are predicted": (lambda: bool(np.allclose(net().predict(generator()), net().predict(X))), True),
    "steps of arrays": (lambda: weights_of_steps(epochs=3, steps_per_epoch=3), 9),
    "columns in another order": (lambda: frame(FRAME[list("dcba")]), "ValueError: x: .*another order"),
    "columns in another order, fit": (lambda: frame(FRAME[list("dcba")], "fit"), "ValueError: x: .*another order"),
    "other columns": (lambda: frame(FRAME.rename(columns={"a": "e"})), r"ValueError: x: .*\['a'\] are missing"),
    # Keras's other methods
    "train_step": (lambda: sorted(own(Own, validation_split=0.2)), ["mine", "two", "val_mine"]),
    "train_step, super": (lambda: own(Super)["loss"] == fitted(), True),
    "call": (lambda: type("N", (Sequential,), {"call": lambda self, x: x}), "TypeError: .*forward"),
    "train_on_batch": (lambda: np.allclose(np.average(batch_by_batch(), weights=[32, 32, 32, 7]), UNSHUFFLED()), True),
    "test_on_batch": (lambda: np.allclose(net().test_on_batch(X, Y), net().evaluate(X, Y, **Q)), True),
    "predict_on_batch": (lambda: bool((net().predict_on_batch(X) == net().predict(X)).all()), True),
    "get_weights and set_weights": (get_and_set, True),
    "set_weights of another shape": (lambda: net().set_weights([X]), "ValueError: set_weights: expected 4 arrays"),
    "trainable": (freezing, ([True, True], False, True)),
    "names": (lambda: [layer.name for layer in net()], ["dense", "dropout", "dense_1"]),
    "get_layer": (lambda: net().get_layer("dense_1").units + net().get_layer(index=0).units, 9),
    "get_layer of no name": (lambda: net().get_layer("nothing"), "ValueError: .*only 'dense', 'dropout', 'dense_1'"),
    "logistic": (lambda: nn.Dense(1, "logistic"), "ValueError: .*did you mean 'sigmoid'"),
    # History and progress
    "history[...]": (lambda: net().fit(X, Y, **Q)["loss"] == fitted(), True),
    "history of no name": (lambda: net().fit(X, Y, **Q)["los"], "KeyError: .*only loss, accuracy"),
    "history as a frame": (
        lambda: [*net().fit(X, Y, epochs=2, **Q).to_frame().reset_index().columns], ["epoch", "loss", "accuracy"]),
    "history of estimators": (lambda: type(MLPClassifier((4,), epochs=2).fit(X, Y).history_).__name__, "History"),
    "no stdout": (lambda: printed(None), ""),
    "a stdout that fails": (lambda: printed(Broken()), ""),
    "a stdout of ASCII": (lambda: "gr??e" in printed(Ascii()) or "gr?" in printed(Ascii()), True),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*are never below 0")
@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, tmp_path: Path) -> None:
    act, right = ROWS[name]
    call = (lambda: act(tmp_path)) if act.__code__.co_varnames[:1] == ("folder",) else act
    kind, _, words = right.partition(": ") if isinstance(right, str) else ("", "", "")
    if kind.endswith("Warning"):
        with pytest.warns(UserWarning, match=words):
            call()
    elif kind.endswith("Error"):
        error = {e.__name__: e for e in (ValueError, TypeError, AttributeError, KeyError)}[kind]
        with pytest.raises(error, match=words):
            call()
    else:
        assert call() == right
