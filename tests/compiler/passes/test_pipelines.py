"""What each target's program goes through: every step is in the history, and the last one is what is emitted."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_steps import X, batches, make, step_of
from pass_text import outcome, parsed, text_of
from tapegrad.compiler.emit.cupy.emitter import CupyEmitter
from tapegrad.compiler.emit.native.emitter import NativeEmitter
from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter
from tapegrad.compiler.passes import PIPELINES, improve

SHARED = ["recorded", "dead_code", "constants", "algebra", "common", "algebra 2", "dead_code 2"]
STEPS = {
    "numpy": [*SHARED, "bounds", "dead_code 3", "slices", "gradients", "zero_masks", "lifetimes", "scalars"],
    "native": [*SHARED, "windows", "slices", "gradients", "outer_products", "lifetimes", "layouts"],
    "cupy": [*SHARED, "gradients"],
}
PROGRAM = """
    x: float32[4, 2]
    y: float32[4, 2]
    w: captured float32[2, 2] 0:16
    a = matmul(x, w)
    b = multiply(a, 1.0)
    c = maximum(b, 0.0)
    m = greater(c, 0)
    g = where(m, y, 0.0)
    h = where(m, y, 0.0)
    d = sum(h, axis=0)
    k = clip(a, min=-0.5, max=0.5)
    t = permute_dims(x, axes=(1, 0))
    e = matmul(t, g)
    u = multiply(e, 0.1)
    v = subtract(w, u)
    w = write(w, v)
    return c, d, k
    gradients e, g
    """


@pytest.mark.parametrize("target", PIPELINES)
def test_every_step_is_in_the_history(target: str) -> None:
    program = parsed(PROGRAM)
    improved, history = improve(program, target)
    assert [name for name, _ in history] == STEPS[target]
    assert history[0][1] is program and history[-1][1] is improved


@pytest.mark.parametrize("target", PIPELINES)
def test_every_step_computes_the_same(target: str) -> None:
    program = parsed(PROGRAM)
    recorded = text_of(program)
    _, history = improve(program, target)
    want = outcome(parsed(PROGRAM))
    for name, step in history:
        for a, b in zip(outcome(step), want, strict=True):
            assert a.dtype == b.dtype, name
            np.testing.assert_allclose(a, b, rtol=1e-6, err_msg=name)
    assert text_of(program) == recorded, "a pass changed the list that it was given"


@pytest.mark.parametrize(
    ("target", "emitter"),
    [("numpy", NumpyEmitter), ("native", NativeEmitter), ("cupy", CupyEmitter)],
)
def test_an_emitter_takes_the_program_as_it_is(target: str, emitter: Any) -> None:
    improved, _ = improve(parsed(PROGRAM), target)
    before = text_of(improved)
    writer = emitter(improved, "")
    text = writer.source()
    assert writer.program is improved and text_of(improved) == before
    assert all(f"[{op.origin.part}]" in text for op in improved.ops)


def test_a_pass_that_runs_twice_can_be_asked_for_both_times() -> None:
    """What is the same only since the common subexpressions are gone."""
    _, history = improve(
        parsed("""
        x: float32[3]
        a = negative(x)
        b = exp(a)
        c = exp(a)
        d = negative(b)
        e = negative(c)
        f = negative(e)
        g = subtract(d, f)
        return g
        """),
        "numpy",
    )
    steps = dict(history)
    assert text_of(steps["algebra"]) != text_of(steps["algebra 2"])
    assert len(steps["dead_code 2"].ops) == 4


def test_the_steps_of_a_compiled_step() -> None:
    step = tg.jit(step_of(*make()), emitter="numpy")
    for x, t in batches(2):
        step(x, t)
    assert step.program() == step.program("scalars") != step.program("algebra")
    with pytest.raises(
        ValueError, match=r"known passes are recorded, dead_code, .*algebra 2.*, got 'algebra 3'"
    ):
        step.program("algebra 3")


def test_the_recorded_list_shows_values() -> None:
    with tg.no_grad():
        step = tg.jit(lambda x: tg.nn.functional.relu(x), emitter="numpy")
        step(tg.tensor(X))
    assert "= maximum(x, 0.0) " in step.program("recorded")
