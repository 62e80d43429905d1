"""Nothing that cuts a graph is quiet: each way from one tensor to another keeps the gradient, says that it does not, or
is a number outside the graph by name."""

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn.module import Buffer

KEEPS, REFUSES = "the gradient is that of x * x", "an error that names what to write"

# name, f from a tensor to another one with its values, what it does with the gradient
WAYS: tuple[tuple[str, Callable[[tg.Tensor], Any], str], ...] = (
    ("itself", lambda x: x, KEEPS),
    ("tg.tensor", tg.tensor, KEEPS),
    ("tg.tensor, dtype", lambda x: tg.tensor(x, dtype="float64"), KEEPS),
    ("tg.tensor, device", lambda x: tg.tensor(x, device="cpu"), KEEPS),
    ("tg.tensor, requires_grad", lambda x: tg.tensor(x, requires_grad=True), KEEPS),
    ("tg.asarray", tg.asarray, KEEPS),
    ("tg.asarray, copy", lambda x: tg.asarray(x, copy=True), KEEPS),
    ("tg.asarray, dtype", lambda x: tg.asarray(x, dtype="float64"), KEEPS),
    ("astype", lambda x: x.astype("float64"), KEEPS),
    ("to", lambda x: x.to("cpu"), KEEPS),
    ("copy.copy", copy.copy, KEEPS),
    ("+x", lambda x: +x, KEEPS),
    ("list of elements", lambda x: tg.stack(list(x)), KEEPS),
    ("in-place sum", lambda x: _added(tg.zeros(2), x), KEEPS),
    ("setitem", lambda x: _written(tg.zeros(2), x), KEEPS),
    ("nested lists", lambda x: tg.tensor([x[0], x[1]]), REFUSES),
    ("copy.deepcopy", copy.deepcopy, REFUSES),
    ("pickle", lambda x: pickle.loads(pickle.dumps(x)), REFUSES),
    ("tg.Parameter", tg.Parameter, REFUSES),
    ("Buffer", Buffer, REFUSES),
    ("np.asarray", lambda x: tg.tensor(np.asarray(x)), REFUSES),
    ("np.array", lambda x: tg.tensor(np.array(x)), REFUSES),
    ("np.add.reduce", np.add.reduce, REFUSES),
    ("into an array", lambda x: tg.tensor(_added(np.zeros(2, "float32"), x)), REFUSES),
    ("tg.full", lambda x: tg.full((2,), x[0]), REFUSES),
)


def _added(total: Any, x: Any) -> Any:
    total += x
    return total


def _written(total: Any, x: Any) -> Any:
    total[:] = x
    return total


def squares(way: Callable[[tg.Tensor], Any]) -> Callable[[tg.Tensor], tg.Tensor]:
    return lambda x: (way(x) ** 2).sum().astype("float32")


def by_grad(way: Any) -> Any:
    return tg.grad(squares(way))(tg.tensor([1.0, 2.0]))


def by_backward(way: Any) -> Any:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    squares(lambda y: way(y * 1.0))(x).backward()
    return x.grad


def by_vjp(way: Any) -> Any:
    return tg.vjp(squares(way), tg.tensor([1.0, 2.0]))[1](tg.tensor(1.0))[0]


def by_jacobian(way: Any) -> Any:
    return tg.jacobian(squares(way))(tg.tensor([1.0, 2.0]))


def through_checkpoint(way: Any) -> Any:
    return by_backward(tg.checkpoint(way))


@pytest.mark.parametrize("by", [by_grad, by_backward, by_vjp, by_jacobian, through_checkpoint])
@pytest.mark.parametrize(("way", "does"), [row[1:] for row in WAYS], ids=[row[0] for row in WAYS])
def test_each_way_keeps_the_gradient_or_refuses(way: Any, does: str, by: Any) -> None:
    if does is KEEPS:
        assert by(way).tolist() == [2.0, 4.0]
        return
    with pytest.raises((TypeError, RuntimeError)) as caught:
        by(way)
    assert any(word in str(caught.value) for word in ("detach", "tg.stack", "tg.save")), str(caught.value)


@pytest.mark.parametrize("read", [float, tg.Tensor.item, tg.Tensor.tolist, tg.Tensor.numpy])
def test_numbers_are_outside_the_graph_and_say_so(read: Any) -> None:
    assert "outside any graph" in (getattr(read, "__doc__", "") + str(tg.Tensor.item.__doc__))
    assert tg.grad(lambda x: x * tg.tensor(read(x)))(tg.tensor(3.0)).item() == 3.0


@pytest.mark.parametrize("make", [tg.tensor, lambda t: tg.asarray(t, copy=True), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("trained", [True, False])
def test_a_copy_has_memory_of_its_own(make: Any, trained: bool) -> None:
    t = tg.tensor([1.0, 2.0], requires_grad=trained)
    made = make(t)
    assert not np.shares_memory(made.data, t.data)
    with tg.no_grad():
        t += 5.0
    assert made.tolist() == [1.0, 2.0] and made.requires_grad == trained


def test_a_copy_that_requires_grad_has_its_gradient_too() -> None:
    w = tg.tensor([3.0], requires_grad=True)
    c = tg.tensor(w, requires_grad=True)
    (c * c).sum().backward()
    assert c.grad is not None and c.grad.tolist() == [6.0]
    assert w.grad is not None and w.grad.tolist() == [6.0]


def test_copies_of_what_no_transform_differentiates_for_are_made() -> None:
    """A model that the function closes over is none of its arguments."""
    model = tg.nn.Dense(1, in_features=2)

    def f(x: tg.Tensor) -> tg.Tensor:
        twin = copy.deepcopy(model)
        vars(twin)["kernel"] = x
        return twin(tg.ones((1, 2))).sum()

    assert tg.grad(f)(tg.ones((2, 1))).tolist() == [[1.0], [1.0]]
    with pytest.raises(RuntimeError, match="differentiated"):
        tg.grad(lambda m: copy.deepcopy(m)(tg.ones((1, 2))).sum())(model)
    with tg.no_grad():
        assert tg.Parameter(model.kernel * 2.0).requires_grad


# ---- custom_gradient: what its result depends on ----
W = tg.tensor([2.0], requires_grad=True)


def test_custom_gradient_names_what_it_closes_over() -> None:
    inner, layer = tg.tensor([2.0], requires_grad=True), tg.nn.Dense(1, in_features=1)
    x = tg.tensor([3.0], requires_grad=True)
    for f, name in (
        (lambda x: (x * W, lambda g: g * W), "W"),
        (lambda x: (x * inner, lambda g: g), "inner"),
        (lambda x: (x * (inner * 2.0), lambda g: g), "inner"),
        (lambda x: (layer(x[None]), lambda g: g), "layer\\.(kernel|bias)"),
    ):
        with pytest.raises(RuntimeError, match=rf"depends on {name}, float32.*\.detach\(\)"):
            tg.custom_gradient(f)(x)
    with pytest.raises(RuntimeError, match=r"depends on k, float32"):
        tg.custom_gradient(lambda x, k: (x * k, lambda g: g))(x, k=inner)
    f = tg.custom_gradient(lambda x: (x * W.detach(), lambda g: g * W))
    f(x).backward()
    assert x.grad is not None and x.grad.tolist() == [2.0]
    with tg.no_grad():  # nothing is recorded, so nothing is lost
        assert tg.custom_gradient(lambda x: (x * W, lambda g: g))(x).tolist() == [6.0]


def own(f: Any) -> Any:
    return tg.custom_gradient(lambda a, n: (f(a, n), lambda g, h: (g * 2, None)))


@pytest.mark.parametrize("wrap", [tg.checkpoint, own])
def test_integer_results_have_no_gradient(wrap: Any) -> None:
    x, n = tg.tensor([1.0], requires_grad=True), tg.tensor([1, 2])
    doubled, same = wrap(lambda a, n: (a * 2, n + 0))(x, n)
    assert not same.requires_grad and same.is_leaf and same.tolist() == [1, 2]
    doubled.backward()
    assert x.grad is not None and x.grad.tolist() == [2.0]


def test_checkpoint_requires_grad_where_the_function_does() -> None:
    x, model = tg.tensor([[1.0]], requires_grad=True), tg.nn.Dense(1, in_features=1)

    def f(m: Any, a: Any, word: str, nothing: None) -> Any:
        return {"y": m(a) * 3.0, "constant": tg.ones(2), "word": word, "none": nothing, "same": a.detach()}

    results = tg.checkpoint(f)(model, x, "word", None)
    plain = f(model, x, "word", None)
    assert results.keys() == plain.keys() and results["word"] == "word" and results["none"] is None
    for key in ("y", "constant", "same"):
        assert results[key].requires_grad == plain[key].requires_grad, key
    results["y"].sum().backward()
    assert x.grad is not None and model.kernel.grad is not None


# ---- what leaves a transform ----
def test_aux_is_detached_as_the_value_is() -> None:
    (value, aux), _ = tg.value_and_grad(
        lambda x: ((x * x).sum(), {"y": [x * 2, x, "word", None]}), has_aux=True
    )(tg.ones(2))
    y, x, word, nothing = aux["y"]
    assert not value.requires_grad and not y.requires_grad and y.is_leaf and not x.requires_grad
    assert (word, nothing) == ("word", None) and y.tolist() == [2.0, 2.0]
    aux = tg.grad(lambda x: (x.sum(), x * 2), has_aux=True)(tg.ones(2))[1]
    assert not aux.requires_grad
    model = tg.nn.Dense(1, in_features=2)
    aux = tg.grad(lambda m: (m(tg.ones((1, 2))).sum(), (m, m.kernel * 1.0)), has_aux=True)(model)[1]
    assert aux[0] is model and model.kernel.requires_grad and not aux[1].requires_grad


def test_aux_keeps_what_somebody_may_differentiate_for() -> None:
    def outer(x: tg.Tensor) -> tg.Tensor:
        _, aux = tg.grad(lambda y: ((y * y).sum(), y * y), has_aux=True)(x)
        return aux.sum()

    assert tg.grad(outer)(tg.tensor([1.0, 2.0])).tolist() == [2.0, 4.0]
    w = tg.tensor([5.0], requires_grad=True)
    _, aux = tg.grad(lambda y: ((y * y).sum(), y * w), has_aux=True)(tg.tensor([2.0]))
    aux.backward()
    assert w.grad is not None and w.grad.tolist() == [2.0]


def test_jvp_keeps_the_graph_of_what_it_closes_over() -> None:
    w = tg.tensor([5.0, 7.0], requires_grad=True)
    value, moved = tg.jvp(lambda x: (x * x * w).sum(), (tg.tensor([1.0, 2.0]),), (tg.tensor([1.0, 1.0]),))
    assert value.requires_grad and moved.requires_grad
    moved.backward()
    assert w.grad is not None and w.grad.tolist() == [2.0, 4.0]
    value, moved = tg.jvp(lambda x: (x * x).sum(), (tg.tensor([1.0]),), (tg.tensor([1.0]),))
    assert not value.requires_grad and not moved.requires_grad


# ---- options ----
P, TARGET, LABELS = tg.tensor([[0.5, -1.5, 2.0]]), tg.tensor([[0.2, 0.3, 0.5]]), tg.tensor([1])


def optional() -> list[tuple[str, str]]:
    """Every option of a public function that is a number, or could be a tensor of one."""
    found = []
    for room, names in (("tg", vars(tg)), ("F", vars(tg.nn.functional))):
        for name, f in names.items():
            if name.startswith("_") or isinstance(f, type) or not callable(f) or name in ("check_grads",):
                continue
            try:
                parameters = list(inspect.signature(f).parameters.values())[1:]
            except (TypeError, ValueError):
                continue
            for p in parameters:
                if isinstance(p.default, float) or p.name in ("sample_weight", "fill_value", "min", "max"):
                    found.append((f"{room}.{name}", p.name))
    return found


@pytest.mark.parametrize(("function", "option"), optional())
def test_an_option_keeps_the_gradient_or_refuses(function: str, option: str) -> None:
    """A tensor that requires grad, given for a number: PReLU's slope, a learned temperature, a weight per sample."""
    room, _, name = function.partition(".")
    f = getattr({"tg": tg, "F": tg.nn.functional}[room], name)
    w = tg.tensor(0.3, requires_grad=True)
    given = w[None] if option == "sample_weight" else w
    taken = 0
    for args in ((P,), (P, TARGET), (TARGET, TARGET), (P, P, P), (P, LABELS), ((2,),), (0.0,), (0.0, 1.0)):
        try:
            with np.errstate(invalid="ignore"):  # the logarithm of a negative prediction
                y = f(*args, **{option: given})
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            taken += "requires grad" in str(error)
            continue
        taken += 1
        assert isinstance(y, tg.Tensor) and y.requires_grad, f"{function}({option}=…) cuts the graph"
    assert taken, f"no arguments here suit {function}"
