"""When the steps of a model are recorded, and what changes around them."""

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_cases import F, X, Y, dense

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.autograd import random
from tapegrad.models import LambdaCallback, Sequential, compiled_step

pytestmark = pytest.mark.usefixtures("soon")


# ---- what changes around the steps ----
def compiled_model(**options: Any) -> Sequential:
    tg.manual_seed(0)
    model = Sequential(dense())
    model.compile("adam", "binary_crossentropy", **options)
    return model


def test_a_mistake_is_told_as_it_is_and_not_held_against_the_model() -> None:
    model = compiled_model()
    for _ in range(3):
        with pytest.raises(ValueError, match="one shape"):
            model.fit(X, np.concatenate([Y, Y], axis=1), verbose=0)
    model.fit(X, Y, epochs=3, verbose=0)
    assert model.stats()["train"]["compiled"] > 0


def test_python_values_that_change_between_batches_are_followed() -> None:
    """Attributes of layers, and numbers, functions and arrays that a loss names: changed by epoch or by batch."""

    def run(run_eagerly: bool) -> list[Any]:
        alpha, strength, scale = {"now": 1.0}, 1.0, np.array([1.0], "f")

        def loss(t: Any, p: Any) -> Any:
            return alpha["now"] * strength * (scale * (p - t) ** 2).mean()

        def by_epoch(epoch: int, logs: Any) -> None:
            nonlocal strength
            strength = 1.0 / (1 + epoch // 2)
            model.layers[1].rate = 0.2 + 0.1 * (epoch // 3)
            model.layers[3].activation = F.relu if epoch > 5 else F.sigmoid

        def by_batch(batch: int, logs: Any) -> None:
            alpha["now"] += 0.25 * (batch == 3)
            scale[0] = 2.0 if batch == 4 else scale[0]

        tg.manual_seed(1)
        model = Sequential(nn.Dense(9, "relu", in_features=6), nn.Dropout(0.2), nn.Dense(4), nn.Dense(1))
        model.compile("sgd", loss, run_eagerly=run_eagerly, emitter="numpy")
        callback = LambdaCallback(on_epoch_end=by_epoch, on_train_batch_end=by_batch)
        history = model.fit(
            X, Y, batch_size=8, epochs=9, verbose=0, callbacks=[callback], validation_split=0.2
        )
        return [
            history.history,
            *(p.numpy().tobytes() for p in model.parameters()),
            model.stats()["train"]["refused"],
        ]

    *compiled, why = run(False)
    *eager, plain = run(True)
    assert compiled == eager
    assert (why, plain) == (None, "run_eagerly=True")


def counts(model: Sequential) -> list[int]:
    return [step["recordings"] for step in model.stats().values()]


def test_later_calls_record_nothing_new() -> None:
    model = compiled_model()
    for _ in range(3):
        model.fit(X, Y, epochs=3, batch_size=16, validation_split=0.2, verbose=0)
        model.evaluate(X[:14], Y[:14], verbose=0)
        model.predict(X)
        found = counts(model)
        assert found == [2, 1, found[2]]
    assert found == [2, 1, 1]
    assert model.stats()["train"]["calls"] == 36 and model.stats()["train"]["compiled"] == 36 - 2 - 4


CHANGES: dict[str, Callable[[Any], Any]] = {
    "compiled again": lambda model: model.compile("adam", "binary_crossentropy"),
    "another optimizer": lambda model: setattr(model, "optimizer", optim.SGD(lr=0.5)),
    "another loss": lambda model: setattr(model, "loss", F.mse_loss),
    "a layer added": lambda model: (model.add(nn.Dense(1, "tanh")), model.compile("adam", "mse")),
    "a layer added inside": lambda model: (model.layers[1].add(nn.Activation("tanh"))),
    "a layer replaced": lambda model: (
        model.layers.__setitem__(1, nn.Dense(1, in_features=8)), model.compile("sgd", "mse")),
    "weights loaded": lambda model: model.load_state_dict({k: v * 0.5 for k, v in model.state_dict().items()}),
    "weights replaced": lambda model: [setattr(p, "data", p.data * 0.5) for p in model.parameters()],
    "frozen": lambda model: (model.layers[0].requires_grad_(False), model.compile("adam", "mse")),
    "moved to float64": lambda model: (model.to("float64"), model.compile("sgd", "mse")),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_is_trained_and_predicts_as_it_is_now(change: str) -> None:
    def run(run_eagerly: bool) -> list[bytes]:
        tg.manual_seed(0)
        model = Sequential(
            nn.Dense(8, "relu", in_features=6), nn.Sequential(nn.Dense(1, "sigmoid", in_features=8))
        )
        model.compile("adam", "binary_crossentropy", run_eagerly=run_eagerly, emitter="numpy")
        found = []
        for _ in range(2):
            before = model.optimizer.steps
            model.fit(X, Y, epochs=3, batch_size=16, verbose=0)
            assert model.optimizer.steps == before + 15
            found += [model.predict(X) for _ in range(3)]
            CHANGES[change](model)
            model.run_eagerly = run_eagerly
            found += [model.predict(X) for _ in range(3)]
            found += [np.array(model.evaluate(X, Y, verbose=0)) for _ in range(3)]
            x, y = (tg.tensor(a).astype(model.parameters()[0].dtype) for a in (X, Y))
            assert np.allclose(found[-4], model(x).numpy(), rtol=1e-6)
            assert found[-1] == pytest.approx(model.loss(model(x), y).item(), rel=1e-6)
        return [a.tobytes() for a in found]

    assert run(False) == run(True)


def test_the_steps_stay_with_their_model() -> None:
    """A copy has none; and the model goes with its last reference, not with a garbage collection."""
    model = compiled_model()
    for _ in range(3):
        model.predict(X)
    before = model.predict(X)
    twin = copy.deepcopy(model)
    twin.layers[0].kernel.assign(0.0 * twin.layers[0].kernel)
    assert twin._steps is None and counts(twin) == [0, 0, 0]
    assert model.predict(X).tobytes() == before.tobytes() != twin.predict(X).tobytes()

    model.fit(X, Y, epochs=5, verbose=0)
    assert counts(model) == [2, 0, 1]
    gone, kernel = weakref.ref(model), weakref.ref(model.layers[0].kernel)
    gc.disable()
    try:
        del model
        assert gone() is None and kernel() is None
    finally:
        gc.enable()


def test_a_resumed_training_goes_on_bit_for_bit(tmp_path: Any) -> None:
    whole, half = ([nn.Dropout(0.3), *dense()] for _ in range(2))
    weights = []
    for layers in (whole, half):
        tg.manual_seed(7)
        model = Sequential(layers)
        model.build((6,))
        for layer in model.layers[1:]:
            layer.kernel.assign(np.linspace(-1, 1, layer.kernel.size).reshape(layer.kernel.shape))
        model.compile("adam", "binary_crossentropy")
        if layers is half:
            model.fit(X, Y, epochs=4, verbose=0)
            model.save(tmp_path / "half")
            tg.manual_seed(0)
            model = Sequential.load(tmp_path / "half", resume=True)
        model.fit(X, Y, epochs=9, initial_epoch=4 if layers is half else 0, verbose=0)
        assert model.stats()["train"]["compiled"] > 0
        weights.append([p.numpy().tobytes() for p in model.parameters()])
    assert weights[0] == weights[1]


# ---- when it is recorded ----
def test_a_kind_that_comes_seldom_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_step, "PATIENCE", 3)
    model = compiled_model()
    for i in range(6):
        model.predict(X)
        assert (
            model.stats()["predict"] | {"calls": i + 1, "recordings": int(i > 2), "compiled": max(0, i - 4)}
            == (model.stats()["predict"])
        )
    # Weights that are replaced again and again (and not written to in place) make it wait longer each time.
    for _ in range(60):
        for p in model.parameters():
            p.data = np.asfortranarray(p.data) if p.data.flags.c_contiguous else np.ascontiguousarray(p.data)
        model.predict(X)
    assert counts(model)[2] <= 1 + 4, model.stats()["predict"]["reasons"]  # after 6, 12, 24, … more


def test_not_every_size_of_batch_gets_a_program() -> None:
    model = compiled_model()
    for n in range(1, 31):
        wanted = F.sigmoid(model.layers[1].kernel.T.mean() * 0.0 + n).shape, n
        assert len(model.predict(X[:n])) == len(model.predict(X[:n])) == wanted[1]
    assert counts(model)[2] == compiled_step.KINDS


def test_run_eagerly_and_the_emitters() -> None:
    model = compiled_model(run_eagerly=True)
    model.fit(X, Y, epochs=5, verbose=0)
    assert (
        model.stats()["train"] | {"calls": 15, "compiled": 0, "refused": "run_eagerly=True"}
        == model.stats()["train"]
    )
    with pytest.raises(ValueError, match="emitter must be one of 'auto', 'numpy'"):
        compiled_model(emitter="xla")
    pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    fast = compiled_model(emitter="native")
    fast.fit(X, Y, epochs=5, verbose=0)
    assert fast.stats()["train"]["programs"] == ["native", "native"]
    assert np.allclose(fast.predict(X), model.predict(X), rtol=1e-5)


def test_source() -> None:
    """Of a step that was not recorded yet, of one that was; and asking changes nothing."""
    model = compiled_model()
    model.fit(X, Y, epochs=1, verbose=0)
    before = [t.numpy().tobytes() for t in (model.state_dict() | model.optimizer.state_dict()).values()]
    gradients, draws = [p.grad for p in model.parameters()], random.get_state()
    text = model.source()
    for part in (
        "layers_0_kernel",
        "def step(x, y):",
        "[layers.1: gradient of linear]",
        "[Adam]",
        "float32[32, 8]",
    ):
        assert part in text, text
    others = model.source("predict") + model.source("evaluate")
    assert "learning_rate" not in others and "layers_1_bias" in others
    assert "float32[5, 8]" in model.source("predict", batch_size=5)
    assert [
        t.numpy().tobytes() for t in (model.state_dict() | model.optimizer.state_dict()).values()
    ] == before
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients)) and random.get_state() == draws
    model.fit(X, Y, epochs=3, batch_size=35, verbose=0)
    assert "float32[35, 8]" in model.source()
    numbers = Sequential(nn.Flatten(), nn.Dense(3, "softmax", in_features=6))
    numbers.compile("sgd", "sparse_categorical_crossentropy")
    assert "sparse_cross_entropy" in numbers.source()
    for call, words in {
        lambda: model.source("fit"): "expected 'train', 'evaluate' or 'predict', got 'fit'",
        lambda: Sequential(dense()).source(): "has not been compiled",
        lambda: Sequential(nn.ReLU()).source("predict"): "build the model first",
    }.items():
        with pytest.raises((ValueError, RuntimeError), match=words):
            call()


def test_a_larger_step_is_compiled_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the batch and of the model decide, and no clock."""
    monkeypatch.setattr(compiled_step, "PATIENCE", 300)
    policy = compiled_step.AfterCalls()
    small, large = (((32, 30), np.dtype("float32")),), (((128, 784), np.dtype("float32")),)
    policy.weights = 4097
    assert policy.patience(small) == 300
    policy.weights = 535_818
    assert policy.patience(large) == compiled_step.LEAST


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}, {"emitter": "numpy"}, {"emitter": "native"}])
@pytest.mark.parametrize("batch", [0, 1, 5])
def test_a_batch_that_raises_is_taken_back(batch: int, options: dict[str, Any]) -> None:
    """Parameters, the optimizer's state and the layers' own, such as moving means, are those of before it."""
    if options.get("emitter") == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    kept, bad = [], []

    def rate(step: int) -> float:
        if step in bad:
            raise KeyError("no")
        return 0.1

    tg.manual_seed(0)
    model = Sequential([nn.Dense(4), nn.BatchNormalization(), nn.Dense(1)])
    model.build((X.shape[1],))
    optimizer = optim.SGD(lr=0.1, momentum=0.9)
    model.compile(optimizer, "mse", **options)
    model.fit(X[:8], Y[:8], batch_size=8, verbose=0)
    optimizer.lr = rate
    bad.append(optimizer.steps + batch)

    def state() -> dict[str, bytes]:
        parts = {**model.state_dict(), **optimizer.state_dict()}
        return {name: t.numpy().tobytes() for name, t in parts.items()}

    watch = LambdaCallback(on_train_batch_begin=lambda number, logs: kept.append(state()))
    with pytest.raises(KeyError, match="no"):
        model.fit(X[:80], Y[:80], batch_size=8, verbose=0, callbacks=[watch], shuffle=False)
    assert len(kept) == batch + 1 and state() == kept[-1]
