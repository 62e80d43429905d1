"""Reverse mode: one loop over the recorded graph, newest node first.

Why an order is needed: in `a = x*x; b = a+1; c = a*b` the node `a` feeds two others. Its cotangent is complete only
when both have been visited, so every node must come after all its consumers. Nodes are numbered as they are made, and a
consumer is always made later than what it consumes: taking the highest number first is such an order.
"""

from collections.abc import Container, Iterable, Sequence
from heapq import heappop, heappush
from math import inf

import numpy as np

from tapegrad.autograd import slots, writes
from tapegrad.autograd.aliases import Array, TensorLike, Value
from tapegrad.autograd.diagnostics import all_finite, describe, user_line, warn_user
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.flags import DEFAULT, Flags, changed_flags, current
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.autograd.whole import set_all, uninterrupted
from tapegrad.backends import BY_TYPE
from tapegrad.backends.numpy_backend import ZERO_MET_INFINITY

RULES = Flags(grad=False, raw=True)  # those that rules run under where nothing listens


class Cotangents:
    """The cotangents that are known so far.

    reached   those to return: of leaves, of the targets, and of tensors that retain theirs
    waiting   serial of a node -> [node, serial of its newest consumer, cotangent of each of its outputs]
    newest    these serials, negated, as a heap: the newest node comes first
    """

    __slots__ = ("newest", "reached", "targets", "waiting")

    def __init__(self, targets: Container[Tensor]) -> None:
        self.targets = targets
        self.reached: dict[Tensor, Value] = {}
        self.waiting: dict[int, list[Value]] = {}
        self.newest: list[int] = []

    def add(self, tensor: Tensor, g: Value, consumer: float) -> None:
        """Add to the cotangent of a tensor; consumer: the serial of the node that it comes from."""
        node = tensor.node
        end = node is None or tensor in self.targets
        if end or tensor.retains_grad:
            known = self.reached.get(tensor)
            self.reached[tensor] = g if known is None else known + g
        if end:
            return
        assert node is not None
        entry = self.waiting.get(node.serial)
        if entry is None:
            heappush(self.newest, -node.serial)
            entry = self.waiting[node.serial] = [node, consumer, *(None,) * node.primitive.outputs]
        at = tensor.output_index + 2
        entry[at] = g if entry[at] is None else entry[at] + g

    def sum_for(self, tensor: Tensor) -> Value:
        """What is known so far of the cotangent of a tensor."""
        if tensor.node is None or tensor in self.targets:
            return self.reached[tensor]
        return self.waiting[tensor.node.serial][tensor.output_index + 2]

    def pop(self) -> list[Value]:
        """The entry of the newest node: that of all its outputs are complete."""
        return self.waiting.pop(-heappop(self.newest))


def backward_pass(
    outputs: Iterable[tuple[Tensor, Value]],
    targets: dict[Tensor, None] | None = None,
    *,
    retain: bool = False,
    record: bool = False,
) -> dict[Tensor, Value]:
    """Carry cotangents from outputs, given as (tensor, cotangent) pairs, back to the leaves that require grad, or to
    the `targets` and no further. Returns a cotangent for each one reached.

    With record (or while a recorder listens) cotangents are Tensors, and with record what the rules do is recorded in
    turn; else they are raw arrays. Every node is freed once it is done with, unless `retain`.
    """
    flags = current.get()
    tensors = record or flags.recorder is not None
    outputs = list(outputs)
    useful = None if targets is None else tensors_between(outputs, targets)
    known = Cotangents(targets or ())
    if flags.recorder is not None:
        flags.recorder.backward(outputs)
    updated: dict[Node, Tensor] = {}  # calls of index_update that were done, and what they updated
    try:  # the flags are set inside, so that an interrupt just after that puts them back
        current.set(flags_for_rules(flags, record, tensors))
        for tensor, g in outputs:
            if useful is None or tensor in useful:
                known.add(tensor, g, inf)
        while known.newest:
            node, consumer, *cotangents = known.pop()
            inputs = node.inputs
            if writes.last > node.serial and node.out is not None:
                inputs = inputs_before_writes(node, updated, tensors, consumer)
            wanted = node.grad_inputs
            if useful is not None:
                wanted = [i for i in wanted if inputs[i] in useful]
            found = apply_rules(node, cotangents, wanted, tensors, inputs)
            for i, g in zip(wanted, found, strict=True):
                if g is not None:
                    x = node.arrays[i]
                    if g.shape != x.shape or g.dtype is not x.dtype:
                        g = match_shape_dtype(g, x)
                    known.add(inputs[i], g, node.serial)
                    if flags.anomaly:
                        look_for_anomaly(node, i, g, known.sum_for(inputs[i]))
            if not retain:
                node.free()
    finally:
        current.set(flags)
        if flags.recorder is not None:
            flags.recorder.rule(None)
    return known.reached


def flags_for_rules(flags: Flags, record: bool, tensors: bool) -> Flags:
    if flags is DEFAULT and not record:
        return RULES
    return Flags(record, not tensors, flags.anomaly, flags.depth, flags.recorder, in_rule=True)


def inputs_before_writes(
    node: Node, updated: dict[Node, Tensor], tensors: bool, consumer: float
) -> tuple[Value, ...]:
    """The inputs of a call as they were at its recording, though something was written since; `updated` gets what an
    index_update took. Raises RuntimeError if the write was to these."""
    inputs = node.recorded_inputs(updated)
    refuse_written(node, inputs, tensors, consumer)
    if node.primitive is ops.index_update_p:
        updated[node] = inputs[0]
    return inputs


def refuse_written(node: Node, inputs: tuple[object, ...], tensors: bool, newest: float) -> None:
    """Raise RuntimeError if an input or the result of a recorded call was overwritten since.

    newest    when the last call was recorded that was given the result: if the rule itself does not read the result,
              it may be written to after that
    """
    unread = node.primitive.unread
    alone = node.grad_inputs if node.primitive.crossed and len(node.grad_inputs) == 1 else ()
    for i, (t, array) in enumerate(zip(inputs, node.arrays, strict=True)):
        if (
            isinstance(t, Tensor)
            and i not in unread
            and i not in alone
            and (
                t._version > node.serial
                or writes.since(array, node.serial)
                or (tensors and t._data is not array and writes.since(t._data, node.serial))
            )
        ):
            raise RuntimeError(
                f"an input of {node.primitive.name}, {describe(t)}, was written to after it was recorded, so "
                "the gradient would be wrong: run the forward pass again after the write"
            )
    if node.primitive is ops.index_update_p:
        return
    until = newest if -1 in unread else inf
    for array in node.out if isinstance(node.out, tuple) else (node.out,):
        if writes.since(array, node.serial, until):
            raise RuntimeError(
                f"the result of {node.primitive.name}, {array.dtype}{list(array.shape)}, was written to after it was "
                "recorded, so the gradient would be wrong: write into a copy, or run the forward pass again"
            )


def apply_rules(
    node: Node,
    cotangents: list[Value],
    wanted: Sequence[int],
    tensors: bool,
    given: tuple[Value, ...] | None = None,
) -> list[Value]:
    """The cotangents of a node's wanted inputs by its primitive's rules; None for an input without a rule.

    The rules see Tensors of the graph, or raw arrays.
    """
    primitive, y = node.primitive, node.out
    if y is None:
        raise RuntimeError(
            f"backward through {primitive.name}, whose graph was freed by an earlier backward: pass retain_graph=True "
            "to that one to go through twice"
        )
    inputs = (given or node.recorded_inputs()) if tensors else node.arrays
    if primitive.outputs == 1:
        g = cotangents[0]
        if tensors:
            y = Tensor(y, True, node)
    else:  # an output nobody used has a zero cotangent
        if tensors:
            y = tuple(Tensor(out, True, node, i) for i, out in enumerate(y))
        g = tuple(ops.zeros_like_p(out) if c is None else c for out, c in zip(y, cotangents, strict=True))

    flags, met = current.get(), ZERO_MET_INFINITY[0]
    if flags.recorder is not None:
        flags.recorder.rule(node)
    rules, params = primitive.vjp, node.params
    if node.slope is not None and not tensors:
        found = [ops.scale_both(g, node.slope) for _ in wanted]
    elif callable(rules):
        every = rules([i in wanted for i in range(len(inputs))], g, y, *inputs, **params)
        found = [every[i] for i in wanted]
    else:
        found = [None if rules[i] is None else rules[i](g, y, *inputs, **params) for i in wanted]
    if met != ZERO_MET_INFINITY[0]:
        warn_of_overflow(node)
    return found


def look_for_anomaly(node: Node, i: int, g: Value, total: Value) -> None:
    """Raise FloatingPointError where the cotangent of argument i is not finite, or its sum with those of others."""
    what = f"the gradient of {node.primitive.name} for its argument {i}"
    if all_finite(raw_array(g)):
        if all_finite(raw_array(total)):
            return
        what += ", added to those of later calls that take it,"
    raise FloatingPointError(
        f"{what} has a NaN or Inf; the forward call was\n"
        f"{node.line or '  (not recorded under detect_anomaly: put the forward pass inside it, too)'}"
    )


def raw_array(g: Value) -> Array:
    return g._data if isinstance(g, Tensor) else g


def warn_of_overflow(node: Node) -> None:
    """Warn of a call whose result overflowed, when its gradient was 0 times infinity, which counts as 0.

    Not of a pole, as log(0) or 1/0, nor of a result that is infinite because an argument is; and not where NumPy is
    told to be silent about overflow, `np.errstate(over="ignore")`: it has warned of the forward call.
    """
    if not isinstance(node.out, np.ndarray) or np.geterr()["over"] == "ignore":
        return
    overflowed = np.isinf(node.out)
    for x in node.arrays:
        if np.shape(x) in ((), node.out.shape):
            overflowed = overflowed & np.isfinite(x) & (np.asarray(x) != 0)
    if overflowed.any():
        line = f" The forward call was\n{node.line}" if node.line else ""
        warn_user(
            f"the result of {node.primitive.name} overflowed to infinity, and its gradient, 0 times infinity, was "
            "taken to be 0 (see docs/conventions.md): write a form that does not overflow, such as tg.softplus(x) for "
            "log(1 + exp(x)), or tg.logsumexp; under tg.detect_anomaly() the call that overflows raises."
            + line
        )


def match_shape_dtype(g: Value, x: Value) -> Value:
    """The cotangent in the shape and dtype of its tensor: undoes broadcasting and promotion."""
    if g.shape != x.shape:
        lead = g.ndim - x.ndim
        stretched = tuple(range(lead))
        if g.shape[lead:] != x.shape:
            stretched += tuple(i + lead for i, n in enumerate(x.shape) if n == 1 != g.shape[i + lead])
        if stretched:
            g = ops.sum_p(g, axis=stretched, keepdims=False)
        if g.shape != x.shape:
            g = ops.reshape_p(g, shape=x.shape)
    return g if g.dtype is x.dtype or g.dtype == x.dtype else ops.astype_p(g, dtype=x.dtype)


def tensors_between(outputs: list[tuple[Tensor, Value]], targets: dict[Tensor, None]) -> set[Tensor]:
    """The tensors on some path from the outputs back to a target: the rest need no cotangents."""
    nodes: set[Node] = set()
    stack = [t for t, _ in outputs]
    while stack:
        t = stack.pop()
        if t.node is not None and t.node not in nodes and t not in targets:
            nodes.add(t.node)
            stack += [i for i in t.node.recorded_inputs() if isinstance(i, Tensor)]
    useful = set(targets)
    productive: set[Node] = set()
    for node in sorted(nodes, key=lambda n: n.serial):
        inputs = [t for t in node.recorded_inputs() if isinstance(t, Tensor)]
        on_path = [t for t in inputs if t in targets or t.node in productive]
        if on_path or node.out is None:  # a freed one is kept, for the loop to complain of
            productive.add(node)
            useful.update(on_path)
    useful.update(t for t, _ in outputs if t.node in productive)
    return useful


def accumulate_into_leaves(loss: Tensor, cotangent: TensorLike | None, retain: bool, record: bool) -> None:
    """`loss.backward()`: see Tensor.backward."""
    if not loss._requires_grad:
        raise RuntimeError(
            "backward: this tensor does not require grad: nothing it was made of requires grad, or it was made under "
            f"no_grad\n{user_line()}"
        )
    recorder = current.get().recorder
    tensors = record or recorder is not None
    seed = first_cotangent(loss, cotangent, tensors)
    given = {id(seed._data) if tensors else id(seed)}
    leaves: list[Tensor] = []
    gradients: list[Tensor] = []
    for leaf, g in backward_pass([(loss, seed)], retain=retain, record=record).items():
        if not tensors:
            g = Tensor(owned_copy(g, given))
        else:
            g = owned_tensor(g, given, record)
        before = leaf._grad
        if recorder is not None and before is not None:
            recorder.gradient_read(leaf)
        if slots.refitted:
            refuse_refitted(leaf, g, before)
        leaves.append(leaf)
        gradients.append(g if before is None else before + g)
    if recorder is None:
        set_all(leaves, "_grad", gradients)
        return
    with uninterrupted():
        for leaf, g in zip(leaves, gradients, strict=True):
            before, leaf._grad = leaf._grad, g
            recorder.gradient(leaf, g, before)


def refuse_refitted(leaf: Tensor, g: Tensor, before: Tensor | None) -> None:
    """Raise RuntimeError for a leaf whose data has another shape or dtype than its gradient, or the one from before."""
    for what, t in (
        ("the call that it was recorded in", g),
        ("its .grad from before, which x.grad = None drops", before),
    ):
        if t is not None and (t.shape != leaf.shape or t.dtype != leaf.dtype):
            raise RuntimeError(
                f"backward: {describe(leaf)} was given this shape and dtype by x.data = array, and {what}, has "
                f"{describe(t)}: run the forward pass again after that\n{user_line()}"
            )


def owned_copy(g: Array, given: set[int]) -> Array:
    """A cotangent in memory of its own: rules may return one array for two inputs, or a view of another's."""
    backend = BY_TYPE[type(g)]
    if id(g) in given or not backend.owns(g):
        g = backend.asarray(g, copy=True)
    given.add(id(g))
    return g


def owned_tensor(g: Tensor, given: set[int], record: bool) -> Tensor:
    """The same for a Tensor. record: whether the copy is recorded, as the backward pass was."""
    if id(g._data) in given or not g.backend.owns(g._data):
        with changed_flags(grad=record):
            g = ops.positive(g)
    given.add(id(g._data))
    return g


def first_cotangent(
    y: Tensor, cotangent: TensorLike | None, as_tensor: bool = True, what: str = "cotangent"
) -> Value:
    """The cotangent to start with, a Tensor or its raw array: ones for a tensor of one element, else what the caller
    gave, checked. what: its name in messages."""
    if not is_floating(y.dtype):
        raise TypeError(f"backward: only floating-point tensors have gradients, this one is {y.dtype}")
    if cotangent is None:
        if y.size != 1:
            raise RuntimeError(
                f"backward() without a cotangent needs a tensor of one element, this one has shape {y.shape}: reduce "
                "it, as with .sum() or .mean(), or pass backward(cotangent) of its shape"
            )
        if as_tensor:
            return ops.ones_like_p(y.detach())
        backend = BY_TYPE[type(y._data)]
        with backend.scope(y._data):
            ones = backend.xp.empty_like(y._data)
            ones[...] = 1  # a fifth of the time of NumPy's ones_like
            return ones
    from tapegrad.autograd.creation import tensor

    g = cotangent if isinstance(cotangent, Tensor) else tensor(cotangent, dtype=y.dtype, device=y.device)
    if g.shape != y.shape:
        raise ValueError(f"{what}: expected the tensor's shape {y.shape}, got {g.shape}")
    if g.device != y.device:
        raise ValueError(
            f"{what}: the tensor is on {y.device}, what was given on {g.device}: move it with .to(...)"
        )
    g = g if g.dtype == y.dtype else g.astype(y.dtype)
    return g if as_tensor else g._data


from tapegrad.autograd import ops  # noqa: E402 (sum and reshape are primitives like any other)
