"""g / maximum(|g| * c, 1), which is mostly g."""

import numpy as np
import pytest

import tapegrad as tg
from pass_text import check
from tapegrad.compiler.passes.bounds import skip_bounds
from tapegrad.compiler.passes.dead_code import remove_dead_code

GIVEN = "g: float32[5]\nc: float32[]\n"
FORMULA = "a = abs(g)\nb = multiply(a, c)\nd = maximum(b, 1.0)\ne = divide(g, d)\nreturn e"
CASES = {
    "a row": (GIVEN + FORMULA, "e = bounded(g, c)\nreturn e"),
    "in float64": (GIVEN.replace("32", "64") + FORMULA, "e = bounded(g, c)\nreturn e"),
    "in half precision": (GIVEN.replace("32", "16") + FORMULA, None),
    "rows": (GIVEN.replace("[5]", "[5, 2]") + FORMULA, None),
    "a bound for each": (GIVEN.replace("[]", "[5]") + FORMULA, None),
    "a bound in float64": (GIVEN.replace("c: float32", "c: float64") + FORMULA, None),
    "another least number": (GIVEN + FORMULA.replace("1.0", "2.0"), None),
    "of another's size": ("h: float32[5]\n" + GIVEN + FORMULA.replace("abs(g)", "abs(h)"), None),
    "a minimum": (GIVEN + FORMULA.replace("maximum", "minimum"), None),
}


@pytest.mark.parametrize("name", CASES)
def test_bounds(name: str) -> None:
    before, after = CASES[name]
    check(lambda program: remove_dead_code(skip_bounds(program)), before, after)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [3, 200_000])
def test_it_is_the_formula_whatever_the_numbers(dtype: str, size: int) -> None:
    """At every size of c and g, up to those whose squares overflow or vanish."""

    def f(g: tg.Tensor, c: tg.Tensor) -> tg.Tensor:
        return g / tg.maximum(tg.abs(g) * c, 1.0)

    step = tg.jit(f, emitter="numpy", strict=True)
    rng = np.random.default_rng(0)
    powers = np.linspace(-45, 38, 12) if dtype == "float32" else np.linspace(-320, 300, 12)
    cases = [(g, c) for g in powers for c in powers]
    special = [
        (np.inf, 1.0),
        (np.nan, 1.0),
        (1.0, np.nan),
        (1.0, np.inf),
        (2.0, 0.0),
        (3.0, -5.0),
        (0.0, 1.0),
    ]
    with np.errstate(all="ignore"):
        given = [(10.0**g * rng.normal(size=size), 10.0**c) for g, c in cases]
        given += [(np.where(rng.random(size) < 0.5, g, 0.1), c) for g, c in special]
        for g, c in given if size < 100 else given[::7]:
            x, y = tg.tensor(g.astype(dtype)), tg.tensor(np.asarray(c, dtype))
            got, want = step(x, y).numpy(), f(x, y).numpy()
            assert got.tobytes() == want.tobytes() or np.array_equal(got, want, equal_nan=True), (g[0], c)
    assert "bounded(" in step.source() and step.stats()["eager"] == 2
