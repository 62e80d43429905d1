"""Which target takes a program, and what becomes of operations that a target has no words for."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_gpu import on_gpu
from tapegrad.autograd.primitive import Primitive
from tapegrad.backends.install import install_line
from tapegrad.compiler.emit import available, choose
from tapegrad.compiler.emit.cupy.emitter import CupyEmitter
from tapegrad.compiler.ir import operations
from tapegrad.compiler.passes import improve

X = np.linspace(-2.0, 2.0, 6, dtype="float32")


def recorded(function: Any) -> Any:
    step = tg.jit(function, emitter="numpy")
    with tg.no_grad():
        step(tg.tensor(X))
    return step.shown().runner.history[0][1]


# ---- operations that a target has no words for ----
def test_a_function_without_a_row_is_one_call_of_numpy() -> None:
    running = Primitive("running", lambda xp, x: xp.sinc(xp.sin(x)), register=False)
    step = tg.jit(lambda x: tg.exp(running(tg.cos(x))), emitter="numpy")
    with tg.no_grad():
        for factor in (1.0, 0.5):
            x = tg.tensor(X * np.float32(factor))
            got, want = step(x), tg.exp(running(tg.cos(x)))
            assert got.numpy().tobytes() == want.numpy().tobytes()
    assert step.stats()["programs"] == ["numpy"] and "np.sinc(" in step.source()


def test_an_operation_without_cuda_is_one_call_between_two_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = replace(operations.OPERATIONS["tanh"], cuda=None)
    monkeypatch.setitem(operations.OPERATIONS, "tanh", bare)
    program = improve(recorded(lambda x: tg.exp(tg.tanh(tg.sin(x) + 1.0)) * 2.0), "cupy")[0]
    emitter = CupyEmitter(program, "")
    text = emitter.source()
    assert text.count("= ElementwiseKernel(") == 2 and text.count("cupy.tanh(") == 1, text
    assert emitter.note() == "in no kernel, but one call of CuPy's each: tanh"


def test_an_operation_without_cuda_runs(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(operations.OPERATIONS, "tanh", replace(operations.OPERATIONS["tanh"], cuda=None))
    with on_gpu(), tg.no_grad():
        step = tg.jit(lambda x: tg.exp(tg.tanh(tg.sin(x) + 1.0)) * 2.0, emitter="cupy")
        for factor in (1.0, 0.5):
            x = X * np.float32(factor)
            got = step(tg.tensor(x, device="cuda:0")).numpy()
            np.testing.assert_allclose(got, np.exp(np.tanh(np.sin(x) + 1)) * 2, rtol=1e-6)
    assert step.stats()["programs"] == ["cupy: in no kernel, but one call of CuPy's each: tanh"]


# ---- one row is enough ----
NEW = {
    "cbrt": (operations.called("cbrt"), lambda xp, x: xp.cbrt(xp.sin(x)) * 2, "cbrt(", "= cbrt("),
    "amax": (
        operations.reduction("amax", "maximum", "a >= b || a != a ? a : b", float("-inf")),
        lambda xp, x: xp.amax(xp.sin(x), axis=0), "maximum.reduce(", "= ReductionKernel(",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NEW)
def test_one_row_adds_an_operation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row, forward, in_numpy, in_cuda = NEW[name]
    monkeypatch.setitem(operations.OPERATIONS, name, row)
    new = Primitive(name, forward, register=False)
    step = tg.jit(lambda x: new(x), emitter="numpy")
    with tg.no_grad():
        for factor in (1.0, 0.5):
            x = tg.tensor(X * np.float32(factor))
            assert step(x).numpy().tobytes() == new(x).numpy().tobytes()
    assert in_numpy in step.source() and "out=buffer_1)" in step.source(), step.source()
    there = CupyEmitter(improve(step.shown().runner.history[0][1], "cupy")[0], "").source()
    assert in_cuda in there and there.count("Kernel(\n") == 1, there


# ---- which target ----
def chain(n: int) -> Any:
    def f(x: Any) -> Any:
        for _ in range(n):
            x = tg.sin(x)
        return x

    return recorded(f)


def test_auto_is_machine_code_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    short, long = chain(choose.OPERATIONS - 1), chain(choose.OPERATIONS)
    large = recorded(lambda x: tg.broadcast_to(x, (choose.NBYTES // 16, 6)) * 2.0)
    emitted = [choose.emit("auto", program, "f", "cpu").name for program in (short, long, large)]
    assert emitted == ["numpy", "native", "native"]
    assert choose.emit("native", short, "f", "cpu").name == "native"
    for there in (None, "0.47.0"):
        monkeypatch.setattr("tapegrad.backends.install.found", lambda package, there=there: there)
        assert choose.emit("auto", long, "f", "cpu").name == "numpy"


@pytest.mark.parametrize(("there", "said"), [
    (None, "llvmlite, which is not installed"),
    ("0.47.0", "llvmlite 0.48 or later, and 0.47.0 is installed"),
    ("0.48.0rc1", ""),
    ("1.0", ""),
])  # fmt: skip
def test_an_old_llvmlite_is_as_none(there: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not know the code that native code is made of ends the process."""
    monkeypatch.setattr("tapegrad.backends.install.found", lambda package: there)
    assert available.native_at_hand() == (not said)
    if said:
        with pytest.raises(ValueError, match=re.escape(f"needs {said}: {install_line('jit')}")):
            tg.jit(tg.sin, emitter="native")


def test_what_machine_code_lacks_is_a_call_of_numpy() -> None:
    pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    program = recorded(lambda x: (tg.clip(x, -1.0, 1.0) * x).astype("float16").astype("float32") + x)
    emitted = choose.emit("auto", program, "f", "cpu")
    assert emitted.name == "native" and emitted.note == "astype by NumPy"
