"""Every transform takes and returns nested structures; arguments by number; and what a transform refuses."""

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

Pair = namedtuple("Pair", ["a", "b"])
A, B = np.array([0.5, 1.5]), np.array([2.0, -1.0])


@dataclass
class Weights:
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Named:
    """Frozen, without a dict, and with a field that is no part."""

    inside: Any
    activation: str = field(default="relu", metadata={"static": True})

    def __post_init__(self) -> None:
        assert self.inside is not None


def t(values: Any) -> tg.Tensor:
    return tg.tensor(np.array(values, dtype="float64"))


def plain(tree: Any) -> Any:
    """The structure with lists of numbers in place of tensors."""
    if isinstance(tree, tg.Tensor):
        return tree.tolist()
    if isinstance(tree, dict):
        return {k: plain(v) for k, v in tree.items()}
    if isinstance(tree, (tuple, list)):
        return [plain(v) for v in tree]
    return tree


# name, the argument as a structure of two tensors, and how to take them out of such a structure
STRUCTURES: tuple[tuple[str, Any, Any], ...] = (
    ("dict", lambda a, b: {"a": a, "b": b}, lambda s: (s["a"], s["b"])),
    ("dict, other order", lambda a, b: {"b": b, "a": a}, lambda s: (s["a"], s["b"])),
    ("OrderedDict", lambda a, b: OrderedDict(a=a, b=b), lambda s: (s["a"], s["b"])),
    ("tuple", lambda a, b: (a, b), lambda s: s),
    ("list", lambda a, b: [a, b], lambda s: tuple(s)),
    ("named tuple", Pair, lambda s: (s.a, s.b)),
    ("dataclass", Weights, lambda s: (s.a, s.b)),
    ("frozen dataclass", lambda a, b: Named([a, (b,)]), lambda s: (s.inside[0], s.inside[1][0])),
    ("None", lambda a, b: {"none": None, "ab": (a, None, [b])}, lambda s: (s["ab"][0], s["ab"][2][0])),
    ("deep", lambda a, b: [{"x": (a,)}, {1: {"y": b}}], lambda s: (s[0]["x"][0], s[1][1]["y"])),
)


@pytest.mark.parametrize(
    ("make", "parts"), [row[1:] for row in STRUCTURES], ids=[row[0] for row in STRUCTURES]
)
def test_every_transform_on_every_structure(make: Any, parts: Any) -> None:
    """f(a, b) = sum(a² b), whose derivatives are known."""
    s, v = make(t(A), t(B)), make(t([1.0, 2.0]), t([3.0, 4.0]))

    def f(s: Any) -> tg.Tensor:
        a, b = parts(s)
        return (a * a * b).sum()

    def product(s: Any) -> Any:
        a, b = parts(s)
        return make(a * a, a * b)

    da, db = parts(tg.grad(f)(s))
    np.testing.assert_allclose([da.numpy(), db.numpy()], [2 * A * B, A * A])
    assert type(tg.grad(f)(s)) is type(s)
    ga, gb = parts(tg.vjp(f, s)[1](t(1.0))[0])
    np.testing.assert_allclose([ga.numpy(), gb.numpy()], [2 * A * B, A * A])
    np.testing.assert_allclose(
        tg.jvp(f, (s,), (v,))[1].item(), (2 * A * B * [1, 2]).sum() + (A * A * [3, 4]).sum()
    )
    (ya, yb), (ma, mb) = (parts(part) for part in tg.jvp(product, (s,), (v,)))
    np.testing.assert_allclose([ya.numpy(), yb.numpy()], [A * A, A * B])
    np.testing.assert_allclose([ma.numpy(), mb.numpy()], [2 * A * [1, 2], B * [1, 2] + A * [3, 4]])
    j = parts(tg.jacobian(product)(s))
    (jaa, jab), (jba, jbb) = (parts(row) for row in j)
    for found, right in ((jaa, 2 * A), (jab, 0 * A), (jba, B), (jbb, A)):
        np.testing.assert_allclose(found.numpy(), np.diag(right))
    (haa, hab), (hba, hbb) = (parts(row) for row in parts(tg.hessian(f)(s)))
    for found, right in ((haa, 2 * B), (hab, 2 * A), (hba, 2 * A), (hbb, 0 * A)):
        np.testing.assert_allclose(found.numpy(), np.diag(right))
    pa, pb = parts(tg.hvp(f, (s,), (v,)))
    np.testing.assert_allclose(pa.numpy(), 2 * B * [1, 2] + 2 * A * [3, 4])
    np.testing.assert_allclose(pb.numpy(), 2 * A * [1, 2])
    a, b = parts(tg.checkpoint(product)(s))
    np.testing.assert_allclose([a.numpy(), b.numpy()], [A * A, A * B])


def test_a_static_field_of_a_dataclass_is_kept_and_any_other_is_a_part() -> None:
    def f(s: Any) -> tg.Tensor:
        assert s.activation == "tanh"
        return (s.inside * s.inside).sum()

    gradient = tg.grad(f)(Named(t(A), "tanh"))
    assert isinstance(gradient, Named) and gradient.activation == "tanh"
    np.testing.assert_allclose(gradient.inside.numpy(), 2 * A)
    with pytest.raises(TypeError, match="tuples, lists, dicts and dataclasses of them, got 'text'"):
        tg.grad(lambda s: s.a.sum())(Weights(t(A), "text"))
    with pytest.raises(ValueError, match=r"tangents\[0\]: expected a Weights, got a tuple of 2"):
        tg.jvp(lambda s: s.a * s.b, (Weights(t(A), t(B)),), ((t(A), t(B)),))
    with pytest.raises(ValueError, match=r"tangents\[0\].b: expected one tensor, got a Weights"):
        tg.jvp(lambda s: s.a * s.b, (Weights(t(A), t(B)),), (Weights(t(A), Weights(t(A), t(B))),))


def test_dicts_are_matched_by_key() -> None:
    f = lambda p: {"y": p["a"] * 2.0, "z": p["b"] * 3.0}
    p = {"a": t(A), "b": t(B)}
    (found,) = tg.vjp(f, p)[1]({"z": t([1.0, 0.0]), "y": t([0.0, 1.0])})
    assert plain(found) == {"a": [0.0, 2.0], "b": [3.0, 0.0]}
    moved = tg.jvp(f, (p,), ({"b": t([1.0, 0.0]), "a": t([0.0, 1.0])},))[1]
    assert plain(moved) == {"y": [0.0, 2.0], "z": [3.0, 0.0]}


def test_a_dict_with_a_factory_keeps_it() -> None:
    s = defaultdict(list, a=t(A))
    found = tg.grad(lambda s: (s["a"] ** 2).sum())(s)
    assert type(found) is defaultdict and found.default_factory is list and plain(found) == {"a": [1.0, 3.0]}


# argnums, the structure of the result for f(a, b) = sum(a² b): the names of what it is differentiated for
NUMBERS: tuple[tuple[Any, Any], ...] = (
    (0, "a"), (1, "b"), (-1, "b"), (-2, "a"),
    ((0, 1), ("a", "b")), ((1, 0), ("b", "a")), ((-1,), ("b",)), ([0, -1], ("a", "b")),
)  # fmt: skip


@pytest.mark.parametrize(("argnums", "names"), NUMBERS)
def test_arguments_by_number(argnums: Any, names: Any) -> None:
    f = lambda a, b: (a * a * b).sum()
    slopes = {"a": 2 * A * B, "b": A * A}
    second = {("a", "a"): 2 * B, ("a", "b"): 2 * A, ("b", "a"): 2 * A, ("b", "b"): 0 * A}

    def built(of: Any) -> Any:
        return tuple(of(n) for n in names) if isinstance(names, tuple) else of(names)

    for transform in (tg.grad, tg.jacobian, lambda f, n: lambda *a: tg.value_and_grad(f, n)(*a)[1]):
        assert plain(transform(f, argnums)(t(A), t(B))) == plain(built(lambda n: t(slopes[n])))
    expected = built(lambda i: built(lambda j: t(np.diag(second[i, j]))))
    assert plain(tg.hessian(f, argnums)(t(A), t(B))) == plain(expected)


def test_a_module_is_a_dict_of_its_parameters_everywhere() -> None:
    model = tg.nn.Dense(1, in_features=2, dtype="float64")
    x = t([[1.0, 2.0]])
    loss = lambda m: (m(x) ** 2).sum()
    v = {"kernel": t([[1.0], [0.0]]), "bias": t([1.0])}
    assert plain(tg.jacobian(lambda m: m(x)[0])(model)) == {"kernel": [[[1.0], [2.0]]], "bias": [[1.0]]}
    h = tg.hessian(loss)(model)
    assert plain(h["kernel"]["bias"]) == [[[2.0]], [[4.0]]] and plain(h["bias"]["bias"]) == [[2.0]]
    assert plain(tg.hvp(loss, (model,), (v,))) == {"kernel": [[4.0], [8.0]], "bias": [4.0]}
    assert plain(tg.jvp(lambda m: m(x)[0], (model,), (v,))[1]) == [2.0]
    model.bias.requires_grad_(False)
    frozen = {"kernel": v["kernel"], "bias": None}
    assert plain(tg.grad(loss)(model))["bias"] is None
    assert plain(tg.hvp(loss, (model,), (frozen,))) == {"kernel": [[2.0], [4.0]], "bias": None}
    assert tg.hessian(loss)(model)["kernel"]["bias"] is None


def test_a_result_that_does_not_depend_on_the_argument_has_a_jacobian_of_zeros() -> None:
    f = lambda a: {"y": a * 2.0, "c": t([1.0, 2.0, 3.0]), "none": None}
    assert plain(tg.jacobian(f)(t(A))) == {"y": [[2.0, 0.0], [0.0, 2.0]], "c": [[0.0, 0.0]] * 3, "none": None}
    assert tg.jacobian(lambda a: a[:0])(t(A)).shape == (0, 2)


D, X = {"a": t(A), "b": t(B)}, t(A)
REFUSED: tuple[tuple[Any, type[Exception], str], ...] = (
    (lambda: tg.vjp(lambda p: p, D)[1]({"a": t(A)}), ValueError,
     "pullback: the cotangents: expected a dict with the keys ['a', 'b'], got a dict with the keys ['a']"),
    (lambda: tg.vjp(lambda p: p, D)[1]({"a": t(A), "b": [t(A)]}), ValueError,
     "cotangents['b']: expected one tensor, got a list of 1"),
    (lambda: tg.vjp(lambda p: (p, p), X)[1]((t(A), None)), ValueError, "tg.zeros_like"),
    (lambda: tg.vjp(lambda p: p.sum(), X)[1](None), ValueError, "None"),
    (lambda: tg.jvp(lambda p: p["a"], (D,), ((t(A), t(B)),)), ValueError, "tangents[0]: expected a dict"),
    (lambda: tg.jvp(lambda p: p["a"], (D,), ({"a": t(A), "b": t(1.0)},)), ValueError, "(2,), got ()"),
    (lambda: tg.jacobian(lambda a: (a > 0).astype("int64"))(X), TypeError, "int64"),
    (lambda: tg.jacobian(lambda a: a, argnums=2)(X), TypeError, "jacobian: argnums=2"),
    (lambda: tg.grad(lambda a, b: a.sum(), argnums=(0, -2))(X, X), ValueError, "twice"),
    (lambda: tg.grad(lambda a, b: a.sum(), argnums=(0, 0)), ValueError, "(0, 0)"),
    (lambda: tg.grad(lambda a: a.sum(), X), ValueError, "tg.grad(f)(x)"),
    (lambda: tg.grad(lambda a: a.sum(), "a"), ValueError, "'a'"),
    (lambda: tg.hessian(lambda a: a)(X), ValueError, "scalar"),
)  # fmt: skip


@pytest.mark.parametrize(("act", "kind", "says"), REFUSED)
def test_what_is_refused_says_which_part(act: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind) as caught:
        act()
    assert says in str(caught.value), str(caught.value)


WITH: dict[str, tuple[tuple[Any, ...], ...]] = {
    **dict.fromkeys(("grad", "value_and_grad", "jacobian", "hessian", "vjp"), ((), (X,))),
    **dict.fromkeys(("jvp", "hvp"), (((X,), (X,)), (X, X))),
    **dict.fromkeys(("checkpoint", "custom_gradient"), ((),)),
    "check_grads": ((X,),),
}
GIVEN = [tg.ones(1).requires_grad_() * 2, 3.0, None, [1.0]]


@pytest.mark.parametrize("name", list(WITH))
@pytest.mark.parametrize("given", GIVEN, ids=["tensor", "number", "None", "list"])
def test_a_transform_takes_a_function(name: str, given: Any) -> None:
    for args in WITH[name]:
        with pytest.raises(TypeError, match=f"tg.{name} takes a function, got ") as caught:
            getattr(tg, name)(given, *args)
        assert ("y.backward()" in str(caught.value)) == isinstance(given, tg.Tensor)


# ---- compiled ----
own = tg.custom_gradient(lambda x, k=2.0: (x * k, lambda g: g * k))
again = tg.checkpoint(lambda a, n: (tg.tanh(a) * 2, n + 1))
COMPILED: tuple[tuple[str, Any, Any], ...] = (
    ("hessian of a dict", tg.hessian(lambda p: (p["a"] * p["b"] ** 2).sum()), D),
    ("jacobian of a dict", tg.jacobian(lambda p: {"y": p["a"] * p["b"], "none": None}), D),
    ("jvp", lambda x: tg.jvp(lambda v: tg.tanh(v) * v, (x,), (x,)), X),
    ("hvp", lambda p: tg.hvp(lambda p: (p["a"] * p["b"] ** 2).sum(), (p,), (p,)), D),
    ("custom_gradient", tg.grad(lambda x: own(x, k=3.0).sum()), X),
    ("checkpoint", tg.grad(lambda x: again(x, tg.tensor([1]))[0].sum()), X),
    ("a copy", tg.grad(lambda x: (tg.tensor(x) ** 2).sum()), X),
    ("aux", tg.value_and_grad(lambda x: ((x * x).sum(), {"m": [x * 2, None]}), has_aux=True), X),
)


@pytest.mark.parametrize(("f", "x"), [row[1:] for row in COMPILED], ids=[row[0] for row in COMPILED])
def test_a_compiled_transform_gives_the_same_structure(f: Any, x: Any) -> None:
    step = tg.jit(f, emitter="numpy", strict=True)
    expected = plain(f(x))
    for _ in range(3):
        assert plain(step(x)) == expected
