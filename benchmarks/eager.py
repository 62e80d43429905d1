"""Every elementwise primitive and activation, eager tapegrad beside eager PyTorch, on one core: float32, 8, 10³ and 10⁶
elements of either sign (where the function has a value), the forward alone, and forward, sum and backward.

One process has both libraries. It takes a block of calls of one and a block of the other in turn, in CPU time; the
ratio is the median of those of neighbouring blocks, so that what else the machine does hits both sides of it. The table
is sorted by the ratio.
"""

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.harness import Case, Contestant, Promise

SIZES = {"8": 8, "10³": 10**3, "10⁶": 10**6}
BLOCKS, BLOCK = 11, 0.002  # blocks of each library, of about so many seconds and at least one call
LIMIT, OF_FEW = 2.0, 1.0  # the second of 8 elements
RATIO, OURS, THEIRS = "tapegrad / PyTorch", "tapegrad, µs", "PyTorch, µs"


@dataclass(frozen=True)
class Function:
    """What is called in the two libraries.

    ours       a name in `tapegrad.autograd.ops` or, with its module, in `tapegrad.nn`; or a function that is given the
               library and the tensors
    theirs     the same for `torch`; "": the same name
    inputs     for each tensor, what makes its numbers of standard normal ones
    gradient   it has one
    """

    ours: str | Callable[..., Any]
    theirs: str | Callable[..., Any] = ""
    inputs: tuple[Callable[[Any], Any], ...] = (np.array,)
    gradient: bool = True


def away_from_0(z: Any) -> Any:
    return np.copysign(np.abs(z) + 0.05, z)


def positive(z: Any) -> Any:
    return np.abs(z) + 0.05


def within_1(z: Any) -> Any:
    return np.tanh(z) * 0.95


def above_1(z: Any) -> Any:
    return np.abs(z) + 1.05


PAIR = (np.array, np.array)
FUNCTIONS: dict[str, Function] = {
    **{name: Function(name) for name in (
        "negative", "square", "abs", "exp", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "asinh",
        "erf")},
    **{name: Function(name, inputs=(positive,)) for name in ("log", "log2", "log10", "sqrt")},
    **{name: Function(name, inputs=(within_1,)) for name in ("log1p", "asin", "acos", "atanh")},
    "acosh": Function("acosh", inputs=(above_1,)),
    **{name: Function(name, gradient=False) for name in (
        "sign", "floor", "ceil", "trunc", "round", "isnan", "isinf", "isfinite")},
    **{name: Function(name, inputs=PAIR) for name in (
        "add", "subtract", "multiply", "maximum", "minimum", "atan2", "hypot")},
    **{name: Function(name, inputs=(np.array, away_from_0)) for name in ("divide", "remainder")},
    "floor_divide": Function("floor_divide", inputs=(np.array, away_from_0), gradient=False),
    "power": Function("power", "pow", inputs=(positive, np.array)),
    "equal": Function("equal", "eq", PAIR, gradient=False),  # PyTorch's equal is one truth value
    **{name: Function(name, inputs=PAIR, gradient=False) for name in (
        "not_equal", "less", "less_equal", "greater", "greater_equal")},
    "where": Function(lambda lib, x, y: lib.where(x > 0, x, y), inputs=PAIR),
    "clip": Function(lambda lib, x: lib.clip(x, -0.5, 0.5)),
    "x + 1": Function(lambda lib, x: x + 1.0),
    "x * 2": Function(lambda lib, x: x * 2.0),
    "x / 3": Function(lambda lib, x: x / 3.0),
    "1 / x": Function(lambda lib, x: 1.0 / x, inputs=(away_from_0,)),
    "x % 0.7": Function(lambda lib, x: x % 0.7),
    **{f"x ** {k}": Function(lambda lib, x, k=k: x**k, inputs=(away_from_0,)) for k in (2, 3, 4, 5, 7, -1, -2, -3)},
    **{f"x ** {k}": Function(lambda lib, x, k=k: x**k, inputs=(positive,)) for k in (0.5, -0.5, 1.5)},
    "2 ** x": Function(lambda lib, x: 2.0**x),
    **{name: Function(f"functional.{name}", f"nn.functional.{name}") for name in (
        "relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "softplus", "softsign", "mish")},
    "sigmoid": Function("sigmoid"),
    "leaky_relu": Function("functional.leaky_relu", lambda torch, x: torch.nn.functional.leaky_relu(x, 0.2)),
    "gelu, approximate": Function(
        lambda tg, x: tg.nn.functional.gelu(x, approximate=True),
        lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh")),
    **{name: Function(f"functional.{name}", f"nn.functional.{theirs}") for name, theirs in (
        ("hard_sigmoid", "hardsigmoid"), ("hard_silu", "hardswish"), ("hard_tanh", "hardtanh"),
        ("log_sigmoid", "logsigmoid"), ("tanh_shrink", "tanhshrink"), ("soft_shrink", "softshrink"),
        ("hard_shrink", "hardshrink"))},
}  # fmt: skip


def named(library: Any, name: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function of a library: by its name, with the dots of modules, or one that is given the library first."""
    if callable(name):
        return lambda *xs: name(library, *xs)
    for part in name.split("."):
        library = getattr(library, part)
    return library  # type: ignore[no-any-return]


def contestants(f: Function, arrays: list[Any], backward: bool) -> list[Callable[[], Any]]:
    """Our call and theirs, with the backward pass of the sum or without."""
    import torch

    import tapegrad as tg
    from tapegrad.autograd import ops

    torch.set_num_threads(1)
    where: Any = tg if callable(f.ours) else tg.nn if f.ours.startswith("functional.") else ops
    calls = []
    for function, make in (
        (named(where, f.ours), tg.tensor),
        (named(torch, f.theirs or f.ours), torch.tensor),
    ):
        xs = [make(a, requires_grad=backward) for a in arrays]

        def call(function: Any = function, xs: Any = xs) -> Any:
            y = function(*xs)
            if backward:
                y.sum().backward()
                for x in xs:
                    x.grad = None
            return y

        calls.append(call)
    return calls


def rows() -> dict[str, tuple[Function, bool]]:
    """Title -> what is called, with its backward pass or without."""
    titled = {f"{name}; forward": (f, False) for name, f in FUNCTIONS.items()}
    return titled | {f"{name}; and backward": (f, True) for name, f in FUNCTIONS.items() if f.gradient}


def figures(size: str) -> dict[str, float]:
    result = {}
    for title, (f, backward) in rows().items():
        draw = np.random.default_rng(0).standard_normal
        arrays = [make(draw(SIZES[size])).astype(np.float32) for make in f.inputs]
        runs = zip((OURS, THEIRS), map(timing.repeat, contestants(f, arrays, backward)), strict=True)
        spent = timing.take_turns(dict(runs), BLOCK, BLOCKS)
        result[f"{title}; {RATIO}"] = timing.ratio(*spent.values())[0]
        result |= {f"{title}; {what}": statistics.median(s) * 1e6 for what, s in spent.items()}
    return result


def case(size: str) -> Case:
    limit = OF_FEW if size == "8" else LIMIT
    return Case(
        title=f"{size} elements",
        contestants=(Contestant(RATIO, ("-m", "benchmarks.eager", size), "torch"),),
        columns={title: title for title in rows()},
        promises=tuple(Promise(f"{title}; {RATIO}", RATIO, "", limit) for title in rows()),
        cores=1,
        ranked=(RATIO, OURS, THEIRS),
    )


CASES = tuple(map(case, SIZES))

if __name__ == "__main__":
    print(json.dumps(figures(sys.argv[1])))
