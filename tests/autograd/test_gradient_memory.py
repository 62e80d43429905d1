"""Gradients have memory of their own: a write into one changes no other gradient, no argument and no other element."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

VALUES = np.array([[1.0, 2.0], [3.0, 4.0]])
ONES = tg.ones((2, 2), dtype="float64")
KEPT = tg.tensor(VALUES)

# What a loss makes of the argument at last: its rule gives a view, one number spread out, or its own cotangent.
LOSSES: dict[str, Callable[[Any], Any]] = {
    "sum": lambda p: p.sum(),
    "mean": lambda p: p.mean(),
    "sum * 2": lambda p: p.sum() * 2.0,
    "of a row's sums": lambda p: (p.sum(axis=0) * tg.tensor([1.0, 2.0], dtype="float64")).sum(),
    "sum + 1": lambda p: (p + 1.0).sum(),
    "p + p": lambda p: (p + p).sum(),
    "a row": lambda p: p[0].sum(),
    "reshape": lambda p: p.reshape((4,)).sum(),
    "T": lambda p: p.T.sum(),
    "of T": lambda p: (p.T * tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64")).sum(),
    "flip": lambda p: tg.flip(p).sum(),
    "concat": lambda p: tg.concat([p, p]).sum(),
    "broadcast_to": lambda p: tg.broadcast_to(p, (3, 2, 2)).sum(),
    "tile": lambda p: tg.tile(p, 1).sum(),
    "einsum": lambda p: tg.einsum("ij->ji", p).sum(),
    "a product": lambda p: (p * KEPT).sum(),
    "a matrix product": lambda p: (p @ KEPT).sum(),
    "no part": lambda p: (p.detach() * p.detach()).sum() + p.sum() * 0.0,
    "a rule of the user's": tg.custom_gradient(lambda p: (p.sum(), lambda g: KEPT)),
    "a dtype": lambda p: p.astype("float32").sum(),
}
MAPS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda p: p,
    "p + 1": lambda p: p + 1.0,
    "sums": lambda p: p.sum(axis=0),
    "broadcast_to": lambda p: tg.broadcast_to(p, (3, 2, 2)),
    "reshape": lambda p: p.reshape((4,)),
    "T": lambda p: p.T,
    "constant": lambda p: tg.ones(3, dtype="float64"),
}
KINDS: dict[str, Callable[[], Any]] = {
    "tensor": lambda: tg.tensor(VALUES),
    "Parameter": lambda: tg.Parameter(VALUES),
    "requires grad": lambda: tg.tensor(VALUES, requires_grad=True),
}


def backward(f: Callable[[Any], Any], x: Any, create_graph: bool, times: int = 1) -> Any:
    leaf = tg.Parameter(x.detach())
    for _ in range(times):
        f(leaf).backward(create_graph=create_graph)
    return leaf.grad.detach()


OF_LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda f, x: tg.grad(f)(x),
    "value_and_grad": lambda f, x: tg.value_and_grad(f)(x)[1],
    "vjp": lambda f, x: tg.vjp(f, x)[1](tg.tensor(1.0, dtype="float64"))[0],
    "of a dict": lambda f, x: list(tg.grad(lambda d: f(d["a"]) + f(d["b"][0]))({"a": x, "b": [x]}).values()),
    "of two": lambda f, x: tg.grad(lambda a, b: f(a + b), argnums=(0, 1))(x, x),
    "of a gradient": lambda f, x: tg.grad(lambda u: tg.grad(f)(u).sum() + f(u))(x),
    "hvp": lambda f, x: tg.hvp(f, (x,), (ONES,)),
    "jvp": lambda f, x: tg.jvp(f, (x,), (ONES,))[1],
    "jacobian": lambda f, x: tg.jacobian(f)(x),
    "hessian": lambda f, x: tg.hessian(f)(x),
    "backward": lambda f, x: backward(f, x, False),
    "backward, twice": lambda f, x: backward(f, x, False, times=2),
    "backward(create_graph)": lambda f, x: backward(f, x, True),
    "backward(create_graph) under no_grad": lambda f, x: under_no_grad(f, x),
}
OF_MAPS: dict[str, Callable[[Any, Any], Any]] = {
    "jvp": lambda f, x: tg.jvp(f, (x,), (ONES,))[1],
    "vjp": lambda f, x: tg.vjp(f, x)[1](tg.ones_like(f(x)))[0],
    "vjp of two": lambda f, x: tg.vjp(lambda a, b: f(a) + f(b), x, x)[1](tg.ones_like(f(x))),
    "jacobian": lambda f, x: tg.jacobian(f)(x),
}


def under_no_grad(f: Callable[[Any], Any], x: Any) -> Any:
    """The gradient can be differentiated, though it is a copy of a view, made where nothing else is recorded."""
    leaf = tg.Parameter(x.detach())
    loss = f(leaf.T * leaf.T)
    with tg.no_grad():
        loss.backward(create_graph=True)
    assert leaf.grad.requires_grad
    return leaf.grad.detach()


def flat(result: Any) -> list[Any]:
    return [t for part in result for t in flat(part)] if isinstance(result, (list, tuple)) else [result]


def only_what_is_written_changes(make: Callable[[], Any], others: list[Any]) -> None:
    gradients = flat(make())
    before = [t.detach().numpy() for t in (*gradients, *others)]
    for g, old in zip(gradients, before, strict=False):
        at = (0,) * g.ndim
        old[at] = 99.0
        g.detach()[at] = 99.0
    for t, old in zip((*gradients, *others), before, strict=True):
        assert np.array_equal(t.detach().numpy(), old)
    for g in flat(make()):
        want = g.detach().numpy() * 2.0
        with tg.no_grad():
            g *= 2.0
        assert np.array_equal(g.detach().numpy(), want)
        g.detach()[g.detach() > 0] = 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transform", OF_LOSSES)
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_losses(loss: str, transform: str, kind: str) -> None:
    x = KINDS[kind]()
    only_what_is_written_changes(lambda: OF_LOSSES[transform](LOSSES[loss], x), [x, KEPT, ONES])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transform", OF_MAPS)
@pytest.mark.parametrize("map_", MAPS)
def test_derivatives_of_maps(map_: str, transform: str, kind: str) -> None:
    x = KINDS[kind]()
    only_what_is_written_changes(lambda: OF_MAPS[transform](MAPS[map_], x), [x, ONES])


@pytest.mark.parametrize("map_", MAPS)
def test_a_pullback_gives_no_cotangent_that_it_was_given(map_: str) -> None:
    f, x = MAPS[map_], tg.tensor(VALUES)
    seed = tg.ones_like(f(x))
    (g,) = tg.vjp(f, x)[1](seed)
    g[0, 0] = 99.0
    assert np.array_equal(seed.numpy(), np.ones(seed.shape))


@pytest.mark.parametrize("emitter", ["numpy", "native"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_that_writes_into_its_gradients(loss: str, kind: str, emitter: str) -> None:
    x = KINDS[kind]()

    def step(x: Any) -> list[Any]:
        gradients = tg.grad(lambda a, b: LOSSES[loss](a + b), argnums=(0, 1))(x, x)
        gradients[0].detach()[0, 0] = 99.0
        return [*(g.detach() for g in gradients), x.detach() * 1.0]

    compiled, want = tg.jit(step, emitter=emitter), [t.tolist() for t in step(x)]
    for _ in range(3):
        assert [t.tolist() for t in compiled(x)] == want


REUSE = """
import resource, tapegrad as tg
x = tg.zeros(1_000_000)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    tg.nn.functional.mish(x)
before = faults()
for _ in range(10):
    tg.nn.functional.mish(x)
print(faults() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="how other allocators reuse memory is their own affair"
)
def test_large_arrays_that_come_and_go_are_not_fetched_from_the_system_each_time() -> None:
    """A new page is a fault: 4,800 for each call where freed arrays are given back."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", REUSE], env=kept, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000
