"""Small programs that once went wrong under `tg.jit`, by the kind of fault, each with the right value."""

import functools
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from surroundings import T

nn, optim = tg.nn, tg.optim
jit = functools.partial(tg.jit, emitter="numpy")
ROWS: dict[str, tuple[Callable[[], Any], Any]] = {}


def row(right: Any) -> Any:
    def add(f: Any) -> Any:
        ROWS[f.__name__] = f, right
        return f

    return add


def thrice(f: Any, *args: Any) -> Any:
    """The last of three results: the first call and the second record, the third runs the program."""
    return [f(*args) for _ in range(3)][-1]


def layer(units: int = 1, kernel: str = "glorot_uniform", **options: Any) -> Any:
    return nn.Dense(units, in_features=units, kernel_initializer=kernel, **options)


class Of(nn.Module):
    """A layer of one function."""

    def __init__(self, f: Any) -> None:
        self.f = f

    def forward(self, x: Any) -> Any:
        return self.f(x)


one, two = T([1.0]), T([2.0])


# ---- a name, an attribute or an element that is bound to another object ----
@row([[10.0]] * 3)
def a_name_bound_to_another_tensor() -> Any:
    w = one
    f = jit(lambda x: x * w)
    thrice(f, two)
    w = T([5.0])
    return [f(two).tolist() for _ in range(3)]


@row([[[10.0, 10.0], [10.0, 10.0]]] * 3)
def a_name_bound_to_a_tensor_of_another_shape() -> Any:
    w = one
    f = jit(lambda x: x * w)
    thrice(f, T([[2.0], [2.0]]))
    w = T([5.0, 5.0])
    return [f(T([[2.0], [2.0]])).tolist() for _ in range(3)]


@row(True)
def parameters_of_a_functional_loop() -> Any:
    params = {"w": T([[0.0]])}
    g, losses = jit(lambda: tg.value_and_grad(lambda p: ((p["w"] - 4) ** 2).sum())(params)), []
    for _ in range(8):
        v, d = g()
        losses.append(v.item())
        params = {k: p - 0.1 * d[k] for k, p in params.items()}
    return np.allclose(losses, [16 * 0.64**i for i in range(8)], rtol=1e-5)


@row([[10.0, 10.0]] * 3)
def an_entry_and_an_element() -> Any:
    D, L = {"w": one}, [one]
    f = jit(lambda x: (x * D["w"], x * L[0]))
    thrice(f, two)
    D["w"] = L[0] = T([5.0])
    return [[t.item() for t in f(two)] for _ in range(3)]


@row([10.0] * 3)
def an_entry_by_update() -> Any:
    D = {"w": one}
    f = jit(lambda x: x * D["w"])
    thrice(f, two)
    D.update(w=T([5.0]))
    return [f(two).item() for _ in range(3)]


def follows(act: Any, make: Any = lambda: nn.Sequential(layer(), layer())) -> bool:
    """Whether a jitted model follows a change."""
    m = make()
    f, x = jit(lambda x: m(x).detach()), tg.full((1, 1), 3.0)
    thrice(f, x)
    act(m)
    return all(f(x).item() == m(x).item() for _ in range(4))


@row(True)
def a_layer_replaced() -> Any:
    return follows(lambda m: m.layers.__setitem__(1, layer(kernel="ones")))


@row(True)
def a_layer_removed() -> Any:
    return follows(lambda m: m.layers.pop())


@row(True)
def a_parameter_replaced() -> Any:
    return follows(lambda m: setattr(m, "kernel", nn.Parameter(tg.full((1, 1), 9.0))), layer)


@row(True)
def a_plain_attribute_of_a_module() -> Any:
    return follows(lambda m: setattr(m, "activation", tg.exp), lambda: layer(activation="tanh"))


@row([4.0] * 3)
def a_function_bound_again() -> Any:
    h = lambda x: x * 1
    f = jit(lambda x: h(x))
    thrice(f, two)
    h = lambda x: x * 2
    return [f(two).item() for _ in range(3)]


# ---- state that the step binds anew: it advances, compiled or not ----
@row([1.0, 2.0, 3.0, 4.0, 5.0])
def hidden_state() -> Any:
    def forward(x: Any) -> Any:
        m.h = m.h + x
        return m.h * 1

    m = Of(forward)
    m.h = tg.zeros(1)
    f = jit(lambda x: m(x))
    return [f(one).item() for _ in range(5)]


@row([1.0, 2.0, 3.0, 4.0, 5.0])
def hidden_state_in_a_dict() -> Any:
    st = {"h": tg.zeros(1)}

    def step(x: Any) -> Any:
        st["h"] = st["h"] + x
        return st["h"] * 1

    f = jit(step)
    return [f(one).item() for _ in range(5)]


@row([1.0, 2.0, 3.0, 4.0, 5.0])
def hidden_state_in_a_nonlocal_name() -> Any:
    h = tg.zeros(1)

    def step(x: Any) -> Any:
        nonlocal h
        h = h + x
        return h * 1

    f = jit(step)
    return [f(one).item() for _ in range(5)]


@row(5)
def a_list_that_is_appended_to() -> Any:
    hist: list[Any] = []
    f = jit(lambda x: (hist.append(x), x * 1)[1])
    [f(one) for _ in range(5)]
    return len(hist)


@row([1.0, 2.0, 3.0, 4.0, 5.0])
def a_count_on_a_module() -> Any:
    def forward(x: Any) -> Any:
        m.n += 1
        return x * m.n

    m = Of(forward)
    m.n = 0
    f = jit(lambda x: m(x))
    return [f(one).item() for _ in range(5)]


# ---- copies inside ----
@row([200.0, 4.0])
def a_copy_of_an_argument() -> Any:
    f = jit(lambda x: tg.tensor(x) * 2)
    thrice(f, one)
    return [f(T([100.0])).item(), f(two).item()]


@row([True] * 6)
def a_state_dict_of_this_call() -> Any:
    m = layer(kernel="ones")
    o = optim.SGD(m, lr=0.125)

    def step(x: Any) -> Any:
        old = m.state_dict()
        loss = (m(x) ** 2).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return (m.kernel - old["kernel"]).detach()

    f, found = jit(step), []
    for _ in range(6):
        before = m.kernel.item()
        found.append(f(tg.ones((1, 1))).item() == m.kernel.item() - before)
    return found


# ---- tensors in lists and dicts ----
@row([[55.0, 55.0]] * 3)
def one_tensor_bare_and_in_a_list() -> Any:
    f = jit(lambda a, b: a + b[0] * 10)
    for k in (1.0, 2.0, 3.0):
        x = tg.full((2,), k)
        f(x, [x])
    y = tg.full((2,), 5.0)
    return [f(y, [y]).tolist() for _ in range(3)]


@row([55.0, 77.0])
def one_tensor_bare_and_in_a_dict_by_name() -> Any:
    f = jit(lambda a, b: a + b["k"] * 10)
    for k in (1.0, 2.0, 3.0):
        x = T([k])
        f(x, b={"k": x})
    return [f(y, b={"k": y}).item() for y in (T([5.0]), T([7.0]))]


@row([[10.0, 20.0, 30.0]] * 3)
def a_global_that_was_an_argument() -> Any:
    W = T([1, 2, 3])
    h = lambda x: x * W
    f = jit(lambda b: h(b[0]))
    thrice(f, [W])
    return [f([tg.full((3,), 10.0)]).tolist() for _ in range(3)]


@row([[10.0, 20.0, 30.0]] * 3)
def a_leaf_that_was_an_argument() -> Any:
    P = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    q = tg.full((3,), 10.0).requires_grad_()
    h = lambda x: (x * P).detach()
    f = jit(lambda x: h(x))
    thrice(f, P)
    return [f(q).tolist() for _ in range(3)]


# ---- arguments that are other objects ----
@row([1.0] * 3)
def an_object_as_argument() -> Any:
    c = SimpleNamespace(lr=0.1)
    f = jit(lambda x, c: x * c.lr)
    thrice(f, two, c)
    c.lr = 0.5
    return [f(two, c).item() for _ in range(3)]


@row([4.0] * 3)
def a_set_as_argument() -> Any:
    s = {1.0}
    f = jit(lambda x, s: x * len(s))
    thrice(f, two, s)
    s.add(7.0)
    return [f(two, s).item() for _ in range(3)]


@row([1, 1, 1, 1])
def equal_arguments_are_one_kind() -> Any:
    found = []
    for make in (lambda: range(3), lambda: frozenset({1, 2, 3}), lambda: Fraction(3), lambda: Path("a", "b")):
        f = jit(lambda x, r: x * len(str(r)))
        for _ in range(5):
            f(two, make())
        found.append(f.stats()["recordings"])
    return found


@row(1)
def one_call_by_position_and_by_name() -> Any:
    f = jit(lambda x, y: x * y)
    for _ in range(3):
        f(two, 2), f(x=two, y=2), f(y=2, x=two)
    return f.stats()["recordings"]


@row(2)
def two_modules_in_turn() -> Any:
    f = jit(lambda m, x: m(x).detach())
    a, b = layer(), layer()
    for m in (a, b) * 4:
        assert f(m, tg.ones((1, 1))).item() == m(tg.ones((1, 1))).item()
    return f.stats()["recordings"]


# ---- random numbers and arrays of the host ----
@row([5, 5, 5])
def random_numbers_of_the_host() -> Any:
    np.random.seed(0)
    draws = (np.random.random, random.random, lambda: nn.init.get("glorot_uniform")((1, 1)))
    return [len({f(one).item() for _ in range(5)}) for f in (jit(lambda x, d=d: x * d()) for d in draws)]


@row(5)
def a_layer_made_inside() -> Any:
    f = jit(lambda x: nn.Dense(1, in_features=1)(x).detach())
    return len({f(tg.ones((1, 1))).item() for _ in range(5)})


@row([[3.0, 4.0]] * 3)
def an_array_of_the_host() -> Any:
    w = np.array([1, 2], "f")
    f, g = jit(lambda x: x * w), jit(lambda x: x * tg.asarray(w))
    thrice(f, tg.ones(2)), thrice(g, tg.ones(2))
    w[:] = [3, 4]
    assert [g(tg.ones(2)).tolist() for _ in range(3)] == [[3.0, 4.0]] * 3
    return [f(tg.ones(2)).tolist() for _ in range(3)]


# ---- .grad ----
@row([0.9, 0.7, 0.4, 0.0, -0.5])
def a_gradient_that_an_inner_function_reads() -> Any:
    w = T([1.0]).requires_grad_()
    update = lambda ps: [p.assign((p - 0.1 * p.grad).detach()) for p in ps]
    step, found = jit(functools.partial(update, [w])), []
    for c in (1.0, 2.0, 3.0, 4.0, 5.0):
        w.grad = None
        (w * c).sum().backward()
        step()
        found.append(round(w.item(), 3) + 0.0)
    return found


@row([0.8, 0.6, 0.4])
def no_gradient_at_first() -> Any:
    w = T([1.0]).requires_grad_()
    f = jit(lambda: None if w.grad is None else w.assign((w - 0.1 * w.grad).detach()) and None)
    thrice(f)
    (w * w).sum().backward()
    found = []
    for _ in range(3):
        f()
        found.append(round(w.item(), 3))
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    """A row that runs eagerly may warn; which do is stated where the surroundings' cases are."""
    run, right = ROWS[name]
    assert run() == right
