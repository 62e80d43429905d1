"""A function that runs twice, under checkpoint, custom_gradient or scan: what it writes to, uses and gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

X = np.linspace(-1.0, 2.0, 12, dtype="float32").reshape(4, 3)


class Standardized(nn.Module):
    """The README's layer, whose running mean is part of its result."""

    def __init__(self) -> None:
        self.scale, self.mean = nn.Parameter(tg.ones(3)), nn.Buffer(tg.zeros(3))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        if self.training:
            self.mean.assign(0.9 * self.mean + 0.1 * x.mean(axis=0))
        return (x - self.mean) * self.scale


class Counted(nn.Module):
    """Writes to a buffer in one of the ways of writing."""

    def __init__(self, write: Callable[[tg.Tensor], object]) -> None:
        super().__init__()
        self.write, self.count = write, nn.Buffer(tg.zeros(2))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        self.write(self.count)
        return x * x


def add_one(t: tg.Tensor) -> None:
    t += 1


def set_part(t: tg.Tensor) -> None:
    t[0] = t[0] + 1


def set_where(t: tg.Tensor) -> None:
    t[tg.tensor([1])] = t[1] + 2


WRITERS: dict[str, Callable[[], nn.Module]] = {
    "BatchNorm1d": lambda: nn.BatchNorm1d(3),
    "BatchNormalization": lambda: nn.BatchNormalization(in_features=3),
    "Standardized": Standardized,
    "assign": lambda: Counted(lambda t: t.assign(t + 1)),
    "+=": lambda: Counted(add_one),
    "t[0] =": lambda: Counted(set_part),
    "t[indices] =": lambda: Counted(set_where),
    "two layers": lambda: nn.Sequential(nn.BatchNorm1d(3), Standardized()),
}


def own_gradient(layer: nn.Module) -> Callable[[tg.Tensor], tg.Tensor]:
    def f(x: tg.Tensor) -> Any:
        y = layer(x)
        return y.detach(), lambda g: g * x

    return tg.custom_gradient(f)


def nested(layer: nn.Module) -> Callable[[tg.Tensor], tg.Tensor]:
    return tg.checkpoint(tg.checkpoint(layer))


AROUND: dict[str, Callable[[nn.Module], Callable[[tg.Tensor], tg.Tensor]]] = {
    "checkpoint": tg.checkpoint, "checkpoint in checkpoint": nested, "custom_gradient": own_gradient,
}  # fmt: skip


def backward(f: Any, x: Any, create_graph: bool = False) -> None:
    w = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (f(x * w) ** 3).sum().backward(create_graph=create_graph)
    if create_graph:
        (w.grad**2).sum().backward()


DERIVATIVES: dict[str, Callable[[Any, tg.Tensor], object]] = {
    "backward": backward,
    "create_graph": lambda f, x: backward(f, x, True),
    "value_and_grad": lambda f, x: tg.value_and_grad(lambda v: (f(v) ** 3).sum())(x),
    "jvp": lambda f, x: tg.jvp(f, (x,), (x,)),
    "hvp": lambda f, x: tg.hvp(lambda v: (f(v) ** 3).sum(), (x,), (x,)),
}


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("writer", WRITERS)
def test_what_it_writes_is_written_once(writer: str, around: str, derivative: str) -> None:
    plain, layer = WRITERS[writer](), WRITERS[writer]()
    if around == "custom_gradient":
        layer.requires_grad_(False)
    for batch in (X, X * 2 + 1):
        plain(tg.tensor(batch))
        # jvp and value_and_grad hand in other numbers than backward does.
        w = [1.0, 2.0, 3.0] if derivative in ("backward", "create_graph") else 1.0
        DERIVATIVES[derivative](AROUND[around](layer), tg.tensor(batch / np.array(w, "float32")))
    for (name, right), (_, found) in zip(plain.named_buffers(), layer.named_buffers(), strict=True):
        assert np.allclose(found.numpy(), right.numpy(), rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("emitter", ["numpy", "native"])
@pytest.mark.parametrize("writer", WRITERS)
def test_also_in_a_compiled_step(writer: str, emitter: str) -> None:
    ends = []
    for around in (lambda m: m, tg.checkpoint):
        layer = WRITERS[writer]()
        w = nn.Parameter([1.0, 2.0, 3.0])
        f = around(layer)

        def step(x: tg.Tensor, f: Any = f, w: Any = w) -> tg.Tensor:
            w.grad = None
            loss = (f(x * w) ** 3).sum()
            loss.backward()
            return loss

        compiled = tg.jit(step, emitter=emitter)
        for batch in (X, X * 2, X + 1):
            compiled(tg.tensor(batch))
        ends.append([w.grad.numpy(), *(b.numpy() for _, b in layer.named_buffers())])
    for right, found in zip(*ends, strict=True):
        assert np.allclose(found, right, rtol=1e-5, atol=1e-4)


def test_a_checkpoint_of_two_batches_is_as_plain_code() -> None:
    """The second run of the first batch begins with what was there before that batch."""
    gradients = []
    for around in (lambda m: m, tg.checkpoint):
        layer, x = Standardized(), tg.tensor(X, requires_grad=True)
        f = around(layer)
        y = f(x)
        y.sum().backward()
        f(x + 1)  # a forward pass that nobody differentiates
        gradients.append([x.grad.numpy(), layer.mean.numpy()])
    for right, found in zip(*gradients, strict=True):
        assert np.array_equal(found, right)


# ---- what requires grad may change before the backward pass ----
def frozen(m: nn.Module) -> None:
    m.trainable = False


def thawed(m: nn.Module) -> None:
    m.trainable = True


def without_bias(m: nn.Module) -> None:
    m.bias.requires_grad_(False)


def nothing(m: nn.Module) -> None:
    return


LATER: tuple[tuple[str, Any, Any], ...] = (
    ("nothing", nothing, nothing), ("frozen", nothing, frozen), ("thawed", frozen, thawed),
    ("one frozen", nothing, without_bias), ("one thawed", without_bias, thawed),
)  # fmt: skip


def of_each_row(m: nn.Module) -> Callable[[tg.Tensor], tg.Tensor]:
    return lambda x: tg.scan(lambda c, row: (c + m(row[None])[0], None), tg.zeros(1), x)[0]


@pytest.mark.parametrize("around", [tg.checkpoint, of_each_row], ids=["checkpoint", "scan"])
@pytest.mark.parametrize(("before", "after"), [r[1:] for r in LATER], ids=[r[0] for r in LATER])
def test_weights_that_are_frozen_or_thawed_before_the_backward_pass(
    before: Any, after: Any, around: Any
) -> None:
    found = []
    for f in (lambda m: m, around):
        tg.manual_seed(0)
        first, second = nn.Dense(2, in_features=3), nn.Dense(1, in_features=2)
        before(second)
        x = tg.tensor(X, requires_grad=True)
        y = f(second)(first(x))
        after(second)
        y.sum().backward()
        found.append([x.grad, *(p.grad for m in (first, second) for p in m.parameters())])
        assert [p.requires_grad for p in second.parameters()] == [
            p.requires_grad for p in changed(before, after)
        ]
    for right, other in zip(*found, strict=True):
        assert (right is None) == (other is None)
        assert right is None or np.allclose(right.numpy(), other.numpy(), rtol=1e-5)


def changed(before: Any, after: Any) -> list[tg.Tensor]:
    m = nn.Dense(1, in_features=2)
    before(m)
    after(m)
    return list(m.parameters())


# ---- what is not the same in both runs ----
STATE = {"count": 0.0, "k": 2.0}


def masked(x: tg.Tensor) -> Any:
    m = tg.tensor(np.random.random(x.shape).astype("float32"))
    return m * x * x, lambda g: g * m * 2 * x


def masked_in_the_pullback(x: tg.Tensor) -> Any:
    m = tg.tensor(np.random.random(x.shape).astype("float32"))
    return x * x, lambda g: g * m * 2 * x


def by_default(x: tg.Tensor) -> Any:
    STATE["count"] += 1.0
    return x * x, lambda g, c=STATE["count"]: g * c * 2 * x


def counted(x: tg.Tensor) -> Any:
    STATE["count"] += 1.0
    c = STATE["count"]
    return c * x * x, lambda g: g * c * 2 * x


def longer(x: tg.Tensor) -> Any:
    STATE["count"] += 1.0
    n = int(STATE["count"])
    return tg.stack([x] * n), lambda g: g.sum(0)


@pytest.mark.parametrize("derivative", ["jvp", "hvp", "hessian", "create_graph"])
@pytest.mark.parametrize("f", [masked, masked_in_the_pullback, by_default, counted, longer])
def test_a_custom_gradient_that_differs_when_it_runs_again(f: Any, derivative: str) -> None:
    own, x = tg.custom_gradient(f), tg.tensor(X[0])
    assert tg.grad(lambda v: own(v).sum())(x).shape == x.shape  # which runs it once
    with pytest.raises(RuntimeError, match=f"{f.__name__} under custom_gradient gave .* ran it again"):
        (DERIVATIVES | {"hessian": lambda g, v: tg.hessian(lambda u: g(u).sum())(v)})[derivative](own, x)


def test_a_number_that_changes_before_a_recorded_backward_pass() -> None:
    own = tg.custom_gradient(lambda x: (STATE["k"] * x * x, lambda g, k=STATE["k"]: g * k * 2 * x))
    for create_graph in (False, True):
        STATE["k"], x = 2.0, tg.tensor([3.0], requires_grad=True)
        y = own(x)
        STATE["k"] = 5.0
        if not create_graph:
            y.backward()
            assert x.grad.item() == 12
            continue
        with pytest.raises(RuntimeError, match="gave other numbers"):
            y.backward(create_graph=True)


def test_what_is_the_same_is_accepted() -> None:
    """Draws of tapegrad's, a pullback that counts its calls, and one that keeps what was written in between."""
    notes = nn.Buffer(tg.zeros(3))

    def f(x: tg.Tensor) -> Any:
        m, calls = tg.random.bernoulli(0.5, x.shape).astype(x.dtype), 0

        def pullback(g: tg.Tensor) -> tg.Tensor:
            nonlocal calls
            calls += 1
            notes.assign(g.detach())
            return g * m * 2 * x

        return m * x * x, pullback

    y, dy = tg.jvp(tg.custom_gradient(f), (tg.tensor(X[0]),), (tg.ones(3),))
    assert np.allclose(dy.numpy() * X[0], 2 * y.numpy())
