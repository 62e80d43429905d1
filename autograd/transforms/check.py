"""`check_grads`: gradients against differences of the function, in both directions and to any order."""

from collections.abc import Callable, Sequence

import numpy as np

from tapegrad.autograd.aliases import Tree
from tapegrad.autograd.arguments import above_0, at_least_0, integer, positive_integer
from tapegrad.autograd.diagnostics import describe
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.structure import as_leaf, check_sequence, flatten, is_module, need_function, tensors_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms.derivatives import jvp, vjp
from tapegrad.backends.aliases import Function


def check_grads(
    f: Function,
    args: Sequence[Tree],
    order: int = 2,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    step: float = 1e-4,
    seed: int = 0,
) -> None:
    """Raise AssertionError unless the derivatives of f at args agree with differences of f, up to the given order.

    Along one random direction v, and for one random cotangent w, three numbers must agree: the fourth-order central
    difference <w, (8 (f(x+hv) - f(x-hv)) - (f(x+2hv) - f(x-2hv))) / 12h>, the reverse mode <vjp(w), v> and the forward
    mode <w, jvp(v)>. The next order does the same to x -> vjp(w). Everything is computed in float64. Integers and
    truths, such as labels, an index or a mask, have no derivative: f gets them as they are, and those it returns are
    left out.

    Args:
        f: A function of tensors, smooth within 2 * step of args.
        args: Its arguments in a tuple: tensors, or nested structures of tensors.
        order: The highest order of derivative to check.
        rtol: The tolerance relative to the difference's absolute value, or to 1 where that is smaller.
        atol: The absolute tolerance.
        step: The step h of the difference.
        seed: The seed of the random directions.

    Raises:
        AssertionError: Two of the three numbers differ.
        TypeError: There is nothing to check: no argument or no result is a floating-point tensor.
    """
    need_function("check_grads", f)
    check_sequence("check_grads: args", args)
    order = positive_integer("check_grads: order", order)
    rtol, atol = at_least_0("check_grads: rtol", rtol), at_least_0("check_grads: atol", atol)
    step = above_0("check_grads: step", step)
    rng = np.random.default_rng(integer("check_grads: seed", seed, 0))
    leaves, rebuild = flatten(list(args), modules=False)
    if (module := next(filter(is_module, leaves), None)) is not None:
        raise TypeError(
            f"check_grads: args: a {type(module).__name__} is no tensor: check it as a function of its input, as in "
            "tg.check_grads(module, (x,))"
        )
    tensors = [as_leaf("check_grads", leaf) for leaf in leaves]
    moving = [i for i, t in enumerate(tensors) if is_floating(t.dtype)]
    if not moving:
        raise TypeError(f"check_grads: args: expected floating-point tensors, got {kinds_of(tensors)}")
    in_full = lambda t: Tensor(t.backend.asarray(t.numpy().astype(np.float64), device=t.device))
    point = [in_full(tensors[i]) for i in moving]

    def flat(*xs: Tensor) -> list[Tensor]:
        given = dict(enumerate(leaves)) | dict(zip(moving, xs, strict=True))
        result = f(*rebuild([*given.values()]))
        found = tensors_of("check_grads: the function's result", result)[0]
        floating = [y for y in found if is_floating(y.dtype)]
        if not floating:
            what = kinds_of(found) if found else repr(result)
            raise TypeError(
                f"check_grads: the function must return floating-point tensors, it returned {what}"
            )
        return floating

    _check(flat, point, order, 1, rng, rtol, atol, step)


def kinds_of(tensors: Sequence[Tensor]) -> str:
    return ", ".join(map(describe, tensors)) or "none"


def _check(
    f: Callable[..., list[Tensor]],
    xs: list[Tensor],
    order: int,
    at: int,
    rng: "np.random.Generator",
    rtol: float,
    atol: float,
    step: float,
) -> None:
    def random_like(t: Tensor) -> Tensor:
        return Tensor(t.backend.asarray(np.asarray(rng.standard_normal(t.shape)), device=t.device))

    v = [random_like(x) for x in xs]
    ys, pullback = vjp(f, *xs)
    w = [random_like(y) for y in ys]

    def moved(h: float) -> float:
        return _dot(w, f(*(x + h * d for x, d in zip(xs, v, strict=True))))

    numeric = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step)
    reverse = _dot(v, pullback(w))
    forward = _dot(w, jvp(f, xs, v)[1])
    for name, found in (("reverse (vjp)", reverse), ("forward (jvp)", forward)):
        if not abs(found - numeric) <= atol + rtol * max(abs(numeric), 1.0):
            raise AssertionError(
                f"check_grads: derivative of order {at}, {name} mode: {found!r}, but differences give {numeric!r} "
                f"(relative difference {abs(found - numeric) / max(abs(numeric), 1e-300):.1e}) for arguments of shapes "
                f"{[x.shape for x in xs]}"
            )
    if order > 1:

        def gradient(*new: Tensor) -> list[Tensor]:
            return list(vjp(f, *new)[1](w))

        _check(gradient, xs, order - 1, at + 1, rng, rtol, atol, step)


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return sum(float(np.vdot(a.numpy(), b.numpy())) for a, b in zip(left, right, strict=True))
