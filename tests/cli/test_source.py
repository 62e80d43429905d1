"""`tapegrad source`: the program of a saved model, printed, or saved as a file that runs without tapegrad."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tables import people, write

import tapegrad as tg
from tapegrad import nn
from tapegrad.cli import source
from tapegrad.models import Sequential

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)


@pytest.fixture
def saved(folder):
    """m.safetensors, trained; bare.safetensors, that no one said how to train; and the first one's model."""
    tg.manual_seed(0)
    model = Sequential(
        nn.Flatten(), nn.Dense(6, "relu", in_features=4), nn.Dropout(0.2), nn.Dense(1, "sigmoid")
    )
    model.save("bare.safetensors")
    model.compile("adam", "binary_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0)
    model.save("m.safetensors")
    return model


def test_it_prints_the_train_step_or_the_prediction(saved, run):
    status, text, err = run("source", "m.safetensors")
    assert (status, err) == (0, "")
    for part in ("layers_1_kernel", "def step(x, y):", "[Adam]", "gradient of linear]", "float32[32, 6]"):
        assert part in text
    assert ".py:" not in text and "\x1b" not in text  # no line of ours; no colours but on a terminal
    assert compile(text, "step.py", "exec")
    prediction = run("source", "m.safetensors", "--what", "predict", "--batch-size", "7")[1]
    assert "float32[7, 6]" in prediction and "learning_rate" not in prediction
    assert run("source", "bare.safetensors", "--batch-size", "7")[1] == prediction


def test_every_model_that_train_writes_has_a_program(folder, run):
    write("three.csv", [["a", "b", "c"], *([i % 7, i % 5, i % 3] for i in range(60))])
    for target in ("c", "a"):  # classes of a softmax, and numbers
        task = () if target == "c" else ("--task", "regression")
        assert run("train", "three.csv", "--target", target, *task, "--epochs", 1, "--overwrite")[0] == 0
        for path in sorted(Path("runs/three").glob("*.safetensors")):
            status, text, err = run("source", path)
            assert (status, err) == (0, "")
            assert "parameters" in text


def test_native(saved, run):
    pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    status, text, err = run("source", "m.safetensors", "--emitter", "native")
    assert (status, err) == (0, "")
    assert "for i0 in range(" in text


def test_on_a_terminal_comments_have_a_colour(saved, run, monkeypatch):
    plain = run("source", "m.safetensors")[1]
    coloured = source.coloured(plain)
    assert f"{source.COMMENT}# [layers.3: sigmoid]{source.PLAIN}" in coloured
    assert f"{source.CODE}def{source.PLAIN} step(x, y):" in coloured
    for code in (source.COMMENT, source.CODE, source.PLAIN):
        coloured = coloured.replace(code, "")
    assert coloured == plain


RUN = """
import sys
sys.modules["tapegrad"] = None
import numpy as np
from step import open_step
step, data = open_step(), np.load("data.npz")
losses = [float(step(data["x"][i : i + 20], data["y"][i : i + 20])[0]) for i in (0, 20, 0)]
print(losses)
"""


def test_the_saved_step_goes_on_with_the_training_without_tapegrad(folder, run):
    """Bit for bit what `fit` would have done: the file holds the weights and the optimizer's state of the model."""
    tg.manual_seed(0)
    model = Sequential(nn.Dense(6, "relu", in_features=4), nn.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0)
    model.save("m.safetensors")
    status, out, err = run("source", "m.safetensors", "--batch-size", 20, "--save", "there/step.py")
    assert (status, err) == (0, "")
    assert "wrote step.py and step.npz in there" in out and "loss, outputs = step(x, y)" in out
    assert sorted(p.name for p in Path("there").iterdir()) == ["step.npz", "step.py"]

    np.savez("there/data.npz", x=X, y=Y[:, None])
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, cwd="there")
    assert done.returncode == 0, done.stderr
    losses = []
    for i in (0, 20, 0):
        x, y = X[i : i + 20], Y[i : i + 20]
        losses += model.fit(x, y, batch_size=20, shuffle=False, verbose=0).history["loss"]
    assert eval(done.stdout) == losses


MISTAKES = {
    "no such model": ("none", "none: No such file or directory"),
    "a folder": (".", "is a folder: name a model in it"),
    "no model": ("people.csv", "people.csv: not a file written by tapegrad.save"),
    "tensors": ("tensors.safetensors", "holds tensors, not a model that Sequential.save wrote"),
    "not trained": ("bare.safetensors --what train", "does not say how it is trained (no optimizer and loss): --what"),
    "shape unknown": ("relu.safetensors", "the shape of the input is not known"),
    "unknown step": ("m.safetensors --what fit", "--what: invalid choice: 'fit'"),
    "unknown emitter": ("m.safetensors --emitter c", "--emitter: invalid choice: 'c'"),
    "no rows": ("m.safetensors --batch-size 0", "--batch-size: expected a whole number of at least 1, got '0'"),
    "not a Python file": ("m.safetensors --save step", "--save step: expected the name of a Python file"),
    "in a file": ("m.safetensors --save people.csv/step.py", "--save people.csv: people.csv is a file, not a folder"),
    "saved with native": ("m.safetensors --emitter native --save a.py", "runs with NumPy alone: leave out --emitter"),
}  # fmt: skip


@pytest.mark.parametrize("row", MISTAKES)
def test_mistakes(row, saved, folder, run):
    write("people.csv", people())
    tg.save("tensors.safetensors", {"a": np.zeros(2)})
    Sequential(nn.ReLU()).save("relu.safetensors")
    before = sorted(folder.rglob("*"))
    line, words = MISTAKES[row]
    status, out, err = run("source", *line.split())
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_without_llvmlite_it_says_how_to_get_it(saved, run, monkeypatch):
    monkeypatch.setattr("tapegrad.backends.install.found", lambda package: None)
    status, out, err = run("source", "m.safetensors", "--emitter", "native")
    assert (status, out) == (2, "")
    assert err.endswith('needs llvmlite, which is not installed: pip install "llvmlite>=0.48"\n')
