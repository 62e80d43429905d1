"""`t += v` on a tensor that others see: one function has one value, with a gradient and without, or it raises."""

import gc
import operator as op
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg


def in_a_function(t: Any) -> None:
    t -= t.mean()
    t /= t.std()


def by_a_function(x: Any) -> Any:
    h = x * 1.0
    in_a_function(h)
    return (h * h * h * x).sum()


def in_a_list(x: Any) -> Any:
    parts = [x * 1.0, x * 2.0]
    for part in parts:
        part *= 10.0
    parts[0] += parts[1]
    return sum(part.sum() for part in parts)


def residual(x: Any) -> Any:
    h = x * 1.0
    for _ in range(3):
        h += tg.tanh(h @ h)
    h *= h
    return h.sum()


def of_a_view(x: Any) -> Any:
    h = (x * 1.0).reshape(-1)
    h += x[0, 0]
    h = h.reshape(2, 2)
    h += h.T
    return (h * h).sum()


def of_a_view_whose_maker_is_walked_first(x: Any) -> Any:
    w = tg.tanh(x)
    h = (x * 1.0).T
    h *= tg.sin(w @ w)
    q = (x @ x).reshape(1, 2, 2).mT
    q *= 0.3
    q += q.mT
    return (h * q[0]).sum()


def of_a_constant(x: Any) -> Any:
    sums = first = tg.zeros(2, dtype=x.dtype)
    for row in x:
        sums += row * row
    return (sums * first * x).sum()


def by_an_index(x: Any) -> Any:
    h = tg.zeros((2, 2), dtype=x.dtype)
    h[0] += x[1]
    h[1] -= x[0] * x[1]
    return (h * h).sum()


def of_the_view_of_a_copy(x: Any) -> Any:
    h = x.T.reshape(-1)
    h -= h * 3.0
    h *= h
    q = tg.repeat(x, 2, axis=0)
    q += q.sum()
    q[0] = h[:2]
    return (q * q).sum() + h.sum()


def from_an_index(x: Any) -> Any:
    h = x * 1.0
    h[0] *= x[1]
    h[1] = h[0] * x[0]
    return (h * h).sum()


def of_values_taken_before(x: Any) -> Any:
    h = tg.zeros((2, 2), dtype=x.dtype)
    h[0] = x[1]
    h[1] = x[0] * x[1]
    above, below = h[0] * 0.8 - h[1] * 0.6, h[1] * 0.8 + h[0] * 0.6
    h[0] = above
    h[1] = below
    return (h * h).sum()


def of_an_unnamed_view(x: Any) -> Any:
    h = x * 1.0
    h[1] = h[0]
    h[0, 0] += h[1, 1]
    return (h * h).sum()


def of_a_view_in_a_constant(x: Any) -> Any:
    a = tg.zeros((2, 2), dtype=x.dtype)
    a[0, 0] += 1.0
    a[1, 1] = x[0, 0]
    a[0] += a[1] * x[1]
    return (x @ a).sum()


def of_a_list_after_a_view(x: Any) -> Any:
    z = tg.zeros(2, dtype=x.dtype)
    z[0] += 0.0 * z[1]
    states = [z]
    states[0] += x[0]
    return (z * x[1]).sum()


def powers(x: Any) -> Any:
    h = x * 1.0
    h **= 2
    h @= h
    h /= h.max() + 1.0
    return h.sum()


ONE_VALUE = (
    by_a_function,
    in_a_list,
    residual,
    of_a_view,
    of_a_view_whose_maker_is_walked_first,
    of_a_constant,
    by_an_index,
    of_the_view_of_a_copy,
    from_an_index,
    of_an_unnamed_view,
    of_a_view_in_a_constant,
    of_a_list_after_a_view,
    powers,
)


@pytest.mark.filterwarnings("ignore:.*it writes into a view, or into what has one")
@pytest.mark.parametrize("f", ONE_VALUE, ids=lambda f: f.__name__)
def test_a_function_has_one_value_with_and_without_a_gradient(f: Callable[[Any], Any]) -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.5]], dtype="float64")
    value, gradient = tg.value_and_grad(f)(x)
    assert value.item() == pytest.approx(f(x).item(), rel=1e-14)
    tg.check_grads(f, [x], order=2)
    with tg.keep_lines():
        assert tg.grad(f)(x).tolist() == gradient.tolist()
    step = tg.jit(tg.value_and_grad(f), emitter="numpy")
    for _ in range(3):
        again = step(x)
        assert again[0].item() == pytest.approx(value.item()) and again[1].numpy() == pytest.approx(
            gradient.numpy()
        )
    assert tg.grad(tg.checkpoint(f))(x).numpy() == pytest.approx(gradient.numpy())
    goes_with_the_last_reference(f, x)


def goes_with_the_last_reference(f: Callable[[Any], Any], x: Any) -> None:
    y = x * 1.0
    y.requires_grad_()
    loss, alive = f(y), weakref.ref(y)
    gc.disable()
    try:
        del y, loss
        assert alive() is None
    finally:
        gc.enable()


def test_values_that_are_computed_before_several_are_stored() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.5]], dtype="float64")
    assert tg.value_and_grad(of_values_taken_before)(x)[0].item() == of_values_taken_before(x).item()
    tg.check_grads(of_values_taken_before, [x], order=2)
    goes_with_the_last_reference(of_values_taken_before, x)


def a_transposed_view(x: Any) -> Any:
    y = x * 1.0
    z = y.T
    y *= 2.0
    return (y + z).sum()


def the_whole(x: Any) -> Any:
    y = x * 1.0
    row = y[0]
    row += 1.0
    return y.sum()


def detached(x: Any) -> Any:
    loss = x.sum()
    log = loss.detach()
    loss += (x * x).sum()
    return loss + log


def its_own_view(x: Any) -> Any:
    h = x * 1.0
    v = h[0]
    h += v
    return (h + v).sum()


def its_own_view_in_a_list(x: Any) -> Any:
    h = x * 1.0
    rows = [h[i] for i in range(2)]
    h *= rows[0]
    return (h + rows[0]).sum()


def a_view_stored_beside(x: Any) -> Any:
    h = x * 1.0
    v = h[0]
    h[1] = v
    h[0] = x[1]
    return (h + v).sum()


def the_array_of_a_copy(x: Any) -> Any:
    h = x.T.reshape(-1)
    log = h.detach()
    h *= 2.0
    return (h + log).sum()


def the_array_of_repeated_rows(x: Any) -> Any:
    h = tg.repeat(x, 2, axis=0)
    log = h.detach()
    h += h
    return (h + log).sum()


def the_whole_by_a_loop(x: Any) -> Any:
    h = x * 1.0
    for row in h:
        h += row
    return h.sum()


def in_a_list_after_a_call(x: Any) -> Any:
    h = x * 1.0
    kept, states = h * h, [h]
    states[0] += x
    return (h + states[0] + kept).sum()


def a_view_in_a_list(x: Any) -> Any:
    h = x * 1.0
    rows = [h[i] for i in range(2)]
    rows[0] += x[1]
    return (h[0] + rows[0]).sum()


def of_an_array(x: Any) -> Any:
    array = np.zeros(2)
    t = tg.asarray(array)
    t += x[0]
    return t.sum() + float(array[0])


def of_a_buffer(x: Any) -> Any:
    buffer = tg.nn.Buffer(tg.zeros(2, dtype=x.dtype))
    buffer += x[0]
    return buffer.sum()


SEEN_ELSEWHERE = r"a gradient is recorded.*write t = t . value"
RAISES = {
    **dict.fromkeys((a_transposed_view, the_whole, detached, of_an_array), SEEN_ELSEWHERE),
    **dict.fromkeys((in_a_list_after_a_call, a_view_in_a_list), SEEN_ELSEWHERE),
    **dict.fromkeys(
        (
            its_own_view,
            its_own_view_in_a_list,
            the_whole_by_a_loop,
            the_array_of_a_copy,
            the_array_of_repeated_rows,
        ),
        SEEN_ELSEWHERE,
    ),
    a_view_stored_beside: "other views of t",
    of_a_buffer: r"t is a Buffer, which keeps none: write t\.assign\(t \+ value\)",
}


@pytest.mark.parametrize("f", RAISES)
def test_what_would_have_two_values_raises(f: Callable[[Any], Any]) -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.5]], dtype="float64")
    f(x)
    for call in (tg.grad(f), tg.keep_lines(tg.grad(f)), tg.jit(tg.grad(f), emitter="numpy")):
        with pytest.raises(RuntimeError, match=RAISES[f]):
            call(x)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_in_a_graph_the_dtype_stays(dtype: str) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    t = (x * 2.0).astype(dtype)
    named = t
    t *= x
    assert named is t and t.dtype == dtype and t.tolist() == [2.0, 8.0]
    t.sum().backward()
    assert x.grad is not None and x.grad.dtype == "float32" and x.grad.tolist() == [4.0, 8.0]


DOES_NOT_FIT: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "another shape": (lambda x: op.iadd(x.sum(), x), ValueError, r"t \+= value: the result has shape \(2,\)"),
    "a product's shape": (
        lambda x: op.imatmul(tg.ones((1, 2)) * x, tg.ones((2, 3))),
        ValueError,
        r"\(1, 3\)",
    ),
    "integers": (
        lambda x: op.iadd(tg.tensor([1, 2]), x),
        TypeError,
        "the result is float32, and t stays int64",
    ),
    "no gradient": (
        lambda x: op.ifloordiv(x * 2.0, 2),
        RuntimeError,
        "the result has none.*write t = t // value",
    ),
    "no gradient of the value": (lambda x: op.ifloordiv(tg.ones(2), x), RuntimeError, "the result has none"),
}


@pytest.mark.parametrize("case", DOES_NOT_FIT)
def test_in_a_graph_what_another_name_would_not_see_is_refused(case: str) -> None:
    change, error, message = DOES_NOT_FIT[case]
    for f in (change, tg.jit(change, emitter="numpy"), tg.checkpoint(change)):
        with pytest.raises(error, match=message):
            f(tg.tensor([1.0, 2.0], requires_grad=True))
