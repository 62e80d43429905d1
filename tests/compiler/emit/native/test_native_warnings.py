"""Overflow, division by zero and the like: a native call warns, raises and calls exactly where eager does."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_bits import special_values
from compiler_emitters import flat
from native_programs import left_to_numpy, native
from primitives.harness import cotangent
from primitives.table import Case, Row, rows

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
pytestmark = pytest.mark.usefixtures("unchecked")
KINDS = ("divide", "over", "under", "invalid")
HOW = ("warn", "raise", "call", "log")


class Log:
    """What `call` and `log` of np.errstate reach."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, text: str, flag: int) -> None:
        self.heard.append(text)

    def write(self, text: str) -> None:
        self.heard.append(text.partition(" encountered")[0])


def told(f: Callable[..., Any], arrays: list[Any], kind: str, how: str) -> tuple[Any, list[Any]]:
    """(what was warned of, raised, or called; the results)."""
    log, results = Log(), []
    tg.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore", **{kind: how}, call=log):
        warnings.simplefilter("always")
        try:
            results = [a.copy() for a in flat(f(*map(tg.tensor, arrays)))]
        except FloatingPointError as error:
            log.heard.append(f"raised: {str(error).partition(' encountered')[0]}")
    texts = {str(w.message).partition(" encountered")[0] for w in caught if w.category is not tg.JitWarning}
    return (sorted(texts), sorted(set(log.heard))), results


def same(f: Callable[..., Any], compiled: Any, arrays: list[Any], kind: str, how: str) -> None:
    (want, right), (got, mine) = told(f, arrays, kind, how), told(compiled, arrays, kind, how)
    assert got == want, (kind, how, got, want, arrays, compiled.source())
    for a, b in zip(mine, right, strict=True):
        a, b = (np.where(np.isfinite(b), x, 0) for x in (a, b))  # native sums are longer, and overflow later
        assert np.allclose(a, b, 1e-3, 1e-6, equal_nan=True), (kind, how, a, b)


def warmed(f: Callable[..., Any], arrays: list[Any]) -> Any:
    compiled = native(lambda *xs: f(*xs))
    for _ in range(3):
        told(compiled, arrays, "under", "ignore")
    return compiled


ROWS = {row.name: row for row in rows() if row.primitive not in ("move", "random_uniform")}
# Of the largest numbers, sums of these overflow in float32, but not in float64, in which they are made here.
SUMMED_IN_FLOAT64 = ("clip, tensors", "pad reflect", "window_spread apart")
# Of the largest numbers the first product overflows. In the next one the BLAS multiplies infinity by the zeros with
# which it fills its vectors, and NumPy tells of an invalid value that is in no result.
OVERFLOWS_WITHIN = ("einsum ij,jk,kl->il",)
FLOATING = [name for name, row in ROWS.items() if any(a.dtype.kind == "f" for a in row.inputs[0])]


def value_and_gradients(row: Row) -> Callable[..., Any]:
    def function(*xs: Any) -> Any:
        if not row.grad:
            with tg.no_grad():
                return row.call(*xs)

        def weighted(*xs: Any) -> Any:
            y = row.call(*xs)
            weighed = y * cotangent(y)
            return weighed.sum(), (y.detach(), weighed.detach())

        floating = [i for i, x in enumerate(xs) if x.dtype.kind == "f"]
        return tg.value_and_grad(weighted, argnums=floating, has_aux=True)(*xs)

    return function


@pytest.mark.parametrize("name", FLOATING)
def test_primitives_and_their_gradients(name: str) -> None:
    """One special value among ordinary ones, in each argument in turn. All that eager computes is returned: what nobody
    needs is not computed by a program, and so tells of nothing."""
    row = ROWS[name]
    arrays = [np.asarray(a) for a in Case(row, row.inputs[0]).cast("float32")]
    function = value_and_gradients(row)
    compiled = warmed(function, arrays)
    places = [i for i, a in enumerate(arrays) if a.dtype.kind == "f" and a.size]
    for number, value in enumerate(special_values("float32")[[0, 2, 4, 6, 8, 9, 10]]):
        if name in (*SUMMED_IN_FLOAT64, *OVERFLOWS_WITHIN) and 1e38 < abs(value) < np.inf:
            continue
        for i in places:
            given = [a.copy() for a in arrays]
            given[i].ravel()[given[i].size // 2] = value
            for k, kind in enumerate(KINDS):
                same(function, compiled, given, kind, HOW[(number + k) % 4])


FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
OF_TWO = {"divide": tg.divide, "floor_divide": lambda x, y: x // y, "remainder": lambda x, y: x % y,
          "multiply": lambda x, y: x * y, "power": lambda x, y: x ** y}  # fmt: skip
OF_ONE = {"by 0": lambda x: x // 0, "rest by 0": lambda x: x % 0, "of 7": lambda x: 7 // x, "abs": tg.abs,
          "negative": lambda x: -x, "square": tg.square}  # fmt: skip


def odd(dtype: str) -> list[Any]:
    if dtype in INTEGERS:
        limits = np.iinfo(dtype)
        return [0, 1, limits.max, limits.min, *([-1] if limits.min else [])]
    limits = np.finfo(dtype)
    return [0.0, -0.0, np.inf, -np.inf, np.nan, limits.max, limits.tiny, -3.5, 300.0, -1e10, 1e20]


@pytest.mark.parametrize("dtype", (*FLOATS, *INTEGERS))
@pytest.mark.parametrize("name", [*OF_TWO, *OF_ONE])
def test_special_values_of_all_dtypes(name: str, dtype: str) -> None:
    if name == "power" and dtype in INTEGERS:
        pytest.skip("a negative power of integers raises, in both")
    f, two = (OF_TWO[name], True) if name in OF_TWO else (OF_ONE[name], False)
    compiled = warmed(f, [np.full(20, 3, dtype)] * (1 + two))
    for n, a in enumerate(odd(dtype)):
        for b in odd(dtype) if two else [None]:
            if name == "power" and (a, b) == (0.0, -np.inf):
                continue  # may tell of a division by zero, as IEEE 754 has it: NumPy's does with AVX-512 alone
            given = [np.full(20, 3, dtype) for _ in range(1 + two)]
            for x, value in zip(given, (a, b)):
                x[7] = value
            for k, kind in enumerate(KINDS):
                same(f, compiled, given, kind, HOW[(n + k) % 4])


@pytest.mark.parametrize("to", (*INTEGERS, "float32", "bool"))
@pytest.mark.parametrize("dtype", FLOATS)
def test_casts(dtype: str, to: str) -> None:
    f = lambda x: tg.astype(x, to)
    compiled = warmed(f, [np.full(20, 3, dtype)])
    assert left_to_numpy(compiled) == [""]
    for n, value in enumerate(odd(dtype)):
        if to != "uint32":  # NumPy's of what it cannot hold depends on where in an array it stands
            x = np.full(20, 3, dtype)
            x[7] = value
            for k, kind in enumerate(KINDS):
                same(f, compiled, [x], kind, HOW[(n + k) % 4])


class Training:
    """A step that adds to the gradients it finds, and writes to parameters and moments at its end."""

    def __init__(self, how: Any, zero: bool, optimizer: Any = tg.optim.Adam) -> None:
        self.w = tg.nn.Parameter(np.full(40, 2.0, "float32"))
        self.opt = optimizer([self.w], lr=0.01)

        def step(x: Any) -> Any:
            if zero:
                self.opt.zero_grad()
            loss = (self.w / x).sum()
            loss.backward()
            self.opt.step()
            return loss

        self.step = how(step)

    def state(self) -> list[bytes]:
        state = [v for v in self.opt.state_dict().values() if not isinstance(v, (list, dict))]
        return [self.w.numpy().tobytes(), self.w.grad.numpy().tobytes(), repr(state).encode()]


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["divide", "over"])
def test_a_step_that_tells_is_eagers_to_the_bit(kind: str, how: str, zero: bool) -> None:
    """It is taken back before it writes, and runs as Python. (With one element that counts, sums have one order.)"""
    plain, compiled = Training(lambda f: f, zero), Training(native, zero)
    usual = [np.linspace(1, 2, 40).astype("float32")]
    bad = [usual[0].copy()]
    bad[0][7] = 0.0 if kind == "divide" else 1e-39
    for given in (*[usual] * 7, bad, *([usual] * 2 if how == "raise" else [])):
        (want, _), (got, _) = (told(t.step, given, kind, how) for t in (plain, compiled))
        assert got == want and (given is usual) == (got == ([], []))
        if how == "raise" and given is not usual:  # eager leaves what it did before it raised
            assert np.array_equal(compiled.w.numpy(), plain.w.numpy())
        else:
            assert compiled.state() == plain.state()
    assert compiled.step.stats()["compiled"] >= 2


@pytest.mark.parametrize("how", HOW)
def test_overflow_in_the_writing_is_told_and_written_once(how: str) -> None:
    """In the optimizer's update alone: where no exception may follow, it is not taken back, and a warning names it."""
    plain, compiled = (Training(how, True, tg.optim.SGD) for how in (lambda f: f, native))
    usual, huge = ([np.full(40, x, "float32")] for x in (1.0, 1e-25))
    for given in (*[usual] * 4, huge):
        if given is huge:
            plain.opt.lr = compiled.opt.lr = 1e14
        (want, _), (got, _) = (told(t.step, given, "over", how) for t in (plain, compiled))
        assert got == want and (given is usual) == (got == ([], []))
    assert np.array_equal(compiled.w.numpy(), plain.w.numpy())


def test_what_is_asked_for_later_is_not_missed() -> None:
    """The settings of each call count, not those of the recording."""
    f = native(lambda x: tg.exp(x) * 2.0 - 1.0)
    x = tg.tensor(np.full(20, 100.0, "float32"))
    with tg.no_grad():
        for reactions in ({"all": "ignore"}, {"over": "warn"}, {"over": "raise"}, {"all": "ignore"}) * 2:
            for _ in range(2):
                with (
                    np.errstate(**{"all": "ignore", **reactions}),
                    warnings.catch_warnings(record=True) as caught,
                ):
                    warnings.simplefilter("always")
                    if reactions.get("over") == "raise":
                        with pytest.raises(FloatingPointError, match="overflow encountered in exp"):
                            f(x)
                    else:
                        assert np.isinf(f(x).numpy()).all()
                assert len(caught) == (reactions.get("over") == "warn")


def test_calls_that_are_taken_back_again_and_again_are_told_of_once() -> None:
    """Each runs as Python, which takes long; NumPy's own warnings, which are shown once, say nothing of that."""
    f = native(lambda x: tg.where(x > 0, tg.log(x), 0.0))
    x = tg.tensor(np.linspace(0.0, 1.0, 20, dtype="float32"))
    with tg.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(50):
            assert f(x)[0].item() == 0.0
    told_of = [w for w in caught if w.category is tg.JitWarning]
    assert len(told_of) == 1 and told_of[0].filename == __file__
    for part in ("at 20 calls", "np.errstate"):
        assert part in str(told_of[0].message)
    with tg.no_grad(), np.errstate(all="ignore"):
        before = f.stats()["compiled"]
        f(x)
        assert f.stats()["compiled"] == before + 1


@pytest.mark.parametrize("count", [*range(9, 16), *range(17, 21), 33])
def test_idle_lanes_set_no_flag(count: int) -> None:
    """The last vector of a loop is not full: what its idle lanes work on must not be told of."""
    w, one, low = tg.nn.Parameter(np.linspace(1, 2, count, dtype="f4")), tg.tensor(1.0), tg.tensor(-0.5)
    opt, x = tg.optim.RAdam([w], lr=0.1), tg.ones(count)

    def step() -> Any:
        loss = (w * x).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        with tg.no_grad():
            return x / (one + low * x), tg.log(one + low * x), tg.sqrt(w * one) / (one * low)

    f = tg.jit(step, emitter="native", strict=True)
    with warnings.catch_warnings(), np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("error")
        for _ in range(6):
            f()
    assert f.stats()["compiled"] >= 3


@pytest.mark.parametrize(
    ("emitter", "kinds"),
    [
        ("numpy", ["overflow encountered in exp"]),
        (
            "native",
            ["overflow encountered in exp", "the result of exp overflowed to infinity, and its gradient"],
        ),
    ],
)
def test_what_is_told_of_a_gradient_that_met_an_infinity(emitter: Any, kinds: list[str]) -> None:
    """What docs/conventions.md says of each emitter's programs, at every call."""
    slope = tg.jit(tg.grad(lambda x: tg.log(1 + tg.exp(x)).sum()), emitter=emitter)
    for x in (1.0, 1.0, 1.0, 100.0, 100.0):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            slope(tg.tensor([x]))
        heard = [str(w.message) for w in caught]
        assert len(heard) == len(kinds) * (x > 1), heard
        assert all(text.startswith(kind) for text, kind in zip(heard, kinds, strict=False)), heard
