"""The backward loop: order, accumulation, freeing, and what it refuses."""

import gc
import threading
import weakref

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.flags import Flags, current
from tapegrad.autograd.tensor import Node


def leaf(*values: float, dtype: str = "float64") -> tg.Tensor:
    return tg.tensor(np.array(values if len(values) > 1 else values[0], dtype=dtype), requires_grad=True)


def test_a_node_used_twice_is_complete_before_it_goes_on() -> None:
    x = leaf(3.0)
    a = x * x
    b = a + 1.0
    c = a * b  # x^4 + x^2
    c.backward()
    assert x.grad is not None and x.grad.item() == 4 * 27 + 6


def test_gradients_accumulate_over_calls_and_only_on_leaves() -> None:
    x = leaf(2.0)
    y = x * x
    for expected in (4.0, 8.0):
        (y * 1.0).backward(retain_graph=True)
        assert x.grad is not None and x.grad.item() == expected
    assert y.grad is None


def test_retain_grad_holds_after_an_operation_in_place() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 2).retain_grad()
    y += 1
    (y * y).sum().backward()
    assert y.grad is not None and y.grad.tolist() == [6.0, 10.0]


def test_retain_grad_keeps_an_inner_gradient() -> None:
    x = leaf(2.0)
    y = (x * x).retain_grad()
    assert x.is_leaf and not y.is_leaf
    (y * y + y).backward()
    assert y.grad is not None and y.grad.item() == 2 * 4 + 1
    assert x.grad is not None and x.grad.item() == 9 * 4


def test_an_output_that_nobody_used_has_a_zero_cotangent() -> None:
    from tapegrad.autograd.primitive import Primitive

    double = Primitive(
        "halves", lambda xp, x: (x * 2.0, x * 3.0), outputs=2, register=False,
        vjp=(lambda g, y, x: g[0] * 2.0 + g[1] * 3.0,),
    )  # fmt: skip
    for pick, expected in ((0, 2.0), (1, 3.0)):
        x = leaf(1.0)
        double(x)[pick].backward()
        assert x.grad is not None and x.grad.item() == expected
    x = leaf(1.0)
    a, b = double(x)
    (a * b).backward(create_graph=True)
    assert x.grad is not None and x.grad.item() == 12.0


def test_second_backward_over_a_freed_graph_says_so() -> None:
    y = leaf(2.0) * 3.0
    y.backward()
    with pytest.raises(RuntimeError, match=r"multiply.*freed.*retain_graph=True"):
        y.backward()


def test_the_same_bits_twice() -> None:
    rng = np.random.default_rng(0)
    x = tg.tensor(rng.normal(size=(50, 40)), requires_grad=True)
    y = (tg.tanh(x @ x.T) / 3.0).sum()
    y.backward(retain_graph=True)
    first = x.grad
    x.grad = None
    y.backward()
    assert first is not None and x.grad is not None and first.numpy().tobytes() == x.grad.numpy().tobytes()


def test_gradients_share_no_memory_with_each_other_or_the_graph() -> None:
    a, b, c = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
    seed = np.array([1.0, 1.0])
    (a + b + c.reshape(1, 2).reshape(2)).backward(seed)
    grads = [t.grad.data for t in (a, b, c) if t.grad is not None]
    assert len(grads) == 3
    for i, g in enumerate(grads):
        g[...] = 10.0 + i  # each may be written to
    assert [g[0] for g in grads] == [10.0, 11.0, 12.0] and seed[0] == 1.0
    x = leaf(1.0, 2.0)
    x.sum().backward()
    assert x.grad is not None
    x.grad.data[0] = 7.0  # not a broadcast view of one number
    assert x.grad.tolist() == [7.0, 1.0]


def test_writing_to_a_recorded_input_is_noticed() -> None:
    w = leaf(1.0, 2.0)
    y = (w * w).sum()
    w.assign([5.0, 6.0])
    with pytest.raises(RuntimeError, match=r"multiply.*float64\[2\].*written to after it was recorded"):
        y.backward()
    x = tg.tensor([1.0, 2.0])
    v = leaf(1.0, 1.0, dtype="float32")
    y = (v * x).sum()
    x[0] = 9.0
    with pytest.raises(RuntimeError, match="written to after"):
        y.backward()


def test_assignment_is_seen_by_views_and_not_by_earlier_results() -> None:
    x = tg.tensor([1.0, 2.0, 3.0])
    tail, before = x[1:], x * 1.0
    x[1] = 20.0
    x[x > 10] = 30.0
    assert (
        x.tolist() == [1.0, 30.0, 3.0] and tail.tolist() == [30.0, 3.0] and before.tolist() == [1.0, 2.0, 3.0]
    )


def test_long_chain_needs_no_recursion_and_frees_without_one() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    y.backward()
    assert x.grad is not None and x.grad.item() == 1.0
    z = x
    for _ in range(100_000):
        z = z * 1.0
    del z  # never went backward: the chain goes link by link


def test_memory_goes_with_the_last_reference_and_backward_frees_as_it_goes() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(*range(10))
        y = tg.exp(x * 2.0)
        inner = weakref.ref(y)
        z = (y * y).sum()
        del y
        assert inner() is not None
        z.backward()
        assert inner() is None
    finally:
        gc.enable()


def test_training_keeps_live_objects_constant_with_the_collector_off() -> None:
    rng = np.random.default_rng(0)
    w = tg.tensor(rng.normal(size=(8, 8)), requires_grad=True)
    x = tg.tensor(rng.normal(size=(4, 8)))

    def count() -> int:
        return sum(issubclass(type(o), (tg.Tensor, Node)) for o in gc.get_objects())

    def step() -> None:
        w.grad = None
        ((tg.tanh(x @ w) - x) ** 2).mean().backward()

    step()
    gc.collect()
    gc.disable()
    try:
        before = count()
        for _ in range(200):
            step()
        assert count() == before
    finally:
        gc.enable()


def test_flags_survive_exceptions_and_nest() -> None:
    with pytest.raises(ZeroDivisionError), tg.no_grad(), tg.enable_grad(), tg.detect_anomaly():
        assert current.get().grad and current.get().anomaly
        raise ZeroDivisionError
    assert current.get() == Flags()

    def f(x: tg.Tensor) -> tg.Tensor:
        raise KeyError("inside")

    with pytest.raises(KeyError):
        tg.grad(f)(tg.tensor(1.0))
    assert current.get() == Flags()


def test_no_grad_as_block_and_decorator() -> None:
    x = leaf(1.0)
    with tg.no_grad():
        assert not (x * 2.0).requires_grad
    again = tg.no_grad()(lambda: x * 2.0)
    assert not again().requires_grad and not again().requires_grad and (x * 2.0).requires_grad


def test_two_threads_train_at_once() -> None:
    results: dict[int, list[float]] = {}

    def train(number: int) -> None:
        rng = np.random.default_rng(number)
        w = tg.tensor(rng.normal(size=5), requires_grad=True)
        x = tg.tensor(rng.normal(size=(20, 5)))
        for i in range(200):
            with tg.no_grad() if i % 2 else tg.enable_grad():
                loss = ((x @ w) ** 2).mean()
            if i % 2 == 0:
                w.grad = None
                loss.backward()
                assert w.grad is not None
                w.assign(w.numpy() - 0.01 * w.grad.numpy())
        results[number] = w.tolist()

    for n in (1, 2):
        train(n)
    alone = dict(results)
    threads = [threading.Thread(target=train, args=(n,)) for n in (1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    assert results == alone


@pytest.mark.parametrize(
    ("act", "kind", "says"),
    [
        (lambda: tg.tensor([1, 2], requires_grad=True), TypeError, ["requires_grad", "int64", "astype"]),
        (lambda: tg.tensor([True]).requires_grad_(), TypeError, ["bool"]),
        (lambda: (leaf(1.0, 2.0) * 2.0).backward(), RuntimeError, ["cotangent", "(2,)", ".sum()"]),
        (lambda: (leaf(1.0, 2.0) * 2.0).backward([1.0]), ValueError, ["cotangent", "(2,)", "(1,)"]),
        (lambda: tg.tensor(1.0).backward(), RuntimeError, ["does not require grad"]),
        (lambda: leaf(1.0, 2.0).__setitem__(0, 1.0), RuntimeError, ["tg.index_update", "tg.where"]),
        (lambda: float(leaf(1.0, 2.0)), ValueError, ["one element", "(2,)"]),
        (lambda: bool(tg.tensor([1.0, 2.0])), ValueError, ["one element"]),
        (lambda: f"{leaf(1.0, 2.0):.3f}", ValueError, ["one element", "(2,)"]),
        (lambda: np.asarray(leaf(1.0, 2.0)), TypeError, ["requires grad", ".detach().numpy()"]),
        (lambda: np.cumsum(leaf(1.0, 2.0)), TypeError, ["requires grad"]),
        (lambda: np.heaviside(tg.tensor([1.0]), 0.5), TypeError, ["heaviside"]),
        (lambda: np.add.reduce(tg.tensor([1.0])), TypeError, ["np.add", "reduce"]),
        (lambda: tg.tensor([1.0, [2.0]]), ValueError, ["tensor", "lengths"]),
        (lambda: tg.tensor(["a"]), TypeError, ["tensor", "numbers"]),
        (lambda: tg.tensor([1 + 2j]), TypeError, ["complex"]),
        (lambda: tg.tensor([tg.tensor(1.0)]), TypeError, ["tg.stack"]),
        (lambda: tg.tensor([1.0], device="cuda:0") and None, tg.BackendError, ["cupy", "cupy-cuda13x"]),
        (lambda: tg.set_backend("torch"), tg.BackendError, ["unknown backend 'torch'", "numpy"]),
        (lambda: leaf(1.0, 2.0).requires_grad_(False).T, ValueError, ["T:", "(2,)"]),
        (lambda: tg.manual_seed(-1), ValueError, ["manual_seed", "-1"]),
        (lambda: tg.set_default_dtype("int32"), ValueError, ["set_default_dtype", "float16"]),
        (lambda: tg.zeros((2, -1)), ValueError, ["shape", "-1"]),
        (lambda: len(tg.tensor(1.0)), TypeError, ["0-d"]),
        (lambda: __import__("pickle").dumps(tg.tensor(1.0)), TypeError, ["tg.save"]),
    ],
)  # fmt: skip
def test_refusals_name_what_was_given_and_what_to_do(
    act: object, kind: type[Exception], says: list[str]
) -> None:
    if kind is tg.BackendError and "cupy" in says:
        try:
            tg.get_backend("cupy")
            pytest.skip("a GPU is present: nothing to refuse")
        except tg.BackendError:
            pass
    with pytest.raises(kind) as caught:
        act()  # type: ignore[operator]
    for part in says:
        assert part in str(caught.value), str(caught.value)


def test_errors_name_primitive_shapes_and_the_users_line() -> None:
    a, b = tg.zeros((2, 3)), tg.zeros((4, 5))
    with pytest.raises(ValueError, match=r"matmul\(float32\[2, 3\], float32\[4, 5\]\)") as caught:
        a @ b
    assert "test_backward.py" in str(caught.value) and "a @ b" in str(caught.value)
    with pytest.raises(ValueError, match=r"add\(float32\[2, 3\], float32\[4, 5\]\)"):
        a + b


def test_anomaly_names_the_first_culprit_and_its_line() -> None:
    x = tg.tensor([1.0, -1.0], requires_grad=True)
    with (
        np.errstate(invalid="ignore"),
        tg.detect_anomaly(),
        pytest.raises(FloatingPointError, match="forward of log") as caught,
    ):
        tg.log(x).sum()
    assert "tg.log(x)" in str(caught.value)
    tiny = leaf(1e-200)
    with np.errstate(over="ignore"), tg.detect_anomaly():
        y = 1.0 / tiny
        with pytest.raises(
            FloatingPointError, match=r"(?s)gradient of divide for its argument 1.*y = 1.0 / tiny"
        ):
            y.backward()


def test_numpy_functions_are_recorded() -> None:
    x = leaf(0.5, 1.5)
    for y in (np.exp(x), np.array([1.0, 2.0]) * x, np.maximum(x, 1.0), np.eye(2) @ x, np.float64(2.0) - x):
        assert isinstance(y, tg.Tensor) and y.requires_grad and y.shape == (2,)
    assert (np.array([3.0, 4.0]) - x).tolist() == [2.5, 2.5]


def test_one_element_is_written_like_a_number() -> None:
    loss = (leaf(1.0) / 3.0).sum()
    assert f"{loss:.3f} {loss:>8.1e}" == "0.333  3.3e-01"
    assert f"{loss}" == str(loss)


def test_numpy_copies_and_detach_shares() -> None:
    x = tg.tensor([1.0, 2.0])
    copy = x.numpy()
    x.assign([3.0, 4.0])
    assert copy.tolist() == [1.0, 2.0] and x.detach().data is x.data
    source = np.array([1.0, 2.0])
    t = tg.tensor(source)
    source[0] = 9.0
    assert t.tolist() == [1.0, 2.0]


def test_same_seed_same_draws_and_a_restored_state_goes_on() -> None:
    from tapegrad.autograd import random

    tg.manual_seed(3)
    first = tg.uniform((4,)).tolist(), random.host_generator().random(3).tolist()
    state = random.get_state()
    second = tg.uniform((4,)).tolist(), random.host_generator().random(3).tolist()
    tg.manual_seed(3)
    assert (tg.uniform((4,)).tolist(), random.host_generator().random(3).tolist()) == first
    random.set_state(state)
    assert (tg.uniform((4,)).tolist(), random.host_generator().random(3).tolist()) == second != first
    values = tg.uniform((100_000,), dtype="float16").numpy()
    assert values.min() >= 0 and values.max() < 1 and abs(float(values.astype("float64").mean()) - 0.5) < 0.01


def test_what_can_be_set_as_a_gradient() -> None:
    w = leaf(1.0, 2.0, dtype="float32")
    for value, kind, message in (
        (tg.ones(3), ValueError, r"shape \(2,\).*\(3,\).*reshape"),
        (np.ones((2, 1)), ValueError, r"shape \(2,\).*\(2, 1\)"),
        (tg.ones(2, dtype="float64"), ValueError, r"float32.*float64.*astype\('float32'\)"),
        (tg.tensor([1, 2]), ValueError, r"float32.*int64"),
        (1.0, TypeError, "full_like"),
        ([1.0, 2.0], TypeError, "Tensor of shape"),
    ):
        with pytest.raises(kind, match=message):
            w.grad = value  # type: ignore[assignment]
        assert w.grad is None
    w.grad = g = tg.ones(2)
    assert w.grad is g
    w.grad = np.array([3.0, 4.0])  # type: ignore[assignment]
    assert isinstance(w.grad, tg.Tensor) and w.grad.dtype == "float32" and w.grad.tolist() == [3.0, 4.0]
    w.grad = None
    assert w.grad is None


@pytest.mark.parametrize("data", [np.ones(3, "float32"), np.ones(2, "float64"), np.ones((), "float32")])
def test_a_leaf_with_data_of_another_shape_or_dtype_refuses_the_gradient(data: np.ndarray) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 3.0).sum()
    x.data = data
    with pytest.raises(RuntimeError, match=r"x\.data = array.*float32\[2\].*run the forward pass again"):
        y.backward()
    assert x.grad is None
    x.data = np.ones(2, "float32")
    (x * 3.0).sum().backward()
    x.data = data
    with pytest.raises(RuntimeError, match=r"its \.grad from before, which x\.grad = None drops"):
        (x * 3.0).sum().backward()
    x.grad = None
    (x * 3.0).sum().backward()
    assert x.grad is not None and x.grad.shape == data.shape and x.grad.dtype == data.dtype
