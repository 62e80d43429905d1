"""What native programs take and give back: the stack of a thread, the compiler's memory, machine code."""

import gc
import itertools
import resource
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
from tapegrad.autograd import writes
from tapegrad.compiler.emit.native import allocation, build, calls, machine

RNG = np.random.default_rng(0)
# m, k, n and which operand is transposed: kernels that copy panels of the right operand, and of the left one, too.
LARGE = [(512, 1024, 300, ""), (300, 1024, 512, "ab"), (200, 3000, 64, "b"), (3000, 200, 400, "a")]


def native(f: Any) -> Any:
    return tg.jit(f, emitter="native")


def in_a_thread(stack: int, work: Any) -> None:
    """Run work() in a thread with a stack of so many bytes; raises what it raises."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    before = threading.stack_size(stack)
    try:
        thread = threading.Thread(target=guarded)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if raised:
        raise raised[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_small_stack_is_enough(dtype: str) -> None:
    pairs = []
    for m, k, n, transposed in LARGE:
        a = RNG.normal(size=(k, m) if "a" in transposed else (m, k)).astype(dtype)
        b = RNG.normal(size=(n, k) if "b" in transposed else (k, n)).astype(dtype)
        pairs.append((tg.tensor(a.T if "a" in transposed else a), tg.tensor(b.T if "b" in transposed else b)))
    f = native(lambda: [tg.tanh(a @ b) for a, b in pairs])

    def work() -> None:
        with tg.no_grad():
            for _ in range(4):
                got = f()
        for (a, b), c in zip(pairs, got):
            assert np.allclose(c.numpy(), np.tanh(a.numpy() @ b.numpy()), atol=1e-4)

    in_a_thread(256 * 1024, work)
    assert f.stats()["programs"] == ["native"]


def test_products_that_copy_an_operand_ahead() -> None:
    """Vectors along the depth, of operands that do not lie so."""
    a, b = (tg.tensor(RNG.normal(size=size).astype("float32")) for size in ((48, 20), (48, 3)))
    f = native(lambda: a.T @ b)
    for _ in range(4):
        assert np.allclose(f().numpy(), a.numpy().T @ b.numpy(), atol=1e-5)
    assert f.stats()["programs"] == ["native"]


def text_of(number: int) -> str:
    lines = [f"%v{i + 1} = fadd double %v{i}, {number}.0" for i in range(200)]
    body = "\n  ".join(
        ["%v0 = load double, ptr %table", *lines, "store double %v200, ptr %table", "ret i32 0"]
    )
    return machine.module_text([f"define i32 @f(ptr %table, ptr %scratch) {{\n  {body}\n}}"], [])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/statm")
def test_compiling_keeps_no_memory() -> None:
    """llvmlite 0.50 forgets to free what a pass manager holds: 140 KB of each module."""

    def kept() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    for number in range(20):
        machine.object_code(text_of(number))
    before = kept()
    for number in range(60):
        machine.object_code(text_of(number))
    assert kept() - before < 60 * 40_000


def test_a_program_that_is_dropped_gives_back_its_code_and_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[Any] = []
    made, freed = machine.Code.__init__, machine.llvm().ExecutionEngine._dispose

    def init(self: machine.Code, text: str) -> None:
        made(self, text)
        alive.append(weakref.ref(self))

    disposed: list[int] = []
    monkeypatch.setattr(machine.Code, "__init__", init)
    monkeypatch.setattr(
        machine.llvm().ExecutionEngine, "_dispose", lambda self: (disposed.append(1), freed(self))
    )
    for n in range(5):
        f = native(lambda x, n=n: x @ x * float(n))
        for _ in range(4):
            x = tg.tensor(RNG.normal(size=(64, 64)).astype("float32"))
            f(x)
        assert f.stats()["programs"] == ["native"]
    del f
    gc.collect()
    assert len(alive) == 5 and not any(code() for code in alive)
    assert len(disposed) >= 5


def recurrent(steps: int, size: int) -> Any:
    u = tg.nn.Parameter(RNG.normal(size=(size, size)).astype("float32") * 0.1)
    optimizer = tg.optim.SGD([u], lr=0.1)
    x = tg.tensor(RNG.normal(size=(steps, 16, size)).astype("float32"))

    def step() -> Any:
        h = x[0]
        for t in range(1, steps):
            h = tg.tanh(x[t] + h @ u)
        loss = (h * h).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return u, step


def test_a_weight_is_copied_once_for_all_steps_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each call again, for the optimizer writes to it."""
    made: list[str] = []
    init = calls.Calls.__init__

    def listen(self: Any, code: Any, stages: Any, *rest: Any) -> None:
        made.extend(name for stage in stages for name, _ in stage)
        init(self, code, stages, *rest)

    monkeypatch.setattr(calls.Calls, "__init__", listen)
    u, step = recurrent(12, 64)
    before = u.numpy().copy()
    eager = [float(step().numpy()) for _ in range(6)]
    u.data[...] = before
    compiled = tg.jit(step, emitter="native")
    assert np.allclose([float(compiled().numpy()) for _ in range(6)], eager, rtol=1e-4)
    assert compiled.stats()["programs"] == ["native"]
    assert sum(name.startswith("pack") for name in made) == 1
    assert sum(name.startswith("product") for name in made) > 20


def test_a_copy_is_made_again_when_its_operand_was_written_to() -> None:
    w = tg.nn.Buffer(tg.tensor(RNG.normal(size=(64, 64)).astype("float32")))
    x, y = (tg.tensor(RNG.normal(size=(16, 64)).astype("float32")) for _ in range(2))

    def f() -> Any:
        first = x @ w.T, y @ w.T
        w.assign(w * 0.5)
        return *first, x @ w.T, y @ w.T

    want = [[r.numpy() for r in f()] for _ in range(5)]
    w.data[...] *= 2.0**5
    compiled = native(f)
    for wanted in want:
        for a, b in zip(compiled(), wanted):
            assert np.allclose(a.numpy(), b, atol=1e-5)
    assert compiled.stats()["programs"] == ["native"]


def test_arrays_that_stay_share_one_block_but_for_gradients_that_are_given_away() -> None:
    w = tg.nn.Parameter(RNG.normal(size=(30, 20)).astype("float32"))
    x = tg.tensor(RNG.normal(size=(7, 30)).astype("float32"))

    def f(x: Any) -> Any:
        w.grad = None
        h = tg.tanh(x @ w)
        (h * h).sum().backward()
        return h

    compiled = native(f)
    for _ in range(4):
        compiled(x)
    builder: Any = compiled.shown().runner.build
    arrays = build.arrays_of(builder.emitter, builder.captured)
    texts = builder.emitter.definitions
    gradients = [arrays[name] for name in builder.emitter.gradients]
    made = [arrays[name] for name in texts if texts[name].startswith(allocation.EMPTY)]
    inside = [a for a in made if not any(np.shares_memory(a, g) for g in gradients)]
    assert len(gradients) == 1 and len(inside) >= 3
    assert len({id(writes.owner(a)) for a in inside}) == 1
    assert all(a.ctypes.data % machine.LINE_BYTES == 0 for a in inside)
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(inside, 2))
    # Who keeps a gradient keeps no more than that, and what is marked as written is its own.
    assert writes.owner(gradients[0]) is not writes.owner(inside[0])
    assert writes.owner(gradients[0]).nbytes == w.numpy().nbytes
