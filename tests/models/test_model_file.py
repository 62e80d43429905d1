"""One file holds the whole model; a training that was interrupted goes on bit for bit."""

import json
import subprocess
import sys

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.autograd import files, random
from tapegrad.models import Sequential

generator = np.random.default_rng(0)
X = generator.normal(size=(70, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)

RESUME = """
import sys, numpy as np
from tapegrad.models import Sequential
data = np.load(sys.argv[2])
model = Sequential.load(sys.argv[1], resume=True)
model.fit(data["x"], data["y"], epochs=6, initial_epoch=3, verbose=0)
model.save(sys.argv[3])
"""


OPTIMIZERS = [optim.Adam, optim.RMSprop, lambda: optim.SGD(lr=0.1, momentum=0.9, nesterov=True)]


def make(optimizer="adam"):
    tg.manual_seed(5)
    model = Sequential(nn.Dense(16, "gelu", in_features=4), nn.Dropout(0.3), nn.Dense(1, "sigmoid"))
    model.compile(optimizer, "binary_crossentropy", ["accuracy", "auc"])
    return model


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["Adam", "RMSprop", "SGD, Nesterov"])
def test_a_new_process_continues_bit_for_bit(optimizer, tmp_path):
    """With dropout and shuffling: 6 epochs are 3 epochs, a file, another process, and 3 more. Equal bytes."""
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    whole = make(optimizer())
    whole.fit(X, Y, epochs=6, verbose=0)
    whole.save(tmp_path / "whole")
    half = make(optimizer())
    half.fit(X, Y, epochs=3, verbose=0)
    half.save(tmp_path / "half")
    arguments = [tmp_path / "half", tmp_path / "data.npz", tmp_path / "resumed"]
    subprocess.run([sys.executable, "-c", RESUME, *arguments], check=True)
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_the_file_holds_everything(tmp_path):
    model = make(optim.Adam(lr=0.005, beta_1=0.8, clipnorm=1.0))
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(tmp_path / "m", {"made by": "me"})
    loaded = Sequential.load(tmp_path / "m")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert repr(loaded) == repr(model)
    assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert loaded.optimizer.defaults == model.optimizer.defaults
    assert {n: t.tolist() for n, t in loaded.optimizer.state_dict().items()} == {
        n: t.tolist() for n, t in model.optimizer.state_dict().items()
    }
    assert files.read_metadata(tmp_path / "m")["made by"] == "me"


def test_loading_leaves_the_random_streams_alone(tmp_path):
    make().save(tmp_path / "m")
    tg.manual_seed(1)
    before = random.get_state()
    Sequential.load(tmp_path / "m")
    assert random.get_state() == before


def test_an_untrained_and_an_uncompiled_model(tmp_path):
    make().save(tmp_path / "untrained")
    loaded = Sequential.load(tmp_path / "untrained")
    loaded.fit(X, Y, verbose=0)
    bare = Sequential(
        nn.Dense(2, in_features=4), nn.Sequential(nn.ReLU(), nn.Dense(1, use_bias=False)), nn.Flatten()
    )
    bare.build((4,))
    bare.save(tmp_path / "bare")
    loaded = Sequential.load(tmp_path / "bare")
    assert np.array_equal(loaded.predict(X), bare.predict(X))
    with pytest.raises(RuntimeError, match="compile"):
        loaded.fit(X, Y)


def test_a_loss_that_a_file_cannot_hold_is_left_out_where_that_is_asked_for(tmp_path):
    model = make()
    model.compile("adam", lambda y_true, y_pred: ((y_pred - y_true) ** 2).mean())
    model.fit(X, Y, verbose=0)
    with pytest.raises(TypeError, match=r"register, here and where it is loaded; or leave .* training=False"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", training=False)
    loaded = Sequential.load(tmp_path / "m")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(RuntimeError, match="compile"):
        loaded.fit(X, Y)


def test_models_among_the_layers_of_a_model_are_models_again(tmp_path):
    encoder, decoder = Sequential([nn.Dense(2, in_features=4)]), Sequential([nn.Dense(4, in_features=2)])
    twice = Sequential([nn.Sequential(encoder, decoder), encoder, decoder])
    twice.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    twice.fit(x, x, verbose=0)
    twice.save(tmp_path / "twice")
    loaded = Sequential.load(tmp_path / "twice")
    inside, *same = loaded.layers
    assert type(inside) is nn.Sequential and list(inside.layers) == same
    assert [type(layer) for layer in same] == [Sequential, Sequential]
    assert (same[0].predict(x) == encoder.predict(x)).all()
    assert (loaded.predict(x) == twice.predict(x)).all()


class Own(nn.Module):
    def forward(self, x):
        return x


REFUSED = {
    "a layer of one's own": (
        lambda: Sequential(Own()),
        "layer 0 is a Own, which is not one of tapegrad.nn's",
    ),
    "a function": (
        lambda: Sequential(nn.Dense(1, lambda x: x, in_features=4)),
        "activation of layer 0, Dense, is",
    ),
    "a function inside": (
        lambda: Sequential(nn.Sequential(nn.Dense(1, in_features=4), nn.Activation(lambda x: x))),
        "activation of layer 1 of layer 0, Activation",
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_a_file_cannot_hold_is_refused_before_writing(row, tmp_path):
    make_model, words = REFUSED[row]
    with pytest.raises(TypeError) as caught:
        make_model().save(tmp_path / "m")
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_names_other_code_is_refused(tmp_path):
    """What could be called by name is a fixed table: neither modules nor attributes of modules."""
    make().save(tmp_path / "m")
    tensors, metadata = files.load(tmp_path / "m"), files.read_metadata(tmp_path / "m")
    description = json.loads(metadata["model"])
    for name in ("os.system", "Module", "functional", "Own", "__import__", "Parameter"):
        description["layers"][1] = {"class": name, "config": {}}
        files.save(tmp_path / "bad", tensors, metadata={"model": json.dumps(description)})
        with pytest.raises(files.FileError, match="unknown layer"):
            Sequential.load(tmp_path / "bad")
    description["layers"][1] = {"class": "Dropout", "config": {"rate": 0.3}}
    description["training"]["loss"] = "os.system"
    files.save(tmp_path / "bad", tensors, metadata={"model": json.dumps(description)})
    with pytest.raises(ValueError, match="unknown loss"):
        Sequential.load(tmp_path / "bad")


def test_other_files_are_refused(tmp_path):
    tg.save(tmp_path / "tensors", {"a": np.zeros(2)})
    with pytest.raises(files.FileError, match="not a model"):
        Sequential.load(tmp_path / "tensors")
    make().save(tmp_path / "m")
    data = bytearray((tmp_path / "m").read_bytes())
    data[-5] ^= 1
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(files.FileError, match="damaged"):
        Sequential.load(tmp_path / "m")
