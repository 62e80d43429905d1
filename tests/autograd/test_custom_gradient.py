"""What a function under custom_gradient takes, and what its pullback may return."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, 2.0], "float32")


def leaf(values: Any = X) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True)


# name, f, positional arguments, keywords, and the gradients of the tensors among the arguments
TAKEN: tuple[tuple[str, Any, Any, dict[str, Any], Any], ...] = (
    ("keyword", lambda x, k=2.0: (x * k, lambda g: g * k), (leaf(),), {"k": 3.0}, [[3, 3]]),
    ("default", lambda x, k=2.0: (x * k, lambda g: g * k), (leaf(),), {}, [[2, 2]]),
    ("word", lambda x, how: (x * len(how), lambda g: g * len(how)), (leaf(), "four"), {}, [[4, 4]]),
    ("None", lambda x, b: (x * 1, lambda g: g), (leaf(), None), {}, [[1, 1]]),
    ("function", lambda x, f: (f(x), lambda g: g * 5), (leaf(), tg.exp), {}, [[5, 5]]),
    ("function first", lambda f, x: (f(x), lambda g: g * 5), (tg.exp, leaf()), {}, [[5, 5]]),
    ("number", lambda x, k: (x * k, lambda g: (g * k, None)), (leaf(), 3.0), {}, [[3, 3]]),
    ("array", lambda x, k: (x * k, lambda g: (g * k, g)), (leaf(), X), {}, [[1, 2]]),
    ("dict", lambda p: (p["a"] * p["b"], lambda g: {"b": g * p["a"], "a": g * p["b"]}),
     ({"a": leaf(), "b": leaf()},), {}, [[1, 2], [1, 2]]),
    ("tuple", lambda p: (p[0] + p[1], lambda g: (g, g * 2)), ((leaf(), leaf()),), {}, [[1, 1], [2, 2]]),
    ("tuple of one", lambda p: (p[0] * 1, lambda g: (g * 2,)), ((leaf(),),), {}, [[2, 2]]),
    ("nested, a word in it", lambda p: (p["x"] * 1, lambda g: {"x": g * 7, "how": None}),
     ({"x": leaf(), "how": "word"},), {}, [[7, 7]]),
    ("no gradient for one", lambda x, y: (x + y, lambda g: (None, g)), (leaf(), leaf()), {}, [[0, 0], [1, 1]]),
    ("a tuple for one", lambda x: (x * 1, lambda g: (g * 2,)), (leaf(),), {}, [[2, 2]]),
    ("an array for a tensor", lambda x: (x * 1, lambda g: X * 2), (leaf(),), {}, [[2, 4]]),
    ("a number for a tensor", lambda x: (x * 1, lambda g: 3.0), (leaf(np.float32(1)),), {}, [3]),
    ("a wider dtype", lambda x: (x * 1, lambda g: g.astype("float64") * 2), (leaf(),), {}, [[2, 2]]),
    ("integers beside", lambda x, n: (x * n, lambda g: (g * n, None)), (leaf(), tg.tensor([2, 3])), {}, [[2, 3]]),
)  # fmt: skip


def tensors(args: Any) -> list[tg.Tensor]:
    from tapegrad.autograd.structure import flatten

    return [a for a in flatten(list(args))[0] if isinstance(a, tg.Tensor) and a.requires_grad]


@pytest.mark.parametrize(("f", "args", "kwargs", "right"), [r[1:] for r in TAKEN], ids=[r[0] for r in TAKEN])
def test_arguments_of_every_kind(f: Any, args: Any, kwargs: Any, right: Any) -> None:
    own = tg.custom_gradient(f)
    own(*args, **kwargs).sum().backward()
    for x, slope in zip(tensors(args), right, strict=True):
        assert np.array_equal(x.grad.numpy() if x.grad is not None else np.zeros(2), slope)
        assert x.grad is None or x.grad.dtype == x.dtype
        x.grad = None
    own(*args, **kwargs).sum().backward(create_graph=True)  # the pullback is made again, with recording on
    for x, slope in zip(tensors(args), right, strict=True):
        assert np.array_equal(x.grad.numpy() if x.grad is not None else np.zeros(2), slope)
        x.grad = None


def named(x: Any, *more: Any) -> Any:
    return x * 1.0, lambda g: None


# what the pullback returns, the exception, and what the message says
WRONG: tuple[tuple[str, Any, type[Exception], str], ...] = (
    ("shape", lambda g: g.sum(), ValueError,
     "f: the pullback's cotangent of argument 0 has shape (), the argument (2,)"),
    ("broadcast", lambda g: g * tg.ones((3, 1)), ValueError,
     "shape (3, 2), the argument (2,): sum it over the axes that were broadcast"),
    ("integers", lambda g: tg.tensor([1, 2]), TypeError, "is int64, the argument float32"),
    ("a word", lambda g: "word", TypeError, "must be a tensor or None, got a str"),
    ("too many", lambda g: (g, g), ValueError, "argument 0: expected one tensor, got a tuple of 2"),
    ("a dict", lambda g: {"x": g}, ValueError, "argument 0: expected one tensor, got a dict"),
)  # fmt: skip


@pytest.mark.parametrize(("pull", "kind", "says"), [r[1:] for r in WRONG], ids=[r[0] for r in WRONG])
@pytest.mark.parametrize("again", [False, True])
def test_wrong_cotangents_are_named(pull: Any, kind: type[Exception], says: str, again: bool) -> None:
    def f(x: Any) -> Any:
        return x * 1.0, pull

    with pytest.raises(kind) as caught:
        tg.custom_gradient(f)(leaf()).sum().backward(create_graph=again)
    assert says in str(caught.value), str(caught.value)


@pytest.mark.parametrize(("returned", "says"), [
    (lambda x: x * 1.0, "(result, pullback), got a Tensor"),
    (lambda x: (x, x, x), "got a tuple of 3"),
    (lambda x: (x, 3.0), "(result, pullback)"),
    (lambda x: (3.0, lambda g: g), "must be a tensor, or tensors, got a float"),
    (lambda x: (None, lambda g: g), "got None"),
])  # fmt: skip
def test_a_function_that_returns_something_else_is_refused(returned: Any, says: str) -> None:
    with pytest.raises(TypeError) as caught:
        tg.custom_gradient(returned)(leaf())
    assert says in str(caught.value), str(caught.value)


def test_checkpoint_says_when_the_second_run_differs() -> None:
    calls: list[int] = []

    def f(x: tg.Tensor) -> tg.Tensor:
        calls.append(1)
        return x[: len(calls)] * 2.0

    y = tg.checkpoint(f)(leaf())
    with pytest.raises(RuntimeError, match=r"results of shapes \[\(1,\)\], and \[\(2,\)\].*both times"):
        y.sum().backward()


@pytest.mark.parametrize("kind", ["a number", "an array", "the mode of a layer"])
def test_checkpoint_says_what_changed_before_the_backward_pass(kind: str) -> None:
    held = {"a number": 1.0, "an array": np.ones(3, "float32")}
    layer = tg.nn.BatchNormalization(in_features=3)
    layer.eval()
    x = tg.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 8.0]], requires_grad=True)

    def f(x: tg.Tensor) -> tg.Tensor:
        return layer(x) * held["a number"] * held["an array"]

    y = tg.checkpoint(f)(x)
    if kind == "a number":
        held[kind] = 5.0
    elif kind == "an array":
        held[kind][0] = 5.0
    else:
        layer.train()
    with pytest.raises(RuntimeError, match="has changed since"):
        y.sum().backward()
    assert x.grad is None


def test_a_pullback_that_runs_again_has_the_draws_of_the_forward_pass() -> None:
    @tg.custom_gradient
    def noisy(x: tg.Tensor) -> Any:
        noise = tg.rand(x.shape)
        return x * noise, lambda g: g * noise

    for again in (False, True):
        x = leaf()
        y = noisy(x)
        y.sum().backward(create_graph=again)
        assert x.grad is not None and np.allclose((x.grad * x).tolist(), y.tolist(), rtol=1e-6)
