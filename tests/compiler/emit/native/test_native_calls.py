"""What goes in and out of a native program: arguments small and large, other cases, warnings, order in memory."""

import threading
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.primitive import Primitive

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
RNG = np.random.default_rng(0)


def flipped(x: Any) -> Any:
    return tg.permute_dims(x, tuple(range(x.ndim))[::-1])


def native(f: Any) -> Any:
    return tg.jit(f, emitter="native")


@pytest.mark.parametrize("shape", [(), (3,), (70, 90), (5, 20, 90)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_each_call_sees_its_own_arguments(shape: tuple[int, ...], dtype: str) -> None:
    f = native(lambda x, y: (flipped(x + y) * 2, (x - y).sum()))
    with tg.no_grad():
        for n in range(8):
            x, y = (np.asarray(RNG.normal(size=shape) * 9).astype(dtype) for _ in range(2))
            x = np.asfortranarray(x) if n >= 6 else x  # another case
            got = f(tg.tensor(x), tg.tensor(y))
            assert np.array_equal(got[0].numpy(), (x + y).T * 2)
            assert np.allclose(got[1].numpy(), (x - y).sum(), rtol=1e-5, atol=1e-4)
    assert f.stats()["programs"][0].startswith("native") and f.stats()["compiled"] >= 4


def test_a_part_of_a_large_argument() -> None:
    f = native(lambda x: x[100:, ::2] * x[:-100, 1::2])
    with tg.no_grad():
        for _ in range(5):
            x = RNG.normal(size=(300, 64)).astype("float32")
            assert np.array_equal(f(tg.tensor(x)).numpy(), x[100:, ::2] * x[:-100, 1::2])


def test_results_stay_what_they_are() -> None:
    f = native(lambda x: x * 2.0)
    with tg.no_grad():
        kept = [f(tg.tensor(np.full(5000, n, "float32"))) for n in range(6)]
    assert [float(k[0].numpy()) for k in kept] == [2.0 * n for n in range(6)]


LARGE_RESULTS: dict[str, Any] = {
    "one": lambda x: x * 2.0,
    "several of one shape": lambda x: (x + 1.0, tg.exp(x), -x),
    "one that is used again": lambda x: (y := x + 1.0, y * y),
    "twice": lambda x: (y := x + 1.0, y),
    "turned": lambda x: (x + 1.0).T,
    "a part": lambda x: (x + 1.0)[1:],
    "and a part of it": lambda x: (y := x + 1.0, y[1:]),
    "itself": lambda x: (x, x + 1.0),
    "what NumPy makes": lambda x: (y := tg.einsum("ij,ij->ij", x, x), y + 1.0),
    "what NumPy reads": lambda x: (y := x + 1.0, tg.einsum("ij,ij->j", y, y)),
    "a product": lambda x: (x @ x.T, x + 1.0),
    "joined": lambda x: tg.concat([tg.exp(x).reshape(-1), (x * 2.0).reshape(-1)]),
    "changed at an index": lambda x: (y := x + 1.0, tg.index_update(y, 3, 0.0), tg.index_add(y, 4, 1.0)),
}


@pytest.mark.parametrize("name", LARGE_RESULTS)
def test_large_results_are_arrays_of_their_own(name: str) -> None:
    """They are made where they stay: those of one call are not touched by the next, nor by each other."""
    f = LARGE_RESULTS[name]
    step, kept = native(f), []
    for n in range(6):
        x = RNG.normal(size=(80, 90)).astype("float32") + n
        with tg.no_grad():
            want, got = f(tg.tensor(x)), step(tg.tensor(x))
        pair = [r if isinstance(r, tuple) else (r,) for r in (got, want)]
        kept.append([(g.numpy(), w.numpy().copy()) for g, w in zip(*pair, strict=True)])
    for results in kept:
        for got, want in results:
            assert np.allclose(got, want, rtol=1e-5, atol=1e-5)
    arrays = [
        got
        for results in kept[2:]
        for got, _ in results
        if name not in ("itself", "twice", "and a part of it")
    ]
    assert not any(np.shares_memory(a, b) for k, a in enumerate(arrays) for b in arrays[:k])


def test_a_check_inside_leads_to_another_case() -> None:
    """A primitive whose forward chooses by value."""
    p = Primitive(
        "doubled_if_large_for_native", lambda xp, x: x * 2 if xp.max(x) > 1 else x, vjp=None, register=False
    )
    f = native(lambda x: p(x))
    with tg.no_grad():
        for scale in (3.0, 3.0, 3.0, 0.1, 0.1, 0.1, 3.0):
            x = np.full(4, scale, "float32")
            want = x * 2 if scale > 1 else x
            assert np.array_equal(f(tg.tensor(x)).numpy(), want)


def test_nothing_is_told_of_what_was_not_finite_before() -> None:
    f = native(lambda x: tg.relu(x) + 1.0)
    x = tg.tensor(np.array([np.inf, 1.0, 2.0] * 11, "float32"))
    with tg.no_grad():
        for _ in range(5):
            assert np.isinf(f(x).numpy()[0])


def test_threads_each_have_their_own_results() -> None:
    """One program, used by eight threads."""
    w = tg.nn.Parameter(RNG.normal(size=(32, 32)).astype("float32"))
    f = native(lambda x: tg.tanh(x @ w))
    wrong: list[Any] = []

    def use(seed: int) -> None:
        rng = np.random.default_rng(seed)
        with tg.no_grad():
            for _ in range(60):
                x = rng.normal(size=(16, 32)).astype("float32")
                if not np.allclose(f(tg.tensor(x)).numpy(), np.tanh(x @ w.numpy()), atol=1e-5):
                    wrong.append(seed)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_training_step_gives_the_numbers_of_eager() -> None:
    def run(how: Any) -> list[float]:
        tg.manual_seed(0)
        m = tg.nn.Sequential([tg.nn.Dense(64, "tanh", in_features=20), tg.nn.Dropout(0.2), tg.nn.Dense(3)])
        opt = tg.optim.Adam(m.parameters(), lr=0.01)
        x = tg.tensor(np.random.default_rng(0).normal(size=(48, 20)).astype("float32"))
        y = tg.tensor(np.random.default_rng(1).integers(0, 3, size=48))

        def step() -> Any:
            opt.zero_grad()
            loss = tg.nn.functional.cross_entropy(m(x), y)
            loss.backward()
            opt.step()
            return loss

        step = how(step)
        return [float(step().numpy()) for _ in range(30)]

    assert np.allclose(run(native), run(lambda f: f), rtol=1e-3)


def written_in_columns() -> Any:
    t = tg.Tensor(np.asfortranarray(np.arange(6, dtype="float32").reshape(2, 3)))

    def f() -> Any:
        nonlocal t
        t += 1.0
        return t * 1

    return f


def assigned_to_itself() -> Any:
    t = tg.Tensor(np.arange(9, dtype="float32").reshape(3, 3))

    def f() -> Any:
        t.assign(t.T)
        return t * 1

    return f


def assigned_another_dtype() -> Any:
    t = tg.Tensor(np.zeros(3, "float32"))
    wide = tg.tensor(np.arange(3.0))

    def f() -> Any:
        t.assign(wide)
        return t * 1

    return f


def of(values: Any, dtype: str, f: Any) -> Any:
    x = tg.tensor(np.array(values, dtype))
    return lambda: lambda: f(x)


def names_of_ours() -> Any:
    x, x_row, call = (tg.tensor(np.full((3, 4), n, "float32")) for n in (1, 5, 7))
    return lambda: tg.sin(call) + x * 2 + x_row


ODD = {
    "written in columns": written_in_columns,
    "assigned to itself": assigned_to_itself,
    "assigned another dtype": assigned_another_dtype,
    "names of ours": names_of_ours,
    "a truth value and a number": of([True, False], "bool", lambda b: b | 2),
    "a number that the dtype does not hold": of([1, 2, 3], "int8", lambda k: tg.where(k < 300, 1.0, 0.0)),
    "below all": of([1, 2, 3], "uint8", lambda k: tg.where(k > -1, k, 0)),
    "clipped by nan": of([0.5, 2.0], "float32", lambda x: tg.clip(x, float("nan"), 1.0)),
    "a float that no integer holds": of([1e10, -5.0, 3.7], "float32", lambda x: tg.astype(x, "int32")),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ODD)
def test_odd(name: str) -> None:
    plain, compiled = ODD[name](), native(ODD[name]())
    for _ in range(5):
        want, got = plain(), compiled()
        assert (got.dtype, repr(got.tolist())) == (want.dtype, repr(want.tolist()))


def test_arrays_that_were_made_read_only() -> None:
    p = tg.nn.Buffer(tg.tensor(np.zeros(3, "float32")))

    def f() -> Any:
        p.assign(p + 1.0)
        return p * 1

    step = native(f)
    for _ in range(4):
        step()
    before = p.numpy().copy()
    p.data.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        step()
    assert np.array_equal(p.numpy(), before)


@pytest.mark.parametrize("emitter", ["native", "auto"])
def test_what_cannot_be_emitted_is_left_to_numpy(emitter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tapegrad.compiler.emit.native import machine

    def broken(text: str) -> bytes:
        raise RuntimeError("no such processor")

    monkeypatch.setattr(machine, "object_code", broken)
    monkeypatch.setenv("TAPEGRAD_CACHE", "/dev/null")
    f = tg.jit(lambda x: ((x * 3.0 + 0.125) * x - 1.0) * x, emitter=emitter)
    for _ in range(4):
        assert f(tg.tensor([1.0])).tolist() == [2.125]
    (how,) = f.stats()["programs"]
    assert how.startswith("numpy: not native: RuntimeError: no such processor")
