"""`tg.jit` on whole steps: the same numbers as without, whatever changes between the calls."""

import subprocess
import sys
import threading
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_steps import HOW, RNG, T, X, batches, make, replaced, step_of, switched, train

F = tg.nn.functional
jit = partial(tg.jit, emitter="numpy")  # numba takes seconds to compile: its own tests do few programs


@pytest.mark.parametrize("how", HOW.values(), ids=list(HOW))
def test_training_gives_the_same_bits(how: dict[str, Any]) -> None:
    eager, compiled = train(None, **how), train("numpy", **how)
    assert compiled[0] == eager[0]
    if "clip" not in str(how):  # norms are added up in another order there
        assert [a.tobytes() for a in compiled[1]] == [a.tobytes() for a in eager[1]]
    recordings = compiled[2].stats()["recordings"]
    assert recordings == {switched: 2, replaced: 5}.get(how.get("between"), 1), compiled[2].stats()


def test_accumulated_gradients() -> None:
    """A step that only adds to `.grad`: what was there is added to, what was dropped is not."""

    def run(wrap: Any) -> list[Any]:
        model, _ = make()

        def backward(x: Any, t: Any) -> None:
            F.mse_loss(model(x), t).backward()

        f, seen = wrap(backward), []
        for i, (x, t) in enumerate(batches(9)):
            if i % 3 == 0:
                model.zero_grad()
            f(x, t)
            seen.append([p.grad.numpy().tobytes() for p in model.parameters()])
        return seen

    assert run(lambda f: f) == run(jit)


def test_functional_step() -> None:
    def step(params: dict[str, Any], x: Any, t: Any, lr: float) -> Any:
        loss = lambda p: ((tg.tanh(x @ p["w"]) @ p["v"][0] - t) ** 2).mean()
        value, g = tg.value_and_grad(loss)(params)
        return value, {"w": params["w"] - lr * g["w"], "v": [params["v"][0] - lr * g["v"][0]]}

    def run(f: Any) -> tuple[float, bytes]:
        rng = np.random.default_rng(1)
        params = {"w": tg.tensor(rng.normal(size=(6, 4))), "v": [tg.tensor(rng.normal(size=(4, 1)))]}
        x, t = tg.tensor(X.astype("float64")), tg.tensor(T.astype("float64"))
        for i in range(6):
            value, params = f(params, x, t, 0.1 if i < 3 else 0.01)
        return value.item(), params["w"].numpy().tobytes()

    compiled = jit(step)
    assert run(compiled) == run(step)
    assert compiled.stats()["recordings"] == 2  # one for each learning rate, a plain number


def test_inference_and_a_short_last_batch() -> None:
    model, _ = make()
    predict = jit(model)
    with tg.no_grad():
        for n in (16, 16, 4, 16, 4):
            x = tg.tensor(X[:n])
            assert predict(x).numpy().tobytes() == model(x).numpy().tobytes()
    assert predict.stats()["recordings"] == 2


def test_results_are_the_callers_own() -> None:
    f = jit(lambda x: (x * 2.0, x, (x + 1.0).sum()))
    x = tg.tensor([1.0, 2.0])
    f(x)
    a, b, c = f(x)
    kept = a.tolist(), b.tolist(), c.item()
    f(tg.tensor([5.0, 6.0]))
    a.data[...] = 9.0
    assert (x.tolist(), b.tolist(), c.item()) == ([1.0, 2.0], *kept[1:])
    assert f(x)[0].tolist() == kept[0]


def test_grad_of_jit_and_jit_in_jit() -> None:
    inner = jit(lambda x: tg.sin(x) * x)
    x = tg.tensor(0.7, dtype="float64")
    expected = tg.grad(lambda x: tg.sin(x) * x)(x).item()
    assert tg.grad(inner)(x).item() == expected
    assert jit(tg.grad(inner))(x).item() == expected
    assert jit(tg.grad(tg.grad(lambda x: inner(x))))(x).item() == pytest.approx(
        2 * np.cos(0.7) - 0.7 * np.sin(0.7)
    )
    w = tg.tensor([2.0], requires_grad=True)
    for _ in range(2):
        y = inner(w)
        y.sum().backward()
    assert w.grad is not None and "can be differentiated" in inner.stats()["programs"][0]


def test_a_closed_over_number_is_part_of_the_program_and_an_argument_is_not() -> None:
    """The documented case: what Python computes outside of tensors is recorded as it was."""
    factor = 2.0
    f = jit(lambda x: x * factor)
    g = jit(lambda x, factor: x * factor)
    x = tg.tensor([1.0])
    f(x), g(x, factor)
    factor = 3.0
    assert f(x).tolist() == [2.0] and g(x, factor).tolist() == [3.0]


@pytest.mark.parametrize(
    ("act", "remedy"),
    [
        (lambda x: float(x.sum()), "Return the tensor"),
        (lambda x: x if x.sum() > 0 else -x, "tg.where"),
        (lambda x: x.numpy(), "outside"),
        (lambda x: print(x), "outside"),
    ],
    ids=["float", "if", "numpy", "print"],
)
def test_what_cannot_be_recorded_names_the_line_and_the_remedy(act: Any, remedy: str) -> None:
    with pytest.raises(tg.TraceError, match=remedy) as caught:
        jit(act)(tg.tensor([1.0]))
    assert "test_jit.py" in str(caught.value)
    with pytest.raises(TypeError, match=r"tg\.tensor"):
        jit(act)(np.ones(3))


def test_a_check_inside_a_primitive_is_made_at_each_call() -> None:
    f = jit(lambda x, labels: F.cross_entropy(x, labels))
    x = tg.tensor(RNG.normal(size=(4, 3)))
    f(x, tg.tensor([0, 1, 2, 0]))
    for wrong in (3, -1):
        with pytest.raises((ValueError, IndexError), match="class numbers from 0 to 2"):
            f(x, tg.tensor([0, 1, 2, wrong]))
    assert f(x, tg.tensor([2, 1, 0, 0])).item() == F.cross_entropy(x, tg.tensor([2, 1, 0, 0])).item()


def test_two_threads_share_a_step() -> None:
    f = jit(lambda x: tg.exp(x) @ x.T)
    inputs = [tg.tensor(RNG.normal(size=(30, 30))) for _ in range(4)]
    wanted = [f(x).numpy() for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(50):
            if not np.array_equal(f(inputs[i]).numpy(), wanted[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
def test_arrays_elsewhere_run_as_without(strict: str) -> None:
    f = jit(lambda x: tg.exp(x).sum())
    x = tg.tensor([1.0, 2.0], device=strict)
    for _ in range(2):
        assert f(x).item() == tg.exp(x).sum().item()
    assert "not compiled" in f.stats()["programs"][0] and f.stats()["recordings"] == 0


@pytest.fixture
def strict() -> str:
    pytest.importorskip("array_api_strict", reason="the third backend needs array-api-strict")
    return import_module("strict_backend").register().name  # type: ignore[no-any-return]


def test_a_method_as_decorated() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.model, self.opt = make()

        @jit
        def step(self, x: Any, t: Any) -> Any:
            """One step."""
            return step_of(self.model, self.opt)(x, t)

    a = Trainer()
    losses = [a.step(x, t).item() for x, t in batches(5)]
    assert losses == train(None, 5)[0]


def test_source_is_to_be_read() -> None:
    *_, step = train("numpy", 2)
    text = step.source()
    for part in ("layers_0_kernel", "parameters", "learning_rate", "def step(x, t):", "[gradient of linear]", "[Adam]",
                 "loss.backward()", "float32[16, 8]"):  # fmt: skip
        assert part in text, text
    table = step.explain()
    assert "common_subexpressions" in table and "in buffers" in table
    assert "linear" not in step.program() and "matmul" in step.program("recorded")
    with pytest.raises(ValueError, match="dead_code"):
        step.program("nonsense")
    with pytest.raises(RuntimeError, match="call f once"):
        jit(_named_f).source()


def _named_f(x: Any) -> Any:
    return x


_named_f.__name__ = "f"


def test_tracebacks_show_the_programs_line() -> None:
    f = jit(lambda x, i: x[i])
    f(tg.tensor([1.0, 2.0]), tg.tensor([0]))
    with pytest.raises(IndexError) as caught:
        f(tg.tensor([1.0, 2.0]), tg.tensor([7]))
    import traceback

    assert "take_at = x[i]" in "".join(traceback.format_exception(caught.value))


def test_the_saved_file_runs_without_tapegrad(tmp_path: Path) -> None:
    model, opt = make()
    step = jit(step_of(model, opt))
    todo = batches(6)
    for x, t in todo[:3]:
        step(x, t)
    step.save(str(tmp_path / "step.py"))
    np.savez(
        tmp_path / "data.npz",
        **{f"{n}{i}": b.numpy() for i, p in enumerate(todo[3:]) for n, b in zip("xt", p)},
    )
    program = """
import sys
sys.modules["tapegrad"] = None
import numpy as np
from step import open_step
data = np.load("data.npz")
step = open_step()
print([float(step(data[f"x{i}"], data[f"t{i}"])[0]) for i in range(3)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert eval(done.stdout) == [step(x, t).item() for x, t in todo[3:]]


def test_memory_is_constant_and_planned() -> None:
    import gc

    *_, step = train("numpy", 2)
    (x, t), *_ = batches(1)
    step(x, t)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(200):
            step(x, t)
        assert len(gc.get_objects()) <= before + 5
    finally:
        gc.enable()
    deep = jit(lambda x: tg.sin(tg.cos(tg.sin(tg.cos(tg.sin(x))))))
    deep(x)
    assert len(deep.variant().plan.buffers) == 1
