"""Tensors from data and from nothing, on each backend: values, dtypes, shapes, and whose memory it is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.dtypes import name_of

F32, I64 = "float32", "int64"
LIKE = np.arange(6, dtype="int32").reshape(2, 3)

# call with a device, what NumPy makes, the dtype
MADE: tuple[tuple[str, Callable[..., tg.Tensor], Any, str], ...] = (
    ("a float", lambda **k: tg.tensor(1.5, **k), 1.5, F32),
    ("an int", lambda **k: tg.tensor(3, **k), 3, I64),
    ("a bool", lambda **k: tg.tensor(True, **k), True, "bool"),
    ("a list", lambda **k: tg.tensor([[1, 2.5]], **k), [[1, 2.5]], F32),
    ("an empty list", lambda **k: tg.tensor([], **k), [], F32),
    ("a NumPy float", lambda **k: tg.tensor(np.float64(1.5), **k), 1.5, "float64"),
    ("a NumPy float32", lambda **k: tg.asarray(np.float32(1.5), **k), 1.5, F32),
    ("a list of NumPy floats", lambda **k: tg.tensor([np.float64(1.5)], **k), [1.5], F32),
    ("an array", lambda **k: tg.tensor(np.ones((2, 2)), **k), np.ones((2, 2)), "float64"),
    ("a 0-d array", lambda **k: tg.tensor(np.array(1.5), **k), 1.5, "float64"),
    ("an array of the other byte order", lambda **k: tg.tensor(np.ones(2, ">f4"), **k), [1, 1], F32),
    ("a dtype by name", lambda **k: tg.tensor([1, 2], dtype="float64", **k), [1, 2], "float64"),
    ("a dtype by NumPy", lambda **k: tg.tensor([1.5], dtype=np.float64, **k), [1.5], "float64"),
    ("a dtype of ours", lambda **k: tg.asarray([1, 2], dtype=tg.uint8, **k), [1, 2], "uint8"),
    ("zeros", lambda **k: tg.zeros((2, 0), **k), np.zeros((2, 0)), F32),
    ("ones", lambda **k: tg.ones(3, **k), np.ones(3), F32),
    ("empty", lambda **k: tg.empty((1,), **k), np.zeros(1), F32),
    ("full", lambda **k: tg.full((2,), 7, **k), [7, 7], I64),
    ("full bool", lambda **k: tg.full((), True, **k), True, "bool"),
    ("full float", lambda **k: tg.full((2,), 0.5, dtype="float64", **k), [0.5, 0.5], "float64"),
    ("full_like", lambda **k: tg.full_like(tg.tensor(LIKE, **k), 7), np.full((2, 3), 7), "int32"),
    ("zeros_like", lambda **k: tg.zeros_like(tg.tensor(LIKE, **k)), np.zeros((2, 3)), "int32"),
    ("ones_like", lambda **k: tg.ones_like(tg.tensor(LIKE, **k), dtype=F32), np.ones((2, 3)), F32),
    ("empty_like", lambda **k: tg.empty_like(tg.tensor(LIKE, **k)), np.zeros((2, 3)), "int32"),
    ("arange", lambda **k: tg.arange(3, **k), [0, 1, 2], I64),
    ("arange by steps without a stop", lambda **k: tg.arange(10, step=2, **k), [0, 2, 4, 6, 8], I64),
    ("arange of a tensor", lambda **k: tg.arange(tg.tensor(3), **k), [0, 1, 2], I64),
    ("full of a NumPy integer", lambda **k: tg.full(2, np.int32(7), **k), [7, 7], I64),
    ("zeros_like a list", lambda **k: tg.zeros_like([1.0, 2.0], **k), [0, 0], F32),
    ("linspace of 50", lambda **k: tg.linspace(0, 49, **k), np.arange(50), F32),
    ("arange by steps", lambda **k: tg.arange(5, 0, -2, **k), [5, 3, 1], I64),
    ("arange of floats", lambda **k: tg.arange(0.0, 1.0, 0.25, **k), [0, 0.25, 0.5, 0.75], F32),
    ("linspace", lambda **k: tg.linspace(0, 1, 3, **k), [0, 0.5, 1], F32),
    ("linspace of integers", lambda **k: tg.linspace(-3, 3, 5, **{"dtype": "int64"} | k), [-3, -2, 0, 1, 3], "int64"),
    ("linspace, open", lambda **k: tg.linspace(0, 1, 4, endpoint=False, **k), [0, 0.25, 0.5, 0.75], F32),
    ("eye", lambda **k: tg.eye(2, 3, k=1, **k), np.eye(2, 3, 1), F32),
)  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", "strict:1", pytest.param("cuda:0", marks=pytest.mark.gpu)])
@pytest.mark.parametrize(("call", "want", "dtype"), [row[1:] for row in MADE], ids=[row[0] for row in MADE])
def test_made(call: Any, want: Any, dtype: str, device: str):
    if device == "strict:1":
        pytest.importorskip("array_api_strict")
        import strict_backend

        strict_backend.register()
    if device == "cuda:0":
        try:
            tg.get_backend("cupy")
        except tg.BackendError as error:
            pytest.skip(str(error))
    got = call(device=device)
    assert got.device == device and name_of(got.dtype) == dtype and not got.requires_grad
    np.testing.assert_array_equal(got.numpy(), np.asarray(want, dtype=dtype), strict=True)


def test_tensor_copies_and_asarray_does_not():
    array = np.ones(2)
    t, a = tg.tensor(array), tg.asarray(array)
    array[0] = 5
    assert t.tolist() == [1, 1] and a.tolist() == [5, 1]
    assert tg.asarray(a) is a and tg.asarray(a, copy=True) is not a and tg.tensor(a).data is not a.data
    assert not np.shares_memory(tg.asarray(array, copy=True).data, array)
    with pytest.raises(ValueError, match="copy=False"):
        tg.asarray([1.0], copy=False)
    with pytest.raises(ValueError, match="copy"):
        tg.asarray(a, dtype="float32", copy=False)


BEYOND: tuple[tuple[Any, str, int], ...] = (
    ([300], "int8", 300),
    (-1, "uint8", -1),
    ([[1, 2], [3, 2**31]], "int32", 2**31),
    (2**63, "int64", 2**63),
    ([-(2**63)], "uint64", -(2**63)),
    ([0, 2**64 - 1], "int64", 2**64 - 1),
)  # fmt: skip


@pytest.mark.parametrize("make", [tg.tensor, tg.asarray], ids=["tensor", "asarray"])
@pytest.mark.parametrize(("data", "dtype", "number"), BEYOND)
def test_integers_that_a_dtype_does_not_hold(make: Any, data: Any, dtype: str, number: int) -> None:
    with pytest.raises(OverflowError, match=rf"{make.__name__}: {number} is out of range for {dtype}"):
        make(data, dtype=dtype)
    array = np.array(data, np.uint64 if number > 2**63 else None)
    assert make(array, dtype=dtype).tolist() == array.astype(dtype).tolist()
    limits = np.iinfo(dtype)
    for held in (limits.min, limits.max):
        assert make([held], dtype=dtype).tolist() == [held]
    assert make(data, dtype="float64").dtype == "float64" and make([7], dtype="bool").tolist() == [True]


# Python numbers, the dtype asked for -> the dtype and the integers
WHOLE: list[tuple[Any, str | None, str, Any]] = [
    ([0, 2**64 - 1], "uint64", "uint64", [0, 2**64 - 1]),
    ([[1, 2**64 - 1], [2, 3]], None, "uint64", [[1, 2**64 - 1], [2, 3]]),
    ([2**53 + 1, 1.0], "int64", "int64", [2**53 + 1, 1]),
    ([2.0, -3.0], "int8", "int8", [2, -3]),
    ([], "int64", "int64", []),
    ([0, 2**70], "float64", "float64", [0, 2.0**70]),
    ([0.5, 2.0**70], "float64", "float64", [0.5, 2.0**70]),
]


@pytest.mark.parametrize(("data", "dtype", "made", "numbers"), WHOLE)
def test_integers_are_exact(data: Any, dtype: str | None, made: str, numbers: Any) -> None:
    for make in (tg.tensor, tg.asarray):
        assert make(data, dtype=dtype).dtype == made and make(data, dtype=dtype).tolist() == numbers


INTS, BYTES = tg.tensor([1, 2]), tg.tensor([1, 2], dtype="uint8")

# What integers do not hold -> the kind of error, and words of the message
UNHELD: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("a fraction", lambda: tg.tensor([1, 2.5], dtype="int64"), ValueError, "tensor: 2.5 is no whole number.*int64"),
    ("alone", lambda: tg.asarray(2.5, dtype="int8"), ValueError, "asarray: 2.5 is no whole number"),
    ("NaN", lambda: tg.tensor([np.nan], dtype="int64"), ValueError, "nan is no whole number"),
    ("infinity", lambda: tg.tensor([-np.inf], dtype="int64"), ValueError, "-inf is no whole number"),
    ("a large float", lambda: tg.tensor([1e30], dtype="int64"), OverflowError, "1e.30 is out of range for int64"),
    ("no dtype holds it", lambda: tg.tensor([0, 2**64]), OverflowError, "18446744073709551616 is out of range"),
    ("no dtype holds both", lambda: tg.tensor([-1, 2**63]), OverflowError, "-1 is out of range for uint64"),
    ("full", lambda: tg.full(2, 2.5, dtype="int64"), ValueError, "full: fill_value: 2.5"),
    ("full_like", lambda: tg.full_like(BYTES, -1), OverflowError, "full_like: fill_value: -1 is out of range"),
    ("arange beyond", lambda: tg.arange(300, dtype="uint8"), OverflowError, "arange: 299"),
    ("arange below", lambda: tg.arange(-1, 3, dtype="uint8"), OverflowError, "arange: -1"),
    ("arange of halves", lambda: tg.arange(0, 3, 0.5, dtype="int64"), ValueError, "arange: 0.5"),
    ("linspace", lambda: tg.linspace(0, 300, 4, dtype="int8"), OverflowError, "linspace: 300"),
    ("assign", lambda: INTS.assign([2.5, 1.0]), ValueError, "assign: 2.5 is no whole number"),
    ("assign beyond", lambda: BYTES.assign([1, 256]), OverflowError, "assign: 256 is out of range for uint8"),
    ("where", lambda: tg.where(BYTES > 1, BYTES, -1), OverflowError, "where: -1 is out of range for uint8"),
    ("where, first", lambda: tg.where(BYTES > 1, 300, BYTES), OverflowError, "where: 300"),
]  # fmt: skip
for way, write in {
    "t[i] = v": lambda t, v: t.__setitem__(0, v),
    "t[mask] = v": lambda t, v: t.__setitem__(t > 5, v),
    "index_update": lambda t, v: tg.index_update(t, 0, v),
    "index_update at an array": lambda t, v: tg.index_update(t, [0], v),
}.items():
    UNHELD += [
        (f"{way}, a fraction", lambda write=write: write(INTS, 2.5), ValueError, "2.5 is no whole number"),
        (f"{way}, NumPy's", lambda write=write: write(INTS, np.float32(2.5)), ValueError, "2.5 is no whole number"),
        (f"{way}, a list", lambda write=write: write(INTS, [2.5]), ValueError, "2.5 is no whole number"),
        (f"{way}, an array", lambda write=write: write(INTS, np.array([2.0])), TypeError, "values are float64"),
        (f"{way}, a tensor", lambda write=write: write(INTS, tg.tensor(2.0)), TypeError, "values are float32.*int64"),
        (f"{way}, too large", lambda write=write: write(BYTES, 300), OverflowError, "300 is out of range for uint8"),
        (f"{way}, NumPy's integer", lambda write=write: write(BYTES, np.int64(300)), OverflowError, "300 is out"),
        (f"{way}, in a list", lambda write=write: write(BYTES, [-1]), OverflowError, "-1 is out of range for uint8"),
    ]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), [r[1:] for r in UNHELD], ids=[r[0] for r in UNHELD])
def test_what_integers_do_not_hold(call: Callable[[], Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=rf"(?s){message}.* at .*test_creation"):
        call()
    assert INTS.tolist() == [1, 2] == BYTES.tolist()


def test_what_integers_hold_is_written() -> None:
    t = tg.zeros(6, dtype="uint8")
    t[0], t[1], t[2], t[3], t[4], t[5] = 3.0, True, np.float64(5), [7.0], tg.tensor(300), np.array(-1)
    assert t.tolist() == [3, 1, 5, 7, 44, 255]
    t[t > 40] = 2.0
    assert t.tolist() == [3, 1, 5, 7, 2, 2]


REPRS = (
    (lambda: tg.zeros((0, 3)), "tensor([], shape=(0, 3), dtype=float32)"),
    (lambda: tg.zeros((2, 0), dtype="int64"), "tensor([], shape=(2, 0), dtype=int64)"),
    (lambda: tg.zeros(0), "tensor([], dtype=float32)"),
    (lambda: tg.ones((1, 2), requires_grad=True), "tensor([[1., 1.]], dtype=float32, requires_grad=True)"),
)


@pytest.mark.parametrize(("make", "text"), REPRS)
def test_how_a_tensor_prints(make: Any, text: str) -> None:
    assert repr(make()) == text


def test_gradients_go_back_through_asarray():
    x = tg.tensor([1.0], requires_grad=True)
    tg.asarray(x, dtype="float64").sum().backward()
    assert x.grad.dtype == "float32" and x.grad.item() == 1


def test_pandas_columns_are_arrays():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3, 4], "c": ["x", "y"]})
    assert tg.tensor(frame["a"]).dtype == "float64" and tg.tensor(frame["b"]).dtype == "int64"
    assert tg.tensor(frame[["a", "b"]]).shape == (2, 2)
    with pytest.raises(TypeError, match="text"):
        tg.tensor(frame)


@pytest.mark.parametrize("indexing", ["xy", "ij"])
def test_a_grid_of_three_axes(indexing: str) -> None:
    """One of them a number, as NumPy takes it."""
    arrays = [np.arange(2.0), np.array(5.0), np.arange(3.0)]
    grids = tg.meshgrid(*map(tg.tensor, arrays), indexing=indexing)
    for got, want in zip(grids, np.meshgrid(*arrays, indexing=indexing), strict=True):
        np.testing.assert_array_equal(got.numpy(), want)


FAR: tuple[tuple[tuple[int, ...], dict[str, Any], str], ...] = (
    ((2**63, 2**63 + 3), {}, "uint64"),
    ((2**63, 2**63 + 3), {"dtype": "uint64"}, "uint64"),
    ((2**63 - 3, 2**63 + 3), {"dtype": "uint64"}, "uint64"),
    ((2**63 - 3, 2**63), {}, "int64"),
    ((2**64 - 2, 2**64), {}, "uint64"),
    ((2**64 - 2, 2**64 - 9, -3), {}, "uint64"),
    ((-(2**63), -(2**63) - 1, -1), {}, "int64"),
    ((2**63, 2**63 + 9, 4), {"dtype": "float64"}, "float64"),
    ((2**70, 2**70), {}, "int64"),
)


@pytest.mark.parametrize(("ends", "options", "dtype"), FAR)
def test_ranges_beyond_int64_are_exact(ends: tuple[int, ...], options: dict[str, Any], dtype: str) -> None:
    got = tg.arange(*ends, **options)
    assert got.tolist() == [got.dtype.type(n) for n in range(*ends)] and str(got.dtype) == dtype


def test_a_range_that_no_dtype_holds_is_refused() -> None:
    for ends, options in (((2**64 - 1, 2**64 + 2), {}), ((2**63, 2**63 + 2), {"dtype": "int64"})):
        with pytest.raises(OverflowError, match=r"arange: .* is out of range"):
            tg.arange(*ends, **options)
    with pytest.raises((MemoryError, ValueError)):
        tg.arange(-(2**62), 2**63)


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
def test_random_integers_beyond_int64(emitter: str | None) -> None:
    def draw() -> tg.Tensor:
        return tg.random.integers(2**63, 2**63 + 10, (50,), dtype="uint64")

    draws = draw if emitter is None else tg.jit(draw, emitter=emitter)
    for _ in range(3):
        got = draws().tolist()
        assert len(set(got)) > 5 and min(got) >= 2**63 and max(got) < 2**63 + 10


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(10, 11, "float16"), (2.0, 3.0, "float16"), (1000.0, 1001.0, "float32"), (-1.0, 0.0, "float16")],
)
def test_uniform_numbers_stay_below_their_end(
    low: float, high: float, dtype: str, emitter: str | None
) -> None:
    def draw() -> tg.Tensor:
        return tg.random.uniform(low, high, (100_000,), dtype=dtype)

    draws = draw if emitter is None else tg.jit(draw, emitter=emitter)
    for _ in range(3):
        got = draws().numpy().astype("float64")
        assert low <= got.min() < low + 0.01 and high - 0.01 < got.max() < high


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(-4e4, 4e4, "float16"), (-3e38, 3e38, "float32"), (-1e308, 1e308, "float64")],
)
def test_bounds_too_far_apart_for_a_dtype_are_refused(low: float, high: float, dtype: str) -> None:
    with pytest.raises(
        ValueError, match=f"uniform: low and high must be finite and less than the largest {dtype}"
    ):
        tg.random.uniform(low, high, (10,), dtype=dtype)
