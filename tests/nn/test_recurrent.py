"""Recurrent layers: masks, states, cells and dropout, against Keras from equal weights."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

RNG = np.random.default_rng(8)
KINDS = ("SimpleRNN", "LSTM", "GRU")
X = RNG.normal(size=(3, 4, 2))
MASK = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1]], bool)
kinds = pytest.mark.parametrize("kind", KINDS)


def made(kind: str, **options: Any) -> Any:
    layer = getattr(nn, kind)(2, in_features=2, bias_initializer="random_normal", dtype="float64", **options)
    return layer


@pytest.mark.tensorflow
@kinds
@pytest.mark.parametrize("backwards", [False, True])
def test_masks_and_states_are_kerass(kind: str, backwards: bool, reference: Any) -> None:
    options: Any = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    ours = made(kind, **options)
    theirs = getattr(reference.keras.layers, kind)(2, dtype="float64", **options)
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    starts = [RNG.normal(size=(3, 2)) for _ in range(ours.states)]
    for mask in (None, MASK):
        for start in (None, starts):
            tf = reference.tf
            want = theirs(
                tf.constant(X),
                mask=None if mask is None else tf.constant(mask),
                initial_state=None if start is None else [tf.constant(s) for s in start],
            )
            got = ours(X, mask=mask, initial_state=start)
            assert len(got) == len(want) == 1 + ours.states
            for a, b in zip(got, want, strict=True):
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", ["concat", "ave", "mul", None])
def test_both_directions_are_kerass(mode: Any, reference: Any) -> None:
    ours = nn.Bidirectional(made("LSTM", return_state=True, return_sequences=True), mode)
    inner = reference.keras.layers.LSTM(2, dtype="float64", return_state=True, return_sequences=True)
    theirs = reference.keras.layers.Bidirectional(inner, mode, dtype="float64")
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    starts = [RNG.normal(size=(3, 2)) for _ in range(4)]
    tf = reference.tf
    want = theirs(tf.constant(X), mask=tf.constant(MASK), initial_state=[tf.constant(s) for s in starts])
    for a, b in zip(ours(X, mask=MASK, initial_state=starts), want, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


@kinds
def test_a_cell_is_one_step_of_the_layer(kind: str) -> None:
    layer, cell = made(kind, return_state=True), made(f"{kind}Cell")
    cell.load_state_dict(layer.state_dict())
    states = None
    for t in range(X.shape[1]):
        y, states = cell(X[:, t], states)
    for a, b in zip((y, *states), layer(X), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


@kinds
def test_states_go_on_from_batch_to_batch(kind: str) -> None:
    layer = made(kind, return_state=True)
    _, *states = layer(X[:, :2])
    for a, b in zip(layer(X[:, 2:], initial_state=states), layer(X), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


@kinds
def test_masks_and_states_in_a_compiled_step(kind: str) -> None:
    layer = made(kind, return_sequences=True, return_state=True).requires_grad_(False)
    start = [RNG.normal(size=(3, 2)) for _ in range(layer.states)]

    def step(x: Any, mask: Any, *start: Any) -> Any:
        def total(x: Any) -> Any:
            y, *states = layer(x, mask=mask, initial_state=list(start))
            return (y * y).sum() + sum((s * s).sum() for s in states)

        return tg.value_and_grad(total)(x)

    compiled = tg.jit(step, strict=True)
    for mask in (MASK, ~MASK, MASK, MASK):
        given = [tg.tensor(a) for a in (X, mask, *start)]
        for a, b in zip(compiled(*given), step(*given), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-13)


@kinds
def test_dropout_leaves_out_the_same_features_at_each_step(kind: str) -> None:
    layer = made(kind, dropout=0.5, recurrent_dropout=0.5, return_sequences=True)
    tg.manual_seed(3)
    a = layer(X).numpy()
    tg.manual_seed(3)
    np.testing.assert_array_equal(a, layer(X).numpy())
    assert not np.array_equal(a, layer(X).numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(X).numpy(), layer(X).numpy())
    only = made(kind, dropout=0.999)  # every feature, with this seed: what is left are the biases
    np.testing.assert_allclose(only(X).numpy(), only(X * 0.0).numpy(), rtol=1e-12)


def test_the_bias_of_the_forget_gate_starts_at_1() -> None:
    assert nn.LSTM(2, in_features=3).bias.numpy().tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert not nn.LSTM(2, in_features=3, unit_forget_bias=False).bias.numpy().any()


REFUSED = [
    (lambda: nn.LSTM(10, 20), "PyTorch's \\(10, 20\\) is nn.LSTM\\(20, in_features=10\\)"),
    (lambda: nn.LSTM(0), "LSTM: units must be a positive integer"),
    (lambda: nn.LSTM(2, stateful=True), "give the states on: return_state=True"),
    (lambda: nn.GRU(2, hidden_size=3), "tapegrad's word for hidden_size is units"),
    (lambda: nn.GRU(2)(np.ones((3, 2))), r"expected an input of shape \(batch, length, features\), got \(3, 2\)"),
    (lambda: nn.GRU(2)(np.ones((3, 0, 2))), "there is no step"),
    (lambda: nn.GRU(2, in_features=3)(np.ones((3, 4, 2))), "expected an input with 3 features"),
    (lambda: nn.LSTM(2)(X, mask=np.ones((3, 4))), r"mask must be booleans of shape \(3, 4\)"),
    (lambda: nn.LSTM(2)(X, initial_state=[np.ones((3, 2))]), r"expected 2 state\(s\) of shape \(3, 2\)"),
    (lambda: nn.Bidirectional(nn.Dense(2)), "expected an nn.SimpleRNN, nn.LSTM or nn.GRU"),
    (lambda: nn.Bidirectional(nn.LSTM(2), backward_layer=nn.LSTM(2)), "backward_layer have go_backwards=True"),
    (lambda: nn.Bidirectional(nn.LSTM(2), "max"), "merge_mode must be 'concat'"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refused(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()
