"""Gradients of slices are added where they belong; what is read later or named by arrays stays as it is."""

import numpy as np
import pytest

import tapegrad as tg
from pass_text import check
from tapegrad.compiler.passes.slices import add_into_slices

START = "x: float32[4, 2]\ny: float32[2]\nz: constant float32[4, 2] 0.0\n"
CASES = {
    "into a total": (
        f"{START}a = add_at(z, y, index=(1, Ellipsis))\nb = add(x, a)\nreturn b",
        "b = add_at(x, y, index=(1, Ellipsis))\nreturn b",
    ),
    "first": (
        f"{START}a = add_at(z, y, index=(1, Ellipsis))\nb = add(a, x)\nreturn b",
        "b = add_at(x, y, index=(1, Ellipsis))\nreturn b",
    ),
    "one after the other": (
        f"""{START}a = add_at(z, y, index=(1, Ellipsis))\nb = add_at(z, y, index=(2, Ellipsis))
        c = add(a, b)\nd = add_at(z, y, index=(0, Ellipsis))\ne = add(c, d)\nreturn e""",
        """a = add_at(z, y, index=(1, Ellipsis))\nc = add_at(a, y, index=(2, Ellipsis))
        e = add_at(c, y, index=(0, Ellipsis))\nreturn e""",
    ),
    "read again": (
        f"{START}a = add_at(z, y, index=(1, Ellipsis))\nb = add(x, a)\nc = exp(a)\nreturn b, c", None,
    ),
    "returned": (f"{START}a = add_at(z, y, index=(1, Ellipsis))\nb = add(x, a)\nreturn a, b", None),
    "to ones": (
        "x: float32[4]\no: constant float32[4] 1.0\na = add_at(o, 2.0, index=(1, Ellipsis))\nb = add(x, a)\nreturn b",
        None,
    ),
    "at an array": (
        f"{START}i: int64[1]\na = add_at(z, y, i, index=(Slot(0),))\nb = add(x, a)\nreturn b",
        "a = add_at(z, y, i, index=(array0,))\nb = add(x, a)\nreturn b",
    ),
    "broadcast": (f"{START}u: float32[1, 2]\na = add_at(z, y, index=(1, Ellipsis))\nb = add(u, a)\nreturn b", None),
    "of what is written": (
        """x: float32[4, 2]\nw: captured float32[2] 0:8\nz: constant float32[4, 2] 0.0
        a = add_at(z, w, index=(1, Ellipsis))\nv = multiply(w, 2.0)\nw = write(w, v)\nb = add(x, a)\nreturn b""",
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_slices(name: str) -> None:
    check(add_into_slices, *CASES[name])


@pytest.mark.parametrize("emitter", ["numpy", "native"])
def test_the_gradients_of_slices_cost_what_they_write(emitter: str) -> None:
    """One array for the gradients of all steps: no full array for each of them."""
    if emitter == "native":
        pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    x = tg.nn.Parameter(np.random.default_rng(0).normal(size=(30, 4, 8)))

    def loss() -> tg.Tensor:
        x.grad = None
        h = tg.zeros((4, 8), dtype="float64")
        for t in range(30):
            h = tg.tanh(h + x[t])
        y = (h * h).sum()
        y.backward()
        return y

    loss()
    want = x.grad.numpy().copy()
    step = tg.jit(loss, emitter=emitter)
    for _ in range(3):
        step()
    assert np.allclose(x.grad.numpy(), want, rtol=1e-12, atol=1e-12)
    program = step.shown().runner.program
    whole = [op for op in program.ops if op.out.shape == (30, 4, 8) and op.kind.name != "VIEW"]
    assert [op.name for op in whole] == ["add_at"] * 30
    homes = {step.shown().runner.plan.home[op.out].name for op in whole}
    assert len(homes) == 1, "each is made in the memory of the one before"
