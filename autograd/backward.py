"""Reverse mode: one loop over the recorded graph, newest node first.

Why an order is needed: in `a = x*x; b = a+1; c = a*b` the node `a` feeds two others. Its cotangent is complete only
when both have been visited, so every node must come after all its consumers. Nodes are numbered as they are made, and a
consumer is always made later than what it consumes: taking the highest number first is such an order.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any

import numpy as np

from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.primitive import all_finite, describe, user_line
from tapegrad.autograd.tensor import Node, Tensor


def backward_pass(
    outputs: Iterable[tuple[Tensor, Any]],
    targets: dict[Tensor, None] | None = None,
    *,
    retain: bool = False,
    record: bool = False,
) -> dict[Tensor, Any]:
    """Carry cotangents from outputs, given as (tensor, cotangent) pairs, back to the leaves that require grad, or to
    the `targets` and no further. Returns a cotangent for each one reached.

    With record (or while a recorder listens) cotangents are Tensors, and with record what the rules do is recorded in
    turn; else they are raw arrays. Every node is freed once it is done with, unless `retain`.
    """
    tensors = record or current.get().recorder is not None
    reached: dict[Tensor, Any] = {}
    waiting: dict[int, list[Any]] = {}  # serial -> [node, cotangent of each output]
    heap: list[int] = []  # the serials of what waits, negated: the newest comes first
    useful = None if targets is None else nodes_between(outputs := list(outputs), targets)

    def give(tensor: Tensor, g: Any) -> None:
        """Add a cotangent to what is known of a tensor's."""
        node = tensor.node
        if tensor.retains_grad or node is None or (targets is not None and tensor in targets):
            known = reached.get(tensor)
            reached[tensor] = g if known is None else known + g
            if not tensor.retains_grad or node is None:
                return
        key = -node.serial
        entry = waiting.get(key)
        if entry is None:
            entry = waiting[key] = [node] + [None] * node.primitive.outputs
            heappush(heap, key)
        known = entry[tensor.index + 1]
        entry[tensor.index + 1] = g if known is None else known + g

    with changed_flags(grad=record, raw=not tensors), np.errstate(all="ignore"):
        for tensor, g in outputs:
            if useful is None or tensor in targets or tensor.node in useful:  # type: ignore[operator]
                give(tensor, g)
        while heap:
            serial = -heappop(heap)
            node, *cotangents = waiting.pop(-serial)
            if node.freed:
                raise RuntimeError(
                    f"backward through {node.primitive.name}, whose graph was freed by an earlier backward: "
                    "pass retain_graph=True to that one to go through twice"
                )
            y, inputs = values(node, tensors)
            wanted = [
                isinstance(t, Tensor)
                and t.requires_grad
                and (useful is None or t in targets or t.node in useful)  # type: ignore[operator]
                for t in node.inputs
            ]
            for t, contribution in zip(
                node.inputs, apply_rules(node, cotangents, y, inputs, wanted), strict=True
            ):
                if isinstance(t, Tensor) and t.changed > serial:
                    raise RuntimeError(
                        f"an input of {node.primitive.name}, {describe(t)}, was written to after it was recorded, so "
                        "its gradient would be wrong: run the forward pass again after the write"
                    )
                if contribution is not None:
                    give(t, match(contribution, t.data))
            if not retain:
                node.free()
    return reached


def values(node: Node, tensors: bool) -> tuple[Any, list[Any]]:
    """What the rules see of a node: its output(s) and its inputs, as Tensors of the graph or as raw arrays."""
    if not tensors:
        return node.out, [t.data if isinstance(t, Tensor) else t for t in node.inputs]
    if node.primitive.outputs == 1:
        return Tensor(node.out, True, node), list(node.inputs)
    return tuple(Tensor(o, True, node, i) for i, o in enumerate(node.out)), list(node.inputs)


def apply_rules(
    node: Node, cotangents: list[Any], y: Any, inputs: list[Any], wanted: list[bool]
) -> list[Any]:
    """The cotangent of each wanted input, by the primitive's rules; None for the others."""
    primitive = node.primitive
    g: Any
    if primitive.outputs == 1:
        (g,) = cotangents
    else:  # an output nobody used has a zero cotangent
        g = tuple(ops.zeros_like_p(out) if c is None else c for out, c in zip(y, cotangents, strict=True))
    if callable(primitive.vjp):
        given = list(primitive.vjp(wanted, g, y, *inputs, **node.params))
        found = [c if want else None for c, want in zip(given, wanted, strict=True)]
    else:
        rules = primitive.vjp
        found = [
            rules[i](g, y, *inputs, **node.params) if want and rules[i] is not None else None
            for i, want in enumerate(wanted)
        ]
    if current.get().anomaly:
        for i, c in enumerate(found):
            if c is not None and not all_finite(c.data if isinstance(c, Tensor) else c):
                raise FloatingPointError(
                    f"the gradient of {primitive.name} for its argument {i} has a NaN or Inf; the forward call was\n"
                    f"{node.line or '  (not recorded under detect_anomaly: put the forward pass inside it, too)'}"
                )
    return found


def match(g: Any, x: Any) -> Any:
    """Bring a cotangent to the shape and dtype of what it belongs to: undo broadcasting, undo promotion."""
    if g.shape != x.shape:
        lead = g.ndim - x.ndim
        stretched = tuple(
            i for i in range(g.ndim) if i < lead or (x.shape[i - lead] == 1 and g.shape[i] != 1)
        )  # fmt: skip
        if stretched:
            g = ops.sum_p(g, axis=stretched, keepdims=False)
        g = ops.reshape_p(g, shape=x.shape) if g.shape != x.shape else g
    return g if g.dtype is x.dtype or g.dtype == x.dtype else ops.astype_p(g, dtype=x.dtype)


def nodes_between(outputs: list[tuple[Tensor, Any]], targets: dict[Tensor, None]) -> set[Node]:
    """The nodes on some path from the outputs back to a target: the rest need no cotangents."""
    found: set[Node] = set()
    stack = [t.node for t, _ in outputs if t.node is not None]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += [
                t.node
                for t in node.inputs
                if isinstance(t, Tensor) and t.node is not None and t not in targets
            ]
    useful: set[Node] = set()
    for node in sorted(found, key=lambda n: n.serial):
        if node.freed or any(
            isinstance(t, Tensor) and (t in targets or t.node in useful) for t in node.inputs
        ):
            useful.add(node)
    return useful


def accumulate_into_leaves(loss: Tensor, cotangent: Any, retain: bool, record: bool) -> None:
    """`loss.backward()`: see Tensor.backward."""
    if not loss.requires_grad:
        raise RuntimeError(
            "backward: this tensor does not require grad: nothing it was made of requires grad, or it was made under "
            f"no_grad\n{user_line()}"
        )
    seed = first_cotangent(loss, cotangent)
    record = record and not current.get().raw
    given: set[int] = set()
    tensors = record or current.get().recorder is not None
    for leaf, g in backward_pass(
        [(loss, seed if tensors else seed.data)], retain=retain, record=record
    ).items():
        if not tensors:
            backend = leaf.backend
            g = g if type(g) is backend.types[0] else backend.asarray(g)
            if id(g) in given or not backend.owns(
                g
            ):  # rules may return one array twice, or a view of another's
                g = backend.asarray(g, copy=True)
            given.add(id(g))
            g = Tensor(g)
        leaf.grad = g if leaf.grad is None else leaf.grad + g


def first_cotangent(y: Tensor, cotangent: Any) -> Tensor:
    """The cotangent to start with: ones for a tensor of one element, else what the caller gave, checked."""
    from tapegrad.autograd.creation import ones_like, tensor

    if not is_floating(y.dtype):
        raise TypeError(f"backward: only floating-point tensors have gradients, this one is {y.dtype}")
    if cotangent is None:
        if y.size != 1:
            raise RuntimeError(
                f"backward() without a cotangent needs a tensor of one element, this one has shape {y.shape}: reduce "
                "it, as with .sum() or .mean(), or pass backward(cotangent) of its shape"
            )
        return ones_like(y)
    g = cotangent if isinstance(cotangent, Tensor) else tensor(cotangent, dtype=y.dtype, device=y.device)
    if g.shape != y.shape:
        raise ValueError(f"cotangent: expected the tensor's shape {y.shape}, got {g.shape}")
    if g.device != y.device:
        raise ValueError(
            f"cotangent: the tensor is on {y.device}, the cotangent on {g.device}: move it with .to(...)"
        )
    return g if g.dtype == y.dtype else g.astype(y.dtype)


from tapegrad.autograd import ops  # noqa: E402 (match needs sum and reshape, which are primitives like any other)
