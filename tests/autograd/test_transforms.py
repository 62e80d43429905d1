"""The transforms, against closed forms and against each other."""

from collections.abc import Callable

import numpy as np
import pytest

import tapegrad as tg

X = np.array([0.5, 1.5, -0.7])


def t(values: object, dtype: str = "float64") -> tg.Tensor:
    return tg.tensor(np.array(values, dtype=dtype))


def cube(x: tg.Tensor) -> tg.Tensor:
    return (x**3).sum()


def close(a: object, b: object) -> bool:
    a = a.numpy() if isinstance(a, tg.Tensor) else a
    b = b.numpy() if isinstance(b, tg.Tensor) else b
    return np.allclose(a, b, rtol=1e-12, atol=1e-13)  # type: ignore[arg-type]


def test_grad_to_the_fourth_order() -> None:
    f = lambda x: tg.exp(2.0 * x) * tg.sin(x)
    functions = [f]
    for _ in range(4):
        functions.append(tg.grad(functions[-1]))
    x = 0.3
    # e^(2x) sin x = Im e^((2+i)x)
    for n, g in enumerate(functions):
        assert close(g(t(x)), ((2 + 1j) ** n * np.exp((2 + 1j) * x)).imag)


def test_closed_forms() -> None:
    x, v = t(X), t([1.0, -2.0, 3.0])
    value, gradient = tg.value_and_grad(cube)(x)
    assert close(value, (X**3).sum()) and close(gradient, 3 * X**2) and not gradient.requires_grad
    assert close(tg.hessian(cube)(x), np.diag(6 * X))
    assert close(tg.hvp(cube, (x,), (v,)), 6 * X * v.numpy())
    assert close(
        tg.jacobian(lambda x: tg.outer(x, x))(x),
        np.einsum("ik,j->ijk", np.eye(3), X) + np.einsum("jk,i->ijk", np.eye(3), X),
    )
    y, pushed = tg.jvp(tg.sin, (x,), (v,))
    assert close(y, np.sin(X)) and close(pushed, np.cos(X) * v.numpy())
    out, pullback = tg.vjp(lambda a, b: (a * b, a + b), x, v)
    for _ in range(2):  # a pullback can be called again
        da, db = pullback((t([1.0, 1.0, 1.0]), t([2.0, 2.0, 2.0])))
        assert close(da, v.numpy() + 2) and close(db, X + 2) and close(out[0], X * v.numpy())


def test_structures_go_in_and_come_out() -> None:
    params = {"w": t(X), "layers": [(t(2.0), t([1.0]))]}

    def f(p: dict, scale: float) -> tuple:
        return (p["w"] * p["layers"][0][0]).sum() * scale, {"seen": p["w"]}

    (value, aux), g = tg.value_and_grad(f, has_aux=True)(params, 3.0)
    assert close(value, 6 * X.sum()) and close(aux["seen"], X)
    assert (
        close(g["w"], [6.0] * 3) and close(g["layers"][0][0], 3 * X.sum()) and close(g["layers"][0][1], [0.0])
    )
    a, b = tg.grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(t(X), t([1.0, 2.0, 3.0]))
    assert close(a, [1, 2, 3]) and close(b, X)
    second = tg.hvp(
        lambda p: (p["a"] ** 2 * p["b"]).sum(),
        ({"a": t(X), "b": t(X)},),
        ({"a": t([1.0] * 3), "b": t([0.0] * 3)},),
    )
    assert close(second["a"], 2 * X) and close(second["b"], 2 * X)


def test_a_module_is_differentiated_for_its_parameters() -> None:
    tg.manual_seed(0)
    model = tg.nn.Sequential(tg.nn.Dense(3, activation="tanh", in_features=2), tg.nn.Dense(1))
    x = tg.tensor(np.ones((4, 2), "float32"))
    model(x)
    loss = lambda m: (m(x) ** 2).mean()
    value, gradient = tg.value_and_grad(loss)(model)
    loss(model).backward()
    named = dict(model.named_parameters())
    assert gradient.keys() == named.keys() and not value.requires_grad
    for name, p in named.items():
        assert p.grad is not None and close(gradient[name], p.grad) and not gradient[name].requires_grad
    # the gradient's gradient, through the same parameters
    penalty = tg.grad(lambda m: sum((g * g).sum() for g in tg.grad(loss)(m).values()))(model)
    flat = {k: tg.tensor(p.numpy().astype("float64")) for k, p in named.items()}
    names = list(flat)

    def functional(p: dict) -> tg.Tensor:
        h = tg.tanh(x.astype("float64") @ p[names[0]] + p[names[1]])
        return ((h @ p[names[2]] + p[names[3]]) ** 2).mean()

    expected = tg.grad(lambda p: sum((g * g).sum() for g in tg.grad(functional)(p).values()))(flat)
    for name in names:
        assert np.allclose(penalty[name].numpy(), expected[name].numpy(), rtol=1e-4, atol=1e-6)


def test_transforms_nest_in_any_order() -> None:
    x, v = t(X), t([1.0, 2.0, 3.0])
    df = lambda x: tg.jvp(tg.sin, (x,), (v,))[1]
    assert close(tg.jvp(df, (x,), (v,))[1], -np.sin(X) * v.numpy() ** 2)
    assert close(tg.grad(lambda x: df(x).sum())(x), -np.sin(X) * v.numpy())
    assert close(tg.jacobian(tg.jacobian(lambda x: x**3))(x)[0, 0, 0], 6 * X[0])
    # perturbations are not confused: d/dx (x * d/dy (x + y)) = 1
    inner = lambda x: x * tg.grad(lambda y: x + y)(t(1.0))
    assert close(tg.grad(inner)(t(3.0)), 1.0)
    assert close(tg.jvp(inner, (t(3.0),), (t(1.0),))[1], 1.0)


def test_what_is_closed_over_can_be_differentiated_through_a_gradient() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    g = tg.grad(lambda x: (x * x * w).sum())(tg.tensor([1.0, 1.0]))
    (g * g).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [8.0, 16.0]
    x = tg.tensor([3.0], requires_grad=True)
    tg.grad(lambda x: (x**3).sum())(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [18.0]


def test_grad_works_under_no_grad_and_leaves_no_trace() -> None:
    x = tg.tensor([2.0], requires_grad=True)
    with tg.no_grad():
        g = tg.grad(lambda x: (x * x).sum())(x)
    assert g.tolist() == [4.0] and not g.requires_grad and x.grad is None


def test_parameters_get_no_gradient_by_the_way() -> None:
    w = tg.tensor([5.0], requires_grad=True)
    tg.grad(lambda x: (x * w).sum())(tg.tensor([2.0]))
    assert w.grad is None


@pytest.mark.parametrize(
    ("act", "kind", "says"),
    [
        (
            lambda: tg.jacobian(lambda x: x.numpy() ** 2)(t(X)),
            TypeError,
            ["jacobian", "must return tensors", "ndarray"],
        ),
        (lambda: tg.jacobian(lambda x: {"y": 1.0})(t(X)), TypeError, ["must return tensors", "float"]),
        (lambda: tg.grad(lambda x: x)(t(X)), ValueError, ["scalar", "(3,)", "jacobian"]),
        (lambda: tg.grad(lambda x: (x.sum(), 1))(t(X)), TypeError, ["has_aux=True"]),
        (lambda: tg.grad(lambda x: 3.0)(t(X)), TypeError, ["scalar tensor", "float"]),
        (lambda: tg.grad(lambda x: x.sum(), argnums=1)(t(X)), TypeError, ["argnums=1", "1 positional"]),
        (lambda: tg.grad(lambda x: x.sum(), argnums=(0, 0)), ValueError, ["argnums"]),
        (lambda: tg.grad(lambda x: x.sum())(tg.tensor([1, 2])), TypeError, ["int64", "floating"]),
        (lambda: tg.grad(lambda x: x.sum())("text"), TypeError, ["'text'"]),
        (lambda: tg.vjp(lambda x: (x, x), t(X))[1](t(X)), ValueError, ["pullback", "tuple of 2", "Tensor"]),
        (lambda: tg.jvp(tg.sin, (t(X),), ()), ValueError, ["1 primal", "0 tangent"]),
        (lambda: tg.jvp(tg.sin, (t(X),), (t([1.0]),)), ValueError, ["(3,)", "(1,)"]),
        (lambda: tg.jvp(tg.sin, t([1.0]), t([1.0])), TypeError, ["jvp: primals", "tuple", "Tensor", "(x,)"]),
        (lambda: tg.jvp(tg.sin, (t(X),), t(X)), TypeError, ["jvp: tangents", "Tensor"]),
        (lambda: tg.hvp(lambda x: x.sum(), t(X), t(X)), TypeError, ["hvp: primals", "Tensor"]),
        (lambda: tg.check_grads(tg.sin, t(X)), TypeError, ["check_grads: args", "Tensor"]),
        (lambda: tg.check_grads(lambda x: None, (t(X),)), TypeError, ["check_grads: the function", "None"]),
        (lambda: tg.check_grads(lambda x: {"a": None}, (t(X),)), TypeError, ["must return", "{'a': None}"]),
        (lambda: tg.check_grads(tg.argmax, (t(X),)), TypeError, ["must return floating-point", "int64[]"]),
        (lambda: tg.check_grads(tg.sin, (tg.tensor([1, 2]),)), TypeError, ["args: expected", "int64[2]"]),
        (
            lambda: tg.check_grads(tg.relu, [tg.nn.Dense(2)]),
            TypeError,
            ["a Dense is no tensor", "(module, (x,))"],
        ),
        (lambda: tg.check_grads(lambda: t(X), ()), TypeError, ["check_grads: args: expected", "none"]),
    ],
)
def test_refusals(act: object, kind: type[Exception], says: list[str]) -> None:
    with pytest.raises(kind) as caught:
        act()  # type: ignore[operator]
    for part in says:
        assert part in str(caught.value), str(caught.value)


def test_gradient_of_what_does_not_depend_on_the_argument_is_zero() -> None:
    assert tg.grad(lambda x: tg.tensor(1.0))(t(X)).tolist() == [0.0] * 3
    assert tg.jvp(lambda x: t(2.0), (t(X),), (t(X),))[1].item() == 0.0


# ---- custom_gradient and checkpoint ----
@tg.custom_gradient
def own_exp(x: tg.Tensor) -> tuple:
    y = tg.exp(x)
    return y, lambda g: g * y


@tg.custom_gradient
def sum_and_product(a: tg.Tensor, b: tg.Tensor) -> tuple:
    return (a + b, a * b), lambda gs, gp: (gs + gp * b, gs + gp * a)


def test_custom_gradient_to_third_order_and_with_several_results() -> None:
    tg.check_grads(own_exp, (t(X),), order=3)
    tg.check_grads(sum_and_product, (t(X), t([2.0, 3.0, 4.0])), order=2)
    clipped = tg.custom_gradient(lambda x: (x, lambda g: tg.clip(g, -1.0, 1.0)))
    assert tg.grad(lambda x: (clipped(x) * 5.0).sum())(t(X)).tolist() == [1.0] * 3
    wrong = tg.custom_gradient(lambda a, b: (a * b, lambda g: g))
    with pytest.raises(ValueError, match=r"1 cotangent\(s\) for 2 argument"):
        tg.grad(lambda a: wrong(a, a).sum())(t(X))


def test_checkpoint_changes_memory_and_nothing_else() -> None:
    w = tg.tensor(np.array([0.1, 0.2, 0.3]), requires_grad=True)
    block = lambda x: tg.tanh(x * w) * tg.uniform((3,), dtype="float64")

    def run(f: object) -> tuple:
        tg.manual_seed(1)
        w.grad = None
        x = tg.tensor(X, requires_grad=True)
        y = (f(f(x)) ** 2).sum()  # type: ignore[operator]
        after = tg.uniform((2,)).tolist()
        y.backward()
        assert x.grad is not None and w.grad is not None
        return y.item(), x.grad.tolist(), w.grad.tolist(), after, tg.uniform((2,)).tolist()

    assert run(block) == run(tg.checkpoint(block))
    smooth = tg.checkpoint(lambda x: tg.tanh(x * w))
    tg.check_grads(smooth, (t(X),), order=3)
    two = tg.checkpoint(lambda p: {"a": tg.sin(p["x"]), "b": p["x"] ** 2})
    tg.check_grads(lambda p: two(p)["a"] * two(p)["b"], ({"x": t(X)},), order=2)


def test_checkpoint_keeps_only_its_inputs() -> None:
    from tapegrad.autograd.tapes.tape import tape

    def deep(x: tg.Tensor) -> tg.Tensor:
        for _ in range(50):
            x = tg.tanh(x)
        return x

    x = tg.tensor(X, requires_grad=True)
    assert len(tape(deep(x).sum()).nodes) == 51 and len(tape(tg.checkpoint(deep)(x).sum()).nodes) == 2


def test_check_grads_finds_a_wrong_rule() -> None:
    for wrong in (lambda g, y: g * y * 1.0001, lambda g, y: -g * y, lambda g, y: g * y * y):
        bad = tg.custom_gradient(lambda x, w=wrong: ((y := tg.exp(x)), lambda g: w(g, y)))
        with pytest.raises(AssertionError, match="order 1, reverse"):
            tg.check_grads(lambda x, bad=bad: bad(x), (t(X),))
    half = tg.custom_gradient(lambda x: (x**3, lambda g: g * 3.0 * x.detach() ** 2))  # right once, not twice
    with pytest.raises(AssertionError, match="order 2"):
        tg.check_grads(lambda x: half(x), (t(X),))


# f, its arguments: those without a derivative stay as they are
CONSTANTS: dict[str, tuple[Callable, tuple]] = {
    "a mask": (lambda m, x: tg.where(m, x * x, x), (tg.tensor([True, False, True]), t(X))),
    "an index": (lambda x, k: x[k] ** 2, (t(X), tg.tensor([1, 0, 1]))),
    "a label": (tg.nn.functional.cross_entropy, (t(X), tg.tensor(2))),
    "a number": (lambda x, n: x ** {2: 2, 3: 3}[n], (t(X), 3)),
    "in a dict": (lambda p: p["x"][p["k"]] ** 2, ({"x": t(X), "k": np.array([0, 2])},)),
    "an integer result": (lambda x: (tg.argmax(x), x**2), (t(X),)),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_check_grads_leaves_integers_as_they_are(name: str) -> None:
    tg.check_grads(*CONSTANTS[name])


def penalty(w: tg.Tensor) -> tg.Tensor:
    """The size of a gradient for another argument, as of a critic for its inputs."""
    x = tg.tensor([1.0, 2.0])
    return tg.sum(tg.grad(lambda x: tg.sum(tg.tanh(x * w)))(x) ** 2)


NESTED: dict[str, Callable[[tg.Tensor], tg.Tensor]] = {
    "grad": lambda w: tg.grad(penalty)(w),
    "the value": lambda w: tg.value_and_grad(penalty)(w)[0],
    "has_aux": lambda w: tg.grad(lambda w: (penalty(w), penalty(w)), has_aux=True)(w)[1],
    "vjp": lambda w: tg.vjp(penalty, w)[1](tg.tensor(1.0))[0],
    "jvp": lambda w: tg.jvp(penalty, (w,), (w,))[1],
    "a jvp inside": lambda w: tg.grad(lambda w: tg.jvp(lambda x: tg.sum(x * w), (w * 2,), (w,))[1])(w),
    "hvp": lambda w: tg.hvp(penalty, (w,), (w,)),
    "jacobian": lambda w: tg.jacobian(lambda w: tg.grad(lambda x: tg.sum(tg.tanh(x * w)))(w * 0 + 1))(w),
    "three deep": lambda w: tg.grad(lambda w: tg.sum(tg.grad(penalty)(w) ** 2))(w),
}


@pytest.mark.parametrize("name", NESTED)
def test_the_leaf_of_an_inner_transform_keeps_no_graph(name: str) -> None:
    """Nobody can differentiate for it later, so the results are detached, and compiled."""
    w = tg.tensor([3.0, 4.0])
    want = NESTED[name](w)
    assert not want.requires_grad
    step = tg.jit(NESTED[name], emitter="numpy", strict=True)
    for _ in range(3):
        np.testing.assert_allclose(step(w).numpy(), want.numpy(), rtol=1e-6)


def test_a_parameter_outside_keeps_the_graph_of_nested_transforms() -> None:
    scale = tg.tensor(2.0, requires_grad=True)
    g = tg.grad(lambda w: penalty(w * scale))(tg.tensor([0.3, 0.4]))
    assert g.requires_grad
    g.sum().backward()
    assert scale.grad is not None and scale.grad.item() != 0
