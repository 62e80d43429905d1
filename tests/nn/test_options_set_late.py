"""An option that is set on a layer whose weights are made: it does what a layer made with it does, or it raises."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from layer_rows import ROWS

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.constructors import constructor_options
from tapegrad.nn.made_of import MADE_OF

RNG = np.random.default_rng(0)
# Of each class one row at least, and of those that take more than one input these.
MORE = {
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(2, 2, in_features=4), (2, 3, 4), 2),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(4, 2), (2, 3, 4), 3),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 5), (2, 3, 4), 1),
    "TransformerDecoderLayer": (lambda: nn.TransformerDecoderLayer(4, 2, 5), (2, 3, 4), 2),
}
SAMPLES: dict[str, tuple[Any, tuple[int, ...], int, int]] = {
    row.name: (lambda row=row: row.make("float32"), row.shape, 1, row.integers) for row in ROWS
} | {name: (*sample, 0) for name, sample in MORE.items()}


def another(name: str, value: Any) -> list[Any]:
    """Other values of an option's kind."""
    if name.endswith("initializer"):
        return [lambda shape: np.full(shape, 0.5, "float32")]
    if name == "padding" and value is not None:
        words = ["same", "valid", "causal"]
        return words if isinstance(value, str) else [*words, 1, 7]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value * 2, value - 1]
    if isinstance(value, float):
        return [value / 2 + 0.1]
    if isinstance(value, tuple) and value and all(isinstance(part, int) for part in value):
        return [tuple(part + 1 for part in value)]
    return []


def result(layer: nn.Module, inputs: list[Any]) -> list[np.ndarray] | None:
    """What a call in training gives, from the same random numbers; None where the layer refuses the input."""
    tg.manual_seed(1)
    try:
        given = layer(*inputs)
    except Exception:
        return None
    parts = given if isinstance(given, (tuple, list)) else [given]
    return [part.numpy() for part in parts if part is not None]


def unlike(sample: tuple[Any, tuple[int, ...], int, int]) -> Iterator[str]:
    """The options that are taken, and do not what they do in the constructor."""
    make, shape, count, integers = sample
    drawn = RNG.integers(0, integers, shape) if integers else RNG.normal(size=shape).astype("float32")
    inputs = [tg.tensor(drawn)] * count
    for name in constructor_options(type(make())):
        for value in another(name, vars(make()).get(name)):
            tg.manual_seed(0)
            layer = make()
            assert result(layer, inputs) is not None
            try:
                setattr(layer, name, value)
            except AttributeError as error:
                assert f"make a new one, {type(layer).__name__}(…, {name}=" in str(error)
                continue
            except (TypeError, ValueError):  # as the constructor does
                with pytest.raises((TypeError, ValueError)):
                    type(layer)(*vars(make()).get("layers", ()), **layer.config() | {name: value})
                continue
            try:
                other = type(layer)(*vars(make()).get("layers", ()), **layer.config())
            except ValueError:  # the constructor checks it, alone or together with other options
                if result(layer, inputs) is not None:
                    yield name
                continue
            result(other, inputs)
            state = layer.state_dict()
            after = result(layer, inputs)
            first = name.endswith("initializer") or name == "unit_forget_bias"
            if first or list(state) != list(other.state_dict()):
                yield name
                continue
            if any(state[path].shape != part.shape for path, part in other.state_dict().items()):
                if after is not None:
                    yield name
                continue
            other.load_state_dict(state)
            again = result(other, inputs)
            if again is not None and (after is None or not all(map(np.array_equal, after, again))):
                yield name


def test_each_name_is_an_option_of_some_layer() -> None:
    kinds = [kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Module)]
    assert set().union(*(constructor_options(kind) for kind in kinds)) >= MADE_OF


@pytest.mark.parametrize("name", SAMPLES)
def test_an_option_works_or_raises(name: str) -> None:
    if type(SAMPLES[name][0]()).__module__.startswith("tapegrad"):
        assert sorted(set(unlike(SAMPLES[name]))) == []


@pytest.mark.parametrize("emitter", [None, "numpy"])
@pytest.mark.parametrize("make", [
    lambda: nn.Dense(2, in_features=3), lambda: nn.Dense(2), lambda: nn.LSTM(2, in_features=3),
    lambda: nn.Conv1D(2, 1, in_features=3), lambda: nn.TransformerEncoderLayer(3, 1, 5, dropout=0.0),
])  # fmt: skip
def test_an_activation_by_name(make: Any, emitter: str | None) -> None:
    tg.manual_seed(0)
    layer, x = make(), tg.tensor(RNG.normal(size=(2, 4, 3)).astype("float32"))
    layer.activation = "relu"
    assert layer.activation is nn.activations.relu
    before = random_state()
    layer.activation = nn.activations.tanh
    assert random_state() == before  # what is tried out draws nothing from the user's stream
    right = layer(x)
    layer.activation = "tanh"
    call = layer if emitter is None else tg.jit(lambda v: layer(v).detach(), emitter=emitter)
    assert np.allclose(call(x).numpy(), right.numpy(), atol=1e-6)
    with pytest.raises((TypeError, ValueError), match="activation"):
        layer.activation = "no such"
    assert layer.activation is nn.activations.tanh


def random_state() -> Any:
    from tapegrad.autograd.random import streams

    kept = streams()
    return kept.seed, kept.draws, str(kept.generator().bit_generator.state)


def test_it_says_what_to_write() -> None:
    layer = nn.Dense(2, in_features=3)
    with pytest.raises(
        AttributeError, match=r"Dense\.use_bias: .*make a new one, Dense\(…, use_bias=False\)"
    ):
        layer.use_bias = False
    layer.use_bias = True
    waiting = nn.Dense(2)
    waiting.use_bias, waiting.units = False, 4
    assert waiting(tg.ones((1, 3))).shape == (1, 4) and waiting.bias is None


def test_a_class_of_the_users_may_set_it() -> None:
    class Mine(nn.Dense):
        def forward(self, x: Any) -> Any:
            return x @ self.kernel if not self.use_bias else super().forward(x)

    layer = Mine(2, in_features=3)
    layer.use_bias = False
    assert not layer.use_bias
