"""tg.random: what the numbers are, that a seed repeats them, and that a compiled step draws the same."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.intervals import integers_below

N = 20_000
R = tg.random
P = [0.1, 0.2, 0.7]

# name, draws of a shape, mean and standard deviation, dtype
ROWS: tuple[tuple[str, Callable[[Any], Any], float, float, str], ...] = (
    ("random", R.random, 0.5, 12**-0.5, "float32"),
    ("uniform", lambda s: R.uniform(size=s), 0.5, 12**-0.5, "float32"),
    ("uniform between", lambda s: R.uniform(-1.0, 3.0, s), 1.0, 4 * 12**-0.5, "float32"),
    ("uniform float64", lambda s: R.uniform(size=s, dtype=float), 0.5, 12**-0.5, "float64"),
    ("normal", lambda s: R.normal(size=s), 0.0, 1.0, "float32"),
    ("normal of", lambda s: R.normal(2.0, 0.5, s), 2.0, 0.5, "float32"),
    ("normal float64", lambda s: R.normal(size=s, dtype=np.float64), 0.0, 1.0, "float64"),
    ("normal float16", lambda s: R.normal(size=s, dtype="float16"), 0.0, 1.0, "float16"),
    ("standard_normal", R.standard_normal, 0.0, 1.0, "float32"),
    ("integers", lambda s: R.integers(10, size=s), 4.5, (99 / 12) ** 0.5, "int64"),
    ("integers between", lambda s: R.integers(-3, 4, s), 0.0, 2.0, "int64"),
    ("many integers", lambda s: R.integers(3 * 2**40, size=s), 3 * 2.0**39, 3 * 2.0**40 / 12**0.5, "int64"),
    ("integers with the end", lambda s: R.integers(0, 1, s, "uint8", True), 0.5, 0.5, "uint8"),
    ("bernoulli", lambda s: R.bernoulli(0.3, s), 0.3, 0.21**0.5, "bool"),
    ("categorical", lambda s: R.categorical(np.log(P), size=s), 1.6, 0.44**0.5, "int64"),
    ("choice", lambda s: R.choice(10, s), 4.5, (99 / 12) ** 0.5, "int64"),
    ("choice of", lambda s: R.choice([1.0, 2.0, 4.0], s, p=P), 3.3, (8.1 + 0.9 - 3.3**2 + 0.1 + 2.9) ** 0.5, "float32"),
    ("choice by p", lambda s: R.choice(3, s, p=P), 1.6, 0.44**0.5, "int64"),
    ("randn", lambda s: tg.randn(*s), 0.0, 1.0, "float32"),
    ("rand", lambda s: tg.rand(s), 0.5, 12**-0.5, "float32"),
    ("randint", lambda s: tg.randint(10, s), 4.5, (99 / 12) ** 0.5, "int64"),
)  # fmt: skip
DEVIATION = {"choice of": (0.1 * 1 + 0.2 * 4 + 0.7 * 16 - 3.3**2) ** 0.5}
DRAWS = {name: call for name, call, *_ in ROWS} | {
    "permutation": lambda s: R.permutation(s[-1]), "randperm": lambda s: tg.randperm(s[-1]),
    "choice without": lambda s: R.choice(s[-1], 2, replace=False),
    "choice without by p": lambda s: R.choice(3, 2, replace=False, p=P),
    "permutation of": lambda s: R.permutation(tg.eye(3), axis=1),
    "normal around a tensor": lambda s: R.normal(tg.arange(3.0), 0.1),
}  # fmt: skip


@pytest.mark.parametrize(("name", "call", "mean", "deviation", "dtype"), ROWS, ids=[row[0] for row in ROWS])
def test_mean_deviation_and_dtype(name: str, call: Any, mean: float, deviation: float, dtype: str):
    tg.manual_seed(1)
    got = call((2, N // 2))
    assert got.shape == (2, N // 2) and name_of(got.dtype) == dtype and not got.requires_grad
    values = got.numpy().astype(np.float64)
    deviation = DEVIATION.get(name, deviation)
    assert abs(values.mean() - mean) < 5 * deviation / N**0.5
    assert abs(values.std() - deviation) < 0.03 * deviation + 5e-3


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_repeats_the_numbers_and_the_next_are_others(name: str):
    tg.manual_seed(5)
    first, second = (DRAWS[name]((4, 5)).numpy() for _ in range(2))
    tg.manual_seed(5)
    again = DRAWS[name]((4, 5)).numpy()
    np.testing.assert_array_equal(first, again, strict=True)
    many = [DRAWS[name]((4, 5)).numpy() for _ in range(8)]
    assert any(not np.array_equal(first, other) for other in (second, *many))


@pytest.mark.parametrize("emitter", ["numpy", "native"])
@pytest.mark.parametrize("name", DRAWS)
def test_compiled_it_draws_what_the_plain_function_draws(name: str, emitter: str):
    if emitter == "native":
        pytest.importorskip("llvmlite")
    step = tg.jit(lambda: DRAWS[name]((4, 5)) * 1, emitter=emitter, strict=True)
    tg.manual_seed(9)
    want = [(DRAWS[name]((4, 5)) * 1).numpy() for _ in range(5)]
    tg.manual_seed(9)
    got = [step().numpy() for _ in range(5)]
    for g, w in zip(got, want, strict=True):
        if w.dtype.kind == "f":
            np.testing.assert_allclose(
                g, w, rtol=1e-3 if w.dtype == np.float16 else 3e-6, atol=1e-6, strict=True
            )
        else:
            np.testing.assert_array_equal(g, w, strict=True)


def test_gradients_reach_the_parameters():
    loc, scale = (tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    tg.manual_seed(0)
    z = R.normal(loc, scale)
    z.sum().backward()
    assert loc.grad.tolist() == [1, 1]
    np.testing.assert_allclose(scale.grad.numpy(), ((z - loc) / scale).detach().numpy(), rtol=1e-5)
    low = tg.tensor(0.0, requires_grad=True)
    R.uniform(low, 1.0, 10).sum().backward()
    assert 0 < low.grad.item() < 10


def test_permutations_and_draws_without_replacement_repeat_nothing():
    assert sorted(R.permutation(50).tolist()) == list(range(50))
    assert sorted(R.choice(50, (5, 10), replace=False).numpy().ravel().tolist()) == list(range(50))
    assert sorted(R.choice(3, 2, replace=False, p=[0.5, 0.5, 0.0]).tolist()) == [0, 1]
    rows = R.permutation(tg.arange(12).reshape(4, 3))
    assert sorted(rows.numpy()[:, 0].tolist()) == [0, 3, 6, 9]


def test_categorical_along_an_axis_and_for_a_batch():
    tg.manual_seed(0)
    logits = tg.tensor([[0.0, 50.0, 0.0], [50.0, 0.0, 0.0]])
    assert R.categorical(logits).tolist() == [1, 0]
    assert R.categorical(logits, axis=0).shape == (3,)
    assert R.categorical(logits, size=(7, 2)).tolist() == [[1, 0]] * 7


@pytest.mark.parametrize("count", [2**32 + 2, 3 * 2**40, 3 * 2**51, 5 * 2**50, 2**53 - 1, 2**53])
def test_of_many_integers_each_has_the_same_chance(count: int):
    """The shares of odd numbers, of multiples of 3, and of the tenths of the range, within 5 deviations."""
    tg.manual_seed(0)
    n = 200_000
    got = R.integers(0, count, n).numpy()
    assert got.min() >= 0 and got.max() < count
    shares = [(got % 2, 2), (got % 3, 3), (got // (count // 10 + 1), 10)]
    for parts, k in shares:
        counts = np.bincount(parts, minlength=k)
        assert len(counts) == k and (np.abs(counts - n / k) < 5 * (n / k) ** 0.5).all(), counts


def test_the_numbers_of_few_integers_are_those_of_one_uniform_draw():
    for count in (1, 6, 1000, 2**32):
        tg.manual_seed(3)
        u = R.random(1000, dtype="float64").numpy()
        tg.manual_seed(3)
        np.testing.assert_array_equal(R.integers(count, size=1000).numpy(), np.floor(u * count))


def test_the_digits_of_two_draws_are_multiplied_exactly():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**52, (2, 200)) * 2 + 1
    for count in (2**32 + 1, 3 * 2**51, 2**53 - 1, 2**53):
        got = integers_below(count, tg.tensor(bits / 2.0**53))
        # The lowest bit of each draw is left out.
        want = [count * (int(a) // 2 * 2**52 + int(b) // 2) >> 104 for a, b in bits.T]
        assert got.tolist() == want


def test_large_integers_reach_both_ends_of_their_range():
    got = R.integers(0, 2**53, 1000).numpy()
    assert got.min() >= 0 and got.max() < 2**53 and (got % 2).any()


# their call, what is wrong
WRONG: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = (
    (lambda: R.normal(scale=-1.0), ValueError, "normal: scale must be a finite number of at least 0"),
    (lambda: R.normal(size=(2, -1)), ValueError, "normal: lengths must not be negative"),
    (lambda: R.normal(dtype=int), TypeError, "normal: dtype must be float16, float32 or float64"),
    (lambda: R.normal("0"), TypeError, "normal: loc must be a finite number"),
    (lambda: R.integers(3, 3), ValueError, "integers: expected low below high"),
    (lambda: R.integers(0, 300, dtype="uint8"), ValueError, "both in uint8"),
    (lambda: R.integers(0, 2**60), ValueError, "2\\*\\*53"),
    (lambda: R.integers(0.5), TypeError, "integers: low must be an integer"),
    (
        lambda: R.integers(False, True),
        TypeError,
        "low must be an integer, got False: for truth values write tg.random.b",
    ),
    (
        lambda: R.integers(2, dtype=bool),
        TypeError,
        "integers: dtype must be one of integers, got bool: .*bernoulli",
    ),
    (lambda: R.integers(2, dtype="float32"), TypeError, "one of integers, got float32: write .*astype"),
    (lambda: R.bernoulli(1.5), ValueError, "bernoulli: p must be a number from 0 to 1"),
    (lambda: R.choice(3, 4, replace=False), ValueError, "cannot be drawn without replacement"),
    (lambda: R.choice(3, 4, p=[0.5, 0.5, 0.5]), ValueError, "add up to 1"),
    (lambda: R.choice(3, 2, False, [1.0, 0.0, 0.0]), ValueError, "at least 2 of them above 0"),
    (lambda: R.choice(0), ValueError, "nothing to draw from: a has 0 elements"),
    (lambda: R.choice([], 2), ValueError, "nothing to draw from: a has 0 elements"),
    (lambda: R.choice(tg.ones((2, 0)), axis=1), ValueError, "choice: there is nothing to draw from"),
    (lambda: R.categorical(tg.ones((2, 3)), size=5), ValueError, "size must end in"),
    (lambda: R.categorical(tg.tensor([float("nan"), 0.0])), ValueError, "categorical: expected logits"),
    (lambda: R.categorical(tg.tensor([[0.0, 1.0], [-math.inf, -math.inf]])), ValueError, "-inf alone"),
    (lambda: R.categorical(tg.tensor([math.inf, 0.0])), ValueError, "below infinity"),
    (lambda: tg.randn(2.0), TypeError, "randn: size must be an integer"),
    (lambda: tg.randperm(2.5), TypeError, "randperm: n must be an integer"),
)


@pytest.mark.parametrize(("call", "kind", "said"), WRONG, ids=[said for *_, said in WRONG])
def test_what_cannot_be_drawn_is_refused(call: Any, kind: type[Exception], said: str):
    with pytest.raises(kind, match=said):
        call()


def test_names_and_order_are_those_of_numpys_generator():
    generator = np.random.default_rng(0)
    for name in tg.random.__all__:
        theirs = getattr(generator, name, None)
        if theirs is None:
            assert name in ("bernoulli", "categorical")  # JAX's
            continue
        order = [
            p for p in str(theirs.__doc__).partition("(")[2].partition(")\n")[0].replace("\n", " ").split(",")
        ]
        names = [p.strip().partition("=")[0] for p in order if p.strip()]
        ours = [p.name for p in inspect.signature(getattr(tg.random, name)).parameters.values()
                if p.kind is p.POSITIONAL_OR_KEYWORD]  # fmt: skip
        assert ours == names[: len(ours)], name


# A tuple of integers is a shape in Keras, TensorFlow and JAX, and would be two numbers here.
SHAPES_BY_POSITION = {
    "normal": lambda: tg.random.normal((2, 3)),
    "normal, with its mean": lambda: tg.random.normal((2, 3), 0.0),
    "normal, second": lambda: tg.random.normal(0.0, (2, 3)),
    "normal of one axis": lambda: tg.random.normal((5,)),
    "normal, NumPy's integers": lambda: tg.random.normal((np.int64(2), np.int64(3))),
    "uniform": lambda: tg.random.uniform((2, 3)),
    "uniform, third but for size": lambda: tg.random.uniform(0.0, (2, 3)),
    "bernoulli": lambda: tg.random.bernoulli((2, 3)),
}
NUMBERS = {
    "floats": lambda: tg.random.normal((2.0, 3.0)),
    "one float": lambda: tg.random.normal((2, 3.0)),
    "a list": lambda: tg.random.normal([2, 3]),
    "an array": lambda: tg.random.normal(np.array([2, 3])),
    "a tensor": lambda: tg.random.uniform(tg.tensor([2, 3]), 4.0),
    "with a size": lambda: tg.random.normal((2, 3), size=2),
    "a size by name": lambda: tg.random.normal(size=(2,)),
    "a size by position": lambda: tg.random.normal(0.0, 1.0, (2,)),
}


@pytest.mark.parametrize("case", SHAPES_BY_POSITION)
def test_a_shape_in_the_place_of_a_parameter_is_refused(case):
    with pytest.raises(
        TypeError, match=r"write \w+\(size=\((2, 3|.*5.*|.*2.*3.*)\)\) for a result of that shape"
    ):
        SHAPES_BY_POSITION[case]()


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_of_a_distribution_are_taken(case):
    assert NUMBERS[case]().shape == (2,)
