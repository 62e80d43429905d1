"""`einsum`: sums of products over named axes, made of sums, exchanges of axes and products of matrices."""

import math
from collections.abc import Container
from itertools import combinations

from tapegrad.autograd.aliases import TensorLike, Value
from tapegrad.autograd.copies import recorded_copy
from tapegrad.autograd.dtypes import common_dtype
from tapegrad.autograd.ops.linalg import matmul
from tapegrad.autograd.ops.reductions import sum_p
from tapegrad.autograd.ops.shape import as_tensor, broadcast_to, permute_p, reshape_p
from tapegrad.autograd.primitive import mixed_devices
from tapegrad.autograd.tensor import Tensor

Operand = tuple[Tensor, str]  # and the labels of its axes


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
    for label in left.replace("...", "").replace(",", "") + out.replace("...", ""):
        if not (label.isascii() and label.isalpha()):
            raise ValueError(f"einsum: expected letters as labels in {subscripts!r}, got {label!r}")
    names = left.split(",")
    names, out = _labels(subscripts, xs, names, out if arrow else None)
    lengths = _lengths(subscripts, xs, names, out)
    places = {i: x.device for i, x in enumerate(xs)}
    if len(set(places.values())) > 1:
        raise mixed_devices("einsum", places)
    dtype = common_dtype("einsum", [x.dtype for x in xs], "same")
    xs = [x.astype(dtype, copy=False) for x in xs]
    xs, names = _without_repeats(*_stretched(xs, names, lengths))
    result = _contracted(xs, names, out, lengths)
    # Where axes are only exchanged, or nothing is done, array libraries give a view.
    return recorded_copy(result) if len(xs) == 1 and len(out) == len(names[0]) else result


def _labels(subscripts: str, xs: list[Tensor], names: list[str], out: str | None) -> tuple[list[str], str]:
    """The labels of the axes of each operand and of the result, with some for `...`."""
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
    if out is None:
        every = "".join(names)
        out = ("..." if batch else "") + "".join(
            sorted(c for c in set(every) if every.count(c) == 1 and c not in batch)
        )
    elif batch and "..." not in out:
        raise ValueError(
            f"einsum: {subscripts!r} has ... on the left and not on the right: add it, or name the axes"
        )
    return names, out.replace("...", batch)


def _lengths(subscripts: str, xs: list[Tensor], names: list[str], out: str) -> dict[str, int]:
    """The length of the axis of each label."""
    lengths: dict[str, int] = {}
    for n, x in zip(names, xs, strict=True):
        for label, length in zip(n, x.shape, strict=True):
            if lengths.setdefault(label, length) != length and 1 not in (length, lengths[label]):
                raise ValueError(f"einsum: label {label!r} is {lengths[label]} long here and {length} there")
            lengths[label] = length if lengths[label] == 1 else lengths[label]
    for label in out:
        if label not in lengths or out.count(label) > 1:
            raise ValueError(
                f"einsum: {label!r} on the right of {subscripts!r} must be a label of the left, and stand there once"
            )
    return lengths


def _contracted(xs: list[Tensor], names: list[str], out: str, lengths: dict[str, int]) -> Tensor:
    """The sum of products, of two operands at a time: first of those whose product has the fewest elements."""
    parts: list[Operand] = list(zip(xs, names, strict=True))

    def needed(*taken: int) -> set[str]:
        return {*out, *(label for i, (_, name) in enumerate(parts) if i not in taken for label in name)}

    def size(pair: tuple[int, int]) -> int:
        labels = {*parts[pair[0]][1], *parts[pair[1]][1]}
        return math.prod(lengths[label] for label in labels & needed(*pair))

    while len(parts) > 1:
        i, j = min(combinations(range(len(parts)), 2), key=size)
        product = _product(parts[i], parts[j], needed(i, j))
        parts = [*(part for k, part in enumerate(parts) if k not in (i, j)), product]
    return _arranged(*_without(*parts[0], out), out)


def _product(first: Operand, second: Operand, needed: set[str]) -> Operand:
    """The product of two operands, summed over the labels that nobody needs any more: one product of matrices for each
    element of the axes that both have and that stay."""
    a, of_a = _without(*first, needed.union(second[1]))
    b, of_b = _without(*second, needed.union(of_a))
    both = [label for label in of_a if label in of_b]
    batch = "".join(label for label in both if label in needed)
    summed = "".join(label for label in both if label not in needed)
    left = "".join(label for label in of_a if label not in both)
    right = "".join(label for label in of_b if label not in both)
    a, b = _arranged(a, of_a, batch + left + summed), _arranged(b, of_b, batch + summed + right)
    k, m = len(batch), len(batch + left)
    lead, rows, columns = a.shape[:k], a.shape[k:m], b.shape[len(batch + summed) :]
    if batch and not left and not right:
        return _without(a * b, batch + summed, batch)
    if summed or (left and right):
        length = math.prod(a.shape[m:])
        a = _shaped(a, (*lead, math.prod(rows), length))
        product = matmul(a, _shaped(b, (*lead, length, math.prod(columns))))
    else:
        product = _shaped(a, a.shape + (1,) * len(columns)) * _shaped(b, lead + (1,) * len(rows) + columns)
    return _shaped(product, (*lead, *rows, *columns)), batch + left + right


def _without(x: Tensor, name: str, needed: Container[str]) -> Operand:
    """An operand summed over the labels that nobody needs."""
    axes = tuple(i for i, label in enumerate(name) if label not in needed)
    if not axes:
        return x, name
    total = sum_p(x, axis=axes, keepdims=False)
    total = total if total.dtype == x.dtype else total.astype(x.dtype)
    return total, "".join(label for label in name if label in needed)


def _arranged(x: Tensor, name: str, wanted: str) -> Tensor:
    return x if name == wanted else permute_p(x, axes=tuple(map(name.index, wanted)))


def _shaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return x if x.shape == shape else reshape_p(x, shape=shape)


def _stretched(xs: list[Value], names: list[str], lengths: dict[str, int]) -> tuple[list[Value], list[str]]:
    """Axes of length 1 that meet longer ones, broadcast to them."""
    shapes = [tuple(lengths[label] for label in n) for n in names]
    return [x if x.shape == s else broadcast_to(x, s) for x, s in zip(xs, shapes, strict=True)], names


def _without_repeats(xs: list[Value], names: list[str]) -> tuple[list[Value], list[str]]:
    """The diagonals of operands that have a label twice, whatever stands beside them."""
    from tapegrad.autograd.filled import arange

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
