"""`dtype=` takes every spelling of a dtype, in every public function that has such an argument."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.dtypes import as_dtype

# what a user writes, the dtype it means
SPELLINGS: tuple[tuple[Any, str], ...] = (
    (np.float32, "float32"), (np.float64, "float64"), (np.float16, "float16"), (np.dtype("float64"), "float64"),
    (tg.float64, "float64"), ("float64", "float64"), ("<f8", "float64"), (">f4", "float32"), ("f4", "float32"),
    (float, "float64"), ("float", "float64"), ("torch.float64", "float64"), ("jax.numpy.float32", "float32"),
    ("double", "float64"), (np.dtype(">f8"), "float64"), (np.double, "float64"), (np.single, "float32"),
)  # fmt: skip
INTEGERS: tuple[tuple[Any, str], ...] = (
    (int, "int64"), (bool, "bool"), ("int", "int64"), (np.int32, "int32"), (np.uint8, "uint8"), (np.bool_, "bool"),
    (np.intp, "int64"), ("bool", "bool"), (tg.bool, "bool"), (">i4", "int32"), ("i8", "int64"),
)  # fmt: skip
X = [[1.0, 0.0], [2.0, 1.0]]

# layers whose first parameter has the dtype, and what they take
LAYERS: dict[str, tuple[Any, ...]] = {
    "BatchNormalization": (), "LayerNormalization": (), "RMSNormalization": (), "GroupNormalization": (2,),
    "LayerNorm": (2,), "RMSNorm": (2,), "GroupNorm": (2, 2),
    **{f"BatchNorm{n}d": (2,) for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d": (2, 1e-5, 0.1, True) for n in (1, 2, 3)},
}  # fmt: skip

# those that make their weights with in_features
WITH_FEATURES: dict[str, tuple[Any, ...]] = {
    **{f"Conv{n}D": (2, 1) for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": (2, 1) for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": (1,) for n in (1, 2)},
    **{f"SeparableConv{n}D": (2, 1) for n in (1, 2)},
    **{f"{kind}{cell}": (2,) for kind in ("SimpleRNN", "LSTM", "GRU") for cell in ("", "Cell")},
    "MultiHeadAttention": (2, 2),
    "PositionEmbedding": (2,),
}
LAYERS |= {f"{kind}{n}d": (2, 2, 1) for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)}
LAYERS |= {
    "MultiheadAttention": (2, 1),
    "TransformerEncoderLayer": (2, 1, 2),
    "TransformerDecoderLayer": (2, 1, 2),
}


def with_features(name: str, arguments: tuple[Any, ...], dtype: Any) -> Any:
    return getattr(tg.nn, name)(*arguments, in_features=2, dtype=dtype).parameters()[0]


def of_layer(name: str, arguments: tuple[Any, ...], dtype: Any) -> Any:
    layer = getattr(tg.nn, name)(*arguments, dtype=dtype)
    if name.endswith("Normalization"):  # its weights are made for the first input
        layer(tg.ones((2, 2)))
    return layer.parameters()[0]


# every public function that takes a dtype, and whether that must be a float (None: an integer)
TAKERS: dict[str, tuple[Callable[[Any], Any], bool | None]] = {
    "tensor": (lambda d: tg.tensor(X, dtype=d), False),
    "asarray": (lambda d: tg.asarray(X, dtype=d), False),
    "full": (lambda d: tg.full(2, 1, dtype=d), False),
    "zeros": (lambda d: tg.zeros(2, dtype=d), False),
    "ones": (lambda d: tg.ones(2, dtype=d), False),
    "empty": (lambda d: tg.empty(2, dtype=d), False),
    "full_like": (lambda d: tg.full_like(tg.ones(2), 1, dtype=d), False),
    "zeros_like": (lambda d: tg.zeros_like(tg.ones(2), dtype=d), False),
    "ones_like": (lambda d: tg.ones_like(tg.ones(2), dtype=d), False),
    "empty_like": (lambda d: tg.empty_like(tg.ones(2), dtype=d), False),
    "arange": (lambda d: tg.arange(3, dtype=d), False),
    "linspace": (lambda d: tg.linspace(0, 1, 3, dtype=d), False),
    "eye": (lambda d: tg.eye(2, dtype=d), False),
    "astype": (lambda d: tg.astype(tg.tensor(X), d), False),
    "Tensor.astype": (lambda d: tg.tensor(X).astype(d), False),
    "sum": (lambda d: tg.sum(tg.tensor(X), dtype=d), False),
    "Tensor.sum": (lambda d: tg.tensor(X).sum(dtype=d), False),
    "prod": (lambda d: tg.prod(tg.tensor(X), dtype=d), False),
    "Tensor.prod": (lambda d: tg.tensor(X).prod(dtype=d), False),
    "cumulative_sum": (lambda d: tg.cumulative_sum(tg.tensor(X), axis=0, dtype=d), False),
    "Tensor.cumulative_sum": (lambda d: tg.tensor(X).cumulative_sum(axis=0, dtype=d), False),
    "cumulative_prod": (lambda d: tg.cumulative_prod(tg.tensor(X), axis=0, dtype=d), False),
    "Tensor.cumulative_prod": (lambda d: tg.tensor(X).cumulative_prod(axis=0, dtype=d), False),
    "one_hot": (lambda d: tg.one_hot([0, 1], 2, dtype=d), False),
    "uniform": (lambda d: tg.uniform((2,), dtype=d), True),
    "randn": (lambda d: tg.randn(2, dtype=d), True),
    "rand": (lambda d: tg.rand(2, dtype=d), True),
    "randint": (lambda d: tg.randint(2, (3,), dtype=d), None),
    "random.random": (lambda d: tg.random.random(2, dtype=d), True),
    "random.uniform": (lambda d: tg.random.uniform(0.0, 1.0, 2, dtype=d), True),
    "random.normal": (lambda d: tg.random.normal(0.0, 1.0, 2, dtype=d), True),
    "random.standard_normal": (lambda d: tg.random.standard_normal(2, dtype=d), True),
    "random.integers": (lambda d: tg.random.integers(2, size=3, dtype=d), None),
    "nn.Linear": (lambda d: tg.nn.Linear(2, 2, dtype=d).kernel, True),
    "nn.Dense": (lambda d: tg.nn.Dense(2, in_features=2, dtype=d).kernel, True),
    "nn.Embedding": (lambda d: tg.nn.Embedding(2, 2, dtype=d).parameters()[0], True),
    **{f"nn.{name}": (partial(of_layer, name, arguments), True) for name, arguments in LAYERS.items()},
    **{f"nn.{name}": (partial(with_features, name, given), True) for name, given in WITH_FEATURES.items()},
}
CASES = [(name, d, want) for name in TAKERS for d, want in (*SPELLINGS, *INTEGERS) if not (
    TAKERS[name][1] and not want.startswith("float")) and not (
    TAKERS[name][1] is None and want.startswith(("float", "bool")))]  # fmt: skip


@pytest.mark.parametrize(("name", "dtype", "want"), CASES, ids=[f"{n}-{d}" for n, d, _ in CASES])
def test_each_spelling_is_understood(name: str, dtype: Any, want: str):
    made = TAKERS[name][0](dtype)
    if name.endswith(("sum", "prod")) and want == "bool":
        return  # NumPy adds booleans as integers, and the result is cast back
    assert str(made.dtype) == want


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize(
    "dtype", ["float3", str, object, "complex64", np.complex128, "text", 3, np.ones(2), "O"]
)
def test_what_is_no_dtype_is_refused_with_the_list(name: str, dtype: Any):
    with pytest.raises(TypeError, match=r"expected a dtype of tapegrad, got .*: there are bool, float16"):
        TAKERS[name][0](dtype)


@pytest.mark.parametrize("name", [name for name, (_, floats) in TAKERS.items() if floats])
def test_random_numbers_and_weights_are_floats(name: str):
    with pytest.raises((TypeError, ValueError), match="float16, float32 or float64"):
        TAKERS[name][0](int)


def test_every_public_function_with_a_dtype_is_in_the_table():
    """Walks the public names: a new function with an argument `dtype` needs its row."""
    rooms = {
        "": tg,
        "Tensor.": tg.Tensor,
        "nn.": tg.nn,
        "nn.functional.": tg.nn.functional,
        "random.": tg.random,
    }
    found = set()
    for room, owner in rooms.items():
        for name in dir(owner):
            # A name of another library is there, and tells what to write.
            function = getattr(owner, name, None)
            if name.startswith("_") or not callable(function):
                continue
            try:
                parameters = inspect.signature(function).parameters
            except (TypeError, ValueError):
                continue
            if "dtype" in parameters:
                found.add(room + name)
    not_makers = {"isdtype", "set_default_dtype", "finfo", "iinfo"}
    assert found - not_makers - set(TAKERS) == set()


@pytest.mark.parametrize(("dtype", "want"), SPELLINGS, ids=str)
def test_moves_and_settings_take_them(dtype: Any, want: str):
    if isinstance(dtype, str) and dtype != want:
        return  # a text that is no dtype's own name is a place: "cpu", "cuda:0"
    assert str(tg.ones(2).to(dtype).dtype) == want
    assert tg.nn.Dense(1, in_features=2).to(dtype).dtype == want
    tg.set_default_dtype(dtype)
    try:
        assert str(tg.ones(2).dtype) == want
    finally:
        tg.set_default_dtype(tg.float32)
    assert (
        str(tg.finfo(dtype).dtype) == want and tg.isdtype(dtype, "real floating") and tg.isdtype(dtype, want)
    )


def test_integers_have_limits_and_kinds():
    assert (
        tg.iinfo(np.int32).max
        == tg.iinfo("int32").max
        == tg.iinfo(tg.ones(1, dtype="int32")).max
        == 2**31 - 1
    )
    assert tg.isdtype(int, ("bool", "integral")) and not tg.isdtype(bool, "integral")
    with pytest.raises(TypeError, match="iinfo: expected an integer dtype"):
        tg.iinfo(tg.float32)
    with pytest.raises(TypeError, match="finfo: expected a floating dtype"):
        tg.finfo(tg.ones(1, dtype=int))


def test_the_dtype_of_other_libraries_goes_by_its_name():
    class Foreign:
        def __str__(self) -> str:
            return "torch.float16"

    assert as_dtype(Foreign()) == tg.float16


@pytest.mark.parametrize("make", [tg.tensor, tg.asarray])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.uint16, np.bool_])
def test_a_numpy_scalar_keeps_its_dtype_as_an_array_does(make: Any, kind: Any):
    assert make(kind(1)).dtype == make(np.array(1, kind)).dtype == make(np.array([1], kind)).dtype == kind


def test_beside_a_tensor_a_numpy_scalar_is_a_number():
    assert (tg.ones(2) * np.float64(2)).dtype == tg.float32
