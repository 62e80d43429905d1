"""The tables of other libraries' names: every spelling in them exists here, and asking gives the answer."""

import ast
import importlib
import inspect
import math
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.data
import tapegrad.models
from tapegrad.autograd import foreign
from tapegrad.autograd.primitive import Primitive

# file -> what a user asks, and that room's name in the error
ROOMS: dict[str, tuple[Any, str]] = {
    "tg": (tg, "tapegrad"),
    "tensor": (tg.ones(2), "Tensor"),
    "nn": (tg.nn, "tapegrad.nn"),
    "functional": (tg.nn.functional, "tapegrad.nn.functional"),
    "losses": (tg.nn.losses, "tapegrad.nn.losses"),
    "init": (tg.nn.init, "tapegrad.nn.init"),
    "module": (tg.nn.Dense(2, in_features=2), "Dense"),
    "random": (tg.random, "tapegrad.random"),
    "tree": (tg.tree, "tapegrad.tree"),
    "autograd": (tg.autograd, "tapegrad.autograd"),
}
LINES = [(room, *row) for room in ROOMS for row in foreign.rows(room)]
NAMES = [
    (room, name.rpartition(".")[2], entry) for room in ROOMS for name, entry in foreign.table(room).items()
]
MODULE = tg.nn.Sequential(tg.nn.Dense(2, in_features=2), tg.nn.Dropout(0.5), tg.nn.Softmax())
# names that people write though their library has them no longer, only on instances, or only as a text
FROM_MEMORY = {
    *("np.product", "np.sometrue", "np.alltrue", "np.round_", "np.msort", "np.in1d", "np.trapz", "np.float_"),
    *(
        "np.bool8",
        "np.ndarray.ptp",
        "np.row_stack",
        "keras.losses.bce",
        "keras.losses.kld",
        "keras.losses.logcosh",
    ),
    *("keras.losses.mse", "keras.losses.mae", "keras.losses.mape", "keras.losses.msle"),
    *("keras.losses.MSE", "keras.losses.MAE", "keras.losses.MAPE", "keras.losses.MSLE"),
    *("torch.nn.Linear.weight", "torch.nn.Linear.out_features", "torch.nn.Dropout.p", "torch.nn.Softmax.dim"),
    *("torch.nn.Module.params", "torch.Tensor.zero_grad", "torch.Tensor.silu", "torch.Tensor.gelu"),
    *("torch.Tensor.to_numpy", "jax.Array.to_py", "jax.tree_map", "scipy.special.logit"),
}
# what the spellings call things
KNOWN = {
    "tg": tg, "F": tg.nn.functional, "nn": tg.nn, "init": tg.nn.init, "losses": tg.nn.losses, "np": np, "math": math,
    "tapegrad": SimpleNamespace(data=tapegrad.data, models=tapegrad.models),
}  # fmt: skip


def found(node: ast.expr) -> Any:
    """The object that a dotted name means, or None where it starts with a variable."""
    if isinstance(node, ast.Name):
        return KNOWN.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = found(node.value)
        return None if owner is None else getattr(owner, node.attr)
    return None


def check(ours: str) -> None:
    """Every name in a spelling exists, and every call fits the signature of what it calls."""
    for node in ast.walk(ast.parse(ours)):
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id in ("t", "x", "y", "a", "b"):
                assert hasattr(tg.Tensor, node.attr), f"Tensor has no {node.attr}"
            elif isinstance(node.value, ast.Name) and node.value.id == "m":
                parts = [m for _, m in MODULE.named_modules()]
                assert node.attr == "name" or any(hasattr(m, node.attr) for m in parts), (
                    f"no module has {node.attr}"
                )
            found(node)
        if isinstance(node, ast.Call) and (function := found(node.func)) is not None:
            if isinstance(function, Primitive):
                assert function.arrays in (None, len(node.args)), ours
                continue
            try:
                signature = inspect.signature(function)
            except ValueError:  # some of NumPy's
                continue
            if not any(isinstance(a, ast.Starred) for a in node.args):
                signature.bind(*node.args, **{k.arg: k.value for k in node.keywords if k.arg})


@pytest.mark.parametrize(
    ("room", "theirs", "ours", "remark"), LINES, ids=[f"{r}-{t[0]}" for r, t, *_ in LINES]
)
def test_every_spelling_exists(room: str, theirs: list[str], ours: str, remark: str):
    assert ours or remark
    assert all(
        name == name.strip() and name.replace(".", "").replace("_", "").isalnum() for name in theirs
    ), theirs
    if ours:
        check(ours)
        assert "._" not in ours.replace(".__name__", "").replace("tg.__version__", ""), "a private name"


@pytest.mark.parametrize(("room", "name", "entry"), NAMES, ids=[f"{r}-{n}" for r, n, _ in NAMES])
def test_asking_for_a_name_gives_the_answer(room: str, name: str, entry: foreign.Entry):
    owner, said = ROOMS[room]
    with pytest.raises(AttributeError) as caught:
        getattr(owner, name)
    assert str(entry) in str(caught.value) and said in str(caught.value)
    assert entry.theirs in str(caught.value) and (entry.ours in str(caught.value))


def test_the_tables_are_broad():
    assert len(NAMES) > 900, len(NAMES)


def test_a_name_stands_once_in_a_room():
    for room in ROOMS:
        names = [name for theirs, *_ in foreign.rows(room) for name in theirs]
        twice = {name for name in names if names.count(name) > 1}
        assert twice == set(), (room, twice)


@pytest.mark.parametrize(("word", "row"), foreign.keywords().items(), ids=foreign.keywords())
def test_a_keyword_leads_to_keywords_that_exist(word: str, row: tuple[list[str], str]):
    ours, remark = row
    assert ours or remark
    every = {p for f in public_functions() for p in inspect.signature(f).parameters}
    assert set(ours) - every == set(), "no function takes this"


def public_functions() -> list[Any]:
    functions = []
    for module in (tg, tg.Tensor, tg.nn, tg.nn.functional, tg.random, tg.optim, tg.nn.init, tg.data):
        for name in dir(module):
            value = getattr(module, name, None)  # of another library, in Tensor
            if callable(value) and not isinstance(value, Primitive):
                try:
                    inspect.signature(value)
                except (TypeError, ValueError):
                    continue
                functions.append(value)
                if isinstance(value, type) and issubclass(value, tg.nn.Module):
                    functions.append(value.forward)
    return functions


# their call, what the answer says
CALLS = (
    (lambda: tg.ones((2, 2)).sum(dim=1), "sum: tapegrad's word for dim is axis"),
    (lambda: tg.sum(tg.ones(2), keepdim=True), "sum: tapegrad's word for keepdim is keepdims"),
    (lambda: tg.ones(2).std(ddof=1), "std: tapegrad's word for ddof is correction"),
    (lambda: tg.concat([tg.ones(2)], dim=0), "concat: tapegrad's word for dim is axis"),
    (lambda: tg.sum(input=tg.ones(2)), "give the arrays by position"),
    (lambda: tg.exp(input=tg.ones(2)), "give the arrays by position"),
    (lambda: tg.exp(tg.ones(2), tg.ones(2)), "it takes 1 array, got 2"),
    (lambda: tg.add(tg.ones(2), tg.ones(2), alpha=2), "add has no keyword 'alpha'"),
    (lambda: tg.zeros(2, 3), "zeros((2, 3))"),
    (lambda: tg.zeros(size=3), "zeros: tapegrad's word for size is shape"),
    (lambda: tg.ones(3, dtpye="float64"), "did you mean 'dtype'"),
    (lambda: tg.nn.functional.relu(tg.ones(2), inplace=True), "nothing here works in place"),
    (lambda: tg.nn.functional.leaky_relu(tg.ones(2), alpha=0.1), "word for alpha is negative_slope"),
    (lambda: tg.nn.functional.softmax(tg.ones(2), dim=-1), "softmax: tapegrad's word for dim is axis"),
    (lambda: tg.nn.functional.dropout(tg.ones(2), p=0.5), "dropout: tapegrad's word for p is rate"),
    (lambda: tg.nn.functional.mse_loss(y_true=tg.ones(2), y_pred=tg.ones(2)), "word for y_true is target"),
    (lambda: tg.nn.functional.cross_entropy(tg.ones((1, 2)), [0], weight=[1, 2]), "for weight is class_weight"),
    (lambda: tg.nn.functional.hinge(tg.ones((1, 2)), tg.ones((1, 2)), ignore_index=1), "a sample_weight of 0"),
    (lambda: tg.nn.Dense(2, input_dim=3), "Dense: tapegrad's word for input_dim is in_features"),
    (lambda: tg.nn.LayerNormalization(gamma_regularizer="l2"), "weight_decay"),
    (lambda: tg.nn.Dense(784, 10), "nn.Linear(784, 10), or nn.Dense(10, in_features=784)"),
    (lambda: tg.nn.Linear(2, 3, use_bias=False), "Linear: tapegrad's word for use_bias is bias"),
    (lambda: tg.nn.Dropout(p=0.5), "Dropout: tapegrad's word for p is rate"),
    (lambda: tg.nn.Softmax(dim=-1), "Softmax: tapegrad's word for dim is axis"),
    (lambda: tg.nn.ReLU(inplace=True), "nothing here works in place"),
    (lambda: tg.random.normal(mean=0.0, std=1.0), "normal: tapegrad's word for mean is loc"),
    (lambda: tg.random.integers(0, 2, shape=3), "integers: tapegrad's word for shape is size"),
    (lambda: tg.nn.losses.Huber(dleta=1), "did you mean 'delta'"),
    (lambda: tg.Tensor([1.0]), "tg.tensor(data) makes a tensor"),
    (lambda: tg.ones(()).backward(gradient=1.0), "backward: tapegrad's word for gradient is cotangent"),
    (lambda: tg.nn.Dense(2, "relu", 3), "for Dense(units, activation=None, *, in_features=None, "),
    (lambda: tg.nn.Embedding(5, 2, 0, 1.0), "output_dim, embeddings_initializer='random_uniform', *, "),
    (lambda: tg.nn.LSTM(2, "tanh", "sigmoid", 3), "(units, activation='tanh', recurrent_activation='sigmoid', *, "),
    (lambda: tg.nn.LSTM(3, batch_first=True), "the batch is always the first axis"),
    (lambda: tg.nn.Linear(1, 1).load_state_dict({}, strict=False), "every path must be there"),
    (lambda: tg.load("x", map_location="cpu"), "default device: tg.set_backend"),
    (lambda: tg.linspace(0, 1, steps=5), "linspace: tapegrad's word for steps is num"),
    (lambda: tg.ones((2, 2)).sum(0, True), "sum(x, /, axis=None, *, dtype=None, keepdims=False): write keepdims=True"),
    (lambda: tg.std(tg.ones((2, 2)), 0, False), "write keepdims=False"),
    (lambda: tg.sort(tg.ones(2), 0, True), "write descending=True"),
    (lambda: tg.nn.functional.dropout(tg.ones(2), 0.5, False), "write training=False"),
    (lambda: tg.nn.functional.relu(tg.ones(2), True), "it takes 1 array, got 2: PyTorch's inplace: leave it out"),
    (lambda: tg.nn.functional.elu(tg.ones(2), 1.0, True), "PyTorch's inplace: leave it out"),
    (lambda: tg.nn.ReLU(True), "PyTorch's inplace: leave it out"),
    (lambda: tg.nn.LeakyReLU(0.1, True), "PyTorch's inplace: leave it out"),
    (lambda: tg.nn.Dropout(0.5, True), "PyTorch's inplace: leave it out"),
    (lambda: tg.nn.Flatten(1), "PyTorch's Flatten(1) is Flatten()"),
    (lambda: tg.nn.Identity(5), "Identity(): leave them out"),
    (lambda: tg.nn.Identity(unused=5), "leave them out"),
    (lambda: tg.softplus(tg.ones(2), beta=2), "is softplus(beta * x) / beta"),
    (lambda: tg.softplus(tg.ones(2), 2), "is softplus(beta * x) / beta"),
    (lambda: tg.nn.functional.linear(tg.ones(2), tg.ones((2, 2))), "without a bias write x @ kernel"),
    (lambda: tg.nn.functional.linear(tg.ones(2), tg.ones((2, 2)), None), "without a bias write x @ kernel"),
    (lambda: tg.add(tg.ones(2), None), "add: x2 is None: give an array"),
    *((lambda kind=kind: kind([tg.Parameter(tg.ones(2))]).load_state_dict(None),
       f"{kind.__name__}.load_state_dict: expected the dict that state_dict() gave, got None")
      for kind in (tg.optim.Adam, tg.optim.LBFGS, tg.optim.EMA)),
    (lambda: tg.nn.Linear(1, 1).load_state_dict(None), "expected the dict that state_dict() gave, got None"),
)  # fmt: skip


@pytest.mark.parametrize(("call", "said"), CALLS, ids=[said for _, said in CALLS])
def test_a_foreign_call_is_answered(call: Any, said: str):
    with pytest.raises(TypeError) as caught:
        call()
    assert said in str(caught.value), caught.value


def test_a_mistake_inside_keeps_its_own_message():
    with pytest.raises(TypeError, match="can only concatenate"):
        foreign.answering(lambda x: x + "a")([1])


MISSPELT = (
    (tg, "tensro", "did you mean 'tensor'"), (tg, "relu6", "it is tg.nn.functional.relu6"),
    (tg, "AdamW", "it is tg.optim.AdamW"), (tg, "Dropout", "it is tg.nn.Dropout"),
    (tg.nn, "Dens", "did you mean 'Dense'"),
    (tg.nn.Dense(1), "forwrad", "did you mean 'forward'"),
    (tg.nn.functional, "Dropout", "it is tg.nn.Dropout"), (tg.nn, "gelu", "it is tg.nn.functional.gelu"),
    (tg.random, "nromal", "did you mean 'normal'"),
)  # fmt: skip


@pytest.mark.parametrize(("owner", "name", "said"), MISSPELT, ids=[name for _, name, _ in MISSPELT])
def test_a_misspelt_name_is_answered(owner: Any, name: str, said: str):
    with pytest.raises(AttributeError) as caught:
        getattr(owner, name)
    assert said in str(caught.value)


def test_python_answers_a_misspelt_name_of_a_tensor():
    run = [sys.executable, "-c", "import tapegrad as tg; tg.ones(1).reshap"]
    said = subprocess.run(run, capture_output=True, text=True, check=False).stderr
    assert "Did you mean: 'reshape'?" in said


def test_no_attribute_of_a_tensor_is_looked_up_by_code_of_ours():
    """Which would make each that is there slower to find."""
    assert not hasattr(tg.Tensor, "__getattr__")
    assert tg.Tensor.__getattribute__ is object.__getattribute__


@pytest.mark.parametrize(
    "owner", [tg, tg.ones(1), tg.nn, tg.nn.functional, tg.nn.Dense(1), tg.random], ids=repr
)
@pytest.mark.parametrize(
    "name", ["_make_weight", "__modul__", "_tensor", "__array_namespace", "_graf", "where_pp"]
)
def test_no_hint_is_private(owner: Any, name: str):
    with pytest.raises(AttributeError) as caught:
        getattr(owner, name)
    assert "mean '_" not in str(caught.value) and "_p'" not in str(caught.value).replace(repr(name), "")


def test_hasattr_and_getattr_with_a_default_work():
    assert not hasattr(tg, "cat") and getattr(tg.ones(1), "view", None) is None and not hasattr(tg.nn, "RNN")
    assert importlib.import_module("tapegrad.random") is tg.random


@pytest.mark.slow
@pytest.mark.parametrize("library", ["numpy", "torch", "tensorflow", "keras", "jax"])
def test_their_names_are_theirs(library: str):
    """What the tables call torch.cat is a name of PyTorch."""
    pytest.importorskip(library)
    root = {"np": "numpy", "torch": "torch", "F": "torch.nn.functional", "tf": "tensorflow", "keras": "keras",
            "jax": "jax", "jnp": "jax.numpy"}  # fmt: skip
    wrong = []
    for room, theirs, *_ in LINES:
        for name in theirs:
            first, *rest = name.split(".")
            ours = root.get(first, "").partition(".")[0] == library
            if not ours or name in FROM_MEMORY or name.startswith(("keras.Layer", "keras.Model")):
                continue
            here: Any = importlib.import_module(root[first])
            for i, part in enumerate(rest):
                try:
                    here = getattr(here, part)
                except AttributeError:
                    try:
                        here = importlib.import_module(".".join([root[first], *rest[: i + 1]]))
                    except ImportError:
                        wrong.append((room, name))
                        break
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "ours"),
    (
        ("x.size()", "x.shape"),
        ("x.size(0)", r"x.shape\[0\]"),
        ("x.size(-1)", r"x.shape\[-1\]"),
        ("x.size(dim=1)", r"x.shape\[1\]"),
    ),
)
def test_size_is_a_number_that_says_what_pytorchs_method_is_here(line: str, ours: str) -> None:
    x = tg.ones((2, 3))
    assert (x.size, x.size + 1, f"{x.size}", tg.ones(x.size).shape) == (6, 7, "6", (6,))
    with pytest.raises(TypeError, match=f"tapegrad's name for PyTorch's .* is {ours}$"):
        eval(line)
