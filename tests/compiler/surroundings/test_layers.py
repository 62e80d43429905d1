"""Every attribute of every layer and loss: changed after the program was made, the next call is eager's."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

RNG = np.random.default_rng(0)
KINDS = [getattr(nn, name) for name in sorted(dir(nn)) if isinstance(getattr(nn, name), type)]
RATE, FEATURES = {"rate": 0.5}, {"num_features": 4}
OPTIONS: dict[str, dict[str, Any]] = {
    "Activation": {"activation": "tanh"}, "AlphaDropout": RATE, "Dense": {"units": 4, "in_features": 4},
    "Dropout": RATE, "Embedding": {"input_dim": 5, "output_dim": 2}, "GaussianDropout": RATE,
    "GaussianNoise": {"stddev": 0.5}, "GroupNorm": {"num_groups": 2, "num_channels": 4},
    "GroupNormalization": {"groups": 2}, "LayerNorm": {"normalized_shape": 4},
    "Linear": {"in_features": 4, "out_features": 4}, "Permute": {"dims": (2, 1)}, "RMSNorm": {"normalized_shape": 4},
    "RepeatVector": {"n": 2}, "Reshape": {"target_shape": (2, 2)},
    **{f"{kind}{n}d": FEATURES for kind in ("BatchNorm", "InstanceNorm") for n in (1, 2, 3)},
    **{f"SpatialDropout{n}D": RATE for n in (1, 2, 3)},
}  # fmt: skip
GIVEN: dict[str, tuple[Any, ...]] = {
    "Parallel": (nn.Dense(2, in_features=4), nn.Dense(2, in_features=4)), "Residual": (nn.Dense(4, in_features=4),),
}  # fmt: skip
SHAPES: dict[str, tuple[int, ...]] = {
    "Permute": (3, 4, 2),
    **{
        f"{kind}{n}d": (3, 4, *(2,) * n)
        for kind in ("BatchNorm", "Dropout", "InstanceNorm")
        for n in (1, 2, 3)
    },
    **{f"SpatialDropout{n}D": (3, *(2,) * n, 4) for n in (1, 2, 3)},
}
TWO = [k for k in KINDS if k.__name__.endswith("Loss")]  # PyTorch's, called with a prediction and a target
DEEP_ROOMS = ("convolution", "pooling", "torch_pools", "torch_windows", "recurrent", "recurrent_cells", "attention",
              "transformer")  # fmt: skip
# A list of modules has no forward.
ALL = [
    k for k in KINDS
    if issubclass(k, nn.Module) and k not in (nn.Module, nn.Sequential, *TWO) and k.forward is not nn.Module.forward
]  # fmt: skip
DEEP = [k for k in ALL if k.__module__.rpartition(".")[2] in DEEP_ROOMS]
LAYERS = [k for k in ALL if k not in DEEP]
LOSSES = [
    k for k in vars(nn.losses).values()
    if isinstance(k, type) and issubclass(k, nn.losses.Loss) and k is not nn.losses.Loss
]  # fmt: skip


def others(value: Any) -> list[Any]:
    """Other values of the kind that an attribute has; none for what no other value is known of."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [value + 1, value * 0.5]
    if value is None:
        return [0.25]
    if isinstance(value, (nn.Parameter, tg.Tensor)):
        return [nn.Parameter(value.detach() + 1.0)]
    if callable(value):
        return [tg.sin]
    return []


def outcome(f: Callable[..., Any], *args: Any) -> Any:
    try:
        return f(*args).numpy().tolist()
    except Exception as error:
        return type(error).__name__, str(error).partition("\n")[0]  # without the line of the call


def check(made: Callable[[], Any], *args: Any) -> int:
    """Compile a call, change one attribute, and compare with a twin that was never compiled. How many were changed."""
    names = [*vars(made()), "training"]
    tried = 0
    for name in names:
        for new in others(getattr(made(), name, None)):
            o, twin = made(), made()
            f = tg.jit(lambda *a, o=o: o(*a), emitter="numpy")
            with tg.no_grad():
                for _ in range(3):
                    f(*args)
                    twin(*args)
                try:
                    setattr(o, name, new)
                except (AttributeError, TypeError, ValueError) as error:  # it says what may be set
                    said = (type(o).__name__, "it is made already", ".assign(value)")
                    assert any(words in str(error) for words in said)
                    continue
                setattr(twin, name, new)
                tg.manual_seed(1)
                got = [outcome(f, *args) for _ in range(3)]
                tg.manual_seed(1)
                assert repr(got) == repr([outcome(twin, *args) for _ in range(3)]), (name, new)
                for at in (o, twin):
                    vars(at).pop(name, None)
                tg.manual_seed(1)
                got = [outcome(f, *args)]
                tg.manual_seed(1)
                assert repr(got) == repr([outcome(twin, *args)]), f"without {name}"
            tried += 1
    return tried


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("kind", LAYERS, ids=lambda k: k.__name__)
def test_layers(kind: Any) -> None:
    def made() -> Any:
        tg.manual_seed(0)
        return kind(*GIVEN.get(kind.__name__, ()), **OPTIONS.get(kind.__name__, {}))

    x = RNG.normal(size=SHAPES.get(kind.__name__, (3, 4))).astype("float32")
    assert check(made, tg.tensor(x if kind is not nn.Embedding else [[0, 4], [1, 1]]))


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("kind", LOSSES, ids=lambda k: k.__name__)
def test_losses(kind: Any) -> None:
    y = RNG.integers(0, 2, size=3) if "Sparse" in kind.__name__ else RNG.random((3, 4)).astype("float32")
    check(kind, tg.tensor(y), tg.tensor(RNG.random((3, 4)).astype("float32")))


A, B, C = (RNG.random((3, 4)).astype("float32") for _ in range(3))
NUMBERS, SIGNS = np.array([0, 1, 1]), np.array([1, -1, 1], "float32")
# What the forward of a loss takes; of those that are not named: a prediction and a target.
LOSS_INPUTS = {
    "CrossEntropyLoss": (A, NUMBERS),
    "NLLLoss": (A, NUMBERS),
    "CosineEmbeddingLoss": (A, B, SIGNS),
    "GaussianNLLLoss": (A, B, C),
    "HingeEmbeddingLoss": (A[:, 0], SIGNS),
    "MarginRankingLoss": (A[:, 0], B[:, 0], SIGNS),
    "TripletMarginLoss": (A, B, C),
}


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("kind", TWO, ids=lambda k: k.__name__)
def test_losses_of_pytorch(kind: Any) -> None:
    assert check(kind, *map(tg.tensor, LOSS_INPUTS.get(kind.__name__, (A, B))))


# What the constructors take whose names match.
DEEP_GIVEN: tuple[tuple[str, Callable[[], tuple[Any, ...]]], ...] = (
    (r"Conv(Transpose)?\dd", lambda: (4, 2, 2)),
    (r"(Separable)?Conv", lambda: (2, 2)),
    (r"Depthwise|Adaptive|AvgPool|MaxPool\dd", lambda: (2,)),
    (r"SimpleRNN|LSTM|GRU", lambda: (3,)),
    (r"Bidirectional", lambda: (nn.LSTM(3),)),
    (r"Upsample", lambda: (None, 2)),
    (r"PositionEmbedding", lambda: (5,)),
    (r"MultiHead", lambda: (2, 2)),
    (r"Multihead", lambda: (4, 2)),
    (r"Transformer", lambda: (4, 2, 6)),
)


def deep_inputs(kind: Any) -> tuple[Any, ...]:
    """Channels are last, or second in PyTorch's layers; as many other axes as the name says."""
    name, state = kind.__name__, tg.tensor(RNG.random((2, 3)).astype("float32"))
    axes = re.search(r"(\d)[dD]", name)
    window = (4,) * int(axes[1]) if axes else (3, 3)
    if kind.__module__.rpartition(".")[2] in ("torch_pools", "torch_windows"):
        shape: tuple[int, ...] = (2, 4, *window)
    else:
        shape = (2, *window, 4) if axes else (2, 4) if name.endswith("Cell") else (2, 5, 4)
    x = tg.tensor(RNG.random(shape).astype("float32"))
    if name.endswith("Cell"):
        return (x, [state, state] if "LSTM" in name else state)
    return (x,) * {"MultiHeadAttention": 2, "TransformerDecoderLayer": 2, "MultiheadAttention": 3}.get(
        name, 1
    )


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("kind", DEEP, ids=lambda k: k.__name__)
def test_deep_layers(kind: Any) -> None:
    given = next((made() for pattern, made in DEEP_GIVEN if re.match(pattern, kind.__name__)), ())
    inputs = deep_inputs(kind)

    def made() -> Any:
        tg.manual_seed(0)
        layer = kind(*given)
        with tg.no_grad():
            layer(*inputs)  # makes its weights
        return layer

    assert check(made, *inputs)


class Deep(nn.Module):
    def __init__(self) -> None:
        tg.manual_seed(0)
        self.layers = [nn.Dense(3, "tanh", in_features=3) for _ in range(9)]

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


CHANGES: dict[str, Callable[[Any], Any]] = {
    "another kernel": lambda o: setattr(o, "kernel", nn.Parameter(o.kernel * 2.0)),
    "another array": lambda o: setattr(o.kernel, "data", o.kernel.data * 2),
    "no bias": lambda o: setattr(o, "bias", None),
    "another activation": lambda o: setattr(o, "activation", tg.sin),
    "another class": lambda o: setattr(o, "__class__", Twice),
    "a forward of its own": lambda o: setattr(o, "forward", lambda x: x * 2.0),
    "other attributes": lambda o: setattr(o, "__dict__", dict(vars(nn.Dense(3, "relu", in_features=3)))),
}


class Twice(nn.Dense):
    def forward(self, x: Any) -> Any:
        return super().forward(x) * 2.0


@pytest.mark.parametrize("at", [0, 1, 4, 7, 8])
@pytest.mark.parametrize("change", CHANGES)
def test_one_of_many_layers(change: str, at: int) -> None:
    """The checks of equal layers are one loop: it looks at each of them."""
    o, x = Deep(), tg.tensor(RNG.normal(size=(2, 3)).astype("float32"))
    f = tg.jit(o, emitter="numpy")
    with tg.no_grad():
        for _ in range(3):
            f(x)
        assert f.stats()["compiled"]
        tg.manual_seed(1)
        CHANGES[change](o.layers[at])
        for _ in range(4):
            assert f(x).numpy().tolist() == o(x).numpy().tolist()
        same = change == "another array"
        assert len(f.stats()["reasons"]) == (1 if same else 2)
        assert same or f"layers[{at}]" in f.stats()["reasons"][1]


def test_a_layer_that_does_not_need_gradients_any_more() -> None:
    o, x = Deep(), tg.tensor(RNG.normal(size=(2, 3)).astype("float32"))

    @tg.jit(emitter="numpy")
    def step(x: Any) -> Any:
        for p in parameters:
            p.grad = None
        o(x).sum().backward()

    parameters = [p for layer in o.layers for p in layer.parameters()]
    for _ in range(3):
        step(x)
    o.layers[5].kernel.requires_grad = False
    for _ in range(4):
        step(x)
        assert o.layers[5].kernel.grad is None and o.layers[4].kernel.grad is not None
    assert "layers[5]" in step.stats()["reasons"][1]
