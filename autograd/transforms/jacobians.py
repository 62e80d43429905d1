"""Derivatives as arrays: jacobian, hessian, and the Hessian times a vector."""

from collections.abc import Callable, Sequence
from typing import ParamSpec

from tapegrad.autograd import ops
from tapegrad.autograd.aliases import Tree
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.structure import check_sequence, flatten, need_function, tensors_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms.derivatives import (
    argument_numbers,
    check_argnums,
    cotangents_at,
    grad,
    jvp,
    must_record,
    named,
    run,
    stand_ins,
)
from tapegrad.backends.aliases import Function

P = ParamSpec("P")  # the parameters of a user's function


def jacobian(f: Callable[P, object], argnums: int | Sequence[int] = 0) -> Callable[P, Tree]:
    """A function that returns the Jacobian of f: for each tensor y of f's result, and each tensor x of the argument,
    the derivatives dy/dx, of shape (*y.shape, *x.shape).

    The structure of f's result, and in the place of each tensor the structure of the argument (a tuple of them for
    several argnums; for a Module a dict by parameter path): {"loss": {"w": …, "b": …}}.

    One reverse pass for each element of the result. Raises TypeError for a result of integers.

    Args:
        f: A function that returns tensors.
        argnums: Which positional arguments to differentiate for: a number, from the end if negative, or a tuple of
            them.
    """
    need_function("jacobian", f)
    check_argnums(argnums)

    def function(*args: P.args, **kwargs: P.kwargs) -> Tree:
        call, leaves, rebuild = stand_ins("jacobian", args, argument_numbers("jacobian", argnums, len(args)))
        returned = run(f, call, kwargs, leaves)
        _check_tensors(returned)
        flat, rebuild_outputs = tensors_of("jacobian: the function's result", returned)
        record = must_record(flat, leaves)
        parts = [rebuild(_rows(y, leaves, record)) for y in flat]
        return rebuild_outputs([part[0] if isinstance(argnums, int) else part for part in parts])

    return named(function, "jacobian", f)


def _check_tensors(returned: Tree) -> None:
    """Raise TypeError for numbers and arrays, whose gradient is lost: tg.grad does, too."""
    for leaf in flatten(returned)[0]:
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"jacobian: the function must return tensors, it returned {type(leaf).__name__}, which has lost the "
                "gradient: compute with functions of tg to the end"
            )


def _rows(y: Tensor, leaves: Sequence[Tensor], record: bool) -> list[Tensor]:
    """The Jacobian of one result for each leaf."""
    if not is_floating(y.dtype):
        raise TypeError(f"jacobian: the result of the function must be floating-point tensors, not {y.dtype}")
    outputs = [y] if y.requires_grad else []
    rows = []
    for i in range(y.size):
        unit = ops.index_update(ops.zeros_like_p(y.detach()).reshape((-1,)), i, 1.0)
        seeds = [unit.reshape(y.shape)] if outputs else []
        rows.append(cotangents_at(outputs, seeds, leaves, record=record, retain=True))
    found = []
    for n, leaf in enumerate(leaves):
        of_leaf = ops.stack([row[n] for row in rows]) if rows else ops.zeros_like_p(leaf.detach())[None][:0]
        found.append(ops.reshape_p(of_leaf, shape=(*y.shape, *leaf.shape)))
    return found


def hessian(f: Callable[P, object], argnums: int | Sequence[int] = 0) -> Callable[P, Tree]:
    """A function that returns the second derivatives of a scalar f, the Jacobian of its gradient.

    For one tensor x, shape (*x.shape, *x.shape). For nested arguments the structure of the argument, and in the place
    of each tensor that structure again: h["w"]["b"] is the derivative of df/dw for b. For several argnums, tuples of
    tuples.

    Args:
        f: A function that returns a scalar tensor.
        argnums: Which positional arguments to differentiate for: a number, from the end if negative, or a tuple of
            them.
    """
    need_function("hessian", f)
    return named(jacobian(grad(f, argnums), argnums), "hessian", f)


def hvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> Tree:
    """The Hessian of a scalar f times a vector, without the Hessian: the derivative of the gradient along the tangents.

    Returns one product for each primal, of its structure, or the product itself if there is one primal.

    Args:
        f: A function that returns a scalar tensor.
        primals: The arguments of f: tensors, nested structures of tensors, or Modules.
        tangents: The vector, of the structure and shapes of the primals.
    """
    need_function("hvp", f)
    check_sequence("hvp: primals", primals)
    check_sequence("hvp: tangents", tangents)
    every = grad(f, tuple(range(len(primals))))
    product = jvp(every, primals, tangents)[1]
    return product[0] if len(primals) == 1 else product
