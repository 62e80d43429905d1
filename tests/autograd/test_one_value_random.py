"""Random programs that write in place: the numbers of a function are those of its run without a gradient, or it raises;
under `tg.keep_lines` and `tg.jit` as well."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

LINES = (
    *["v{a} += v{b}"] * 4,
    *["v{a} *= v{b}"] * 2,
    *["v{a}[{i}] = v{b}[{j}]"] * 2,
    *["v{a}[{i}] += v{b}[{j}]"] * 2,
    "v{a}[0:2] *= v{b}[1:3]",
    *["v{n} = v{a}.reshape(3)"] * 2,
    *["v{n} = v{a}[:]"] * 2,
    *["v{n} = v{a} * v{b}"] * 2,
    "held = [v{a}]; held[0] += v{b}; v{n} = held[0]",
    "v{n} = v{a}.detach()",
    "print(v{a}[{i}].item(), file=io.StringIO())",
)


def program(seed: int) -> Callable[[Any], Any]:
    """A function of x with some random lines: of v0, which is x times 1, v1, which is zeros, and what they make."""
    chosen, n = random.Random(seed), 2
    lines = ["def f(x):", " v0, v1 = x * 1.0, tg.zeros(3, dtype=x.dtype)"]
    for _ in range(chosen.randint(2, 7)):
        line = chosen.choice(LINES)
        a, b, i, j = (chosen.randrange(k) for k in (n, n, 3, 3))
        lines.append(" " + line.format(a=a, b=b, i=i, j=j, n=n))
        n += "v{n}" in line
    lines.append(f" return sum(({'+'.join(f'v{k} * (v{k} + {k})' for k in range(n))}))")
    names: dict[str, Any] = {}
    exec("import io\nimport tapegrad as tg\n" + "\n".join(lines) + ".sum()", names)
    function: Callable[[Any], Any] = names["f"]
    return function


def outcome(call: Callable[[Any], Any]) -> Any:
    """The value and the gradient, or None where the function raises."""
    try:
        value, gradient = call(tg.tensor([1.5, -0.5, 2.0], dtype="float64"))
    except RuntimeError as error:
        assert "a gradient is recorded" in str(error) or "written to after it was recorded" in str(error)
        return None
    return value.item(), gradient.tolist()


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_random_programs_have_one_value(first: int) -> None:
    ran = 0
    for seed in range(first, first + 100):
        f = program(seed)
        plain = outcome(tg.value_and_grad(f))
        noted = outcome(tg.keep_lines(tg.value_and_grad(f)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tg.JitWarning)
            step = tg.jit(tg.value_and_grad(f), emitter="numpy")
            compiled = [outcome(step) for _ in range(3)]
        if plain is None:
            continue
        ran += 1
        without = f(tg.tensor([1.5, -0.5, 2.0], dtype="float64")).item()
        assert plain[0] == pytest.approx(without, rel=1e-12), seed
        assert noted == plain, seed
        for value, gradient in compiled:
            assert value == pytest.approx(plain[0], rel=1e-12), seed
            assert np.allclose(gradient, plain[1], rtol=1e-12), seed
    assert ran > 15
