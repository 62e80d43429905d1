"""The attributes and methods of Keras's Sequential beside training, compared with Keras's own."""

import copy

import numpy as np
import pytest

from tapegrad import models, nn
from tapegrad.models import Sequential

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


def ours(compiled=True):
    model = Sequential(nn.Dense(8, "relu"), nn.BatchNormalization(), nn.Dropout(0.5), nn.Dense(1, "sigmoid"))
    model.build((4,))
    if compiled:
        model.compile("sgd", "binary_crossentropy")
    return model


@pytest.fixture(scope="module")
def theirs():
    import keras

    layers = keras.layers
    return lambda: keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def shapes(tensors):
    return [tuple(t.shape) for t in tensors]


# Keras's other lists have the seeds of Dropout as well.
LISTS = ("weights", "trainable_weights", "trainable_variables")


@pytest.mark.tensorflow
@pytest.mark.parametrize("frozen", [(), (1,), (0, 1), (0, 1, 2, 3)])
def test_weights_are_counted_as_keras_counts_them(theirs, frozen):
    models_ = ours(), theirs()
    for model in models_:
        for index in frozen:
            model.layers[index].trainable = False
    mine, keras = models_
    assert mine.count_params() == keras.count_params() == 81
    for name in LISTS:
        assert shapes(getattr(mine, name)) == shapes(getattr(keras, name)), name
    assert sorted(shapes(mine.non_trainable_weights)) == sorted(shapes(keras.non_trainable_weights))
    assert shapes(mine.get_weights()) == shapes(keras.get_weights())
    assert all((a == b.numpy()).all() for a, b in zip(mine.get_weights(), mine.weights))


@pytest.mark.tensorflow
def test_pop_takes_the_last_layer(theirs):
    mine, keras = ours(), theirs()
    last = mine.layers[-1]
    mine.fit(X, Y, verbose=0)
    assert mine.pop() is last
    keras.pop()
    assert (None, *mine.output_shape) == keras.output_shape == (None, 8)
    assert (None, *mine.input_shape) == keras.input_shape
    assert mine.predict(X).shape == (64, 8)
    with pytest.raises(RuntimeError, match="compile the model again"):
        mine.fit(X, Y)
    mine.add(nn.Dense(1, "sigmoid"))
    mine.compile("sgd", "binary_crossentropy")
    mine.fit(X, Y, verbose=0)
    assert mine.output_shape == (1,)


def test_pop_down_to_nothing():
    model = Sequential(nn.Dense(3), nn.Dense(1))
    model.pop()
    assert model.output_shape is None
    assert model.predict(X).shape == (64, 3)
    model.pop()
    with pytest.raises(ValueError, match="no layers"):
        model.pop()


def test_a_frozen_model_is_evaluated_and_not_fitted():
    model = ours(compiled=False)
    model.trainable = False
    model.compile("sgd", "binary_crossentropy")
    assert model.evaluate(X, Y, verbose=0) > 0
    with pytest.raises(RuntimeError, match="every layer is frozen"):
        model.fit(X, Y)


def test_a_copy_before_the_training_is_a_model_of_its_own():
    model = ours()
    twin = copy.deepcopy(model)
    before = twin.get_weights()
    model.fit(X, Y, verbose=0)
    assert all((a == b).all() for a, b in zip(before, twin.get_weights()))
    with pytest.raises(TypeError, match="save the model and load it"):
        copy.deepcopy(model)
    model.optimizer = None
    again = copy.deepcopy(model)
    again.compile("sgd", "binary_crossentropy")
    again.fit(X, Y, verbose=0)


@pytest.mark.tensorflow
@pytest.mark.parametrize("callback", ["LearningRateScheduler", "ReduceLROnPlateau"])
def test_the_rate_is_in_the_history_as_in_keras(theirs, callback):
    import keras

    make = {
        "LearningRateScheduler": lambda room: room.LearningRateScheduler(lambda epoch, rate: rate / 2),
        "ReduceLROnPlateau": lambda room: room.ReduceLROnPlateau("loss", patience=1, min_delta=9.0),
    }[callback]
    other = theirs()
    other.compile("sgd", "binary_crossentropy")
    options = {"epochs": 3, "verbose": 0}
    expected = other.fit(X, Y, callbacks=[make(keras.callbacks)], **options).history["learning_rate"]
    measured = ours().fit(X, Y, callbacks=[make(models)], **options).history["learning_rate"]
    assert measured == pytest.approx(expected, rel=1e-6)


def test_a_metric_of_scikit_learn_that_needs_classes_says_so():
    from sklearn.metrics import f1_score, roc_auc_score

    model = ours(compiled=False)
    model.compile("sgd", "binary_crossentropy", metrics=[roc_auc_score, f1_score])
    with pytest.raises(ValueError, match=r"f1_score: .*write a function .*f1_score\(y_true, y_pred > 0.5\)"):
        model.fit(X, Y, verbose=0)


def test_what_came_with_the_batches_is_named_in_one_line():
    with pytest.raises(ValueError) as error:
        ours().fit(iter([(X, Y)]), Y)
    assert str(error.value).endswith("leave it out, got an array of shape (64,)")


@pytest.mark.parametrize("name", sorted(models.ELSEWHERE))
def test_names_of_other_libraries_are_answered(name):
    with pytest.raises(AttributeError, match="has no attribute") as error:
        getattr(models, name)
    assert ": " in str(error.value).partition("attribute")[2]
