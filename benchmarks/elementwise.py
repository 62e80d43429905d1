"""Every elementwise primitive in float32: one compiled call of the native program against PyTorch's eager calls.

Both run in one process on one core, in turn; a ratio is that of the medians, its spread the lowest and highest within
a turn. Values are from 0.1 to 0.9, or normal (of either sign) where the function is defined there. "Forward and
backward" returns the value and the gradient for a cotangent that is given.

    python -m benchmarks elementwise                                   # all
    python -m benchmarks.elementwise exp "x ** 3"                      # some
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

TURNS = 9
SECONDS = 0.02  # of one turn of one contestant
FIGURES = ((1000, "backward"), (1_000_000, "forward"), (1_000_000, "backward"))


@dataclass(frozen=True)
class Row:
    """A function: tapegrad's, PyTorch's, how many arrays it takes, and of which signs.

    signs    "+" for values from 0.1 to 0.9, "±" for normal ones, ">" for those from 1.1 to 1.9
    grad     whether it has a gradient
    """

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    arrays: int = 1
    signs: str = "+±"
    grad: bool = True


def same(*names: str, **more: Any) -> list[Row]:
    """Functions of the same name in both."""
    import torch

    import tapegrad as tg

    return [Row(name, getattr(tg, name), getattr(torch, name), **more) for name in names]


def rows() -> list[Row]:
    import torch
    import torch.nn.functional as there

    import tapegrad as tg
    from tapegrad.nn import functional as here

    both = lambda name, f, **more: Row(name, f, f, **more)
    activations = (
        "relu",
        "relu6",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "leaky_relu",
        "softplus",
        "softsign",
    )
    shrinking = [(n, n.replace("_", "")) for n in ("hard_sigmoid", "hard_tanh")]
    return [
        both("x + y", lambda x, y: x + y, arrays=2),
        both("x - y", lambda x, y: x - y, arrays=2),
        both("x * y", lambda x, y: x * y, arrays=2),
        both("x / y", lambda x, y: x / y, arrays=2),
        both("-x", lambda x: -x),
        both("2.5 / x", lambda x: 2.5 / x),
        *(both(f"x ** {k}", lambda x, k=k: x**k) for k in (2, 3, 4, 5, -1, -2)),
        *(both(f"x ** {k}", lambda x, k=k: x**k, signs="+") for k in (0.5, -0.5, 1.5, 2.5)),
        both("2.5 ** x", lambda x: 2.5**x),
        both("x ** y", lambda x, y: x**y, arrays=2, signs="+"),
        both("x % 0.7", lambda x: x % 0.7),
        both("x // 0.7", lambda x: x // 0.7, grad=False),
        Row("remainder", tg.remainder, torch.remainder, 2),
        *same("square", "abs", "exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh"),
        *same("sqrt", "log", "log2", "log10", "log1p", "asin", "acos", "atanh", signs="+"),
        *same("acosh", signs=">"),
        *same("sigmoid"),
        Row("erf", tg.erf, torch.erf),
        *same("maximum", "minimum", "atan2", "hypot", arrays=2),
        Row("clip", lambda x: tg.clip(x, -0.5, 0.5), lambda x: torch.clip(x, -0.5, 0.5)),
        Row("where", lambda x, y: tg.where(x > 0.3, x, y), lambda x, y: torch.where(x > 0.3, x, y), 2),
        *same("sign", "floor", "ceil", "trunc", "round", "isnan", "isinf", "isfinite", grad=False),
        *same("greater", arrays=2, grad=False),
        Row("equal", tg.equal, torch.eq, 2, grad=False),
        *(Row(name, getattr(here, name), getattr(there, name)) for name in activations),
        *(Row(ours, getattr(here, ours), getattr(there, theirs)) for ours, theirs in shrinking),
        Row("log_sigmoid", here.log_sigmoid, there.logsigmoid),
        Row("mish", here.mish, there.mish),
    ]  # fmt: skip


def values(sign: str, size: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    draw = {
        "+": lambda: rng.uniform(0.1, 0.9, size),
        ">": lambda: rng.uniform(1.1, 1.9, size),
        "±": lambda: rng.normal(size=size),
    }[sign]
    return [draw().astype("float32") for _ in range(count)]


def ours(row: Row, arrays: list[np.ndarray], backward: bool) -> Callable[[], Any]:
    import tapegrad as tg

    xs = [tg.tensor(a) for a in arrays]
    if not backward:
        f = tg.jit(lambda *xs: row.ours(*xs), emitter="native")

        def forward() -> Any:
            with tg.no_grad():
                return f(*xs)

        return forward
    g = tg.tensor(values("±", arrays[0].size, 1)[0])

    def weighted(g: Any, *xs: Any) -> Any:
        y = row.ours(*xs)
        return (y * g).sum(), y.detach()

    both = tg.grad(weighted, argnums=tuple(range(1, 1 + len(xs))), has_aux=True)
    step = tg.jit(lambda g, *xs: both(g, *xs), emitter="native")
    return lambda: step(g, *xs)


def theirs(row: Row, arrays: list[np.ndarray], backward: bool) -> Callable[[], Any]:
    import torch

    xs = [torch.from_numpy(a).requires_grad_(backward) for a in arrays]
    if not backward:

        def forward() -> Any:
            with torch.no_grad():
                return row.theirs(*xs)

        return forward
    g = torch.from_numpy(values("±", arrays[0].size, 1)[0])

    def both() -> Any:
        y = row.theirs(*xs)
        return torch.autograd.grad(y, xs, g), y

    return both


def seconds(run: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def compare(row: Row, sign: str, size: int, what: str) -> tuple[float, float, float, float, float]:
    """(microseconds of ours and of theirs, the ratio, the lowest and the highest)."""
    arrays = values(sign, size, row.arrays)
    runs = [make(row, arrays, what == "backward") for make in (ours, theirs)]
    for run in runs:
        for _ in range(5):
            run()
    times = [max(1, round(SECONDS / seconds(run, 3))) for run in runs]
    found = [[seconds(run, n) for run, n in zip(runs, times)] for _ in range(TURNS)]
    mine, other = (statistics.median(each) for each in zip(*found))
    ratios = [a / b for a, b in found]
    return 1e6 * mine, 1e6 * other, mine / other, min(ratios), max(ratios)


def main(wanted: list[str] | None = None) -> None:
    """Prints the table, and how many ratios are above 1."""
    import torch

    torch.set_num_threads(1)
    os.environ["TAPEGRAD_THREADS"] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    heads = [f"{size:.0e}".replace("e+0", "e") + f" {what}" for size, what in FIGURES]
    print("| function | " + " | ".join(f"{h}, µs ours / theirs | ratio" for h in heads) + " |")
    print("|---" * (1 + 2 * len(heads)) + "|")
    above: list[tuple[float, str]] = []
    for row in rows():
        if wanted and row.name not in wanted:
            continue
        for sign in row.signs:
            cells = []
            for head, (size, what) in zip(heads, FIGURES):
                if what == "backward" and not row.grad:
                    cells += ["", ""]
                    continue
                mine, other, ratio, low, high = compare(row, sign, size, what)
                cells += [f"{mine:.1f} / {other:.1f}", f"{ratio:.2f} ({low:.2f} to {high:.2f})"]
                above += [(ratio, f"{row.name} {sign} {head}")] * (ratio > 1)
            print(f"| `{row.name}` {sign} | {' | '.join(cells)} |", flush=True)
    print(f"\nabove 1: {len(above)}")
    for ratio, which in sorted(above, reverse=True):
        print(f"    {ratio:.2f}  {which}")


if __name__ == "__main__":
    main(sys.argv[1:])
