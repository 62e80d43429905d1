"""`Sequential.fit/evaluate/predict` never use what a layer, a loss or a callback held in Python at an earlier batch."""

import functools
import itertools
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from surroundings import JitWarning, T
from tapegrad.models import LambdaCallback, Sequential

nn = tg.nn
X = np.random.default_rng(0).normal(size=(960, 4)).astype("float32")
Y = X[:, :1] * 3


class Of(nn.Module):
    """A layer of one function."""

    def __init__(self, f: Any) -> None:
        self.f = f

    def forward(self, x: Any) -> Any:
        return self.f(x)

    def infer_shape(self, shape: Any) -> Any:
        return shape


def dense(*first: Any) -> Any:
    return Sequential([*first, nn.Dense(1, in_features=4)])


def mse(o: Any, t: Any) -> Any:
    return ((o - t) ** 2).mean()


def trained(
    run_eagerly: bool, make: Any, loss: Any, at_epoch: Any, at_batch: Any
) -> tuple[Any, Any, list[str]]:
    """Parameters and history of a training, and what `fit` warned about."""
    tg.manual_seed(0)
    np.random.seed(0)
    m = make()
    m.compile("sgd", loss(), run_eagerly=run_eagerly)
    calls = {
        "on_epoch_end": lambda e, logs: at_epoch(m, e),
        "on_train_batch_end": lambda b, logs: at_batch(m, b),
    }
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        h = m.fit(X, Y, epochs=4, shuffle=False, verbose=0, callbacks=[LambdaCallback(**calls)])
    said = [str(w.message) for w in warned if w.category is JitWarning]
    return m, (m.layers[-1].kernel.numpy(), h.history["loss"]), said


# What is trained, its loss, what is done at the end of each epoch and batch; and the word of the one warning, or None:
# the training runs compiled in the end.
Row = tuple[Any, Any, Any, Any, str | None]
ROWS: dict[str, Callable[[], Row]] = {}


def row(f: Callable[[], Any]) -> Callable[[], Any]:
    ROWS[f.__name__] = f
    return f


def of(
    make: Any = dense, loss: Any = lambda: "mse", epoch: Any = None, batch: Any = None, word: Any = None
) -> Row:
    nothing = lambda m, number: None
    return make, loss, epoch or nothing, batch or nothing, word


@row
def noise_of_the_host() -> Row:
    return of(lambda: dense(Of(lambda x: x + T(np.random.normal(size=x.shape)))), word="random")


@row
def noise_of_a_generator() -> Row:
    def make() -> Any:
        layer = Of(lambda x: x + T(layer.noise.normal(size=x.shape)))
        layer.noise = np.random.default_rng(0)
        return dense(layer)

    return of(make, word="noise")


@row
def an_object_with_slots_that_the_loss_reads() -> Row:
    class S:
        __slots__ = ("k",)

    s = S()

    def loss() -> Any:
        s.k = 1.0
        return lambda o, t: mse(o, t) * s.k

    return of(loss=loss, epoch=lambda m, e: setattr(s, "k", 0.1))


@row
def a_dict_in_a_partial_of_the_loss() -> Row:
    cfg: dict[str, float] = {}

    def loss() -> Any:
        cfg["k"] = 1.0
        return functools.partial(lambda cfg, o, t: mse(o, t) * cfg["k"], cfg)

    return of(loss=loss, epoch=lambda m, e: cfg.update(k=0.1))


@row
def a_default_of_the_loss() -> Row:
    factor = [1.0]

    def loss() -> Any:
        factor[0] = 1.0
        return lambda o, t, factor=factor: mse(o, t) * factor[0]

    return of(loss=loss, epoch=lambda m, e: factor.__setitem__(0, 0.1))


@row
def a_large_array_of_the_loss() -> Row:
    a = np.ones(2000, "f")

    def loss() -> Any:
        a[:] = 1
        return lambda o, t: mse(o, t) * a[0]

    return of(loss=loss, epoch=lambda m, e: a.fill(0.1))


@row
def a_counter_in_a_dict() -> Row:
    counter = {"n": 0}

    def f(x: Any) -> Any:
        counter["n"] += 1
        return x * (1.0 + 0.01 * counter["n"])

    def make() -> Any:
        counter["n"] = 0
        return dense(Of(f))

    return of(make, word="'n'")


@row
def a_counter_in_an_attribute() -> Row:
    def make() -> Any:
        def f(x: Any) -> Any:
            layer.n += 1
            return x * (1.0 + 0.01 * layer.n)

        layer = Of(f)
        layer.n = 0
        return dense(layer)

    return of(make, word=".n")


@row
def an_iterator() -> Row:
    def make() -> Any:
        layer = Of(lambda x: x * next(layer.factors))
        layer.factors = itertools.cycle([1.0, 0.5, 0.25])
        return dense(layer)

    return of(make, word="factors")


@row
def a_namespace_nested_deeper_than_four() -> Row:
    def make() -> Any:
        layer = Of(lambda x: x * layer.a.a.a.a.a.k)
        layer.a = functools.reduce(
            lambda inner, _: SimpleNamespace(a=inner), range(4), SimpleNamespace(k=1.0)
        )
        return dense(layer)

    return of(make, epoch=lambda m, e: setattr(m.layers[0].a.a.a.a.a, "k", 0.5 if e == 1 else 1.0))


@row
def a_copy_in_a_layer() -> Row:
    return of(lambda: dense(Of(lambda x: tg.tensor(x) * 0.5)))


@row
def a_note_at_each_epoch() -> Row:
    """An attribute that nothing reads: the program stays."""
    return of(epoch=lambda m, e: setattr(m.layers[0], "note", e))


@row
def a_learning_rate_at_each_batch() -> Row:
    return of(batch=lambda m, b: setattr(m.optimizer, "lr", 0.01 / (1 + b % 3)))


@row
def an_activation_at_an_epoch() -> Row:
    return of(
        lambda: dense(nn.Dense(4, "tanh", in_features=4)),
        epoch=lambda m, e: setattr(m.layers[0], "activation", tg.relu) if e == 1 else None,
    )


@row
def a_layer_frozen_at_an_epoch() -> Row:
    return of(
        lambda: dense(nn.Dense(4, "tanh", in_features=4)),
        epoch=lambda m, e: m.layers[0].requires_grad_(False) if e == 1 else None,
    )


@row
def a_weight_of_a_global_schedule() -> Row:
    schedule = [1.0, 0.5, 0.25, 0.125]
    state = SimpleNamespace(epoch=0)

    def loss() -> Any:
        state.epoch = 0
        return lambda o, t: mse(o, t) * schedule[state.epoch // 2]

    return of(loss=loss, epoch=lambda m, e: setattr(state, "epoch", min(e + 1, 3)))


@row
def a_backward_that_is_patched_for_two_epochs() -> Row:
    usual = tg.Tensor.backward
    patches = {1: lambda loss, *args, **options: usual(loss * 0.5, *args, **options), 3: usual}
    return of(epoch=lambda m, e: setattr(tg.Tensor, "backward", patches.get(e, tg.Tensor.backward)))


@row
def an_operator_that_is_patched_for_two_epochs() -> Row:
    usual = tg.Tensor.__pow__
    patches = {1: lambda t, exponent: usual(t, exponent) * 0.5, 3: usual}
    return of(
        loss=lambda: mse,
        epoch=lambda m, e: setattr(tg.Tensor, "__pow__", patches.get(e, tg.Tensor.__pow__)),
    )


@pytest.mark.parametrize("name", ROWS)
def test_trained_compiled_is_trained_eagerly(name: str) -> None:
    make, loss, epoch, batch, word = ROWS[name]()
    (_, want, _), (m, got, said) = (trained(eager, make, loss, epoch, batch) for eager in (True, False))
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    stats = m.stats()["train"]
    assert stats["calls"] == 120, stats
    assert stats["calls"] == stats["compiled"] + stats["eager"], stats
    if word is None:
        assert stats["compiled"] >= 20 and not said, (stats, said)
    else:
        assert stats["compiled"] == 0 and word in stats["refused"], stats
        assert len(said) == 1 and word in said[0], said


def test_predict_gives_each_rows_their_own_predictions() -> None:
    m = dense(Of(lambda x: tg.tensor(x) * 0.5))
    m.build((4,))
    m.compile("sgd", "mse")
    first = [m.predict(X[:7]) for _ in range(25)][-1]
    other = m.predict(X[50:57])
    np.testing.assert_allclose(other, m.layers[1](tg.tensor(X[50:57] * np.float32(0.5))).numpy(), rtol=1e-5)
    assert not np.array_equal(first, other)


def test_evaluate_follows_a_change() -> None:
    factor = [1.0]
    m = dense(Of(lambda x: x * factor[0]))
    m.build((4,))
    m.compile("sgd", "mse")
    found = []
    for k in (1.0, 0.5, 1.0):
        factor[0] = k
        for _ in range(25):
            loss = m.evaluate(X[:32], Y[:32], verbose=0)
        found.append(loss if isinstance(loss, float) else loss["loss"] if isinstance(loss, dict) else loss[0])
        want = float(((m.layers[1](tg.tensor(X[:32] * np.float32(k))) - tg.tensor(Y[:32])) ** 2).mean())
        assert found[-1] == pytest.approx(want, rel=1e-5)
    assert found[0] == found[2] != found[1]
