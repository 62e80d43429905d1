"""Products of matrices and tensors."""

import math
from collections.abc import Sequence

from tapegrad.autograd.aliases import Array, ArrayModule, TensorLike, Value
from tapegrad.autograd.copies import recorded_copy
from tapegrad.autograd.ops.shape import as_tensor, one_axis, permute_dims, permute_p, reshape, reshape_p
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor


def _turned(x: Value) -> Value:
    """The last two axes exchanged, of an array or a Tensor."""
    return x.T if x.ndim == 2 else permute_p(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _column(x: Value) -> Value:
    return reshape_p(x, shape=(*x.shape, 1))


def _row(x: Value) -> Value:
    return reshape_p(x, shape=(*x.shape[:-1], 1, *x.shape[-1:]))


def _to_left(g: Value, y: Value, a: Value, b: Value) -> Value:
    """g @ b^T; a vector counts as a matrix of one row (left) or one column (right)."""
    if a.ndim == 2 and b.ndim == 2:
        return g @ b.T
    if b.ndim == 1:
        g, b = (_column(g) if a.ndim > 1 else reshape_p(g, shape=(1, 1))), _column(b)
    elif a.ndim == 1:
        g = _row(g)
    return g @ _turned(b)  # for a vector on the left, summed over the axis of length 1 by the backward loop


def _to_right(g: Value, y: Value, a: Value, b: Value) -> Value:
    """a^T @ g."""
    if a.ndim == 2 and b.ndim == 2:
        return a.T @ g
    if b.ndim == 2 and a.ndim > 2:  # one product over all batches instead of a product each and a sum
        rows = math.prod(a.shape[:-1])
        return reshape_p(a, shape=(rows, a.shape[-1])).T @ reshape_p(g, shape=(rows, g.shape[-1]))
    if b.ndim == 1:
        a = a if a.ndim > 1 else _row(a)
        product = _turned(a) @ _column(reshape_p(g, shape=a.shape[:-1]))
        return reshape_p(product, shape=product.shape[:-1])
    return _column(a) @ _row(g) if a.ndim == 1 else _turned(a) @ g


def _shapes_do_not_fit(a: Value, b: Value) -> str | None:
    if not getattr(a, "ndim", 0) or not getattr(b, "ndim", 0):
        return "both arguments need at least 1 dimension: for a number use *"
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        which = "second to last" if b.ndim > 1 else "only"
        return (
            f"the last axis of the first argument, of length {a.shape[-1]}, and the {which} axis of the second, of "
            f"length {b.shape[-2 if b.ndim > 1 else 0]}, must be equal"
        )
    return None


matmul = Primitive(
    "matmul", lambda xp, a, b: a @ b, vjp=(_to_left, _to_right), promote="same", hint=_shapes_do_not_fit,
    doc="x1 @ x2: the matrix product over the last two axes, broadcast over the others; a 1-D x1 counts as a row and a "
    "1-D x2 as a column, and the axis so added is dropped again",
)  # fmt: skip


def _linear(xp: ArrayModule, x: Array, kernel: Array, bias: Array) -> Array:
    y = x @ kernel
    y += bias
    return y


linear = Primitive(
    "linear", _linear, promote="same", hint=lambda x, kernel, bias: _shapes_do_not_fit(x, kernel),
    vjp=(lambda g, y, x, kernel, bias: _to_left(g, y, x, kernel),
         lambda g, y, x, kernel, bias: _to_right(g, y, x, kernel),
         lambda g, y, x, kernel, bias: g),
    doc="x @ kernel + bias for a kernel of shape (in, out) and a bias of shape (out,)",
)  # fmt: skip


def vecdot(x1: TensorLike, x2: TensorLike, /, axis: int = -1) -> Tensor:
    """sum(x1 * x2) along `axis`, in the dtype of x1 * x2.

    Args:
        x1: An array of shape (…, n).
        x2: An array of shape (…, n).
        axis: The axis of length n.
    """
    products = as_tensor(x1) * as_tensor(x2)
    axis = one_axis("vecdot", axis, products.ndim)
    return products.sum(axis=axis, dtype=products.dtype)


def outer(x1: TensorLike, x2: TensorLike, /) -> Tensor:
    """The table of products x1[i] * x2[j] of two vectors.

    Args:
        x1: A vector of shape (m,).
        x2: A vector of shape (n,).

    Returns:
        A Tensor of shape (m, n).
    """
    return reshape(x1, (-1, 1)) * reshape(x2, (1, -1))


def tensordot(x1: TensorLike, x2: TensorLike, /, axes: int | Sequence[Sequence[int]] = 2) -> Tensor:
    """Sum of products over the last `axes` axes of x1 and the first of x2, or over two given lists of axes.

    Args:
        x1: An array.
        x2: An array.
        axes: The number of axes, or a pair of lists of axes.

    Raises:
        ValueError: The lengths along the axes differ.
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if isinstance(axes, int):
        if not 0 <= axes <= min(x1.ndim, x2.ndim):
            raise ValueError(f"tensordot: axes={axes} for arrays of {x1.ndim} and {x2.ndim} dimensions")
        left, right = list(range(x1.ndim - axes, x1.ndim)), list(range(axes))
    else:
        left, right = (
            [
                one_axis("tensordot", a, x.ndim)
                for a in (given if isinstance(given, (tuple, list)) else (given,))
            ]
            for given, x in zip(axes, (x1, x2), strict=True)
        )
    if [x1.shape[a] for a in left] != [x2.shape[a] for a in right]:
        raise ValueError(f"tensordot: the lengths along axes {axes} differ: shapes {x1.shape} and {x2.shape}")
    rows = [a for a in range(x1.ndim) if a not in left]
    columns = [a for a in range(x2.ndim) if a not in right]
    inner = math.prod(x1.shape[a] for a in left)
    outside = tuple(x1.shape[a] for a in rows), tuple(x2.shape[a] for a in columns)
    height, width = (math.prod(s) for s in outside)
    a = reshape_p(permute_dims(x1, (*rows, *left)), shape=(height, inner))
    b = reshape_p(permute_dims(x2, (*right, *columns)), shape=(inner, width))
    return reshape_p(matmul(a, b), shape=outside[0] + outside[1])


# ---- einsum ----
def _einsum_vjp(needed: Sequence[bool], g: Value, y: Value, *xs: Value, subscripts: str) -> tuple[Value, ...]:
    """The cotangent of one operand is the einsum of g and the other operands, its labels on the right-hand side."""
    labels, out = subscripts.split("->")
    names = labels.split(",")
    cotangents: list[Value] = []
    for i, (need, x) in enumerate(zip(needed, xs, strict=True)):
        if not need:
            cotangents.append(None)
            continue
        others = [j for j in range(len(xs)) if j != i]
        known = set(out).union(*(names[j] for j in others)) if others else set(out)
        present = "".join(label for label in names[i] if label in known)
        found = einsum_p(
            g,
            *(xs[j] for j in others),
            subscripts=",".join([out, *(names[j] for j in others)]) + "->" + present,
        )
        # a label of this operand alone was summed over: the same cotangent all along it
        kept = tuple(n if label in known else 1 for label, n in zip(names[i], x.shape, strict=True))
        from tapegrad.autograd.ops.shape import broadcast_p

        cotangents.append(broadcast_p(reshape_p(found, shape=kept), shape=x.shape))
    return tuple(cotangents)


einsum_p = Primitive(
    "einsum",
    None,
    vjp=_einsum_vjp,
    promote="same",
    doc="sum of products over named axes; no label twice in an operand",
)


def einsum(subscripts: str, /, *operands: TensorLike) -> Tensor:
    """Sum of products over named axes, as in NumPy: `einsum("bij,bjk->bik", a, b)`; `...` and repeated labels work.

    Args:
        subscripts: The axes of each operand and of the result, "bij,bjk->bik".
        operands: One array for each part.

    Raises:
        ValueError: The subscripts do not fit the operands.
    """
    if not isinstance(subscripts, str):
        raise TypeError(
            f"einsum: the subscripts come first, as a text, got {type(subscripts).__name__}: write "
            'einsum("ij->i", x) for NumPy\'s einsum(x, [0, 1], [0])'
        )
    xs = [as_tensor(x) for x in operands]
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    names = left.split(",")
    if len(names) != len(xs):
        raise ValueError(f"einsum: {subscripts!r} names {len(names)} operand(s), {len(xs)} were given")
    free = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba" if c not in subscripts]
    dots = [x.ndim - len(n.replace("...", "")) if "..." in n else 0 for n, x in zip(names, xs, strict=True)]
    batch = "".join(free.pop() for _ in range(max([0, *dots])))
    names = [n.replace("...", batch[len(batch) - d :]) for n, d in zip(names, dots, strict=True)]
    for n, x in zip(names, xs, strict=True):
        if len(n) != x.ndim:
            raise ValueError(
                f"einsum: {n!r} in {subscripts!r} names {len(n)} axes, its operand has shape {x.shape}"
            )
    if not arrow:
        every = "".join(names)
        out = ("..." if batch else "") + "".join(
            sorted(c for c in set(every) if every.count(c) == 1 and c not in batch)
        )
    elif batch and "..." not in out:
        raise ValueError(
            f"einsum: {subscripts!r} has ... on the left and not on the right: add it, or name the axes"
        )
    out = out.replace("...", batch)
    lengths: dict[str, int] = {}
    for n, x in zip(names, xs, strict=True):
        for label, length in zip(n, x.shape, strict=True):
            if lengths.setdefault(label, length) != length and 1 not in (length, lengths[label]):
                raise ValueError(f"einsum: label {label!r} is {lengths[label]} long here and {length} there")
            lengths[label] = length if lengths[label] == 1 else lengths[label]
    xs, names = _without_repeats(*_stretched(xs, names, lengths))
    summed = einsum_p(*xs, subscripts=",".join(names) + "->" + out)
    # Of one operand whose axes are only exchanged, array libraries give a view.
    return recorded_copy(summed) if len(xs) == 1 and len(out) == len(names[0]) else summed


def _stretched(xs: list[Value], names: list[str], lengths: dict[str, int]) -> tuple[list[Value], list[str]]:
    """Axes of length 1 that meet longer ones, broadcast to them."""
    from tapegrad.autograd.ops.shape import broadcast_to

    shapes = [tuple(lengths[label] for label in n) for n in names]
    return [x if x.shape == s else broadcast_to(x, s) for x, s in zip(xs, shapes, strict=True)], names


def _without_repeats(xs: list[Value], names: list[str]) -> tuple[list[Value], list[str]]:
    """The diagonals of operands that have a label twice, whatever stands beside them."""
    from tapegrad.autograd.filled import arange
    from tapegrad.autograd.ops.shape import permute_p

    xs, names = list(xs), list(names)
    for i in range(len(xs)):
        for label in dict.fromkeys(names[i]):
            while names[i].count(label) > 1:
                first = names[i].index(label)
                second = names[i].index(label, first + 1)
                others = [axis for axis in range(len(names[i])) if axis not in (first, second)]
                along = arange(xs[i].shape[first], device=xs[i].device)
                xs[i] = permute_p(xs[i], axes=(first, second, *others))[along, along]
                names[i] = label + "".join(names[i][axis] for axis in others)
    return xs, names
