"""Transforms of functions: grad, value_and_grad, vjp, jvp. All are one loop, `backward_pass`.

Each runs the function on fresh leaves that stand for its arguments, then carries cotangents back to those. The fresh
leaf of an argument that is itself being differentiated is recorded as a copy of it, so transforms nest.

What a transform returns is detached, unless an outer transform is running, or something else that requires grad went
into it: then it keeps its graph.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from tapegrad.autograd import ops
from tapegrad.autograd.aliases import Tree, Value
from tapegrad.autograd.arguments import truth
from tapegrad.autograd.backward import backward_pass, first_cotangent, owned_copy, owned_tensor
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.structure import (
    Rebuild,
    as_leaf,
    check_sequence,
    flatten,
    is_module,
    leaves_like,
    map_tensors,
    need_function,
    tensors_of,
)
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function

P = ParamSpec("P")  # the parameters of a user's function
R = TypeVar("R")  # and what it returns
G = TypeVar("G", bound=Function)  # a function that a transform returns
# The leaves that transforms made, by their id: no user holds one, so nothing can be differentiated for it later.
OWN: WeakValueDictionary[int, Tensor] = WeakValueDictionary()
NOTED: ContextVar[tuple[list[Tensor], ...]] = ContextVar("tapegrad_noted_leaves", default=())


class noted_leaves:
    """`with noted_leaves() as leaves:` the list gets each leaf that a transform makes in this block. What the transform
    returns may depend on it, and nobody else can differentiate for it."""

    def __enter__(self) -> list[Tensor]:
        leaves: list[Tensor] = []
        self.before = NOTED.set((*NOTED.get(), leaves))
        return leaves

    def __exit__(self, *error: object) -> None:
        NOTED.reset(self.before)


def fresh(name: str, x: Tensor) -> Tensor:
    """A leaf that stands for x: where x is being differentiated from outside, a recorded copy."""
    if not is_floating(x.dtype):
        raise TypeError(
            f"{name}: only floating-point arguments have gradients, got one of {x.dtype}: "
            "convert it, as in t.astype(tg.float32), or leave it out of argnums, or close over it"
        )
    if x.requires_grad and current.get().grad:
        return ops.positive(x)
    leaf = Tensor(x.data, requires_grad=True)
    if (recorder := current.get().recorder) is not None:
        recorder.detached(x, leaf)
    for leaves in NOTED.get():
        leaves.append(leaf)
    return leaf


def leaves_of(name: str, arg: Tree) -> tuple[Tree, list[Tensor], Rebuild]:
    """What to call the function with in place of an argument, the leaves to differentiate for, and how to rebuild.

    A Module, also one inside a structure, is differentiated for its own parameters, and its frozen ones get None.
    """
    parts, build = flatten(arg, modules=False)
    call: list[Tree] = []
    leaves: list[Tensor] = []
    trained: list[bool] = []
    for part in parts:
        if is_module(part):
            own = flatten(part)[0]
            call.append(part)
            leaves += [p for p in own if p.requires_grad]
            trained += [p.requires_grad for p in own]
        else:
            made = fresh(name, as_leaf(name, part))
            OWN.update({id(made): made} if made.node is None else {})
            call.append(made)
            leaves.append(made)
            trained.append(True)
    return build(call), leaves, _frozen_as_none(trained, flatten(arg)[1])


def _frozen_as_none(trained: list[bool], rebuild: Rebuild) -> Rebuild:
    def put(found: list[Tree]) -> Tree:
        rest = iter(found)
        return rebuild([next(rest) if wanted else None for wanted in trained])

    return put


def stand_ins(
    name: str, args: Sequence[Tree], numbers: Sequence[int]
) -> tuple[list[Tree], list[Tensor], Callable[[list[Tree]], tuple[Tree, ...]]]:
    """What to call a function with, the leaves to differentiate for, and what makes of a gradient for each leaf the
    gradients of the arguments with these numbers."""
    call = list(args)
    leaves: list[Tensor] = []
    parts: list[tuple[Rebuild, slice]] = []
    for n in numbers:
        call[n], made, rebuild = leaves_of(name, args[n])
        parts.append((rebuild, slice(len(leaves), len(leaves) + len(made))))
        leaves += made
    return call, leaves, lambda found: tuple(rebuild(found[part]) for rebuild, part in parts)


def run(f: Callable[..., R], args: Sequence[Tree], kwargs: dict[str, object], leaves: Sequence[Tensor]) -> R:
    """Call f with recording on, one transform deeper, to be differentiated for the leaves."""
    flags = current.get()
    with changed_flags(grad=True, raw=False, depth=flags.depth + 1, leaves=(*flags.leaves, *leaves)):
        return f(*args, **kwargs)


def must_record(outputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> bool:
    """Whether the backward pass must itself be recorded: if an outer transform is running, or its backward pass, or if
    something other than the leaves could be differentiated for later, through the gradients."""
    flags = current.get()
    if not flags.grad:
        return False
    if flags.depth or flags.again:
        return True
    targets = dict.fromkeys(leaves)
    seen, stack = set(), [t for t in outputs if t.requires_grad]
    while stack:
        t = stack.pop()
        if t in targets:
            if t.node is not None:  # a recorded copy of a tensor that requires grad
                return True
        elif t.node is None:
            if OWN.get(id(t)) is not t:
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
    """Carry cotangents of the outputs back to the leaves; zeros for a leaf that has no part in them.

    Each Tensor has memory of its own, so that its user may write into it."""
    tensors = record or current.get().recorder is not None
    targets = dict.fromkeys(leaves)
    pairs = [
        (y, g if tensors else g.data) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad
    ]
    reached = backward_pass(pairs, targets, retain=retain or record, record=record)
    given = {id(g.data) for g in cotangents}
    found = []
    for leaf in leaves:
        g = reached.get(leaf)
        if g is None:
            g = ops.zeros_like_p(leaf.detach())
        elif tensors:
            g = owned_tensor(g, given, record)
        else:
            g = Tensor(owned_copy(g, given))
        found.append(g)
    return found


def value_and_grad(
    f: Callable[P, Tree], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[P, tuple[Tree, Tree]]:
    """A function that returns (f(*args), its gradient).

    Arguments are tensors, nested tuples, lists, dicts and dataclasses of tensors, None, or Modules. Each gradient has
    the structure of its argument; for a Module it is a dict by parameter path, with None for frozen parameters. Can be
    nested for higher derivatives. The value, the gradient and the tensors in the second part of f's pair come back
    detached, except where an outer derivative may need them.

    Args:
        f: Returns a scalar tensor, or with has_aux a pair (scalar, anything).
        argnums: Which arguments to differentiate for: a number, from the end if negative, or several (then the gradient
            is a tuple).
        has_aux: Whether f returns a pair of the scalar and anything else.

    Raises:
        TypeError: An argument that is no floating-point tensor.
        ValueError: If f returns more than one element.
    """
    need_function("value_and_grad", f)
    check_argnums(argnums)
    has_aux = truth("grad: has_aux", has_aux)

    def function(*args: P.args, **kwargs: P.kwargs) -> Tree:
        call, leaves, rebuild = stand_ins("grad", args, argument_numbers("grad", argnums, len(args)))
        returned = run(f, call, kwargs, leaves)
        value, aux = _with_aux(returned) if has_aux else (returned, None)
        _check_scalar(value)
        record = must_record([value], leaves)
        extra = [t for t in flatten(aux, modules=False)[0] if isinstance(t, Tensor) and t.requires_grad]
        keep_aux = must_record(extra, leaves)
        found = cotangents_at(
            [value], [first_cotangent(value, None)], leaves, record=record, retain=record or keep_aux
        )
        gradients = rebuild(found)
        gradient = gradients[0] if isinstance(argnums, int) else gradients
        value = value if record else value.detach()
        if not has_aux:
            return value, gradient
        return (value, aux if keep_aux else _without_graph(aux, leaves)), gradient

    return named(function, "value_and_grad", f)


def check_argnums(argnums: object) -> None:
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    if (
        isinstance(numbers, (tuple, list))
        and numbers
        and all(isinstance(n, int) for n in numbers)
        and len(set(numbers)) == len(numbers)
    ):
        return
    given = f"a {type(argnums).__name__}" if isinstance(argnums, Tensor) else repr(argnums)
    raise ValueError(
        f"argnums: expected an argument's number or a tuple of different ones, got {given}: the arguments go to the "
        "function that the transform returns, as in tg.grad(f)(x)"
    )


def argument_numbers(name: str, argnums: int | Sequence[int], count: int) -> list[int]:
    """The numbers of the arguments to differentiate for, counted from the front."""
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if max(numbers) >= count or min(numbers) < -count:
        raise TypeError(
            f"{name}: argnums={argnums}, but the function was given {count} positional argument(s)"
        )
    found = [n % count for n in numbers]
    if len(set(found)) < len(found):
        raise ValueError(f"argnums: {argnums} names an argument twice: the function was given {count}")
    return found


def _with_aux(returned: object) -> tuple[Tree, Tree]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"grad: with has_aux=True the function must return a pair, it returned {returned!r}")
    return returned


def _check_scalar(value: object) -> None:
    if not isinstance(value, Tensor):
        pair = ": for a pair of the value and something else, pass has_aux=True"
        raise TypeError(
            f"grad: the function must return a scalar tensor, it returned {type(value).__name__}"
            + (pair if isinstance(value, tuple) else "")
        )
    if value.size != 1:
        raise ValueError(
            f"grad: the function must return a scalar, it returned shape {value.shape}: reduce it, as with .sum(), "
            "or use tg.jacobian or tg.vjp"
        )


def _without_graph(aux: Tree, leaves: Sequence[Tensor]) -> Tree:
    made = {leaf for leaf in leaves if type(leaf) is Tensor}  # of an argument; a Module's are its own
    return map_tensors(lambda t: t.detach() if t.node is not None or t in made else t, aux)


def named(function: G, transform: str, f: Function) -> G:
    function.__name__ = f"{transform}({getattr(f, '__name__', 'f')})"
    function.__doc__ = f.__doc__
    return function


def grad(f: Callable[P, Tree], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[P, Tree]:
    """A function that returns the gradient of the scalar function f; see `value_and_grad`. With has_aux it returns
    (gradient, aux).

    Args:
        f: The function.
        argnums: Which positional arguments to differentiate for: a number, from the end if negative, or a tuple of
            them.
        has_aux: Whether f returns a pair of the scalar and anything else.

    Returns:
        A function that returns the gradient, or (gradient, aux) with has_aux.
    """
    need_function("grad", f)
    both = value_and_grad(f, argnums, has_aux)

    def function(*args: P.args, **kwargs: P.kwargs) -> Tree:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return named(function, "grad", f)


def vjp(f: Callable[..., R], *primals: Tree) -> tuple[R, Callable[[Tree], tuple[Tree, ...]]]:
    """(f(*primals), pullback): pullback(cotangents) returns a tuple with the cotangent of each primal, the product of
    the cotangents and the Jacobian. It can be called often and differentiated.

    The cotangents have the structure of f's result, and for each tensor in it its shape. Raises ValueError where they
    have not. None stands for the cotangent of an integer result, which has none.

    Args:
        f: The function.
        primals: The arguments of f: tensors, nested structures of tensors, or Modules.
    """
    need_function("vjp", f)
    call, leaves, rebuild = stand_ins("vjp", primals, range(len(primals)))
    result = run(f, call, {}, leaves)
    flat, rebuild_outputs = tensors_of("vjp: the function's result", result)
    record = must_record(flat, leaves)
    structure = rebuild_outputs([y.dtype for y in flat])  # and not the result, which has a graph

    def pullback(cotangents: Tree) -> tuple[Tree, ...]:
        given = leaves_like("pullback: the cotangents", cotangents, structure)
        seeds = [_cotangent("pullback", y, g) for y, g in zip(flat, given, strict=True)]
        pairs = [(y, g) for y, g in zip(flat, seeds, strict=True) if g is not None]
        again = record or any(g.requires_grad for _, g in pairs)
        found = cotangents_at(
            [y for y, _ in pairs],
            [g for _, g in pairs],
            leaves,
            record=again and current.get().grad,
            retain=True,
        )
        return rebuild(found)

    return rebuild_outputs([y if record else y.detach() for y in flat]), pullback


def _cotangent(name: str, y: Tensor, g: Value) -> Tensor | None:
    """What was given for the cotangent (or tangent) of y, checked; None if y takes part in no derivative."""
    if not is_floating(y.dtype):
        return None
    if g is None:
        raise ValueError(
            f"{name}: None was given for a tensor of shape {y.shape}: write tg.zeros_like(t) for no change"
        )
    seed = first_cotangent(y, g, what=name)
    return seed if y.requires_grad else None


def jvp(f: Callable[..., R], primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[R, R]:
    """(f(*primals), the Jacobian times the tangents): how the outputs move when the primals move along the tangents.

    The tangents have the structure and the shapes of the primals (for a Module, a dict by parameter path, with None
    for frozen parameters). Raises ValueError where they have not.

    Made of two reverse passes: the pullback of f is linear in its cotangent u, and the pullback of that map is the
    forward derivative. One table of rules serves both directions.

    Args:
        f: A function of tensors.
        primals: The arguments of f: tensors, nested structures of tensors, or Modules.
        tangents: The direction, of the structure and shapes of the primals.
    """
    need_function("jvp", f)
    check_sequence("jvp: primals", primals)
    check_sequence("jvp: tangents", tangents)
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: {len(primals)} primal(s), but {len(tangents)} tangent(s)")
    call, leaves, _ = stand_ins("jvp", primals, range(len(primals)))
    moves = [
        _cotangent("jvp: the tangents", leaf, g)
        for leaf, g in zip(leaves, leaves_like("jvp: the tangents", tangents, primals), strict=True)
    ]
    flat, rebuild = tensors_of("jvp: the function's result", run(f, call, {}, leaves))
    live = [y for y in flat if y.requires_grad]
    # Cotangents that require grad: what the rules do with them is recorded, and differentiated for them.
    probes = [ops.zeros_like_p(y.detach()).requires_grad_() for y in live]
    OWN.update((id(probe), probe) for probe in probes)
    with changed_flags(grad=True, raw=False, depth=current.get().depth + 1):
        pulled = cotangents_at(live, probes, leaves, record=True, retain=True)
    pairs = [(p, m) for p, m in zip(pulled, moves, strict=True) if p.requires_grad and m is not None]
    record = must_record([p for p, _ in pairs], [*probes, *leaves]) or (
        current.get().grad and any(m.requires_grad for _, m in pairs)
    )
    found = iter(
        cotangents_at([p for p, _ in pairs], [m for _, m in pairs], probes, record=record, retain=True)
    )
    moved = [next(found) if y.requires_grad else ops.zeros_like_p(y.detach()) for y in flat]
    keep = must_record(flat, leaves)
    return rebuild([y if keep else y.detach() for y in flat]), rebuild(moved)
