"""In place means in place: the operators, `t.data op= v`, `t[i] = v`, in and out of graphs, on every kind of memory."""

import operator as op
import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

OPERATORS: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "+": (op.iadd, op.add, "float64"),
    "-": (op.isub, op.sub, "float64"),
    "*": (op.imul, op.mul, "float64"),
    "/": (op.itruediv, op.truediv, "float64"),
    "//": (op.ifloordiv, op.floordiv, "float64"),
    "%": (op.imod, op.mod, "float64"),
    "**": (op.ipow, op.pow, "float64"),
    "@": (op.imatmul, op.matmul, "float64"),
    "&": (op.iand, op.and_, "int64"),
    "|": (op.ior, op.or_, "bool"),
    "^": (op.ixor, op.xor, "int64"),
}
FLOATING = [symbol for symbol, (_, _, dtype) in OPERATORS.items() if dtype == "float64"]
VALUES = np.array([[3.0, 5.0], [7.0, 2.0]])
MEMORY = ("own", "view", "parameter")


def target(memory: str, dtype: str = "float64") -> tuple[Any, Any, Any]:
    """A tensor of VALUES, the array that its memory is part of, and the same array as it was."""
    values = VALUES.astype(dtype)
    if memory == "own":
        t = tg.tensor(values)
        return t, t.data, t.numpy()
    if memory == "view":
        whole = tg.tensor(np.ones((3, 4), dtype))
        whole[:2, ::2] = values
        return whole[:2, ::2], whole.data, whole.numpy()
    p = tg.Parameter(tg.tensor(values))
    opt = tg.optim.Adam([tg.Parameter(tg.ones(3, dtype=dtype)), p])
    return p, opt.flats[0].p.data, opt.flats[0].p.numpy()


def value_for(symbol: str, dtype: str) -> Any:
    return tg.tensor(np.array([[2, 1], [1, 3]]).astype(dtype))


def rest(whole: Any, t: Any) -> Any:
    """What lies in the same memory and is not of the tensor."""
    outside = np.ones(whole.shape, bool)
    start = whole.__array_interface__["data"][0]
    at = np.ndarray(t.shape, bool, outside, (t.data.__array_interface__["data"][0] - start) // t.data.itemsize,
                    tuple(s // t.data.itemsize for s in t.data.strides))  # fmt: skip
    at[...] = False
    return outside


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators_write_where_nothing_is_recorded(symbol: str, memory: str) -> None:
    change, plain, dtype = OPERATORS[symbol]
    if memory == "parameter" and symbol not in FLOATING:
        return  # parameters are floating-point
    t, whole, before = target(memory, dtype)
    value, array = value_for(symbol, dtype), t.data
    want = plain(t.numpy(), value.numpy())
    with tg.no_grad() if memory == "parameter" else nullcontext():
        changed = change(t, value)
    assert changed is t and t.data is array and t.dtype == dtype
    assert np.array_equal(t.numpy(), want)
    outside = rest(whole, t)
    assert np.array_equal(whole[outside], before[outside])


@pytest.mark.parametrize("number", [2, 2.0, np.float32(2), [1.0, 2.0], np.array([1.0, 2.0])])
@pytest.mark.parametrize("symbol", FLOATING[:-1])
def test_operators_take_what_the_plain_ones_take(symbol: str, number: Any) -> None:
    change, plain, _ = OPERATORS[symbol]
    t, array, _ = target("own")
    want = plain(t, number).numpy()
    change(t, number)
    assert t.data is array and np.array_equal(array, want)


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("side", ["target", "both"])
@pytest.mark.parametrize("symbol", FLOATING)
def test_a_leaf_refuses_while_gradients_are_recorded(symbol: str, side: str, memory: str) -> None:
    t, _, _ = target(memory)
    t.requires_grad_()
    value = value_for(symbol, "float64").requires_grad_(side == "both")
    with pytest.raises(RuntimeError, match=r"(?s)no_grad.*assign.*t = t"):
        OPERATORS[symbol][0](t, value)
    assert np.array_equal(t.numpy(), VALUES)
    with tg.no_grad():
        assert OPERATORS[symbol][0](t, value) is t
    assert t.requires_grad and t.is_leaf and not np.array_equal(t.numpy(), VALUES)


@pytest.mark.parametrize("side", ["target", "value", "both"])
@pytest.mark.parametrize("symbol", [symbol for symbol in FLOATING if symbol != "//"])
def test_in_a_graph_the_tensor_becomes_the_result(symbol: str, side: str) -> None:
    change, plain, _ = OPERATORS[symbol]
    source = tg.tensor(VALUES).requires_grad_(side != "value")
    value = value_for(symbol, "float64").requires_grad_(side != "target")
    t = source * 1.0
    again = tg.tensor(VALUES).requires_grad_(side != "value")
    want = plain(again * 1.0, value)
    got = change(t, value)
    assert got is t and got.requires_grad
    assert np.array_equal(got.numpy(), want.numpy())
    got.sum().backward()
    gradients = source.grad, value.grad
    value.grad = None
    want.sum().backward()
    for g, w in zip(gradients, (again.grad, value.grad), strict=True):
        assert (g is None) == (w is None) and (g is None or np.array_equal(g.numpy(), w.numpy()))


@pytest.mark.parametrize("memory", ["view", "parameter"])
@pytest.mark.parametrize("symbol", FLOATING)
def test_in_a_graph_memory_that_others_show_refuses(symbol: str, memory: str) -> None:
    source, _whole, _ = target(memory)
    t = source.detach()
    with pytest.raises(
        RuntimeError, match=rf"(?s)would not see the change: write t = t {re.escape(symbol)} value"
    ):
        OPERATORS[symbol][0](t, value_for(symbol, "float64").requires_grad_())
    assert np.array_equal(t.numpy(), VALUES) and not t.requires_grad


@pytest.mark.parametrize("symbol", FLOATING)
def test_without_gradients_a_tensor_of_a_graph_is_written_to(symbol: str) -> None:
    change, plain, _ = OPERATORS[symbol]
    x = tg.tensor(VALUES).requires_grad_()
    t, value = x * 1.0, value_for(symbol, "float64").requires_grad_()
    array, want = t.data, plain(t.numpy(), value.numpy())
    with tg.no_grad():
        assert change(t, value) is t
    assert t.data is array and np.array_equal(array, want)
    with pytest.raises(RuntimeError, match="was written to after"):
        t.sum().backward()


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("given", ["tensor", "array", "tensor that requires grad, under no_grad"])
@pytest.mark.parametrize("symbol", FLOATING[:-1])
def test_data_is_written_where_it_lies(symbol: str, given: str, memory: str) -> None:
    change, plain, _ = OPERATORS[symbol]
    t, whole, before = target(memory)
    value: Any = value_for(symbol, "float64")
    want, array = plain(t.numpy(), value.numpy()), t.data
    if given == "array":
        value = value.numpy()
    with tg.no_grad() if "under" in given else nullcontext():
        value = value.requires_grad_() if "under" in given else value
        t.data = change(t.data, value)  # what t.data += value does
    assert t.data is array and np.array_equal(t.numpy(), want)
    outside = rest(whole, t)
    assert np.array_equal(whole[outside], before[outside])


def test_training_by_hand_in_each_common_way() -> None:
    def train(update: Callable[[Any], None]) -> list[float]:
        tg.manual_seed(0)
        model = tg.nn.Dense(1, in_features=2, kernel_initializer="ones")
        losses = []
        for _ in range(4):
            model.zero_grad()
            loss = tg.nn.functional.mse_loss(model(tg.tensor([[1.0, 2.0]])), tg.tensor([[9.0]]))
            loss.backward()
            losses.append(loss.item())
            for p in model.parameters():
                update(p)
        return losses

    def by_data(p: Any) -> None:
        p.data -= 0.01 * p.grad

    def by_arrays(p: Any) -> None:
        p.data -= 0.01 * p.grad.data

    @tg.no_grad()
    def by_operator(p: Any) -> None:
        p -= 0.01 * p.grad

    @tg.no_grad()
    def by_index(p: Any) -> None:
        p[...] = p - 0.01 * p.grad

    def by_assign(p: Any) -> None:
        p.assign(p.detach() - 0.01 * p.grad)

    want = train(by_assign)
    assert want[-1] < want[0] / 2
    for update in (by_data, by_arrays, by_operator, by_index):
        assert train(update) == pytest.approx(want, rel=1e-6), update.__name__


REFUSED: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("an integer gets no fraction", lambda: op.iadd(tg.tensor([1, 2]), 1.5), TypeError, r"float32.*int64.*astype"),
    ("nor by division", lambda: op.itruediv(tg.tensor([1, 2]), 2), TypeError, r"t /= value.*int64"),
    ("unsigned gets no sign", lambda: op.iadd(tg.tensor(np.ones(1, "uint8")), tg.tensor([1])), TypeError, "uint8"),
    ("a boolean no number", lambda: op.iadd(tg.tensor([True]), tg.tensor([1])), TypeError, "bool"),
    ("the target is not broadcast", lambda: op.iadd(tg.ones(2), tg.ones((3, 2))), ValueError, r"\(3, 2\).*\(2,\)"),
    ("nor its new axis", lambda: op.iadd(tg.ones((1, 2)), tg.ones((3, 2))), ValueError, r"\(3, 2\).*\(1, 2\)"),
    ("by a product", lambda: op.imatmul(tg.ones((2, 3)), tg.ones((3, 4))), ValueError, r"\(2, 4\)"),
    ("one place for many elements", lambda: op.iadd(tg.broadcast_to(tg.tensor(1.0), (3,)), 1), RuntimeError, "copy"),
    ("by index, too", lambda: op.setitem(tg.broadcast_to(tg.ones(1), (3, 2)), 0, 2.0), RuntimeError, "copy"),
    ("of one axis, too", lambda: op.setitem(tg.broadcast_to(tg.ones(1), (3,)), 0, 2.0), RuntimeError, "copy"),
    ("and by a slice", lambda: op.setitem(tg.broadcast_to(tg.ones(1), (3,)), slice(1), 2.0), RuntimeError, "copy"),
    ("with a gradient, too", lambda: op.setitem(tg.broadcast_to(tg.ones(1), (3,)), 0, tg.ones((), requires_grad=True)),
     RuntimeError, "share one place.*copy"),
    ("nor a view of it", lambda: op.setitem(tg.broadcast_to(tg.ones(1), (3,))[:1], 0, 2.0), ValueError, "read-only"),
    ("an array keeps no gradient", lambda: op.iadd(np.ones(2), tg.ones(2).requires_grad_()), RuntimeError, "detach"),
    ("an array's shape stays", lambda: op.iadd(np.ones(2), tg.ones((3, 2))), ValueError, r"\(3, 2\)"),
    ("an index out of bounds", lambda: op.setitem(tg.ones(2), 2, 1.0), IndexError, r"(?s)index_update.*out of bounds"),
    ("a value too large", lambda: op.setitem(tg.ones(2), 0, tg.ones(3)), ValueError, r"index_update.*\[2\].*\[3\]"),
    ("no number", lambda: op.iadd(tg.ones(2), "a"), TypeError, "unsupported"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused(call: Callable[[], Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_the_dtype_and_the_memory_stay() -> None:
    for have, value in (
        ("float32", "float64"),
        ("float16", "float32"),
        ("int32", "int64"),
        ("float32", "int64"),
    ):
        t = tg.ones((2,), dtype=have)
        seen = t[1:]
        t += tg.tensor(np.array([1, 2], value))
        assert t.dtype == have and t.tolist() == [2, 3] and seen.tolist() == [3]


EMPTY: dict[str, Callable[[Any], Any]] = {
    "all": lambda t: op.setitem(t, ..., 1.0),
    "an axis": lambda t: op.setitem(t, slice(None), 1.0),
    "a column of none": lambda t: op.setitem(t, (..., slice(0, 0)), 1.0),
    "a mask": lambda t: op.setitem(t, t > 5.0, 1.0),
    "+=": lambda t: op.iadd(t, 1.0),
    "data": lambda t: op.iadd(t.data, tg.tensor(1.0)),
    "assign": lambda t: t.assign(np.zeros(t.shape)),
    "+= of a row of none": lambda t: op.iadd(t[:0], 1.0),
}


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 2)])
@pytest.mark.parametrize("name", EMPTY)
def test_a_write_to_no_elements_is_accepted(name: str, shape: tuple[int, ...]) -> None:
    for t in (
        tg.zeros(shape),
        tg.zeros(shape) + 1.0,
        tg.ones((3, 4))[:0],
        tg.broadcast_to(tg.tensor(1.0), (0, 2)) * 1,
    ):
        EMPTY[name](t)
        assert t.size == 0


OVERLAPPING: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "forward": (lambda t: op.setitem(t, slice(1, None), t[:-1]), lambda a: a[[0, 0, 1]]),
    "back": (lambda t: op.setitem(t, slice(None, -1), t[1:]), lambda a: a[[1, 2, 2]]),
    "upside down": (lambda t: op.setitem(t, ..., t[::-1]), lambda a: a[::-1]),
    "integers": (lambda t: op.setitem(t, [0, 1], t[1:]), lambda a: a[[1, 2, 2]]),
    "+= T": (lambda t: op.iadd(t, t.T), lambda a: a + a.T),
    "-= T": (lambda t: op.isub(t.T, t), lambda a: (a.T - a).T),
    "@= itself": (lambda t: op.imatmul(t, t), lambda a: a @ a),
    "*= rows": (lambda t: op.imul(t[1:], t[:-1]), lambda a: np.concatenate([a[:1], a[1:] * a[:-1]])),
    "data": (lambda t: op.isub(t.data, t.T), lambda a: a - a.T),
}


@pytest.mark.parametrize("name", OVERLAPPING)
def test_a_value_may_lie_in_the_memory_that_is_written_to(name: str) -> None:
    change, want = OVERLAPPING[name]
    a = np.arange(9.0).reshape(3, 3)
    t = tg.tensor(a)
    array = t.data
    change(t)
    assert t.data is array and np.array_equal(array, want(a))


INDICES: dict[str, Any] = {
    "a number": 1,
    "from the end": -1,
    "a slice": slice(0, 2),
    "a step back": slice(None, None, -2),
    "two axes": (1, 2),
    "a column": (slice(None), 1),
    "an ellipsis": (..., 0),
    "a new axis": (None, 1),
    "all": ...,
    "integers": [0, 2],
    "one twice": [0, 0],
    "a mask": np.arange(12).reshape(3, 4) % 3 == 0,
    "a tensor": tg.tensor([1, 0]),
}


@pytest.mark.parametrize("value", ["number", "tensor", "array", "float64", "requires grad"])
@pytest.mark.parametrize("name", INDICES)
def test_setitem_writes_into_the_memory(name: str, value: str) -> None:
    index, a = INDICES[name], np.arange(12.0, dtype="float32").reshape(3, 4)
    t, want = tg.tensor(a), a.copy()
    views, array = (t[1:], t.T, t.reshape((-1,))), t.data
    raw = index.numpy() if isinstance(index, tg.Tensor) else index
    new = np.full(want[raw].shape[-1:], 0.5, "float32")
    want[raw] = 0.5 if value == "number" else new
    given: Any = {
        "number": 0.5,
        "tensor": tg.tensor(new),
        "array": new,
        "float64": tg.tensor(new.astype("float64")),
    }.get(value)
    with tg.no_grad() if value == "requires grad" else nullcontext():
        t[index] = tg.tensor(new).requires_grad_() if value == "requires grad" else given
    assert (
        t.data is array and t.dtype == "float32" and not t.requires_grad and np.array_equal(t.numpy(), want)
    )
    for view, array in zip(views, (want[1:], want.T, want.reshape(-1)), strict=True):
        assert np.array_equal(view.numpy(), array)


@pytest.mark.parametrize("jit", (False, True))
@pytest.mark.parametrize("index", (0, (0, 1), (slice(None, 1), 0), slice(None, None, -1), ...))
def test_a_write_into_what_a_gradient_needs_raises(index: Any, jit: bool) -> None:
    """With and without a recorder; of another part it does not, see tests/stale_written_parts.py."""
    w = tg.nn.Parameter(tg.tensor([1.0, 2.0]))

    def step(x: Any) -> None:
        a = x * x
        v = a[0] * w
        a[index] = 5.0
        v.sum().backward()

    f = tg.jit(step, emitter="numpy") if jit else step
    for _ in range(4):
        with pytest.raises(RuntimeError, match="was written to after it was recorded"):
            f(tg.ones((2, 2)))


def by_a_second_tensor(t: Any) -> None:
    tg.from_dlpack(t).assign([5.0, 6.0])


# Writes between forward and backward, of which the graph is told.
NOTICED: dict[str, Callable[[Any], Any]] = {
    "t.data += number": lambda t: setattr(t, "data", op.iadd(t.data, 3.0)),
    "t.data *= array": lambda t: setattr(t, "data", op.imul(t.data, np.array([2.0, 3.0]))),
    "t.data -= tensor": lambda t: setattr(t, "data", op.isub(t.data, tg.tensor([2.0, 3.0]))),
    "a view's data": lambda t: setattr(view := t.detach()[1:], "data", op.iadd(view.data, 1.0)),
    "dlpack of a tensor": by_a_second_tensor,
    "dlpack of its array": lambda t: by_a_second_tensor(t.data),
}


@pytest.mark.parametrize("name", NOTICED)
def test_a_write_between_forward_and_backward_is_noticed(name: str) -> None:
    t = tg.tensor([1.0, 2.0], requires_grad=True)
    loss = (t * t).sum()
    NOTICED[name](t)
    with pytest.raises(RuntimeError, match="was written to after it was recorded"):
        loss.backward()
    (t * t).sum().backward()
    assert t.grad.tolist() == (2 * t.numpy()).tolist()
