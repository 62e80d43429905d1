"""Python's operators and NumPy's functions on tensors: each works as on NumPy's arrays, or says what to call."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

A = np.array([[3.0, 1.25, -2.0], [0.5, 4.0, 1.0]])
FUNCTIONS = (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "amax",
    "amin",
    "std",
    "var",
    "any",
    "all",
    "argmax",
    "argmin",
)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpys_reductions_are_tapegrads(name: str, axis: Any, recorded: bool):
    f = getattr(np, name)
    t = tg.tensor(A, requires_grad=recorded)
    for options in ({}, {"keepdims": True}):
        got, want = f(t, axis=axis, **options), f(A, axis=axis, **options)
        assert isinstance(got, tg.Tensor) and got.shape == np.shape(want)
        np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-12)
    assert f(t, axis).shape == f(t, axis=axis).shape
    if recorded and name in ("sum", "mean", "prod", "max", "min", "std", "var"):
        f(t).backward()
        assert t.grad is not None


OPTIONS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("ddof", lambda t: np.std(t, ddof=1)), ("ddof and axis", lambda t: np.var(t, axis=0, ddof=1)),
    ("sum's dtype", lambda t: np.sum(t, dtype="float32")), ("mean's dtype", lambda t: np.mean(t, dtype=np.float32)),
    ("round", lambda t: np.round(t)), ("round to 1", lambda t: np.round(t, 1)), ("around", lambda t: np.around(t, 1)),
    ("two axes", lambda t: np.sum(t, axis=(0, 1))),
)  # fmt: skip


@pytest.mark.parametrize(("name", "call"), OPTIONS, ids=[name for name, _ in OPTIONS])
def test_their_options_too(name: str, call: Any):
    got, want = call(tg.tensor(A)), call(A)
    assert isinstance(got, tg.Tensor)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_accuracy_is_written_like_this():
    assert np.mean(tg.tensor([1, 2, 3]) == tg.tensor([1, 0, 3])).item() == np.float32(2 / 3)


def test_compiled_they_are_part_of_the_program():
    step = tg.jit(lambda x: np.mean(np.exp(x)), strict=True)
    for n in (1.0, 2.0, 3.0):
        assert step(tg.full(2, n)).item() == pytest.approx(math.exp(n), rel=1e-6)


PLAIN: tuple[Callable[[Any], Any], ...] = (
    lambda t: np.median(t), lambda t: np.sort(t), lambda t: np.stack([t, t]), lambda t: np.dot(t, A.T),
    lambda t: np.where(A > 0, t, 0), lambda t: np.reshape(t, 6), lambda t: np.cumsum(t),
    lambda t: np.concatenate([t, t]),
    lambda t: np.linalg.norm(t), lambda t: np.percentile(t, 50), lambda t: np.allclose(t, A), lambda t: np.transpose(t),
    lambda t: np.histogram(t)[0], lambda t: np.array_equal(t, A), lambda t: np.unique(t), lambda t: np.asarray(t),
)  # fmt: skip


@pytest.mark.parametrize("call", PLAIN)
def test_other_functions_read_the_values_of_plain_tensors(call: Any):
    got = call(tg.tensor(A))
    assert not isinstance(got, tg.Tensor)
    np.testing.assert_allclose(got, call(A))


@pytest.mark.parametrize("call", PLAIN)
def test_and_refuse_recorded_ones_in_the_users_words(call: Any):
    with pytest.raises(TypeError) as caught:
        call(tg.tensor(A, requires_grad=True))
    assert ".detach().numpy()" in str(caught.value)


WRITERS = (
    lambda t: np.copyto(t, A), lambda t: np.put(t, [0], [1.0]), lambda t: np.fill_diagonal(t, 1.0),
    lambda t: np.cumsum(A, out=t), lambda t: np.place(t, A > 0, [1.0]),
)  # fmt: skip


@pytest.mark.parametrize("call", WRITERS)
def test_what_would_write_into_a_copy_is_refused(call: Any):
    t = tg.tensor(A)
    with pytest.raises(TypeError, match="write into a tensor with"):
        call(t)
    assert t.tolist() == A.tolist()


def test_a_refusal_names_what_to_call():
    t = tg.tensor(A, requires_grad=True)
    with pytest.raises(TypeError, match=r"np.concatenate .* tg.concat\(arrays, axis=0\)"):
        np.concatenate([t, t])
    with pytest.raises(TypeError, match=r"np.stack .* it is tg.stack"):
        np.stack([t, t])
    with pytest.raises(TypeError, match=r"np.cbrt .* tapegrad's name for np.cbrt is"):
        np.cbrt(t)
    with pytest.raises(TypeError, match=r"sum: .*keyword.*'where'|sum has no keyword 'where'"):
        np.sum(t, where=A > 0)


# Python's functions: call, the same on NumPy's array
PYTHON: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("round", lambda t: np.round(t) if t is A else round(t)),
    ("round to 1", lambda t: np.round(t, 1) if t is A else round(t, 1)),
    ("divmod", lambda t: divmod(t, 2.0)[1]),
    ("divmod, whole", lambda t: divmod(t, 2.0)[0]), ("divmod by", lambda t: divmod(7.0, t * t + 1)[1]), ("abs", abs),
    ("reversed", lambda t: next(iter(reversed(t)))), ("sum", sum), ("neg", operator.neg), ("pos", operator.pos),
    ("pow", lambda t: pow(t, 2)), ("in", lambda t: 4.0 in t), ("not in", lambda t: 7.0 not in t), ("len", len),
    ("iter", lambda t: next(iter(t))), ("sorted", lambda t: sorted(t[0])[0]), ("max", lambda t: max(t[0])),
    ("min", lambda t: min(t[0])), ("zip", lambda t: next(zip(t, t))[1]), ("unpack", lambda t: (lambda a, b: b)(*t)),
    ("floor", lambda t: math.floor(t[0, 1])), ("ceil", lambda t: math.ceil(t[0, 1])),
    ("sqrt", lambda t: math.sqrt(t[0, 0])),
    ("exp", lambda t: math.exp(t[0, 0])), ("isnan", lambda t: math.isnan(t[0, 0])), ("float", lambda t: float(t[0, 0])),
    ("int", lambda t: int(t[0, 0])), ("complex", lambda t: complex(t[0, 0]).real), ("bool", lambda t: bool(t[0, 0])),
    ("format", lambda t: float(f"{t[0, 1]:.1f}")), ("trunc", lambda t: math.trunc(t[0, 1])),
)  # fmt: skip


@pytest.mark.parametrize(("name", "call"), PYTHON, ids=[name for name, _ in PYTHON])
def test_pythons_functions(name: str, call: Any):
    got, want = call(tg.tensor(A)), call(A)
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-12)


def test_an_integer_tensor_is_an_index():
    i = tg.tensor(2)
    assert [10, 20, 30][i] == 30 and list(range(i)) == [0, 1] and hex(i) == "0x2" and "ab" * i == "abab"
    with pytest.raises(TypeError, match="only an integer tensor can be an index"):
        [10][tg.tensor(0.0)]


def test_round_to_two_decimals_as_one_types_it():
    assert round(tg.tensor(1.234), 2).item() == np.float32(1.23)


def test_dlpack_goes_both_ways_and_copies():
    t = tg.tensor(A)
    array = np.from_dlpack(t)
    np.testing.assert_array_equal(array, A)
    assert not np.shares_memory(array, t.data)
    back = tg.from_dlpack(array)
    assert isinstance(back, tg.Tensor) and back.dtype == t.dtype and back.tolist() == A.tolist()
    assert tg.from_dlpack(array, copy=True).data is not array and t.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match="detach"):
        np.from_dlpack(tg.tensor(A, requires_grad=True))
    with pytest.raises(TypeError, match="from_dlpack: expected an array with __dlpack__, got list"):
        tg.from_dlpack([1.0])


def test_dlpack_with_pytorch():
    torch = pytest.importorskip("torch")
    assert torch.from_dlpack(tg.tensor(A)).tolist() == A.tolist()
    assert tg.from_dlpack(torch.tensor(A)).tolist() == A.tolist()
    with pytest.raises(TypeError, match="from_dlpack"):
        tg.from_dlpack(torch.ones(2, dtype=torch.bfloat16))


def test_no_claim_to_be_a_whole_array_api():
    t = tg.ones(2)
    assert not hasattr(t, "__array_namespace__")
    with pytest.raises(AttributeError, match=r"not yet the whole of it.*t.numpy\(\)"):
        t.__array_namespace__()


INTEGERS = [0, 1, 4, 5, 6, 15, 25, 35, 44, 45, 49, 50, 51, 55, 99]


@pytest.mark.parametrize("decimals", [2, 0, -1, -2, -3])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "uint64"])
def test_integers_are_rounded_to_integers(dtype: str, decimals: int) -> None:
    given = np.array(INTEGERS).astype(dtype)
    for x in (given, -given) if dtype.startswith("int") else (given,):
        got, want = np.round(tg.tensor(x), decimals), np.round(x, decimals)
        assert isinstance(got, tg.Tensor) and got.numpy().dtype == dtype
        np.testing.assert_array_equal(got.numpy(), want)


def test_large_integers_keep_their_digits_when_rounded() -> None:
    assert (
        round(tg.tensor(2**62 + 3), -1).item() == 2**62 + 6
        and round(tg.tensor(2**62 + 3), 1).item() == 2**62 + 3
    )


def test_ufuncs_by_other_names_are_told() -> None:
    assert np.hypot(tg.tensor([3.0]), tg.tensor([4.0])).tolist() == [5.0]
    with pytest.raises(
        TypeError, match=r"np.exp2 is not recorded on Tensors: tapegrad's name for np.exp2 is 2.0 \*\* x"
    ):
        np.exp2(tg.tensor([1.0]))
