"""Functions with aliases, writes, and changes around them: the compiler's tests run each with tg.jit and without."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tapegrad as tg
from compiler_emitters import flat

F = tg.nn.functional
CASES: dict[str, Callable[[Any], Any]] = {}


def case(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES[f.__name__] = f
    return f


def t(*values: Any) -> Any:
    return tg.tensor(np.array(values[0] if len(values) == 1 else values, dtype="float64"))


def leaf(*values: Any) -> Any:
    return t(*values).requires_grad_()


def own(x: Any) -> Any:
    return x.detach() + 0.0


@case
def copies_of_what_is_written_to(wrap: Any) -> Any:
    b = t(1, 2)

    def f(x: Any) -> Any:
        copies = +b, b * 1.0, -b
        b.assign(b + x)
        return *copies, -copies[2]

    f = wrap(f)
    return [f(t(1, 1)) for _ in range(3)]


@case
def a_view_before_and_after_a_write(wrap: Any) -> Any:
    b = t([[0, 1], [2, 3]])

    def f(x: Any) -> Any:
        v = b.T
        before = v + 1.0
        b.assign(b + x)
        return before, v + 1.0

    f = wrap(f)
    return [f(t(1, 1)) for _ in range(3)]


@case
def writes_into_views_results_and_new_tensors(wrap: Any) -> Any:
    b = t(1, 2, 3)

    def f(x: Any) -> Any:
        new, made, before = tg.zeros((2,), dtype="float64"), x * 2.0, b + 1.0
        new.assign(new + x)
        made.assign(x * 3.0)
        b[0:2].assign(b[0:2] + x)
        return before, b + 1.0, own(new), own(made)

    f = wrap(f)
    return [f(t(1, i)) for i in range(3)]


@case
def writes_into_arguments(wrap: Any) -> Any:
    def f(x: Any, y: Any) -> Any:
        a = x + 1.0
        x.assign(x * 3.0)
        y[0] = 5.0
        return a, x + 1.0, y * 2.0

    f, pairs = wrap(f), [(t(1, i), t(2, i)) for i in range(3)]
    return [(f(*pair), *pair) for pair in pairs]


@case
def one_tensor_in_two_places(wrap: Any) -> Any:
    a, b = t(1, 2), t(5, 5)
    f, g = wrap(lambda x, y: x - y), wrap(lambda x: x * 2.0 + a)
    return f(a, a), f(a, b), f(b, a), f(b, b), g(a), g(b), g(a)


@case
def gradients_of_arguments(wrap: Any) -> Any:
    f, xs = wrap(lambda x: (x * x).sum().backward()), [leaf(1, i) for i in range(3)]
    return [(f(x), x.grad)[1] for x in xs]


@case
def plain_arguments(wrap: Any) -> Any:
    f, x = wrap(lambda x, c: x * c), t(1, 2)
    call, divide = wrap(lambda x, g: g(x)), wrap(lambda x, c: x / (x * 0.0 + c))
    found = [f(x, kind(i)) for i in range(8) for kind in (np.int64, np.float64)]
    found += [call(x, lambda a, i=i: a * float(i)) for i in range(8)]
    given = wrap(lambda x, b: x + b if isinstance(b, tg.Tensor) else x * b["b"])
    return found, [divide(x, c) for c in (0.0, -0.0)], given(x, {"b": x}), given(x, b=x)


@case
def frozen_and_not(wrap: Any) -> Any:
    a, b = leaf(1, 2), leaf(3, 4)

    def f(x: Any) -> None:
        a.grad = b.grad = None
        (a * b * x).sum().backward()

    f, found = wrap(f), []
    for i in range(4):
        b.requires_grad_(i % 2 == 0)
        f(t(1, i))
        found.append((own(a.grad), own(b.grad) if b.grad is not None else t(0)))
    return found


@case
def the_step_alone(wrap: Any) -> Any:
    a, b = leaf(1, 2), leaf(3, 4)
    opt = tg.optim.SGD([a, b], lr=0.1)
    update, found = wrap(lambda: opt.step()), []
    by_hand = wrap(lambda: a.assign(a.detach() - 0.1 * a.grad))
    for i in range(4):
        opt.zero_grad()
        (a * (b if i % 2 else a) * (i + 1.0)).sum().backward()
        update(), by_hand()
        found.append((own(a), own(b)))
    return found


@case
def clipped_inside(wrap: Any) -> Any:
    a, b = leaf(1, 2), leaf(3, 4)
    opt = tg.optim.SGD([a, b], lr=0.1)

    def f(x: Any) -> Any:
        opt.zero_grad()
        (a + b * x).sum().backward()
        tg.optim.clip_by_value([a], 0.5)
        tg.optim.clip_by_norm([b], 0.6)
        norm = tg.optim.clip_by_global_norm([a, b], 0.3)
        opt.step()
        return norm

    f = wrap(f)
    return [(f(t(1, i)), own(a), own(b), own(a.grad)) for i in range(3)]


@case
def a_model_out_of_sight(wrap: Any) -> Any:
    model = tg.nn.Sequential(tg.nn.Dense(3, in_features=2), tg.nn.Dropout(0.5))
    hidden = lambda x: model(x)
    f, found = wrap(lambda x: hidden(x)), []
    with tg.no_grad():
        for i in range(4):
            model.train(i % 2 == 0)
            found.append(f(tg.ones((1, 2))))
    return found


@case
def chosen_by_a_mask(wrap: Any) -> Any:
    f = wrap(lambda x, m: x[m].mean())
    return [
        f(t(1, 2, 3), tg.tensor(m)) for m in ([True, False, True], [False, True, True], [False, False, True])
    ]


@case
def memory_in_another_order(wrap: Any) -> Any:
    k, found = t([[0, 1, 2], [3, 4, 5]]), []
    f = wrap(lambda x: k.reshape((-1,)) + x)
    for i in range(4):
        if i == 1:
            k.data = np.asfortranarray(k.data)
        k.assign(k * 2.0)
        found.append(f(t(1)))
    return found


@case
def contents_that_are_replaced(wrap: Any) -> Any:
    """Seen through detach(), and in a model out of sight."""
    w, layer = leaf(1, 2), tg.nn.Dense(2, in_features=2, dtype="float64", kernel_initializer="ones")
    again, hidden = w.detach(), lambda x: layer(x) + layer.kernel.detach()
    f, g, h, found = wrap(lambda x: w.detach() * x), wrap(lambda x: hidden(x)), wrap(lambda x: again * x), []
    for i in range(3):
        with tg.no_grad():
            found.append((f(t(1, 2)), g(t([[1, i]])), h(t(1, 2))))
        w.data, layer.kernel.data = w.data + 1.0, layer.kernel.data * 2.0
    return found


@case
def a_copy_by_reshape_before_a_write(wrap: Any) -> Any:
    k = t([[0, 1, 2], [3, 4, 5]])
    k.data = k.backend.xp.asfortranarray(k.data)  # so that a reshape is a copy

    def f(x: Any) -> Any:
        flat = k.reshape((-1,))
        k.assign(k + x)
        return flat.reshape((3, 2)) * 2.0

    f = wrap(f)
    return [f(t(1)) for _ in range(3)]


@case
def conditions_that_are_known(wrap: Any) -> Any:
    yes, no = (tg.full((3,), b, dtype="bool") for b in (True, False))
    f = wrap(lambda x: [tg.where(tg.full((3,), b, dtype="bool"), x * 2.0, x * 3.0) for b in (True, False)])
    g = wrap(lambda x: [tg.where(c, x * 2.0, x * 3.0) for c in (yes, no)])
    return [(f(t(1, i, 2)), g(t(1, i, 2))) for i in range(2)]


@case
def numbers_and_names(wrap: Any) -> Any:
    f = wrap(lambda x, y: (x * 0.1, x * 3.0, y * 0.1, y * 3.0))
    g = wrap(lambda c_2, add, add_1, range, buffer_1, i: (c_2 * 2.0 + add) + (add_1 + range) * i + buffer_1)
    return [(f(tg.tensor([1.0, 2.0]), t(1, 2)), g(t(1), t(2), t(3), t(4), t(5), t(6))) for _ in range(2)]


@case
def draws_of_a_checkpoint(wrap: Any) -> Any:
    k, part = leaf(np.ones(50)), tg.checkpoint(lambda a: F.dropout(a * a, 0.5))

    def f(x: Any) -> Any:
        k.grad = None
        F.dropout(x, 0.5)
        y = part(k * x)
        y.sum().backward()
        return y

    f = wrap(f)
    return [(own(f(t(np.ones(50)))), own(k.grad)) for _ in range(3)]


@case
def another_case_is_noticed_late(wrap: Any) -> Any:
    """What was written, drawn and added up before a check fails, is taken back."""
    b, w, found = t(0, 0, 0), leaf(1, 2, 3), []

    def f(x: Any) -> Any:
        b.assign(b + x)
        noise = F.dropout(x, 0.5)
        (w * x).sum().backward()
        return x[b > 3.0].sum(), noise

    f = wrap(f)
    for _ in range(6):  # of which the third and the fifth go as recorded
        found.append((f(t(1, 0, 2)), +b, own(w.grad)))
    return found


@case
def memory_seen_in_two_ways(wrap: Any) -> Any:
    """What is written to is read elsewhere, too; a piece of a piece of a buffer; every second element of it."""
    found = []
    for turned in (lambda a: a.T, lambda a: a[::-1]):
        b, other = t(np.arange(9.0).reshape(3, 3)), t(0)
        other.data = turned(b.data)
        f = wrap(lambda x, b=b, other=other: b.assign(other + x))
        found.append([(f(t(1, 2, 3)), own(b))[1] for _ in range(3)])
    for others in ((slice(0, 10), slice(None)), (slice(None, None, 2),), (slice(None, None, -1),)):
        whole, views = t(np.arange(20.0)).data, [t(0) for _ in range(1 + len(others))]
        for view, piece in zip(views, (slice(2, 4), *others)):
            view.data = whole[piece]
        g = wrap(lambda x, views=views: [v * x for v in views])
        found.append([g(t(3)) for _ in range(2)])
    return found


@case
def an_index_out_of_bounds(wrap: Any) -> Any:
    """It raises as ever, and a compiled call has changed nothing then."""
    b, c, found = t(1, 2, 3), t(1, 2, 3), []

    def f(x: Any, i: Any) -> Any:
        b.assign(b + x)
        return b.assign(b + c[i].sum())

    def g(x: Any, i: Any) -> Any:
        b.assign(b + x)
        return tg.take_along_axis(c, i, axis=0) * 2.0

    for function in (wrap(f), wrap(g)):
        for i in ([0, 1], [1, -1], [0, 3], [-4, 0], [2, 2]):
            before = own(b)
            try:
                function(t(1, 1, 1), tg.tensor(np.array(i)))
            except IndexError:
                found.append(t(-1))
                b.assign(before)  # as a compiled call leaves it
            found.append(own(b))
    return found


@case
def training_by_hand_in_place(wrap: Any) -> Any:
    """Under no_grad by operator and by index, and through `data`, also of a parameter in an optimizer's buffer."""
    a, b, c = leaf(1, 2), leaf(3, 4), leaf(5, 6)
    tg.optim.SGD([b, c], lr=0.1)

    @tg.no_grad()
    def by_hand(p: Any) -> None:
        p -= 0.1 * p.grad
        p[0] = p[0] - 0.1 * p.grad[0]

    def f(x: Any) -> Any:
        for p in (a, b, c):
            p.grad = None
        loss = (a * b * c * x).sum()
        loss.backward()
        by_hand(a)
        b.data -= 0.1 * b.grad
        c.data *= t(0.9, 0.8)
        return loss.detach()

    f = wrap(f)
    return [(f(t(1, i)), own(a), own(b), own(c)) for i in range(4)]


@case
def buffers_written_by_index(wrap: Any) -> Any:
    b, w = t(0, 0, 0), leaf(1, 2)

    def f(x: Any) -> Any:
        w.grad = None
        b[0] = x[0]
        b[1:] += x
        made, total = tg.zeros((3,), dtype="float64"), t(0, 0)
        made[1] = x[1]
        made += 1.0
        rows = tg.zeros((3, 2), dtype="float64")
        for i in range(2):
            rows[i + 1] = w * x + rows[i] * w
            total += rows[i + 1]
        (rows * total).sum().backward()
        return b * 2.0, made * 1.0, +w.grad

    f = wrap(f)
    return [(f(t(i, 1)), own(b)) for i in range(4)]


@case
def booleans_and_short_names(wrap: Any) -> Any:
    m = tg.tensor(np.array([[True, False, True], [True, True, False]]))
    f = wrap(lambda m: [e(m, axis=a) for e in (tg.max, tg.min) for a in (None, 0, 1)])
    g = wrap(lambda k, r, c, at: (tg.argmax(k), (r * c).sum() * k, tg.take_along_axis(k, at, axis=0)))
    return [(f(m), g(t(1, 2), t(3, 4), t(5, 6), tg.tensor(np.array([1, 0])))) for _ in range(2)]


DTYPES = ("bool", "int8", "int64", "float32", "float64")


@case
def writes_of_every_dtype_into_every_other(wrap: Any) -> Any:
    """And a dtype in between, which narrows: what it drops is dropped. Floats are not written into integers."""
    results = []
    for to in DTYPES:
        for of in DTYPES:
            assigned, set_at = tg.zeros(3, dtype=to), tg.zeros(4, dtype=to)
            last = of if np.can_cast(of, to, "same_kind") else to

            def f(x: Any, a: Any = assigned, s: Any = set_at, of: str = of, last: str = last) -> Any:
                written = (x * 1.1).astype(of).astype(last)
                a.assign(written)
                s[1:] = written
                return +x

            g = wrap(f)
            results += [(g(t(3.7, -2.2, 0.4)), own(1.0 * assigned), own(1.0 * set_at)) for _ in range(4)]
    return results


@case
def copies_of_booleans(wrap: Any) -> Any:
    f = wrap(lambda b: (tg.tensor(b), b.astype(tg.bool), tg.asarray(b, copy=True)))
    return [f(tg.tensor(np.array([True, False]))) for _ in range(4)]


def same_as_without(name: str, jit: Any) -> None:
    """A case by `jit` gives what it gives without."""
    found = []
    for wrap in (lambda f: f, jit):
        tg.manual_seed(0)
        found.append(flat(CASES[name](wrap)))
    want, got = found
    assert len(got) == len(want), (name, len(got), len(want))
    for a, b in zip(got, want):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), (name, a, b)
        assert np.allclose(a, b, rtol=1e-6, atol=1e-12, equal_nan=True), (name, a, b)
