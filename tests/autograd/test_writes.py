"""A write between forward and backward is noticed through every view, and nowhere else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from primitives.table import Case, cases
from tapegrad.autograd import writes
from tapegrad.autograd.backward import apply_rules
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.tensor import Node, Tensor

NOTICED = "was written to after"

VIEWS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda t: t,
    "detach": lambda t: t.detach(),
    "all": lambda t: t[...].detach(),
    "a row": lambda t: t[0].detach(),
    "rows": lambda t: t[0:1].detach(),
    "every second column": lambda t: t[:, ::2].detach(),
    "an element": lambda t: t[1, 1].detach(),
    "flip": lambda t: tg.flip(t).detach(),
    "reshape": lambda t: t.detach().reshape((-1,)),
    "flatten": lambda t: t.flatten().detach(),
    "T": lambda t: t.T.detach(),
    "mT": lambda t: t.mT.detach(),
    "permute_dims": lambda t: tg.permute_dims(t, (1, 0)).detach(),
    "moveaxis": lambda t: tg.moveaxis(t, 0, 1).detach(),
    "expand_dims": lambda t: t.expand_dims(axis=0).detach(),
    "squeeze": lambda t: t.expand_dims(axis=0).squeeze(0).detach(),
    "split": lambda t: tg.split(t, 2)[1].detach(),
    "unstack": lambda t: tg.unstack(t)[0].detach(),
    "a view of a view": lambda t: t.T[1:].detach()[0],
    "a Tensor of its array": lambda t: tg.asarray(t.data),
}
WRITERS: dict[str, Callable[[Any], None]] = {
    "assign": lambda v: v.assign(v.numpy() * 10.0),
    "t += v": lambda v: v.__iadd__(1.0),
    "t[...] = v": lambda v: v.__setitem__(..., 7.0),
    "t.data += v": lambda v: np.add(v.data, tg.tensor(1.0, dtype="float64"), out=v.data),
}


def intermediate() -> tuple[Any, Any]:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64", requires_grad=True)
    a = x * 2.0
    return a, (a * a).sum()


def result_of_a_rule() -> tuple[Any, Any]:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64", requires_grad=True)
    a = tg.exp(x)
    return a, a.sum()


def leaf() -> tuple[Any, Any]:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64", requires_grad=True)
    return x, (x * x).sum()


def constant() -> tuple[Any, Any]:
    x = tg.ones((2, 2), dtype="float64").requires_grad_()
    c = tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64")
    return c, (x * c).sum()


def of_a_checkpoint() -> tuple[Any, Any]:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64", requires_grad=True)
    a = tg.checkpoint(lambda x: x * 2.0)(x)
    return a, (a * a).sum()


def given_to_a_checkpoint() -> tuple[Any, Any]:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64", requires_grad=True)
    return x, tg.checkpoint(lambda x: (x * x).sum())(x)


def constant_of_a_checkpoint() -> tuple[Any, Any]:
    x = tg.ones((2, 2), dtype="float64").requires_grad_()
    c = tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64")
    return c, tg.checkpoint(lambda x: (x * c).sum())(x)


RECORDED = (
    intermediate, result_of_a_rule, leaf, constant, of_a_checkpoint, given_to_a_checkpoint, constant_of_a_checkpoint,
)  # fmt: skip


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("record", RECORDED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("view", VIEWS)
def test_a_write_through_a_view_is_noticed(
    view: str, record: Callable[[], Any], writer: str, create_graph: bool
) -> None:
    t, loss = record()
    with tg.no_grad():
        WRITERS[writer](VIEWS[view](t))
    with pytest.raises(RuntimeError, match=NOTICED):
        loss.backward(create_graph=create_graph)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("record", RECORDED, ids=lambda f: f.__name__)
def test_a_write_beside_it_is_not(record: Callable[[], Any], writer: str) -> None:
    """Into a copy; before the forward pass; into other elements of the same memory."""
    t, _ = record()
    copy = t.detach() * 1.0
    with tg.no_grad():
        WRITERS[writer](t.detach() * 1.0)
        WRITERS[writer](copy)
    _, loss = record()
    whole = tg.zeros((3, 4), dtype="float64")
    x = whole[:2].detach().requires_grad_()
    beside = (x * x).sum()
    with tg.no_grad():
        WRITERS[writer](whole[2])
    loss.backward()
    beside.backward()


def train_one_write_the_other(kind: Any) -> Any:
    a, b = (tg.Parameter(tg.ones(3)) for _ in range(2))
    opt = kind([a, b], lr=0.1)
    (a * b).sum().backward()
    return a, b, opt


@pytest.mark.parametrize("writer", [*WRITERS, "load"])
def test_another_parameter_of_the_same_buffer(writer: str) -> None:
    a, b, _ = train_one_write_the_other(tg.optim.Adam)
    assert writes.owner(a.data) is writes.owner(b.data)
    loss = (a * a).sum()
    with tg.no_grad():
        WRITERS.get(writer, lambda t: t.assign(tg.zeros(3)))(b)
    loss.backward()
    loss = (a * a).sum()
    with tg.no_grad():
        WRITERS.get(writer, lambda t: t.assign(tg.zeros(3)))(a)
    with pytest.raises(RuntimeError, match=NOTICED):
        loss.backward()


@pytest.mark.parametrize("kind", [tg.optim.SGD, tg.optim.Adam])
def test_a_step_writes_those_with_a_gradient_alone(kind: Any) -> None:
    a, b, opt = train_one_write_the_other(kind)
    of_a, of_b = (a * a).sum(), (b * b).sum()
    b.grad = None
    opt.step()
    of_b.backward()
    with pytest.raises(RuntimeError, match=NOTICED):
        of_a.backward()
    view = a.detach()
    loss = (tg.ones(3).requires_grad_() * view).sum()
    opt.step()
    with pytest.raises(RuntimeError, match=NOTICED):
        loss.backward()


def test_clipping_and_loading_and_moving_write() -> None:
    w = tg.tensor([3.0, 4.0], requires_grad=True)
    (w * w).sum().backward()
    loss = (w * w.grad).sum()
    tg.optim.clip_by_norm([w], 1.0)
    with pytest.raises(RuntimeError, match=NOTICED):
        loss.backward()
    layer = tg.nn.Dense(1, in_features=2)
    loss = (layer.kernel * layer.kernel).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match=NOTICED):
        loss.backward()
    loss = (layer.kernel * layer.kernel).sum()
    layer.to("float64")
    with pytest.raises(RuntimeError, match=NOTICED):
        loss.backward()


def test_what_a_rule_does_not_read_may_be_written_to() -> None:
    x, c = tg.ones((2, 2)).requires_grad_(), tg.ones((2, 2))
    loss = (x + c).sum() + (x - c).mean() + tg.concat([x, c]).sum() + tg.where(c > 0, x, c).sum()
    c += 1.0
    loss.backward()
    assert x.grad.tolist() == [[3.25, 3.25], [3.25, 3.25]]


def test_a_view_that_is_used_after_a_write_is_noticed() -> None:
    x = tg.ones((2, 2), dtype="float64").requires_grad_()
    h = x + 1.0
    row = h[0]
    with tg.no_grad():
        h *= 3.0
    for stale in (row.sum(), h.sum(), row + 1.0):
        with pytest.raises(RuntimeError, match=NOTICED):
            stale.backward(tg.ones_like(stale), retain_graph=True)


def test_a_loss_does_not_look_behind_probabilities_that_were_written_to() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 0.0]], dtype="float64").requires_grad_()
    p = tg.softmax(x)
    with tg.no_grad():
        p.assign([[0.5, 0.5], [0.5, 0.5]])
    loss = tg.nn.functional.categorical_crossentropy(p, tg.tensor([[1.0, 0.0], [0.0, 1.0]], dtype="float64"))
    assert loss.item() == pytest.approx(np.log(2.0), rel=1e-6)


# ---- what the rules read ----
# Functions of an element that is overwritten by the result, and their slopes at 0.25. PyTorch refuses the last three.
PARTS: dict[str, tuple[Any, float]] = {
    "exp": (tg.exp, np.exp(0.25)), "sqrt": (tg.sqrt, 1.0), "tanh": (tg.tanh, 1 - np.tanh(0.25) ** 2),
    "sigmoid": (tg.sigmoid, np.exp(-0.25) / (1 + np.exp(-0.25)) ** 2), "relu": (tg.relu, 1.0),
    "tan": (tg.tan, 1 / np.cos(0.25) ** 2),
    "times a number": (lambda v: v * 3, 3.0), "a number times": (lambda v: 3 * v, 3.0),
    "times a tensor": (lambda v: v * tg.tensor(3.0), 3.0), "over": (lambda v: v / 2, 0.5),
    "plus": (lambda v: v + 1, 1.0),
    "minus": (lambda v: 1 - v, -1.0), "a matrix": (lambda v: (v[None] @ tg.tensor([[3.0]]))[0], 3.0),
    "squared": (lambda v: v * v, 0.5), "log": (tg.log, 4.0), "sin": (tg.sin, np.cos(0.25)),
}  # fmt: skip


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(("f", "slope"), PARTS.values(), ids=list(PARTS))
def test_a_part_that_is_overwritten_by_its_own_function(f: Any, slope: float, create_graph: bool) -> None:
    x = tg.tensor([[1.0, 0.25], [3.0, 4.0]], requires_grad=True)
    z = x * 1
    z[0, 0] = 5.0
    z[0, 1] = f(z[0, 1]) if f is not PARTS["a matrix"][0] else f(z[0, 1:2])[0]
    z.sum().backward(create_graph=create_graph)
    assert np.allclose(x.grad.numpy(), [[0.0, slope], [1.0, 1.0]], rtol=1e-6)


def test_what_a_rule_of_the_other_argument_reads_is_not_written_to() -> None:
    a, b = tg.tensor([2.0], requires_grad=True), tg.tensor([3.0])
    for both in (False, True):
        b.requires_grad_(both)
        y = a * b
        with tg.no_grad():
            a.assign([5.0])
        if both:
            with pytest.raises(RuntimeError, match="was written to"):
                y.backward()
        else:
            y.backward()
            assert a.grad.item() == 3.0
    y = a * b
    with tg.no_grad():
        b.assign([7.0])
    with pytest.raises(RuntimeError, match="was written to"):
        y.backward()


@pytest.mark.parametrize("case", cases(lambda row: row.grad), ids=lambda case: case.id)
def test_a_rule_reads_nothing_that_is_told_as_unread(case: Case) -> None:
    """The gradient stays as it is to the bit when what is `unread` is full of NaN."""
    tensors = [tg.tensor(a) for a in case.cast("float64")]
    for t in tensors:
        t.requires_grad_(str(t.dtype) == "float64")
    results = case.row.call(*tensors)
    for node in recorded_behind(results if isinstance(results, tuple) else (results,)):
        unread = set(node.primitive.unread)
        if node.primitive.crossed and len(node.grad_inputs) == 1:
            unread |= set(node.grad_inputs)
        if node.primitive.outputs > 1 or not unread:
            continue
        g = np.random.default_rng(0).normal(size=node.out.shape)
        with changed_flags(grad=False, raw=True), np.errstate(all="ignore"):
            want = apply_rules(node, [g], node.grad_inputs, False)
            floating = lambda a: isinstance(a, np.ndarray) and a.dtype.kind == "f"
            node.arrays = tuple(
                np.full_like(a, np.nan) if i in unread and floating(a) else a
                for i, a in enumerate(node.arrays)
            )
            node.out = np.full_like(node.out, np.nan) if -1 in unread else node.out
            got = apply_rules(node, [g], node.grad_inputs, False)
        for a, b in zip(got, want, strict=True):
            assert (a is None and b is None) or np.array_equal(a, b), node.primitive


def recorded_behind(results: Any) -> list[Node]:
    nodes, stack = dict[Node, None](), [r for r in results if isinstance(r, Tensor)]
    while stack:
        node = stack.pop().node
        if node is not None and node not in nodes:
            nodes[node] = None
            stack += [t for t in node.inputs if isinstance(t, Tensor)]
    return list(nodes)


def test_memory_that_is_read_only_is_named() -> None:
    array = np.ones(3)
    array.flags.writeable = False
    for step in (lambda t, x: t.assign(x), tg.jit(lambda t, x: t.assign(x), emitter="numpy")):
        with pytest.raises(ValueError, match=r"float64\[3\], looks into memory that is read-only"):
            step(Tensor(array), tg.zeros(3))
    tg.tensor(array).assign(tg.zeros(3))


# ---- written by a program ----
@pytest.mark.parametrize("emitter", ["numpy", "native"])
def test_a_compiled_step_writes_its_parameters_and_state(emitter: str) -> None:
    """A graph of a parameter, of a view of one, or of the optimizer's state refuses; another one does not."""
    a, free = tg.Parameter(tg.ones(3)), tg.Parameter(tg.ones(3))
    seen = tg.zeros(3)
    opt = tg.optim.Adam([a], lr=0.1)

    @tg.jit(emitter=emitter)
    def step(x: Any) -> Any:
        opt.zero_grad()
        loss = (a * x).sum()
        loss.backward()
        opt.step()
        seen.assign(seen + x)
        return loss

    x = tg.ones(3)
    for _ in range(3):
        step(x)
    by = tg.ones(3).requires_grad_()
    stale = [
        (a * a).sum(),
        (by * a.detach()[1:2]).sum(),
        (by * opt.flats[0].state["m"]).sum(),
        (by * seen).sum(),
    ]
    fresh = [(free * free).sum(), (by * x).sum()]
    step(x)
    assert step.stats()["compiled"] == 2, step.stats()
    for loss in stale:
        with pytest.raises(RuntimeError, match=NOTICED):
            loss.backward()
    for loss in [*fresh, (a * a).sum(), (by * seen).sum()]:
        loss.backward()


@pytest.mark.parametrize(
    ("into", "of"),
    [
        (np.s_[::2], np.s_[1:7]),  # NumPy 2.4 mixes these two up
        (np.s_[1:7], np.s_[::2]),
        (np.s_[::-1], np.s_[:]),
        (np.s_[1:], np.s_[:-1]),
        (np.s_[::2], np.s_[11:5:-1]),
    ],
)
def test_a_value_in_the_memory_it_is_written_to(into: slice, of: slice) -> None:
    memory = np.arange(12.0)
    want = memory.copy()
    want[into] = memory[of].copy()
    Tensor(memory[into]).assign(Tensor(memory[of]))
    np.testing.assert_array_equal(memory, want)
