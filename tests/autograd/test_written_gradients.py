"""`t[i] = v` and `t op= v` where v requires a gradient: the gradient is right, or an error says what to write."""

import operator as op
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg


def gradients(f: Callable[[Any], Any], *order: int) -> Any:
    w = tg.tensor([2.0, 3.0], dtype="float64").requires_grad_()
    f(w).backward()
    return w.grad.tolist()


def filled_row_by_row(w: Any) -> Any:
    b = tg.zeros((3, 2), dtype="float64")
    for i in range(3):
        b[i] = w * (i + 1.0)
    return (b * b).sum()


def made_of_its_own_rows(w: Any) -> Any:
    b = tg.zeros((4, 2), dtype="float64")
    b[0] = w * 1.0
    for i in range(1, 4):
        b[i] = b[i - 1] * w
    return b.sum()


def read_and_overwritten(w: Any) -> Any:
    b = tg.zeros((2,), dtype="float64")
    b[0] = w[0] * 3.0
    first = b.sum()
    b[0] = w[1] * 5.0
    return first + b.sum()


def column_times_itself(w: Any) -> Any:
    b = tg.zeros((2, 2), dtype="float64")
    b[0] = w
    b[:, 1] *= w[1]
    b[0] **= 2
    return b.sum()


def row_times_twice(w: Any) -> Any:
    b = tg.ones((2, 2), dtype="float64")
    b[0] *= w
    b[0] *= w
    b[1] = tg.sin(b[1] * b[0]) + w
    return (b * b).sum()


def into_a_result(w: Any) -> Any:
    h = tg.tanh(w)
    h[0] = w[1] * w[1]
    return (h * h).sum()


def by_mask_and_integers(w: Any) -> Any:
    b = tg.zeros((4,), dtype="float64")
    b[tg.tensor([True, False, True, False])] = w
    b[[1, 3]] = w * w
    b[1] = 7.0
    return (b * b).sum()


def added_to(w: Any) -> Any:
    b = tg.ones((3, 2), dtype="float64")
    b[0] += w
    b[1] -= w
    b[0] += w * w
    return (b * b).sum()


def recurrent(w: Any) -> Any:
    h = tg.zeros((4, 2), dtype="float64")
    for i in range(3):
        h[i + 1] = w + h[i] * w
    return h.sum()


def into_repeats(w: Any) -> Any:
    t = tg.repeat(w, 2)
    t[0] = w[1] * w[1]
    return (t * t).sum()


def into_tiles(w: Any) -> Any:
    t = tg.tile(w, 2)
    t[1:3] = w[0] * 3.0
    return (t * t).sum()


def into_the_only_view(w: Any) -> Any:
    t = tg.zeros(4, dtype="float64").reshape((2, 2))
    t[1] = w * w
    return t.sum()


SAME_WITHOUT: dict[Callable[[Any], Any], Callable[[Any], Any]] = {
    filled_row_by_row: lambda w: (tg.stack([w, w * 2.0, w * 3.0]) ** 2).sum(),
    made_of_its_own_rows: lambda w: (w + w**2 + w**3 + w**4).sum(),
    read_and_overwritten: lambda w: w[0] * 3.0 + w[1] * 5.0,
    column_times_itself: lambda w: w[0] ** 2 + w[1] ** 4,
    row_times_twice: lambda w: (w**4 + (tg.sin(w * w) + w) ** 2).sum(),
    into_a_result: lambda w: w[1] ** 4 + tg.tanh(w[1]) ** 2,
    by_mask_and_integers: lambda w: (w * w).sum() + w[1] ** 4 + 49.0,
    added_to: lambda w: ((1.0 + w + w * w) ** 2 + (1.0 - w) ** 2 + 1.0).sum(),
    into_repeats: lambda w: w[1] ** 4 + w[0] ** 2 + 2.0 * w[1] ** 2,
    into_tiles: lambda w: 19.0 * w[0] ** 2 + w[1] ** 2,
    into_the_only_view: lambda w: (w * w).sum(),
    recurrent: lambda w: (w + (w + w * w) + (w + w * (w + w * w))).sum(),
}


@pytest.mark.parametrize("f", SAME_WITHOUT, ids=lambda f: f.__name__)
def test_a_differentiable_value_gives_its_gradient(f: Callable[[Any], Any]) -> None:
    same = SAME_WITHOUT[f]
    w = tg.tensor([2.0, 3.0], dtype="float64")
    assert f(w).item() == pytest.approx(same(w).item())
    assert gradients(f) == pytest.approx(gradients(same))
    assert tg.grad(f)(w).tolist() == pytest.approx(tg.grad(same)(w).tolist())
    assert tg.hessian(f)(w).numpy() == pytest.approx(tg.hessian(same)(w).numpy())
    assert tg.jvp(f, (w,), (tg.ones_like(w),))[1].item() == pytest.approx(tg.grad(same)(w).sum().item())
    assert gradients(tg.checkpoint(f)) == pytest.approx(gradients(same))


def test_a_graph_through_a_tensor_that_was_updated_can_be_gone_through_twice() -> None:
    w = tg.tensor([2.0, 3.0], dtype="float64").requires_grad_()
    loss = made_of_its_own_rows(w)
    loss.backward(retain_graph=True)
    once = w.grad.numpy()
    loss.backward()
    assert np.array_equal(w.grad.numpy(), 2 * once)
    with pytest.raises(RuntimeError, match="freed"):
        loss.backward()


def test_an_earlier_result_of_a_graph_that_was_freed_says_so() -> None:
    w = tg.tensor([2.0, 3.0], dtype="float64").requires_grad_()
    b = w * 1.0
    b[0] = w[1]
    earlier = b.sum()
    b[1] = w[0]
    (b * 1.0).sum().backward()
    with pytest.raises(RuntimeError, match="freed"):
        earlier.backward()


def test_the_memory_goes_with_the_graph() -> None:
    w = tg.tensor([2.0, 3.0], dtype="float64").requires_grad_()
    b = tg.zeros((3, 2), dtype="float64")
    b[0] = w
    first = b.node
    assert first is not None
    b[1] = w
    b.sum().backward()
    assert first.inputs == first.arrays == () and first.out is None


def cut(write: Callable[[Any, Any], None]) -> Callable[[], None]:
    def run() -> None:
        write(tg.zeros((2, 2)), tg.tensor([2.0, 3.0]).requires_grad_())

    return run


def seen_by_a_view(b: Any, w: Any) -> None:
    view = b[0]
    b[0] = w
    del view


def held_beside(b: Any, w: Any) -> None:
    row = b[0]
    b[0] = row * w
    del row


def used_before(b: Any, w: Any) -> None:
    h = b * w
    b[0] = w
    del h


def recorded_and_seen(value: Any) -> Callable[[Any, Any], None]:
    def write(b: Any, w: Any) -> None:
        h = b * w
        seen = h.detach()
        h[0] = value
        del seen

    return write


CUTS = {
    "a row of a row": cut(lambda b, w: op.setitem(b[0], 1, w[0])),
    "a view": cut(lambda b, w: op.setitem(b.T, 0, w)),
    "a view that is not the only one": cut(
        lambda b, w: [op.setitem(t, 0, w[0]) for t in tg.split(tg.zeros(4), 2)]
    ),
    "another name's view": cut(seen_by_a_view),
    "a row that is used and kept": cut(held_beside),
    "contents that were used": cut(used_before),
    "a detached name": cut(lambda b, w: op.setitem(b.detach(), 0, w)),
    "a recorded tensor, a number": cut(recorded_and_seen(5.0)),
    "a recorded tensor, a list": cut(recorded_and_seen([5.0, 6.0])),
    "a recorded tensor, an array": cut(recorded_and_seen(np.ones(2, "float32"))),
    "a leaf that requires grad": cut(lambda b, w: op.setitem(b.requires_grad_(), 0, w)),
}


@pytest.mark.parametrize("name", CUTS)
def test_what_would_cut_a_gradient_raises(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"t\[index\] = value"):
        CUTS[name]()


def test_a_factor_that_is_overwritten_is_noticed() -> None:
    w = tg.tensor([2.0, 3.0]).requires_grad_()
    b = tg.ones((2, 2)) * w
    b[0] = b[0] + w
    row = b[1] * w  # the gradient of w needs what b[1] was
    b[0] = w
    b[1] = row
    with pytest.raises(RuntimeError, match="was written to after"):
        b.sum().backward()


def test_a_view_of_what_is_updated_later_refuses() -> None:
    w = tg.tensor([2.0, 3.0], dtype="float64").requires_grad_()
    b = tg.zeros((2, 2), dtype="float64")
    b[0] = w
    row = b[0]
    b[0] = w * 2.0
    with pytest.raises(RuntimeError, match="was written to after"):
        row.sum().backward()


def test_total_keeps_its_gradient() -> None:
    w = tg.tensor(2.0).requires_grad_()
    total: Any = tg.tensor(0.0)
    for i in range(3):
        total += w * float(i)
    total.backward()
    assert w.grad.item() == 3.0
    total = 0
    for _ in range(3):
        total += w
    total.backward()
    assert w.grad.item() == 6.0
