"""`tg.jit` on whole steps: the same numbers as without, whatever changes between the calls."""

import tracemalloc
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import EMITTERS, emitting
from compiler_steps import HOW, RNG, T, X, batches, make, replaced, step_of, switched, train

F = tg.nn.functional
jit = partial(tg.jit, emitter="numpy")


@pytest.mark.parametrize("how", HOW.values(), ids=list(HOW))
def test_training_gives_the_same_bits(how: dict[str, Any]) -> None:
    eager, compiled = train(None, **how), train("numpy", **how)
    assert compiled[0] == eager[0]
    if "clip" not in str(how):  # norms are added up in another order there
        assert [a.tobytes() for a in compiled[1]] == [a.tobytes() for a in eager[1]]
    recordings = compiled[2].stats()["recordings"]
    assert recordings == {switched: 2, replaced: 3}.get(how.get("between"), 1), compiled[2].stats()


@pytest.mark.parametrize("how", HOW.values(), ids=list(HOW))
def test_training_in_machine_code_is_the_same_but_for_rounding(how: dict[str, Any]) -> None:
    eager = train(None, **how)
    compiled = train("native", **how)
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-5)
    for a, b in zip(compiled[1], eager[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    stats = compiled[2].stats()
    assert all(text.startswith("native") for text in stats["programs"])
    assert stats["recordings"] == {switched: 2, replaced: 3}.get(how.get("between"), 1), stats


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


def test_a_check_inside_a_primitive_is_made_at_each_call() -> None:
    f = jit(lambda x, labels: F.cross_entropy(x, labels))
    x = tg.tensor(RNG.normal(size=(4, 3)))
    f(x, tg.tensor([0, 1, 2, 0]))
    for wrong in (3, -1):
        with pytest.raises((ValueError, IndexError), match="class numbers from 0 to 2"):
            f(x, tg.tensor([0, 1, 2, wrong]))
    assert f(x, tg.tensor([2, 1, 0, 0])).item() == F.cross_entropy(x, tg.tensor([2, 1, 0, 0])).item()


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
def test_arrays_elsewhere_run_as_without(strict: str) -> None:
    f = jit(lambda x: tg.exp(x).sum())
    x = tg.tensor([1.0, 2.0], device=strict)
    with pytest.warns(tg.JitWarning, match="runs as Python: its arrays are on"):
        assert f(x).item() == tg.exp(x).sum().item()
    assert f(x).item() == tg.exp(x).sum().item()
    assert "its arrays are on" in f.stats()["programs"][0] and f.stats()["recordings"] == 0
    assert all("its arrays are on" in text for text in (f.stats()["refused"], f.source(), f.explain()))
    for _ in range(3):
        f(tg.ones(2))
    assert f.stats()["refused"] is None and f.stats()["programs"] == ["numpy"] and f.stats()["compiled"] == 1
    f(x)
    assert len(f.stats()["programs"]) == 2 and f.stats()["refused"]
    f(tg.ones(2))
    assert f.stats()["refused"] is None and "def build" in f.source()


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
def test_arrays_elsewhere_cannot_be_prepared(strict: str) -> None:
    x = tg.tensor([1.0, 2.0], device=strict)
    f = jit(lambda x: tg.exp(x).sum())
    with pytest.warns(tg.JitWarning, match="its arrays are on"):
        f.prepare(x)
    assert f.stats()["recordings"] == 0 and "its arrays are on" in f.stats()["refused"]
    with pytest.raises(tg.TraceError, match="its arrays are on"):
        jit(lambda x: tg.exp(x).sum(), strict=True).prepare(x)


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


@pytest.mark.usefixtures("unchecked")
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
    assert len(deep.shown().runner.plan.buffers) == 1


def test_an_argument_that_looks_into_what_is_written() -> None:
    """The first call had one of its own; a later one is a view of the buffer."""

    def run(wrap: Any) -> list[Any]:
        b = tg.tensor(np.array([1.0, 2.0, 3.0]))

        def f(x: Any) -> Any:
            b.assign(b + 1.0)
            return x * 2.0

        f = wrap(f)
        return [f(x).tolist() for x in (tg.ones((3,), dtype="float64"), b[::-1], b[0:3], b.detach()[::-1])]

    for emitter in EMITTERS:
        assert run(emitting(emitter)) == run(lambda f: f)


def test_a_method_that_trains_a_parameter_of_its_object() -> None:
    class Line:
        def __init__(self, slope: float) -> None:
            self.slope = tg.nn.Parameter(np.array([slope]))

        @tg.jit(emitter="numpy")
        def step(self, x: Any) -> None:
            self.slope.grad = None
            ((self.slope * x - 1.0) ** 2).sum().backward()
            with tg.no_grad():
                self.slope -= 0.1 * self.slope.grad

    lines, x = [Line(0.0), Line(5.0)], tg.tensor(np.array([1.0]))
    for _ in range(6):
        for line in lines:
            line.step(x)
    want = [1.0 - (1.0 - start) * 0.8**6 for start in (0.0, 5.0)]
    assert np.allclose([line.slope.item() for line in lines], want)
    assert Line.step.stats()["compiled"] == 8 and Line.step.stats()["recordings"] == 2


def test_a_number_that_changes_at_each_call() -> None:
    """It would be another program each time: it runs as Python then, and the argument is named."""
    x = tg.tensor([1.0, 2.0])
    scaled = jit(lambda x, c: x * c)
    with pytest.warns(tg.JitWarning, match="a guard failed each time: c: 12.0 instead of 11.0") as told:
        found = [scaled(x, float(i)).tolist() for i in range(70)]
    assert found == [[i, 2.0 * i] for i in range(70)]
    assert len(told) == 1 and told[0].filename == __file__
    assert scaled.stats()["recordings"] == 12 and scaled.stats()["compiled"] == 0


def test_many_kinds_of_call() -> None:
    """The least recently used of 64 programs goes."""
    x = tg.tensor([1.0, 2.0])
    scaled = jit(lambda x, c: x * c)
    for i in [*range(70), 69, 6, 5]:
        for _ in range(3):
            assert scaled(x, float(i)).tolist() == [i, 2.0 * i]
        if i == 6 and scaled.stats()["calls"] > 210:
            assert scaled.stats()["recordings"] == 70, "the latest are there"
    assert scaled.stats()["recordings"] == 71, "the first ones are not"
    assert len(scaled.stats()["programs"]) == 64 and scaled.stats()["refused"] is None
    scaled.prepare(x, 70.0)
    assert len(scaled.stats()["programs"]) == 64 and scaled.stats()["recordings"] == 72


def test_check_names_what_differs_and_takes_back_a_run_that_raises():
    """`step.f` stands for what the guards cannot see: it is another function from the fourth call on."""
    w = tg.tensor([1.0, 2.0])

    def double(x: Any) -> Any:
        w.assign(w * x)
        return w.sum()

    def add(x: Any) -> Any:
        w.assign(w + x)
        return w.sum()

    def fail(x: Any) -> Any:
        w.assign(w * 0.0)
        raise OSError("no more")

    step = tg.jit(double, emitter="numpy", check=1)
    two = tg.tensor(2.0)
    assert [step(two).item() for _ in range(3)] == [6.0, 12.0, 24.0]
    step.f = add
    with pytest.raises(
        RuntimeError, match=r"result 1 of the program is not what the function gives: .*48.* instead"
    ):
        step(two)
    before = w.tolist()
    step.f = fail
    with pytest.raises(OSError, match="no more"):
        step(two)
    assert w.tolist() == before


def test_prepared_for_each_mode_and_for_arrays_as_they_are_given():
    step = jit(lambda x, y: (x * y).sum())
    x, y = np.array([1.0, 2.0], "float32"), np.array([3.0, 4.0], "float32")
    step.prepare(x, y=y)
    with tg.no_grad():
        step.prepare(x, y=y)
        assert step(x + 1, y=y).item() == 18.0
    assert step(x, y=y).item() == 11.0 and step(x, y + 1).item() == 14.0
    assert step.stats()["compiled"] == 3 and step.stats()["recordings"] == 2


def test_recording_keeps_one_copy_of_what_is_written_again_and_again():
    """And one copy is enough to put everything back, for an array and for a part of it."""
    rows = tg.zeros((16, 20_000))

    def fill(x: Any) -> Any:
        for i in range(16):
            rows[i] = x * float(i)
        part = rows[1:]
        part += x
        rows.assign(rows * 2.0)
        return rows.sum()

    x = tg.ones((20_000,))
    jit(fill).prepare(x)  # imports what is slow to import while memory is traced
    tracemalloc.start()
    jit(fill).prepare(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not rows.numpy().any()
    assert peak < 12 * rows.numpy().nbytes, f"{peak:,} bytes"


def test_calls_of_programs_pay_for_recordings() -> None:
    """A kind that comes once between many others is no reason to compile none."""
    often = tg.jit(lambda x, k: x * k)
    for i in range(20):
        for _ in range(12):
            often(tg.ones(2), 1.0)
        assert often(tg.ones(2), float(i + 10)).numpy().tolist() == [i + 10, i + 10]
    assert often.stats()["refused"] is None
    seldom = tg.jit(lambda x, k: x * k)
    with pytest.warns(tg.JitWarning, match="it was recorded 12 times in a row"):
        for i in range(20):
            seldom(tg.ones(2), 1.0)
            seldom(tg.ones(2), float(i + 10))


def test_a_compiled_step_of_a_compiled_loop_is_part_of_it() -> None:
    step = tg.jit(lambda c, x: (c * 0.5 + x, c), strict=True)
    loop = tg.jit(lambda xs: tg.scan(step, tg.zeros(2), xs), strict=True)
    for i in range(4):
        last, all_of_them = loop(tg.ones((3, 2)) * i)
        assert last.numpy().tolist() == [1.75 * i] * 2 and all_of_them.shape == (3, 2)
    assert loop.stats()["compiled"] == 2 and step.stats()["compiled"] == 0
