"""Products of matrices and tensors."""

import math
from collections.abc import Sequence

from tapegrad.autograd.aliases import Array, ArrayModule, Function, TensorLike, Value
from tapegrad.autograd.ops.activations import relu
from tapegrad.autograd.ops.elementwise import tanh
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
        # For one unit a product without sums: a multiplication takes a third of the time.
        return g * b.T if b.shape[1] == 1 else g @ b.T
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
    crossed=True,
    doc="x1 @ x2: the matrix product over the last two axes, broadcast over the others; a 1-D x1 counts as a row and a "
    "1-D x2 as a column, and the axis so added is dropped again",
)  # fmt: skip


def _linear(xp: ArrayModule, x: Array, kernel: Array, bias: Array) -> Array:
    if kernel.ndim < 2:
        raise ValueError(
            f"the kernel must have the axes (in, out), got shape {kernel.shape}: write x @ w + b"
        )
    y = x @ kernel
    y += bias
    return y


def _linear_hint(x: Value, kernel: Value, bias: Value) -> str | None:
    if kernel.ndim < 2:
        return None  # the forward has said it
    larger = f"the bias, of shape {bias.shape}, must fit into the product: write x @ kernel + bias for a larger one"
    return _shapes_do_not_fit(x, kernel) or larger


linear = Primitive(
    "linear", _linear, promote="same", hint=_linear_hint,
    vjp=(lambda g, y, x, kernel, bias: _to_left(g, y, x, kernel),
         lambda g, y, x, kernel, bias: _to_right(g, y, x, kernel),
         lambda g, y, x, kernel, bias: g),
    doc="x @ kernel + bias for a kernel of shape (in, out) and a bias of shape (out,)",
)  # fmt: skip


def _then(activation: Primitive) -> Function:
    """The forward of an activation of x @ kernel + bias."""

    def forward(xp: ArrayModule, x: Array, kernel: Array, bias: Array) -> Array:
        assert activation.forward is not None
        return activation.forward(xp, _linear(xp, x, kernel, bias))

    return forward


def _through(activation: Primitive) -> Function:
    """Its joint rule, for an activation whose rule reads its result and not its argument: the sum is not kept."""
    assert isinstance(activation.vjp, tuple) and activation.vjp[0] is not None
    rule_of_activation = activation.vjp[0]

    def rules(
        needed: Sequence[bool], g: Value, y: Value, x: Value, kernel: Value, bias: Value
    ) -> tuple[Value, ...]:
        g = rule_of_activation(g, y, None)  # now that of x @ kernel + bias
        return (
            _to_left(g, y, x, kernel) if needed[0] else None,
            _to_right(g, y, x, kernel) if needed[1] else None,
            g,
        )

    return rules


dense_relu = Primitive(
    "dense_relu", _then(relu), vjp=_through(relu), promote="float", hint=_linear_hint,
    doc="relu(x @ kernel + bias), of which the backward pass keeps the result alone",
)  # fmt: skip
dense_tanh = Primitive(
    "dense_tanh", _then(tanh), vjp=_through(tanh), promote="float", hint=_linear_hint,
    doc="tanh(x @ kernel + bias), of which the backward pass keeps the result alone",
)  # fmt: skip
DENSE = {relu: dense_relu, tanh: dense_tanh}


def dense(x: Value, kernel: Value, bias: Value, activation: Function | None) -> Value:
    """activation(x @ kernel + bias), as one call where there is one."""
    for known, whole in DENSE.items():
        if activation is known:
            return whole(x, kernel, bias)
    y = linear(x, kernel, bias)
    return y if activation is None else activation(y)


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
