"""Nested structures of tensors as users handle them: `tg.tree.map(f, params)`, leaves, and one vector of all.

A structure is what the transforms take: a tuple, list, dict, named tuple, dataclass object or Module, to any depth.
None has no leaves, and a Module counts as the dict of its parameters by path. Everything else is a leaf.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tapegrad.autograd.arguments import somewhere
from tapegrad.autograd.diagnostics import describe
from tapegrad.autograd.dtypes import common_dtype, finfo, is_floating, name_of
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.ops import concat_p, reshape_p
from tapegrad.autograd.ops import flatten as flat
from tapegrad.autograd.structure import Rebuild, check_sequence, leaves_like, tensors_of
from tapegrad.autograd.structure import flatten as take_apart

if TYPE_CHECKING:
    from tapegrad.autograd.aliases import Tree
    from tapegrad.autograd.tensor import Tensor
    from tapegrad.backends.aliases import DType, Function


@answering
def map(f: "Function", tree: "Tree", /, *rest: "Tree") -> "Tree":
    """The structure with f(leaf) in place of each leaf; with more structures, f(leaf, leaf of the second, …).

    Args:
        f: Called once for each leaf.
        tree: A nested tuple, list, dict, dataclass object or Module; of a Module the result is a dict.
        *rest: Structures built as `tree` is.

    Returns:
        A structure as `tree`. Where f returns None, None stands.

    Raises:
        ValueError: A structure in `rest` differs; the message names the part.
    """
    if not callable(f):
        raise TypeError(f"tree.map: the function comes first, tg.tree.map(f, tree), got a {type(f).__name__}")
    leaves_, build = take_apart(tree)
    others = [leaves_like(f"tree.map: structure {i + 2}", other, tree) for i, other in enumerate(rest)]
    return build([f(*group) for group in zip(leaves_, *others, strict=True)])


@answering
def leaves(tree: "Tree", /) -> "list[Tree]":
    """The leaves of a structure, in order; dicts in the order of their keys' insertion.

    Args:
        tree: A nested tuple, list, dict, dataclass object or Module.
    """
    return take_apart(tree)[0]


@answering
def flatten(tree: "Tree", /) -> "tuple[list[Tree], Rebuild]":
    """(leaves, rebuild): the leaves in order, and the function that builds the same structure of other leaves.

    `tg.tree.unflatten(rebuild, leaves)` is rebuild(leaves) with a check of their number.

    Args:
        tree: A nested tuple, list, dict, dataclass object or Module; of a Module rebuild makes a dict.
    """
    found, build = take_apart(tree)
    count = len(found)

    def rebuild(new: "Tree") -> "Tree":
        check_sequence("tree.unflatten", new)
        if len(new) != count:
            raise ValueError(f"tree.unflatten: the structure has {count} leaves, got {len(new)}")
        return build(list(new))

    return found, rebuild


@answering
def unflatten(rebuild: Rebuild, leaves: "Tree", /) -> "Tree":
    """The structure that `flatten` took apart, of other leaves.

    Args:
        rebuild: The second result of `flatten`.
        leaves: A list or tuple with as many leaves.

    Raises:
        ValueError: There are more or fewer leaves.
    """
    if not callable(rebuild):
        raise TypeError(
            "tree.unflatten: give what tg.tree.flatten returned second, then the leaves; got a "
            f"{type(rebuild).__name__} first"
        )
    return rebuild(leaves)


@answering
def ravel(tree: "Tree", /) -> "tuple[Tensor, Callable[[Tensor], Tree]]":
    """(vector, unravel): all elements in one vector, and the function that makes the structure of such a vector.

    Both ways are differentiable. `vector, unravel = tg.tree.ravel(params)` makes of a function of a structure one of a
    vector, as optimizers such as SciPy's want it.

    Args:
        tree: A nested tuple, list, dict, dataclass object or Module of tensors, arrays and numbers, all on one device.

    Returns:
        The vector, of shape (n,), in the dtype to which the leaves promote; and unravel, which gives each leaf its
        shape and dtype again, and memory of its own.

    Raises:
        TypeError: A leaf is neither a tensor nor numbers.
        ValueError: unravel got another shape than (n,), or an integer is not exact in the vector's dtype.
    """
    from tapegrad.autograd.filled import zeros

    tensors, build = tensors_of("tree.ravel", tree)
    shapes = [t.shape for t in tensors]
    dtypes = [t.dtype for t in tensors]
    sizes = [t.size for t in tensors]
    if tensors:
        kind = tensors[0].backend.dtype(common_dtype("tree.ravel", dtypes, "same"))
        _refuse_rounding(tensors, kind)
        vector = concat_p(*(flat(t).astype(kind, copy=False) for t in tensors), axis=0)
    else:
        vector = zeros((0,))
    total = vector.size

    def unravel(vector: "Tensor") -> "Tree":
        from tapegrad.autograd.ops import as_tensor

        vector = as_tensor(vector)
        if vector.shape != (total,):
            raise ValueError(f"unravel: expected a vector of shape ({total},), got {vector.shape}")
        parts, start = [], 0
        for shape, dtype, size in zip(shapes, dtypes, sizes, strict=True):
            part = reshape_p(vector[start : start + size], shape=shape)
            parts.append(part.astype(dtype))  # memory of its own, which may be written to
            start += size
        return build(parts)

    return vector, unravel


def _refuse_rounding(tensors: "list[Tensor]", kind: "DType") -> None:
    """Raise ValueError for an integer that floats of this dtype cannot hold beside it."""
    if not is_floating(kind):
        return
    limit = int(2.0 / float(finfo(kind).eps))  # up to here all integers are floats
    for t in tensors:
        larger = not is_floating(t.dtype) and 2 ** (8 * t.dtype.itemsize - 1) > limit
        if larger and somewhere(t, lambda a: (a > limit) | (a < -limit)):
            raise ValueError(
                f"tree.ravel: integers beyond {limit:,} are not exact in a vector of {name_of(kind)}: leave "
                f"{describe(t)} out, or convert the floats, as in t.astype('float64')"
            )
