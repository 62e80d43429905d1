"""The public modules: what they name, what completion shows, what `import *` takes, and which functions are methods."""

import builtins
import importlib
import inspect
import types
from typing import Any

import pytest

import tapegrad as tg
from tapegrad.autograd import ops
from tapegrad.autograd.operators import METHODS
from tapegrad.autograd.primitive import Primitive

PUBLIC = (
    "tapegrad", "tapegrad.nn", "tapegrad.nn.functional", "tapegrad.nn.losses", "tapegrad.nn.init",
    "tapegrad.nn.activations", "tapegrad.optim", "tapegrad.random", "tapegrad.tree", "tapegrad.models", "tapegrad.data",
)  # fmt: skip
MODULES = {name: importlib.import_module(name) for name in PUBLIC}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_module_says_what_is_public(name: str):
    module = MODULES[name]
    shown = dir(module)
    assert set(module.__all__) <= set(shown) and len(set(module.__all__)) == len(module.__all__)
    assert not [n for n in shown if n.startswith("_") and n != "__version__"]
    for public in shown:
        value = getattr(module, public)
        assert value is not None
        if isinstance(value, types.ModuleType):
            assert value.__name__ in PUBLIC or value.__name__ == "tapegrad.autograd", public
        elif not isinstance(value, Primitive) and hasattr(value, "__module__"):
            assert value.__module__ is None or value.__module__.startswith(("tapegrad", "numpy")), public
    assert not {
        "Any",
        "TYPE_CHECKING",
        "Callable",
        "annotations",
        "answering",
        "where_p",
        "flat",
        "base",
    } & set(shown)


@pytest.mark.parametrize("name", PUBLIC)
def test_import_star_takes_nothing_of_pythons_away(name: str):
    if name in ("tapegrad.nn.init", "tapegrad.nn.activations", "tapegrad.tree"):
        pytest.skip("rooms of plain words, which one writes with their name before them")
    space: dict[str, Any] = {}
    exec(f"from {name} import *", space)
    taken = {n for n in space if n in vars(builtins) and not n.startswith("__")}
    assert taken == set()
    if name == "tapegrad":
        assert eval("max([1, 2]) == 2 and sum([1, 2]) == 3 and round(2.5) == 2 and abs(-1) == 1", space)
        assert space["tensor"] is tg.tensor and space["where"] is tg.where


def test_pythons_words_stand_in_tg_all_the_same():
    for word in ("abs", "all", "any", "bool", "max", "min", "round", "sum"):
        assert word in dir(tg) and word not in tg.__all__ and hasattr(tg, word)


# ---- one rule for which functions are methods ----
def test_every_function_of_one_array_is_a_method():
    assert set(METHODS) | ops.FUNCTIONS_ONLY | {"reshape"} == set(ops.PUBLIC)
    for name in ops.PUBLIC:
        assert hasattr(tg, name), name
        assert hasattr(tg.Tensor, name) == (name not in ops.FUNCTIONS_ONLY), name


def test_every_function_of_ops_that_tg_shows_is_in_the_registry():
    for name in dir(tg):
        value = getattr(tg, name)
        if isinstance(value, Primitive) or getattr(value, "__module__", "").startswith(
            "tapegrad.autograd.ops"
        ):
            assert name in ops.PUBLIC, name


def test_functions_that_are_no_methods_have_a_reason():
    # An operator, a function of layers, and a method that is `tile` in PyTorch.
    for name in ops.FUNCTIONS_ONLY - {"getitem", "linear", "repeat"}:
        function = getattr(ops, name)
        first = (
            next(iter(inspect.signature(function).parameters)) if not isinstance(function, Primitive) else "x"
        )
        assert first not in ("x", "x1"), name


def test_completion_on_a_tensor_shows_public_names_only():
    shown = dir(tg.ones(2))
    assert {"sum", "tan", "floor", "grad", "shape", "backward", "numpy", "argsort"} <= set(shown)
    assert not [n for n in shown if n.startswith("_") or n in ("node", "output_index", "retains_grad")]
    assert "view" not in shown and "contiguous" not in shown


# ---- positional axes ----
AXES = (
    "all", "any", "argmax", "argmin", "argsort", "log_softmax", "logsumexp", "max", "mean", "min", "prod", "softmax",
    "sort", "std", "sum", "var", "cumulative_sum", "cumulative_prod", "expand_dims", "flip", "squeeze", "unstack",
)  # fmt: skip


@pytest.mark.parametrize("name", AXES)
def test_an_axis_may_be_given_by_position_or_by_name(name: str):
    x = tg.tensor([[[1.0, 3.0, 2.0]]])
    function = getattr(tg, name)
    results = [function(x, 0), function(x, axis=0), getattr(x, name)(0), getattr(x, name)(axis=0)]
    for result in results:
        first, got = (r if isinstance(r, tuple) else (r,) for r in (results[0], result))
        assert [g.tolist() for g in got] == [f.tolist() for f in first]


def test_an_axis_after_other_arguments_may_be_given_by_position():
    x, y = tg.ones((2, 2)), tg.zeros((2, 2))
    for name, given in (("concat", ([x, y],)), ("stack", ([x, y],)), ("split", (x, 2)), ("take", (x, [1, 0])),
                        ("take_along_axis", (x, tg.tensor([[0], [1]]))), ("vecdot", (x, y))):  # fmt: skip
        a, b = getattr(tg, name)(*given, 1), getattr(tg, name)(*given, axis=1)
        assert [t.tolist() for t in (a if isinstance(a, tuple) else (a,))] == [
            t.tolist() for t in (b if isinstance(b, tuple) else (b,))
        ]
    assert tg.tensordot(x, y, 1).tolist() == tg.tensordot(x, y, axes=1).tolist()


def test_every_public_function_with_an_axis_takes_it_by_position():
    for name in ops.PUBLIC:
        function = getattr(ops, name)
        if isinstance(function, Primitive):
            continue
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in ("axis", "axes"):
                assert parameter.kind is not parameter.KEYWORD_ONLY, name


# ---- transpose ----
def test_transpose_takes_numpys_and_pytorchs_arguments():
    x = tg.arange(24).reshape(2, 3, 4)
    a = x.numpy()
    for got, want in (
        (x.transpose(), a.transpose()), (x.transpose(None), a.transpose()),
        (x.transpose(2, 0, 1), a.transpose(2, 0, 1)),
        (x.transpose((1, 0, 2)), a.transpose(1, 0, 2)), (x.transpose(-2, -1), a.swapaxes(-2, -1)),
        (x.transpose(0, 2), a.swapaxes(0, 2)), (x[0].transpose(1, 0), a[0].T), (x[0].transpose(0, 1), a[0]),
    ):  # fmt: skip
        assert got.tolist() == want.tolist()
    for wrong in ((0,), (0, 1, 2, 2), (0, 1, 1)):
        with pytest.raises(ValueError, match="transpose: "):
            x.transpose(*wrong)
