"""Transforms of functions: grad, value_and_grad, vjp, jvp, jacobian, hessian, hvp. All are one loop, `backward_pass`.

Each runs the function on fresh leaves that stand for its arguments, then carries cotangents back to those. The fresh
leaf of an argument that is itself being differentiated is recorded as a copy of it, so transforms nest.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.autograd import ops
from tapegrad.autograd.backward import backward_pass, first_cotangent
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.structure import Rebuild, check_sequence, flatten, is_module, tensors_of
from tapegrad.autograd.tensor import Tensor


def fresh(name: str, x: Tensor) -> Tensor:
    """A leaf that stands for x: where x is being differentiated from outside, a recorded copy."""
    if not is_floating(x.dtype):
        raise TypeError(
            f"{name}: only floating-point arguments have gradients, got one of {x.dtype}: "
            "convert it, as in t.astype(tg.float32), or leave it out of argnums"
        )
    if x.requires_grad and current.get().grad:
        return ops.positive(x)
    return Tensor(x.data, requires_grad=True)


def leaves_of(name: str, arg: Any) -> tuple[Any, list[Tensor], Rebuild]:
    """What to call the function with in place of an argument, the leaves to differentiate for, and how to rebuild.

    A Module is differentiated for its own parameters.
    """
    if is_module(arg):
        parameters, rebuild = flatten(arg)
        return arg, [p for p in parameters if p.requires_grad], _frozen_as_none(parameters, rebuild)
    tensors, rebuild = tensors_of(name, arg)
    made = [fresh(name, t) for t in tensors]
    return rebuild(list(made)), made, rebuild


def _frozen_as_none(parameters: list[Any], rebuild: Rebuild) -> Rebuild:
    def put(found: list[Any]) -> Any:
        rest = iter(found)
        return rebuild([next(rest) if p.requires_grad else None for p in parameters])

    return put


def run(f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call f with recording on, one transform deeper."""
    with changed_flags(grad=True, raw=False, depth=current.get().depth + 1):
        return f(*args, **kwargs)


def must_record(outputs: Sequence[Tensor], targets: dict[Tensor, None]) -> bool:
    """Whether the backward pass must itself be recorded: if an outer transform is running, or if something other than
    the targets could be differentiated for later, through the gradients."""
    flags = current.get()
    if not flags.grad:
        return False
    if flags.depth:
        return True
    seen, stack = set(), [t for t in outputs if t.requires_grad]
    while stack:
        t = stack.pop()
        if t in targets:
            if t.node is not None:  # a recorded copy of a tensor that requires grad
                return True
        elif t.node is None:
            return True
        elif t.node not in seen:
            seen.add(t.node)
            stack += [i for i in t.node.recorded_inputs() if isinstance(i, Tensor) and i.requires_grad]
    return False


def cotangents_at(
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    leaves: Sequence[Tensor],
    *,
    record: bool,
    retain: bool = False,
) -> list[Tensor]:
    """Carry cotangents of the outputs back to the leaves, as Tensors; zeros for a leaf that has no part in them."""
    tensors = record or current.get().recorder is not None
    targets = dict.fromkeys(leaves)
    pairs = [
        (y, g if tensors else g.data) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad
    ]
    reached = backward_pass(pairs, targets, retain=retain or record, record=record)
    found = []
    for leaf in leaves:
        g = reached.get(leaf)
        if g is None:
            g = ops.zeros_like_p(leaf.detach())
        elif not tensors:
            g = Tensor(leaf.backend.asarray(g, copy=not leaf.backend.owns(g) if hasattr(g, "base") else True))
        found.append(g)
    return found


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns (f(*args), its gradient).

    f          returns a scalar tensor, or with has_aux a pair (scalar, anything)
    argnums    which arguments to differentiate for: a number, or several (then the gradient is a tuple)

    Arguments are tensors, nested tuples, lists and dicts of tensors, or Modules; each gradient has the structure of its
    argument (for a Module, a dict by parameter path). Can be nested for higher derivatives.
    """
    numbers = _argnums(argnums)

    def function(*args: Any, **kwargs: Any) -> Any:
        if max(numbers) >= len(args) or min(numbers) < -len(args):
            raise TypeError(
                f"grad: argnums={argnums}, but the function was given {len(args)} positional argument(s)"
            )
        call, leaves, rebuilds, counts = list(args), [], [], []
        for n in numbers:
            call[n], made, rebuild = leaves_of("grad", args[n])
            leaves += made
            rebuilds.append(rebuild)
            counts.append(len(made))
        returned = run(f, call, kwargs)
        value, aux = _with_aux(returned) if has_aux else (returned, None)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"grad: the function must return a scalar tensor, it returned {type(value).__name__}"
                + (
                    ": for a pair of the value and something else, pass has_aux=True"
                    if isinstance(value, tuple)
                    else ""
                )
            )
        if value.size != 1:
            raise ValueError(
                f"grad: the function must return a scalar, it returned shape {value.shape}: reduce it, as with .sum(), "
                "or use tg.jacobian or tg.vjp"
            )
        record = must_record([value], dict.fromkeys(leaves))
        gradients = iter(cotangents_at([value], [first_cotangent(value, None)], leaves, record=record))
        found = tuple(
            rebuild([next(gradients) for _ in range(n)]) for rebuild, n in zip(rebuilds, counts, strict=True)
        )
        if not record:
            value = value.detach()
        return ((value, aux) if has_aux else value), (found[0] if isinstance(argnums, int) else found)

    function.__name__ = f"value_and_grad({getattr(f, '__name__', 'f')})"
    function.__doc__ = f.__doc__
    return function


def _argnums(argnums: int | Sequence[int]) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if not numbers or not all(isinstance(n, int) for n in numbers) or len(set(numbers)) < len(numbers):
        raise ValueError(f"argnums: expected an argument's number or several different ones, got {argnums!r}")
    return numbers


def _with_aux(returned: Any) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"grad: with has_aux=True the function must return a pair, it returned {returned!r}")
    return returned


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of the scalar function f; see `value_and_grad`. With has_aux it returns
    (gradient, aux)."""
    both = value_and_grad(f, argnums, has_aux)

    def function(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    function.__name__ = f"grad({getattr(f, '__name__', 'f')})"
    function.__doc__ = f.__doc__
    return function


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """(f(*primals), pullback): pullback(cotangents), of the structure of the outputs, returns a tuple with the
    cotangent of each primal, the product of the cotangent and the Jacobian. It can be called often and differentiated.
    """
    call, leaves, rebuilds, counts = [], [], [], []
    for primal in primals:
        argument, made, rebuild = leaves_of("vjp", primal)
        call.append(argument)
        leaves += made
        rebuilds.append(rebuild)
        counts.append(len(made))
    flat, rebuild_outputs = tensors_of("vjp: the function's result", run(f, call, {}))
    record = must_record(flat, dict.fromkeys(leaves))

    def pullback(cotangents: Any) -> tuple[Any, ...]:
        given, _ = flatten(cotangents)
        if len(given) != len(flat):
            raise ValueError(
                f"pullback: the function has {len(flat)} output(s), got {len(given)} cotangent(s)"
            )
        seeds = [first_cotangent(y, g) if y.requires_grad else None for y, g in zip(flat, given, strict=True)]
        again = record or any(g is not None and g.requires_grad for g in seeds)
        pairs = [(y, g) for y, g in zip(flat, seeds, strict=True) if g is not None]
        found = iter(
            cotangents_at(
                [y for y, _ in pairs],
                [g for _, g in pairs],
                leaves,
                record=again and current.get().grad,
                retain=True,
            )
        )
        return tuple(
            rebuild([next(found) for _ in range(n)]) for rebuild, n in zip(rebuilds, counts, strict=True)
        )

    return rebuild_outputs([y if record else y.detach() for y in flat]), pullback


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """(f(*primals), the Jacobian times the tangents): how the outputs move when the primals move along the tangents.

    Made of two reverse passes: the pullback of f is linear in its cotangent u, and the pullback of that map is the
    forward derivative. One table of rules serves both directions.
    """
    check_sequence("jvp: primals", primals)
    check_sequence("jvp: tangents", tangents)
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: {len(primals)} primal(s), but {len(tangents)} tangent(s)")
    # Recorded copies of the primals make the pullback itself recorded.
    copies = [_watched(p) for p in primals]
    outputs, pullback = vjp(f, *copies)
    flat, rebuild = flatten(outputs)
    probes = [
        Tensor(ops.zeros_like_p(y.detach()).data, requires_grad=True) if is_floating(y.dtype) else y
        for y in flat
    ]
    with changed_flags(grad=True, depth=current.get().depth + 1):
        pulled, _ = flatten(list(pullback(rebuild(list(probes)))))
    moves, _ = tensors_of("jvp", list(tangents))
    if len(moves) != len(pulled):
        raise ValueError(f"jvp: the primals hold {len(pulled)} tensor(s), the tangents {len(moves)}")
    pairs = [(p, first_cotangent(p, m)) for p, m in zip(pulled, moves, strict=True) if p.requires_grad]
    live = [p for p in probes if p.requires_grad]
    record = current.get().grad and any(
        t.requires_grad
        for part in (primals, tangents)
        for t in flatten(list(part))[0]
        if isinstance(t, Tensor)
    )
    found = iter(
        cotangents_at(
            [p for p, _ in pairs],
            [m for _, m in pairs],
            live,
            record=record or bool(current.get().depth),
            retain=True,
        )
    )
    out = [next(found) if p.requires_grad else ops.zeros_like_p(p) for p in probes]
    values = [y if record or current.get().depth else y.detach() for y in flat]
    return rebuild(values), rebuild(out)


def _watched(primal: Any) -> Any:
    """The primal as tensors that require grad, so that what is computed from them is recorded."""
    if is_module(primal):
        return primal
    tensors, rebuild = tensors_of("jvp", primal)
    return rebuild(
        [t if t.requires_grad else Tensor(t.data, requires_grad=is_floating(t.dtype)) for t in tensors]
    )


def jacobian(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that returns the Jacobian of a tensor-valued f for one tensor argument: shape (*output, *argument).

    One reverse pass for each element of the output.
    """

    def function(*args: Any, **kwargs: Any) -> Tensor:
        def of_one(x: Any) -> Any:
            return f(*(x if n == argnums % len(args) else a for n, a in enumerate(args)), **kwargs)

        (x,), _ = tensors_of("jacobian", [args[argnums]])
        y, pullback = vjp(of_one, x)
        if not isinstance(y, Tensor):
            raise TypeError(f"jacobian: the function must return one tensor, it returned {type(y).__name__}")
        rows = []
        for i in range(y.size):
            unit = ops.index_update(ops.zeros_like_p(y.detach()).reshape((-1,)), i, 1.0)
            rows.append(pullback(unit.reshape(y.shape))[0])
        stacked = (
            ops.stack(rows) if rows else ops.reshape(ops.zeros_like_p(x.detach())[None][:0], (0, *x.shape))
        )
        return ops.reshape_p(stacked, shape=(*y.shape, *x.shape))

    return function


def hessian(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that returns the matrix of second derivatives of a scalar f: shape (*argument, *argument)."""
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of a scalar f times a vector, without the Hessian: the derivative of the gradient along the tangents.

    Returns one product for each primal, or the product itself if there is one primal.
    """
    check_sequence("hvp: primals", primals)
    every = grad(f, tuple(range(len(primals))))
    product = jvp(every, primals, tangents)[1]
    return product[0] if len(primals) == 1 else product
